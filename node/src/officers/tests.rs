//! Proposals on their way between an office and its officers.

use annona_protocol::{group::Point, ids::Round, programme::Programme, signature::PublicKey, voucher::RoundMaster};
use ed25519_dalek::SigningKey;
use proptest::prelude::*;

use super::*;
use crate::{
    authoring::{Draft, SAMPLE, round_keys, with_keys},
    keys::{KeyFileError, Passphrase, write_secret},
};

struct Office {
    officers: Vec<OfficerKey>,
    genesis: Header,
}

/// Three officers, two of whom must sign.
fn office() -> Office {
    let rng = &mut rand_core::UnwrapErr(rand::rngs::SysRng);
    let officers: Vec<OfficerKey> = (0..3).map(|_| OfficerKey::generate(rng)).collect();
    let log = PublicKey::of(&SigningKey::from_bytes(&[1; 32]));
    let mut genesis = Draft::parse(SAMPLE, "sample").unwrap().genesis(Point::generator(), log).unwrap();
    genesis.officers = officers.iter().map(OfficerKey::public).collect();
    Office { officers, genesis }
}

fn keys(header: &Header, round: u32) -> Vec<KeyEntry> {
    round_keys(header, &RoundMaster::from_bytes(&[round as u8; 64]), Round(round)).unwrap()
}

impl Office {
    /// The genesis, signed.
    fn signed_genesis(&self) -> SignedHeader {
        let mut proposal = Proposal::version(self.genesis.clone(), &[], Vec::new());
        proposal.sign(&self.officers[2], None).unwrap();
        proposal.sign(&self.officers[0], None).unwrap();
        match proposal.approve(None).unwrap() {
            Approved::Version { signed, .. } => signed,
            Approved::Lot(_) => panic!("a version"),
        }
    }

    /// The version with keys for round 1.
    fn second(&self) -> Proposal {
        let added = keys(&self.genesis, 1);
        Proposal::version(with_keys(&self.genesis, &[], &added), &[], added)
    }

    fn lot(&self) -> Proposal {
        Proposal::lot(self.genesis.programme_id(), LotId(1), 2000, TreeHash([7; 32]))
    }
}

#[test]
fn a_programme_grows_by_approved_versions_and_lots() {
    let office = office();
    let signed = office.signed_genesis();
    assert_eq!(signed.signatures.iter().map(|signature| signature.officer).collect::<Vec<_>>(), [0, 2]);
    let mut programme = Programme::new(std::slice::from_ref(&signed), Vec::new()).unwrap();
    let genesis = Some(&signed.header);

    // Two officers sign copies of their own, and the office brings them together.
    let (mut first, mut second) = (office.second(), office.second());
    first.sign(&office.officers[1], genesis).unwrap();
    second.sign(&office.officers[0], genesis).unwrap();
    let mut collected = Proposal::from_bytes(&first.to_bytes()).unwrap();
    assert_eq!(collected.progress(genesis), Ok((1, 2)));
    assert_eq!(collected.clone().approve(genesis), Err(ProposalError::TooFew { have: 1, need: 2 }));
    collected.merge(&Proposal::from_bytes(&second.to_bytes()).unwrap(), genesis).unwrap();
    collected.merge(&second, genesis).unwrap();
    assert_eq!(collected.signed_by().collect::<Vec<_>>(), [0, 1]);
    let Approved::Version { signed, added } = collected.approve(genesis).unwrap() else { panic!("a version") };
    programme.append(&signed, &added).unwrap();

    // The next adds to a list that is not empty any more.
    let added = keys(programme.latest(), 2);
    let header = with_keys(programme.latest(), programme.keys(), &added);
    let mut third = Proposal::version(header, programme.keys(), added);
    let latest = programme.latest().clone();
    third.sign(&office.officers[1], Some(&latest)).unwrap();
    third.sign(&office.officers[2], Some(&latest)).unwrap();
    let Approved::Version { signed, added } = third.approve(Some(&latest)).unwrap() else { panic!("a version") };
    programme.append(&signed, &added).unwrap();

    let latest = programme.latest();
    let mut lot = office.lot();
    lot.sign(&office.officers[0], Some(latest)).unwrap();
    lot.sign(&office.officers[1], Some(latest)).unwrap();
    let Approved::Lot(leaf) = lot.approve(Some(latest)).unwrap() else { panic!("a lot") };
    assert_eq!((leaf.lot, leaf.count, leaf.root), (LotId(1), 2000, TreeHash([7; 32])));
    // As an audit checks it.
    let signed = LotLeaf::signed_bytes(&programme.id(), leaf.lot, leaf.count, &leaf.root);
    for one in &leaf.signatures {
        let key = &latest.officers[usize::from(one.officer)];
        signature::verify(tag::LOT, &signed, key, &one.signature).unwrap();
    }
}

