//! `operators`: who may do what through a running server. The same for issuer and site.

use annona_node::{
    random,
    server::operators::{self, Role},
    store::Store,
};
use clap::{Args, Subcommand};

use super::say;

/// `O` is how a party's store is opened.
#[derive(Subcommand)]
pub(super) enum Command<O: Args> {
    /// Makes a token, and prints it once.
    Add {
        /// The operator's name.
        name: String,
        /// caseworker, distributor or supervisor: separate sets of rights.
        role: Role,
        #[command(flatten)]
        opened: O,
    },
    /// Lists operators and their roles.
    List {
        #[command(flatten)]
        opened: O,
    },
    /// Takes an operator's token away.
    Revoke {
        /// The operator's name.
        name: String,
        #[command(flatten)]
        opened: O,
    },
}

impl<O: Args> Command<O> {
    pub(super) fn opened(&self) -> &O {
        match self {
            Self::Add { opened, .. } | Self::List { opened } | Self::Revoke { opened, .. } => opened,
        }
    }

    pub(super) fn run(&self, store: &Store) -> anyhow::Result<()> {
        match self {
            Self::Add { name, role, .. } => {
                let token = operators::add(store, name, *role, &mut random::os())?;
                say(token.expose())
            }
            Self::List { .. } => {
                for operator in operators::list(store)? {
                    say(format!("{:<12} {}", operator.role, operator.name))?;
                }
                Ok(())
            }
            Self::Revoke { name, .. } => {
                operators::revoke(store, name)?;
                say(format!("{name} has no token any more"))
            }
        }
    }
}
