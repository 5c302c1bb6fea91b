//! `annona-node site`: a distribution site.

use std::{collections::BTreeMap, path::PathBuf};

use annona_node::{
    home::SiteHome,
    publisher::{Publisher, export_site},
    runner::Node,
    server::Config,
    service::site::{SiteOptions, SiteService},
    store::{Role, Store, prepare_second_medium},
    sync::{
        headquarters::{Headquarters, Remote},
        site::sync,
        stick::Stick,
    },
};
use annona_protocol::{
    ids::{LineId, ProgrammeId, Round, SiteId, Slot, Units},
    log::note::{KeyType, VerifierKey},
};
use annona_transport::{Client, Options, Server};
use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::{
    NewSecret, Secret, counter, desk, operators, programme, read, rest_was_done, round, say, say_json, serve::Settings,
};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Makes the key of a site's log; prints its verifier key, which goes into the programme's file.
    Keygen {
        /// The name of the site's log: a web address without https:// is a good choice, it need not exist.
        #[arg(long)]
        log: String,
        #[command(flatten)]
        home: Home,
        #[command(flatten)]
        secret: NewSecret,
    },
    /// Sets a site up from the programme's announcement.
    Init {
        /// The programme's id, from a source that you trust: 64 hexadecimal digits.
        #[arg(long, value_parser = programme, value_name = "HEX")]
        programme: ProgrammeId,
        /// The announcement, as the issuer exports and serves it.
        #[arg(long, value_name = "FILE")]
        announcement: PathBuf,
        /// The site's number in the manifest.
        #[arg(long)]
        site: u16,
        #[command(flatten)]
        home: Home,
        #[command(flatten)]
        secret: Secret,
    },
    /// Opens a round by its opening pack: a supervisor's act.
    Open {
        /// The opening pack.
        #[arg(required_unless_present = "without_pack")]
        pack: Option<PathBuf>,
        /// Opens a round whose pack did not arrive: its receipts say pending.
        #[arg(long, value_name = "ROUND", value_parser = round, conflicts_with = "pack")]
        without_pack: Option<Round>,
        /// The code that was printed when the last day closed; `none` on the first day.
        #[arg(long, value_name = "CODE")]
        day_code: String,
        #[command(flatten)]
        opened: Opened,
    },
    /// Runs the site's server until it is told to stop.
    Serve {
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        opened: Opened,
    },
    /// Brings the site and headquarters into step: sends the log, takes over announcement, opening packs and cosigned checkpoints.
    /// Opening packs wait in inbox/ of the site's folder for a supervisor.
    Sync {
        /// A memory stick's folder.
        #[arg(long, value_name = "FOLDER", required_unless_present = "server")]
        usb: Option<PathBuf>,
        /// The issuer's address; its key is the manifest's.
        #[arg(long, value_name = "URL", conflicts_with = "usb")]
        server: Option<String>,
        /// For programs.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        opened: Opened,
    },
    /// Who may do what through the running server.
    #[command(subcommand)]
    Operators(operators::Command<Opened>),
    /// Counters of a site with slots that have no network between them.
    #[command(subcommand)]
    Counter(counter::Command),
    /// A counter for telephones without a network: squares from screen to camera, through the running server.
    #[command(subcommand)]
    Desk(desk::Command),
    /// Takes over a newer announcement of the programme.
    Announce {
        /// The announcement.
        announcement: PathBuf,
        #[command(flatten)]
        opened: Opened,
    },
    /// Writes the site's part of what anyone may audit: its published log, and the packs that it was opened with.
    Export {
        /// The folder.
        folder: PathBuf,
        #[command(flatten)]
        opened: Opened,
    },
    /// Sets what is in stock.
    Stock {
        /// line=units, such as 1=500.
        #[arg(required = true, value_name = "LINE=UNITS")]
        stock: Vec<String>,
        #[command(flatten)]
        opened: Opened,
    },
    /// Closes the batch, and prints the day's code.
    CloseBatch {
        /// Closes it though it is smaller than what hides people among each other.
        #[arg(long)]
        insist: bool,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        opened: Opened,
    },
    /// Closes the round with its statement, and prints the day's code.
    CloseRound {
        #[command(flatten)]
        opened: Opened,
    },
    /// Prints the day's code again: after the day was closed through the server.
    DayCode {
        #[command(flatten)]
        opened: Opened,
    },
    /// Tells how things stand.
    Status {
        /// For programs.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        opened: Opened,
    },
    /// Copies the store to a file.
    Backup {
        /// The file to make.
        target: PathBuf,
        #[command(flatten)]
        opened: Opened,
    },
    /// Checks every page of the store.
    Check {
        #[command(flatten)]
        opened: Opened,
    },
    /// Marks a folder as the second medium of this site.
    SecondMedium {
        /// The folder.
        folder: PathBuf,
    },
    /// Forgets a second medium that is lost for good: a supervisor's act. Until another one is given, answers are on one disk only.
    DetachMedium {
        #[command(flatten)]
        home: Home,
        #[command(flatten)]
        secret: Secret,
    },
    /// Makes the store anew from its copy on a second medium.
    Recover {
        #[command(flatten)]
        home: Home,
        /// The second medium.
        #[arg(long, value_name = "FOLDER")]
        second_medium: PathBuf,
    },
}

