//! An issuer and a site of a programme that nobody runs, for tools that test servers from outside: `throwaway FOLDER`.
//!
//! Writes `FOLDER/servers.json` once both listen: of each its origin and a token of every role. Runs until standard input ends.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a tool for tests")]

#[path = "../tests/harness/mod.rs"]
mod harness;

use std::{
    fs,
    io::{self, Read as _},
    path::PathBuf,
};

use harness::{
    Plan, prepare,
    running::{Server, open_site},
};
use serde_json::{Value, json};

fn described(server: &Server) -> Value {
    let tokens = server.tokens.each_ref();
    let [caseworker, distributor, supervisor] = tokens.map(|token| token.trim_start_matches("Bearer "));
    json!({
        "origin": format!("http://{}", server.address),
        "caseworker": caseworker,
        "distributor": distributor,
        "supervisor": supervisor,
    })
}

fn main() {
    let folder = PathBuf::from(std::env::args_os().nth(1).expect("usage: throwaway FOLDER"));
    let prepared = prepare(Plan { tickets: 2, rounds: 1, advance: 0 });
    let witness = prepared.start_witness();
    let issuer = prepared.start_issuer(&witness, |_| ());
    let site = prepared.start_site(issuer.address, &witness, |_| ());
    open_site(&issuer, &site);
    let servers = json!({ "issuer": described(&issuer), "site": described(&site) });
    let part = folder.join("servers.json.part");
    fs::write(&part, servers.to_string()).unwrap();
    fs::rename(&part, folder.join("servers.json")).unwrap();
    io::stdin().lock().read_to_end(&mut Vec::new()).unwrap();
}
