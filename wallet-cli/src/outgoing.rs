//! What leaves a wallet, and what comes of it.

use annona_protocol::{
    bucket::Bucket,
    group::EncodedPoint,
    ids::{Digest, LineId, Round, SiteId, Units},
    redeem::Outcome,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// What an answer belongs to. One request at a time is out for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// The credential: enrolment, roll-over, draw, refresh, amend.
    Credential,
    /// A swap.
    Swap,
    /// A visit to a site in a round.
    Visit(SiteId, Round),
    /// A collection on the owed slip with this key.
    Collect(EncodedPoint),
}

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// The issuer: a ticket for a credential.
    Enrol,
    /// The issuer: into a round.
    RollOver,
    /// The issuer: commitments for vouchers.
    Session,
    /// The issuer: vouchers, or a refresh.
    Draw,
    /// The issuer: old vouchers for new.
    Swap,
    /// The issuer: a ticket for other attributes.
    Amend,
    /// The issuer: how its sealed slots are cut into buckets; the body is empty.
    SlotDirectory,
    /// The issuer: a bucket, behind this id; the body is empty.
    Slots(Bucket, Option<[u8; 32]>),
    /// A site: a quote; the body is empty.
    Quote(SiteId),
    /// A site: vouchers.
    Redeem(SiteId),
    /// A site: what is owed.
    Collect(SiteId),
}

/// A message to send. The state that it came from must be durable before it goes.
pub struct Outgoing {
    /// Where it goes.
    pub endpoint: Endpoint,
    /// The bytes, the same until they are answered.
    pub body: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Outgoing({:?}, {} bytes)", self.endpoint, self.body.len())
    }
}

/// What an absorbed answer changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The credential is new: enrolled, rolled over, refreshed or amended.
    Credential,
    /// The credential is new, and so are this many vouchers.
    Drawn(usize),
    /// A session stands: the draw or swap is to be sent now.
    Session,
    /// Old vouchers became this many new ones.
    Swapped(usize),
    /// A visit was accepted: receipts are kept, its vouchers are gone.
    Redeemed(Handover),
    /// An owed slip was collected.
    Collected(Handover),
    /// Another counter of the site accepted this before: it alone hands over. Nothing is erased.
    AtAnotherCounter(Handover),
}

/// What a person shows and takes at the counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// The site.
    pub site: SiteId,
    /// The round.
    pub round: Round,
    /// Accepted now, before, or elsewhere.
    pub outcome: Outcome,
    /// What the site calls the visit.
    pub visit: Digest,
    /// What is to be handed over now.
    pub units: Vec<(LineId, Units)>,
    /// What the site owes.
    pub owed: Vec<(LineId, Units)>,
}

/// A refusal as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The stable code; empty if there was none.
    pub code: String,
    /// What the server says, for people.
    pub text: String,
    /// The signed message that explains it.
    pub signed: Option<Vec<u8>>,
}

impl Refusal {
    /// Spent with another request: an earlier attempt may have the answer.
    pub(crate) fn is_conflict(&self) -> bool {
        self.code == "spent"
    }

    /// Whether the same bytes may be answered later.
    pub fn is_transient(&self) -> bool {
        self.signed.is_none() && (matches!(self.status, 408 | 425 | 429 | 502 | 503 | 504) || self.code == "in-flight")
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = if self.text.is_empty() { &self.code } else { &self.text };
        if text.is_empty() { write!(f, "status {}", self.status) } else { f.write_str(text) }
    }
}

/// What to do after a refusal was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// [`crate::Wallet::outgoing`] has something else for the task.
    Send,
    /// The site wants a new quote.
    Quote,
    /// Nothing can be sent: the refusal stands.
    Stop,
}
