//! What a wallet's file holds, inside its vault.

use std::collections::BTreeMap;

use annona_protocol::{
    ids::{KeyIndex, ProgrammeId, Round, SiteId},
    secret::SecretBytes,
    signature::PublicKey,
};
use annona_wallet::Wallet;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The first byte of an encoded state.
const FORMAT: u8 = 2;
/// The format without crowds.
const BEFORE_CROWDS: u8 = 1;

/// What a wallet's file holds.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct State {
    /// The language to speak, as a tag.
    pub(crate) language: Option<String>,
    /// The SOCKS5 proxy for all traffic.
    pub(crate) proxy: Option<String>,
    /// What the recovery words stand for, if there are any.
    pub(crate) words: Option<SecretBytes>,
    /// Nothing before a ticket was used.
    pub(crate) membership: Option<Membership>,
    /// What the last check found.
    pub(crate) crowds: Vec<Crowd>,
}

/// What the draws of a round brought of the vouchers that are held for a site, when the issuer's log was last read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Crowd {
    pub(crate) round: Round,
    /// Nothing for vouchers that every site takes.
    pub(crate) site: Option<SiteId>,
    /// Entries that the log had.
    pub(crate) log: u64,
    /// Vouchers that were held, by key.
    pub(crate) held: BTreeMap<KeyIndex, u32>,
    /// How many draws asked for exactly these; nothing once some of them are gone.
    pub(crate) same: Option<u64>,
    /// Draws of several vouchers by what they brought of these, with their number.
    pub(crate) draws: Vec<(BTreeMap<KeyIndex, u32>, u64)>,
    /// How many draws asked for one voucher of these keys and nothing else.
    pub(crate) singly: BTreeMap<KeyIndex, u64>,
}

/// Of each key at most so many as there are in another list.
fn common(keys: &BTreeMap<KeyIndex, u32>, most: &BTreeMap<KeyIndex, u32>) -> BTreeMap<KeyIndex, u32> {
    keys.iter().filter_map(|(key, count)| Some((*key, *most.get(key)?.min(count)))).collect()
}

impl Crowd {
    /// Forgets vouchers that are held no longer, so that the file does not tell what they were.
    fn keep(&mut self, held: &BTreeMap<KeyIndex, u32>) {
        let left = common(&self.held, held);
        if left == self.held {
            return;
        }
        let mut draws = BTreeMap::<_, u64>::new();
        for (brought, count) in &self.draws {
            let brought = common(brought, &left);
            if !brought.is_empty() {
                *draws.entry(brought).or_default() += count;
            }
        }
        self.singly.retain(|key, _| left.contains_key(key));
        (self.held, self.same, self.draws) = (left, None, draws.into_iter().collect());
    }
}

/// A programme that the holder takes part in.
#[derive(Serialize, Deserialize)]
pub(crate) struct Membership {
    pub(crate) programme: ProgrammeId,
    /// The issuer's origin.
    pub(crate) issuer: String,
    /// Its key, as the newest manifest names it.
    pub(crate) issuer_key: PublicKey,
    /// The last announcement that was verified.
    pub(crate) announcement: Vec<u8>,
    /// Origins of sites.
    pub(crate) sites: BTreeMap<SiteId, String>,
    /// Where the holder drew last.
    pub(crate) site: Option<SiteId>,
    /// What [`annona_wallet::Wallet::encode`] gives.
    #[serde(with = "wiped")]
    pub(crate) wallet: Zeroizing<Vec<u8>>,
}

/// Why bytes are not a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StateError {
    /// Another version of the format.
    #[error("the wallet has format {found}: use a newer program")]
    Format { found: u8 },
    /// No state.
    #[error("the wallet does not decode: restore it from a backup")]
    Malformed,
}

impl State {
    /// Forgets what a check found of vouchers that are held no longer. Before every save.
    pub(crate) fn forget_crowds(&mut self) {
        if self.crowds.is_empty() {
            return;
        }
        let membership = self.membership.as_ref();
        let Some(wallet) = membership.and_then(|membership| Wallet::decode(&membership.wallet).ok()) else { return };
        let mut held = BTreeMap::<KeyIndex, u32>::new();
        wallet.vouchers().iter().for_each(|voucher| *held.entry(voucher.key()).or_default() += 1);
        self.crowds.iter_mut().for_each(|crowd| crowd.keep(&held));
        self.crowds.retain(|crowd| !crowd.held.is_empty());
    }

