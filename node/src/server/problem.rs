//! What a client is told when something is refused (RFC 9457): a stable code, and a text that is fixed by the code.
//!
//! Nothing of the request or of an error's inside is in it; all ways in which a proof fails have one code (spec 4.3-M6).

use annona_protocol::{programme::ManifestError, wire::Message as _};
use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::service::{issuer::IssuerError, site::SiteError};

/// The header beside a signed message that explains a refusal.
pub const CODE_HEADER: HeaderName = HeaderName::from_static("annona-code");
/// What protocol messages are sent as.
pub const MESSAGE_TYPE: &str = "application/octet-stream";
/// What problems are sent as.
pub const PROBLEM_TYPE: &str = "application/problem+json";

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    kind: &'static Kind,
    /// In place of the kind's own: seconds until the same request may succeed.
    retry_after: Option<u32>,
}

/// A refusal: a problem, or a message that the party signed.
#[derive(Debug)]
pub enum Refusal {
    /// A problem.
    Problem(Problem),
    /// A signed message.
    Signed {
        /// The status.
        status: StatusCode,
        /// The stable code.
        code: &'static str,
        /// The message.
        body: Vec<u8>,
    },
}

/// The code of a refusal, beside its response: what is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Code(pub(super) &'static str);

/// The body of a problem.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Body {
    /// `urn:annona:problem:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// What is wrong.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What to do next.
    detail: &'static str,
    /// The stable code.
    code: &'static str,
}

#[derive(Debug, PartialEq, Eq)]
struct Kind {
    code: &'static str,
    status: u16,
    title: &'static str,
    detail: &'static str,
    /// Seconds until the same request may succeed; 0 if it never does.
    retry_after: u32,
}

const fn kind(code: &'static str, status: u16, title: &'static str, detail: &'static str) -> Kind {
    Kind { code, status, title, detail, retry_after: 0 }
}

const fn later(code: &'static str, status: u16, title: &'static str, retry_after: u32) -> Kind {
    Kind { code, status, title, detail: "Send the same request again after the time in Retry-After.", retry_after }
}

const OFFICE: &str = "Tell the agency's technical staff: the server's log of events names the code.";
const REPEAT: &str = "Make a new request; the same one will be refused again.";
const ASK_STATUS: &str = "Look at /operator/status, then act on what it says.";

