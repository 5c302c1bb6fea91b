//! An issuer and sites in this process, and the real program's wallets in a folder.
#![allow(dead_code, reason = "each test uses some of it")]

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use annona_protocol::{
    programme::TicketKind,
    ticket::{TicketCode, TicketSlip},
};
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{
    Plan, Prepared, http, prepare,
    running::{Server, open_site},
    witness::Witness,
};

pub(crate) const PIN: &str = "246810";

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Nothing if it was killed.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        serde_json::from_str(&self.out).unwrap()
    }

    /// The code of an error, and the server's reason.
    pub(crate) fn error(&self) -> (i32, String, String) {
        let value: Value = serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{self:?}"));
        let text = |name: &str| value["error"][name].as_str().unwrap_or_default().to_owned();
        (self.code.unwrap(), text("code"), text("reason"))
    }
}

/// An issuer and its first site in this process; and wallets in a folder.
pub(crate) struct Aid {
    pub(crate) prepared: Prepared,
    pub(crate) witness: Witness,
    pub(crate) issuer: Server,
    pub(crate) folder: TempDir,
}

impl Aid {
    pub(crate) fn new(tickets: usize) -> Self {
        let prepared = prepare(Plan { tickets, rounds: 1, advance: 0 });
        let witness = prepared.start_witness();
        let issuer = prepared.start_issuer(&witness, |_| ());
        Self { prepared, witness, issuer, folder: tempfile::tempdir().unwrap() }
    }

    /// Ends the draws, and opens the site with plenty of everything.
    pub(crate) fn open_site(&self) -> Server {
        self.open_site_with(br#"{"1":10000,"2":10000,"3":10000,"4":10000}"#)
    }

    pub(crate) fn open_site_with(&self, stock: &[u8]) -> Server {
        let site = self.prepared.start_site(self.issuer.address, &self.witness, |_| ());
        open_site(&self.issuer, &site);
        site.supervise("/operator/stock", &[http::JSON], stock);
        site
    }

    pub(crate) fn slip(&self, ticket: usize, kind: TicketKind) -> String {
        let code = TicketCode::from_bytes(*self.prepared.codes[ticket].expose());
        let server = Some(format!("http://{}", self.issuer.address));
        TicketSlip { kind, code, programme: self.prepared.id, server }.to_qr().unwrap().to_string()
    }

    pub(crate) fn path(&self, wallet: &str) -> PathBuf {
        self.folder.path().join(wallet)
    }

    pub(crate) fn make(&self, wallet: &str) {
        let made = run(&["new", "--work-factor", "2", self.path(wallet).to_str().unwrap()], "", None);
        assert_eq!(made.code, Some(0), "{made:?}");
    }

    /// A command of a wallet.
    pub(crate) fn wallet(&self, wallet: &str, arguments: &[&str], input: &str, fault: Option<&str>) -> Ended {
        let path = self.path(wallet);
        run(&[&["--json", "--tries", "2", "--wallet", path.to_str().unwrap()], arguments].concat(), input, fault)
    }

    pub(crate) fn enrol(&self, wallet: &str, ticket: usize) -> Ended {
        self.wallet(wallet, &["enrol"], &self.slip(ticket, TicketKind::Enrol), None)
    }
}

pub(crate) fn run(arguments: &[&str], input: &str, fault: Option<&str>) -> Ended {
    run_with(arguments, input, fault, &[])
}

/// The same with more of an environment.
pub(crate) fn run_with(arguments: &[&str], input: &str, fault: Option<&str>, environment: &[(&str, &str)]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_annona-wallet"));
    command.args(arguments).env("ANNONA_PASSPHRASE", PIN).env("LC_ALL", "C").env_remove("ANNONA_FAULT");
    command.envs(environment.iter().copied());
    if let Some(fault) = fault {
        command.env("ANNONA_FAULT", fault);
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A program that ends before it asks does not read it.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Units by line of a list of amounts.
pub(crate) fn units(list: &Value) -> BTreeMap<u64, u64> {
    let mut sum = BTreeMap::new();
    for amount in list.as_array().unwrap() {
        *sum.entry(amount["line"].as_u64().unwrap()).or_default() += amount["units"].as_u64().unwrap();
    }
    sum
}

/// Units by line of all receipts.
pub(crate) fn received(aid: &Aid, wallet: &str) -> BTreeMap<u64, u64> {
    let receipts = aid.wallet(wallet, &["receipts"], "", None).json();
    let mut sum = BTreeMap::new();
    for receipt in receipts["receipts"].as_array().unwrap() {
        *sum.entry(receipt["line"].as_u64().unwrap()).or_default() += receipt["value"].as_u64().unwrap();
    }
    sum
}
