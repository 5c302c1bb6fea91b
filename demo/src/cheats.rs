//! Cheats: what dishonest wallets, sites and issuers try, and what refuses them. Nothing here changes the totals.

use std::collections::BTreeMap;

use annona_protocol::{
    audit::Published,
    credential::{Credential, IssuerKey},
    draw::{DrawContext, RollOverContext, RoundKeys, SessionRequest},
    enrol::{EnrolContext, TicketGrant},
    group::PublicScalar,
    ids::{KeyIndex, LineId, Round, SiteId, Units},
    log::{
        Checkpoint, Frontier, VerifierKey,
        leaf::{Leaf, SiteLeaf, VoucherLeaf, close_batch},
        merkle::leaf_hash,
        note::{KeyType, cosign, sign_checkpoint, verify_checkpoint},
    },
    programme::{InForce, TicketKind},
    redeem::{Counter, RedeemRequest},
    registry::{VERSION, kind},
    secret::SecretScalar,
    slip::{Place, Quote, QuoteTerms, Signed, StatementTerms},
    slots::Slots,
    ticket::{TicketCode, TicketUse},
    voucher::{LoggedVoucher, Voucher},
    wire::Message,
};
use annona_wallet::{AgentError, Endpoint, HttpLink, Link as _, LinkError, Wallet};
use anyhow::Context as _;
use ed25519_dalek::SigningKey;

use crate::{
    distribution::{self, Distribution, Household, ROUNDS, run},
    os_rng,
    setup::WITNESS,
};

/// A cheat and what became of it.
pub(crate) struct Outcome {
    /// What was tried.
    pub(crate) cheat: &'static str,
    /// Who refused it.
    pub(crate) refused_by: String,
    /// The stable code or the fixed text of the refusal.
    pub(crate) code: String,
}

/// Cheats against the running issuer and sites, and what they leave for the audit.
#[derive(Default)]
pub(crate) struct Live {
    pub(crate) outcomes: Vec<Outcome>,
    /// Vouchers that the issuer signed off the record.
    minted: Vec<Voucher>,
}

fn is_last(round: Round) -> bool {
    round.0 == *ROUNDS.end()
}

impl Live {
    fn refused(&mut self, cheat: &'static str, by: impl Into<String>, code: impl Into<String>) {
        self.outcomes.push(Outcome { cheat, refused_by: by.into(), code: code.into() });
    }

    /// Overdraw, and minting, while the round is open.
    pub(crate) fn at_issuer(&mut self, distribution: &mut Distribution, round: Round) -> anyhow::Result<()> {
        if !is_last(round) {
            return Ok(());
        }
        self.overdraw(distribution, round)?;
        let view = distribution.programme.in_force(round)?;
        self.minted = mint(distribution, &view)?;
        Ok(())
    }

    /// A household edits its own wallet file to say that its ration is still undrawn, and draws again.
    fn overdraw(&mut self, distribution: &mut Distribution, round: Round) -> anyhow::Result<()> {
        let link = &distribution.link()?;
        let Distribution { programme, households, .. } = distribution;
        let view = programme.in_force(round)?;
        let drew = |household: &&mut Household| !household.wallet.vouchers().is_empty();
        let Some(household) = households.iter_mut().find(drew) else { return Ok(()) };
        let held = household.wallet.credential().context("every household has enrolled")?;
        let mut forged = Wallet::with_credential(view.programme.id(), edited(held, 8)?);
        let keys = forged.plan(&view, household.site)?;
        match run(&mut forged, link, |agent| agent.draw(&view, keys, &mut os_rng())) {
            Err(AgentError::Refused(refusal)) => {
                self.refused("overdraw: a wallet edits its balance", "issuer", refusal.to_string())
            }
            Err(error) => return Err(error).context("the cheating wallet failed by itself"),
            Ok(_) => anyhow::bail!("an overdraw was not refused"),
        }
        // The refused show revealed the serial: the wallet refreshes before it does anything else.
        run(&mut household.wallet, link, |agent| agent.refresh(&view, &mut os_rng()))?;
        Ok(())
    }