/// The site's folder.
#[derive(Args)]
pub(super) struct Home {
    /// The site's folder.
    #[arg(long, value_name = "FOLDER")]
    home: PathBuf,
}

/// The site's folder, opened.
#[derive(Args)]
pub(super) struct Opened {
    #[command(flatten)]
    home: Home,
    /// The folder of the second medium, if the site keeps one.
    #[arg(long, value_name = "FOLDER")]
    second_medium: Option<PathBuf>,
    /// The slots that this counter owns, where the site has slots.
    #[arg(long, value_name = "SLOT")]
    slot: Vec<u8>,
    #[command(flatten)]
    secret: Secret,
}

impl Opened {
    pub(super) fn slots(&self) -> Vec<Slot> {
        self.slot.iter().copied().map(Slot).collect()
    }

    pub(super) fn open(&self) -> anyhow::Result<SiteService> {
        self.open_with(SiteOptions { slots: self.slots(), ..SiteOptions::default() })
    }

    fn open_with(&self, options: SiteOptions) -> anyhow::Result<SiteService> {
        Ok(SiteHome::new(&self.home.home).open(&self.secret.ask()?, self.second_medium.as_deref(), options)?)
    }
}

/// A part of the stock: `line=units`.
fn stock_of(text: &str) -> anyhow::Result<(LineId, Units)> {
    let parse = || {
        let (line, units) = text.split_once('=')?;
        Some((LineId(line.parse().ok()?), Units(units.parse().ok()?)))
    };
    parse().with_context(|| format!("{text:?} is not line=units, such as 1=500"))
}

pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Keygen { log, home, secret } => {
            // The name is checked before anything is written.
            VerifierKey::new(log, KeyType::Log, ed25519_dalek::SigningKey::from_bytes(&[1; 32]).verifying_key())?;
            let key = SiteHome::new(&home.home).make_key(&secret.secret.ask_new()?, secret.work_factor)?;
            say(VerifierKey::new(log, KeyType::Log, key.verifying_key())?)
        }
        Command::Init { programme, announcement, site, home, secret } => {
            let folder = SiteHome::new(&home.home);
            let key = folder.key(&secret.ask()?)?;
            SiteService::create(folder.path(), *programme, &read(announcement)?, SiteId(*site), &key)?;
            say(format!("site {site} is set up"))
        }
        Command::Open { pack, without_pack, day_code, opened } => {
            let site = opened.open()?;
            site.store().check_day(Some(day_code.as_str()).filter(|code| *code != "none"))?;
            let round = match (pack, without_pack) {
                (Some(pack), _) => {
                    let wrong = || format!("{} does not open a round here", pack.display());
                    site.open_round(&read(pack)?).with_context(wrong)?
                }
                (None, Some(round)) => {
                    site.open_without_pack(*round)?;
                    *round
                }
                (None, None) => anyhow::bail!("give an opening pack, or --without-pack with a round"),
            };
            say(format!("round {round} is open"))
        }
        Command::Serve { settings, opened } => {
            let config = settings.load(Config::site)?;
            let home = SiteHome::new(&opened.home.home);
            let mut options = config.site_options();
            if !opened.slot.is_empty() {
                options.slots = opened.slots();
            }
            let service = home.open(&opened.secret.ask()?, opened.second_medium.as_deref(), options)?;
            Ok(Node::site(home.published(), service, &config)?.run_until_signal()?)
        }
        Command::Sync { usb, server, json, opened } => {
            let home = SiteHome::new(&opened.home.home);
            let site = std::sync::Arc::new(opened.open()?);
            let known = site.programme();
            let headquarters: Box<dyn Headquarters> = match (usb, server) {
                (Some(usb), _) => Box::new(Stick::new(usb, known.id())?),
                (None, server) => {
                    let url = server.clone().context("give --usb or --server")?;
                    let key = Some(known.latest().issuer_log.key).filter(|_| url.starts_with("https"));
                    Box::new(Remote(Client::new(Server { url, key }, &Options::default())?))
                }
            };
            let publisher = Publisher::new(site, home.published());
            let synced = sync(&publisher, &*headquarters, home.inbox())?;
            if *json {
                say_json(&synced)?;
                return rest_was_done(&synced.refused);
            }
            say(format!("{} leaves went up", synced.sent))?;
            for round in &synced.packs {
                say(format!("the opening pack of round {round} is in inbox/"))?;
            }
            match synced.cosigned {
                Some(size) => say(format!("cosigned up to {size} leaves"))?,
                None => say("nothing is cosigned yet")?,
            }
            rest_was_done(&synced.refused)
        }
        Command::Operators(command) => command.run(command.opened().open()?.store()),
        Command::Counter(command) => counter::run(command),
        Command::Desk(command) => desk::run(command),
        Command::Announce { announcement, opened } => {
            opened.open()?.announce(&read(announcement)?)?;
            say("the site knows the newest version")
        }
        Command::Export { folder, opened } => {
            let size = export_site(&opened.open()?, folder)?;
            say(format!("{}: the log up to {size} leaves", folder.display()))
        }
        Command::Stock { stock, opened } => {
            let stock = stock.iter().map(|text| stock_of(text)).collect::<anyhow::Result<BTreeMap<_, _>>>()?;
            Ok(opened.open()?.set_stock(stock)?)
        }
        Command::CloseBatch { insist, settings, opened } => {
            let options = settings.load(Config::site)?.site_options();
            let site = opened.open_with(SiteOptions { slots: opened.slots(), ..options })?;
            let count = site.close_batch(*insist)?;
            say(format!("{count} leaves went into the log"))?;
            say(site.store().day_code()?)
        }
        Command::CloseRound { opened } => {
            let site = opened.open()?;
            let statement = site.close_round()?;
            say(format!(
                "round {} is closed; the log has {} leaves",
                statement.content.place.round,
                statement.content.size + 1
            ))?;
            say(site.store().day_code()?)
        }
        Command::DayCode { opened } => say(opened.open()?.store().day_code()?),
        Command::Status { json, opened } => {
            let status = opened.open()?.status()?;
            if *json {
                return say_json(&status);
            }
            say(format!("programme   {}", status.programme))?;
            say(format!("site        {}", status.site))?;
            match status.round {
                Some(round) if status.without_pack => say(format!("round       {round}, opened WITHOUT its pack"))?,
                Some(round) => say(format!("round       {round}"))?,
                None => say("round       none is open")?,
            }
            say(format!(
                "log         {} leaves in {} batches, {} wait",
                status.log_size, status.batches, status.pending
            ))?;
            for (line, units) in &status.stock {
                say(format!("stock       line {line}: {units} units"))?;
            }
            Ok(())
        }
        Command::Backup { target, opened } => {
            opened.open()?.store().backup(target)?;
            say(target.display())
        }
        Command::Check { opened } => {
            opened.open()?.store().check()?;
            say("every page of the store is as it should be")
        }
        Command::SecondMedium { folder } => {
            prepare_second_medium(folder)?;
            say("ready: give it as --second-medium with every command of this site")
        }
        Command::DetachMedium { home, secret } => {
            // Only who has the passphrase decides it.
            let _key = SiteHome::new(&home.home).key(&secret.ask()?)?;
            let had = Store::detach_medium(&home.home, Role::Site)?;
            say(if had { "the store has no second medium any more: prepare another" } else { "the store had none" })
        }
        Command::Recover { home, second_medium } => {
            Store::recover(&home.home, Role::Site, second_medium)?;
            say("the store was made anew from its copy")
        }
    }
}
