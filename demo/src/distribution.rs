//! The distribution: enrolment, then for each round roll-over, draw, freeze, redemption and statements.

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
};

use annona_node::{
    authoring::{self, LOT, Officers, Parties, signing_key},
    caseload::{AgencyIdentifiers, Attributes, Caseload, Limits, SiteName},
    issuer::{Issuer, IssuerError},
    publish::{Log, Witness, write_file},
    site::Site,
};
use annona_protocol::{
    audit::keys_to_bytes,
    credential::IssuerKey,
    ids::{LineId, ProgrammeId, Round, SiteId, Units},
    log::{TreeHash, merkle::leaf_hash},
    programme::{InForce, TicketKind},
    redeem::{Outcome, RedeemResponse},
    signature::PublicKey,
    slip::{OpeningPack, Receipt},
    ticket::TicketCode,
    voucher::Voucher,
    wire::{Message, request_digest},
};
use annona_wallet::{Agent, AgentError, Backoff, Choice, Endpoint, LinkError, Refusal, Wallet};
use anyhow::Context as _;
use ed25519_dalek::SigningKey;
use rayon::prelude::*;

use crate::{cheats, os_rng, progress::Step};

/// Rounds that the demo distributes.
pub(crate) const ROUNDS: std::ops::RangeInclusive<u32> = 1..=2;

/// 1 November 2026, in seconds since 1970: what the demo's witness says. A whole day, and no clock is read.
const WITNESS_DAY: u64 = 1_793_491_200;

/// The issuer, reached without a network.
pub(crate) struct Link<'a>(pub(crate) &'a Issuer);

impl annona_wallet::Link for Link<'_> {
    fn send(&self, endpoint: Endpoint, body: &[u8]) -> Result<Vec<u8>, LinkError> {
        let (issuer, rng) = (self.0, &mut os_rng());
        let answer = match endpoint {
            Endpoint::Enrol => issuer.enrol(body, rng),
            Endpoint::RollOver => issuer.roll_over(body, rng),
            Endpoint::Session => issuer.open_session(body, rng),
            Endpoint::Draw => issuer.draw(body, rng),
            _ => return Err(nowhere()),
        };
        answer.map_err(|error| {
            let signed = if let IssuerError::SessionGone(word) = &error { Some(word.encode()) } else { None };
            refused("", error.to_string(), signed)
        })
    }
}

/// The sites, reached without a network.
struct Counters<'a>(&'a [Site<'a>]);

impl annona_wallet::Link for Counters<'_> {
    fn send(&self, endpoint: Endpoint, body: &[u8]) -> Result<Vec<u8>, LinkError> {
        let site = |SiteId(site): SiteId| &self.0[usize::from(site) - 1];
        match endpoint {
            Endpoint::Quote(id) => Ok(site(id).quote(&mut os_rng()).encode()),
            Endpoint::Redeem(id) => {
                let accepted = site(id).redeem(body).map_err(|slip| {
                    let code = slip.content.code.code();
                    refused(code, code.to_owned(), Some(slip.encode()))
                })?;
                let response = RedeemResponse {
                    outcome: Outcome::Accepted,
                    visit: request_digest(body),
                    units: accepted.units.into_iter().collect(),
                    receipts: accepted.receipts,
                    owed: accepted.owed,
                };
                Ok(response.encode())
            }
            _ => Err(nowhere()),
        }
    }
}

fn refused(code: &str, text: String, signed: Option<Vec<u8>>) -> LinkError {
    LinkError::Refused(Refusal { status: 422, code: code.to_owned(), text, signed })
}

fn nowhere() -> LinkError {
    LinkError::Unusable { source: "the demo has no such endpoint".into() }
}

/// No medium: the demo's wallets end with it.
pub(crate) type Forgetful = fn(&[u8]) -> std::io::Result<()>;

/// Runs a wallet over a link in memory.
pub(crate) fn run<L: annona_wallet::Link, T>(
    wallet: &mut Wallet,
    link: L,
    act: impl FnOnce(&mut Agent<Forgetful, L>) -> T,
) -> T {
    let taken = std::mem::replace(wallet, Wallet::new(ProgrammeId::default()));
    let mut agent = Agent::new(taken, (|_: &[u8]| Ok(())) as Forgetful, link, Backoff::instant(1));
    let done = act(&mut agent);
    *wallet = agent.into_wallet();
    done
}

/// A household's wallet and where it collects.
pub(crate) struct Household {
    pub(crate) wallet: Wallet,
    pub(crate) site: SiteId,
}

/// Every party of the demo.
pub(crate) struct Distribution {
    pub(crate) issuer: Issuer,
    /// The issuer's credential key, once more: an issuer that cheats has it at hand.
    pub(crate) issuer_key: IssuerKey,
    pub(crate) witness: Witness,
    pub(crate) sites: Vec<SiteName>,
    pub(crate) site_keys: Vec<SigningKey>,
    site_logs: Vec<Log>,
    pub(crate) households: Vec<Household>,
    packs: Vec<OpeningPack>,
    out: PathBuf,
}

