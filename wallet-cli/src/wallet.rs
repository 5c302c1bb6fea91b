//! The state: everything that a wallet file holds.

use std::collections::{BTreeMap, BTreeSet};

use annona_protocol::{
    credential::Credential,
    ids::ProgrammeId,
    programme::Programme,
    slip::{OwedSlip, Receipt, RefusalCode, RefusalSlip},
    voucher::{Mark, Voucher},
};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    Event, Handover, Next, Outgoing, Parcel, Refusal, Task, WalletError,
    recovery::Recovery,
    show::PendingShow,
    singles::Singles,
    swap::PendingSwap,
    visit::{Accepted, Owed, Visit},
};

/// The first byte of an encoded wallet.
const FORMAT: u8 = 2;
/// The same without the single draws, which stand at the end.
const WITHOUT_SINGLES: u8 = 1;

/// A wallet.
#[derive(Serialize, Deserialize)]
pub struct Wallet {
    pub(crate) programme: ProgrammeId,
    pub(crate) credential: Option<Credential>,
    pub(crate) vouchers: Vec<Voucher>,
    /// What sites said of vouchers that they refused.
    pub(crate) faults: BTreeMap<Mark, RefusalCode>,
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) refusals: Vec<RefusalSlip>,
    pub(crate) show: Option<PendingShow>,
    pub(crate) swap: Option<PendingSwap>,
    pub(crate) visits: Vec<Visit>,
    pub(crate) accepted: Vec<Accepted>,
    pub(crate) owed: Vec<Owed>,
    pub(crate) latest: Option<Handover>,
    pub(crate) parcels: Vec<Parcel>,
    pub(crate) recovery: Option<Recovery>,
    /// A copy: another may have gone on, so slots are asked before anything is shown ([10.2-M2]).
    pub(crate) copied: bool,
    /// Vouchers that a restore brought back and no log has spoken for: they may have been redeemed before.
    pub(crate) restored: BTreeSet<Mark>,
    /// Draws of one voucher each that were asked for.
    pub(crate) singles: Option<Singles>,
}

/// Why bytes are not a wallet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WalletFileError {
    /// Another version of the format.
    #[error("a wallet of format {found}: use a newer program")]
    Format {
        /// The format found.
        found: u8,
    },
    /// Cut off, changed, or no wallet.
    #[error("the wallet does not decode: restore it from a backup")]
    Malformed,
}

impl Wallet {
    /// An empty wallet of a programme.
    pub fn new(programme: ProgrammeId) -> Self {
        Self {
            programme,
            credential: None,
            vouchers: Vec::new(),
            faults: BTreeMap::new(),
            receipts: Vec::new(),
            refusals: Vec::new(),
            show: None,
            swap: None,
            visits: Vec::new(),
            accepted: Vec::new(),
            owed: Vec::new(),
            latest: None,
            parcels: Vec::new(),
            recovery: None,
            copied: false,
            restored: BTreeSet::new(),
            singles: None,
        }
    }

    /// Takes over a credential: a restored backup.
    pub fn with_credential(programme: ProgrammeId, credential: Credential) -> Self {
        Self { credential: Some(credential), ..Self::new(programme) }
    }

