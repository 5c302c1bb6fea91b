//! Signed content, cohort openings, trees, logs.

use annona_protocol::{
    fixture::signing_key,
    log::{
        leaf::IssuerLeaf,
        merkle::{self, TreeHash},
        note::{Checkpoint, KeyType, VerifierKey, cosign, sign_checkpoint, verify_checkpoint},
        tile::tiles_for,
    },
    registry::tag,
    signature::{self, PublicKey},
    wire::Message,
};
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;

use super::build::File;
use crate::{
    fields::tree,
    json::Json,
    life::{World, rng},
};

pub(super) fn files(world: &World) -> Vec<File> {
    vec![slip(world), cohort(world), merkle_tree(world), log(world)]
}

fn slip(world: &World) -> File {
    let (programme, fixture, visit) = (&world.fixture.programme, &world.fixture, &world.visit);
    let mut file = File::new(
        "slip",
        "3.7, 7.7, 8.4",
        "Signed content: every tag, every slip, and the issuer's word that a session is gone.",
    );
    let signer = signing_key(&mut rng("signer"));
    for tag in tag::ALL {
        let inputs = Json::object([
            ("tag", Json::text(tag)),
            ("key", Json::hex(PublicKey::of(&signer).0)),
            ("content", Json::hex(b"content")),
            ("signature", Json::hex(tree(&signature::sign(tag, b"content", &signer)).bytes())),
        ]);
        file.accept(programme, &format!("tag {tag}"), "signature", inputs);
    }
    let rule = "key, tag and content are signed; RFC 8032, strictly (3.7)";
    file.refuse_set(programme, "another tag", "tag quote", [("tag", Json::text("receipt"))], rule);
    file.refuse_set(programme, "other content", "tag quote", [("content", Json::hex(b"contenT"))], rule);
    let weak = Json::hex([&[1u8][..], &[0; 31]].concat());
    file.refuse_set(
        programme,
        "a key of small order",
        "tag quote",
        [("key", weak)],
        "keys are not of small order (3.7)",
    );
    let signature = tree(&signature::sign("quote", b"content", &signer)).bytes();
    let s: [u8; 32] = signature[32..].try_into().expect("64 bytes");
    let malleable = [&signature[..32], &super::build::plus_order(s)].concat();
    file.refuse_set(programme, "s plus l", "tag quote", [("signature", Json::hex(malleable))], "s is below l (3.7)");

    let site = PublicKey::of(&fixture.site_logs[0]);
    let issuer = PublicKey::of(&fixture.issuer_log);
    for (name, kind, bytes, key) in [
        ("quote", "QUOTE", visit.quote.encode(), site),
        ("receipt", "RECEIPT", visit.receipt.encode(), site),
        ("refusal slip", "REFUSAL", visit.refusal.encode(), site),
        ("owed slip", "OWED_SLIP", visit.owed.encode(), site),
        ("void slip", "VOID_SLIP", visit.void_slip.encode(), site),
        ("round statement", "STATEMENT", world.statement().encode(), site),
        ("opening pack", "PACK", world.packs[0].encode(), issuer),
    ] {
        let inputs =
            Json::object([("kind", Json::text(kind)), ("key", Json::hex(key.0)), ("message", Json::hex(&bytes))]);
        file.accept(programme, name, "signed", inputs);
        file.mutants(programme, name, "message", kind, &[]);
        let other = PublicKey::of(&fixture.site_logs[1]);
        file.refuse_set(programme, &format!("{name} under another key"), name, [("key", Json::hex(other.0))], rule);
    }
    let inputs = Json::object([("message", Json::hex(world.packs[0].encode()))]);
    file.compute(programme, "digest of the opening pack", "pack digest", inputs);
    let inputs = Json::object([("round", Json::number(1)), ("message", Json::hex(visit.gone.encode()))]);
    file.accept(programme, "session gone", "session gone", inputs);
    file.mutants(programme, "session gone", "message", "SESSION_GONE", &[]);
    file
}

