//! What a dishonest issuer or site makes up, for tests of the audit: false proofs, vouchers outside of the log, an inflated
//! household. Behind `hazmat`.

use ed25519_dalek::SigningKey;
use rand_core::CryptoRng;

use super::{
    Published, PublishedLog,
    testing::{Block, Draft, Story, checkpoint_by},
};
use crate::{
    cohort::{CohortClass, CohortMember},
    credential::{IssueProof, IssuedCommitment},
    draw::SessionRequest,
    enrol::answer_transcript,
    fixture::{Fixture, LOT, SITE, next_version, sign_header},
    group::{Point, PublicScalar, Scalar},
    hazmat,
    ids::{Digest, KeyIndex, Round},
    log::leaf::{IssuerLeaf, Leaf, SiteLeaf},
    programme::LogKey,
    secret::SecretScalar,
    signature::PublicKey,
    voucher::Voucher,
};

/// The batches of a log that is to be.
pub fn batches<L>(blocks: &mut [Block<L>]) -> Vec<&mut Vec<L>> {
    blocks
        .iter_mut()
        .filter_map(|block| if let Block::Batch(_, events) = block { Some(events) } else { None })
        .collect()
}

/// The first event of a batch of the issuer's that `is` says; batches count from 0.
pub fn issuer_event(draft: &mut Draft, batch: usize, is: impl Fn(&IssuerLeaf) -> bool) -> &mut IssuerLeaf {
    let events = batches(&mut draft.issuer).swap_remove(batch);
    events.iter_mut().find(|leaf| is(leaf)).expect("the story has such an event")
}

/// The same of a site's log, the first site's being 0.
pub fn site_event(draft: &mut Draft, site: usize, batch: usize, is: impl Fn(&SiteLeaf) -> bool) -> &mut SiteLeaf {
    let events = batches(&mut draft.sites[site].1).swap_remove(batch);
    events.iter_mut().find(|leaf| is(leaf)).expect("the story has such an event")
}

/// The positions of the leaves that satisfy a predicate.
pub fn positions<L: Leaf>(log: &PublishedLog, is: impl Fn(&L) -> bool) -> Vec<u64> {
    let leaves = log.entries.iter().map(|entry| L::decode(entry).ok());
    (0u64..).zip(leaves).filter(|(_, leaf)| leaf.as_ref().is_some_and(&is)).map(|(at, _)| at).collect()
}

fn flip(digest: &mut Digest) {
    digest.0[0] ^= 1;
}

/// Changes something that an event's proofs bind, and nothing else reads.
///
/// # Panics
/// If the leaf is a control leaf.
pub fn falsify(leaf: &mut IssuerLeaf) {
    match leaf {
        IssuerLeaf::Enrol(leaf) => flip(&mut leaf.slots),
        IssuerLeaf::RollOver(record) => flip(&mut record.slots),
        IssuerLeaf::Draw(leaf) => flip(&mut leaf.challenges),
        IssuerLeaf::Amend(leaf) => flip(&mut leaf.record.slots),
        IssuerLeaf::Swap(leaf) => leaf.holder.response.0 += Scalar::ONE,
        _ => panic!("control leaves have no proofs"),
    }
}

/// Changes the holder's proof of a void or a collection.
///
/// # Panics
/// If the leaf has none.
pub fn falsify_holder(leaf: &mut SiteLeaf) {
    match leaf {
        SiteLeaf::Void(leaf) => leaf.holder.response.0 += Scalar::ONE,
        SiteLeaf::Collected(leaf) => leaf.proof.response.0 += Scalar::ONE,
        _ => panic!("no such proof"),
    }
}

/// Gives a roll-over the `e` of another.
///
/// # Panics
/// If a leaf is no roll-over.
pub fn reuse_e(leaf: &mut IssuerLeaf, other: &IssuerLeaf) {
    let (IssuerLeaf::RollOver(to), IssuerLeaf::RollOver(from)) = (leaf, other) else { panic!("roll-overs") };
    to.e = from.e;
}

/// Gives an amend another `M` than its ticket's.
///
/// # Panics
/// If the leaf is no amend.
pub fn amend_otherwise(leaf: &mut IssuerLeaf) {
    let IssuerLeaf::Amend(leaf) = leaf else { panic!("an amend") };
    leaf.added = Point::generator();
}

