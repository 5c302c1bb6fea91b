//! The distribution: enrolment, then for each round roll-over, draw, freeze, redemption and statements. Households run the real
//! wallet over HTTP against one issuer and a server a site; the last site has no network and is synced by a memory stick.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use annona_node::{
    caseload::{AgencyIdentifiers, Attributes, Caseload, SiteName},
    home::{IssuerHome, SiteHome},
    publisher::files,
};
use annona_protocol::{
    credential::IssuerKey,
    ids::{ProgrammeId, Round, SiteId},
    log::{TreeHash, merkle::leaf_hash, tile},
    programme::{InForce, Programme, TicketKind},
    slip::Receipt,
    ticket::TicketCode,
    voucher::{RoundMaster, Voucher},
    wire::Message,
};
use annona_transport::Client;
use annona_wallet::{Agent, AgentError, Backoff, Choice, HttpLink, Wallet};
use anyhow::Context as _;
use ed25519_dalek::SigningKey;
use rayon::prelude::*;

use crate::{
    cheats, os_rng,
    progress::Step,
    setup::{Parties, text},
    tools::{Running, Tools},
};

/// Rounds that the demo distributes.
pub(crate) const ROUNDS: std::ops::RangeInclusive<u32> = 1..=2;
/// Households at once: several requests share a commit.
const CROWD: usize = 12;
/// How long the issuer may take to publish a round's opening.
const PATIENCE: Duration = Duration::from_secs(30);

/// No medium: the demo's wallets end with it.
pub(crate) type Forgetful = fn(&[u8]) -> std::io::Result<()>;

/// Runs a wallet over a link.
pub(crate) fn run<L: annona_wallet::Link, T>(
    wallet: &mut Wallet,
    link: L,
    act: impl FnOnce(&mut Agent<Forgetful, L>) -> T,
) -> T {
    let taken = std::mem::replace(wallet, Wallet::new(ProgrammeId::default()));
    let mut agent = Agent::new(taken, (|_: &[u8]| Ok(())) as Forgetful, link, Backoff::default());
    let done = act(&mut agent);
    *wallet = agent.into_wallet();
    done
}

/// A household's wallet and where it collects.
pub(crate) struct Household {
    pub(crate) wallet: Wallet,
    pub(crate) site: SiteId,
}

/// A running site.
struct OpenSite {
    id: SiteId,
    server: Running,
    supervisor: Client,
}

/// Every party of the demo.
pub(crate) struct Distribution {
    parties: Parties,
    issuer: Running,
    supervisor: Client,
    pub(crate) sites: Vec<SiteName>,
    pub(crate) households: Vec<Household>,
    pub(crate) programme: Programme,
    /// What the dishonest have at hand: their own keys.
    pub(crate) issuer_key: IssuerKey,
    pub(crate) masters: Vec<(Round, RoundMaster)>,
    pub(crate) site_keys: Vec<SigningKey>,
    pub(crate) witness: SigningKey,
    crowd: rayon::ThreadPool,
    out: PathBuf,
}

fn site_id(at: usize) -> SiteId {
    SiteId(u16::try_from(at + 1).expect("checked when the programme was made"))
}

