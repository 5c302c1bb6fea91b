//! `annona-wallet swap`: vouchers of another site, or of smaller values.

use std::collections::BTreeMap;

use annona_protocol::{
    ids::{KeyIndex, LineId, Round, SiteId},
    programme::{InForce, KeyCounts},
    voucher::Mark,
};
use clap::Args;

use super::{
    Desk, Done, Problem, Report,
    holder::{At, Held, Holder, free, keys_of},
    names::{Amount, amount, find_line, round},
    redeem::at_least,
    show,
};

#[derive(Args)]
pub(super) struct Swap {
    /// The site that the vouchers are of: its number or name. Without it the one that was drawn for.
    #[arg(long, value_name = "SITE")]
    from: Option<String>,
    /// The site that the new ones are for. Without it the same.
    #[arg(long, value_name = "SITE")]
    to: Option<String>,
    /// So many units of a line; again for more lines. Without it everything. Vouchers that are larger are broken up.
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
        let mut report = Report::default();
        report.line(desk.say("swapped", &[("count", count.into())]));
        report.set("round", round.0);
        report.set("from", from.0);
        report.set("to", to.0);
        report.set("given", old.len());
        report.set("swapped", count);
        show::unfinished(desk, holder.wallet(), &mut report);
        Ok(report)
    }

    /// The vouchers to give, and the keys of the new ones.
    fn plan(&self, holder: &Holder, round: Round, from: SiteId, to: SiteId) -> Result<(Vec<Mark>, KeyCounts), Problem> {
        let view = holder.view(round)?;
        let held: Vec<Held> =
            free(holder.programme(), holder.wallet(), from).filter(|held| held.round == round).collect();
        let total = |line: LineId| -> u64 {
            held.iter().filter(|held| held.line == line).map(|held| u64::from(held.value)).sum()
        };
        let mut asked: BTreeMap<LineId, u64> = BTreeMap::new();
        for amount in &self.lines {
            *asked.entry(find_line(view.header, &amount.line)?).or_default() += amount.units;
        }
        if asked.is_empty() {
            asked = held.iter().map(|held| (held.line, total(held.line))).collect();
        }
        let (mut old, mut counts) = (Vec::new(), BTreeMap::<KeyIndex, u32>::new());
        for (line, units) in asked {
            let of_line: Vec<Held> = held.iter().filter(|held| held.line == line).copied().collect();
            let name = view.header.line(line).map_or_else(|| line.to_string(), |line| line.name.clone());
            let (marks, rest) = at_least(&of_line, units).ok_or(Problem::NoChange { line: name.clone(), units })?;
            old.extend(marks);
            add(&mut counts, keys(&view, to, &name, units)?);
            add(&mut counts, keys(&view, from, &name, rest)?);
        }
        if old.is_empty() {
            return Err(annona_wallet::WalletError::VoucherNotFree.into());
        }
        Ok((old, counts.into_iter().collect()))
    }
}

fn keys(view: &InForce<'_>, site: SiteId, line: &str, units: u64) -> Result<KeyCounts, Problem> {
    if units == 0 {
        return Ok(KeyCounts::new());
    }
    keys_of(view, site, &[Amount { line: line.to_owned(), units }])
}

fn add(counts: &mut BTreeMap<KeyIndex, u32>, more: KeyCounts) {
    more.into_iter().for_each(|(key, count)| *counts.entry(key).or_default() += count);
}
