//! `annona-audit`: verifies everything that a programme published, and witnesses its logs.
#![forbid(unsafe_code)]

use std::process::ExitCode;

mod cli;

fn main() -> ExitCode {
    cli::run()
}