#[test]
fn only_officers_sign_and_once() {
    let office = office();
    let genesis = Some(&office.genesis);
    let mut proposal = office.second();
    let stranger = OfficerKey::generate(&mut rand_core::UnwrapErr(rand::rngs::SysRng));
    assert_eq!(proposal.sign(&stranger, genesis), Err(ProposalError::NotAnOfficer));
    proposal.sign(&office.officers[1], genesis).unwrap();
    assert_eq!(proposal.sign(&office.officers[1], genesis), Err(ProposalError::SignedTwice));
    assert_eq!(proposal.signed_by().count(), 1);
    // Who decides is the version before: its successor's own officers do not.
    let Subject::Version { mut header, .. } = office.second().subject else { panic!("a version") };
    header.officers[0] = stranger.public();
    let added = keys(&office.genesis, 1);
    let mut coup = Proposal::version(header, &[], added);
    assert_eq!(coup.sign(&stranger, genesis), Err(ProposalError::NotAnOfficer));
    coup.sign(&office.officers[0], genesis).unwrap();
}

#[test]
fn signatures_are_of_one_proposal() {
    let office = office();
    let genesis = Some(&office.genesis);
    let mut lot = office.lot();
    let mut other = Proposal::lot(office.genesis.programme_id(), LotId(1), 2001, TreeHash([7; 32]));
    other.sign(&office.officers[0], genesis).unwrap();
    assert_eq!(lot.merge(&other, genesis), Err(ProposalError::WrongProposal));
    // A signature moved over from another proposal, under another name, or twice.
    lot.signatures = other.signatures.clone();
    assert_eq!(lot.check(genesis), Err(ProposalError::Signature));
    let mut renamed = other.clone();
    renamed.signatures[0].officer = 1;
    assert_eq!(renamed.check(genesis), Err(ProposalError::Signature));
    renamed.signatures[0].officer = 200;
    assert_eq!(renamed.check(genesis), Err(ProposalError::Signature));
    let mut twice = other.clone();
    twice.signatures.push(other.signatures[0]);
    assert_eq!(twice.clone().approve(genesis), Err(ProposalError::Signature));
    let mut clean = Proposal::lot(office.genesis.programme_id(), LotId(1), 2001, TreeHash([7; 32]));
    assert_eq!(clean.merge(&twice, genesis), Err(ProposalError::Signature));
    assert_eq!(clean.signed_by().count(), 0);
}