    /// Double redemption, a forged voucher, a replay at another site.
    pub(crate) fn at_sites(
        &mut self,
        view: &InForce<'_>,
        link: &HttpLink,
        households: &[Household],
        shown: &[Vec<Voucher>],
    ) -> anyhow::Result<()> {
        if !is_last(view.round) {
            return Ok(());
        }
        let Some((household, vouchers)) = households.iter().zip(shown).find(|(_, shown)| shown.len() >= 2) else {
            return Ok(());
        };
        let (own, rng, spare) = (household.site, &mut os_rng(), SecretScalar::random(&mut os_rng()));

        let quote = quote(link, own)?;
        let again = RedeemRequest::new(view, &quote, &[&vouchers[0]], &spare, rng)?;
        let code = refusal(link, own, &again).context("a double redemption was not refused")?;
        self.refused("double redemption: a voucher of an earlier visit", "site", code);

        let mut relabelled = again.clone();
        relabelled.vouchers[0].key = dearer(view, vouchers[0].key()).context("no dearer voucher")?;
        let code = refusal(link, own, &relabelled).context("a forged voucher was not refused")?;
        self.refused("forged voucher: relabelled to a higher value", "site", code);

        let Some(other) = view.header.sites.iter().map(|site| site.id).find(|site| *site != own) else {
            self.refused("replay at another site", "not tried", "the file has one site");
            return Ok(());
        };
        let quote = self::quote(link, other)?;
        let honest = RedeemRequest::new(view, &quote, &[&vouchers[0]], &spare, rng).err();
        honest.context("an honest wallet shows a voucher at another site")?;
        let elsewhere = RedeemRequest { quote: quote.content.id, ..again };
        let code = refusal(link, other, &elsewhere).context("a replay at another site was not refused")?;
        self.refused("replay at another site", "site", code);
        Ok(())
    }

    /// What only the audit can refuse: published files with a cheat in them, each beside the true ones.
    pub(crate) fn published<'a>(
        &self,
        parties: &distribution::Published,
        published: &'a Published,
    ) -> anyhow::Result<Vec<(&'static str, std::borrow::Cow<'a, Published>)>> {
        let round = Round(*ROUNDS.end());
        let view = parties.programme.in_force(round)?;
        let (witness, key) = (&parties.witness, &parties.site_keys[0]);
        let forger = SiteForger { view: &view, site: SiteId(1), key, witness };

        let no_shows = forger.rewrite(published, &[invented(&view, SiteId(1))?])?;
        let minted: Vec<LoggedVoucher> = logged(&view, key, &self.minted)?;
        let minting = forger.rewrite(published, &minted)?;
        let mut tampered = published.clone();
        let entries = &mut tampered.sites[0].1.entries;
        let middle = entries.len() / 2;
        if let Some(byte) = entries[middle].last_mut() {
            *byte ^= 1;
        }
        Ok(vec![
            ("a site claims for a household that never came", std::borrow::Cow::Owned(no_shows)),
            ("the issuer mints vouchers off the record", std::borrow::Cow::Owned(minting)),
            ("somebody changes one byte of a site's log", std::borrow::Cow::Owned(tampered)),
        ])
    }
}

fn quote(link: &HttpLink, site: SiteId) -> anyhow::Result<Quote> {
    Ok(Quote::decode(&link.send(Endpoint::Quote(site), &[])?)?)
}

/// The code with which a site refuses a request; none if it does not.
fn refusal(link: &HttpLink, site: SiteId, request: &RedeemRequest) -> Option<String> {
    match link.send(Endpoint::Redeem(site), &request.encode()) {
        Err(LinkError::Refused(refusal)) => Some(refusal.code),
        _ => None,
    }
}

/// A credential whose first balance is raised: what a holder can do to the own file.
fn edited(credential: &Credential, by: i64) -> anyhow::Result<Credential> {
    type Fields = ([u8; 32], [u8; 32], [u8; 32], [u8; 32], Vec<i64>, [u8; 32]);
    let bytes = credential.encode_secret();
    let mut fields: Fields = postcard::from_bytes(&bytes[2..])?;
    // m_2 and m_3 are the expiry and the round; the first balance follows.
    fields.4[2] += by;
    let edited = postcard::to_extend(&fields, vec![VERSION, kind::STORED_CREDENTIAL])?;
    Ok(Credential::decode(&edited)?)
}

