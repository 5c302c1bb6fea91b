//! What both servers' command lines share.

use std::path::PathBuf;

use annona_node::server::{
    config::{Config, ConfigError, Sources},
    telemetry,
};
use clap::Args;

/// Settings of a server; each flag wins over the environment, and that over the file.
#[derive(Args)]
pub(super) struct Settings {
    /// The settings' file: see samples/issuer.toml and samples/site.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and port to listen on; port 0 lets the system choose.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// A file that the address is written to once the server listens.
    #[arg(long, value_name = "FILE")]
    address_file: Option<PathBuf>,
    /// Any setting, such as limits.queue=100.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
}

fn setting(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("a setting is key=value, such as limits.queue=100")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

impl Settings {
    /// The settings alone.
    pub(super) fn read(&self, load: impl FnOnce(&Sources) -> Result<Config, ConfigError>) -> anyhow::Result<Config> {
        let mut flags = self.set.clone();
        flags.extend(self.listen.iter().map(|address| ("listen.address".to_owned(), address.clone())));
        flags.extend(
            self.address_file.iter().map(|file| ("listen.address_file".to_owned(), file.display().to_string())),
        );
        let environment = std::env::vars_os().collect();
        Ok(load(&Sources { file: self.config.clone(), environment, flags })?)
    }

    /// The settings, and events to standard error from here on.
    pub(super) fn load(&self, load: impl FnOnce(&Sources) -> Result<Config, ConfigError>) -> anyhow::Result<Config> {
        let config = self.read(load)?;
        telemetry::init(config.log.level)?;
        Ok(config)
    }
}