fn cohort(world: &World) -> File {
    let programme = &world.fixture.programme;
    let mut file = File::new("cohort", "4.5", "The opened sum of two enrolments: M = B - G - C of each.");
    let point = |json: &Json| CompressedRistretto(json.array()).decompress().expect("a point");
    let members: Vec<Json> = world
        .enrol
        .iter()
        .map(|exchange| {
            let leaf = tree(&exchange.leaf).json();
            let m = point(leaf.get("b")) - RistrettoPoint::mul_base(&Scalar::ONE) - point(leaf.get("commitment"));
            Json::hex(m.compress().to_bytes())
        })
        .collect();
    let inputs = Json::object([
        ("manifest", Json::hex(world.freeze.manifest.0)),
        ("leaf", Json::hex(IssuerLeaf::Freeze(world.freeze.clone()).encode())),
        ("M", Json::List(members.clone())),
    ]);
    file.accept(programme, "opening", "cohort opening", inputs);
    // The rest of the freeze is not the opening's.
    file.mutants(programme, "opening", "leaf", "ISSUER_LEAF", &["Freeze.round", "Freeze.manifest", "Freeze.packs"]);
    let rule = "the sum is over all members (4.5)";
    file.refuse_set(programme, "a member left out", "opening", [("M", Json::list([members[0].clone()]))], rule);
    let twice = Json::list([members[0].clone(), members[0].clone()]);
    file.refuse_set(programme, "a member twice", "opening", [("M", twice)], rule);
    let genesis = Json::hex(world.fixture.chain[0].header.hash().0);
    file.refuse_set(programme, "another manifest", "opening", [("manifest", genesis)], "the manifest is bound (4.5)");
    file
}

fn hashes(hashes: &[TreeHash]) -> Json {
    Json::list(hashes.iter().map(|hash| Json::hex(hash.0)))
}

fn merkle_tree(world: &World) -> File {
    let programme = &world.fixture.programme;
    let mut file = File::new("tree", "8.1", "RFC 6962 trees: roots, inclusion, consistency.");
    let entries: Vec<Vec<u8>> = (0u8..9).map(|at| vec![at; usize::from(at)]).collect();
    let leaves: Vec<TreeHash> = entries.iter().map(|entry| merkle::leaf_hash(entry)).collect();
    for size in [0, 1, 2, 3, 5, 8, 9] {
        let inputs = Json::object([("entries", Json::list(entries[..size].iter().map(Json::hex)))]);
        file.compute(programme, &format!("tree of {size}"), "tree", inputs);
    }
    for (index, size) in [(0, 1), (0, 2), (1, 3), (2, 3), (4, 5), (0, 8), (7, 8), (8, 9), (3, 9)] {
        let path = merkle::inclusion_proof(&leaves[..size], index).expect("a leaf");
        let inputs = Json::object([
            ("leaf hash", Json::hex(leaves[index as usize].0)),
            ("index", Json::number(index)),
            ("size", Json::number(size as i128)),
            ("root", Json::hex(merkle::root(&leaves[..size]).0)),
            ("path", hashes(&path)),
        ]);
        file.accept(programme, &format!("leaf {index} of {size}"), "inclusion", inputs);
    }
    let (base, rule) = ("leaf 3 of 9", "RFC 9162, 2.1.3.2 (8.1)");
    file.refuse_set(programme, "another index", base, [("index", Json::number(2))], rule);
    file.refuse_set(programme, "another size", base, [("size", Json::number(8))], rule);
    file.refuse_set(programme, "an index beyond the end", base, [("index", Json::number(9))], rule);
    file.refuse_set(programme, "another leaf", base, [("leaf hash", Json::hex(leaves[4].0))], rule);
    file.refuse_set(programme, "another root", base, [("root", Json::hex([0; 32]))], rule);
    file.refuse_set(programme, "no path", base, [("path", Json::list([]))], rule);
    let mut path = merkle::inclusion_proof(&leaves, 3).expect("a leaf");
    path.push(leaves[0]);
    file.refuse_set(programme, "a hash too many", base, [("path", hashes(&path))], rule);
    for (old, new) in [(0, 3), (1, 2), (3, 3), (3, 9), (4, 9), (6, 8), (8, 9)] {
        let inputs = Json::object([
            ("old size", Json::number(old)),
            ("old root", Json::hex(merkle::root(&leaves[..old as usize]).0)),
            ("new size", Json::number(new)),
            ("new root", Json::hex(merkle::root(&leaves[..new as usize]).0)),
            ("path", hashes(&merkle::consistency_proof(&leaves[..new as usize], old as u64).expect("not larger"))),
        ]);
        file.accept(programme, &format!("{old} leaves become {new}"), "consistency", inputs);
    }
    let (base, rule) = ("3 leaves become 9", "RFC 9162, 2.1.4.2 (8.1)");
    file.refuse_set(programme, "another old root", base, [("old root", Json::hex([0; 32]))], rule);
    file.refuse_set(programme, "another new root", base, [("new root", Json::hex([0; 32]))], rule);
    file.refuse_set(programme, "another old size", base, [("old size", Json::number(2))], rule);
    file.refuse_set(programme, "another new size", base, [("new size", Json::number(8))], rule);
    file.refuse_set(programme, "a tree that shrinks", base, [("new size", Json::number(2))], rule);
    file.refuse_set(programme, "consistency without a path", base, [("path", Json::list([]))], rule);
    file
}

