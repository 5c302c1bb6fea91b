//! What is sorted across a whole audit, as fixed-size records whose bytes sort as their fields do.

use crate::{
    group::EncodedPoint,
    ids::{KeyIndex, LineId, Round, SiteId, Units},
    log::merkle::TreeHash,
    voucher::Mark,
};

/// Writes big-endian fields one after the other.
struct Writer<const N: usize>([u8; N], usize);

impl<const N: usize> Writer<N> {
    fn new() -> Self {
        Self([0; N], 0)
    }

    fn put(mut self, bytes: &[u8]) -> Self {
        let end = self.1 + bytes.len();
        self.0[self.1..end].copy_from_slice(bytes);
        self.1 = end;
        self
    }
}

/// Reads them back.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self.0.split_first_chunk().expect("records have the size of their fields");
        self.0 = rest;
        *field
    }

    fn mark(&mut self) -> Mark {
        Mark { key: KeyIndex(u32::from_be_bytes(self.take())), holder: EncodedPoint(self.take()) }
    }

    fn at(&mut self) -> u64 {
        u64::from_be_bytes(self.take())
    }
}

/// What must not occur twice in the issuer's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Once {
    /// Which kind of thing: [`Once::SERIAL`] and so on.
    pub(super) kind: u8,
    /// The thing; shorter ones are filled up with zeros.
    pub(super) key: [u8; 32],
    pub(super) at: u64,
}

impl Once {
    pub(super) const SIZE: usize = 41;
    pub(super) const SERIAL: u8 = 0;
    pub(super) const SESSION: u8 = 1;
    pub(super) const TICKET: u8 = 2;

    pub(super) fn to_bytes(self) -> [u8; Self::SIZE] {
        Writer::new().put(&[self.kind]).put(&self.key).put(&self.at.to_be_bytes()).0
    }

    pub(super) fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let mut reader = Reader(bytes);
        let [kind] = reader.take();
        Self { kind, key: reader.take(), at: reader.at() }
    }
}

/// An `e` that the issuer used, and the leaf in which it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IssuedE {
    pub(super) e: [u8; 32],
    pub(super) at: u64,
    /// The leaf's hash, so that the same leaf is read again.
    pub(super) leaf: TreeHash,
}

impl IssuedE {
    pub(super) const SIZE: usize = 72;

    pub(super) fn to_bytes(self) -> [u8; Self::SIZE] {
        Writer::new().put(&self.e).put(&self.at.to_be_bytes()).put(&self.leaf.0).0
    }

    pub(super) fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let mut reader = Reader(bytes);
        Self { e: reader.take(), at: reader.at(), leaf: TreeHash(reader.take()) }
    }
}

/// A voucher that a valid swap gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Swapped {
    pub(super) mark: Mark,
    pub(super) at: u64,
}

impl Swapped {
    pub(super) const SIZE: usize = 44;

    pub(super) fn to_bytes(self) -> [u8; Self::SIZE] {
        Writer::new().put(&self.mark.key.0.to_be_bytes()).put(&self.mark.holder.0).put(&self.at.to_be_bytes()).0
    }

    pub(super) fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let mut reader = Reader(bytes);
        Self { mark: reader.mark(), at: reader.at() }
    }
}

/// What a site's log says of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) mark: Mark,
    /// The log, by its place among those that were read: a site's logs stand together, the oldest first.
    pub(super) log: u32,
    pub(super) number: u32,
    /// A void of the acceptance of this number, rather than the acceptance.
    pub(super) void: bool,
    pub(super) at: u64,
    /// Of an acceptance, whether the voucher verifies: a false one proves nothing. Of a void, whether the holder agreed.
    pub(super) valid: bool,
    /// Whether the leaf stands after its round's statement.
    pub(super) late: bool,
}

impl Seen {
    pub(super) const SIZE: usize = 54;

    pub(super) fn to_bytes(self) -> [u8; Self::SIZE] {
        Writer::new()
            .put(&self.mark.key.0.to_be_bytes())
            .put(&self.mark.holder.0)
            .put(&self.log.to_be_bytes())
            .put(&self.number.to_be_bytes())
            .put(&[u8::from(self.void)])
            .put(&self.at.to_be_bytes())
            .put(&[u8::from(self.valid) | u8::from(self.late) << 1])
            .0
    }

    pub(super) fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let mut reader = Reader(bytes);
        let mark = reader.mark();
        let (log, number) = (u32::from_be_bytes(reader.take()), u32::from_be_bytes(reader.take()));
        let [void] = reader.take();
        let at = reader.at();
        let [flags] = reader.take();
        Self { mark, log, number, void: void != 0, at, valid: flags & 1 != 0, late: flags & 2 != 0 }
    }
}

/// What a site's log says of an owed slip. Sorts by slip: first what is owed, then voids, then collections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SlipRecord {
    pub(super) site: SiteId,
    pub(super) holder: EncodedPoint,
    pub(super) log: u32,
    pub(super) at: u64,
    pub(super) what: SlipEvent,
}

