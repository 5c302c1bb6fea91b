//! Identifiers, amounts and rounds as types of their own.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

macro_rules! bytes {
    ($(#[$doc:meta])* $name:ident[$length:literal]) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
        pub struct $name(pub [u8; $length]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

number!(
    /// A round of distribution, counted from the programme's first.
    Round(u32)
);
number!(
    /// An item or cash line.
    LineId(u16)
);
number!(
    /// A distribution site.
    SiteId(u16)
);
number!(
    /// A share of a site's counters with a spent set of its own.
    Slot(u8)
);
number!(
    /// A ticket lot.
    LotId(u32)
);
number!(
    /// The position of a voucher key in the programme's append-only key list.
    KeyIndex(u32)
);
number!(
    /// An amount of a line, in that line's unit.
    Units(u64)
);

bytes!(
    /// The hash of the genesis manifest.
    ProgrammeId[32]
);
bytes!(
    /// The hash of a manifest header.
    ManifestHash[32]
);
bytes!(
    /// The hash of a ticket code.
    TicketHash[32]
);
bytes!(
    /// A signing session of the issuer.
    SessionId[16]
);
bytes!(
    /// A site's single-use challenge.
    QuoteId[16]
);
bytes!(
    /// A digest of a message or of a part of it.
    Digest[32]
);

impl Round {
    /// The round before, or `None` before round 0.
    pub fn previous(self) -> Option<Self> {
        self.0.checked_sub(1).map(Self)
    }
}

impl Units {
    /// The sum, or `None` on overflow.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }
}
