//! `receipt` and `omission` by the real program: what became of slips, proofs for others, and nobody accused of what may still come.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod published;

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, sync::LazyLock};

use annona_audit::evidence::OmissionProof;
use annona_protocol::{
    audit::{
        Published, PublishedLog,
        receipt::Inclusion,
        testing::{Block, Draft, Story, checkpoint, checkpoint_by},
    },
    fixture::{CASH, SITE, next_version, sign_header},
    ids::{QuoteId, Round, Units},
    log::leaf::{IssuerLeaf, Leaf as _, OwedLeaf, SiteLeaf, VoidLeaf, VoucherLeaf},
    programme::LogKey,
    signature::PublicKey,
    slip::{OwedTerms, Place, Receipt, ReceiptTerms, RefusalCode, RefusalTerms, Signed, VoidTerms},
    voucher::Mark,
    wire::Message as _,
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use ed25519_dalek::SigningKey;
use published::{audit, publish, said};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use serde_json::{Value, json};

static STORY: LazyLock<Story> = LazyLock::new(|| Story::new(&mut ChaCha20Rng::seed_from_u64(51)));

fn programme() -> String {
    STORY.fixture.programme.id().to_string()
}

fn place(round: u32) -> Place {
    Place::new(&STORY.fixture.view(round), SITE)
}

/// The site's key.
fn key() -> &'static SigningKey {
    &STORY.fixture.site_logs[0]
}

/// The events of a round at the first site.
fn events(round: usize) -> &'static [SiteLeaf] {
    let Block::Batch(_, events) = &STORY.draft.sites[0].1[2 * (round - 1)] else { panic!("a batch") };
    events
}

fn vouchers(round: usize) -> Vec<VoucherLeaf> {
    let voucher = |leaf: &SiteLeaf| if let SiteLeaf::Voucher(leaf) = leaf { Some(*leaf) } else { None };
    events(round).iter().filter_map(voucher).collect()
}

fn owed() -> OwedLeaf {
    let owed = |leaf: &SiteLeaf| if let SiteLeaf::Owed(leaf) = leaf { Some(leaf.clone()) } else { None };
    events(1).iter().find_map(owed).unwrap()
}

fn voided() -> VoidLeaf {
    let void = |leaf: &SiteLeaf| if let SiteLeaf::Void(leaf) = leaf { Some(*leaf) } else { None };
    events(1).iter().find_map(void).unwrap()
}

fn promise(leaf: &VoucherLeaf, round: u32, batch: u32, key: &SigningKey) -> Receipt {
    let mark = leaf.voucher.shown.mark();
    let promised = SiteLeaf::Voucher(*leaf).tree_hash();
    let terms = ReceiptTerms { place: place(round), mark, number: leaf.number, leaf: promised, batch, pending: false };
    Signed::sign(terms, key)
}

fn refusal(code: RefusalCode, marks: Vec<Mark>) -> Vec<u8> {
    Signed::sign(RefusalTerms { place: place(1), quote: QuoteId([7; 16]), code, marks }, key()).encode()
}

fn slip(holder: &OwedLeaf, units: u64) -> Vec<u8> {
    let lines = vec![(CASH, Units(units))];
    Signed::sign(OwedTerms { place: place(1), lines, holder: holder.holder }, key()).encode()
}

fn acknowledgement(mark: Mark, number: u32) -> Vec<u8> {
    Signed::sign(VoidTerms { place: place(1), voided: vec![(mark, number)] }, key()).encode()
}

/// A published folder, slips beside it.
struct World {
    home: tempfile::TempDir,
}

impl World {
    fn new(edit: impl FnOnce(&mut Draft)) -> Self {
        let mut draft = STORY.draft.clone();
        edit(&mut draft);
        Self::of(&draft.publish(&STORY, &mut ChaCha20Rng::seed_from_u64(52)))
    }

    fn of(published: &Published) -> Self {
        let world = Self { home: tempfile::tempdir().unwrap() };
        publish(&world.home.path().join("published"), published);
        world
    }

    fn path(&self, name: &str) -> String {
        self.home.path().join(name).to_str().unwrap().to_owned()
    }

