//! What an office does around a household's steps: tickets of another kind, the next round, the end.
#![allow(dead_code, reason = "each test uses some of it")]

use std::{thread, time::Duration, time::Instant};

use annona_node::{
    home::IssuerHome,
    random::os as rng,
    service::issuer::{Grant, LotPlan},
    tickets::{PreparedLot, TicketRow},
};
use annona_protocol::{
    ids::{LotId, Round},
    log::leaf::IssuerLeaf,
    programme::{Announcement, TicketKind},
    slip::Signed,
    ticket::{TicketCode, TicketSlip},
    wire::Message as _,
};

use crate::{
    aid::Aid,
    harness::{Plan, Prepared, http, passphrase, prepare_where, process::PATIENCE, running::Server, sign},
};

const LOTS: &str = "[[lots]]\nid = 2\nkind = \"amend\"\nstart = { drawn = 0 }\n\n\
                    [[lots]]\nid = 3\nkind = \"enrol\"\nstart = { drawn = 0 }\n\n[witnesses]";

/// A programme of several rounds, one open at a time, with amend tickets to these attributes; and an issuer that runs.
pub(crate) fn open_office(tickets: usize, rounds: u32, amends: &[[u64; 2]]) -> (Aid, Vec<TicketCode>) {
    let prepared = office(tickets, rounds);
    let codes = if amends.is_empty() { Vec::new() } else { more_tickets(&prepared, LotId(2), 12, amends) };
    (open(prepared), codes)
}

/// The same with a ticket whose credential expires with the first round.
pub(crate) fn open_office_with_a_short_ticket(rounds: u32) -> (Aid, TicketCode) {
    let prepared = office(1, rounds);
    let code = more_tickets(&prepared, LotId(3), 1, &[[2, 1]]).remove(0);
    (open(prepared), code)
}

fn office(tickets: usize, rounds: u32) -> Prepared {
    prepare_where(Plan { tickets, rounds, advance: 0 }, |text| text.replace("[witnesses]", LOTS))
}

fn open(prepared: Prepared) -> Aid {
    let witness = prepared.start_witness();
    let issuer = prepared.start_issuer(&witness, |_| ());
    Aid { prepared, witness, issuer, folder: tempfile::tempdir().unwrap() }
}

fn more_tickets(prepared: &Prepared, lot: LotId, expires: u32, attributes: &[[u64; 2]]) -> Vec<TicketCode> {
    let service = prepared.issuer.open(&passphrase(), None).unwrap();
    let header = service.with_programme(|programme| programme.latest().clone());
    let row = |attributes: &[u64; 2]| TicketRow { expires: Round(expires), attributes: attributes.to_vec() };
    let rows = attributes.iter().map(row).collect();
    let terms = header.lot(lot).unwrap();
    let lot = PreparedLot::new(prepared.id, &header.schema, terms, rows, &mut rng()).unwrap();
    let planned = LotPlan { lot: lot.lot(), count: lot.count(), root: lot.root() };
    let grants = lot.grants().map(|grant| Grant { grant, after: None });
    service.import_lot(&planned, grants, &mut rng()).unwrap();
    IssuerHome::approve(&service, sign(lot.proposal(), &prepared.officers, Some(&header))).unwrap();
    lot.codes().iter().map(|code| TicketCode::from_bytes(*code.expose())).collect()
}

impl Aid {
    /// The text of a ticket's square code with another way to the issuer.
    pub(crate) fn slip_of(&self, code: &TicketCode, kind: TicketKind, server: &str) -> String {
        let code = TicketCode::from_bytes(*code.expose());
        let slip = TicketSlip { kind, code, programme: self.prepared.id, server: Some(server.to_owned()) };
        slip.to_qr().unwrap().to_string()
    }

    /// An amend ticket's.
    pub(crate) fn amend_slip(&self, code: &TicketCode) -> String {
        self.slip_of(code, TicketKind::Amend, &format!("http://{}", self.issuer.address))
    }

    /// Freezes and closes a round and opens the next; returns once the announcement says so.
    pub(crate) fn next_round(&self, round: u32) {
        self.issuer.supervise(&format!("/operator/rounds/{round}/freeze"), &[], &[]);
        self.issuer.supervise(&format!("/operator/rounds/{round}/close"), &[], &[]);
        self.issuer.supervise(&format!("/operator/rounds/{}/open", round + 1), &[], &[]);
        self.announced(|announcement| {
            let programme = announcement.verify(self.prepared.id).unwrap();
            programme.in_force(Round(round + 1)).is_ok()
        });
    }

    /// Ends a round's draws and opens the first site in it.
    pub(crate) fn open_site_in(&self, round: u32, stock: &[u8]) -> Server {
        let site = self.prepared.start_site(self.issuer.address, &self.witness, |_| ());
        self.issuer.supervise(&format!("/operator/rounds/{round}/freeze"), &[], &[]);
        let pack = http::get(self.issuer.address, &format!("/v1/packs/{round}/1"));
        assert_eq!(pack.status, 200, "{pack:?}");
        site.supervise("/operator/open", &[http::MESSAGE], &pack.body);
        site.supervise("/operator/stock", &[http::JSON], stock);
        site
    }

    /// Waits until what the issuer announces is as wanted; it is published once the witness has cosigned.
    pub(crate) fn announced(&self, wanted: impl Fn(&Announcement) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let announcement = http::get(self.issuer.address, "/v1/announcement");
            if announcement.status == 200 && wanted(&Announcement::decode(&announcement.body).unwrap()) {
                return;
            }
            assert!(Instant::now() < deadline, "it was not announced");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Puts what was done so far into the log: slots are given out from then on.
    pub(crate) fn close_batch(&self) {
        self.issuer.supervise("/operator/close-batch", &[], &[]);
    }

    /// Stops the issuer and counts what its log has: enrolments, roll-overs, draws, swaps, amends.
    pub(crate) fn logged(&mut self) -> [usize; 5] {
        let mut counts = [0; 5];
        for leaf in self.leaves() {
            match leaf {
                IssuerLeaf::Enrol(_) => counts[0] += 1,
                IssuerLeaf::RollOver(_) => counts[1] += 1,
                IssuerLeaf::Draw(_) => counts[2] += 1,
                IssuerLeaf::Swap(_) => counts[3] += 1,
                IssuerLeaf::Amend(_) => counts[4] += 1,
                _ => {}
            }
        }
        counts
    }

    /// Stops the issuer, and gives what its log has.
    pub(crate) fn leaves(&mut self) -> Vec<IssuerLeaf> {
        self.close_batch();
        self.issuer.stop();
        let service = self.prepared.issuer.open(&passphrase(), None).unwrap();
        let entries: Vec<Vec<u8>> = service
            .store()
            .read(|connection| {
                connection.prepare("SELECT entry FROM entries ORDER BY at")?.query_map([], |row| row.get(0))?.collect()
            })
            .unwrap();
        entries.iter().map(|entry| IssuerLeaf::decode(entry).unwrap()).collect()
    }
}

/// Closes a site's round: what it says that it handed out, owed and handed out late, by line.
pub(crate) fn close_site(site: &Server) -> [Vec<(u64, u64)>; 3] {
    let reply = site.supervise("/operator/close-round", &[], &[]);
    let statement = annona_protocol::slip::SiteStatement::decode(&reply.body).unwrap();
    let Signed { content, .. } = statement;
    [content.units, content.owed, content.collected]
        .map(|list| list.iter().map(|(line, units)| (u64::from(line.0), units.0)).collect())
}
