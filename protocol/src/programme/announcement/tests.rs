use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::{
    fixture::{Fixture, next_version, sign_header},
    ids::ManifestHash,
    log::merkle,
    wire::Message as _,
};

fn fixture() -> Fixture {
    Fixture::new(&mut ChaCha20Rng::seed_from_u64(1))
}

/// An announcement of these leaves, whatever they are: paths and checkpoint are true.
fn announce(fixture: &Fixture, leaves: &[IssuerLeaf], keys: &[KeyEntry]) -> Announcement {
    let hashes: Vec<_> = leaves.iter().map(IssuerLeaf::tree_hash).collect();
    let place = |index: usize| merkle::inclusion_proof(&hashes, index as u64).unwrap();
    let (mut versions, mut openings) = (Vec::new(), Vec::new());
    for (at, leaf) in leaves.iter().enumerate() {
        let index = at as u64;
        match leaf {
            IssuerLeaf::Manifest(leaf) => versions.push(Announced { leaf: leaf.clone(), index, path: place(at) }),
            IssuerLeaf::Open(leaf) => openings.push(Announced { leaf: *leaf, index, path: place(at) }),
            _ => {}
        }
    }
    Announcement { checkpoint: fixture.checkpoint(&hashes), versions, openings, keys: keys.to_vec() }
}

fn leaves(fixture: &Fixture) -> Vec<IssuerLeaf> {
    let open = |round| IssuerLeaf::Open(OpenLeaf { round: Round(round), manifest: fixture.chain[1].header.hash() });
    let [first, second] = [0, 1].map(|at| IssuerLeaf::Manifest(fixture.chain[at].clone()));
    vec![first, second, open(1), open(2)]
}

#[test]
fn a_true_announcement_gives_the_programme_with_its_rounds() {
    let fixture = fixture();
    let announcement = announce(&fixture, &leaves(&fixture), fixture.programme.keys());
    let announcement = Announcement::decode(&announcement.encode()).unwrap();
    let programme = announcement.verify(fixture.programme.id()).unwrap();
    assert_eq!(programme.id(), fixture.programme.id());
    assert_eq!(programme.keys(), fixture.programme.keys());
    assert_eq!(programme.in_force(Round(2)).unwrap().hash, fixture.view(2).hash);
    assert_eq!(programme.in_force(Round(3)).unwrap_err(), ManifestError::NotInForce(Round(3)));
    assert!(fixture.announcement().verify(fixture.programme.id()).is_ok());
}

/// [6.3-M6]
#[test]
fn another_programme_a_gap_in_the_chain_and_another_key_list_are_refused() {
    let fixture = fixture();
    let (id, keys) = (fixture.programme.id(), fixture.programme.keys());
    let whole = announce(&fixture, &leaves(&fixture), keys);
    assert_eq!(whole.verify(ProgrammeId([1; 32])).unwrap_err(), AnnouncementError::Programme);
    let empty = Announcement { versions: Vec::new(), ..whole.clone() };
    assert_eq!(empty.verify(id).unwrap_err(), AnnouncementError::Programme);
    let headless = Announcement { versions: whole.versions[1..].to_vec(), ..whole.clone() };
    assert_eq!(headless.verify(id).unwrap_err(), AnnouncementError::Programme);
    // A third version that follows the second, without the second.
    let third = sign_header(next_version(&fixture.chain[1].header, keys), &fixture.officers);
    let [first, second, ..] = &leaves(&fixture)[..] else { panic!("four leaves") };
    let gap = announce(&fixture, &[first.clone(), IssuerLeaf::Manifest(third.clone())], keys);
    assert_eq!(gap.verify(id).unwrap_err(), AnnouncementError::Manifest(ManifestError::Chain));
    let all = announce(&fixture, &[first.clone(), second.clone(), IssuerLeaf::Manifest(third)], keys);
    assert_eq!(all.verify(id).unwrap().latest().version, 2);
    for keys in [&keys[..keys.len() - 1], &[keys, &keys[..1]].concat()] {
        let other = Announcement { keys: keys.to_vec(), ..whole.clone() };
        assert_eq!(other.verify(id).unwrap_err(), AnnouncementError::Manifest(ManifestError::KeyList));
    }
    let mut swapped = whole.clone();
    swapped.keys.swap(0, 1);
    assert_eq!(swapped.verify(id).unwrap_err(), AnnouncementError::Manifest(ManifestError::KeyList));
}