    fn file(&self, name: &str, content: &[u8]) -> String {
        fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    /// `receipt` for one slip: status, and what it says of it.
    fn one(&self, slip: &[u8]) -> (Option<i32>, Value) {
        let path = self.file("slip.bin", slip);
        let output = audit(&["receipt", &self.path("published"), "--programme", &programme(), &path, "--json"]);
        let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
        assert_eq!(json["slips"].as_array().unwrap().len(), 1);
        (output.status.code(), json["slips"][0].clone())
    }

    fn says(&self, slip: &[u8]) -> (Option<i32>, String) {
        let (status, json) = self.one(slip);
        (status, json["state"].as_str().unwrap().to_owned())
    }

    /// `omission` for one receipt: status, and the proof's file.
    fn omission(&self, slip: &[u8]) -> (Option<i32>, PathBuf) {
        let (path, proof) = (self.file("slip.bin", slip), self.path("proof.json"));
        drop(fs::remove_file(&proof));
        let output = audit(&["omission", &self.path("published"), &path, "--programme", &programme(), "-o", &proof]);
        (output.status.code(), proof.into())
    }

    fn verify(&self, proof: &[u8], programme: &str) -> Option<i32> {
        let path = self.file("offered.json", proof);
        audit(&["omission", "--verify", &path, "--programme", programme]).status.code()
    }
}

fn said_is(state: &str, status: i32) -> (Option<i32>, String) {
    (Some(status), state.to_owned())
}

#[test]
fn slips_that_were_honoured() {
    let world = World::new(|_| {});
    for (round, batch) in [(1, 1), (2, 2)] {
        for leaf in vouchers(round as usize) {
            let receipt = promise(&leaf, round, batch, key());
            let (status, said) = world.one(&receipt.encode());
            assert_eq!((status, &said["state"]), (Some(0), &"kept".into()), "{said}");
            let inclusion = BASE64.decode(said["inclusion"].as_str().unwrap()).unwrap();
            let inclusion = Inclusion::decode(&inclusion).unwrap();
            assert_eq!(said["leaves"][0]["leaf"], inclusion.index);
            assert_eq!(world.omission(&receipt.encode()).0, Some(1));
            assert!(!world.home.path().join("proof.json").exists(), "no proof against a site that kept its word");
        }
    }
    let (status, said) = world.one(&slip(&owed(), 5));
    assert_eq!((status, &said["state"]), (Some(0), &"kept".into()));
    assert!(said["why"].as_str().unwrap().contains("collected, at leaf"), "{said}");
    assert_eq!(world.says(&acknowledgement(voided().mark, 1)), said_is("kept", 0));
    let redeemed = vouchers(1)[0].voucher.shown.mark();
    assert_eq!(world.says(&refusal(RefusalCode::AlreadyRedeemed, vec![redeemed])), said_is("kept", 0));
    assert_eq!(world.says(&refusal(RefusalCode::HolderInvalid, vec![redeemed])), said_is("silent", 0));
}

/// An export of many, as wallets write it, is answered slip by slip.
#[test]
fn an_export_is_answered_slip_by_slip() {
    let lost = vouchers(1)[0];
    let world = World::new(|draft| without(draft, &SiteLeaf::Voucher(lost)));
    let slips: Vec<Vec<u8>> =
        vouchers(1)[..3].iter().map(|leaf| promise(leaf, 1, 1, key()).encode()).chain([slip(&owed(), 5)]).collect();
    let export = |programme: &str| {
        let slips: Vec<String> = slips.iter().map(|slip| BASE64.encode(slip)).collect();
        json!({ "format": "annona-receipts-1", "programme": programme, "slips": slips }).to_string()
    };
    let (path, proof) = (world.file("export.json", export(&programme()).as_bytes()), world.path("proof.json"));
    let run = || audit(&["receipt", &world.path("published"), &path, "--programme", &programme(), "--proof", &proof]);
    let output = run();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[0].contains("export.json 1: receipt of site 1, round 1: not honoured"), "{text}");
    assert!(lines[1..].iter().all(|line| line.contains(": honoured: leaf ")), "{text}");
    // Neither mark nor holder is printed.
    let holder = hex::encode(lost.voucher.shown.mark().holder.0);
    assert!(!text.contains(&holder[..16]));
    assert_eq!(world.verify(&fs::read(&proof).unwrap(), &programme()), Some(0));
    // What is there is not overwritten.
    assert_eq!(run().status.code(), Some(2));
    let other = world.file("export.json", export(&"00".repeat(32)).as_bytes());
    let output = audit(&["receipt", &world.path("published"), &other, "--programme", &programme()]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
}

fn without(draft: &mut Draft, leaf: &SiteLeaf) {
    let before: usize = draft.sites[0].1.iter().map(size).sum();
    for block in &mut draft.sites[0].1 {
        if let Block::Batch(_, events) = block {
            events.retain(|known| known != leaf);
        }
    }
    assert_eq!(draft.sites[0].1.iter().map(size).sum::<usize>() + 1, before);
}

fn size(block: &Block<SiteLeaf>) -> usize {
    if let Block::Batch(_, events) = block { events.len() } else { 0 }
}

#[test]
fn an_omission_is_proven_to_whoever_knows_the_programmes_id() {
    for (round, batch) in [(1, 1), (2, 2)] {
        let lost = vouchers(round as usize)[0];
        let world = World::new(|draft| without(draft, &SiteLeaf::Voucher(lost)));
        let receipt = promise(&lost, round, batch, key()).encode();
        assert_eq!(world.says(&receipt), said_is("broken", 1));
        let (status, path) = world.omission(&receipt);
        assert_eq!(status, Some(0));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let proof = fs::read(&path).unwrap();
        // Nothing but the id is needed, and nothing else will do.
        assert_eq!(world.verify(&proof, &programme()), Some(0));
        assert_eq!(world.verify(&proof, &"00".repeat(32)), Some(1));
        // The proof stands for its receipt.
        assert_eq!(world.says(&proof), said_is("broken", 1));
        let omission = OmissionProof::from_json(&proof).unwrap().omission;
        assert_eq!(world.says(&omission.encode()), said_is("broken", 1));
        // Another log's checkpoint, an uncosigned one, another receipt, no manifest.
        let edits: [&dyn Fn(&mut Value); 5] = [
            &|value| {
                let honest = World::new(|_| {});
                let note = fs::read_to_string(honest.path("published/logs/site-1/checkpoint")).unwrap();
                value["note"] = note.into();
            },
            &|value| {
                let note = value["note"].as_str().unwrap();
                let cut = note.trim_end().rfind('\n').unwrap() + 1;
                value["note"] = note[..cut].into();
            },
            &|value| {
                let kept = promise(&vouchers(round as usize)[1], round, batch, key());
                let swapped = annona_protocol::audit::receipt::Omission { receipt: kept, ..omission.clone() };
                value["omission"] = BASE64.encode(swapped.encode()).into();
            },
            &|value| value["manifest"] = Vec::<Value>::new().into(),
            &|value| value["log"] = "annona.example/site/river".into(),
        ];
        for (at, edit) in edits.iter().enumerate() {
            let mut value: Value = serde_json::from_slice(&proof).unwrap();
            edit(&mut value);
            assert_eq!(world.verify(value.to_string().as_bytes(), &programme()), Some(1), "edit {at}");
        }
        for cut in [0, 1, proof.len() / 2, proof.len() - 3] {
            assert_eq!(world.verify(&proof[..cut], &programme()), Some(2), "cut at {cut}");
        }
        let output = audit(&["omission", "--verify", "nowhere", "--programme", &programme()]);
        assert_eq!(output.status.code(), Some(2));
    }
}

/// A site chooses into how many batches it splits a round. That makes the proof long, and not impossible.
#[test]
fn many_batches_do_not_hide_an_omission() {
    let lost = vouchers(1)[0];
    let world = World::new(|draft| {
        without(draft, &SiteLeaf::Voucher(lost));
        let more = (0..2_900).map(|_| Block::Batch(Round(1), Vec::new()));
        draft.sites[0].1.splice(1..1, more);
    });
    let (status, path) = world.omission(&promise(&lost, 1, 2_901, key()).encode());
    assert_eq!(status, Some(0));
    let proof = fs::read(path).unwrap();
    assert!(OmissionProof::from_json(&proof).unwrap().omission.encode().len() > 1 << 20);
    assert_eq!(world.verify(&proof, &programme()), Some(0));
}

/// No bit of what the site signed can be another.
#[test]
fn no_flipped_bit_of_a_proof_accuses() {
    let lost = vouchers(1)[0];
    let world = World::new(|draft| without(draft, &SiteLeaf::Voucher(lost)));
    let (_, path) = world.omission(&promise(&lost, 1, 1, key()).encode());
    let proof = OmissionProof::from_json(&fs::read(path).unwrap()).unwrap();
    let id = STORY.fixture.programme.id();
    assert!(proof.verify(id).is_ok());
    let bytes = proof.omission.encode();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        let Ok(omission) = annona_protocol::audit::receipt::Omission::decode(&flipped) else { continue };
        let mut bad = proof.clone();
        bad.omission = omission;
        assert!(bad.verify(id).is_err(), "byte {at}");
    }
}

