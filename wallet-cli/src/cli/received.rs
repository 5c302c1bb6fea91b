//! `annona-wallet received`: whether the goods of an accepted visit came.

use annona_protocol::ids::{Round, SiteId};
use clap::Args;

use super::{Desk, Done, Problem, Report, holder::announced, names::find_site};

#[derive(Args)]
pub(super) struct Received {
    /// Of this site only: its number or name.
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
    /// The goods never came: the vouchers can be shown again, and bring what was not handed over.
    #[arg(long)]
    not: bool,
}

impl Received {
    pub(super) fn run(self, desk: &mut Desk) -> Done {
        let mut stored = desk.open()?;
        let programme = announced(stored.membership()?)?;
        let mut wallet = stored.wallet()?;
        let only = self.site.as_deref().map(|site| find_site(programme.latest(), site)).transpose()?;
        let mut visits: Vec<(SiteId, Round)> =
            wallet.unconfirmed().filter(|(site, _)| only.is_none_or(|only| *site == only)).collect();
        visits.dedup();
        if visits.is_empty() {
            return Err(Problem::NoVisit);
        }
        let mut count = 0;
        for (site, round) in visits {
            count += if self.not { wallet.not_received(site, round) } else { wallet.received(site, round) };
        }
        stored.keep(&wallet)?;
        let mut report = Report::default();
        let id = if self.not { "not-received" } else { "received" };
        report.line(desk.say(id, &[("count", count.into())]));
        report.set("vouchers", count);
        Ok(report)
    }
}
