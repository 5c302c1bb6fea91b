//! Settings of the servers: a TOML file, over it the environment, over that the command line.
//!
//! Strict: a key that nobody knows is refused with its place and the known ones, and every number has bounds. A setting `key` of
//! `[section]` is `ANNONA_SECTION_KEY` in the environment.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use annona_protocol::{bucket::LEAST_MINIMUM, ids::Slot};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::service::site::SiteOptions;

/// All settings of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where it listens.
    pub listen: Listen,
    /// How much it takes on.
    pub limits: Limits,
    /// How fast requests may come.
    pub rates: Rates,
    /// What it writes to its log of events.
    pub log: Log,
    /// How it publishes its log.
    pub publish: Publish,
    /// A site's counters; an issuer has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<SiteSection>,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// Address and port; port 0 lets the system choose.
    pub address: SocketAddr,
    /// TLS 1.3 under the party's log key. Needed outside loopback.
    pub tls: bool,
    /// A file that the bound address is written to; empty for none.
    pub address_file: PathBuf,
}

/// How much a server takes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Open connections.
    pub connections: u32,
    /// Open connections of one address; 0 for no limit.
    pub peer_connections: u32,
    /// Requests that are worked on at once; 0 for eight times the number of cores: most of them wait for the disk, and those that
    /// wait together are stored together.
    pub workers: u32,
    /// Requests that wait for a worker.
    pub queue: u32,
    /// How long a request waits for a worker, in seconds.
    pub queue_seconds: u32,
    /// How long a TLS handshake may take, in seconds.
    pub handshake_seconds: u32,
    /// How long the head of a request may take to arrive, and how long a connection may be idle, in seconds.
    pub head_seconds: u32,
    /// How long the body of a request may take to arrive, in seconds.
    pub body_seconds: u32,
    /// How long a connection is kept, in seconds.
    pub connection_seconds: u32,
    /// How long requests may take to end once the server is told to stop, in seconds.
    pub shutdown_seconds: u32,
}

/// How fast requests may come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rates {
    /// Requests a second of everybody together; 0 for no limit.
    pub per_second: u32,
    /// Requests of everybody that may come at once.
    pub burst: u32,
    /// Requests a second of one address; 0 for no limit.
    pub peer_per_second: u32,
    /// Requests of one address that may come at once.
    pub peer_burst: u32,
}

/// How a server publishes its log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Publish {
    /// Where witnesses take checkpoints: submission prefixes by the names that the manifest gives them.
    pub witnesses: BTreeMap<String, String>,
    /// How often it is tried again without being woken, in seconds.
    pub every_seconds: u32,
    /// An issuer closes its batch by itself, at such a moment, once this many leaves wait. Sites close theirs by an officer.
    pub batch_min: u32,
    /// An issuer gives sealed slots out in buckets of at least so many, on average. Sites have none.
    pub bucket_min: u32,
}

/// What a server writes to its log of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The least important events that are written.
    pub level: Level,
}

/// How important an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing can go on without a person.
    Error,
    /// Something failed.
    Warn,
    /// Start, stop, rounds and batches.
    Info,
}

/// A site's counters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SiteSection {
    /// The slots that this server owns, where the site has slots.
    pub slots: Vec<u8>,
    /// A batch closes at this many leaves, or with its round.
    pub batch_min: u32,
}

impl Default for Listen {
    fn default() -> Self {
        Self { address: SocketAddr::from(([127, 0, 0, 1], 8440)), tls: false, address_file: PathBuf::new() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            peer_connections: 64,
            workers: 0,
            queue: 256,
            queue_seconds: 10,
            handshake_seconds: 10,
            head_seconds: 10,
            body_seconds: 20,
            connection_seconds: 300,
            shutdown_seconds: 20,
        }
    }
}

impl Default for Rates {
    fn default() -> Self {
        Self { per_second: 1000, burst: 2000, peer_per_second: 200, peer_burst: 1000 }
    }
}

impl Default for Publish {
    fn default() -> Self {
        Self { witnesses: BTreeMap::new(), every_seconds: 60, batch_min: 50, bucket_min: 32 }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: Level::Info }
    }
}

impl Default for SiteSection {
    fn default() -> Self {
        let SiteOptions { slots, batch_min } = SiteOptions::default();
        Self {
            slots: slots.into_iter().map(|slot| slot.0).collect(),
            batch_min: u32::try_from(batch_min).unwrap_or(u32::MAX),
        }
    }
}