/// The log ends before the promised batch: nothing was broken yet.
#[test]
fn what_may_still_come_accuses_nobody() {
    let open = World::new(|draft| draft.sites[0].1.truncate(1));
    // Round 1 is not stated yet, and the next batch may be of round 1 or 2.
    for (round, batch) in [(1, 2), (2, 2), (2, 9)] {
        let receipt = promise(&vouchers(round as usize)[0], round, batch, key());
        // One that is in the log already is kept before its time.
        let expected = if round == 1 { "kept" } else { "pending" };
        assert_eq!(open.says(&receipt.encode()), said_is(expected, 0), "{round} {batch}");
        let (status, proof) = open.omission(&receipt.encode());
        assert_eq!((status, proof.exists()), (Some(1), false));
    }
    let (_, said) = open.one(&promise(&vouchers(2)[0], 2, 2, key()).encode());
    assert!(said["why"].as_str().unwrap().contains("until batch 2 is closed; 1 are"), "{said}");
    // Slips that name no batch wait for the end of their round.
    let lost = [SiteLeaf::Owed(owed()), SiteLeaf::Void(voided())];
    let slips = [slip(&owed(), 5), acknowledgement(voided().mark, 1)];
    for (leaf, slip) in lost.iter().zip(&slips) {
        let unstated = World::new(|draft| {
            without(draft, leaf);
            draft.sites[0].1.truncate(1);
        });
        assert_eq!(unstated.says(slip), said_is("pending", 0));
        let over = World::new(|draft| {
            without(draft, leaf);
            // The statement counts what is there; nobody verifies it here.
            draft.sites[0].1.retain(|block| matches!(block, Block::Batch(..)));
        });
        assert_eq!(over.says(slip), said_is("broken", 1));
    }
    // Another sum than was signed is another slip.
    assert_eq!(World::new(|_| {}).says(&slip(&owed(), 6)), said_is("broken", 1));
}

