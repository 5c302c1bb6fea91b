//! `annona-wallet redeem`.

use std::collections::BTreeMap;

use annona_protocol::{
    ids::{LineId, Round, SiteId},
    programme::Header,
    redeem::Outcome,
    voucher::Mark,
};
use annona_wallet::Handover;
use clap::Args;
use serde_json::json;

use super::{
    Desk, Done, Problem, Report,
    holder::{At, Held, Holder, free},
    names::{self, Amount, amount, find_line, round},
    show,
};

#[derive(Args)]
pub(super) struct Redeem {
    /// The site: its number or name. Without it the one that was drawn for.
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
    /// The site's address, such as https://192.168.1.10:8443; remembered.
    #[arg(long, value_name = "URL", requires = "site")]
    site_url: Option<String>,
    /// Gives so many units of a line, and keeps the rest for another visit; again for more lines. Without it everything.
    #[arg(long = "part", value_name = "LINE=UNITS", value_parser = amount)]
    parts: Vec<Amount>,
    /// The round of the visit.
    #[arg(long, value_name = "ROUND", value_parser = round)]
    round: Option<Round>,
}

impl Redeem {
    pub(super) fn run(self, desk: &mut Desk) -> Done {
        let stored = desk.open()?;
        let at = At { site: self.site.as_deref(), url: self.site_url.as_deref() };
        let mut holder = Holder::known(desk, stored, at)?;
        let site = holder.site(self.site.as_deref())?;
        if !holder.has_address(site) {
            return Err(Problem::NoAddress(desk.site_name(holder.programme().latest(), site)));
        }
        let round = holder.round_of_visit(site, self.round)?;
        let marks = self.marks(&holder, site, round)?;
        let handover = holder.redeem(round, site, marks.as_deref())?;
        let mut report = Report::default();
        tell(desk, holder.view(round)?.header, &handover, &mut report);
        show::unfinished(desk, holder.wallet(), &mut report);
        Ok(report)
    }

    fn marks(&self, holder: &Holder, site: SiteId, round: Round) -> Result<Option<Vec<Mark>>, Problem> {
        if self.parts.is_empty() {
            return Ok(None);
        }
        let header = holder.view(round)?.header;
        let held: Vec<Held> =
            free(holder.programme(), holder.wallet(), site).filter(|held| held.round == round).collect();
        let mut units: BTreeMap<LineId, u64> = BTreeMap::new();
        for part in &self.parts {
            *units.entry(find_line(header, &part.line)?).or_default() += part.units;
        }
        let mut marks = Vec::new();
        for (line, units) in units {
            let of_line: Vec<Held> = held.iter().filter(|held| held.line == line).copied().collect();
            let name = header.line(line).map_or_else(|| line.to_string(), |line| line.name.clone());
            marks.extend(exactly(&of_line, units).ok_or(Problem::NoChange { line: name, units })?);
        }
        Ok(Some(marks))
    }
}

/// Vouchers that make up the units exactly.
pub(super) fn exactly(held: &[Held], units: u64) -> Option<Vec<Mark>> {
    // For each sum the last voucher of one way to it; sums beyond what is held cannot be.
    let most = held.iter().map(|held| u64::from(held.value)).sum::<u64>();
    let units = usize::try_from(units).ok().filter(|units| *units as u64 <= most)?;
    let mut ways: Vec<Option<Vec<usize>>> = vec![None; units + 1];
    ways[0] = Some(Vec::new());
    for (at, held) in held.iter().enumerate() {
        let value = held.value as usize;
        for sum in (value..=units).rev() {
            if ways[sum].is_none()
                && let Some(way) = &ways[sum - value]
            {
                ways[sum] = Some([&way[..], &[at]].concat());
            }
        }
    }
    ways.pop().flatten().map(|way| way.into_iter().map(|at| held[at].mark).collect())
}

/// What to show and to take at the counter.
pub(super) fn tell(desk: &Desk, header: &Header, handover: &Handover, report: &mut Report) {
    let code = hex::encode(handover.visit.0);
    let (id, outcome) = match handover.outcome {
        Outcome::Accepted => ("visit-accepted", "accepted"),
        Outcome::AlreadyAccepted => ("visit-accepted-before", "accepted-before"),
        Outcome::AlreadyHandedOver => ("visit-handed-over", "handed-over"),
        Outcome::AcceptedAtCounter => ("visit-other-counter", "other-counter"),
    };
    report.line(desk.say(id, &[("site", desk.site_name(header, handover.site).into())]));
    if !handover.units.is_empty() {
        report.line(desk.say("visit-take", &[("amounts", desk.amounts(header, &handover.units).into())]));
    }
    if !handover.owed.is_empty() {
        report.line(desk.say("visit-owed", &[("amounts", desk.amounts(header, &handover.owed).into())]));
    }
    report.line(desk.say("visit-code", &[("code", code[..8].into())]));
    report.set(
        "visit",
        json!({
            "site": handover.site.0,
            "round": handover.round.0,
            "outcome": outcome,
            "code": code,
            "units": names::amounts(header, &handover.units),
            "owed": names::amounts(header, &handover.owed),
        }),
    );
}