/// A key of the same line, round and place with a higher value.
fn dearer(view: &InForce<'_>, key: KeyIndex) -> Option<KeyIndex> {
    let known = view.key(key)?.id;
    let higher = |other: &annona_protocol::programme::KeyId| {
        other.value != known.value && (other.line, other.round, other.site) == (known.line, known.round, known.site)
    };
    (0u32..).zip(view.programme.keys()).find(|(_, entry)| higher(&entry.id)).map(|(at, _)| KeyIndex(at))
}

/// The issuer enrols, rolls over and draws for a household that no ticket was ever approved for, and logs nothing.
fn mint(distribution: &Distribution, view: &InForce<'_>) -> anyhow::Result<Vec<Voucher>> {
    let (programme, key): (_, &IssuerKey) = (view.programme, &distribution.issuer_key);
    let rng = &mut os_rng();
    let code = TicketCode::random(rng);
    let hash = code.hash(&programme.id(), TicketKind::Enrol);
    let place = TicketUse { lot: annona_node::authoring::LOT, hash, salt: [0; 32], index: 0, path: Vec::new() };
    let grant = TicketGrant { place, expires: view.round, attributes: vec![8, 0] };
    let (context, request) = EnrolContext::new(programme, TicketKind::Enrol, code, Slots::random(16, rng), rng)?;
    let issued = request.verify(programme, rng)?.issue(programme, key, &grant, rng)?;
    let credential = context.finish(programme, &issued.response, rng).map_err(|rejected| rejected.error)?;
    let (context, request) = RollOverContext::new(view, &credential, Slots::random(16, rng), rng)?;
    let (response, _) = request.verify(view, key, rng)?.answer(key, rng)?;
    let credential = context.finish(view, &response, rng).map_err(|rejected| rejected.error)?;

    let keys = Wallet::with_credential(view.programme.id(), credential.duplicate()).plan(view, SiteId(1))?;
    let master = distribution.masters.iter().find(|(round, _)| *round == view.round).context("the round is open")?;
    let secrets = RoundKeys::derive(view, &master.1)?;
    let session = secrets.open(view, &SessionRequest { round: view.round, keys: keys.clone() }, rng)?;
    let (context, request) = DrawContext::new(view, &credential, keys, session.offer(), Slots::random(16, rng), rng)?;
    let verified = request.verify(view, key, Some(&session), rng)?;
    let (response, _) = verified.answer(key, Some(session), rng)?;
    let (_, vouchers) = context.finish(view, &response, rng).map_err(|rejected| rejected.error)?;
    Ok(vouchers)
}

/// A voucher out of thin air: random where a signature should be.
fn invented(view: &InForce<'_>, site: SiteId) -> anyhow::Result<LoggedVoucher> {
    use annona_protocol::{redeem::holder_key, voucher::ShownVoucher};
    let rng = &mut os_rng();
    let mut point = || holder_key(&SecretScalar::random(rng));
    let key = (0u32..)
        .zip(view.programme.keys())
        .find(|(_, entry)| entry.id.round == view.round && entry.id.site == Some(site))
        .map(|(at, _)| KeyIndex(at))
        .context("the site has keys")?;
    let scalar = |seed: u8| PublicScalar::decode([seed; 32].map(|byte| byte & 0x0f)).context("below the order");
    let shown = ShownVoucher { key, holder: point(), r: point(), s: scalar(7)?, y: scalar(9)? };
    Ok(LoggedVoucher { shown, y_point: point() })
}