/// The kinds of [`SlipRecord`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlipEvent {
    /// A slip is written; `sound` if its leaf is well formed.
    Owed { round: Round, sound: bool },
    /// A line of it, counted from 1.
    Line { part: u16, line: LineId, units: Units },
    /// It is voided.
    Void,
    /// It is collected, with the holder's proof; `late` after the round's statement.
    Collected { round: Round, late: bool, proof: [u8; 64] },
}

impl SlipRecord {
    pub(super) const SIZE: usize = 118;

    pub(super) fn to_bytes(self) -> [u8; Self::SIZE] {
        let (kind, part): (u8, u16) = match self.what {
            SlipEvent::Owed { .. } => (0, 0),
            SlipEvent::Line { part, .. } => (0, part),
            SlipEvent::Void => (1, 0),
            SlipEvent::Collected { .. } => (2, 0),
        };
        let record = Writer::new()
            .put(&self.site.0.to_be_bytes())
            .put(&self.holder.0)
            .put(&[kind])
            .put(&self.log.to_be_bytes())
            .put(&self.at.to_be_bytes())
            .put(&part.to_be_bytes());
        match self.what {
            SlipEvent::Owed { round, sound } => record.put(&round.0.to_be_bytes()).put(&[u8::from(sound)]),
            SlipEvent::Line { line, units, .. } => record.put(&line.0.to_be_bytes()).put(&units.0.to_be_bytes()),
            SlipEvent::Void => record,
            SlipEvent::Collected { round, late, proof } => {
                record.put(&round.0.to_be_bytes()).put(&[u8::from(late)]).put(&proof)
            }
        }
        .0
    }

    pub(super) fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let mut reader = Reader(bytes);
        let (site, holder) = (SiteId(u16::from_be_bytes(reader.take())), EncodedPoint(reader.take()));
        let [kind] = reader.take();
        let (log, at) = (u32::from_be_bytes(reader.take()), reader.at());
        let part = u16::from_be_bytes(reader.take());
        let mut round = || Round(u32::from_be_bytes(reader.take()));
        let what = match (kind, part) {
            (0, 0) => {
                let round = round();
                let [sound] = reader.take();
                SlipEvent::Owed { round, sound: sound != 0 }
            }
            (0, part) => {
                let line = LineId(u16::from_be_bytes(reader.take()));
                SlipEvent::Line { part, line, units: Units(u64::from_be_bytes(reader.take())) }
            }
            (1, _) => SlipEvent::Void,
            _ => {
                let round = round();
                let [late] = reader.take();
                SlipEvent::Collected { round, late: late != 0, proof: reader.take() }
            }
        };
        Self { site, holder, log, at, what }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mark() -> impl Strategy<Value = Mark> {
        any::<(u32, [u8; 32])>().prop_map(|(key, holder)| Mark { key: KeyIndex(key), holder: EncodedPoint(holder) })
    }

    fn slip_event() -> impl Strategy<Value = SlipEvent> {
        prop_oneof![
            any::<(u32, bool)>().prop_map(|(round, sound)| SlipEvent::Owed { round: Round(round), sound }),
            (1u16.., any::<u16>(), any::<u64>()).prop_map(|(part, line, units)| SlipEvent::Line {
                part,
                line: LineId(line),
                units: Units(units)
            }),
            Just(SlipEvent::Void),
            (any::<u32>(), any::<bool>(), prop::array::uniform32(any::<u16>())).prop_map(|(round, late, half)| {
                let mut proof = [0; 64];
                proof.chunks_exact_mut(2).zip(half).for_each(|(to, from)| to.copy_from_slice(&from.to_be_bytes()));
                SlipEvent::Collected { round: Round(round), late, proof }
            }),
        ]
    }

    proptest! {
        #[test]
        fn records_come_back(
            kind: u8, key: [u8; 32], at: u64, hash: [u8; 32], mark in mark(), flags: [bool; 3], log: u32, number: u32, site: u16,
            what in slip_event(),
        ) {
            let once = Once { kind, key, at };
            prop_assert_eq!(Once::from_bytes(&once.to_bytes()), once);
            let e = IssuedE { e: key, at, leaf: TreeHash(hash) };
            prop_assert_eq!(IssuedE::from_bytes(&e.to_bytes()), e);
            let swapped = Swapped { mark, at };
            prop_assert_eq!(Swapped::from_bytes(&swapped.to_bytes()), swapped);
            let seen = Seen { mark, log, number, void: flags[0], at, valid: flags[1], late: flags[2] };
            prop_assert_eq!(Seen::from_bytes(&seen.to_bytes()), seen);
            let slip = SlipRecord { site: SiteId(site), holder: mark.holder, log, at, what };
            prop_assert_eq!(SlipRecord::from_bytes(&slip.to_bytes()), slip);
        }

        /// The bytes sort as the fields do.
        #[test]
        fn records_sort_by_their_fields(left in (mark(), any::<(u32, u32, bool, u64)>()), right in (mark(), any::<(u32, u32, bool, u64)>())) {
            let seen = |(mark, (log, number, void, at)): (Mark, (u32, u32, bool, u64))| {
                Seen { mark, log, number, void, at, valid: true, late: false }.to_bytes()
            };
            prop_assert_eq!(seen(left).cmp(&seen(right)), left.cmp(&right));
        }
    }
}