/// The last round has no later one whose batch would show it: the statement does, though it makes no proof.
#[test]
fn a_round_that_is_stated_waits_for_no_batch() {
    let lost = vouchers(2)[0];
    let world = World::new(|draft| without(draft, &SiteLeaf::Voucher(lost)));
    let receipt = promise(&lost, 2, 3, key()).encode();
    let (status, said) = world.one(&receipt);
    assert_eq!((status, &said["state"], &said["omission"]), (Some(1), &"broken".into(), &Value::Null));
    assert!(said["why"].as_str().unwrap().contains("round 2 is stated"), "{said}");
    let (status, proof) = world.omission(&receipt);
    assert_eq!((status, proof.exists()), (Some(1), false));
    let unstated = World::new(|draft| {
        without(draft, &SiteLeaf::Voucher(lost));
        draft.sites[0].1.truncate(3);
    });
    assert_eq!(unstated.says(&receipt), said_is("pending", 0));
}

/// A copy of yesterday does not know the key of a log that was named since.
#[test]
fn a_version_that_the_copy_lacks_makes_no_slip_unsigned() {
    let new = SigningKey::from_bytes(&[41; 32]);
    let mut receipt = promise(&vouchers(2)[0], 2, 1, &new).content;
    assert_eq!(World::new(|_| {}).says(&Signed::sign(receipt, &new).encode()), said_is("unsigned", 1));
    receipt.place.manifest.0[0] ^= 1;
    assert_eq!(World::new(|_| {}).says(&Signed::sign(receipt, &new).encode()), said_is("unavailable", 2));
}

