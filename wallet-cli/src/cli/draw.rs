//! `annona-wallet draw`.

use annona_protocol::ids::Round;
use clap::Args;

use super::{
    Desk, Done, Report,
    holder::{At, Holder},
    names::{Amount, amount, round},
    show,
};

#[derive(Args)]
pub(super) struct Draw {
    /// The site to collect at: its number or name. Without it the last one.
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
    /// Draws so many units of a line, and leaves the rest; again for more lines. Without it everything.
    #[arg(long = "line", value_name = "LINE=UNITS", value_parser = amount)]
    lines: Vec<Amount>,
    /// Another open round than the newest.
    #[arg(long, value_name = "ROUND", value_parser = round)]
    round: Option<Round>,
}

impl Draw {
    pub(super) fn run(self, desk: &mut Desk) -> Done {
        let stored = desk.open()?;
        let mut holder = Holder::with_news(desk, stored, At::default())?;
        let round = holder.round(self.round)?;
        let site = holder.site(self.site.as_deref())?;
        let before = holder.wallet().vouchers().len();
        holder.remember(site)?;
        // This draw, if it was asked for before and not answered; else whatever was not answered comes first.
        let same = holder.plan(round, site, &self.lines).ok().filter(|keys| holder.is_drawing(round, keys));
        let (rolled_over, keys) = match same {
            Some(keys) => (false, keys),
            None => (holder.roll_over(round)?, holder.plan(round, site, &self.lines)?),
        };
        if !keys.is_empty() {
            holder.draw(round, keys)?;
        }
        let drawn = holder.wallet().vouchers().len() - before;
        let header = holder.view(round)?.header;
        let mut report = Report::default();
        if drawn == 0 {
            report.line(desk.say("draw-nothing", &[("round", round.0.into())]));
        } else {
            let places =
                [("count", drawn.into()), ("round", round.0.into()), ("site", desk.site_name(header, site).into())];
            report.line(desk.say("drawn", &places));
        }
        let uncovered = holder.wallet().has_words() && !holder.wallet().is_covered(round);
        if uncovered {
            report.line(desk.say("words-uncovered", &[("round", round.0.into())]));
        }
        report.set("round", round.0);
        report.set("site", site.0);
        report.set("words_cover_the_next", !uncovered);
        report.set("rolled_over", rolled_over);
        report.set("drawn", drawn);
        show::unfinished(desk, holder.wallet(), &mut report);
        Ok(report)
    }
}