/// Vouchers of these keys that no leaf of the log shows.
pub fn mint<R: CryptoRng + ?Sized>(
    fixture: &Fixture,
    round: u32,
    keys: Vec<(KeyIndex, u32)>,
    rng: &mut R,
) -> Vec<Voucher> {
    let view = fixture.view(round);
    let request = SessionRequest { round: Round(round), keys: keys.clone() };
    let session = fixture.secrets(round).open(&view, &request, rng).expect("listed");
    let (blinded, challenges) = hazmat::blind(&view, &keys, session.offer(), rng).expect("listed");
    let answers = session.answer(&challenges).expect("as many as were offered");
    let each = keys.iter().flat_map(|(key, count)| std::iter::repeat_n(*key, *count as usize));
    let entries: Vec<_> = each.map(|key| *fixture.programme.key(key).expect("listed")).collect();
    blinded.unblind(&entries, &answers).expect("true answers")
}

/// Issuer and household together: the credential of an enrolment of the first batch has this expiry, whatever its leaf says, and
/// these attributes. All proofs hold.
///
/// # Panics
/// If the story has no such enrolment.
pub fn enrol_as<R: CryptoRng + ?Sized>(story: &mut Story, at: usize, expires: i64, attributes: &[i64], rng: &mut R) {
    let (fixture, blocks) = (&story.fixture, &mut story.draft.issuer);
    let programme = &fixture.programme;
    let Some(IssuerLeaf::Enrol(leaf)) = batches(blocks).swap_remove(0).get_mut(at) else { panic!("an enrolment") };
    let rho = SecretScalar::random(rng);
    let class = CohortClass { amend: false, expires: Round(12), drawn: Round(0) };
    let mut values = vec![0; usize::from(programme.parameters().arity()) - 1];
    values[0] = expires;
    for (index, value) in (0..).zip(attributes) {
        values[usize::from(programme.schema().attribute(index)) - 2] = *value;
    }
    let member = CohortMember::new(class, *rho.expose(), values);
    let b = IssuedCommitment::b(&leaf.commitment, Some(&member.commitment(programme.parameters()))).expect("a point");
    let issued = IssuedCommitment::sign(&fixture.issuer, b).expect("not degenerate");
    let mut transcript = answer_transcript(programme, &leaf.ticket.hash, &leaf.commitment, LOT, Round(12));
    leaf.proof = IssueProof::prove(&fixture.issuer, &issued, None, &mut transcript, rng).expect("true");
    (leaf.b, leaf.a, leaf.e) = (issued.b, issued.a, PublicScalar(issued.e));
    story.members.insert(leaf.ticket.hash, member);
}

/// The first site lost its log after round 1, and has a second one, whose key is given back. The old log stays cosigned by the old
/// witness, as the witnesses changed too. `edit` is done to the second log before it is signed.
pub fn replace_log<R: CryptoRng + ?Sized>(
    story: &Story,
    edit: impl FnOnce(&mut Vec<Block<SiteLeaf>>),
    rng: &mut R,
) -> (Published, SigningKey) {
    let fixture = &story.fixture;
    let [key, witness] = [[41; 32], [42; 32]].map(|bytes| SigningKey::from_bytes(&bytes));
    let named = |name: &str, key| LogKey { name: name.into(), key: PublicKey::of(key) };
    let name = "annona.example/site/north-2";
    let mut next = next_version(&fixture.chain[1].header, fixture.programme.keys());
    next.sites[0].logs.push(named(name, &key));
    next.witnesses = vec![named("other.example", &witness)];
    let mut draft = story.draft.clone();
    draft.issuer.push(Block::Control(IssuerLeaf::Manifest(sign_header(next, &fixture.officers))));
    let mut second = draft.sites[0].1.split_off(2);
    edit(&mut second);
    let mut published = draft.publish(story, rng);
    let entries = draft.publish_site(fixture, SITE, &key, &published.sites[0].1.entries, &second);
    published.sites.push((SITE, PublishedLog { name: name.into(), checkpoint: Vec::new(), entries }));
    let keys = [&fixture.site_logs[1], &key];
    let sites = published.sites[1..].iter_mut().map(|(_, log)| log).zip(keys);
    for (log, key) in sites.chain([(&mut published.issuer, &fixture.issuer_log)]) {
        log.checkpoint = checkpoint_by(("other.example", &witness), &log.name, key, &log.entries);
    }
    (published, key)
}
