//! An issuer and a site of a prepared programme that run in this process, with an operator of every role at each.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use annona_node::{
    home::SiteHome,
    random::os as rng,
    runner::Node,
    server::{
        Config,
        operators::{self, Role, Token},
    },
    service::site::SiteService,
    store::Store,
};
use annona_protocol::log::{KeyType, VerifierKey};
use ed25519_dalek::SigningKey;

use super::{
    Prepared,
    http::{self, Reply},
    passphrase, site_id,
    witness::Witness,
};

pub const ROLES: [Role; 3] = [Role::Caseworker, Role::Distributor, Role::Supervisor];

/// An `authorization` header for each role.
pub type Tokens = [String; 3];

pub fn bearer(token: &Token) -> String {
    format!("Bearer {}", token.expose())
}

pub fn add_operators(store: &Store) -> Tokens {
    ROLES.map(|role| bearer(&operators::add(store, role.name(), role, &mut rng()).unwrap()))
}

pub struct Server {
    pub node: Option<Node>,
    pub address: SocketAddr,
    pub tokens: Tokens,
}

impl Server {
    fn new(node: Node, tokens: Tokens) -> Self {
        Self { address: node.server().address(), node: Some(node), tokens }
    }

    /// A supervisor asks, and gets it.
    pub fn supervise(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut all = vec![("authorization", &*self.tokens[2])];
        all.extend(headers);
        let reply = http::send(self.address, "POST", path, &all, body);
        assert!((200..300).contains(&reply.status), "{path}: {reply:?}");
        reply
    }

    pub fn stop(&mut self) {
        self.node.take().unwrap().stop().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(node) = self.node.take() {
            drop(node.stop());
        }
    }
}

/// What a test changes of the settings.
pub type Configure = fn(&mut Config);

fn settings(mut config: Config, witness: &Witness, configure: Configure) -> Config {
    config.listen.address = SocketAddr::from(([127, 0, 0, 1], 0));
    config.publish.witnesses = witness.setting();
    config.rates.per_second = 0;
    config.rates.peer_per_second = 0;
    configure(&mut config);
    config
}

impl Prepared {
    pub fn issuer_key(&self) -> SigningKey {
        self.issuer.secrets(&passphrase()).unwrap().log.clone()
    }

    pub fn start_witness(&self) -> Witness {
        let log = |name: &str, key: &SigningKey| {
            let name = format!("annona.example/food-and-cash/{name}");
            VerifierKey::new(&name, KeyType::Log, key.verifying_key()).unwrap()
        };
        let mut logs = vec![log("issuer", &self.issuer_key())];
        logs.extend((1..).zip(&self.site_keys).map(|(at, key)| log(&format!("site-{at}"), key)));
        Witness::new(self.witness.clone(), logs)
    }

    pub fn start_issuer(&self, witness: &Witness, configure: Configure) -> Server {
        let config = settings(Config::issuer_defaults(), witness, configure);
        let service = self.issuer.open(&passphrase(), None).unwrap();
        let tokens = add_operators(service.store());
        Server::new(Node::issuer(self.issuer.clone(), service, passphrase(), &config).unwrap(), tokens)
    }

    /// The first site, set up by what the issuer publishes; its round is not open yet.
    pub fn start_site(&self, issuer: SocketAddr, witness: &Witness, configure: Configure) -> Server {
        let home: &SiteHome = &self.sites[0];
        let announcement = http::get(issuer, "/v1/announcement");
        assert_eq!(announcement.status, 200, "{announcement:?}");
        SiteService::create(home.path(), self.id, &announcement.body, site_id(0), &self.site_keys[0]).unwrap();
        let config = settings(Config::site_defaults(), witness, configure);
        let service = home.open(&passphrase(), None, config.site_options()).unwrap();
        let tokens = add_operators(service.store());
        Server::new(Node::site(home.published(), service, &config).unwrap(), tokens)
    }
}

/// Freezes round 1 at the issuer and opens it at the site, as supervisors do.
pub fn open_site(issuer: &Server, site: &Server) {
    issuer.supervise("/operator/rounds/1/freeze", &[], &[]);
    let pack = http::get(issuer.address, "/v1/packs/1/1");
    assert_eq!(pack.status, 200, "{pack:?}");
    site.supervise("/operator/open", &[http::MESSAGE], &pack.body);
}

/// What was written to the log of events of this process.
#[derive(Clone, Default)]
pub struct Events(Arc<Mutex<Vec<u8>>>);

impl Events {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Events {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
