//! The operating system's generator, the only one that this program draws from (spec 3.3-M3).

use rand::rngs::SysRng;
use rand_core::UnwrapErr;

/// The generator. A machine without one cannot run this: it panics then rather than go on.
pub fn os() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}
