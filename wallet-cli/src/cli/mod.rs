//! The command line: what is asked for, in whose words it is answered, and how the program ends.
//!
//! Exit status: 0 done; 1 refused; 2 not understood, or cannot be done; 75 try again later. Secrets never come as arguments.

mod amend;
mod backup;
mod card;
mod check;
mod collect;
mod crowd;
mod desk;
mod draw;
mod enrol;
mod files;
mod gift;
mod holder;
mod names;
mod new;
mod pace;
mod pin;
mod print;
mod problem;
mod receipts;
mod received;
mod redeem;
mod report;
mod restore;
mod resume;
mod screen;
mod show;
mod site;
mod swap;
mod ticket;
mod words;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};
use desk::Desk;
#[cfg(test)]
pub(crate) use problem::CODES;
use problem::Problem;
use report::Report;

use crate::words::Language;

/// A household's wallet: what you may collect, and the way to it.
///
/// Exit status: 0 done, 1 refused, 2 not understood or impossible, 75 try again later.
#[derive(Parser)]
#[command(name = "annona-wallet", version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Args)]
pub(crate) struct Global {
    /// The wallet's file; without it the variable ANNONA_WALLET names the file.
    #[arg(long, global = true, value_name = "FILE")]
    wallet: Option<PathBuf>,
    /// A SOCKS5 proxy for all traffic, such as Tor's 127.0.0.1:9050; `new` remembers it, `none` goes without.
    #[arg(long, global = true, value_name = "HOST:PORT")]
    proxy: Option<String>,
    /// For programs: one JSON object with stable codes; see spec/wallet.md.
    #[arg(long, global = true)]
    json: bool,
    /// The language to answer in: en, fr, ar or uk.
    #[arg(long, global = true, value_name = "LANGUAGE", value_parser = language)]
    language: Option<Language>,
    /// Reads the PIN or passphrase from this open file descriptor; without it from ANNONA_PASSPHRASE, or from the terminal.
    #[arg(long, global = true, value_name = "N")]
    passphrase_fd: Option<u32>,
    /// How often a message is sent before the program gives up.
    #[arg(long, global = true, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100))]
    tries: u32,
}

#[derive(Subcommand)]
enum Command {
    /// Makes a wallet: an empty, encrypted file.
    New(new::New),
    /// Takes a lost wallet back with its recovery words, or takes over what a copy of the wallet did.
    Restore(restore::Restore),
    /// Recovery words: shows them, or makes them.
    Words(words::Words),
    /// Uses a ticket: its text comes from --ticket-fd, from standard input, or from the terminal.
    Enrol(enrol::Enrol),
    /// Draws vouchers for what is due in this round.
    ///
    /// The issuer's public log shows which vouchers were drawn together, and a household of a rare size can be known by that. In one draw
    /// of everything, which is the default, you are among the households that are due exactly the same: one message, little traffic.
    /// With --uniform every draw is of one voucher, of the same value for large and small households: a draw then tells nothing of its
    /// household. That helps where many draw so, and spread over a time with --within: at once, the server sees one address draw so many
    /// vouchers in a row.
    Draw(draw::Draw),
    /// What can be collected, where and until when; needs no network.
    Show(show::Show),
    /// Gives vouchers to a site for goods or cash.
    Redeem(redeem::Redeem),
    /// Says that the goods of a visit came, or with --not that they never did.
    Received(received::Received),
    /// Prints vouchers as a sheet of square codes, for whoever has no telephone.
    Print(print::Print),
    /// Reads a printed sheet back, a code a line from standard input: once all were read the vouchers are erased here.
    ReadBack(print::ReadBack),
    /// Gives vouchers to another wallet: whoever reads the codes can redeem them.
    Give(gift::Give),
    /// Takes vouchers from another wallet or from paper, a code a line from standard input.
    Take(gift::Take),
    /// Takes back what was packed for paper, a card or another wallet, and was not used.
    Unpack(gift::Unpack),
    /// Storage cards.
    #[command(subcommand)]
    Card(card::Command),
    /// Collects what a site still owes.
    Collect(collect::Collect),
    /// Exchanges vouchers for the same of another site, or for fresh ones if somebody saw them.
    Swap(swap::Swap),
    /// Takes over a change of the household from an amend ticket, which comes as with `enrol`.
    Amend(amend::Amend),
    /// Am I safe? Reads the public logs: the programme, its witnesses, receipts kept or broken, the crowd that a visit hides in.
    Check(check::Check),
    /// What was redeemed.
    #[command(name = "receipts", args_conflicts_with_subcommands = true)]
    Kept {
        #[command(flatten)]
        list: receipts::Receipts,
        #[command(subcommand)]
        then: Option<Verify>,
    },
    /// Goes on with everything that was not answered.
    Resume,
    /// Addresses of sites.
    #[command(subcommand)]
    Site(site::Command),
    /// Changes the PIN or passphrase.
    Pin(pin::Pin),
    /// Writes an encrypted copy under the same PIN to a new file.
    Backup(backup::Backup),
    /// Prints a shell's completions.
    Completions(files::Completions),
    /// Writes the manual's pages into a folder.
    Man(files::Man),
}

#[derive(Subcommand)]
enum Verify {
    /// Holds receipts against the public logs: each is proven to be kept, or convicts its site. The same as `check`.
    Verify(check::Check),
}

/// Runs a command and says what came of it.
pub(crate) fn run(arguments: Arguments) -> ExitCode {
    let Arguments { global, command } = arguments;
    let mut desk = Desk::new(global);
    let done = match command {
        Command::New(command) => command.run(&mut desk),
        Command::Restore(command) => command.run(&mut desk),
        Command::Words(command) => command.run(&mut desk),
        Command::Enrol(command) => command.run(&mut desk),
        Command::Draw(command) => command.run(&mut desk),
        Command::Show(command) => command.run(&mut desk),
        Command::Redeem(command) => command.run(&mut desk),
        Command::Received(command) => command.run(&mut desk),
        Command::Print(command) => command.run(&mut desk),
        Command::ReadBack(command) => command.run(&mut desk),
        Command::Give(command) => command.run(&mut desk),
        Command::Take(command) => command.run(&mut desk),
        Command::Unpack(command) => command.run(&mut desk),
        Command::Card(command) => command.run(&mut desk),
        Command::Collect(command) => command.run(&mut desk),
        Command::Swap(command) => command.run(&mut desk),
        Command::Amend(command) => command.run(&mut desk),
        Command::Check(command) => command.run(&mut desk),
        Command::Kept { list, then: None } => list.run(&mut desk),
        Command::Kept { then: Some(Verify::Verify(command)), .. } => command.run(&mut desk),
        Command::Resume => resume::run(&mut desk),
        Command::Site(command) => command.run(&mut desk),
        Command::Pin(command) => command.run(&mut desk),
        Command::Backup(command) => command.run(&mut desk),
        Command::Completions(command) => return end(command.run()),
        Command::Man(command) => command.run(&desk),
    };
    match done.and_then(|report| Ok((report.exit(), report.print(&desk)?))) {
        Ok((exit, ())) => ExitCode::from(exit),
        Err(problem) => {
            problem.print(&desk);
            ExitCode::from(problem.exit())
        }
    }
}

fn end(written: io::Result<()>) -> ExitCode {
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to tell if even this cannot be written.
            drop(writeln!(io::stderr(), "annona-wallet: {error}"));
            ExitCode::from(2)
        }
    }
}

type Done = Result<Report, Problem>;

fn language(text: &str) -> Result<Language, &'static str> {
    Language::parse(text).ok_or("the languages are en, fr, ar and uk")
}
