//! `annona-wallet receipts`.

use std::path::PathBuf;

use annona_protocol::{ids::Round, slip::Receipt, wire::Message as _};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use clap::Args;
use serde_json::{Value, json};

use super::{Desk, Done, Report, holder, names::round};

#[derive(Args)]
pub(super) struct Receipts {
    /// Of one round only.
    #[arg(long, value_name = "ROUND", value_parser = round)]
    round: Option<Round>,
    /// Forgets the receipts that are listed: whoever takes the phone then does not learn from it what was collected.
    #[arg(long)]
    erase: bool,
    /// Writes the receipts that are listed, and slips for what is owed, to this new file, for `annona-audit receipt`. Whoever has the
    /// file can tell at which sites one household was in which rounds, and what it got and is owed there.
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
}

/// The format that `annona-audit` reads (audit.md, 4).
const EXPORT: &str = "annona-receipts-1";

impl Receipts {
    pub(super) fn run(self, desk: &mut Desk) -> Done {
        let mut stored = desk.open()?;
        let programme = holder::announced(stored.membership()?)?;
        let mut wallet = stored.wallet()?;
        let header = programme.latest();
        let meant = |receipt: &Receipt| self.round.is_none_or(|round| receipt.content.place.round == round);
        let mut report = Report::default();
        let mut list: Vec<Value> = Vec::new();
        for receipt in wallet.receipts().iter().filter(|receipt| meant(receipt)) {
            let terms = &receipt.content;
            let id = programme.key(terms.mark.key).map(|entry| entry.id);
            let units = id.map(|id| (id.line, annona_protocol::ids::Units(id.value.into())));
            report.line(desk.say(
                if terms.pending { "receipt-pending" } else { "receipt" },
                &[
                    ("site", desk.site_name(header, terms.place.site).into()),
                    ("round", terms.place.round.0.into()),
                    ("amounts", desk.amounts(header, units.as_slice()).into()),
                    ("batch", terms.batch.into()),
                ],
            ));
            list.push(json!({
                "site": terms.place.site.0,
                "round": terms.place.round.0,
                "line": id.map(|id| id.line.0),
                "value": id.map(|id| id.value),
                "batch": terms.batch,
                "pending": terms.pending,
            }));
        }
        if list.is_empty() {
            report.line(desk.say("receipts-none", &[]));
        }
        let mut exported = 0;
        if let Some(path) = &self.export {
            let receipts = wallet.receipts().iter().filter(|receipt| meant(receipt)).map(Receipt::encode);
            let owed = wallet.owed().filter(|slip| self.round.is_none_or(|round| slip.content.place.round == round));
            let mut slips: Vec<String> =
                receipts.chain(owed.map(|slip| slip.encode())).map(|slip| BASE64.encode(slip)).collect();
            // Their order would tell in which order they came.
            slips.sort_unstable();
            exported = slips.len();
            if exported > 0 {
                let file = json!({ "format": EXPORT, "programme": programme.id().to_string(), "slips": slips });
                // Before anything is erased.
                annona_vault::write_new(path, format!("{file:#}\n").as_bytes())?;
                report.line(desk.say("receipts-exported", &[("count", exported.into())]));
            }
        }
        let erased = if self.erase { wallet.retain_receipts(|receipt| !meant(receipt)) } else { 0 };
        if erased > 0 {
            stored.state.membership.as_mut().expect("checked above").wallet = wallet.encode();
            stored.save()?;
            report.line(desk.say("receipts-erased", &[("count", erased.into())]));
        }
        report.set("receipts", list);
        report.set("erased", erased);
        report.set("exported", exported);
        super::show::unfinished(desk, &wallet, &mut report);
        Ok(report)
    }
}
