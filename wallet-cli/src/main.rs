//! `annona-wallet`: what a household, or a helper at a kiosk, uses.
#![forbid(unsafe_code)]

mod cli;
mod state;
mod words;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    cli::run(cli::Arguments::parse())
}
