//! `annona-wallet collect`.

use annona_protocol::ids::{Round, SiteId};
use clap::Args;
use serde_json::Value;

use super::{
    Desk, Done, Problem, Report,
    holder::{At, Holder},
    names::round,
    redeem::tell,
    screen::ByQr,
    show,
};

#[derive(Args)]
pub(super) struct Collect {
    /// The site: its number or name. Without it the one that was drawn for.
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
    /// The site's address, such as https://192.168.1.10:8443; remembered.
    #[arg(long, value_name = "URL", requires = "site")]
    site_url: Option<String>,
    /// The round that is open at the site; without it the site is asked.
    #[arg(long, value_name = "ROUND", value_parser = round)]
    round: Option<Round>,
    #[command(flatten)]
    by_qr: ByQr,
}

impl Collect {
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
        let here = |at: &SiteId| *at == site;
        let slips: Vec<_> = holder
            .wallet()
            .owed()
            .filter(|slip| here(&slip.content.place.site))
            .map(|slip| slip.content.holder)
            .collect();
        if slips.is_empty() {
            return Err(Problem::NothingOwed);
        }
        let round = self.round.map_or_else(|| holder.open_round(site), Ok)?;
        let mut all = Report::default();
        let mut visits: Vec<Value> = Vec::new();
        for slip in slips {
            let handover = holder.collect(round, slip)?;
            tell(desk, holder.view(round)?.header, &handover, &mut all);
            visits.extend(all.take("visit"));
        }
        all.set("visits", visits);
        show::unfinished(desk, holder.wallet(), &mut all);
        Ok(all)
    }

    /// Without a network: one slip a time. A collection that was shown before is shown again.
    fn run_by_qr(self, desk: &mut Desk) -> Done {
        let stored = desk.open()?;
        let mut holder = Holder::known(desk, stored, At { site: self.site.as_deref(), url: None })?;
        let site = holder.site(self.site.as_deref())?;
        let screen = self.by_qr.screen(desk);
        let begun: Vec<_> = holder.wallet().collecting().collect();
        holder.are_here(desk, site, self.site.is_some(), begun.iter().map(|(_, place)| place.site))?;
        let waiting = begun.into_iter().find(|(_, place)| place.site == site);
        let is_again = waiting.is_some();
        let (slip, place) = match waiting {
            Some(waiting) => waiting,
            None if self.by_qr.is_answered() => return Err(Problem::QrNotAsked),
            None if !holder.wallet().owed().any(|slip| slip.content.place.site == site) => {
                return Err(Problem::NothingOwed);
            }
            None => {
                let place = screen.quote(holder.programme(), site)?.content.place;
                let slip = holder.wallet().owed().find(|slip| slip.content.place.site == place.site);
                (slip.ok_or(Problem::NothingOwed)?.content.holder, place)
            }
        };
        screen.name_site(desk.site_name(holder.programme().latest(), site), place.round, is_again);
        holder.by(&screen);
        let collected = holder.collect(place.round, slip);
        let mut report = Report::default();
        screen.tell(&mut report);
        let header = holder.view(place.round)?.header;
        let mut visits: Vec<Value> = Vec::new();
        match collected {
            Ok(handover) => tell(desk, header, &handover, &mut report),
            Err(problem) => screen.unanswered(desk, header, place.site, problem, &mut report)?,
        }
        visits.extend(report.take("visit").filter(|visit| !visit.is_null()));
        report.set("visits", visits);
        show::unfinished(desk, holder.wallet(), &mut report);
        Ok(report)
    }
}
