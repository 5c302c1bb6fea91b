//! Proofs that a site broke a receipt, as a file for auditors: `annona-omission-1` (audit.md, 4.3).

use annona_protocol::{audit::receipt::Omission, ids::ProgrammeId, programme::SignedHeader, wire::Message as _};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::json;

use crate::WholeLog;

const FORMAT: &str = "annona-omission-1";

impl WholeLog {
    /// A proof under this log's checkpoint, as text that needs nothing else but the programme's id: `versions` are all that the
    /// announcement has, from the genesis on.
    pub fn omission_file(&self, programme: ProgrammeId, versions: &[SignedHeader], proof: &Omission) -> String {
        let manifest: Vec<String> = versions.iter().map(|version| BASE64.encode(version.encode())).collect();
        let file = json!({
            "format": FORMAT,
            "programme": programme.to_string(),
            "log": self.checkpoint().origin(),
            "note": self.note(),
            "omission": BASE64.encode(proof.encode()),
            "manifest": manifest,
        });
        format!("{file:#}\n")
    }
}