fn site_id(at: usize) -> SiteId {
    SiteId(u16::try_from(at + 1).expect("checked when the programme was made"))
}

impl Distribution {
    /// Makes the programme, imports the caseload as an approved lot, writes the slips, enrols every household.
    pub(crate) fn set_up(caseload: Caseload, limits: &Limits, out: &Path) -> anyhow::Result<Self> {
        let rng = &mut os_rng();
        let sites = caseload.sites().to_vec();
        anyhow::ensure!(sites.len() < usize::from(u16::MAX), "too many sites: a programme has at most 65,534");
        let households = caseload.into_households();
        let step = Step::new("programme, keys, approved lot", 1);
        let issuer_key = IssuerKey::generate(rng);
        let (issuer_log, officers) = (signing_key(rng), Officers::generate(3, rng));
        let witness = Witness::new("witness.example", signing_key(rng), WITNESS_DAY);
        let site_keys: Vec<SigningKey> = sites.iter().map(|_| signing_key(rng)).collect();
        let named: Vec<(SiteName, PublicKey)> =
            sites.iter().cloned().zip(site_keys.iter().map(PublicKey::of)).collect();
        let parties = Parties {
            issuer_key: issuer_key.public(),
            issuer_log: PublicKey::of(&issuer_log),
            officers: &officers,
            witness: witness.log_key(),
            sites: &named,
        };
        let genesis = officers.sign_header(authoring::genesis(&parties, limits));
        let kept = IssuerKey::from_bytes(&issuer_key.to_bytes()).context("a key that was just made")?;
        let issuer = Issuer::new(genesis, issuer_key, issuer_log, officers)?;
        let (identifiers, attributes): (Vec<AgencyIdentifiers>, Vec<Attributes>) =
            households.into_iter().map(annona_node::caseload::Household::into_parts).unzip();
        let tickets = attributes
            .iter()
            .map(|household| {
                (
                    Round(household.months_registered.into()),
                    vec![u64::from(household.members), u64::from(household.under_two)],
                )
            })
            .collect();
        let codes = issuer.import_lot(LOT, tickets, rng)?;
        write_slips(&out.join("slips.csv"), &identifiers, &codes)?;
        // From here on the agency's identifiers are gone.
        drop(identifiers);
        step.finish(format!("{} tickets, {} sites", codes.len(), sites.len()));

        let step = Step::new("enrolment", codes.len());
        let households = codes
            .into_par_iter()
            .zip(&attributes)
            .map(|(code, household)| {
                let programme = issuer.programme();
                let mut wallet = Wallet::new(programme.id());
                run(&mut wallet, Link(&issuer), |agent| {
                    agent.enrol(programme, TicketKind::Enrol, code, &mut os_rng())
                })?;
                step.advance();
                let at = sites.binary_search(&household.site).expect("the sites are the caseload's");
                Ok(Household { wallet, site: site_id(at) })
            })
            .collect::<Result<Vec<_>, AgentError>>()?;
        issuer.close_batch(Round(1))?;
        step.finish(format!("{} credentials", households.len()));
        let site_logs = sites.iter().map(|_| Log::default()).collect();
        Ok(Self {
            issuer,
            issuer_key: kept,
            witness,
            sites,
            site_keys,
            site_logs,
            households,
            packs: Vec::new(),
            out: out.to_owned(),
        })
    }

    /// Distributes one round. In the last, `cheats` tries what cheats try at the counter and at the issuer.
    pub(crate) fn round(&mut self, round: Round, cheats: &mut cheats::Live) -> anyhow::Result<()> {
        crate::say(format!("round {round}"));
        self.issuer.open_round(round, &mut os_rng())?;
        let step = Step::new("roll-overs and draws", self.households.len());
        let (issuer, programme) = (&self.issuer, self.issuer.programme());
        let view = programme.in_force(round)?;
        let drawn: usize = self
            .households
            .par_iter_mut()
            .map(|household| {
                let drawn = draw_all(issuer, &view, household)?;
                step.advance();
                Ok::<_, AgentError>(drawn)
            })
            .try_reduce(|| 0, |left, right| Ok(left + right))?;
        step.finish(format!("{drawn} vouchers"));
        cheats.at_issuer(self, round)?;

        let packs = self.issuer.freeze(round, &mut os_rng())?;
        let view = self.issuer.programme().in_force(round)?;
        let logs = std::mem::take(&mut self.site_logs);
        let sites: Vec<Site<'_>> = packs
            .iter()
            .zip(logs)
            .zip(&self.site_keys)
            .map(|((pack, log), key)| Site::open(view, pack, key.clone(), log, full_stock(&view)))
            .collect::<Result<_, _>>()?;
        let step = Step::new("redemptions", self.households.len());
        let shown: Vec<Vec<Voucher>> = self
            .households
            .par_iter_mut()
            .map(|household| {
                let shown = household.wallet.vouchers().iter().map(Voucher::duplicate).collect();
                redeem_all(&sites, &view, household)?;
                step.advance();
                Ok::<_, anyhow::Error>(shown)
            })
            .collect::<Result<_, _>>()?;
        let receipts: usize = self.households.iter().map(|household| household.wallet.receipts().len()).sum();
        step.finish(format!("{receipts} receipts"));
        cheats.at_sites(&view, &sites, &self.households, &shown)?;

        self.site_logs =
            sites.into_iter().map(|site| site.close_round().map(|(_, log)| log)).collect::<Result<_, _>>()?;
        self.keep_receipts(round)?;
        self.packs.extend(packs);
        self.issuer.close_round(round)?;
        Ok(())
    }

