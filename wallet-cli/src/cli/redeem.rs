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
    Desk, Done, Problem, Report, crowd,
    holder::{At, Held, Holder, free},
    names::{self, Amount, amount, find_line, round},
    screen::ByQr,
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
    /// Shows the site nothing if fewer than N draws brought at least what the visit shows, as the last `check` found it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    hide_among: Option<u64>,
    /// The round of the visit.
    #[arg(long, value_name = "ROUND", value_parser = round)]
    round: Option<Round>,
    #[command(flatten)]
    by_qr: ByQr,
}

impl Redeem {
    pub(super) fn run(self, desk: &mut Desk) -> Done {
        if self.by_qr.is_wanted() {
            return self.run_by_qr(desk);
        }
        let stored = desk.open()?;
        let at = At { site: self.site.as_deref(), url: self.site_url.as_deref() };
        let mut holder = Holder::known(desk, stored, at)?;
        let site = holder.site(self.site.as_deref())?;
        if !holder.has_address(site) {
            return Err(Problem::NoAddress(desk.site_name(holder.programme().latest(), site)));
        }
        let round = holder.round_of_visit(site, self.round)?;
        let marks = self.marks(&holder, site, round)?;
        let crowd = self.crowd(desk, &holder, site, round, marks.as_deref())?;
        let handover = holder.redeem(round, site, marks.as_deref())?;
        let mut report = Report::default();
        tell(desk, holder.view(round)?.header, &handover, &mut report);
        report.set("alike", crowd);
        show::unfinished(desk, holder.wallet(), &mut report);
        Ok(report)
    }

    /// Without a network. A visit that was shown before is shown again, the same to the byte; else the counter's quote comes first.
    fn run_by_qr(self, desk: &mut Desk) -> Done {
        let stored = desk.open()?;
        let mut holder = Holder::known(desk, stored, At { site: self.site.as_deref(), url: None })?;
        let site = holder.site(self.site.as_deref())?;
        let screen = self.by_qr.screen(desk);
        let waiting = holder.waiting_visit(desk, site, self.site.is_some())?;
        let round = match waiting {
            Some(round) => round,
            None if self.by_qr.is_answered() => return Err(Problem::QrNotAsked),
            None => screen.quote(holder.programme(), site)?.content.place.round,
        };
        screen.name_site(desk.site_name(holder.programme().latest(), site), round, waiting.is_some());
        let marks = self.marks(&holder, site, round)?;
        let crowd = self.crowd(desk, &holder, site, round, marks.as_deref())?;
        holder.by(&screen);
        let visited = holder.redeem(round, site, marks.as_deref());
        let mut report = Report::default();
        screen.tell(&mut report);
        let header = holder.view(round)?.header;
        match visited {
            Ok(handover) => tell(desk, header, &handover, &mut report),
            Err(problem) => screen.unanswered(desk, header, site, problem, &mut report)?,
        }
        report.set("alike", crowd);
        show::unfinished(desk, holder.wallet(), &mut report);
        Ok(report)
    }

    /// Of how many draws the visit may be, which is told before it shows anything. One that was shown before is shown again.
    fn crowd(
        &self,
        desk: &Desk,
        holder: &Holder,
        site: SiteId,
        round: Round,
        marks: Option<&[Mark]>,
    ) -> Result<Option<u64>, Problem> {
        if holder.is_visiting(site, round) {
            return Ok(None);
        }
        let is_shown = |held: &Held| held.round == round && marks.is_none_or(|marks| marks.contains(&held.mark));
        let held: Vec<Held> = free(holder.programme(), holder.wallet(), site).filter(is_shown).collect();
        // Without any there is no visit, and it says so.
        if held.is_empty() { Ok(None) } else { crowd::before_visit(desk, holder, site, &held, self.hide_among) }
    }

    fn marks(&self, holder: &Holder, site: SiteId, round: Round) -> Result<Option<Vec<Mark>>, Problem> {
        if self.parts.is_empty() {
            return Ok(None);
        }
        let header = holder.view(round)?.header;
        let held: Vec<Held> =
            free(holder.programme(), holder.wallet(), site).filter(|held| held.round == round).collect();
        let given = chosen(header, &held, &self.parts)?;
        Ok(Some(given.iter().map(|held| held.mark).collect()))
    }
}

/// Vouchers that make up the amounts exactly.
pub(super) fn chosen(header: &Header, held: &[Held], amounts: &[Amount]) -> Result<Vec<Held>, Problem> {
    let mut units: BTreeMap<LineId, u64> = BTreeMap::new();
    for amount in amounts {
        let sum = units.entry(find_line(header, &amount.line)?).or_default();
        *sum = sum.saturating_add(amount.units);
    }
    let mut all = Vec::new();
    for (line, units) in units {
        let of_line: Vec<Held> = held.iter().filter(|held| held.line == line).copied().collect();
        let name = header.line(line).map_or_else(|| line.to_string(), |line| line.name.clone());
        all.extend(exactly(&of_line, units).ok_or(Problem::NoChange { line: name, units })?);
    }
    Ok(all)
}

/// Vouchers of one line that make up the units exactly.
fn exactly(held: &[Held], units: u64) -> Option<Vec<Held>> {
    let most: u64 = held.iter().map(|held| u64::from(held.value)).sum();
    let units = usize::try_from(units).ok().filter(|units| *units as u64 <= most)?;
    // For each sum the voucher that first made it up: those before it make up the rest.
    let mut last: Vec<Option<usize>> = vec![None; units + 1];
    for (at, held) in held.iter().enumerate() {
        let value = held.value as usize;
        for sum in (value..=units).rev() {
            if last[sum].is_none() && (sum == value || last[sum - value].is_some()) {
                last[sum] = Some(at);
            }
        }
    }
    let (mut left, mut found) = (units, Vec::new());
    while left > 0 {
        let at = last[left]?;
        found.push(held[at]);
        left -= held[at].value as usize;
    }
    Some(found)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use annona_protocol::{group::EncodedPoint, ids::KeyIndex};

    use super::*;

    fn held(values: &[u32]) -> Vec<Held> {
        let one = |(at, value): (usize, &u32)| {
            let mark = Mark { key: KeyIndex(*value), holder: EncodedPoint([u8::try_from(at).unwrap(); 32]) };
            Held { mark, line: LineId(1), value: *value, round: Round(1), site: None }
        };
        values.iter().enumerate().map(one).collect()
    }

    /// Every sum of every set of a few vouchers, against all subsets.
    #[test]
    fn vouchers_make_up_what_they_can() {
        for values in [&[][..], &[1], &[1, 2, 4, 8], &[5, 5, 2], &[8, 4, 4, 1, 1], &[10, 20, 50, 5, 2, 2]] {
            let held = held(values);
            let total = |set: u32| -> u64 {
                values.iter().enumerate().filter(|(at, _)| set >> at & 1 == 1).map(|(_, value)| u64::from(*value)).sum()
            };
            let sums: Vec<u64> = (0..1u32 << values.len()).map(total).collect();
            for units in 1..100 {
                let found = exactly(&held, units);
                assert_eq!(found.is_some(), sums.contains(&units), "{values:?}: {units}");
                let Some(found) = found else { continue };
                assert_eq!(found.iter().map(|held| u64::from(held.value)).sum::<u64>(), units);
                let distinct: std::collections::BTreeSet<_> = found.iter().map(|held| held.mark).collect();
                assert_eq!(distinct.len(), found.len());
            }
        }
    }
}
