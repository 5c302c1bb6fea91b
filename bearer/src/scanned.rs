//! Which codes of a printed sheet were scanned back: what a kiosk waits for before it forgets them.

use zeroize::Zeroizing;

/// The codes of a sheet, and which of them were seen on paper. In memory only: after a crash all are scanned again.
pub struct Scanned {
    codes: Vec<(Zeroizing<String>, bool)>,
    key_slip: Option<(Zeroizing<String>, bool)>,
}

/// One of a sheet's codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Piece {
    /// A voucher, counted from 1 as on the sheet.
    Voucher(usize),
    /// The key slip.
    KeySlip,
}

/// The code is none of the sheet's. Says nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this code is not of the sheet that was printed: scan the sheet that just came out of the printer")]
pub struct NotOfTheSheet;

impl Scanned {
    pub(crate) fn new(codes: impl Iterator<Item = Zeroizing<String>>, key_slip: Option<Zeroizing<String>>) -> Self {
        Self { codes: codes.map(|code| (code, false)).collect(), key_slip: key_slip.map(|code| (code, false)) }
    }

    /// Notes a scanned code, as often as it comes, and says which it is.
    ///
    /// # Errors
    /// [`NotOfTheSheet`]; nothing changes then.
    pub fn add(&mut self, text: &str) -> Result<Piece, NotOfTheSheet> {
        let vouchers = (1..).map(Piece::Voucher).zip(&mut self.codes);
        let all = vouchers.chain(self.key_slip.as_mut().map(|slip| (Piece::KeySlip, slip)));
        let (piece, (_, seen)) = all.into_iter().find(|(_, (code, _))| code.as_str() == text).ok_or(NotOfTheSheet)?;
        *seen = true;
        Ok(piece)
    }

    /// What was not scanned yet.
    pub fn missing(&self) -> Vec<Piece> {
        let vouchers = (1..).map(Piece::Voucher).zip(&self.codes);
        let all = vouchers.chain(self.key_slip.as_ref().map(|slip| (Piece::KeySlip, slip)));
        all.filter(|(_, (_, seen))| !seen).map(|(piece, _)| piece).collect()
    }

    /// Whether all that was printed can be read: only then may its secrets be forgotten.
    pub fn is_complete(&self) -> bool {
        self.missing().is_empty()
    }
}

impl std::fmt::Debug for Scanned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scanned(missing {:?}, redacted)", self.missing())
    }
}