#[test]
fn what_does_not_fit_the_programme_is_not_signed() {
    let office = office();
    let genesis = Some(&office.genesis);
    let key = &office.officers[0];
    assert_eq!(office.second().sign(key, None), Err(ProposalError::Stale));
    assert_eq!(office.lot().sign(key, None), Err(ProposalError::Stale));
    let Subject::Version { header: second, added, .. } = office.second().subject else { panic!("a version") };
    assert_eq!(office.second().sign(key, Some(&second)), Err(ProposalError::Stale));
    let foreign = Proposal::lot(ProgrammeId([9; 32]), LotId(1), 1, TreeHash([7; 32]));
    assert_eq!(foreign.check(genesis), Err(ProposalError::Stale));
    for (lot, count) in [(LotId(2), 1), (LotId(1), 0)] {
        let unknown = Proposal::lot(office.genesis.programme_id(), lot, count, TreeHash([7; 32]));
        assert_eq!(unknown.check(genesis), Err(ProposalError::Lot));
    }
    let broken = Header { threshold: 9, ..second.clone() };
    let error = Proposal::version(broken, &[], added.clone()).check(genesis);
    assert_eq!(error, Err(ProposalError::Manifest(ManifestError::Keys)));

    // Keys that are not the list's, that stand for nothing, or twice.
    let with = |header: Header, frontier: Vec<TreeHash>, added: Vec<KeyEntry>| {
        let subject = Subject::Version { header, frontier, added };
        Proposal { subject, signatures: Vec::new() }.check(genesis)
    };
    assert_eq!(with(second.clone(), Vec::new(), added[1..].to_vec()), Err(ProposalError::Keys));
    assert_eq!(with(second.clone(), vec![TreeHash([1; 32])], added.clone()), Err(ProposalError::Keys));
    let listing = |added: &[KeyEntry]| with_keys(&office.genesis, &[], added);
    let mut foreign = added.clone();
    for change in [
        |id: &mut KeyId| id.round = Round(13),
        |id: &mut KeyId| id.value = 3,
        |id: &mut KeyId| id.slot = Some(annona_protocol::ids::Slot(0)),
        |id: &mut KeyId| id.line = annona_protocol::ids::LineId(9),
    ] {
        foreign[0] = added[0];
        change(&mut foreign[0].id);
        assert_eq!(with(listing(&foreign), Vec::new(), foreign.clone()), Err(ProposalError::Keys));
    }
    foreign[0] = KeyEntry { id: added[0].id, key: added[1].key };
    assert_eq!(with(listing(&foreign), Vec::new(), foreign.clone()), Err(ProposalError::Keys));
    assert_eq!(with(listing(&added), Vec::new(), added), Ok(()));
}