impl Distribution {
    /// Makes the programme, imports the caseload as an approved lot, writes the slips, starts the issuer, enrols every household.
    pub(crate) fn set_up(tools: Tools, caseload: Caseload, file: &Path, out: &Path) -> anyhow::Result<Self> {
        let sites = caseload.sites().to_vec();
        anyhow::ensure!(sites.len() < usize::from(u16::MAX), "too many sites: a programme has at most 65,534");
        // The tools read the file themselves: only where a household collects is of use here.
        let (identifiers, attributes): (Vec<AgencyIdentifiers>, Vec<Attributes>) =
            caseload.into_households().into_iter().map(annona_node::caseload::Household::into_parts).unzip();
        drop(identifiers);
        let step = Step::new("programme, keys, approved lot", 1);
        let parties = Parties::found(tools, &out.join("parties"), &sites)?;
        let codes = parties.tickets(file, &out.join("slips.csv"))?;
        parties.prepare(ROUNDS)?;
        parties.issuer(&["open", &ROUNDS.start().to_string()])?;
        let token = parties.issuer(&["operators", "add", "demo", "supervisor"])?;
        step.finish(format!("{} tickets, {} sites", codes.len(), sites.len()));

        let home = IssuerHome::new(&parties.issuer_home());
        let office = parties.office.key();
        let issuer_key = home.secrets(&office)?.credential;
        let masters = ROUNDS
            .map(|round| Ok((Round(round), home.master(Round(round), &office)?.context("the round is prepared")?)))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let site_keys = parties
            .sites
            .iter()
            .enumerate()
            .map(|(at, (_, passphrase))| Ok(SiteHome::new(&parties.site_home(site_id(at))).key(&passphrase.key())?))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let witness = corrupt_witness(&parties)?;

        let issuer = parties.serve_issuer()?;
        let supervisor = issuer.client()?.with_token(&token);
        let crowd = rayon::ThreadPoolBuilder::new().num_threads(CROWD).build()?;
        let link = HttpLink::new(issuer.client()?);
        let programme = published_programme(&link, &parties, Round(*ROUNDS.start()))?;
        let step = Step::new("enrolment", codes.len());
        let households = crowd.install(|| {
            codes
                .into_par_iter()
                .zip(&attributes)
                .map(|(code, household)| {
                    let wallet = enrolled(&programme, &link, code)?;
                    step.advance();
                    let at = sites.binary_search(&household.site).expect("the sites are the caseload's");
                    Ok(Household { wallet, site: site_id(at) })
                })
                .collect::<Result<Vec<_>, AgentError>>()
        })?;
        supervisor.post("/operator/close-batch", &[])?;
        step.finish(format!("{} credentials", households.len()));
        Ok(Self {
            parties,
            issuer,
            supervisor,
            sites,
            households,
            programme,
            issuer_key,
            masters,
            site_keys,
            witness,
            crowd,
            out: out.to_owned(),
        })
    }

    /// A link to the issuer.
    pub(crate) fn link(&self) -> anyhow::Result<HttpLink> {
        Ok(HttpLink::new(self.issuer.client()?))
    }

    /// The last site has no network.
    fn is_online(&self, site: SiteId) -> bool {
        usize::from(site.0) < self.sites.len()
    }

    /// Distributes one round. In the last, `cheats` tries what cheats try at the counter and at the issuer.
    pub(crate) fn round(&mut self, round: Round, cheats: &mut cheats::Live) -> anyhow::Result<()> {
        crate::say(format!("round {round}"));
        if round.0 != *ROUNDS.start() {
            self.supervisor.post(&format!("/operator/rounds/{round}/open"), &[])?;
        }
        let link = self.link()?;
        self.programme = published_programme(&link, &self.parties, round)?;
        let step = Step::new("roll-overs and draws", self.households.len());
        let view = self.programme.in_force(round)?;
        let households = &mut self.households;
        let drawn: usize = self.crowd.install(|| {
            households
                .par_iter_mut()
                .map(|household| {
                    let drawn = draw_all(&link, &view, household)?;
                    step.advance();
                    Ok::<_, AgentError>(drawn)
                })
                .try_reduce(|| 0, |left, right| Ok(left + right))
        })?;
        step.finish(format!("{drawn} vouchers"));
        cheats.at_issuer(self, round)?;
        self.supervisor.post(&format!("/operator/rounds/{round}/freeze"), &[])?;

        let open = self.open_sites(round)?;
        let view = self.programme.in_force(round)?;
        let mut link = self.link()?;
        for site in &open {
            link = link.with_site(site.id, site.server.client()?);
        }
        let step = Step::new("redemptions", self.households.len());
        let households = &mut self.households;
        let shown: Vec<Vec<Voucher>> = self.crowd.install(|| {
            households
                .par_iter_mut()
                .map(|household| {
                    let shown = household.wallet.vouchers().iter().map(Voucher::duplicate).collect();
                    redeem_all(&link, &view, household)?;
                    step.advance();
                    Ok::<_, AgentError>(shown)
                })
                .collect::<Result<_, _>>()
        })?;
        let receipts: usize = self.households.iter().map(|household| household.wallet.receipts().len()).sum();
        step.finish(format!("{receipts} receipts"));
        cheats.at_sites(&view, &link, &self.households, &shown)?;
        self.close_sites(round, open)?;
        self.keep_receipts(round)?;
        self.supervisor.post(&format!("/operator/rounds/{round}/close"), &[])?;
        Ok(())
    }