    /// Checks that every receipt's leaf is in its site's log, and keeps the receipts in an order that groups nothing.
    fn keep_receipts(&mut self, round: Round) -> anyhow::Result<()> {
        let logged: HashSet<(SiteId, TreeHash)> = (0..)
            .zip(&self.site_logs)
            .flat_map(|(at, log)| log.entries().iter().map(move |entry| (site_id(at), leaf_hash(entry))))
            .collect();
        let mut receipts: Vec<Receipt> =
            self.households.iter_mut().flat_map(|household| household.wallet.take_receipts()).collect();
        for receipt in &receipts {
            let is_logged = logged.contains(&(receipt.content.place.site, receipt.content.leaf));
            anyhow::ensure!(is_logged, "a receipt's voucher is not in its site's log");
        }
        receipts.sort_unstable_by_key(|receipt| receipt.content.mark);
        let bytes: Vec<u8> = receipts.iter().flat_map(|receipt| framed(&receipt.encode())).collect();
        Ok(write_file(&self.out.join(format!("receipts/round-{round}.bin")), &bytes)?)
    }

    /// Writes everything that anyone may audit.
    pub(crate) fn publish(&self) -> anyhow::Result<PathBuf> {
        let step = Step::new("publishing", 1);
        let folder = self.out.join("published");
        let origin = authoring::ISSUER_LOG;
        self.issuer.with_log(|log| {
            let checkpoint = log.checkpoint(origin, self.issuer.log_key(), &self.witness)?;
            log.write(&folder.join("logs/issuer"), &checkpoint)
        })?;
        for (at, (log, key)) in self.site_logs.iter().zip(&self.site_keys).enumerate() {
            let site = site_id(at);
            let checkpoint = log.checkpoint(&authoring::site_log(site), key, &self.witness)?;
            log.write(&folder.join(format!("logs/site-{site}")), &checkpoint)?;
        }
        write_file(&folder.join("keys.bin"), &keys_to_bytes(self.issuer.keys()))?;
        for pack in &self.packs {
            let Round(round) = pack.content.place.round;
            let name = format!("packs/round-{round}-site-{}.bin", pack.content.place.site);
            write_file(&folder.join(name), &pack.encode())?;
        }
        step.finish(folder.display().to_string());
        Ok(folder)
    }
}

/// One line a household: its case, and the code that its wallet enrols with. The only file with identifiers.
fn write_slips(path: &Path, identifiers: &[AgencyIdentifiers], codes: &[TicketCode]) -> anyhow::Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["case_id", "ticket_code"])?;
    for (identifiers, code) in identifiers.iter().zip(codes) {
        writer.write_record([identifiers.case_id(), code.to_print().as_str()])?;
    }
    Ok(write_file(path, &writer.into_inner()?)?)
}

/// A message behind its length as a big-endian `u16`.
fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).expect("receipts have at most 512 bytes");
    [&length.to_be_bytes(), message].concat()
}

/// More than anybody can draw of every line.
fn full_stock(view: &InForce<'_>) -> BTreeMap<LineId, Units> {
    view.header.lines.iter().map(|line| (line.id, Units(u64::from(u32::MAX)))).collect()
}

/// Rolls a household over and draws all that it can; returns how many vouchers it got.
fn draw_all(issuer: &Issuer, view: &InForce<'_>, household: &mut Household) -> Result<usize, AgentError> {
    let Household { wallet, site } = household;
    if !wallet.may_roll_over(view.round) {
        return Ok(0);
    }
    run(wallet, Link(issuer), |agent| {
        agent.roll_over(view, &mut os_rng())?;
        let keys = agent.wallet().plan(view, *site)?;
        agent.draw(view, keys, &mut os_rng())
    })
}

/// Redeems all that a household drew, at its site.
fn redeem_all(sites: &[Site<'_>], view: &InForce<'_>, household: &mut Household) -> anyhow::Result<()> {
    let Household { wallet, site } = household;
    if wallet.vouchers().is_empty() {
        return Ok(());
    }
    let handover = run(wallet, Counters(sites), |agent| agent.redeem(view, *site, Choice::All, &mut os_rng()))?;
    anyhow::ensure!(handover.owed.is_empty(), "stock ran out");
    Ok(())
}
