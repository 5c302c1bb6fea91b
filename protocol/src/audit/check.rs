//! Every audit check: its stable code, its number in the specification, what it means.

use std::fmt;

macro_rules! checks {
    ($($name:ident $number:literal $code:literal $meaning:literal)*) => {
        /// What an audit checks. Codes and numbers are stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Check {
            $(#[doc = $meaning] $name,)*
        }

        impl Check {
            /// All checks, by number.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The stable code, for programs and complaint desks.
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code),* }
            }

            /// The section of `spec/protocol.md`.
            pub fn number(self) -> &'static str {
                match self { $(Self::$name => $number),* }
            }

            /// What a finding means, in one sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning),* }
            }
        }
    };
}

checks! {
    LogUnknown "9.1.1" "log-unknown" "The manifest names no such log of this party, or the log is published twice."
    LogMissing "9.1.2" "log-missing" "A log that the manifest names, of a site with keys in an opened round, is not published."
    CheckpointInvalid "9.1.3" "checkpoint-invalid" "The checkpoint is not one of this log, signed by the key that the manifest names."
    CheckpointWitnesses "9.1.4" "checkpoint-witnesses" "Fewer witnesses than the manifest asks for have cosigned the checkpoint."
    LogSize "9.1.5" "log-size" "The log has more or fewer entries than its checkpoint says."
    LogRoot "9.1.6" "log-root" "The entries do not hash to the checkpoint's root."
    LeafMalformed "9.1.7" "leaf-malformed" "An entry is not the canonical encoding of a leaf of this kind of log."
    BatchUnsorted "9.1.8" "batch-unsorted" "The leaves of a batch are not in strictly ascending order of their hashes."
    BatchHeader "9.1.9" "batch-header" "A batch header does not continue the log: number, range, or a round that goes back."
    BatchMissing "9.1.10" "batch-missing" "An event leaf is in no batch."
    GenesisInvalid "9.2.1" "genesis-invalid" "The issuer's log does not begin with the genesis whose hash is the programme id."
    ManifestInvalid "9.2.2" "manifest-invalid" "A manifest version breaks the rules or does not follow the version before it."
    ManifestSignatures "9.2.3" "manifest-signatures" "Too few valid officers' signatures on a manifest version."
    KeyList "9.2.4" "key-list" "The published voucher keys are not the list whose root a manifest version names."
    LotInvalid "9.2.5" "lot-invalid" "A ticket lot is not in the manifest, or was approved before."
    LotSignatures "9.2.6" "lot-signatures" "Too few valid officers' signatures on a ticket lot."
    OpenInvalid "9.2.7" "open-invalid" "A round is opened twice, under an unknown version, or is not planned."
    FreezeInvalid "9.2.8" "freeze-invalid" "A round is frozen before it opens, twice, after its close, or under another version."
    CloseInvalid "9.2.9" "close-invalid" "A round is closed before it opens or is frozen, or twice."
    RoundNotOpen "9.2.10" "round-not-open" "A leaf of a round stands before the round's opening leaf, or there is none."
    RoundClosed "9.2.11" "round-closed" "A leaf of a round stands after the round's close."
    SwapAfterFreeze "9.2.12" "swap-after-freeze" "A swap stands after the freeze of its round."
    PackMissing "9.2.13" "pack-missing" "An opening pack is not published, or the freeze fixes none for a site with keys in the round."
    PackInvalid "9.2.14" "pack-invalid" "An opening pack has a bad signature, another place, or is not of this log."
    PackDiffers "9.2.15" "pack-differs" "The issuer signed an opening pack other than the one that the freeze fixes."
    PackSwapped "9.2.16" "pack-swapped" "An opening pack does not list exactly the site's swapped vouchers."
    TicketOutsideLot "9.3.1" "ticket-outside-lot" "A used ticket is not of an approved lot."
    TicketKind "9.3.2" "ticket-kind" "A ticket was used for something else than its lot is for."
    TicketReused "9.3.3" "ticket-reused" "A ticket was used twice."
    EnrolmentInvalid "9.3.4" "enrolment-invalid" "The proofs of an enrolment do not hold, or its expiry is out of range."
    RollOverInvalid "9.3.5" "roll-over-invalid" "The proofs of a roll-over do not hold."
    DrawInvalid "9.3.6" "draw-invalid" "The proofs of a draw do not hold, or its keys are not the round's."
    AmendInvalid "9.3.7" "amend-invalid" "The proofs of an amend do not hold, or its expiry is out of range."
    SwapInvalid "9.3.8" "swap-invalid" "The old vouchers or the holder proof of a swap do not hold."
    SwapNotConserved "9.3.9" "swap-not-conserved" "A swap does not keep line, value, round and count."
    SerialReused "9.3.10" "serial-reused" "A credential's serial was spent twice."
    SessionReused "9.3.11" "session-reused" "A signing session was answered twice."
    EReused "9.3.12" "e-reused" "One `e` was issued with two commitments: their holder can combine them."
    RollOversPastEnrolled "9.3.13" "roll-overs-past-enrolled" "More credentials rolled over into a round than were live."
    DoubleSwap "9.3.14" "double-swap" "A voucher was swapped twice."
    OpeningRange "9.4.1" "opening-range" "A cohort opening does not continue where the class's last one ended."
    OpeningCount "9.4.2" "opening-count" "A cohort opening names another count than the log has members in its range."
    CohortTooSmall "9.4.3" "cohort-too-small" "A cohort smaller than the manifest allows was opened."
    OpeningInvalid "9.4.4" "opening-invalid" "The proof of a cohort opening does not hold for the sum of its members."
    OpeningBeyondSchema "9.4.5" "opening-beyond-schema" "An opened sum exceeds what as many households can have by the manifest."
    ClassUnopened "9.4.6" "class-unopened" "A freeze leaves a class unopened that has enough members."
    DrawnPastGranted "9.4.7" "drawn-past-granted" "More was drawn of a line than was granted."
    VoucherUnknownKey "9.5.1" "voucher-unknown-key" "A redeemed voucher's key is not listed by the version in force for its round."
    VoucherElsewhere "9.5.2" "voucher-elsewhere" "A redeemed voucher is bound to another site."
    LeafRound "9.5.3" "leaf-round" "A leaf is of another round than its batch."
    VoucherInvalid "9.5.4" "voucher-invalid" "A redeemed voucher's signature does not hold: nobody issued it."
    DoubleRedemption "9.5.5" "double-redemption" "A voucher was accepted twice without a void."
    AcceptanceNumber "9.5.6" "acceptance-number" "The acceptances of a voucher are not numbered one by one."
    VoidUnmatched "9.5.7" "void-unmatched" "A void cancels no acceptance, or one that was voided before."
    VoidInvalid "9.5.8" "void-invalid" "The holder's proof of a void does not hold."
    OwedInvalid "9.5.9" "owed-invalid" "An owed slip is malformed, or its holder key occurs twice."
    OwedPastRedeemed "9.5.10" "owed-past-redeemed" "A site owes more of a line than was redeemed there in the round."
    CollectedUnmatched "9.5.11" "collected-unmatched" "A collection has no owed slip, or the slip was collected before or voided."
    CollectedInvalid "9.5.12" "collected-invalid" "The holder's proof of a collection does not hold, or it precedes the slip."
    OwedVoidUnmatched "9.5.13" "owed-void-unmatched" "A voided owed slip does not exist, or was voided before."
    AfterStatement "9.5.14" "after-statement" "A leaf of a round stands after the round's statement."
    StatementInvalid "9.5.15" "statement-invalid" "A round statement has a bad signature or another place."
    StatementPosition "9.5.16" "statement-position" "A round statement names another size or root than the log before it."
    StatementTotals "9.5.17" "statement-totals" "A round statement's totals are not those of the log before it."
    StatementRepeated "9.5.18" "statement-repeated" "A site stated a round twice."
    SwappedAndRedeemed "9.6.1" "swapped-and-redeemed" "A voucher was redeemed although it had been swapped for another."
    MintedPastDraws "9.6.2" "minted-past-draws" "More valid vouchers of a key exist than were drawn: the issuer signed some outside the log."
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_and_numbers_are_distinct_and_documented() {
        let codes: HashSet<_> = Check::ALL.iter().map(|check| check.code()).collect();
        let numbers: HashSet<_> = Check::ALL.iter().map(|check| check.number()).collect();
        assert_eq!((codes.len(), numbers.len()), (Check::ALL.len(), Check::ALL.len()));
        let table = include_str!("mod.rs");
        for check in Check::ALL {
            let row = format!("//! | {} | `{}` | {} |", check.number(), check.code(), check.meaning());
            assert!(table.contains(&row), "{row}");
        }
        let rows = table.lines().filter(|line| line.starts_with("//! | 9.")).count();
        assert_eq!(rows, Check::ALL.len());
    }
}
