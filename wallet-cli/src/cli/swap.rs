//! `annona-wallet swap`: the same vouchers at another site, or fresh ones in the place of some that somebody saw.

use std::collections::BTreeMap;

use annona_protocol::{
    ids::{LineId, Round, SiteId},
    programme::KeyCounts,
    voucher::Mark,
};
use clap::Args;

use super::{
    Desk, Done, Problem, Report,
    holder::{At, Held, Holder, free},
    names::{Amount, amount, round},
    redeem::chosen,
    show,
};

#[derive(Args)]
pub(super) struct Swap {
    /// The site that the vouchers are of: its number or name. Without it the one that was drawn for.
    #[arg(long, value_name = "SITE")]
    from: Option<String>,
    /// The site that the new ones are for. Without it the same: vouchers that somebody copied are worth nothing then.
    #[arg(long, value_name = "SITE")]
    to: Option<String>,
    /// So many units of a line; again for more lines. Without it everything. Values stay as they are.
    #[arg(long = "line", value_name = "LINE=UNITS", value_parser = amount)]
    lines: Vec<Amount>,
    /// Another open round than the newest.
    #[arg(long, value_name = "ROUND", value_parser = round)]
    round: Option<Round>,
}

impl Swap {
    pub(super) fn run(self, desk: &mut Desk) -> Done {
        let stored = desk.open()?;
        let mut holder = Holder::with_news(desk, stored, At::default())?;
        let round = holder.round(self.round)?;
        let from = holder.site(self.from.as_deref())?;
        let to = self.to.as_deref().map_or(Ok(from), |site| holder.site(Some(site)))?;
        let (old, new) = self.plan(&holder, round, from, to)?;
        let count = holder.swap(round, &old, new)?;
        if to != from {
            holder.remember(to)?;
        }
        let mut report = Report::default();
        report.line(desk.say("swapped", &[("count", count.into())]));
        report.set("round", round.0);
        report.set("from", from.0);
        report.set("to", to.0);
        report.set("swapped", count);
        show::unfinished(desk, holder.wallet(), &mut report);
        Ok(report)
    }

    /// The vouchers to give, and the keys of the new ones: line, value and round stay, and how many they are (spec 5.6).
    fn plan(&self, holder: &Holder, round: Round, from: SiteId, to: SiteId) -> Result<(Vec<Mark>, KeyCounts), Problem> {
        let held: Vec<Held> =
            free(holder.programme(), holder.wallet(), from).filter(|held| held.round == round).collect();
        let given = if self.lines.is_empty() { held } else { chosen(holder.view(round)?.header, &held, &self.lines)? };
        if given.is_empty() {
            return Err(annona_wallet::WalletError::VoucherNotFree.into());
        }
        let mut kinds: BTreeMap<(LineId, u32), u32> = BTreeMap::new();
        for held in &given {
            *kinds.entry((held.line, held.value)).or_default() += 1;
        }
        let new = holder.keys_at(round, to, &kinds)?;
        Ok((given.iter().map(|held| held.mark).collect(), new))
    }
}