/// Every code that a problem can have.
#[rustfmt::skip]
const KINDS: &[Kind] = &[
    // Of HTTP.
    kind("bad-request", 400, "the request cannot be understood", "See /openapi.json for what this path takes."),
    kind("token-missing", 401, "an operator's token is needed", "Send `authorization: Bearer` with a valid token."),
    kind("role", 403, "this token's role may not do this", "Ask somebody whose role it is."),
    kind("not-found", 404, "there is nothing here", "See /openapi.json for all paths."),
    kind("method", 405, "this path has other methods", "See the allow header."),
    later("slow", 408, "the request took too long to arrive", 5),
    kind("too-long", 413, "the body is longer than its message can be", REPEAT),
    kind("media-type", 415, "the body has another content type than this path takes", "See /openapi.json for what this path takes."),
    later("rate", 429, "requests come too fast", 1),
    later("overloaded", 503, "the server is busy", 2),
    later("not-ready", 503, "the server cannot take requests now", 5),
    kind("internal", 500, "the server failed", OFFICE),
    // Of both parties.
    later("disk-full", 503, "the server's disk is full: nothing was changed", 60),
    later("store-later", 503, "the server could not write to its disk", 5),
    kind("store", 500, "the server's store failed", OFFICE),
    kind("malformed", 400, "the message does not decode", "Send a message of the kind and version that this path takes."),
    later("in-flight", 503, "the same request is still being answered", 5),
    kind("log-full", 500, "the log is full", OFFICE),
    // Of issuers.
    kind("round-not-open", 409, "the round is not open for this", "Fetch the announcement and use a round that is open."),
    kind("manifest", 422, "the programme does not allow this", "Fetch the announcement and make the request anew."),
    kind("enrolment-invalid", 422, "the enrolment does not hold", REPEAT),
    kind("show-invalid", 422, "the request does not hold", REPEAT),
    kind("swap-invalid", 422, "the swap does not hold", REPEAT),
    kind("surrender-invalid", 422, "the surrender does not hold", REPEAT),
    kind("ticket-unknown", 404, "the ticket is unknown", "Check the ticket's letters, and whether its lot is approved."),
    later("ticket-guesses", 429, "too many unknown tickets were tried", 10),
    kind("ticket-used", 409, "the ticket is used", "Restore the wallet that used it, or ask the agency for another ticket."),
    kind("ticket-early", 409, "the ticket is not valid yet", "It becomes valid when the household's amend is made."),
    kind("amend-unknown", 409, "the tickets of the amends are not here", "Import the lot of the amends first."),
    kind("spent", 409, "the credential or voucher is spent with another request", "Send the request that was made first, unchanged."),
    kind("answer-erased", 410, "the answer went when the programme ended", "The issuer's log has it: complete from there."),
    kind("slot-exists", 409, "a recovery slot of this id exists", "Make the request anew with the next slot."),
    kind("bucket-unknown", 404, "there is no such bucket of slots", "Fetch the directory of slots again."),
    kind("swap-session-gone", 409, "the signing session is gone; the vouchers are not swapped", "Open another session."),
    later("sessions", 503, "too many signing sessions are open", 10),
    kind("round-ahead", 409, "an earlier round has to be closed first", ASK_STATUS),
    kind("cohort", 500, "a cohort cannot be opened", OFFICE),
    kind("cohort-lost", 409, "the sum of a cohort is lost: the store was made from a backup", "Recover the store from its second medium, or freeze on the command line."),
    kind("round-master", 409, "the master of the round is missing", "Put the round's key file into keys/ of the issuer's home."),
    kind("sealed", 500, "the store and the key file do not belong together", OFFICE),
    kind("lot-exists", 409, "the lot exists already", "Choose another number."),
    kind("lot-unknown", 422, "the lot is not the one that was imported", "Import the lot first; compare count and root."),
    kind("signatures", 422, "too few officers signed, or a signature does not hold", "Collect the signatures again."),
    kind("pack-unknown", 404, "there is no such opening pack", "Ask again once the round is frozen."),
    kind("no-announcement", 404, "nothing has been published yet", "Ask again once the log's first checkpoint is cosigned."),
    kind("package-malformed", 400, "this is no package of a log, or only a part of one", "Copy it again."),
    kind("package-foreign", 404, "the manifest names no such log", "Check which programme it is of."),
    kind("package-unsigned", 422, "the package is not signed by its site's log", "Make it again at the site."),
    kind("package-false", 422, "the package's entries are not what its checkpoint signs", "Make it again at the site."),
    kind("package-early", 409, "too many packages wait for what is before them", "Bring those first."),
    kind("package-fork", 409, "the package contradicts what this site sent before", "Tell the auditors: both are kept."),
    kind("file", 500, "the server could not write a file", OFFICE),
    later("received-locked", 503, "the received logs are in use", 5),
    kind("received-damaged", 500, "a received log is damaged", OFFICE),
    // Of sites.
    kind("no-round-open", 409, "no round is open at this site", "A supervisor opens it with its opening pack."),
    kind("round-still-open", 409, "another round is still open", "Close it first."),
    kind("round-closed", 409, "the round was closed at this site", "It cannot be opened again."),
    kind("announcement-invalid", 422, "the announcement does not hold", "Fetch it again from the issuer."),
    kind("announcement-older", 409, "the announcement is older than what this site has", "Fetch the newest."),
    kind("announcement-contradicts", 409, "the announcement contradicts what this site was told", "Keep both files and tell the auditors."),
    kind("round-unknown", 409, "the programme has not opened the round", "Sync first."),
    kind("round-other-log", 409, "the round began while this site had another log", "Open the next round."),
    kind("day-code", 409, "the store does not hold what the day code stands for", "Stop the server: the store was rolled back, or the code is another site's."),
    kind("day-code-missing", 409, "the code of the last day is needed", "Type the code that was printed when the last day closed."),
    kind("day-code-malformed", 400, "this is no day code", "Type it again, as it was printed."),
    kind("pack-invalid", 422, "the opening pack is not for this site and round", "Fetch it again from the issuer."),
    kind("pack-differs", 409, "another opening pack for the round is here", "Keep both files and tell the auditors."),
    kind("site-key", 409, "the manifest names another key for this site", "Check the site's number and its key file."),
    kind("visit-unknown", 404, "there is no such visit at this counter in the open batch", "Let the household show its vouchers again."),
    kind("already-handed-over", 409, "the goods of this visit were handed over before", "Hand out nothing."),
    kind("not-a-counter", 409, "this is a counter's store, or the other way round", "Check the folder and its slots."),
    kind("handover-other", 409, "the file is of another site, round, counter or slot", "Check which file it is."),
    kind("handover-false", 422, "the package is damaged, or not this site's", "Make it again at the counter."),
    kind("handover-waits", 409, "not all of the counter's packages were handed in", "Take them to the main store first."),
    kind("counter-missing", 409, "a counter did not hand over since the last batch", "Take its package in first."),
    kind("slot-taken", 409, "the slots are another counter's, or none of the site", "Choose another."),
    kind("batch-small", 409, "too few leaves wait to hide each other", "Close the batch with the round, or insist."),
    kind("line-unknown", 422, "the programme has no such line", "See the manifest for its lines."),
    kind("stock-range", 422, "too many units", "Send a number below 2^63."),
];

