//! `annona-node site counter`: counters without a network between them, by a memory stick.

use std::path::PathBuf;

use annona_node::{
    service::site::SiteService,
    sync::desk::{Desk, DeskError},
};
use annona_protocol::ids::Slot;
use clap::{Args, Subcommand};

use super::{rest_was_done, say, say_json, site::Opened};

#[derive(Subcommand)]
pub(super) enum Command {
    /// At the main counter: admits another counter, which takes the vouchers of these slots. Its admission goes onto the stick.
    Admit {
        /// The other counter's slots.
        #[arg(long = "for-slot", required = true, value_name = "SLOT")]
        slots: Vec<u8>,
        #[command(flatten)]
        stick: Stick,
        #[command(flatten)]
        opened: Opened,
    },
    /// At another counter: takes up its admission from the stick. Give --slot with every command of this counter.
    Become {
        #[command(flatten)]
        stick: Stick,
        #[command(flatten)]
        opened: Opened,
    },
    /// At another counter: puts what was accepted onto the stick, for the main counter. Do it before the main counter closes.
    HandOver {
        #[command(flatten)]
        stick: Stick,
        #[command(flatten)]
        opened: Opened,
    },
    /// At the main counter: takes in what counters put onto the stick, and confirms it there.
    TakeIn {
        #[command(flatten)]
        stick: Stick,
        #[command(flatten)]
        opened: Opened,
    },
    /// At another counter: reads from the stick what the main counter has confirmed.
    HandedIn {
        #[command(flatten)]
        stick: Stick,
        #[command(flatten)]
        opened: Opened,
    },
    /// At another counter: ends the round, once everything was handed in.
    EndRound {
        #[command(flatten)]
        opened: Opened,
    },
    /// At the main counter: no longer waits for a counter, for example because it broke. What it still brings is logged late.
    Dismiss {
        /// The counter's slots.
        #[arg(long = "for-slot", required = true, value_name = "SLOT")]
        slots: Vec<u8>,
        #[command(flatten)]
        opened: Opened,
    },
    /// At the main counter: the other counters, and who has handed over since the last batch.
    List {
        /// For programs.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        opened: Opened,
    },
}

/// The stick between counters.
#[derive(Args)]
pub(super) struct Stick {
    /// The memory stick's folder.
    #[arg(long, value_name = "FOLDER")]
    usb: PathBuf,
}

impl Stick {
    fn desk(&self, site: &SiteService) -> Result<Desk, DeskError> {
        Desk::new(&self.usb, site.programme().id(), site.site())
    }
}

pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Admit { slots, stick, opened } => {
            let site = opened.open()?;
            let slots: Vec<Slot> = slots.iter().copied().map(Slot).collect();
            stick.desk(&site)?.put_admission(&slots, &site.admit_counter(slots.clone())?)?;
            say("the admission is on the stick: run `site counter become` at the other counter")
        }
        Command::Become { stick, opened } => {
            let site = opened.open()?;
            stick.desk(&site)?.admission(&opened.slots(), |admission| site.become_counter(admission))?;
            say("this is a counter now: what it accepts goes to the main counter")
        }
        Command::HandOver { stick, opened } => {
            let site = opened.open()?;
            // The stick first: nothing is closed for one that is not there.
            let desk = stick.desk(&site)?;
            let packages = site.hand_over()?;
            desk.put_packages(&opened.slots(), &packages)?;
            say(format!("{} packages are on the stick: run `site counter take-in` at the main counter", packages.len()))
        }
        Command::TakeIn { stick, opened } => {
            let site = opened.open()?;
            let found = stick.desk(&site)?.take_in(&site)?;
            for taken in &found.taken {
                let late = if taken.late { ", LATE: its receipts promised an earlier batch" } else { "" };
                say(format!("{} leaves taken in{late}", taken.leaves))?;
                for mark in &taken.doubled {
                    say(format!(
                        "TWICE: another counter gave goods for voucher {} of key {} before; its first receipt counts",
                        hex::encode(&mark.holder.0[..8]),
                        mark.key.0
                    ))?;
                }
            }
            rest_was_done(&found.refused)?;
            say("the stick is in step: run `site counter handed-in` at the other counters")
        }
        Command::HandedIn { stick, opened } => {
            let site = opened.open()?;
            let found = stick.desk(&site)?.handed_in(&site)?;
            rest_was_done(&found.refused)?;
            say(format!("{} packages are confirmed", found.confirmed))?;
            match site.unconfirmed()? {
                0 => Ok(()),
                left => say(format!("{left} are not yet: run `site counter hand-over` again")),
            }
        }
        Command::EndRound { opened } => {
            opened.open()?.end_counter_round()?;
            say("the round is over at this counter")
        }
        Command::Dismiss { slots, opened } => {
            opened.open()?.dismiss_counter(slots.iter().copied().map(Slot).collect())?;
            say("dismissed: batches are closed without it")
        }
        Command::List { json, opened } => {
            let counters = opened.open()?.counters()?;
            if *json {
                return say_json(&counters);
            }
            for counter in &counters {
                let slots: Vec<String> = counter.slots.iter().map(u8::to_string).collect();
                let state = if counter.handed_over { "handed over" } else { "has to hand over" };
                say(format!("slot {:<8} {state}", slots.join(",")))?;
            }
            Ok(())
        }
    }
}
