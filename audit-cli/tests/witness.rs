//! The witness: what it cosigns and refuses, in the process and as the program over HTTP, through restarts and kills.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Barrier},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use annona_audit::witness::{
    KeyError, Listen, MAX_REQUEST_BYTES, Options, Refusal, ServeError, StateError, Witness, WitnessError, WitnessKey,
    serve,
};
use annona_protocol::log::{
    Checkpoint, KeyType, NoteSignature, SignedNote, TreeHash, VerifierKey,
    merkle::{consistency_proof, leaf_hash, root},
    note::{MAX_NOTE_BYTES, sign_checkpoint, verify_checkpoint},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use ed25519_dalek::SigningKey;

const NAME: &str = "witness.example.net/w1";
const DAY: u64 = 24 * 60 * 60;

/// A log that can also lie.
#[derive(Clone)]
struct TestLog {
    name: &'static str,
    key: SigningKey,
    leaves: Vec<TreeHash>,
}

impl TestLog {
    fn new(name: &'static str, seed: u8) -> Self {
        let leaves = (0_u64..40).map(|index| leaf_hash(&index.to_be_bytes())).collect();
        Self { name, key: SigningKey::from_bytes(&[seed; 32]), leaves }
    }

    /// The same log with another history from this leaf on.
    fn forked(&self, at: usize) -> Self {
        let mut fork = self.clone();
        fork.leaves[at..].iter_mut().for_each(|leaf| *leaf = leaf_hash(&leaf.0));
        fork
    }

    fn vkey(&self) -> VerifierKey {
        VerifierKey::new(self.name, KeyType::Log, self.key.verifying_key()).unwrap()
    }

    fn checkpoint(&self, size: usize) -> SignedNote {
        let checkpoint = Checkpoint::new(self.name, size as u64, root(&self.leaves[..size])).unwrap();
        sign_checkpoint(&self.key, self.name, &checkpoint).unwrap()
    }

    /// The request from `old` to `size`, with the proof that this log has for it.
    fn request(&self, old: usize, size: usize) -> Vec<u8> {
        let proof = consistency_proof(&self.leaves[..size], old as u64).unwrap_or_default();
        body(&old.to_string(), &proof, &self.checkpoint(size).to_string())
    }
}

fn body(old: &str, proof: &[TreeHash], note: &str) -> Vec<u8> {
    let proof: String = proof.iter().map(|hash| BASE64.encode(hash.0) + "\n").collect();
    format!("old {old}\n{proof}\n{note}").into_bytes()
}

fn log() -> TestLog {
    TestLog::new("aid.example.org/issuer", 1)
}

fn key() -> WitnessKey {
    WitnessKey::from_seed(NAME, &[9; 32]).unwrap()
}

fn try_open(state: &Path, logs: &[&TestLog]) -> Result<Witness, WitnessError> {
    let logs = logs.iter().map(|log| log.vkey()).collect();
    Witness::open(key(), Options { state: state.into(), logs, logs_file: None })
}

fn open(state: &Path, logs: &[&TestLog]) -> Witness {
    try_open(state, logs).unwrap()
}

/// What a verifier makes of a cosigned checkpoint; returns the time.
fn accepted(log: &TestLog, size: usize, line: NoteSignature) -> u64 {
    let note = log.checkpoint(size).with_signature(line).to_string();
    let verified = verify_checkpoint(note.as_bytes(), &log.vkey(), &[key().verifier_key()], 1).unwrap();
    assert_eq!(verified.checkpoint().size(), size as u64);
    verified.cosignatures()[0].time
}

fn grow(witness: &Witness, log: &TestLog, old: usize, size: usize) {
    accepted(log, size, witness.add_checkpoint(&log.request(old, size)).unwrap());
}

/// Asserts that the witness takes this size, and no other, for the log's last.
fn assert_known(witness: &Witness, log: &TestLog, size: u64) {
    let other = if size == 39 { 38 } else { 39 };
    let answer = witness.add_checkpoint(&log.request(other, 40)).unwrap_err();
    assert!(matches!(answer, Refusal::Old { known } if known == size), "{answer:?}");
}

#[test]
fn honest_growth_is_cosigned_with_the_day() {
    let (folder, log) = (tempfile::tempdir().unwrap(), log());
    let witness = open(folder.path(), &[&log]);
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let before = now();
    let mut old = 0;
    for size in [1, 2, 3, 7, 8, 9, 31, 32, 40] {
        let time = accepted(&log, size, witness.add_checkpoint(&log.request(old, size)).unwrap());
        assert_eq!(time % DAY, 0);
        assert!(before - before % DAY <= time && time <= now());
        old = size;
    }
}

#[test]
fn every_growth_is_cosigned() {
    for old in 0..20 {
        for size in old..20 {
            let (folder, log) = (tempfile::tempdir().unwrap(), log());
            let witness = open(folder.path(), &[&log]);
            grow(&witness, &log, 0, old);
            grow(&witness, &log, old, size);
        }
    }
}

#[test]
fn the_first_checkpoint_starts_from_zero() {
    let (folder, log) = (tempfile::tempdir().unwrap(), log());
    let witness = open(folder.path(), &[&log]);
    assert!(matches!(witness.add_checkpoint(&log.request(3, 5)).unwrap_err(), Refusal::Old { known: 0 }));
    // A proof from nothing has no hashes.
    let padded = body("0", &[log.leaves[0]], &log.checkpoint(5).to_string());
    assert!(matches!(witness.add_checkpoint(&padded).unwrap_err(), Refusal::Consistency { .. }));
    assert_known(&witness, &log, 0);
    grow(&witness, &log, 0, 0);
    grow(&witness, &log, 0, 5);
}

#[test]
fn one_size_has_one_root() {
    let (folder, log) = (tempfile::tempdir().unwrap(), log());
    let witness = open(folder.path(), &[&log]);
    grow(&witness, &log, 0, 5);
    grow(&witness, &log, 5, 5);
    let fork = log.forked(2);
    assert!(matches!(witness.add_checkpoint(&fork.request(5, 5)).unwrap_err(), Refusal::TwoRoots { size: 5 }));
    let name = |suffix| folder.path().join(format!("{}.{suffix}", leaf_hash(log.name.as_bytes())));
    assert_eq!(fs::read_to_string(name("conflict")).unwrap(), fork.checkpoint(5).to_string());
    assert_eq!(fs::read_to_string(name("checkpoint")).unwrap(), log.checkpoint(5).to_string());
    grow(&witness, &log, 5, 6);
    drop(witness);
    assert_known(&open(folder.path(), &[&log]), &log, 6);
}

#[test]
fn rollback_is_refused() {
    let (folder, log) = (tempfile::tempdir().unwrap(), log());
    let witness = open(folder.path(), &[&log]);
    grow(&witness, &log, 0, 9);
    for (old, size) in [(0, 5), (5, 5), (0, 0), (5, 8)] {
        let answer = witness.add_checkpoint(&log.request(old, size)).unwrap_err();
        assert!(matches!(answer, Refusal::Old { known: 9 }), "{answer:?}");
    }
    let answer = witness.add_checkpoint(&log.request(9, 5)).unwrap_err();
    assert!(matches!(answer, Refusal::Malformed(_)), "{answer:?}");
    assert_known(&witness, &log, 9);
}

#[test]
fn a_fork_is_refused() {
    let (folder, log) = (tempfile::tempdir().unwrap(), log());
    let witness = open(folder.path(), &[&log]);
    grow(&witness, &log, 0, 9);
    for at in 0..9 {
        let fork = log.forked(at);
        for size in [10, 16, 17, 40] {
            let own = witness.add_checkpoint(&fork.request(9, size)).unwrap_err();
            assert!(matches!(own, Refusal::Consistency { .. }), "{own:?}");
            // The honest proof does not help it.
            let proof = consistency_proof(&log.leaves[..size], 9).unwrap();
            let lent = body("9", &proof, &fork.checkpoint(size).to_string());
            assert!(matches!(witness.add_checkpoint(&lent).unwrap_err(), Refusal::Consistency { .. }));
        }
    }
    // Neither does none, or one with a hash too many.
    let proof = consistency_proof(&log.leaves[..16], 9).unwrap();
    for proof in [vec![], [&proof[..], &proof[..1]].concat(), proof[1..].to_vec()] {
        let request = body("9", &proof, &log.checkpoint(16).to_string());
        assert!(matches!(witness.add_checkpoint(&request).unwrap_err(), Refusal::Consistency { .. }));
    }
    grow(&witness, &log, 9, 16);
}

#[test]
fn only_known_logs_and_their_own_signatures_count() {
    let (folder, log) = (tempfile::tempdir().unwrap(), log());
    let witness = open(folder.path(), &[&log]);
    let stranger = TestLog::new("aid.example.org/other", 1);
    assert!(matches!(witness.add_checkpoint(&stranger.request(0, 5)).unwrap_err(), Refusal::UnknownLog));
    let impostor = TestLog::new(log.name, 2);
    assert!(matches!(witness.add_checkpoint(&impostor.request(0, 5)).unwrap_err(), Refusal::Signature { .. }));
    // The text of one checkpoint under the signature of another.
    let (five, six) = (log.checkpoint(5), log.checkpoint(6));
    let mixed = body("0", &[], &format!("{}\n{}\n", six.text(), five.signatures()[0]));
    assert!(matches!(witness.add_checkpoint(&mixed).unwrap_err(), Refusal::Signature { .. }));
    assert_known(&witness, &log, 0);
    // Lines of strangers are passed over, and not kept.
    let line = impostor.checkpoint(5).signatures()[0].clone();
    let request = body("0", &[], &log.checkpoint(5).with_signature(line).to_string());
    accepted(&log, 5, witness.add_checkpoint(&request).unwrap());
    let kept = folder.path().join(format!("{}.checkpoint", leaf_hash(log.name.as_bytes())));
    assert_eq!(fs::read_to_string(kept).unwrap(), log.checkpoint(5).to_string());
}

#[test]
fn logs_do_not_mix() {
    let (folder, log) = (tempfile::tempdir().unwrap(), log());
    let other = TestLog { leaves: log.forked(0).leaves, ..TestLog::new("aid.example.org/site-1", 2) };
    let witness = open(folder.path(), &[&log, &other]);
    grow(&witness, &log, 0, 9);
    grow(&witness, &other, 0, 4);
    grow(&witness, &log, 9, 10);
    drop(witness);
    let witness = open(folder.path(), &[&log, &other]);
    assert_known(&witness, &log, 10);
    assert_known(&witness, &other, 4);
}

#[test]
fn malformed_bodies_are_refused() {
    let (folder, log) = (tempfile::tempdir().unwrap(), log());
    let witness = open(folder.path(), &[&log]);
    grow(&witness, &log, 0, 5);
    let proof = consistency_proof(&log.leaves[..9], 5).unwrap();
    let note = log.checkpoint(9).to_string();
    let good = String::from_utf8(body("5", &proof, &note)).unwrap();
    let (text, lines) = note.rsplit_once("\n\n").unwrap();
    let mut bad: Vec<Vec<u8>> = [
        String::new(),
        "\n".into(),
        "\n\n".into(),
        "old 5\n".into(),
        "old 5\n\n".into(),
        note.clone(),
        format!("\n{note}"),
        good.replace("old 5", "old  5"),
        good.replace("old 5", "old 05"),
        good.replace("old 5", "old +5"),
        good.replace("old 5", "old -5"),
        good.replace("old 5", "old 5 "),
        good.replace("old 5", "old 0x5"),
        good.replace("old 5", "old "),
        good.replace("old 5", "old"),
        good.replace("old 5", "Old 5"),
        good.replace("old 5", "size 5"),
        good.replace("old 5", "old 18446744073709551616"),
        good.replace("old 5", "old 9223372036854775808"),
        good.replace("old 5", "old 10"),
        good.replace("old 5\n", "old 5\r\n"),
        good.replace('\n', "\r\n"),
        good.replacen("=\n", "\n", 1),
        good.replacen("=\n", "==\n", 1),
        good.replacen("old 5\n", "old 5\nAAAA\n", 1),
        good.replacen("old 5\n", "old 5\n!\n", 1),
        good.replacen("old 5\n", &format!("old 5\n{}\n", BASE64.encode([0; 33])), 1),
        good[..good.len() - 1].to_owned(),
        format!("{good}\n"),
        format!("{good}x\n"),
        format!("old 5\n\n\n{note}"),
        format!("old 5\n\n{text}\nextension\n\n{lines}"),
        format!("old 5\n\n{text}\n\n"),
        format!("old 5\n\n{text}\n"),
        String::from_utf8(body("5", &[proof[0]; 64], &note)).unwrap(),
    ]
    .map(String::into_bytes)
    .into();
    bad.push([b"\xff", good.as_bytes()].concat());
    bad.push([good.as_bytes(), b"\xff\n"].concat());
    bad.push([good.as_bytes(), b"\0\n"].concat());
    for body in &bad {
        let answer = witness.add_checkpoint(body).unwrap_err();
        assert!(matches!(answer, Refusal::Malformed(_)), "{answer:?} for {:?}", String::from_utf8_lossy(body));
    }
    // Cut off anywhere.
    for end in 0..good.len() {
        assert!(matches!(witness.add_checkpoint(&good.as_bytes()[..end]).unwrap_err(), Refusal::Malformed(_)), "{end}");
    }
    // A size that no tree has, well signed.
    let size = Checkpoint::new(log.name, 1 << 63, TreeHash([1; 32])).unwrap();
    let huge = sign_checkpoint(&log.key, log.name, &size).unwrap().to_string();
    assert!(matches!(witness.add_checkpoint(&body("5", &[], &huge)).unwrap_err(), Refusal::Malformed(_)));
    assert_known(&witness, &log, 5);
    accepted(&log, 9, witness.add_checkpoint(good.as_bytes()).unwrap());
}

#[test]
fn no_flipped_bit_makes_another_tree_cosigned() {
    let (folder, log) = (tempfile::tempdir().unwrap(), log());
    let witness = open(folder.path(), &[&log]);
    grow(&witness, &log, 0, 5);
    let good = log.request(5, 9);
    for bit in 0..good.len() * 8 {
        let mut body = good.clone();
        body[bit / 8] ^= 1 << (bit % 8);
        assert!(witness.add_checkpoint(&body).is_err(), "bit {bit}");
    }
    assert_known(&witness, &log, 5);
}

#[test]
fn oversized_requests_are_refused() {
    let (folder, log) = (tempfile::tempdir().unwrap(), log());
    let witness = open(folder.path(), &[&log]);
    let mut body = log.request(0, 5);
    body.resize(MAX_REQUEST_BYTES + 1, b'x');
    assert!(matches!(witness.add_checkpoint(&body).unwrap_err(), Refusal::TooLarge));
    body.pop();
    assert!(matches!(witness.add_checkpoint(&body).unwrap_err(), Refusal::Malformed(_)));
    const { assert!(MAX_REQUEST_BYTES > MAX_NOTE_BYTES + 64 * 45) };
}

#[test]
fn concurrent_requests_never_cosign_two_roots() {
    const FORKS: usize = 8;
    for size in 6..16 {
        let (folder, log) = (tempfile::tempdir().unwrap(), log());
        let witness = open(folder.path(), &[&log]);
        grow(&witness, &log, 0, 5);
        // All are consistent with what was cosigned; no two with each other.
        let forks: Vec<_> = (0..FORKS)
            .map(|fork| {
                let mut forked = log.clone();
                forked.leaves[5..]
                    .iter_mut()
                    .for_each(|leaf| *leaf = leaf_hash(&[&leaf.0[..], &[fork as u8]].concat()));
                forked
            })
            .collect();
        let barrier = Barrier::new(FORKS);
        let cosigned: Vec<_> = thread::scope(|scope| {
            let ask = |fork: &TestLog| {
                let request = fork.request(5, size);
                barrier.wait();
                witness.add_checkpoint(&request)
            };
            let threads: Vec<_> = forks.iter().map(|fork| scope.spawn(move || ask(fork))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(cosigned.iter().filter(|answer| answer.is_ok()).count(), 1);
        for answer in cosigned.into_iter().filter_map(Result::err) {
            assert!(matches!(answer, Refusal::Old { known } if known == size as u64), "{answer:?}");
        }
    }
}

#[test]
fn a_restart_keeps_the_state_and_one_process_has_it() {
    let (folder, log) = (tempfile::tempdir().unwrap(), log());
    let witness = open(folder.path(), &[&log]);
    grow(&witness, &log, 0, 9);
    let second = try_open(folder.path(), &[&log]).unwrap_err();
    assert!(matches!(second, WitnessError::State(StateError::Locked { .. })), "{second:?}");
    drop(witness);
    // What was not yet in place when a process died is nothing.
    let kept = format!("{}.checkpoint", leaf_hash(log.name.as_bytes()));
    fs::write(folder.path().join(format!("{kept}.new")), "half").unwrap();
    let witness = open(folder.path(), &[&log]);
    assert_known(&witness, &log, 9);
    assert!(matches!(witness.add_checkpoint(&log.forked(3).request(9, 12)).unwrap_err(), Refusal::Consistency { .. }));
    grow(&witness, &log, 9, 12);
}

#[test]
fn a_damaged_state_is_never_a_reset() {
    let (folder, log) = (tempfile::tempdir().unwrap(), log());
    grow(&open(folder.path(), &[&log]), &log, 0, 9);
    let path = folder.path().join(format!("{}.checkpoint", leaf_hash(log.name.as_bytes())));
    let good = fs::read(&path).unwrap();
    let unsigned = format!("{}\n{}\n", log.forked(0).checkpoint(9).text(), log.checkpoint(9).signatures()[0]);
    let other = TestLog::new("aid.example.org/other", 1).checkpoint(9).to_string();
    for bad in
        [b"".as_slice(), &good[..good.len() / 2], &[&good[..], b"\n"].concat(), unsigned.as_bytes(), other.as_bytes()]
    {
        fs::write(&path, bad).unwrap();
        let error = try_open(folder.path(), &[&log]).unwrap_err();
        assert!(matches!(error, WitnessError::State(StateError::Malformed { .. })), "{error:?}");
    }
    fs::write(&path, &good).unwrap();
    let stranger = folder.path().join("backup");
    fs::write(&stranger, &good).unwrap();
    let error = try_open(folder.path(), &[&log]).unwrap_err();
    assert!(matches!(error, WitnessError::State(StateError::Stranger { .. })), "{error:?}");
    fs::remove_file(&stranger).unwrap();
    // Another key for the same log does not start it anew.
    let error = try_open(folder.path(), &[&TestLog::new(log.name, 2)]).unwrap_err();
    assert!(matches!(error, WitnessError::State(StateError::Malformed { .. })), "{error:?}");
    assert_known(&open(folder.path(), &[&log]), &log, 9);
}

#[test]
fn what_cannot_be_kept_is_not_cosigned() {
    let (folder, log) = (tempfile::tempdir().unwrap(), log());
    let witness = open(folder.path(), &[&log]);
    grow(&witness, &log, 0, 5);
    // In the way of the temporary file, also for root.
    let path = folder.path().join(format!("{}.checkpoint.new", leaf_hash(log.name.as_bytes())));
    fs::create_dir(&path).unwrap();
    assert!(matches!(witness.add_checkpoint(&log.request(5, 9)).unwrap_err(), Refusal::State(_)));
    assert_known(&witness, &log, 5);
    fs::remove_dir(&path).unwrap();
    grow(&witness, &log, 5, 9);
}

#[test]
fn the_file_of_logs_is_read_again() {
    let (folder, log) = (tempfile::tempdir().unwrap(), log());
    let later = TestLog::new("aid.example.org/site-1/2", 3);
    let path = folder.path().join("logs");
    let state = folder.path().join("state");
    let options = || Options { state: state.clone(), logs: vec![], logs_file: Some(path.clone()) };
    assert!(matches!(Witness::open(key(), options()).unwrap_err(), WitnessError::LogsFile { .. }));
    fs::write(&path, format!("# the issuer\n\n{}\n", log.vkey())).unwrap();
    let witness = Witness::open(key(), options()).unwrap();
    grow(&witness, &log, 0, 5);
    assert!(matches!(witness.add_checkpoint(&later.request(0, 3)).unwrap_err(), Refusal::UnknownLog));
    // Half written, or with another key for a log: nothing of it is taken up, and what is known goes on.
    let impostor = TestLog::new(log.name, 8);
    for text in [format!("{}\nhalf", later.vkey()), format!("{}\n{}\n", later.vkey(), impostor.vkey())] {
        fs::write(&path, text).unwrap();
        assert!(matches!(witness.add_checkpoint(&later.request(0, 3)).unwrap_err(), Refusal::Logs { .. }));
        assert!(matches!(witness.add_checkpoint(&impostor.request(5, 6)).unwrap_err(), Refusal::Signature { .. }));
    }
    grow(&witness, &log, 5, 6);
    fs::write(&path, format!("{}\n{}\n", log.vkey(), later.vkey())).unwrap();
    grow(&witness, &later, 0, 3);
    assert_eq!(witness.known_logs(), 2);
    assert_known(&witness, &log, 6);
    drop(witness);
    // Its own key and witnesses' keys are not logs.
    let own = VerifierKey::new("log", KeyType::Log, *key().verifier_key().key()).unwrap();
    for bad in [own, key().verifier_key()] {
        fs::write(&path, format!("{bad}\n")).unwrap();
        assert!(matches!(Witness::open(key(), options()).unwrap_err(), WitnessError::NotALog { .. }));
    }
}

#[test]
fn key_files_are_private_and_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let run = || program().args(["witness", "keygen", "--name", NAME, "--key"]).arg(&path).output().unwrap();
    let made = run();
    assert!(made.status.success());
    let vkey: VerifierKey = stdout(&made).trim_end().parse().unwrap();
    assert_eq!((vkey.name(), vkey.key_type()), (NAME, KeyType::Witness));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let content = fs::read_to_string(&path).unwrap();
    // Base64 may hold a `+` itself.
    let seed = content.trim_end().splitn(4, '+').nth(3).unwrap();
    assert!(!stdout(&made).contains(seed));
    assert!(made.stderr.is_empty());
    assert_eq!(WitnessKey::read(&path).unwrap().verifier_key(), vkey);
    assert!(!format!("{:?}", WitnessKey::read(&path).unwrap()).contains(seed));

    let again = run();
    assert_eq!(again.status.code(), Some(2));
    assert_eq!(fs::read_to_string(&path).unwrap(), content);

    for mode in [0o640, 0o604, 0o644, 0o620] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert!(matches!(WitnessKey::read(&path).unwrap_err(), KeyError::Mode { .. }), "{mode:o}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    for bad in
        [String::new(), content[..content.len() - 2].to_owned(), content.replace("w1", "w2"), content.clone() + "x"]
    {
        fs::write(&path, &bad).unwrap();
        let error = WitnessKey::read(&path).unwrap_err();
        assert!(matches!(error, KeyError::Malformed { .. }));
        assert!(!error.to_string().contains(&seed[..10]));
    }
    let name =
        program().args(["witness", "keygen", "--name", "two words", "--key"]).arg(folder.path().join("b")).output();
    assert_eq!(name.unwrap().status.code(), Some(2));
}

#[test]
fn the_library_serves_within_a_process() {
    let (folder, log) = (tempfile::tempdir().unwrap(), log());
    let remote = Listen { address: "0.0.0.0:0".parse().unwrap(), allow_remote: false };
    let witness = Arc::new(open(folder.path(), &[&log]));
    assert!(matches!(serve(Arc::clone(&witness), remote).unwrap_err(), ServeError::Remote { .. }));
    let server = serve(witness, Listen::default()).unwrap();
    let address = server.address();
    let (status, _, line) = post(address, &log.request(0, 5));
    assert_eq!(status, 200);
    accepted(&log, 5, line.trim_end().parse().unwrap());
    // Also from within a runtime; an idle connection does not hold up the stop.
    let idle = TcpStream::connect(address).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async { server.stop() });
    drop(idle);
    assert!(TcpStream::connect(address).is_err());
    // The folder is free again.
    assert_known(&open(folder.path(), &[&log]), &log, 5);
}

#[test]
fn the_program_answers_as_c2sp_says() {
    let (folder, log) = (tempfile::tempdir().unwrap(), log());
    let program = Running::start(folder.path(), &log);
    let at = program.address;
    let (status, kind, line) = post(at, &log.request(0, 5));
    assert_eq!((status, kind.as_str()), (200, "text/plain; charset=utf-8"));
    assert!(line.ends_with('\n'));
    let line: NoteSignature = line.trim_end().parse().unwrap();
    let note = log.checkpoint(5).with_signature(line).to_string();
    let verified = verify_checkpoint(note.as_bytes(), &log.vkey(), &[program.vkey()], 1).unwrap();
    assert_eq!(verified.cosignatures()[0].time % DAY, 0);

    assert_eq!(post(at, &log.request(0, 9)), (409, "text/x.tlog.size".into(), "5\n".into()));
    assert_eq!(post(at, &log.forked(2).request(5, 9)).0, 422);
    assert_eq!(post(at, &log.forked(2).request(5, 5)).0, 422);
    assert_eq!(post(at, &TestLog::new("stranger", 1).request(0, 5)).0, 404);
    assert_eq!(post(at, &TestLog::new(log.name, 2).request(5, 9)).0, 403);
    assert_eq!(post(at, b"nonsense").0, 400);
    assert_eq!(post(at, &log.request(9, 5)).0, 400);
    assert_eq!(post(at, b"").0, 400);
    // Announced is enough: nothing of it is read.
    let long = MAX_REQUEST_BYTES + 1;
    let head =
        format!("POST /add-checkpoint HTTP/1.1\r\nhost: w\r\nconnection: close\r\ncontent-length: {long}\r\n\r\n");
    assert_eq!(exchange(at, head.as_bytes()).0, 413);
    let mut chunked = b"POST /add-checkpoint HTTP/1.1\r\nhost: w\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    chunked.extend(format!("{long:x}\r\n").into_bytes());
    chunked.extend(vec![b'x'; long]);
    assert_eq!(exchange(at, &chunked).0, 413);
    assert_eq!(exchange(at, b"GET /add-checkpoint HTTP/1.1\r\nhost: w\r\nconnection: close\r\n\r\n").0, 405);
    assert_eq!(exchange(at, b"GET / HTTP/1.1\r\nhost: w\r\nconnection: close\r\n\r\n").0, 404);
    assert_eq!(post(at, &log.request(5, 9)).0, 200);

    // A second one does not take the folder; the first goes on, and stops when told.
    let second = Running::command(folder.path(), &log).output().unwrap();
    assert_eq!(second.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another witness"));
    assert_eq!(post(at, &log.request(9, 9)).0, 200);
    program.stop("-TERM");
    Running::start(folder.path(), &log).stop("-INT");
}

#[test]
fn a_killed_program_keeps_its_word() {
    let (folder, log) = (tempfile::tempdir().unwrap(), log());
    let mut old = 0;
    for size in 1..12 {
        let program = Running::start(folder.path(), &log);
        if size % 2 == 0 {
            assert_eq!(post(program.address, &log.request(old, size)).0, 200);
            program.kill();
        } else {
            // Killed while it works: it may or may not have kept the checkpoint, and goes on from what it kept.
            let mut stream = TcpStream::connect(program.address).unwrap();
            stream.write_all(&post_of(&log.request(old, size))).unwrap();
            program.kill();
            drop(stream);
        }
        let program = Running::start(folder.path(), &log);
        let (status, kind, known) = post(program.address, &log.request(39, 40));
        assert_eq!((status, kind.as_str()), (409, "text/x.tlog.size"));
        let known: usize = known.trim_end().parse().unwrap();
        assert!(known == size || (size % 2 == 1 && known == old), "{known}");
        if known > 0 {
            assert_eq!(post(program.address, &log.forked(0).request(known, 40)).0, 422);
            assert_eq!(post(program.address, &log.forked(0).request(known, known)).0, 422);
        }
        program.kill();
        old = known;
    }
}

#[test]
fn the_program_refuses_what_it_cannot_do_well() {
    let (folder, log) = (tempfile::tempdir().unwrap(), log());
    let refused = |more: &[&str], said: &str| {
        let output = Running::command(folder.path(), &log).args(more).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{more:?}");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.contains(said), "{stderr}");
    };
    refused(&["--listen", "0.0.0.0:0"], "loopback");
    refused(&["--log", "nonsense"], "verifier key");
    refused(&["--log", &TestLog::new(log.name, 2).vkey().to_string()], "two keys");
    refused(&["--logs", "/dev/null/none"], "cannot read");
    let state = folder.path().join("state");
    fs::write(state.join(format!("{}.checkpoint", leaf_hash(log.name.as_bytes()))), "damaged").unwrap();
    refused(&[], "damaged");
    let mut command = program();
    command.args(["witness", "serve", "--name", "other", "--key"]).arg(folder.path().join("key"));
    command.arg("--state").arg(&state).args(["--log", &log.vkey().to_string()]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains(NAME));
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_annona-audit"))
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The program, killed when it is dropped.
struct Running {
    child: Child,
    address: SocketAddr,
    key: std::path::PathBuf,
}

impl Running {
    /// `serve` with key and state in a folder; the key is made if there is none.
    fn command(folder: &Path, log: &TestLog) -> Command {
        let key = folder.join("key");
        if !key.exists() {
            WitnessKey::generate(NAME).unwrap().write(&key).unwrap();
        }
        let mut command = program();
        command.args(["witness", "serve", "--name", NAME, "--log", &log.vkey().to_string()]);
        command.arg("--key").arg(key).arg("--state").arg(folder.join("state"));
        command
    }

    fn start(folder: &Path, log: &TestLog) -> Self {
        let file = folder.join("address");
        let mut command = Self::command(folder, log);
        let mut child = command.arg("--address-file").arg(&file).stdout(Stdio::piped()).spawn().unwrap();
        // Said once it serves.
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("http://").unwrap().strip_suffix("/add-checkpoint").unwrap();
        assert_eq!(fs::read_to_string(file).unwrap(), format!("{address}\n"));
        Self { address: address.parse().unwrap(), child, key: folder.join("key") }
    }

    fn vkey(&self) -> VerifierKey {
        WitnessKey::read(&self.key).unwrap().verifier_key()
    }

    /// Ends by a signal, in order.
    fn stop(mut self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{signal}");
    }

    /// Ends by SIGKILL.
    fn kill(mut self) {
        self.child.kill().unwrap();
        assert_eq!(self.child.wait().unwrap().code(), None);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ended already, unless a test failed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn post_of(body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head =
        format!("POST /add-checkpoint HTTP/1.1\r\nhost: w\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn post(address: SocketAddr, body: &[u8]) -> (u16, String, String) {
    exchange(address, &post_of(body))
}

/// Status, content type and body of the answer.
fn exchange(address: SocketAddr, request: &[u8]) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let kind = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap_or_default();
    (status, kind.to_owned(), body.to_owned())
}
