//! `annona-wallet enrol`.

use annona_protocol::{ids::ProgrammeId, programme::TicketKind};
use clap::Args;

use super::{
    Desk, Done, Problem, Report,
    holder::Holder,
    ticket::{Scanned, Source},
};

#[derive(Args)]
pub(super) struct Enrol {
    #[command(flatten)]
    ticket: Source,
    /// For a typed code: the programme, 64 hexadecimal digits.
    #[arg(long, value_name = "ID", value_parser = programme)]
    programme: Option<ProgrammeId>,
    /// The issuer's address, such as https://aid.example.org, if the ticket names none.
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// For a typed code: the ticket is for the part of a household that leaves.
    #[arg(long)]
    split: bool,
}

pub(super) fn programme(text: &str) -> Result<ProgrammeId, &'static str> {
    let mut id = [0; 32];
    hex::decode_to_slice(text, &mut id).map_err(|_| "a programme has 64 hexadecimal digits; the agency prints them")?;
    Ok(ProgrammeId(id))
}

impl Enrol {
    pub(super) fn run(self, desk: &mut Desk) -> Done {
        let stored = desk.open()?;
        let ticket = self.ticket.read(desk)?;
        let known =
            stored.state.membership.as_ref().map(|membership| (membership.programme, membership.issuer.clone()));
        let Scanned { kind, programme, server } = match ticket.scanned {
            Some(scanned) => scanned,
            None => {
                let programme = self.programme.or(known.as_ref().map(|(programme, _)| *programme));
                let kind = if self.split { TicketKind::Split } else { TicketKind::Enrol };
                Scanned { kind, programme: programme.ok_or(Problem::TicketAlone)?, server: None }
            }
        };
        if kind == TicketKind::Amend {
            return Err(Problem::TicketAmends);
        }
        let server = self.issuer.or(server).or(known.map(|(_, issuer)| issuer));
        let server = server.ok_or(Problem::TicketWithoutServer)?;
        let mut holder = Holder::join(desk, stored, programme, &server)?;
        holder.enrol(kind, ticket.code)?;
        let header = holder.programme().latest();
        let mut report = Report::default();
        let places = [("programme", header.name.as_str().into()), ("agency", header.agency.as_str().into())];
        report.line(desk.say("enrolled", &places));
        report.line(desk.say("enrolled-next", &[]));
        report.set("programme", hex::encode(programme.0));
        report.set("name", &header.name);
        report.set("agency", &header.agency);
        Ok(report)
    }
}