/// Where settings are taken from, the last winning.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// A TOML file.
    pub file: Option<PathBuf>,
    /// Variables of the environment; those that are not named after a section are not looked at.
    pub environment: Vec<(OsString, OsString)>,
    /// The command line's: a dotted key such as `listen.address`, and its value.
    pub flags: Vec<(String, String)>,
}

/// Why settings are refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}. Check the path and its permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file does not parse, or has a key or value that is not known.
    #[error("{}: {source}Correct the file; samples/ has one with every key", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Line, and what is known there.
        source: Box<toml::de::Error>,
    },
    /// A variable or flag that names no setting.
    #[error("{place} names no setting. Known are: {known}")]
    Unknown {
        /// The variable or flag.
        place: String,
        /// All settings.
        known: String,
    },
    /// A value of another type, or one that is not allowed.
    #[error("{place} has a value that does not fit: {source}Correct it")]
    Value {
        /// The variable or flag.
        place: String,
        /// What is expected.
        source: Box<toml::de::Error>,
    },
    /// A number out of bounds.
    #[error("{key} is {value}, and has to be from {min} to {max}. Correct it")]
    Bounds {
        /// The setting.
        key: &'static str,
        /// Its value.
        value: u32,
        /// The least.
        min: u32,
        /// The most.
        max: u32,
    },
    /// A site's setting for an issuer.
    #[error("[site] is for sites, and this is an issuer. Take the section out")]
    NotSite,
    /// Plain HTTP where others can read it.
    #[error(
        "{address} is not a loopback address, and without TLS everybody on the way could read and change requests. Set tls = true, \
         or listen on 127.0.0.1"
    )]
    Plain {
        /// The address.
        address: SocketAddr,
    },
}

impl Config {
    /// An issuer's settings.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn issuer(sources: &Sources) -> Result<Self, ConfigError> {
        let config = Self::load(sources, &Self::issuer_defaults())?;
        if config.site.is_some() { Err(ConfigError::NotSite) } else { Ok(config) }
    }

    /// A site's settings.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn site(sources: &Sources) -> Result<Self, ConfigError> {
        let mut config = Self::load(sources, &Self::site_defaults())?;
        config.site.get_or_insert_default();
        Ok(config)
    }

    /// What an issuer does if nothing is set.
    pub fn issuer_defaults() -> Self {
        Self::default()
    }

    /// What a site does if nothing is set.
    pub fn site_defaults() -> Self {
        let listen = Listen { address: SocketAddr::from(([127, 0, 0, 1], 8441)), ..Listen::default() };
        Self { listen, site: Some(SiteSection::default()), ..Self::default() }
    }

    /// How a site's service is set up.
    pub fn site_options(&self) -> SiteOptions {
        let site = self.site.clone().unwrap_or_default();
        SiteOptions { slots: site.slots.into_iter().map(Slot).collect(), batch_min: site.batch_min.into() }
    }

    fn load(sources: &Sources, defaults: &Self) -> Result<Self, ConfigError> {
        let mut table = Table::try_from(defaults).expect("settings are TOML");
        if let Some(path) = &sources.file {
            let text =
                std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.clone(), source })?;
            merge(&mut table, parse(path, &text)?);
        }
        for (name, value) in &sources.environment {
            let Some((name, value)) = name.to_str().zip(value.to_str()) else { continue };
            if let Some(key) = variable_key(&table, name)? {
                overlay(&mut table, name, &key, value)?;
            }
        }
        for (key, value) in &sources.flags {
            let (section, name) = key.split_once('.').unwrap_or((key, ""));
            overlay(&mut table, key, &(section.to_owned(), name.to_owned()), value)?;
        }
        let config: Self = table
            .try_into()
            .map_err(|source| ConfigError::Value { place: "a setting".into(), source: Box::new(source) })?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        const DAY: u32 = 24 * 60 * 60;
        let Limits {
            connections,
            peer_connections,
            workers,
            queue,
            queue_seconds,
            handshake_seconds,
            head_seconds,
            body_seconds,
            connection_seconds,
            shutdown_seconds,
        } = self.limits;
        let Rates { per_second, burst, peer_per_second, peer_burst } = self.rates;
        let Publish { every_seconds, batch_min, bucket_min, .. } = self.publish;
        let bounds = [
            ("limits.connections", connections, 1, 100_000),
            ("limits.peer_connections", peer_connections, 0, 100_000),
            ("limits.workers", workers, 0, 1024),
            ("limits.queue", queue, 0, 100_000),
            ("limits.queue_seconds", queue_seconds, 1, 600),
            ("limits.handshake_seconds", handshake_seconds, 1, 600),
            ("limits.head_seconds", head_seconds, 1, 600),
            ("limits.body_seconds", body_seconds, 1, 600),
            ("limits.connection_seconds", connection_seconds, 1, DAY),
            ("limits.shutdown_seconds", shutdown_seconds, 1, 600),
            ("publish.every_seconds", every_seconds, 1, DAY),
            ("publish.batch_min", batch_min, 1, 1_000_000),
            ("publish.bucket_min", bucket_min, LEAST_MINIMUM, 1024),
            ("rates.per_second", per_second, 0, 1_000_000),
            ("rates.burst", burst, 1, 1_000_000),
            ("rates.peer_per_second", peer_per_second, 0, 1_000_000),
            ("rates.peer_burst", peer_burst, 1, 1_000_000),
            ("site.batch_min", self.site.as_ref().map_or(1, |site| site.batch_min), 1, 1_000_000),
        ];
        for (key, value, min, max) in bounds {
            if !(min..=max).contains(&value) {
                return Err(ConfigError::Bounds { key, value, min, max });
            }
        }
        let address = self.listen.address;
        if !self.listen.tls && !address.ip().is_loopback() {
            return Err(ConfigError::Plain { address });
        }
        Ok(())
    }
}

