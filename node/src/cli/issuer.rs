//! `annona-node issuer`: from a programme's file to running rounds.

use std::path::{Path, PathBuf};

use annona_node::{
    authoring::Draft,
    caseload::import::{Cases, Mapping},
    home::IssuerHome,
    keys::Passphrase,
    officers::Proposal,
    publisher::{Announcer, Publisher, export_issuer},
    random,
    runner::{Node, witnesses},
    server::Config,
    service::issuer::{Grant, IssuerService, LostSums, LotPlan},
    slips::{self, AmendSlips, SlipSheet},
    sync::{
        Mirror,
        headquarters::{Headquarters as _, Local, Remote},
        stick::{Carried, Stick},
    },
    tickets::PreparedLot,
};
use annona_protocol::{
    ids::{LotId, ProgrammeId, Round},
    programme::{Announcement, TicketKind},
    signature::PublicKey,
    wire::Message as _,
};
use annona_transport::{Client, Options, Server};
use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::{
    NewSecret, Secret, operators, programme, public_key, read, read_text, rest_was_done, round, say, say_json,
    serve::Settings, write,
};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Makes the issuer's keys from a programme's file and proposes its first version to the officers.
    Init {
        /// The programme's file: see samples/food-and-cash.toml.
        file: PathBuf,
        #[command(flatten)]
        home: Home,
        #[command(flatten)]
        secret: NewSecret,
    },
    /// Takes what enough officers have signed: a manifest version or a ticket lot. Copies with different signatures are joined.
    Approve {
        /// The signed proposal, in one or more copies.
        #[arg(required = true)]
        proposals: Vec<PathBuf>,
        #[command(flatten)]
        opened: Opened,
    },
    /// Runs the issuer's server until it is told to stop.
    Serve {
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        opened: Opened,
    },
    /// Carries a memory stick's files: takes in the logs that sites put on it, and puts announcement, opening packs and cosigned
    /// checkpoints on it.
    Sync {
        /// The stick's folder.
        #[arg(long, value_name = "FOLDER")]
        usb: PathBuf,
        /// The address of the issuer's running server; without it the store is opened here.
        #[arg(long, value_name = "URL")]
        running: Option<String>,
        /// The programme's id, where the server is asked.
        #[arg(long, value_parser = programme, value_name = "HEX", requires = "running")]
        programme: Option<ProgrammeId>,
        /// The key of the server's log, 64 hexadecimal digits; not needed on this machine.
        #[arg(long, value_parser = public_key, value_name = "HEX", requires = "running")]
        server_key: Option<PublicKey>,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        opened: Opened,
    },
    /// Who may do what through the running server.
    #[command(subcommand)]
    Operators(operators::Command<Opened>),
    /// Writes what anyone may audit: the published log, keys, packs, the announcement, and the sites' logs that were received.
    Export {
        /// The folder.
        folder: PathBuf,
        #[command(flatten)]
        opened: Opened,
    },
    /// Ticket lots.
    #[command(subcommand)]
    Tickets(Tickets),
    /// Prepares a round: makes its voucher keys and proposes the version that lists them.
    Prepare {
        /// The round.
        #[arg(value_parser = round)]
        round: Round,
        /// The programme's file, if it was edited.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// scrypt's cost for the new key file, as a power of two.
        #[arg(long, value_name = "LOG2", default_value_t = annona_node::keys::WORK_FACTOR)]
        work_factor: u8,
        #[command(flatten)]
        opened: Opened,
    },
    /// Puts the newest version in force for a round: draws begin.
    Open {
        /// The round.
        #[arg(value_parser = round)]
        round: Round,
        #[command(flatten)]
        opened: Opened,
    },
    /// Freezes a round: swaps end, opening packs for the sites are fixed.
    Freeze {
        /// The round.
        #[arg(value_parser = round)]
        round: Round,
        /// Opens the cohorts that are left, after the freeze of the programme's last round.
        #[arg(long)]
        closing: bool,
        /// Leaves cohorts unopened whose sums were lost, as after a restore from a backup. The audit says so for ever.
        #[arg(long)]
        leave_lost_cohorts: bool,
        #[command(flatten)]
        opened: Opened,
    },
    /// Closes a round: draws end, its keys are erased.
    Close {
        /// The round.
        #[arg(value_parser = round)]
        round: Round,
        #[command(flatten)]
        opened: Opened,
    },
    /// Closes the batch of what waits for the log.
    CloseBatch {
        #[command(flatten)]
        opened: Opened,
    },
    /// Writes the newest manifest version for the officers.
    Manifest {
        /// The file to write.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
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
    /// Copies the store to a file. Running sums stay out: a restored issuer cannot open the cohorts that were waiting.
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

#[derive(Subcommand)]
pub(super) enum Tickets {
    /// Erases files of slips, once they are printed: case and code stand in no other place. On flash memory old blocks may stay.
    Forget {
        /// The files that `import` wrote: CSV or PDF.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Reads a caseload, makes a ticket for each case, writes the slips for the printer, and proposes the lot to the officers.
    Import {
        /// The agency's export: CSV or XLSX.
        caseload: PathBuf,
        /// The lot, as the programme's file numbers it.
        #[arg(long)]
        lot: u32,
        /// Which column holds what: field=column, fields being case_id, site, expires, the programme's attributes, and for splits
        /// after: the case that has to be amended first.
        #[arg(long, value_name = "FIELD=COLUMN")]
        map: Vec<String>,
        /// One expiry for all cases.
        #[arg(long, value_name = "ROUND", value_parser = round)]
        expires: Option<Round>,
        /// The slips, for the printer: case and code, in a file that nothing else has. Erase it after printing.
        #[arg(long, value_name = "FILE")]
        slips: PathBuf,
        /// The same slips as a PDF, to print and cut.
        #[arg(long, value_name = "FILE")]
        print: Option<PathBuf>,
        /// The issuer's address, to be printed into the slips' codes.
        #[arg(long, value_name = "URL")]
        server: Option<String>,
        /// For a lot of splits: the CSV of slips of the lot of amends that reduce the households which the new ones leave. Each
        /// ticket becomes valid when the amend of the case in the column `after` has been made.
        #[arg(long, value_name = "FILE")]
        after: Option<PathBuf>,
        /// For a lot of splits that reduce no household, such as new arrivals: valid at once.
        #[arg(long, conflicts_with = "after")]
        independent: bool,
        /// The proposal to write.
        #[arg(long, value_name = "FILE")]
        proposal: PathBuf,
        #[command(flatten)]
        opened: Opened,
    },
}

/// The issuer's folder.
#[derive(Args)]
pub(super) struct Home {
    /// The issuer's folder.
    #[arg(long, value_name = "FOLDER")]
    home: PathBuf,
}

/// The issuer's folder, opened.
#[derive(Args)]
pub(super) struct Opened {
    #[command(flatten)]
    home: Home,
    /// The folder of the second medium, if the issuer keeps one.
    #[arg(long, value_name = "FOLDER")]
    second_medium: Option<PathBuf>,
    #[command(flatten)]
    secret: Secret,
}

impl Opened {
    fn open(&self) -> anyhow::Result<(IssuerHome, IssuerService)> {
        self.open_under(&self.secret.ask()?)
    }

    /// With a passphrase that the command needs again: a pipe gives it once.
    fn open_under(&self, passphrase: &Passphrase) -> anyhow::Result<(IssuerHome, IssuerService)> {
        let home = IssuerHome::new(&self.home.home);
        let service = home.open(passphrase, self.second_medium.as_deref())?;
        Ok((home, service))
    }
}

fn draft(path: &Path) -> anyhow::Result<Draft> {
    Ok(Draft::parse(&read_text(path)?, &path.display().to_string())?)
}

/// Writes a proposal below the issuer's folder, and says where.
fn propose(home: &IssuerHome, name: &str, proposal: &Proposal) -> anyhow::Result<()> {
    let path = home.path().join(format!("proposals/{name}.proposal"));
    write(&path, &proposal.to_bytes())?;
    say(path.display())
}

/// Joins the signatures of all copies.
fn joined(paths: &[PathBuf], before: Option<&annona_protocol::programme::Header>) -> anyhow::Result<Proposal> {
    let mut proposals = paths.iter().map(|path| Ok::<_, anyhow::Error>(Proposal::from_bytes(&read(path)?)?));
    let mut first = proposals.next().context("no proposal was given")??;
    for other in proposals {
        first.merge(&other?, before)?;
    }
    Ok(first)
}

pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Init { file, home, secret } => {
            let home = IssuerHome::new(&home.home);
            let proposal = home.init(&draft(file)?, &secret.secret.ask_new()?, secret.work_factor)?;
            propose(&home, "version-0", &proposal)
        }
        Command::Approve { proposals, opened } => approve(proposals, opened),
        Command::Serve { settings, opened } => {
            let config = settings.load(Config::issuer)?;
            let passphrase = opened.secret.ask()?;
            let home = IssuerHome::new(&opened.home.home);
            let service = home.open(&passphrase, opened.second_medium.as_deref())?;
            Ok(Node::issuer(home, service, passphrase, &config)?.run_until_signal()?)
        }
        Command::Sync { usb, running: Some(url), programme, server_key, .. } => {
            let server = Server { url: url.clone(), key: *server_key };
            let remote = Remote(Client::new(server, &Options::default())?);
            let id = programme.context("give --programme with --running")?;
            let announcement = remote.announcement()?.context("headquarters announce nothing")?;
            let known = Announcement::decode(&announcement)?.verify(id)?;
            carried(&Stick::new(usb, id)?.at_headquarters(&remote, &known)?)
        }
        Command::Sync { usb, running: None, settings, opened, .. } => {
            let config = settings.read(Config::issuer)?;
            let (home, service) = opened.open()?;
            let service = std::sync::Arc::new(service);
            let witnesses = witnesses(&*service, &config.publish.witnesses)?;
            Publisher::new(std::sync::Arc::clone(&service), home.published()).publish(&witnesses)?;
            let announcer = Announcer::new(std::sync::Arc::clone(&service));
            let local = Local::new(&service, &announcer, Mirror::open(&home.received())?, witnesses);
            let known = service.with_programme(Clone::clone);
            carried(&Stick::new(usb, known.id())?.at_headquarters(&local, &known)?)
        }
        Command::Operators(command) => command.run(command.opened().open()?.1.store()),
        Command::Export { folder, opened } => {
            let (home, service) = opened.open()?;
            let service = std::sync::Arc::new(service);
            let size = export_issuer(&service, &home.received(), folder)?;
            write(&folder.join("announcement.bin"), &Announcer::new(service).announcement()?)?;
            say(format!("{}: the log up to {size} leaves", folder.display()))
        }
        Command::Tickets(Tickets::Forget { files }) => {
            slips::forget(files)?;
            say(format!("{} files are erased", files.len()))
        }
        Command::Tickets(import) => import_tickets(import),
        Command::Prepare { round, file, work_factor, opened } => {
            let passphrase = opened.secret.ask()?;
            let (home, service) = opened.open_under(&passphrase)?;
            let draft = file.as_deref().map(draft).transpose()?;
            let proposal = home.prepare_round(&service, *round, draft.as_ref(), &passphrase, *work_factor)?;
            propose(&home, &format!("round-{round}"), &proposal)
        }
        Command::Open { round, opened } => {
            let passphrase = opened.secret.ask()?;
            let (home, service) = opened.open_under(&passphrase)?;
            home.open_round(&service, *round, &passphrase)?;
            say(format!("round {round} is open"))
        }
        Command::Freeze { round, closing: true, opened, .. } => {
            let count = opened.open()?.1.closing_freeze(*round)?;
            say(format!("{count} cohorts were opened"))
        }
        Command::Freeze { round, closing: false, leave_lost_cohorts, opened } => {
            let lost = if *leave_lost_cohorts { LostSums::Leave } else { LostSums::Refuse };
            let packs = opened.open()?.1.freeze_with(*round, lost)?;
            say(format!("round {round} is frozen: {} opening packs", packs.len()))
        }
        Command::Close { round, opened } => {
            let (home, service) = opened.open()?;
            home.close_round(&service, *round)?;
            say(format!("round {round} is closed, and its keys are erased"))
        }
        Command::CloseBatch { opened } => {
            let count = opened.open()?.1.close_batch()?;
            say(format!("{count} leaves went into the log"))
        }
        Command::Manifest { out, opened } => {
            let (_, service) = opened.open()?;
            write(out, &service.newest_version()?)
        }
        Command::Status { json, opened } => {
            let status = opened.open()?.1.status()?;
            if *json {
                return say_json(&status);
            }
            say(format!("programme   {}", status.programme))?;
            say(format!("version     {}", status.version))?;
            for (round, state) in &status.rounds {
                say(format!("round {round:<5} {state}"))?;
            }
            say(format!(
                "log         {} leaves in {} batches, {} wait",
                status.log_size, status.batches, status.pending
            ))?;
            say(format!("tickets     {} unused, {} used", status.tickets.0, status.tickets.1))
        }
        Command::Backup { target, opened } => {
            opened.open()?.1.store().backup(target)?;
            say(target.display())
        }
        Command::Check { opened } => {
            opened.open()?.1.store().check()?;
            say("every page of the store is as it should be")
        }
        Command::DetachMedium { home, secret } => {
            // Only who has the passphrase decides it.
            let _key = IssuerHome::new(&home.home).secrets(&secret.ask()?)?;
            let had = annona_node::store::Store::detach_medium(&home.home, annona_node::store::Role::Issuer)?;
            say(if had { "the store has no second medium any more: prepare another" } else { "the store had none" })
        }
        Command::Recover { home, second_medium } => {
            annona_node::store::Store::recover(&home.home, annona_node::store::Role::Issuer, second_medium)?;
            say("the store was made anew from its copy")
        }
    }
}

