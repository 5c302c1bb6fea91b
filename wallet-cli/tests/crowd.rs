//! How many share what a visit shows: what a check found is remembered, for the vouchers that it looked at.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod aid;
#[path = "../../node/tests/harness/mod.rs"]
mod harness;

use aid::{Aid, run};
use serde_json::{Value, json};

#[test]
fn what_a_check_found_is_told_before_and_at_a_visit() {
    let aid = Aid::new(2);
    for (wallet, ticket) in [("wallet", 1), ("other", 0)] {
        aid.make(wallet);
        aid.enrol(wallet, ticket).json();
    }
    let wallet = |arguments: &[&str]| aid.wallet("wallet", arguments, "", None).json();
    assert_eq!(wallet(&["draw", "--site", "1", "--line", "food=1", "--line", "cash=5"])["drawn"], 2);
    // The other household drew that, and more.
    aid.wallet("other", &["draw", "--site", "1", "--line", "food=1", "--line", "cash=15"], "", None).json();
    assert_eq!(wallet(&["show"])["alike"], Value::Null);
    let site = aid.open_site();
    let url = format!("http://{}", site.address);
    wallet(&["site", "add", "1", &url]);
    let found = wallet(&["check"])["crowds"].clone();
    let crowd = found[0]["crowd"].as_u64().unwrap();
    assert!((1..=2).contains(&crowd), "{found}");
    assert_eq!(wallet(&["show"])["alike"], json!([{ "site": 1, "round": 1, "crowd": crowd }]));
    let told = run(&["show", "--wallet", aid.path("wallet").to_str().unwrap()], "", None).out;
    assert!(told.contains("brought at least what you hold"), "{told}");
    // Vouchers that came since were not looked at.
    assert!(wallet(&["draw"])["drawn"].as_u64().unwrap() > 0);
    assert_eq!(wallet(&["show"])["alike"], Value::Null);
    // A visit of some that were.
    assert_eq!(wallet(&["redeem", "--site", "1", "--site-url", &url, "--part", "cash=5"])["alike"], crowd);
    assert_eq!(wallet(&["redeem"])["alike"], Value::Null);
}
