//! `operators`: who may do what through a running server. The same for issuer and site.

use annona_node::{
    random,
    server::operators::{self, Role},
    store::Store,
};
use clap::Subcommand;

use super::say;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Makes a token, and prints it once.
    Add {
        /// The operator's name.
        name: String,
        /// caseworker, distributor or supervisor: separate sets of rights.
        role: Role,
    },
    /// Lists operators and their roles.
    List,
    /// Takes an operator's token away.
    Revoke {
        /// The operator's name.
        name: String,
    },
}

pub(super) fn run(command: &Command, store: &Store) -> anyhow::Result<()> {
    match command {
        Command::Add { name, role } => {
            let token = operators::add(store, name, *role, &mut random::os())?;
            say(token.expose())
        }
        Command::List => {
            for operator in operators::list(store)? {
                say(format!("{:<12} {}", operator.role, operator.name))?;
            }
            Ok(())
        }
        Command::Revoke { name } => {
            operators::revoke(store, name)?;
            say(format!("{name} has no token any more"))
        }
    }
}
