//! What an office does before a programme runs: keys, the programme's file, approvals, tickets, servers. All of it by the commands
//! that a real office types.

use std::{
    fs,
    path::{Path, PathBuf},
};

use annona_node::{authoring::SAMPLE, caseload::SiteName};
use annona_protocol::{
    ids::{ProgrammeId, SiteId},
    ticket::TicketCode,
};
use anyhow::Context as _;

use crate::tools::{Passphrase, Running, Tools};

/// The name that the manifest gives the witness.
pub(crate) const WITNESS: &str = "witness.example";
/// Passphrases are random: key files need no more.
const WORK_FACTOR: &str = "8";
/// Two of the officers sign.
const OFFICERS: usize = 3;

/// Folders and passphrases of every party.
pub(crate) struct Parties {
    pub(crate) tools: Tools,
    pub(crate) folder: PathBuf,
    pub(crate) office: Passphrase,
    pub(crate) sites: Vec<(SiteName, Passphrase)>,
    pub(crate) programme: ProgrammeId,
    pub(crate) witness: Running,
    officers: Vec<Passphrase>,
}

impl Parties {
    /// The issuer's folder.
    pub(crate) fn issuer_home(&self) -> PathBuf {
        self.folder.join("issuer")
    }

    /// A site's folder.
    pub(crate) fn site_home(&self, site: SiteId) -> PathBuf {
        self.folder.join(format!("site-{site}"))
    }