#[test]
fn descriptions_say_what_changes() {
    let office = office();
    let text = Proposal::version(office.genesis.clone(), &[], Vec::new()).describe(None).unwrap();
    for line in [
        "A new programme: Food and cash",
        "  Agency: Example Relief",
        "  Rounds: 1 to 12",
        "  Household attribute members: 1 to 15",
        "  Officers who must sign: 2 of 3",
        "  Line 4, a household gets, from round 1: 10 + 6 * members (unit of currency)",
        "  Line 3, conditions, from round 1: under-two >= 1",
        "  Line 1, a unit is worth, from round 1: 12000 g cereals, 1800 g pulses, 900 g oil, 150 g salt",
        "  Line 2, label in ar: صابون",
        "  Lot 1, for: new credentials",
        "  Voucher keys: 0 new, 0 in all",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    let text = office.second().describe(Some(&office.genesis)).unwrap();
    assert!(text.contains("Nothing but voucher keys changes."), "{text}");
    assert!(text.contains("  Keys of round 1, site 2 old-school: 18, every line and value\n"), "{text}");

    let mut header = with_keys(&office.genesis, &[], &[]);
    header.last_round = Round(18);
    header.lines[3].accrual.push(annona_protocol::programme::Since {
        round: Round(13),
        value: annona_protocol::programme::Form { constant: 5, terms: Vec::new() },
    });
    header.officers.pop();
    let text = Proposal::version(header.clone(), &[], Vec::new()).describe(Some(&office.genesis)).unwrap();
    for line in [
        "  Rounds: 1 to 12  ->  1 to 18",
        "  Line 4, a household gets, from round 13: new: 5 (unit of currency)",
        "  Officers who must sign: 2 of 3  ->  2 of 2",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(text.lines().any(|line| line.starts_with("  Officer 3: removed: ")), "{text}");
    assert!(!text.contains("Agency:"), "what stays is not listed\n{text}");

    // Keys for some places only are named.
    let some: Vec<KeyEntry> = keys(&office.genesis, 1).into_iter().take(20).collect();
    let partial = Proposal::version(with_keys(&office.genesis, &[], &some), &[], some);
    let text = partial.describe(Some(&office.genesis)).unwrap();
    assert!(text.contains("Keys of round 1, site 2 old-school: 2, NOT every line and value"), "{text}");
    assert!(text.contains("No keys in round 1: site 3 river-camp"), "{text}");

    let text = office.lot().describe(Some(&office.genesis)).unwrap();
    assert!(text.starts_with("Ticket lot 1 of Food and cash\n") && text.contains("  Tickets: 2000\n"), "{text}");
}

/// Every field of a header that a later version may change shows in the description.
#[test]
fn no_difference_is_silent() {
    let office = office();
    let base = with_keys(&office.genesis, &[], &[]);
    let changes: [fn(&mut Header); 14] = [
        |header| header.agency.push('!'),
        |header| header.name.push('!'),
        |header| header.threshold = 3,
        |header| header.witness_threshold = 0,
        |header| header.witnesses[0].name.push('x'),
        |header| header.policy.cohort_min += 1,
        |header| header.last_round = Round(13),
        |header| header.lines[0].values.push(99),
        |header| header.lines[0].unit.push('s'),
        |header| header.lines[0].worth[0].value[0].amount += 1,
        |header| header.lines[0].labels[0].text.push('s'),
        |header| header.lines[0].pictogram.push('s'),
        |header| header.sites[0].labels[0].text.push('s'),
        |header| header.lots.push(annona_protocol::programme::LotTerms { id: LotId(7), ..header.lots[0].clone() }),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let mut header = base.clone();
        change(&mut header);
        let text = Proposal::version(header, &[], Vec::new()).describe(Some(&office.genesis)).unwrap();
        assert!(!text.contains("Nothing but voucher keys changes."), "change {at}");
    }
}

#[test]
fn hostile_names_do_not_reach_the_terminal() {
    let mut office = office();
    office.genesis.agency = "Relief\u{1b}[2J\n  Rounds: 1 to 1".into();
    office.genesis.sites[0].name = "gate\u{202e}evil".into();
    let text = Proposal::version(office.genesis.clone(), &[], Vec::new()).describe(None).unwrap();
    assert!(!text.contains(['\u{1b}', '\u{202e}']));
    assert_eq!(text.lines().filter(|line| line.starts_with("  Rounds: ")).count(), 1, "{text}");
    office.genesis.name = "one\n  Rounds: 1 to 1".into();
    let text = Proposal::version(office.genesis.clone(), &[], Vec::new()).describe(None).unwrap();
    assert_eq!(text.lines().filter(|line| line.starts_with("  Rounds: ")).count(), 1, "{text}");
}

#[test]
fn files_read_back_and_damaged_ones_are_refused() {
    let office = office();
    let mut proposal = office.second();
    proposal.sign(&office.officers[0], Some(&office.genesis)).unwrap();
    let bytes = proposal.to_bytes();
    assert_eq!(Proposal::from_bytes(&bytes).unwrap(), proposal);
    for cut in [0, 5, MAGIC.len(), bytes.len() / 2, bytes.len() - 1] {
        assert_eq!(Proposal::from_bytes(&bytes[..cut]), Err(ProposalError::Malformed), "{cut}");
    }
    assert_eq!(Proposal::from_bytes(&[&bytes[..], &[0]].concat()), Err(ProposalError::Malformed));
    assert_eq!(Proposal::from_bytes(&vec![0; Proposal::MAX_BYTES + 1]), Err(ProposalError::TooLong));
    for at in (0..bytes.len()).step_by(41) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let outcome = Proposal::from_bytes(&changed).and_then(|read| read.check(Some(&office.genesis)));
        assert!(outcome.is_err(), "byte {at}");
    }
}

#[test]
fn an_officers_key_is_a_file_of_its_own_kind() {
    let folder = tempfile::tempdir().unwrap();
    let words = Passphrase::new("correct horse".into());
    let path = folder.path().join("officer.age");
    let key = OfficerKey::generate(&mut rand_core::UnwrapErr(rand::rngs::SysRng));
    key.save(&path, &words, 2).unwrap();
    let again = OfficerKey::open(&path, &words).unwrap();
    assert_eq!(again.public(), key.public());
    assert!(matches!(key.save(&path, &words, 2), Err(KeyFileError::Exists(_))));
    let other = folder.path().join("issuer.age");
    write_secret(&other, &[1; 32], &words, 2).unwrap();
    assert!(matches!(OfficerKey::open(&other, &words), Err(KeyFileError::NotASecret(_))));
    let seed = crate::keys::read_secret(&path, &words).unwrap();
    assert!(!format!("{key:?}").contains(&hex::encode(&seed[seed.len() - 32..])[..8]));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let _ = Proposal::from_bytes(&bytes);
        let framed = Proposal::from_bytes(&[MAGIC, &bytes[..]].concat());
        prop_assert!(framed.and_then(|read| read.check(None)).is_err());
    }
}