#[test]
fn a_refusal_that_the_log_contradicts_is_named() {
    let mark = STORY.unlogged[0].shown().mark();
    let slip = refusal(RefusalCode::AlreadyRedeemed, vec![mark]);
    assert_eq!(World::new(|draft| draft.sites[0].1.truncate(1)).says(&slip), said_is("pending", 0));
    let world = World::new(|_| {});
    assert_eq!(world.says(&slip), said_is("broken", 1));
    // The issuer may have given the site another pack.
    assert_eq!(world.says(&refusal(RefusalCode::Swapped, vec![mark])), said_is("silent", 0));
    let swapped = STORY.draft.issuer.iter().find_map(|block| match block {
        Block::Batch(_, events) => events.iter().find_map(|leaf| match leaf {
            IssuerLeaf::Swap(leaf) => Some(leaf.old[0].shown.mark()),
            _ => None,
        }),
        _ => None,
    });
    assert_eq!(world.says(&refusal(RefusalCode::Swapped, vec![swapped.unwrap()])), said_is("kept", 0));
    // A pack of another manifest version is of another place.
    let mut other =
        RefusalTerms { place: place(1), quote: QuoteId([7; 16]), code: RefusalCode::Swapped, marks: vec![mark] };
    other.place.manifest.0[0] ^= 1;
    assert_eq!(world.says(&Signed::sign(other, key()).encode()), said_is("pending", 0));
    // A mirror's packs that wait for their freeze are the issuer's word too.
    fs::create_dir_all(world.path("published/.mirror")).unwrap();
    fs::rename(world.path("published/packs"), world.path("published/.mirror/packs")).unwrap();
    assert_eq!(world.says(&refusal(RefusalCode::Swapped, vec![mark])), said_is("silent", 0));
    fs::remove_dir_all(world.path("published/.mirror/packs")).unwrap();
    assert_eq!(world.says(&refusal(RefusalCode::Swapped, vec![mark])), said_is("pending", 0));
}

#[test]
fn a_leaf_that_came_too_late_is_named() {
    let late = vouchers(1)[0];
    let world = World::new(|draft| {
        without(draft, &SiteLeaf::Voucher(late));
        draft.sites[0].1.insert(1, Block::Batch(Round(1), vec![SiteLeaf::Voucher(late)]));
    });
    let (status, said) = world.one(&promise(&late, 1, 1, key()).encode());
    assert_eq!((status, &said["state"]), (Some(1), &"broken".into()));
    assert!(said["why"].as_str().unwrap().contains("logged later, at leaf"), "{said}");
    assert_eq!(world.says(&promise(&late, 1, 2, key()).encode()), said_is("kept", 0));
}

/// What the site did not sign, or signed for another programme, says nothing of it.
#[test]
fn forged_and_foreign_slips_accuse_nobody() {
    let lost = vouchers(1)[0];
    let world = World::new(|draft| without(draft, &SiteLeaf::Voucher(lost)));
    let stranger = promise(&lost, 1, 1, &STORY.fixture.site_logs[1]);
    assert_eq!(world.says(&stranger.encode()), said_is("unsigned", 1));
    assert_eq!(world.omission(&stranger.encode()).0, Some(1));
    let mut edited = promise(&lost, 1, 1, key());
    edited.content.leaf.0[0] ^= 1;
    assert_eq!(world.says(&edited.encode()), said_is("unsigned", 1));
    let mut foreign = promise(&lost, 1, 1, key()).content;
    foreign.place.programme.0[0] ^= 1;
    let foreign = Signed::sign(foreign, key());
    assert_eq!(world.says(&foreign.encode()), said_is("foreign", 2));
    assert_eq!(world.omission(&foreign.encode()).0, Some(2));
    // No slip at all.
    for junk in [&b""[..], b"{}", b"\x01\x99", b"[]"] {
        let path = world.file("junk", junk);
        let output = audit(&["receipt", &world.path("published"), &path, "--programme", &programme()]);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    }
}

/// A copy that is missing, damaged or vouched for by no witness accuses nobody.
#[test]
fn a_log_that_is_not_here_accuses_nobody() {
    let lost = vouchers(1)[0];
    let world = World::new(|draft| without(draft, &SiteLeaf::Voucher(lost)));
    let receipt = promise(&lost, 1, 1, key()).encode();
    let note = fs::read_to_string(world.path("published/logs/site-1/checkpoint")).unwrap();
    let cut = note.trim_end().rfind('\n').unwrap() + 1;
    world.file("published/logs/site-1/checkpoint", &note.as_bytes()[..cut]);
    assert_eq!(world.says(&receipt), said_is("unavailable", 2));
    assert_eq!(world.omission(&receipt).0, Some(2));
    world.file("published/logs/site-1/checkpoint", note.as_bytes());
    let bundle = fs::read_dir(world.path("published/logs/site-1/tile/entries/000.p")).unwrap().next().unwrap();
    let bundle = bundle.unwrap().path();
    let mut bytes = fs::read(&bundle).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&bundle, bytes).unwrap();
    assert_eq!(world.says(&receipt), said_is("unavailable", 2));
    fs::remove_dir_all(world.path("published/logs/site-1")).unwrap();
    assert_eq!(world.says(&receipt), said_is("unavailable", 2));
}