    /// Makes keys, programme and genesis, and starts the witness.
    pub(crate) fn found(tools: Tools, folder: &Path, names: &[SiteName]) -> anyhow::Result<Self> {
        let path = |name: &str| text(&folder.join(name));
        fs::create_dir_all(folder)?;
        let officers: Vec<Passphrase> = (0..OFFICERS).map(|_| Passphrase::random()).collect();
        let officer_keys = officers
            .iter()
            .enumerate()
            .map(|(at, passphrase)| {
                let key = path(&format!("officer-{at}.age"));
                tools.node(passphrase, &["officer", "keygen", &key, "--work-factor", WORK_FACTOR])
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let sites: Vec<(SiteName, Passphrase)> =
            names.iter().map(|name| (name.clone(), Passphrase::random())).collect();
        let site_keys = (1u16..)
            .zip(&sites)
            .map(|(id, (_, passphrase))| {
                let (home, log) = (path(&format!("site-{id}")), annona_node::authoring::site_log(SiteId(id)));
                let work = ["--work-factor", WORK_FACTOR];
                tools.node(passphrase, &[&["site", "keygen", "--log", &log, "--home", &home], &work[..]].concat())
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let witness_key = path("witness.key");
        let witness_vkey = tools.audit(&["witness", "keygen", "--key", &witness_key, "--name", WITNESS])?;

        let file = folder.join("programme.toml");
        fs::write(&file, authored(names, &site_keys, &witness_vkey, &officer_keys)?)?;
        let (office, home) = (Passphrase::random(), path("issuer"));
        let proposal =
            tools.node(&office, &["issuer", "init", &text(&file), "--home", &home, "--work-factor", WORK_FACTOR])?;
        let logs = path("logs.txt");
        fs::write(&logs, site_keys.join("\n") + "\n")?;
        let witness = tools.serve_audit(
            &[
                "witness",
                "serve",
                "--key",
                &witness_key,
                "--name",
                WITNESS,
                "--state",
                &path("witness"),
                "--logs",
                &logs,
                "--listen",
                "127.0.0.1:0",
                "--address-file",
                &path("witness.address"),
            ],
            &folder.join("witness.address"),
        )?;
        let mut parties = Self {
            tools,
            folder: folder.to_owned(),
            office,
            sites,
            programme: ProgrammeId::default(),
            witness,
            officers,
        };
        let said = parties.approve(&proposal, None)?;
        let id = said.rsplit(' ').next().context("the programme's id")?;
        parties.programme = parse_id(id)?;
        // The issuer's log is known now.
        let vkey = parties.issuer_vkey()?;
        fs::write(&logs, [site_keys, vec![vkey]].concat().join("\n") + "\n")?;
        Ok(parties)
    }

    /// Runs a command of the issuer's.
    pub(crate) fn issuer(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let home = text(&self.issuer_home());
        self.tools.node(&self.office, &[&["issuer"], arguments, &["--home", &home]].concat())
    }

    /// Runs a command of a site's.
    pub(crate) fn site(&self, site: SiteId, arguments: &[&str]) -> anyhow::Result<String> {
        let home = text(&self.site_home(site));
        let passphrase = &self.sites[usize::from(site.0) - 1].1;
        self.tools.node(passphrase, &[&["site"], arguments, &["--home", &home]].concat())
    }

    /// Two officers read and sign a proposal; the issuer takes it.
    fn approve(&self, proposal: &str, before: Option<&str>) -> anyhow::Result<String> {
        for (at, passphrase) in self.officers.iter().enumerate().take(2) {
            let key = text(&self.folder.join(format!("officer-{at}.age")));
            let mut arguments = vec!["officer", "sign", proposal, "--key", &key];
            arguments.extend(before.iter().flat_map(|before| ["--before", before]));
            self.tools.node(passphrase, &arguments)?;
        }
        self.issuer(&["approve", proposal])
    }

    /// The same for what follows a version.
    pub(crate) fn approve_next(&self, proposal: &str) -> anyhow::Result<()> {
        let before = text(&self.folder.join("before.bin"));
        self.issuer(&["manifest", "--out", &before])?;
        self.approve(proposal, Some(&before)).map(drop)
    }

    /// Imports the caseload as an approved lot; the slips go to the printer's file. Returns the codes in the order of the cases, as
    /// households read them from their slips.
    pub(crate) fn tickets(&self, caseload: &Path, slips: &Path) -> anyhow::Result<Vec<TicketCode>> {
        let proposal = text(&self.folder.join("lot-1.proposal"));
        let map =
            ["case_id=case_id", "site=site", "expires=months_registered", "members=members", "under-two=under_two"];
        let maps: Vec<&str> = map.iter().flat_map(|map| ["--map", map]).collect();
        let (caseload, file) = (text(caseload), text(slips));
        let import = ["tickets", "import", &caseload, "--lot", "1", "--slips", &file, "--proposal", &proposal];
        self.issuer(&[&import[..], &maps].concat())?;
        self.approve_next(&proposal)?;
        let mut reader = csv::Reader::from_path(slips)?;
        reader.records().map(|record| Ok(TicketCode::parse(&record?[2])?)).collect()
    }

    /// Prepares rounds: their keys, and the versions that list them.
    pub(crate) fn prepare(&self, rounds: std::ops::RangeInclusive<u32>) -> anyhow::Result<()> {
        for round in rounds {
            let proposal = self.issuer(&["prepare", &round.to_string(), "--work-factor", WORK_FACTOR])?;
            self.approve_next(&proposal)?;
        }
        Ok(())
    }

    /// Starts the issuer's server.
    pub(crate) fn serve_issuer(&self) -> anyhow::Result<Running> {
        let (home, at) = (text(&self.issuer_home()), self.folder.join("issuer.address"));
        let (file, witnesses) = (text(&at), self.witnesses());
        let arguments = ["issuer", "serve", "--home", &home, "--listen", "127.0.0.1:0", "--address-file", &file];
        self.tools.serve(&self.office, &[&arguments[..], &RATES, &["--set", &witnesses]].concat(), &at)
    }

    /// Starts a site's server; `online` if it reaches the witness.
    pub(crate) fn serve_site(&self, site: SiteId, online: bool) -> anyhow::Result<Running> {
        let (home, at) = (text(&self.site_home(site)), self.folder.join(format!("site-{site}.address")));
        let (file, witnesses) = (text(&at), self.witnesses());
        let arguments = ["site", "serve", "--home", &home, "--listen", "127.0.0.1:0", "--address-file", &file];
        let reach = if online { vec!["--set", &witnesses] } else { Vec::new() };
        let passphrase = &self.sites[usize::from(site.0) - 1].1;
        self.tools.serve(passphrase, &[&arguments[..], &RATES, &reach].concat(), &at)
    }

    fn witnesses(&self) -> String {
        format!("publish.witnesses={WITNESS:?} = {:?}", self.witness.url())
    }

    fn issuer_vkey(&self) -> anyhow::Result<String> {
        use annona_protocol::log::note::{KeyType, VerifierKey};
        let secrets = annona_node::home::IssuerHome::new(&self.issuer_home()).secrets(&self.office.key())?;
        let vkey = VerifierKey::new(annona_node::authoring::ISSUER_LOG, KeyType::Log, secrets.log.verifying_key())?;
        Ok(vkey.to_string())
    }
}

/// Everybody of the demo comes from one address at once.
const RATES: [&str; 6] =
    ["--set", "rates.per_second=0", "--set", "rates.peer_per_second=0", "--set", "limits.peer_connections=0"];

/// A path as an argument.
pub(crate) fn text(path: &Path) -> String {
    path.display().to_string()
}

fn parse_id(hex: &str) -> anyhow::Result<ProgrammeId> {
    let mut id = [0; 32];
    anyhow::ensure!(hex.len() == 64 && hex.is_ascii(), "not a programme id: {hex}");
    for (byte, digits) in id.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits)?, 16)?;
    }
    Ok(ProgrammeId(id))
}

/// The sample programme with the parties' own keys and the caseload's sites.
fn authored(names: &[SiteName], sites: &[String], witness: &str, officers: &[String]) -> anyhow::Result<String> {
    let cut = |text: &str, from: &str, to: &str, by: &str| -> anyhow::Result<String> {
        let start = text.find(from).context("the sample has this part")?;
        let end = start + text[start..].find(to).context("and its end")?;
        Ok([&text[..start], by, &text[end..]].concat())
    };
    let tables: String = (1..)
        .zip(names.iter().zip(sites))
        .map(|(id, (name, key))| {
            let name = toml_text(name.as_str());
            format!("[[sites]]\nid = {id}\nname = {name}\nslots = 0\nlogs = [{key:?}]\n\n")
        })
        .collect();
    let text = cut(SAMPLE, "[[sites]]", "# Ticket lots", &tables)?;
    let text = cut(&text, "witness.example+", "\"]", witness)?;
    let keys: Vec<String> = officers.iter().map(|key| format!("{key:?}")).collect();
    cut(&text, "keys = [\n", "]\n", &format!("keys = [{}", keys.join(", ")))
}

/// A TOML string: a site's name may hold any printable character.
fn toml_text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