    /// The bytes for the vault. Wiped when dropped.
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        // Of its length from the start: a buffer that grows leaves copies behind.
        let length = postcard::experimental::serialized_size(self).expect("a state can be encoded");
        let mut bytes = Zeroizing::new(vec![0; 1 + length]);
        bytes[0] = FORMAT;
        postcard::to_slice(self, &mut bytes[1..]).expect("the buffer has the length");
        bytes
    }

    /// Reads what [`State::encode`] wrote.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let (&found, body) = bytes.split_first().ok_or(StateError::Malformed)?;
        // An empty list is a zero, and it is the last field.
        let older = (found == BEFORE_CROWDS).then(|| Zeroizing::new([body, &[0]].concat()));
        if found != FORMAT && older.is_none() {
            return Err(StateError::Format { found });
        }
        match postcard::take_from_bytes(older.as_ref().map_or(body, |older| older)) {
            Ok((state, [])) => Ok(state),
            _ => Err(StateError::Malformed),
        }
    }
}

mod wiped {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};
    use zeroize::Zeroizing;

    pub(super) fn serialize<S: Serializer>(bytes: &Zeroizing<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        bytes.as_slice().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<Vec<u8>>, D::Error> {
        Vec::deserialize(deserializer).map(Zeroizing::new)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn state() -> State {
        let membership = Membership {
            programme: ProgrammeId([1; 32]),
            issuer: "https://aid.example.org".into(),
            issuer_key: PublicKey([2; 32]),
            announcement: vec![3; 500],
            sites: BTreeMap::from([(SiteId(1), "https://site.example.org".into())]),
            site: Some(SiteId(1)),
            wallet: Zeroizing::new(vec![4; 300]),
        };
        State {
            language: Some("ar".into()),
            proxy: Some("127.0.0.1:9050".into()),
            words: Some(SecretBytes::new([5; 32])),
            membership: Some(membership),
            crowds: vec![Crowd {
                round: Round(1),
                site: Some(SiteId(1)),
                log: 900,
                held: BTreeMap::from([(KeyIndex(3), 2)]),
                same: Some(30),
                draws: vec![(BTreeMap::from([(KeyIndex(3), 1)]), 40), (BTreeMap::from([(KeyIndex(3), 2)]), 31)],
                singly: BTreeMap::from([(KeyIndex(3), 12)]),
            }],
        }
    }

    /// A file of an earlier build opens, and knows no crowds.
    #[test]
    fn a_state_without_crowds_is_read() {
        let state = State { crowds: Vec::new(), ..state() };
        let bytes = state.encode();
        let older = [&[BEFORE_CROWDS], &bytes[1..bytes.len() - 1]].concat();
        assert_eq!(State::decode(&older).unwrap().encode(), bytes);
        assert_eq!(State::decode(&[&older[..], &[0]].concat()).err(), Some(StateError::Malformed));
    }

    #[test]
    fn what_is_held_no_longer_is_forgotten() {
        let keys = |list: &[(u32, u32)]| -> BTreeMap<KeyIndex, u32> {
            list.iter().map(|(key, count)| (KeyIndex(*key), *count)).collect()
        };
        let whole = Crowd {
            round: Round(1),
            site: None,
            log: 90,
            held: keys(&[(1, 2), (2, 1)]),
            same: Some(4),
            draws: vec![
                (keys(&[(1, 2), (2, 1)]), 5),
                (keys(&[(1, 1), (2, 1)]), 6),
                (keys(&[(1, 1)]), 7),
                (keys(&[(2, 1)]), 8),
            ],
            singly: BTreeMap::from([(KeyIndex(1), 3), (KeyIndex(2), 2)]),
        };
        let kept = |held: &[(u32, u32)]| {
            let mut crowd = whole.clone();
            crowd.keep(&keys(held));
            crowd
        };
        // What came since is nothing to it.
        assert_eq!(kept(&[(1, 3), (2, 1), (3, 1)]), whole);
        let part = kept(&[(1, 1), (3, 1)]);
        assert_eq!((&part.held, part.same, &part.draws), (&keys(&[(1, 1)]), None, &vec![(keys(&[(1, 1)]), 18)]));
        assert_eq!(part.singly, BTreeMap::from([(KeyIndex(1), 3)]));
        let none = kept(&[(3, 1)]);
        assert!(none.held.is_empty() && none.draws.is_empty() && none.singly.is_empty());
    }

    #[test]
    fn a_state_reads_back_and_nothing_else_does() {
        let bytes = state().encode();
        assert_eq!(State::decode(&bytes).unwrap().encode(), bytes);
        assert!(State::decode(&State::default().encode()).unwrap().membership.is_none());
        for cut in 0..bytes.len() {
            assert!(State::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        assert_eq!(State::decode(&[&bytes[..], &[0]].concat()).err(), Some(StateError::Malformed));
        let newer = [&[FORMAT + 1], &bytes[1..]].concat();
        assert_eq!(State::decode(&newer).err(), Some(StateError::Format { found: FORMAT + 1 }));
    }
}
