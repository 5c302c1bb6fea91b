//! Receipts that are no longer needed.

use annona_protocol::slip::Receipt;

use crate::Wallet;

impl Wallet {
    /// Keeps the receipts that are meant, and gives how many went.
    pub fn retain_receipts(&mut self, keep: impl FnMut(&Receipt) -> bool) -> usize {
        let before = self.receipts.len();
        self.receipts.retain(keep);
        before - self.receipts.len()
    }
}
