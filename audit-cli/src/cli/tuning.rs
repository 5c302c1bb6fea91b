//! How a folder is verified: what `verify`, `watch` and `witness cosign` have in common.

use std::{num::NonZeroUsize, path::PathBuf};

use annona_audit::{CacheOptions, Options, VerifyError, default_key};
use clap::Args;

#[derive(Args)]
pub(super) struct Tuning {
    /// How many threads verify. Without it, as many as there are cores.
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// MiB of records that are sorted in memory; what is more goes to temporary files. The chunks that are worked on come on top.
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    memory: u32,
    /// The folder of the temporary files: up to twice 54 bytes a voucher. Without it, the system's.
    #[arg(long, value_name = "FOLDER")]
    temp: Option<PathBuf>,
    /// A folder that remembers which proofs were verified, so that only what is new is verified next time.
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,
    /// The key of the cache, which tells what this auditor wrote there from what others did. Made with mode 0600 if it is not
    /// there. Without it, annona-audit/cache.key in the user's state folder.
    #[arg(long, value_name = "FILE", requires = "cache")]
    cache_key: Option<PathBuf>,
}

impl Tuning {
    pub(super) fn options(&self) -> Result<Options, VerifyError> {
        let mut options = Options::default();
        options.threads = self.threads;
        options.memory = usize::try_from(self.memory).unwrap_or(usize::MAX).saturating_mul(1 << 20);
        options.temp.clone_from(&self.temp);
        if let Some(folder) = self.cache.clone() {
            let key = match &self.cache_key {
                Some(key) => key.clone(),
                None => default_key()?,
            };
            options.cache = Some(CacheOptions { folder, key });
        }
        Ok(options)
    }
}