    /// Brings the announcement and the opening packs to every site, opens the round, and starts the servers of the day.
    fn open_sites(&self, round: Round) -> anyhow::Result<Vec<OpenSite>> {
        let step = Step::new("opening packs to the sites", self.sites.len());
        let stick = self.out.join("stick");
        self.carry(&stick)?;
        let open = (0..self.sites.len())
            .map(|at| {
                let id = site_id(at);
                let home = self.parties.site_home(id);
                if !home.join("annona.db").exists() {
                    let announcement = self.out.join("announcement.bin");
                    std::fs::write(&announcement, self.issuer.client()?.get("/v1/announcement")?)?;
                    let (file, number) = (text(&announcement), id.to_string());
                    let hex = self.parties.programme.to_string();
                    self.parties
                        .site(id, &["init", "--programme", &hex, "--announcement", &file, "--site", &number])?;
                }
                let token = self.parties.site(id, &["operators", "add", &format!("round-{round}"), "supervisor"])?;
                if self.is_online(id) {
                    self.parties.site(id, &["sync", "--server", &self.issuer.url()])?;
                } else {
                    self.parties.site(id, &["sync", "--usb", &text(&stick)])?;
                }
                let lines = &self.programme.latest().lines;
                let stock: Vec<String> = lines.iter().map(|line| format!("{}=1000000000", line.id)).collect();
                let stock: Vec<&str> = stock.iter().map(String::as_str).collect();
                self.parties.site(id, &[&["stock"], &stock[..]].concat())?;
                let day_code = self.parties.site(id, &["day-code"])?;
                let server = self.parties.serve_site(id, self.is_online(id))?;
                let supervisor = server.client()?.with_token(&token);
                let pack = home.join(format!("inbox/round-{round}.pack"));
                let open = format!("/operator/open?day_code={}", day_code.trim_start_matches("DAY "));
                supervisor.post(&open, &std::fs::read(pack).context("the pack came with the sync")?)?;
                step.advance();
                Ok(OpenSite { id, server, supervisor })
            })
            .collect::<anyhow::Result<_>>()?;
        step.finish(format!("{} sites are open", self.sites.len()));
        Ok(open)
    }

    /// The stick at headquarters, whose server runs.
    fn carry(&self, stick: &Path) -> anyhow::Result<()> {
        let (url, id) = (self.issuer.url(), self.parties.programme.to_string());
        self.parties.issuer(&["sync", "--usb", &text(stick), "--running", &url, "--programme", &id]).map(drop)
    }

    /// Closes the round at every site, and brings their logs to headquarters.
    fn close_sites(&self, round: Round, open: Vec<OpenSite>) -> anyhow::Result<()> {
        let step = Step::new("statements and logs to headquarters", open.len());
        let stick = self.out.join("stick");
        for OpenSite { id, server, supervisor } in open {
            supervisor.post("/operator/close-round", &[])?;
            server.stop()?;
            if self.is_online(id) {
                self.parties.site(id, &["sync", "--server", &self.issuer.url()])?;
            } else {
                self.parties.site(id, &["sync", "--usb", &text(&stick)])?;
                self.carry(&stick)?;
                // The stick goes back: headquarters had the log cosigned.
                self.parties.site(id, &["sync", "--usb", &text(&stick)])?;
            }
            step.advance();
        }
        step.finish(format!("round {round} is closed at every site"));
        Ok(())
    }

