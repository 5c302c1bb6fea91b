//! Restore: what a lost wallet, or one whose copy went on, takes back from the issuer's slots (spec 10.2).
//!
//! Every restore of a programme asks for the same number of buckets of each kind and round, in random order, whichever rounds the
//! wallet was used in: buckets that hold its ids, and others for ids that share one. The issuer learns that somebody restores.

use std::collections::{BTreeMap, BTreeSet};

use annona_protocol::{
    bucket::{Bucket, DirectoryError, ENROLMENTS, SlotBucket, SlotDirectory, SlotKind, StoredSlot},
    credential::Credential,
    group::PublicScalar,
    ids::Round,
    log::leaf::IssuerLeaf,
    programme::Programme,
    recovery::{RecoveryError, RecoveryKeys, serial_spent, swapped},
    voucher::{Mark, Voucher},
    wire::{DecodeError, Message as _},
};
use rand_core::CryptoRng;

use crate::{AgentError, Endpoint, SEALED_MESSAGES, Task, Wallet, WalletError, singles::shuffle};

/// Why nothing was restored. The wallet is unchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// There are no recovery words.
    #[error(transparent)]
    Wallet(#[from] WalletError),
    /// A request was not answered.
    #[error(transparent)]
    Link(#[from] AgentError),
    /// An answer does not decode.
    #[error("the issuer's answer is no message: {0}")]
    Decode(#[from] DecodeError),
    /// The directory is not believed: look-ups would tell whose they are.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A draw's credential was found, and not its vouchers: its batch was closed in between.
    #[error("the log grew meanwhile: try again")]
    Incomplete,
    /// A bucket that holds what does not belong into it.
    #[error("the issuer's bucket is not the one that was asked for: try again later")]
    Bucket,
}

/// What a restore found.
#[derive(Debug, Default)]
pub struct Restored {
    /// Messages of the wallet that the log has.
    pub messages: usize,
    /// Whether a newer credential was taken over.
    pub credential: bool,
    /// Vouchers that were taken over. Some may have been redeemed or handed on: the sites' logs tell.
    pub vouchers: usize,
    /// Slots that could not be used, by round: evidence against whoever keeps the log, or a restore before its batch was whole.
    pub unusable: Vec<(Round, RecoveryError)>,
}

/// A wallet's messages as slots and log have them.
#[derive(Default)]
struct Found {
    /// By round and index.
    credentials: BTreeMap<(Round, u32), Credential>,
    vouchers: Vec<Voucher>,
    spent: Vec<PublicScalar>,
    swapped: BTreeSet<Mark>,
    last: BTreeMap<Round, u32>,
    /// Rounds of draws whose credential was found and whose vouchers were not.
    without_vouchers: Vec<Round>,
    unusable: Vec<(Round, RecoveryError)>,
}

impl Wallet {
    /// Looks the wallet's slots up and takes over what they bring: a credential that is newer than its own, and vouchers that it
    /// neither has nor gave away. `send` asks the issuer, each time on a connection of its own; `log_size` is that of the log that
    /// the last announcement proves.
    ///
    /// # Errors
    /// [`RestoreError`]; the wallet is unchanged then.
    pub fn restore<R: CryptoRng + ?Sized>(
        &mut self,
        programme: &Programme,
        log_size: u64,
        mut send: impl FnMut(Endpoint, &mut R) -> Result<Vec<u8>, AgentError>,
        rng: &mut R,
    ) -> Result<Restored, RestoreError> {
        self.is_of(programme)?;
        let keys = self.recovery_keys().ok_or(WalletError::NoWords)?;
        if self.credential.is_none() && self.outgoing(Task::Credential).is_some() {
            // Its ticket may be used already: only its own answer brings that credential.
            return Err(WalletError::Pending.into());
        }
        let mut directory = SlotDirectory::decode(&send(Endpoint::SlotDirectory, rng)?)?;
        directory.check(log_size)?;
        directory.rounds.retain(|found| found.round == ENROLMENTS || programme.in_force(found.round).is_ok());

        let mut slots = BTreeMap::new();
        for bucket in buckets(&keys, &directory, rng) {
            for slot in whole(&bucket, log_size, &mut send, rng)? {
                slots.insert((bucket.kind, slot.id), slot);
            }
        }
        let rounds: Vec<Round> = directory.rounds.iter().map(|found| found.round).collect();
        let found = Found::open(&keys, programme, &rounds, &slots, rng);
        let kept = |round| directory.depth(SlotKind::Vouchers, round).is_some();
        if found.without_vouchers.iter().any(|round| kept(*round)) {
            return Err(RestoreError::Incomplete);
        }
        // Also those of which no batch is closed.
        let policy = (programme.latest().policy.first_round.0..=programme.latest().last_round.0).map(Round);
        let announced = policy.filter(|round| programme.in_force(*round).is_ok() && !rounds.contains(round));
        let open: Vec<Round> = announced.chain(rounds.iter().copied().filter(|round| kept(*round))).collect();
        Ok(self.adopt(found, &open))
    }

    fn adopt(&mut self, found: Found, open: &[Round]) -> Restored {
        let Found { credentials, vouchers, spent, swapped, last, unusable, .. } = found;
        let is_spent = |credential: &Credential| spent.iter().any(|serial| credential.has_serial(serial));
        let mut restored =
            Restored { messages: last.values().map(|index| *index as usize + 1).sum(), ..Restored::default() };
        // The last of the chain: nothing found spends it. Of several the youngest, as rounds and indices only grow.
        let newest = credentials.into_values().rfind(|credential| !is_spent(credential));
        if let Some(newest) = newest
            && self.credential.as_ref().is_none_or(is_spent)
        {
            // What was under way belongs to a serial that a copy of this wallet spent.
            (self.credential, self.show) = (Some(newest), None);
            // What of the list the copy drew is not known: what is available is.
            self.singles = None;
            restored.credential = true;
        }
        let gone = |mark: &Mark| {
            self.voucher(mark).is_some()
                || self.is_out(mark)
                || self.accepted_marks().any(|accepted| accepted == *mark)
                || self.receipts.iter().any(|receipt| receipt.content.mark == *mark)
                || swapped.contains(mark)
        };
        let fresh: Vec<Voucher> = vouchers.into_iter().filter(|voucher| !gone(&voucher.shown().mark())).collect();
        restored.vouchers = fresh.len();
        self.restored.extend(fresh.iter().map(|voucher| voucher.shown().mark()));
        self.hold(fresh);
        // This wallet's swap without its answer, or a copy's: what it brings is among those above.
        if self.swap.as_ref().is_some_and(|swap| swap.gives_any(&swapped)) {
            self.swap = None;
        }
        self.vouchers.retain(|voucher| !swapped.contains(&voucher.shown().mark()));
        for (round, index) in last {
            self.sealed_before(round, index + 1);
        }
        // Messages of the open batch are in no bucket: none of their ids may come again ([10.2-M6]).
        for round in open.iter().copied().chain(self.credential.is_none().then_some(ENROLMENTS)) {
            self.sealed_before(round, SEALED_MESSAGES);
        }
        self.copied = false;
        restored.unusable = unusable;
        restored
    }
}

/// The buckets to ask for, in random order: of each kind and round as many, whatever the wallet did.
fn buckets<R: CryptoRng + ?Sized>(keys: &RecoveryKeys, directory: &SlotDirectory, rng: &mut R) -> Vec<Bucket> {
    let mut all = Vec::new();
    for round in directory.rounds.iter().map(|found| found.round) {
        for kind in SlotKind::ALL {
            let Some(depth) = directory.depth(kind, round) else { continue };
            let own = (0..SEALED_MESSAGES).map(|index| Bucket::of(kind, round, depth, &keys.id(kind, round, index)));
            let mut chosen: Vec<Bucket> = Vec::new();
            own.for_each(|bucket| {
                if !chosen.contains(&bucket) {
                    chosen.push(bucket)
                }
            });
            let wanted = (SEALED_MESSAGES as usize).min(1 << depth);
            while chosen.len() < wanted {
                let mut id = [0; 32];
                rng.fill_bytes(&mut id);
                let other = Bucket::of(kind, round, depth, &id);
                if !chosen.contains(&other) {
                    chosen.push(other);
                }
            }
            all.extend(chosen);
        }
    }
    shuffle(&mut all, rng);
    all
}

/// All parts of a bucket.
fn whole<R: CryptoRng + ?Sized>(
    bucket: &Bucket,
    log_size: u64,
    send: &mut impl FnMut(Endpoint, &mut R) -> Result<Vec<u8>, AgentError>,
    rng: &mut R,
) -> Result<Vec<StoredSlot>, RestoreError> {
    let mut slots: Vec<StoredSlot> = Vec::new();
    loop {
        let after = slots.last().map(|slot| slot.id);
        let part = SlotBucket::decode(&send(Endpoint::Slots(*bucket, after), rng)?)?;
        if !part.is_of(bucket, after.as_ref()) {
            return Err(RestoreError::Bucket);
        }
        slots.extend(part.slots);
        // Each has a leaf of its own.
        if slots.len() as u64 > log_size {
            return Err(RestoreError::Bucket);
        }
        if !part.more {
            return Ok(slots);
        }
    }
}

/// Whether a slot's message asked for vouchers.
fn draws(slot: &StoredSlot) -> bool {
    matches!(IssuerLeaf::decode(&slot.leaf), Ok(IssuerLeaf::Draw(leaf)) if !leaf.keys.is_empty())
}

impl Found {
    fn open<R: CryptoRng + ?Sized>(
        keys: &RecoveryKeys,
        programme: &Programme,
        rounds: &[Round],
        slots: &BTreeMap<(SlotKind, [u8; 32]), StoredSlot>,
        rng: &mut R,
    ) -> Self {
        let mut found = Self::default();
        for round in rounds {
            for index in 0..SEALED_MESSAGES {
                let slot = |kind| slots.get(&(kind, keys.id(kind, *round, index)));
                let (credential, vouchers) = (slot(SlotKind::Credential), slot(SlotKind::Vouchers));
                for slot in [credential, vouchers].into_iter().flatten() {
                    if let Err(error) = found.take(keys, programme, (*round, index), slot, rng) {
                        found.unusable.push((*round, error));
                    }
                    found.last.insert(*round, index);
                }
                if credential.is_some_and(draws) && vouchers.is_none() {
                    found.without_vouchers.push(*round);
                }
            }
        }
        found
    }

    /// Takes in a slot of either kind: which of the two it is, its key tells.
    fn take<R: CryptoRng + ?Sized>(
        &mut self,
        keys: &RecoveryKeys,
        programme: &Programme,
        (round, index): (Round, u32),
        slot: &StoredSlot,
        rng: &mut R,
    ) -> Result<(), RecoveryError> {
        let leaf = IssuerLeaf::decode(&slot.leaf).map_err(|_| RecoveryError::Invalid)?;
        if let Some(sealed) = keys.open_credential(round, index, &slot.ciphertext) {
            let credential = sealed.complete(programme, &leaf, &slot.answer, rng)?;
            self.credentials.insert((round, index), credential);
        } else if let Some(sealed) = keys.open_vouchers(round, index, &slot.ciphertext) {
            self.vouchers.extend(sealed.complete(programme, &leaf, rng)?);
            self.swapped.extend(swapped(&leaf));
        }
        self.spent.extend(serial_spent(&leaf));
        Ok(())
    }
}