/// Parses a file by itself first: its errors name line and column.
fn parse(path: &Path, text: &str) -> Result<Table, ConfigError> {
    let named = |source| ConfigError::File { path: path.to_owned(), source: Box::new(source) };
    toml::from_str::<Config>(text).map_err(named)?;
    toml::from_str(text).map_err(named)
}

fn merge(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

/// Section and name of the setting that a variable sets; `None` for a variable that is not named after a section.
fn variable_key(table: &Table, variable: &str) -> Result<Option<(String, String)>, ConfigError> {
    let Some(rest) = variable.strip_prefix("ANNONA_") else { return Ok(None) };
    let rest = rest.to_lowercase();
    let section = table.keys().find_map(|section| {
        let name = rest.strip_prefix(section.as_str())?.strip_prefix('_')?;
        Some((section.clone(), name.to_owned()))
    });
    match section {
        Some(key) if is_known(table, &key) => Ok(Some(key)),
        Some(_) => Err(unknown(table, variable)),
        None => Ok(None),
    }
}

fn is_known(table: &Table, (section, name): &(String, String)) -> bool {
    table.get(section).and_then(Value::as_table).is_some_and(|section| section.contains_key(name))
}

fn unknown(table: &Table, place: &str) -> ConfigError {
    let keys = table.iter().filter_map(|(section, values)| Some((section, values.as_table()?)));
    let known: Vec<String> =
        keys.flat_map(|(section, values)| values.keys().map(move |name| format!("{section}.{name}"))).collect();
    ConfigError::Unknown { place: place.to_owned(), known: known.join(", ") }
}

/// Sets one value, read as the type that the setting has.
fn overlay(table: &mut Table, place: &str, key: &(String, String), text: &str) -> Result<(), ConfigError> {
    if !is_known(table, key) {
        return Err(unknown(table, place));
    }
    let (section, name) = key;
    let old = &table[section][name];
    let value = match old {
        Value::String(_) => Value::String(text.to_owned()),
        Value::Array(_) => toml_value(place, &format!("[{text}]"))?,
        Value::Table(_) => toml_value(place, &format!("{{ {text} }}"))?,
        _ => toml_value(place, text)?,
    };
    // By itself first, so that an error can say where the value came from.
    let alone = Table::from_iter([(section.clone(), Value::Table(Table::from_iter([(name.clone(), value.clone())])))]);
    alone
        .try_into::<Config>()
        .map_err(|source| ConfigError::Value { place: place.to_owned(), source: Box::new(source) })?;
    if let Some(Value::Table(section)) = table.get_mut(section) {
        section.insert(name.clone(), value);
    }
    Ok(())
}

fn toml_value(place: &str, text: &str) -> Result<Value, ConfigError> {
    let parsed: Result<Table, _> = toml::from_str(&format!("value = {text}"));
    let mut parsed =
        parsed.map_err(|source| ConfigError::Value { place: place.to_owned(), source: Box::new(source) })?;
    Ok(parsed.remove("value").expect("the text says `value =`"))
}

#[cfg(test)]
mod tests;
