//! `annona-node officer`: keys of officers, and what they sign. Needs no store: an officer's laptop is enough.

use std::path::PathBuf;

use annona_node::officers::{OfficerKey, Proposal};
use annona_protocol::{
    programme::{Header, SignedHeader},
    wire::Message as _,
};
use clap::Subcommand;

use super::{NewSecret, Secret, read, say, write};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Makes an officer's key; prints the public half, which goes into the programme's file.
    Keygen {
        /// The key file to make.
        key: PathBuf,
        #[command(flatten)]
        secret: NewSecret,
    },
    /// Tells in plain words what a proposal changes, and who signed it.
    Show {
        /// The proposal.
        proposal: PathBuf,
        /// The manifest version before; none for a new programme.
        #[arg(long, value_name = "FILE")]
        before: Option<PathBuf>,
    },
    /// Signs a proposal, after telling what it changes.
    Sign {
        /// The proposal: the signature is added to the file.
        proposal: PathBuf,
        /// The officer's key file.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The manifest version before; none for a new programme.
        #[arg(long, value_name = "FILE")]
        before: Option<PathBuf>,
        #[command(flatten)]
        secret: Secret,
    },
}

fn header(path: Option<&PathBuf>) -> anyhow::Result<Option<Header>> {
    path.map(|path| Ok(SignedHeader::decode(&read(path)?)?.header)).transpose()
}

pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Keygen { key, secret } => {
            let new = OfficerKey::generate(&mut annona_node::random::os());
            new.save(key, &secret.secret.ask_new()?, secret.work_factor)?;
            say(hex::encode(new.public().0))
        }
        Command::Show { proposal, before } => {
            let (proposal, before) = (Proposal::from_bytes(&read(proposal)?)?, header(before.as_ref())?);
            say(proposal.describe(before.as_ref())?)?;
            let (have, need) = proposal.progress(before.as_ref())?;
            say(format!("signed by {have} of {need} officers"))
        }
        Command::Sign { proposal: path, key, before, secret } => {
            let (mut proposal, before) = (Proposal::from_bytes(&read(path)?)?, header(before.as_ref())?);
            say(proposal.describe(before.as_ref())?)?;
            let key = OfficerKey::open(key, &secret.ask()?)?;
            proposal.sign(&key, before.as_ref())?;
            write(path, &proposal.to_bytes())?;
            let (have, need) = proposal.progress(before.as_ref())?;
            say(format!("signed: {have} of {need}"))
        }
    }
}
