//! `annona-node`: the issuer's and the sites' program.
#![forbid(unsafe_code)]

mod cli;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;

fn main() -> ExitCode {
    match cli::run(&cli::Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to tell if even this cannot be written.
            drop(writeln!(io::stderr(), "annona-node: {}", cli::told(&error)));
            // 75: the same again later may do.
            ExitCode::from(if cli::is_transient(&error) { 75 } else { 2 })
        }
    }
}