/// What an accomplice's counter makes of vouchers: they verify.
fn logged(view: &InForce<'_>, key: &SigningKey, vouchers: &[Voucher]) -> anyhow::Result<Vec<LoggedVoucher>> {
    let place = Place::new(view, SiteId(1));
    let lines: Vec<LineId> = view.header.lines.iter().map(|line| line.id).collect();
    let quote = Signed::sign(QuoteTerms { place, id: Default::default(), lines }, key);
    let vouchers: Vec<&Voucher> = vouchers.iter().collect();
    let rng = &mut os_rng();
    let request = RedeemRequest::new(view, &quote, &vouchers, &SecretScalar::random(rng), rng)?;
    let visit = Counter::new(*view, place, Vec::new())
        .verify(&quote, &request)
        .map_err(|refusal| anyhow::anyhow!("minted vouchers do not verify: {}", refusal.code.code()))?;
    Ok(visit.leaves(|_| 1).into_iter().map(|leaf| leaf.voucher).collect())
}

/// A site that rewrites the end of its own log, consistently: leaves, batch, statement, signature, checkpoint.
struct SiteForger<'a> {
    view: &'a InForce<'a>,
    site: SiteId,
    key: &'a SigningKey,
    /// The key of a witness that cosigns what it is shown.
    witness: &'a SigningKey,
}

impl SiteForger<'_> {
    fn rewrite(&self, published: &Published, vouchers: &[LoggedVoucher]) -> anyhow::Result<Published> {
        let mut forged = published.clone();
        let log = &mut forged.sites.iter_mut().find(|(site, _)| *site == self.site).context("the site has a log")?.1;
        let mut entries = std::mem::take(&mut log.entries);
        let last = entries.pop().context("the log ends with a statement")?;
        let SiteLeaf::Statement(statement) = SiteLeaf::decode(&last)? else { anyhow::bail!("no statement at the end") };
        let mut batches = 0;
        for entry in &entries {
            batches += u32::from(SiteLeaf::decode(entry)?.as_batch().is_some());
        }
        let mut tree = Frontier::default();
        entries.iter().try_for_each(|entry| tree.append(leaf_hash(entry)))?;
        let leaves: Vec<SiteLeaf> =
            vouchers.iter().map(|voucher| SiteLeaf::Voucher(VoucherLeaf { number: 1, voucher: *voucher })).collect();
        let batch = close_batch(&leaves, batches + 1, self.view.round, tree.size());
        batch.iter().try_for_each(|entry| tree.append(leaf_hash(entry)))?;
        entries.extend(batch);
        let content = self.inflate(statement.content, vouchers, &tree)?;
        let statement = SiteLeaf::Statement(Signed::sign(content, self.key)).encode();
        tree.append(leaf_hash(&statement))?;
        entries.push(statement);
        log.checkpoint = self.checkpoint(&log.name, &tree)?;
        log.entries = entries;
        Ok(forged)
    }

    /// The forged tree under the site's own signature, and the cosignature of a witness that does not look.
    fn checkpoint(&self, origin: &str, tree: &Frontier) -> anyhow::Result<Vec<u8>> {
        let note = sign_checkpoint(self.key, origin, &Checkpoint::new(origin, tree.size(), tree.root())?)?;
        let log_key = VerifierKey::new(origin, KeyType::Log, self.key.verifying_key())?;
        let verified = verify_checkpoint(note.to_string().as_bytes(), &log_key, &[], 0)?;
        let cosigned = note.with_signature(cosign(self.witness, WITNESS, 0, &verified)?);
        Ok(cosigned.to_string().into_bytes())
    }

    fn inflate(
        &self,
        statement: StatementTerms,
        vouchers: &[LoggedVoucher],
        tree: &Frontier,
    ) -> anyhow::Result<StatementTerms> {
        let mut units: BTreeMap<LineId, Units> = statement.units.into_iter().collect();
        let mut counts: BTreeMap<KeyIndex, u64> = statement.vouchers.into_iter().collect();
        for voucher in vouchers {
            let entry = self.view.key(voucher.shown.key).context("a listed key")?;
            units.entry(entry.id.line).or_default().0 += u64::from(entry.id.value);
            *counts.entry(voucher.shown.key).or_default() += 1;
        }
        let (units, vouchers) = (units.into_iter().collect(), counts.into_iter().collect());
        Ok(StatementTerms { units, vouchers, size: tree.size(), root: tree.root(), ..statement })
    }
}
