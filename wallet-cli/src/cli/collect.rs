//! `annona-wallet collect`.

use annona_protocol::ids::{Round, SiteId};
use clap::Args;
use serde_json::Value;

use super::{
    Desk, Done, Problem, Report,
    holder::{At, Holder},
    names::round,
    redeem::tell,
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
}

impl Collect {
    pub(super) fn run(self, desk: &mut Desk) -> Done {
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
}