    /// Checks that every receipt's leaf is in its site's log, and keeps the receipts in an order that groups nothing.
    fn keep_receipts(&mut self, round: Round) -> anyhow::Result<()> {
        let mut logged: HashSet<(SiteId, TreeHash)> = HashSet::new();
        for at in 0..self.sites.len() {
            let id = site_id(at);
            let folder = self.parties.issuer_home().join(format!("received/site-{id}"));
            let note = std::fs::read(folder.join("checkpoint"))?;
            let note = annona_protocol::log::SignedNote::parse(&note)?;
            let size = note.text().parse::<annona_protocol::log::Checkpoint>()?.size();
            let log = tile::read_entries(|name| std::fs::read(folder.join(name)).ok(), size)?;
            logged.extend(log.entries.iter().map(|entry| (id, leaf_hash(entry))));
        }
        let mut receipts: Vec<Receipt> =
            self.households.iter_mut().flat_map(|household| household.wallet.take_receipts()).collect();
        for receipt in &receipts {
            let is_logged = logged.contains(&(receipt.content.place.site, receipt.content.leaf));
            anyhow::ensure!(is_logged, "a receipt's voucher is not in its site's log");
        }
        receipts.sort_unstable_by_key(|receipt| receipt.content.mark);
        let bytes: Vec<u8> = receipts.iter().flat_map(|receipt| framed(&receipt.encode())).collect();
        Ok(files::replace(&self.out.join(format!("receipts/round-{round}.bin")), &bytes)?)
    }

    /// Stops the issuer and exports everything that anyone may audit.
    pub(crate) fn publish(self) -> anyhow::Result<(PathBuf, Published)> {
        let step = Step::new("publishing", 1);
        let Self { parties, issuer, sites, programme, site_keys, witness, out, .. } = self;
        let folder = out.join("published");
        // Its last publication waits for no clock.
        issuer.stop()?;
        let issuer = parties.serve_issuer()?;
        issuer.stop()?;
        parties.issuer(&["export", &text(&folder)])?;
        parties.witness.stop()?;
        step.finish(folder.display().to_string());
        Ok((folder, Published { sites, programme, site_keys, witness }))
    }
}

/// What is needed of the parties once everything is published.
pub(crate) struct Published {
    pub(crate) sites: Vec<SiteName>,
    pub(crate) programme: Programme,
    pub(crate) site_keys: Vec<SigningKey>,
    pub(crate) witness: SigningKey,
}

/// The witness' own key, for the cheats that it joins: its file is `annona-witness-key-v1+name+id+seed`.
fn corrupt_witness(parties: &Parties) -> anyhow::Result<SigningKey> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let file = std::fs::read_to_string(parties.folder.join("witness.key"))?;
    let seed = file.trim_end().splitn(4, '+').nth(3).context("a seed stands last")?;
    let seed = <[u8; 32]>::try_from(STANDARD.decode(seed)?).ok().context("a seed has 32 bytes")?;
    Ok(SigningKey::from_bytes(&seed))
}

/// The programme as the issuer announces it, once a round's opening is published and cosigned.
fn published_programme(link: &HttpLink, parties: &Parties, round: Round) -> anyhow::Result<Programme> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = link.programme(parties.programme);
        if let Ok(programme) = &found
            && programme.in_force(round).is_ok()
        {
            return Ok(found?);
        }
        anyhow::ensure!(Instant::now() < deadline, "round {round} was not published in time");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn enrolled(programme: &Programme, link: &HttpLink, code: TicketCode) -> Result<Wallet, AgentError> {
    let mut wallet = Wallet::new(programme.id());
    run(&mut wallet, link, |agent| agent.enrol(programme, TicketKind::Enrol, code, &mut os_rng()))?;
    Ok(wallet)
}

/// A message behind its length as a big-endian `u16`.
fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).expect("receipts have at most 512 bytes");
    [&length.to_be_bytes(), message].concat()
}

/// Rolls over and draws everything, if the credential has not expired. Returns the number of vouchers.
fn draw_all(link: &HttpLink, view: &InForce<'_>, household: &mut Household) -> Result<usize, AgentError> {
    let Household { wallet, site } = household;
    if !wallet.may_roll_over(view.round) {
        return Ok(0);
    }
    run(wallet, link, |agent| {
        let rng = &mut os_rng();
        agent.roll_over(view, rng)?;
        let keys = agent.wallet().plan(view, *site)?;
        agent.draw(view, keys, rng)
    })
}

/// Redeems all that a household drew, at its site.
fn redeem_all(link: &HttpLink, view: &InForce<'_>, household: &mut Household) -> Result<(), AgentError> {
    let Household { wallet, site } = household;
    if wallet.vouchers().is_empty() {
        return Ok(());
    }
    run(wallet, link, |agent| agent.redeem(view, *site, Choice::All, &mut os_rng())).map(drop)
}