/// [6.3-M6]: the genesis is the log's first leaf, and versions stand in order.
#[test]
fn versions_out_of_order_are_refused() {
    let fixture = fixture();
    let (id, keys) = (fixture.programme.id(), fixture.programme.keys());
    let [first, second, open, _] = &leaves(&fixture)[..] else { panic!("four leaves") };
    let late = announce(&fixture, &[open.clone(), first.clone(), second.clone()], keys);
    assert_eq!(late.verify(id).unwrap_err(), AnnouncementError::Order);
    let mut turned = announce(&fixture, &[second.clone(), first.clone()], keys);
    turned.versions.reverse();
    assert_eq!(turned.verify(id).unwrap_err(), AnnouncementError::Order);
}

/// [6.3-M7]
#[test]
fn a_checkpoint_of_another_log_or_without_its_witness_is_refused() {
    let fixture = fixture();
    let id = fixture.programme.id();
    let whole = announce(&fixture, &leaves(&fixture), fixture.programme.keys());
    let text = String::from_utf8(whole.checkpoint.clone()).unwrap();
    let signed_only = text.lines().filter(|line| !line.contains("witness")).map(|line| format!("{line}\n")).collect();
    let alone = Announcement { checkpoint: String::into_bytes(signed_only), ..whole.clone() };
    let too_few = NoteError::TooFewWitnesses { found: 0, threshold: 1 };
    assert_eq!(alone.verify(id).unwrap_err(), AnnouncementError::Checkpoint(too_few));
    let mut stranger = Fixture::new(&mut ChaCha20Rng::seed_from_u64(2));
    stranger.witness = fixture.witness.clone();
    let hashes: Vec<_> = leaves(&fixture).iter().map(IssuerLeaf::tree_hash).collect();
    let other = Announcement { checkpoint: stranger.checkpoint(&hashes), ..whole };
    assert_eq!(other.verify(id).unwrap_err(), AnnouncementError::Checkpoint(NoteError::NotSignedByLog));
}

/// [6.3-M8]
#[test]
fn a_leaf_that_is_not_in_the_log_is_refused() {
    let fixture = fixture();
    let id = fixture.programme.id();
    let whole = announce(&fixture, &leaves(&fixture), fixture.programme.keys());
    let mut elsewhere = whole.clone();
    elsewhere.openings[0].index = 3;
    let mut beyond = whole.clone();
    beyond.openings[0].index = 4;
    let mut unsigned = whole.clone();
    unsigned.openings[0].leaf.round = Round(3);
    let mut cut = whole.clone();
    cut.versions[1].path.pop();
    for forged in [elsewhere, beyond, unsigned, cut] {
        assert!(matches!(forged.verify(id), Err(AnnouncementError::Inclusion(_))));
    }
}

/// [6.3-M1], [6.3-M9]
#[test]
fn a_round_opened_twice_too_early_or_under_nothing_is_refused() {
    let fixture = fixture();
    let (id, keys) = (fixture.programme.id(), fixture.programme.keys());
    let [first, second, open, later] = &leaves(&fixture)[..] else { panic!("four leaves") };
    let twice = announce(&fixture, &[first.clone(), second.clone(), open.clone(), open.clone()], keys);
    assert_eq!(twice.verify(id).unwrap_err(), AnnouncementError::OpenedTwice(Round(1)));
    let early = announce(&fixture, &[first.clone(), open.clone(), second.clone()], keys);
    assert_eq!(early.verify(id).unwrap_err(), AnnouncementError::Order);
    let mut turned = announce(&fixture, &[first.clone(), second.clone(), open.clone(), later.clone()], keys);
    turned.openings.reverse();
    assert_eq!(turned.verify(id).unwrap_err(), AnnouncementError::Order);
    let opening = |round, manifest| IssuerLeaf::Open(OpenLeaf { round: Round(round), manifest });
    let known = fixture.chain[1].header.hash();
    for (leaf, error) in
        [(opening(1, ManifestHash([1; 32])), ManifestError::Unknown), (opening(13, known), ManifestError::Rounds)]
    {
        let announcement = announce(&fixture, &[first.clone(), second.clone(), leaf], keys);
        assert_eq!(announcement.verify(id).unwrap_err(), AnnouncementError::Manifest(error));
    }
}