/// What came off a stick; what was refused is an error, with the rest done.
fn carried(carried: &Carried) -> anyhow::Result<()> {
    for received in &carried.taken {
        let waits = if received.waits { ", and waits for what is before it" } else { "" };
        say(format!("{}: {} leaves{waits}", received.log, received.size))?;
    }
    rest_was_done(&carried.refused)?;
    say("the stick is in step")
}

fn approve(paths: &[PathBuf], opened: &Opened) -> anyhow::Result<()> {
    let home = IssuerHome::new(&opened.home.home);
    if home.is_begun() {
        let (_, service) = opened.open()?;
        let latest = service.with_programme(|programme| programme.latest().clone());
        IssuerHome::approve(&service, joined(paths, Some(&latest))?)?;
        return say("approved");
    }
    let id = home.begin(joined(paths, None)?, &opened.secret.ask()?)?;
    say(format!("the programme begins: {id}"))
}

fn import_tickets(import: &Tickets) -> anyhow::Result<()> {
    let Tickets::Import { caseload, lot, map, expires, slips, print, server, after, independent, proposal, opened } =
        import
    else {
        return Ok(());
    };
    let (_, service) = opened.open()?;
    let header = service.with_programme(|programme| programme.latest().clone());
    let terms = header.lot(LotId(*lot)).with_context(|| format!("the programme's file names no lot {lot}"))?;
    let mut mapping = Mapping::parse(map, *expires, &header.schema)?;
    let is_split = terms.kind == TicketKind::Split;
    anyhow::ensure!(
        is_split || (after.is_none() && !independent),
        "lot {lot} is of no splits: leave --after and --independent out"
    );
    anyhow::ensure!(
        !is_split || after.is_some() || *independent,
        "lot {lot} is of splits: give --after with the CSV of the amends' slips, or --independent if no household is reduced"
    );
    anyhow::ensure!(
        after.is_some() || !mapping.has_after(),
        "a column is mapped to `after`: give --after with the amends' slips"
    );
    let amends = after.as_deref().map(|path| AmendSlips::read(path, header.programme_id())).transpose()?;
    if amends.is_some() {
        mapping = mapping.with_after();
    }
    let cases = Cases::open(caseload, &mapping, &header, terms)?;
    for column in cases.ignored_columns() {
        say(format!("column {column:?} is not used"))?;
    }
    let first = amends.map_or(Ok(Vec::new()), |amends| cases.after(|case| amends.ticket(case)))?;
    service.check_amends(&first)?;
    let (identities, rows) = cases.into_parts();
    let prepared = PreparedLot::new(header.programme_id(), &header.schema, terms, rows, &mut random::os())?;
    let sheet = SlipSheet::new(&header, terms.kind, server.as_deref())?;
    // The slips first: tickets whose slips could not be written are nobody's.
    sheet.write_csv(slips, &identities, prepared.codes())?;
    if let Some(print) = print {
        sheet.write_pdf(print, &identities, prepared.codes())?;
    }
    let plan = LotPlan { lot: prepared.lot(), count: prepared.count(), root: prepared.root() };
    let grants = prepared.grants().zip(prepared.order());
    let grants = grants.map(|(grant, row)| Grant { grant, after: first.get(row).copied() });
    service.import_lot(&plan, grants, &mut random::os())?;
    write(proposal, &prepared.proposal().to_bytes())?;
    say(format!("{} tickets; let the officers sign {}", plan.count, proposal.display()))
}
