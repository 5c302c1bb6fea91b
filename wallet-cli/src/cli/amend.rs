//! `annona-wallet amend`.

use annona_protocol::{ids::Round, programme::TicketKind};
use clap::Args;

use super::{
    Desk, Done, Problem, Report,
    holder::{At, Holder},
    names::round,
    show,
    ticket::Source,
};

#[derive(Args)]
pub(super) struct Amend {
    #[command(flatten)]
    ticket: Source,
    /// Another open round than the newest.
    #[arg(long, value_name = "ROUND", value_parser = round)]
    round: Option<Round>,
}

impl Amend {
    pub(super) fn run(self, desk: &mut Desk) -> Done {
        let stored = desk.open()?;
        let programme = stored.membership()?.programme;
        let ticket = self.ticket.read(desk)?;
        if let Some(scanned) = &ticket.scanned {
            if scanned.kind != TicketKind::Amend {
                return Err(Problem::TicketEnrols);
            }
            if scanned.programme != programme {
                return Err(Problem::OtherProgramme);
            }
        }
        let mut holder = Holder::with_news(desk, stored, At::default())?;
        let round = holder.round(self.round)?;
        // The same ticket again goes on where it was.
        if !holder.wallet().is_amending(&ticket.code) {
            holder.roll_over(round)?;
        }
        holder.amend(round, ticket.code)?;
        let mut report = Report::default();
        report.line(desk.say("amended", &[]));
        report.set("round", round.0);
        report.set("amended", true);
        show::unfinished(desk, holder.wallet(), &mut report);
        Ok(report)
    }
}