    /// The whole state, for an encrypted file. Wiped when dropped.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        // Of its length from the start: a buffer that grows leaves copies behind.
        let length = postcard::experimental::serialized_size(self).expect("a wallet can be encoded");
        let mut bytes = Zeroizing::new(vec![0; 1 + length]);
        bytes[0] = FORMAT;
        postcard::to_slice(self, &mut bytes[1..]).expect("the buffer has the length");
        bytes
    }

    /// The whole state as a backup: whoever takes it up restores before anything is shown, as this wallet goes on.
    pub fn encode_backup(&mut self) -> Zeroizing<Vec<u8>> {
        let before = std::mem::replace(&mut self.copied, self.recovery.is_some());
        let bytes = self.encode();
        self.copied = before;
        bytes
    }

    /// Reads what [`Wallet::encode`] wrote.
    ///
    /// # Errors
    /// [`WalletFileError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, WalletFileError> {
        let (&found, body) = bytes.split_first().ok_or(WalletFileError::Malformed)?;
        let longer;
        let body = match found {
            FORMAT => body,
            WITHOUT_SINGLES => {
                // There are none: one zero more.
                longer = Zeroizing::new([body, &[0]].concat());
                &longer
            }
            _ => return Err(WalletFileError::Format { found }),
        };
        match postcard::take_from_bytes(body) {
            Ok((wallet, [])) => Ok(wallet),
            _ => Err(WalletFileError::Malformed),
        }
    }

    /// The programme.
    pub fn programme(&self) -> ProgrammeId {
        self.programme
    }

    /// The credential, if the wallet has enrolled.
    pub fn credential(&self) -> Option<&Credential> {
        self.credential.as_ref()
    }

    /// Vouchers that were drawn and not redeemed, those at fault included.
    pub fn vouchers(&self) -> &[Voucher] {
        &self.vouchers
    }

    /// What sites said of vouchers that they refused.
    pub fn faults(&self) -> &BTreeMap<Mark, RefusalCode> {
        &self.faults
    }

    /// Receipts of what was redeemed.
    pub fn receipts(&self) -> &[Receipt] {
        &self.receipts
    }

    /// Takes the receipts out.
    pub fn take_receipts(&mut self) -> Vec<Receipt> {
        std::mem::take(&mut self.receipts)
    }

    /// Signed refusals, for the complaint desk.
    pub fn refusals(&self) -> &[RefusalSlip] {
        &self.refusals
    }

    /// Owed slips that are not collected yet.
    pub fn owed(&self) -> impl Iterator<Item = &OwedSlip> {
        self.owed.iter().filter(|owed| !owed.collected).map(|owed| &owed.slip)
    }

    /// The last visit that was accepted: what to show at the counter.
    pub fn latest(&self) -> Option<&Handover> {
        self.latest.as_ref()
    }

    /// Everything that a request is out for, or is to be sent for.
    pub fn tasks(&self) -> Vec<Task> {
        let visits = self.visits.iter().filter_map(Visit::task);
        let collections = self.owed.iter().map(|owed| Task::Collect(owed.slip.content.holder));
        let all = [Task::Credential, Task::Swap].into_iter().chain(visits).chain(collections);
        all.filter(|task| self.outgoing(*task).is_some()).collect()
    }

    /// What is to be sent for a task; nothing if nothing is, or the last request was refused.
    pub fn outgoing(&self, task: Task) -> Option<Outgoing> {
        match task {
            Task::Credential => self.show.as_ref()?.outgoing(),
            Task::Swap => self.swap.as_ref()?.outgoing(),
            Task::Visit(site, round) => Some(self.visit(site, round)?.outgoing()),
            Task::Collect(holder) => self.owed.iter().find(|owed| owed.slip.content.holder == holder)?.outgoing(),
        }
    }

    /// Takes in an answer. Whatever does not verify changes nothing, and the same bytes can be sent again.
    ///
    /// # Errors
    /// [`WalletError`]; the state is unchanged then.
    pub fn absorb<R: CryptoRng + ?Sized>(
        &mut self,
        programme: &Programme,
        task: Task,
        answer: &[u8],
        rng: &mut R,
    ) -> Result<Event, WalletError> {
        self.is_of(programme)?;
        match task {
            Task::Credential => self.absorb_show(programme, answer, rng),
            Task::Swap => self.absorb_swap(programme, answer, rng),
            Task::Visit(site, round) => self.absorb_visit(programme, site, round, answer),
            Task::Collect(holder) => self.absorb_collection(holder, answer),
        }
    }

    /// Takes in a refusal, and says what can be done.
    ///
    /// # Errors
    /// [`WalletError::Word`] if a signed refusal does not hold; the state is unchanged then.
    pub fn refused(&mut self, programme: &Programme, task: Task, refusal: &Refusal) -> Result<Next, WalletError> {
        self.is_of(programme)?;
        match task {
            Task::Credential => self.refuse_show(programme, refusal),
            Task::Swap => self.refuse_swap(refusal),
            Task::Visit(site, round) => self.refuse_visit(programme, site, round, refusal),
            Task::Collect(holder) => self.refuse_collection(programme, holder, refusal),
        }
    }

    pub(crate) fn is_of(&self, programme: &Programme) -> Result<(), WalletError> {
        if programme.id() == self.programme { Ok(()) } else { Err(WalletError::OtherProgramme) }
    }

    /// Takes vouchers in, those that are not held yet.
    pub(crate) fn hold(&mut self, vouchers: Vec<Voucher>) {
        for voucher in vouchers {
            if self.voucher(&voucher.shown().mark()).is_none() {
                self.vouchers.push(voucher);
            }
        }
    }

    /// Marks a wallet as one of several copies: it restores before it shows anything.
    pub fn set_copied(&mut self) {
        self.copied = self.recovery.is_some();
    }

    /// Keeps receipts that are not kept yet.
    pub(crate) fn keep_receipts(&mut self, receipts: Vec<Receipt>) {
        for receipt in receipts {
            if !self.receipts.contains(&receipt) {
                self.receipts.push(receipt);
            }
        }
    }

    /// Whether a voucher is in a request that is not answered yet.
    pub(crate) fn is_busy(&self, mark: &Mark) -> bool {
        self.swap.as_ref().is_some_and(|swap| swap.holds(mark)) || self.visits.iter().any(|visit| visit.holds(mark))
    }
}

impl std::fmt::Debug for Wallet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wallet(redacted)")
    }
}