fn tiles(entries: &[Vec<u8>]) -> Json {
    let files = tiles_for(entries)
        .expect("short entries")
        .into_iter()
        .map(|tile| Json::object([("path", Json::text(tile.path.to_string())), ("content", Json::hex(tile.content))]));
    Json::object([("size", Json::number(entries.len() as i128)), ("files", Json::list(files))])
}

fn log(world: &World) -> File {
    let programme = &world.fixture.programme;
    let mut file = File::new("log", "8", "Batches, tiles, signed and cosigned checkpoints, whole logs, receipts.");
    let encoded = |leaves: Vec<Vec<u8>>| Json::list(leaves.iter().map(Json::hex));
    let batch = |log: &str, events: Json, start: u64| {
        Json::object([
            ("log", Json::text(log)),
            ("number", Json::number(1)),
            ("round", Json::number(1)),
            ("start", Json::number(start)),
            ("events", events),
        ])
    };
    let events = encoded(world.events.iter().map(Message::encode).collect());
    file.compute(programme, "issuer's batch", "batch", batch("issuer", events, 5));
    let site_events = world.site_events();
    let events = encoded(site_events.iter().map(Message::encode).collect());
    file.compute(programme, "site's batch", "batch", batch("site", events, 0));
    let (issuer, site) = (world.issuer_log(), world.site_log());
    file.accept(programme, "issuer's log", "log", tiles(&issuer));
    file.accept(programme, "site's log", "log", tiles(&site));
    let many: Vec<Vec<u8>> = (0u16..300).map(|at| at.to_be_bytes().to_vec()).collect();
    file.accept(programme, "a log of 300 entries", "log", tiles(&many));
    let tampered = |path: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let Json::List(files) = tiles(&site).get("files").clone() else { unreachable!() };
        Json::list(files.into_iter().map(|file| {
            if file.get("path").str() != path {
                return file;
            }
            let mut content = file.get("content").bytes();
            change(&mut content);
            file.with("content", Json::hex(content))
        }))
    };
    let width = site.len();
    let (entries, level) = (format!("tile/entries/000.p/{width}"), format!("tile/0/000.p/{width}"));
    let rule = "tiles are those of the entries (8.1)";
    file.refuse_set(
        programme,
        "an entry changed",
        "site's log",
        [("files", tampered(&entries, &|bytes| bytes[10] ^= 1))],
        rule,
    );
    file.refuse_set(
        programme,
        "a tile changed",
        "site's log",
        [("files", tampered(&level, &|bytes| bytes[0] ^= 1))],
        rule,
    );
    file.refuse_set(
        programme,
        "a tile cut",
        "site's log",
        [("files", tampered(&level, &|bytes| bytes.truncate(bytes.len() - 1)))],
        rule,
    );
    file.refuse_set(programme, "a file missing", "site's log", [("files", Json::list([]))], rule);

    checkpoints(world, &mut file, &issuer);

    receipts(world, &mut file, &site);
    file
}