impl Problem {
    /// The problem of a code; one that is not listed is an internal one.
    pub(super) fn new(code: &str) -> Self {
        let find = |code: &str| KINDS.iter().find(|kind| kind.code == code);
        let kind = find(code).or_else(|| find("internal")).expect("the internal one is listed");
        Self { kind, retry_after: None }
    }

    /// The same, to be tried again after this many seconds.
    pub(super) fn after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds.max(1)), ..self }
    }

    /// What axum's own refusals become.
    pub(super) fn of_status(status: StatusCode) -> Self {
        Self::new(match status {
            StatusCode::NOT_FOUND => "not-found",
            StatusCode::METHOD_NOT_ALLOWED => "method",
            StatusCode::PAYLOAD_TOO_LARGE => "too-long",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "media-type",
            status if status.is_client_error() => "bad-request",
            _ => "internal",
        })
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.kind.code
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.kind.status).expect("the table has statuses")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Kind { code, status, title, detail, retry_after } = *self.kind;
        let body = Body { kind: format!("urn:annona:problem:{code}"), title, status, detail, code };
        let mut response = (self.status(), Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_TYPE));
        let seconds = self.retry_after.unwrap_or(retry_after);
        if seconds > 0 {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if status == 401 {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(Code(code));
        response
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Problem(problem) => problem.into_response(),
            Self::Signed { status, code, body } => {
                let headers = [(header::CONTENT_TYPE, MESSAGE_TYPE), (CODE_HEADER, code)];
                let mut response = (status, headers, body).into_response();
                response.extensions_mut().insert(Code(code));
                response
            }
        }
    }
}

impl Refusal {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Problem(problem) => problem.code(),
            Self::Signed { code, .. } => code,
        }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<IssuerError> for Refusal {
    fn from(error: IssuerError) -> Self {
        let code = error.code();
        match error {
            IssuerError::SessionGone(word) => Self::Signed { status: StatusCode::CONFLICT, code, body: word.encode() },
            IssuerError::Store(_) if code == "store" && error.is_transient() => Problem::new("store-later").into(),
            // The version that the store begins with was verified: what fails is what was asked for.
            IssuerError::Manifest(ManifestError::NotInForce(_)) => Problem::new("round-not-open").into(),
            _ => Problem::new(code).into(),
        }
    }
}

impl From<crate::sync::MirrorError> for Refusal {
    fn from(error: crate::sync::MirrorError) -> Self {
        Problem::new(error.code()).into()
    }
}

impl From<SiteError> for Refusal {
    fn from(error: SiteError) -> Self {
        let code = error.code();
        match error {
            SiteError::Refused(slip) => {
                Self::Signed { status: StatusCode::UNPROCESSABLE_ENTITY, code, body: slip.encode() }
            }
            SiteError::Store(_) if code == "store" && error.is_transient() => Problem::new("store-later").into(),
            _ => Problem::new(code).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The codes of a service's errors, as their source lists them.
    fn codes(source: &'static str) -> Vec<&'static str> {
        let (_, rest) = source.split_once("pub fn code(&self)").unwrap();
        let (body, _) = rest.split_once("\n    }\n").unwrap();
        body.split('"').skip(1).step_by(2).collect()
    }

    #[test]
    fn every_code_of_a_service_has_its_own_problem() {
        let issuer = codes(include_str!("../service/issuer/mod.rs"));
        let site = codes(include_str!("../service/site/mod.rs"));
        assert!(issuer.len() > 20 && site.len() > 15, "the sources were not understood");
        for code in issuer.into_iter().chain(site).filter(|code| *code != "session-gone") {
            assert_eq!(Problem::new(code).code(), code, "no problem has this code");
        }
    }

    #[test]
    fn codes_are_distinct_and_statuses_are_errors() {
        let codes: BTreeSet<_> = KINDS.iter().map(|kind| kind.code).collect();
        assert_eq!(codes.len(), KINDS.len());
        for kind in KINDS {
            assert!((400..600).contains(&kind.status), "{}", kind.code);
            let must_retry = matches!(kind.status, 408 | 429 | 503);
            assert_eq!(kind.retry_after > 0, must_retry, "{}", kind.code);
        }
    }

    #[test]
    fn nothing_of_an_errors_inside_is_told() {
        let error = IssuerError::Store(crate::store::StoreError::Damaged("row 7 of /home/x".into()));
        let Refusal::Problem(problem) = Refusal::from(error) else { panic!("a store signs nothing") };
        assert_eq!((problem.code(), problem.status().as_u16()), ("store", 500));
        assert!(!format!("{:?}", problem).contains("row 7"));
        assert_eq!(Problem::new("nobody knows this").code(), "internal");
    }
}
