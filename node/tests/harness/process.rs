//! The real program as processes that are started, killed and started again behind proxies with addresses of their own.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use annona_node::{
    publisher::{LogOwner as _, LogTerms},
    random::os as rng,
    server::operators::{self, Role, Token},
    service::site::{SiteOptions, SiteService},
};
use annona_protocol::{
    ids::{ProgrammeId, Units},
    programme::{Header, Programme},
};
use annona_transport::{Client, Options, Problem, Server, TransportError};
use annona_wallet::HttpLink;

use super::{PASSPHRASE, Prepared, passphrase, proxy::Proxy, site_id, witness::Witness};

/// How long something may take that has to happen; nothing waits this long unless it fails.
pub const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Issuer,
    Site,
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub said: String,
}

/// A party: its home, its process if it runs, and a proxy whose address stays.
pub struct Party {
    pub kind: Kind,
    pub home: PathBuf,
    pub proxy: Proxy,
    pub supervisor: Token,
    pub distributor: Token,
    witness: String,
    /// More arguments of `serve`, and variables of its environment.
    pub more: Mutex<(Vec<String>, BTreeMap<String, String>)>,
    child: Mutex<Option<Child>>,
}

impl Party {
    /// Starts the server, with a fault if one is named, and waits until it listens.
    pub fn start(&self, fault: Option<&str>) -> Result<(), Ended> {
        let program = option_env!("CARGO_BIN_EXE_annona-node").unwrap_or_else(|| panic!("only tests run the program"));
        let mut command = Command::new(program);
        self.arguments(&mut command);
        self.start_by(command, fault)
    }

    /// What the command line needs besides the program.
    pub fn arguments(&self, command: &mut Command) {
        let kind = if self.kind == Kind::Issuer { "issuer" } else { "site" };
        command.args([kind, "serve", "--listen", "127.0.0.1:0", "--home"]).arg(&self.home);
        command.arg("--address-file").arg(self.beside("address"));
        command.arg("--set").arg(format!("publish.witnesses=\"witness.example\" = \"{}\"", self.witness));
        // One address here is all households, and all their retries.
        command.args(["--set", "rates.per_second=0", "--set", "rates.peer_per_second=0"]);
        command.args(["--set", "limits.peer_connections=0"]);
        let more = self.more.lock().unwrap();
        command.args(&more.0).envs(&more.1);
    }