fn receipts(world: &World, file: &mut File, site: &[Vec<u8>]) {
    let programme = &world.fixture.programme;
    let leaves: Vec<TreeHash> = site.iter().map(|entry| merkle::leaf_hash(entry)).collect();
    let origin = &programme.latest().sites[0].logs[0].name;
    let root = merkle::root(&leaves);
    let inputs = |proof: Vec<u8>| {
        Json::object([
            ("origin", Json::text(origin)),
            ("size", Json::number(leaves.len() as i128)),
            ("root", Json::hex(root.0)),
            ("proof", Json::hex(proof)),
        ])
    };
    for (name, check, kind, proof) in [
        ("a kept receipt", "inclusion proof", "INCLUSION", world.inclusion().encode()),
        ("a broken receipt", "omission proof", "OMISSION", world.omission().encode()),
        (
            "a broken receipt of a round without batches",
            "omission proof",
            "OMISSION",
            world.omission_from_empty().encode(),
        ),
    ] {
        file.accept(programme, name, check, inputs(proof));
        file.mutants(programme, name, "proof", kind, &[]);
        file.refuse_set(
            programme,
            &format!("{name}, another root"),
            name,
            [("root", Json::hex([0; 32]))],
            "paths lead to the checkpoint's root (8.3)",
        );
        let other = [("origin", Json::text("annona.example/site/river"))];
        file.refuse_set(
            programme,
            &format!("{name}, another log"),
            name,
            other,
            "the receipt is of the log's site (8.3)",
        );
    }
}

fn checkpoints(world: &World, file: &mut File, entries: &[Vec<u8>]) {
    let (programme, fixture) = (&world.fixture.programme, &world.fixture);
    let header = programme.latest();
    let (origin, witness) = (header.issuer_log.name.as_str(), header.witnesses[0].name.as_str());
    let verifier = |name: &str, kind, key: &ed25519_dalek::SigningKey| {
        VerifierKey::new(name, kind, key.verifying_key()).expect("a key")
    };
    let log_key = verifier(origin, KeyType::Log, &fixture.issuer_log);
    let witness_key = verifier(witness, KeyType::Witness, &fixture.witness);
    let leaves: Vec<TreeHash> = entries.iter().map(|entry| merkle::leaf_hash(entry)).collect();
    let checkpoint = Checkpoint::new(origin, entries.len() as u64, merkle::root(&leaves)).expect("an origin");
    let note = sign_checkpoint(&fixture.issuer_log, origin, &checkpoint).expect("its own log");
    let verified = verify_checkpoint(note.to_string().as_bytes(), &log_key, &[], 0).expect("just signed");
    let cosignature = cosign(&fixture.witness, witness, 1_700_000_000, &verified).expect("a time");
    let note = note.with_signature(cosignature);
    let inputs = Json::object([
        ("note", Json::text(note.to_string())),
        ("log key", Json::text(log_key.to_string())),
        ("witnesses", Json::list([Json::text(witness_key.to_string())])),
        ("threshold", Json::number(1)),
    ]);
    let base = "checkpoint of the issuer's log";
    file.accept(programme, base, "checkpoint", inputs);
    let text = note.to_string();
    let rule = "the log's signature, and as many witnesses' (8.2)";
    let mut refuse = |name: &str, note: String, rule: &str| {
        file.refuse_set(programme, name, base, [("note", Json::text(note))], rule);
    };
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    refuse("another size", text.replacen(&format!("\n{}\n", entries.len()), "\n99\n", 1), rule);
    refuse("no cosignature", lines[..5].concat(), rule);
    refuse("no signature of the log", [&lines[..4], &lines[5..]].concat().concat(), rule);
    refuse("an extension line", text.replacen("\n\n", "\nextension\n\n", 1), "a checkpoint has three lines (8.2)");
    refuse(
        "a size with a leading zero",
        text.replacen(&format!("\n{}\n", entries.len()), &format!("\n0{}\n", entries.len()), 1),
        "one spelling of a size (8.2)",
    );
    refuse("Windows line ends", text.replace('\n', "\r\n"), "no control characters (8.2)");
    refuse("no newline at the end", text.trim_end().to_owned(), "every line ends (8.2)");
    let twice = Json::list([Json::text(witness_key.to_string()), Json::text(witness_key.to_string())]);
    file.refuse_set(
        programme,
        "a witness counted twice",
        base,
        [("witnesses", twice), ("threshold", Json::number(2))],
        "a witness counts once by its key (8.2)",
    );
    let own = verifier("other.example", KeyType::Witness, &fixture.issuer_log);
    let set = [("witnesses", Json::list([Json::text(own.to_string())]))];
    file.refuse_set(programme, "the log as its own witness", base, set, "a log's own key is no witness (8.2)");
}