/// A site lost its log and has a new one: what the old one had not closed is in no log, and proves nothing against anybody.
#[test]
fn a_log_that_was_replaced_is_no_omission() {
    let fixture = &STORY.fixture;
    let new = SigningKey::from_bytes(&[41; 32]);
    let name = "annona.example/site/north-2";
    let mut next = next_version(&fixture.chain[1].header, fixture.programme.keys());
    next.sites[0].logs.push(LogKey { name: name.into(), key: PublicKey::of(&new) });
    let next = sign_header(next, &fixture.officers);
    let mut draft = STORY.draft.clone();
    draft.issuer.push(Block::Control(IssuerLeaf::Manifest(next)));
    let second = draft.sites[0].1.split_off(2);
    let mut published = draft.publish(&STORY, &mut ChaCha20Rng::seed_from_u64(53));
    let entries = draft.publish_site(fixture, SITE, &new, &published.sites[0].1.entries, &second);
    let checkpoint = checkpoint(fixture, name, &new, &entries);
    published.sites.push((SITE, PublishedLog { name: name.into(), checkpoint, entries }));
    let world = World::of(&published);

    let kept = promise(&vouchers(1)[0], 1, 1, key());
    assert_eq!(world.says(&kept.encode()), said_is("kept", 0));
    let gone = vouchers(1)[0];
    let gone = VoucherLeaf { number: 2, ..gone };
    // Promised by a batch that the old log never closed.
    // It stated round 1, and may have had more of round 2 than is here.
    for (round, state, failed, proven) in [(1, "broken", 1, 1), (2, "unavailable", 2, 2)] {
        let receipt = promise(&gone, round, 2, key());
        assert_eq!(world.says(&receipt.encode()), said_is(state, failed));
        let (status, proof) = world.omission(&receipt.encode());
        assert_eq!((status, proof.exists()), (Some(proven), false));
    }
    // The old log closed the batch without it: that was no loss.
    let broken = promise(&gone, 1, 1, key()).encode();
    assert_eq!(world.says(&broken), said_is("broken", 1));
    let (status, proof) = world.omission(&broken);
    assert_eq!(status, Some(0));
    assert_eq!(world.verify(&fs::read(proof).unwrap(), &programme()), Some(0));
    // The new log keeps its own word, and is not asked for the old one's.
    assert_eq!(world.says(&promise(&vouchers(2)[0], 2, 1, &new).encode()), said_is("kept", 0));
    let (status, said) = world.one(&slip(&owed(), 5));
    assert_eq!(status, Some(0));
    assert!(said["why"].as_str().unwrap().contains(&format!("of {name}")), "{said}");
    let mark = STORY.unlogged[0].shown().mark();
    assert_eq!(world.says(&refusal(RefusalCode::AlreadyRedeemed, vec![mark])), said_is("silent", 0));
}

/// The witnesses of the day count for a log, whichever the manifest names now.
#[test]
fn a_proof_outlives_its_witnesses() {
    let fixture = &STORY.fixture;
    let witness = SigningKey::from_bytes(&[42; 32]);
    let mut next = next_version(&fixture.chain[1].header, fixture.programme.keys());
    next.witnesses = vec![LogKey { name: "other.example".into(), key: PublicKey::of(&witness) }];
    let lost = vouchers(1)[0];
    let mut draft = STORY.draft.clone();
    without(&mut draft, &SiteLeaf::Voucher(lost));
    draft.issuer.push(Block::Control(IssuerLeaf::Manifest(sign_header(next, &fixture.officers))));
    let mut published = draft.publish(&STORY, &mut ChaCha20Rng::seed_from_u64(54));
    let issuer = &mut published.issuer;
    let by = ("other.example", &witness);
    issuer.checkpoint = checkpoint_by(by, &issuer.name, &fixture.issuer_log, &issuer.entries);
    let world = World::of(&published);
    let (status, proof) = world.omission(&promise(&lost, 1, 1, key()).encode());
    assert_eq!(status, Some(0));
    assert_eq!(world.verify(&fs::read(proof).unwrap(), &programme()), Some(0));
}