    /// The same through another program that ends in ours.
    pub fn start_by(&self, mut command: Command, fault: Option<&str>) -> Result<(), Ended> {
        let mut running = self.child.lock().unwrap();
        assert!(running.is_none(), "it runs");
        let address = self.beside("address");
        drop(fs::remove_file(&address));
        let output = File::options().create(true).append(true).open(self.beside("log")).unwrap();
        let from = output.metadata().unwrap().len();
        command.env("ANNONA_PASSPHRASE", PASSPHRASE).stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
        command.env_remove("ANNONA_FAULT");
        if let Some(fault) = fault {
            command.env("ANNONA_FAULT", fault);
        }
        let mut child = command.spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(text) = fs::read_to_string(&address) {
                self.proxy.point_to(Some(text.trim().parse().unwrap()));
                *running = Some(child);
                return Ok(());
            }
            if let Some(status) = child.try_wait().unwrap() {
                return Err(Ended { code: status.code(), said: self.said(from) });
            }
            assert!(Instant::now() < deadline, "the server does not start: {}", self.said(from));
            thread::sleep(Duration::from_millis(3));
        }
    }

    /// `kill -9`. Whether it ran until then: a fault may have ended it before.
    pub fn kill(&self) -> bool {
        let Some(mut child) = self.child.lock().unwrap().take() else { return false };
        self.proxy.point_to(None);
        let ran = child.try_wait().unwrap().is_none();
        drop(child.kill());
        child.wait().unwrap();
        ran
    }

    /// Whether its process ended by itself.
    pub fn died(&self) -> bool {
        self.child.lock().unwrap().as_mut().is_none_or(|child| child.try_wait().unwrap().is_some())
    }

    pub fn restart(&self, fault: Option<&str>) {
        self.kill();
        self.start(fault).unwrap_or_else(|ended| panic!("it does not start again: {ended:?}"));
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.lock().unwrap().as_ref().unwrap().id()
    }

    /// Where it listens now.
    pub fn address(&self) -> String {
        fs::read_to_string(self.beside("address")).unwrap().trim().to_owned()
    }

    pub fn client(&self) -> Client {
        client(&self.proxy.url())
    }

    /// Posts as an operator until it is done, whatever happens on the way.
    pub fn operate(&self, token: &Token, path: &str, body: &[u8]) -> Result<Vec<u8>, Problem> {
        let client = self.client().with_token(token.expose());
        patiently(path, || client.post(path, body))
    }

    pub fn supervise(&self, path: &str, body: &[u8]) -> Result<Vec<u8>, Problem> {
        self.operate(&self.supervisor, path, body)
    }

    /// Where a site's round is opened, with the code of what it last published.
    pub fn open_path(&self) -> String {
        use annona_protocol::log::{Checkpoint, SignedNote};
        let client = self.client();
        let Ok(note) = patiently("checkpoint", || client.get("/log/checkpoint")) else {
            return "/operator/open".into();
        };
        let checkpoint: Checkpoint = SignedNote::parse(&note).unwrap().text().parse().unwrap();
        let code = annona_node::store::DayCode::of(&checkpoint.root()).to_string();
        format!("/operator/open?day_code={}", code.trim_start_matches("DAY "))
    }

    /// What the server wrote since its log of events had this length.
    pub fn said(&self, from: u64) -> String {
        let all = fs::read(self.beside("log")).unwrap_or_default();
        String::from_utf8_lossy(&all[usize::try_from(from).unwrap()..]).into_owned()
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let name = self.home.file_name().unwrap().to_str().unwrap();
        self.home.with_file_name(format!("{name}.{ending}"))
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn client(url: &str) -> Client {
    let options = Options { timeout: Duration::from_secs(60), ..Options::default() };
    Client::new(Server { url: url.to_owned(), key: None }, &options).unwrap()
}

/// Asks until there is an answer, or a refusal that stands.
pub fn patiently(what: &str, mut ask: impl FnMut() -> Result<Vec<u8>, TransportError>) -> Result<Vec<u8>, Problem> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(TransportError::Refused(problem)) if !problem.is_transient() => return Err(*problem),
            Err(error) if error.is_transient() => assert!(Instant::now() < deadline, "{what}: {error}"),
            Err(error) => panic!("{what}: {error}"),
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Everybody, started.
pub struct Net {
    pub issuer: Party,
    pub sites: Vec<Party>,
    pub witness: Witness,
    pub prepared: Prepared,
    pub header: Header,
}

impl Net {
    /// Starts the issuer and so many sites, which know the programme and have goods; no round is open at a site.
    pub fn start(prepared: Prepared, sites: usize, seed: u64) -> Self {
        let service = prepared.issuer.open(&passphrase(), None).unwrap();
        let header = service.with_programme(|programme| programme.latest().clone());
        let mut logs = vec![service.terms().unwrap().log];
        logs.extend(header.sites.iter().map(|site| LogTerms::new(site.logs.last().unwrap(), &header).unwrap().log));
        let witness = Witness::new(prepared.witness.clone(), logs);
        let party = |kind, home: &Path, store: &annona_node::store::Store, seed| Party {
            kind,
            home: home.to_owned(),
            proxy: Proxy::new(seed),
            supervisor: operators::add(store, "supervisor", Role::Supervisor, &mut rng()).unwrap(),
            distributor: operators::add(store, "distributor", Role::Distributor, &mut rng()).unwrap(),
            witness: witness.url(),
            more: Mutex::default(),
            child: Mutex::new(None),
        };
        let issuer = party(Kind::Issuer, prepared.issuer.path(), service.store(), seed);
        drop(service);
        issuer.start(None).unwrap();
        let announcement = issuer.client().get("/v1/announcement").unwrap();
        let sites = (0..sites)
            .map(|at| {
                let (home, key) = (&prepared.sites[at], &prepared.site_keys[at]);
                SiteService::create(home.path(), prepared.id, &announcement, site_id(at), key).unwrap();
                let site = home.open(&passphrase(), None, SiteOptions::default()).unwrap();
                site.set_stock(header.lines.iter().map(|line| (line.id, Units(100_000))).collect()).unwrap();
                let party = party(Kind::Site, home.path(), site.store(), seed + 1 + at as u64);
                drop(site);
                party.start(None).unwrap();
                party
            })
            .collect();
        Self { issuer, sites, witness, prepared, header }
    }

    pub fn id(&self) -> ProgrammeId {
        self.prepared.id
    }

    pub fn parties(&self) -> impl Iterator<Item = &Party> {
        [&self.issuer].into_iter().chain(&self.sites)
    }

    /// The way of a wallet.
    pub fn link(&self) -> HttpLink {
        let link = HttpLink::new(self.issuer.client());
        self.sites.iter().enumerate().fold(link, |link, (at, site)| link.with_site(site_id(at), site.client()))
    }

    /// The programme once its announcement has the round.
    pub fn programme(&self, round: u32) -> (Programme, Vec<u8>) {
        use annona_protocol::{programme::Announcement, wire::Message as _};
        let client = self.issuer.client();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let announcement = patiently("announcement", || client.get("/v1/announcement")).unwrap();
            let programme = Announcement::decode(&announcement).unwrap().verify(self.id()).unwrap();
            if programme.in_force(annona_protocol::ids::Round(round)).is_ok() {
                return (programme, announcement);
            }
            assert!(Instant::now() < deadline, "round {round} was not announced");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Freezes a round, and opens it at every site. All of it may have happened before.
    pub fn open_sites(&self, round: u32) {
        self.issuer.supervise(&format!("/operator/rounds/{round}/freeze"), &[]).unwrap();
        let (_, announcement) = self.programme(round);
        for (at, site) in self.sites.iter().enumerate() {
            let client = self.issuer.client();
            let path = format!("/v1/packs/{round}/{}", site_id(at));
            let pack = patiently(&path, || client.get(&path)).unwrap();
            site.supervise("/operator/announcement", &announcement).unwrap();
            let deadline = Instant::now() + PATIENCE;
            loop {
                match site.supervise(&site.open_path(), &pack) {
                    // What it closed last is not published yet.
                    Err(problem) if problem.code == "day-code-missing" => assert!(Instant::now() < deadline),
                    done => break drop(done.unwrap()),
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
}
