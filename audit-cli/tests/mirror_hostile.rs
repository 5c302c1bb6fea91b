//! Mirrors and audits of folders that somebody made to do harm: memory sticks with foreign files, links, devices and too much of
//! everything.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    sync::{LazyLock, atomic::AtomicBool},
    thread,
};

use annona_audit::{
    evidence::SplitView,
    mirror::{FaultKind, MirrorError, Options, Outcome, mirror},
    verify_folder,
};
use annona_protocol::{
    audit::{
        Published, keys_from_bytes, keys_to_bytes,
        testing::{Story, checkpoint},
    },
    fixture::Fixture,
    ids::{ProgrammeId, Round},
    log::{
        leaf::IssuerLeaf,
        merkle::{inclusion_proof, leaf_hash},
        tile::tiles_for,
    },
    programme::{Announced, Announcement},
    slip::{OpeningPack, PackTerms, Signed},
    wire::Message,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

static STORY: LazyLock<(Story, Published)> = LazyLock::new(|| {
    let mut rng = ChaCha20Rng::seed_from_u64(31);
    let story = Story::new(&mut rng);
    let published = story.draft.publish(&story, &mut rng);
    (story, published)
});

fn programme() -> ProgrammeId {
    STORY.0.fixture.programme.id()
}

fn write(path: PathBuf, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn write_log(folder: &Path, note: &[u8], entries: &[Vec<u8>]) {
    drop(fs::remove_dir_all(folder));
    write(folder.join("checkpoint"), note);
    for tile in tiles_for(entries).unwrap() {
        write(folder.join(tile.path.to_string()), &tile.content);
    }
}

/// The issuer's log with these entries, signed and cosigned.
fn issuer_note(entries: &[Vec<u8>]) -> Vec<u8> {
    let (story, published) = &*STORY;
    checkpoint(&story.fixture, &published.issuer.name, &story.fixture.issuer_log, entries)
}

/// The issuer's entries before the first freeze of a round.
fn before_freeze(round: u32) -> &'static [Vec<u8>] {
    let entries = &STORY.1.issuer.entries;
    let is_freeze = |entry: &Vec<u8>| matches!(IssuerLeaf::decode(entry), Ok(IssuerLeaf::Freeze(leaf)) if leaf.round == Round(round));
    &entries[..entries.iter().position(is_freeze).unwrap()]
}

/// What the issuer announces of a log with these entries.
fn announcement(entries: &[Vec<u8>]) -> Announcement {
    let leaves: Vec<_> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    let (mut versions, mut openings) = (Vec::new(), Vec::new());
    for (index, entry) in (0u64..).zip(entries) {
        let path = inclusion_proof(&leaves, index).unwrap();
        match IssuerLeaf::decode(entry).unwrap() {
            IssuerLeaf::Manifest(leaf) => versions.push(Announced { leaf, index, path }),
            IssuerLeaf::Open(leaf) => openings.push(Announced { leaf, index, path }),
            _ => {}
        }
    }
    Announcement { checkpoint: issuer_note(entries), versions, openings, keys: STORY.1.keys.clone() }
}

fn publish(folder: &Path) {
    let published = &STORY.1;
    write_log(&folder.join("logs/issuer"), &published.issuer.checkpoint, &published.issuer.entries);
    for (site, log) in &published.sites {
        write_log(&folder.join(format!("logs/site-{site}")), &log.checkpoint, &log.entries);
    }
    write(folder.join("keys.bin"), &keys_to_bytes(&published.keys));
    write(folder.join("announcement.bin"), &announcement(&published.issuer.entries).encode());
    for pack in &published.packs {
        write(folder.join(pack_name(pack)), &pack.encode());
    }
}

fn pack_name(pack: &OpeningPack) -> String {
    format!("packs/round-{}-site-{}.bin", pack.content.place.round.0, pack.content.place.site.0)
}

/// A log of site 1 that says nothing but is as long as wanted; from `fork` on it is another history.
fn long(size: usize, fork: usize) -> Vec<Vec<u8>> {
    (0..size).map(|index| format!("{index} {}", index >= fork).into_bytes()).collect()
}

fn site_note(entries: &[Vec<u8>]) -> Vec<u8> {
    let fixture = &STORY.0.fixture;
    checkpoint(fixture, &fixture.programme.latest().sites[0].logs[0].name, &fixture.site_logs[0], entries)
}

fn write_site(folder: &Path, entries: &[Vec<u8>]) {
    write_log(&folder.join("logs/site-1"), &site_note(entries), entries);
}

/// The note without the witness' line.
fn uncosigned(note: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(note).unwrap();
    text.split_inclusive('\n').filter(|line| !line.starts_with("— witness.example ")).collect::<String>().into_bytes()
}

fn options(folders: &[&Path]) -> Options {
    Options {
        programme: programme(),
        issuer: None,
        sites: Vec::new(),
        folders: folders.iter().map(|folder| (*folder).to_owned()).collect(),
        transport: annona_transport::Options::default(),
        recheck: false,
        uncosigned: false,
        most: 100_000,
    }
}

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        publish(&home.path("published"));
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A copy of what is published, to be changed.
    fn stick(&self, name: &str) -> PathBuf {
        publish(&self.path(name));
        self.path(name)
    }

    fn mirror(&self) -> PathBuf {
        self.path("mirror")
    }

    fn run(&self, options: &Options) -> Outcome {
        mirror(&self.mirror(), options, &AtomicBool::new(false)).unwrap()
    }

    /// Copies from what is published, without a fault.
    fn honest(&self) {
        let outcome = self.run(&options(&[&self.path("published")]));
        assert!(outcome.faults.is_empty() && outcome.unreached.is_empty(), "{outcome:?}");
    }

    fn keys(&self) -> Vec<u8> {
        fs::read(self.mirror().join("keys.bin")).unwrap()
    }

    fn assert_verified(&self) {
        let findings = verify_folder(&self.mirror(), programme(), &annona_audit::Options::default(), &|_| {}).unwrap();
        assert!(findings.findings.is_empty(), "{:?}", findings.findings);
    }

    fn packs(&self) -> BTreeMap<String, Vec<u8>> {
        let Ok(entries) = fs::read_dir(self.mirror().join("packs")) else { return BTreeMap::new() };
        let named = |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
        entries.map(|entry| named(entry.unwrap())).collect()
    }
}

fn kinds(outcome: &Outcome) -> Vec<FaultKind> {
    outcome.faults.iter().map(|fault| fault.kind).collect()
}

/// The published keys and one more.
fn foreign_keys() -> Vec<annona_protocol::programme::KeyEntry> {
    let other = Fixture::new(&mut ChaCha20Rng::seed_from_u64(99));
    let mut keys = STORY.1.keys.clone();
    keys.push(other.programme.keys()[0]);
    keys
}

/// H3: the key list is the one that the manifest fixes, whoever brings it.
#[test]
fn a_foreign_key_list_is_not_taken() {
    let home = Home::new();
    home.honest();
    let before = home.keys();
    let stick = home.stick("stick");
    fs::remove_file(stick.join("announcement.bin")).unwrap();
    fs::write(stick.join("keys.bin"), keys_to_bytes(&foreign_keys())).unwrap();
    let outcome = home.run(&options(&[&stick]));
    assert_eq!(kinds(&outcome), [FaultKind::KeysChanged]);
    assert!(home.keys() == before);
    home.assert_verified();
}

#[test]
fn a_foreign_key_list_is_not_taken_from_an_announcement_without_witnesses() {
    let home = Home::new();
    let stick = home.stick("stick");
    let mut announced = announcement(&STORY.1.issuer.entries);
    announced.keys = foreign_keys();
    fs::write(stick.join("announcement.bin"), announced.encode()).unwrap();
    for is_first in [true, false] {
        let outcome = home.run(&Options { uncosigned: true, ..options(&[&stick]) });
        assert!(!outcome.faults.is_empty(), "{outcome:?}");
        assert_eq!(home.mirror().join("keys.bin").exists(), !is_first, "nothing of a manifest whose keys are missing");
        home.honest();
        assert!(home.keys() == keys_to_bytes(&STORY.1.keys));
        home.assert_verified();
    }
}

#[test]
fn an_honest_run_mends_a_poisoned_key_list() {
    let home = Home::new();
    for source in ["published", "bare"] {
        let source = home.stick(source);
        home.honest();
        if source.ends_with("bare") {
            fs::remove_file(source.join("announcement.bin")).unwrap();
        }
        let changed = keys_to_bytes(&foreign_keys());
        let mut other = STORY.1.keys.clone();
        other.swap(0, 1);
        for poison in [changed, keys_to_bytes(&other), Vec::new(), vec![0xff]] {
            fs::write(home.mirror().join("keys.bin"), poison).unwrap();
            let outcome = home.run(&options(&[&source]));
            assert!(outcome.faults.is_empty(), "{outcome:?}");
            assert!(home.keys() == keys_to_bytes(&STORY.1.keys));
        }
        home.assert_verified();
    }
}

/// An older folder has the key list of its own manifest: no fault, and nothing to take.
#[test]
fn an_older_key_list_is_no_fault() {
    let home = Home::new();
    home.honest();
    let stick = home.stick("stick");
    fs::remove_file(stick.join("announcement.bin")).unwrap();
    let genesis = &STORY.1.issuer.entries[..1];
    write_log(&stick.join("logs/issuer"), &issuer_note(genesis), genesis);
    fs::write(stick.join("keys.bin"), []).unwrap();
    let outcome = home.run(&options(&[&stick]));
    assert!(outcome.faults.is_empty(), "{outcome:?}");
    assert!(home.keys() == keys_to_bytes(&STORY.1.keys));
    assert_eq!(keys_from_bytes(&home.keys()).unwrap().len(), STORY.1.keys.len());
}

/// H4: whatever junk was seen before, and however often, a fork is kept with its proof.
#[test]
fn junk_does_not_crowd_out_a_proof() {
    let home = Home::new();
    write_site(&home.path("published"), &long(300, usize::MAX));
    home.honest();
    let junk = home.stick("junk");
    write_site(&junk, &long(300, usize::MAX));
    for index in 0..100 {
        write(junk.join(format!("packs/{index}.bin")), format!("junk {index}").as_bytes());
    }
    assert_eq!(home.run(&options(&[&junk])).faults.len(), 100);
    let unsigned = home.stick("unsigned");
    for index in 0..100 {
        let note = format!("annona.example/nobody\n{index}\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n");
        write(unsigned.join("logs/site-1/checkpoint"), note.as_bytes());
        assert_eq!(kinds(&home.run(&options(&[&unsigned]))), [FaultKind::Checkpoint]);
    }
    let fork = home.stick("fork");
    let mut proven = Vec::new();
    for size in 250..260 {
        write_site(&fork, &long(size, 200));
        let outcome = home.run(&options(&[&fork]));
        assert_eq!(kinds(&outcome), [FaultKind::Forked]);
        proven.extend(outcome.faults[0].evidence.clone());
    }
    assert!(!proven.is_empty());
    for path in &proven {
        SplitView::from_json(&fs::read(path).unwrap()).unwrap().verify(programme()).unwrap();
    }
    // The officers' fault has room too, and a stolen key does not fill the disk.
    let kept = fs::read_dir(home.mirror().join("evidence")).unwrap().count();
    assert!(proven.len() < 10 && kept < 64, "{kept}");
}

/// M6: links, devices and files that are too long are named, not read.
#[test]
fn an_audit_follows_no_link() {
    let home = Home::new();
    let links = [
        "keys.bin",
        "packs",
        "logs",
        "logs/issuer",
        "logs/issuer/checkpoint",
        "logs/issuer/tile",
        "logs/issuer/tile/entries",
        "logs/site-2/tile/0",
    ];
    for (at, link) in links.iter().enumerate() {
        let stick = home.stick(&format!("stick-{at}"));
        let elsewhere = home.path(&format!("elsewhere-{at}"));
        fs::rename(stick.join(link), &elsewhere).unwrap();
        symlink(&elsewhere, stick.join(link)).unwrap();
        let error = verify_folder(&stick, programme(), &annona_audit::Options::default(), &|_| {}).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("no plain file") && text.contains(stick.join(link).to_str().unwrap()), "{link}: {text}");
        assert!(annona_audit::load(&stick).is_err(), "{link}");
        // The mirror takes what it can, and nothing behind the link: it needs neither hash tiles nor, beside an announcement, these.
        if !matches!(*link, "logs/site-2/tile/0" | "keys.bin" | "logs/issuer/checkpoint") {
            let folder = home.path(&format!("mirror-{at}"));
            let outcome = mirror(&folder, &options(&[&stick]), &AtomicBool::new(false)).unwrap();
            let behind = folder.join(if *link == "packs" { "packs" } else { "logs/issuer/checkpoint" });
            assert!(!behind.exists(), "{link}: {outcome:?}");
            assert!(!outcome.faults.is_empty() || !outcome.unreached.is_empty(), "{link}: {outcome:?}");
        }
    }
    // The folder itself may be one.
    symlink(home.path("published"), home.path("link")).unwrap();
    let report = verify_folder(&home.path("link"), programme(), &annona_audit::Options::default(), &|_| {}).unwrap();
    assert!(report.findings.is_empty());
}

#[test]
fn an_audit_reads_no_device_and_nothing_that_is_too_long() {
    let home = Home::new();
    let verify = |folder: &Path| verify_folder(folder, programme(), &annona_audit::Options::default(), &|_| {});
    let names = ["keys.bin", "logs/issuer/checkpoint", "packs/more.bin", "surrendered/more.bin"];
    for (at, name) in names.iter().enumerate() {
        let stick = home.stick(&format!("stick-{at}"));
        drop(fs::remove_file(stick.join(name)));
        fs::create_dir_all(stick.join(name).parent().unwrap()).unwrap();
        assert!(Command::new("mkfifo").arg(stick.join(name)).status().unwrap().success());
        let text = verify(&stick).unwrap_err().to_string();
        assert!(text.contains("no plain file"), "{name}: {text}");
        fs::remove_file(stick.join(name)).unwrap();
        fs::File::create(stick.join(name)).unwrap().set_len(1 << 40).unwrap();
        let text = verify(&stick).unwrap_err().to_string();
        assert!(text.contains("longer than"), "{name}: {text}");
    }
    let stick = home.stick("bundle");
    let bundles = stick.join("logs/site-1/tile/entries");
    let partial = fs::read_dir(bundles.join("000.p")).unwrap().next().unwrap().unwrap().path();
    fs::File::create(partial).unwrap().set_len(1 << 40).unwrap();
    let text = verify(&stick).unwrap_err().to_string();
    assert!(text.contains("longer than"), "{text}");
}

/// A few links would be a log of any size.
#[test]
fn links_make_no_endless_log() {
    let home = Home::new();
    let stick = home.stick("stick");
    let log = stick.join("logs/site-1");
    let entries: Vec<Vec<u8>> = vec![Vec::new(); 256_000];
    write_log(&log, &site_note(&entries), &entries);
    let note = String::from_utf8(fs::read(log.join("checkpoint")).unwrap()).unwrap();
    fs::write(log.join("checkpoint"), note.replace("\n256000\n", &format!("\n{}\n", 1u64 << 60))).unwrap();
    drop(fs::remove_dir_all(log.join("tile/entries/x001")));
    for number in 0..1000 {
        symlink(".", log.join(format!("tile/entries/x{number:03}"))).unwrap();
    }
    let error = verify_folder(&stick, programme(), &annona_audit::Options::default(), &|_| {}).unwrap_err();
    assert!(error.to_string().contains("no plain file"), "{error}");
}

/// M7: the same tree with the witnesses that the manifest asks for replaces one without.
#[test]
fn cosignatures_that_come_later_are_taken() {
    let home = Home::new();
    home.honest();
    for log in ["issuer", "site-1"] {
        let path = home.mirror().join("logs").join(log).join("checkpoint");
        let full = fs::read(&path).unwrap();
        let bare = uncosigned(&full);
        assert!(bare.len() < full.len());
        // As with --uncosigned before.
        fs::write(&path, &bare).unwrap();
        home.honest();
        assert!(fs::read(&path).unwrap() == full, "{log}");
        // And never the other way.
        let stick = home.stick("stick");
        fs::write(stick.join("logs").join(log).join("checkpoint"), &bare).unwrap();
        let outcome = home.run(&Options { uncosigned: true, ..options(&[&stick]) });
        assert!(outcome.faults.is_empty(), "{outcome:?}");
        assert!(fs::read(&path).unwrap() == full, "{log}");
    }
    home.assert_verified();
}

/// M8: also of a log that grew, files that are here already are compared.
#[test]
fn what_changed_in_a_log_that_grew_is_seen() {
    for (tile, size) in [("entries/000", 900), ("0/000", 900), ("0/001", 700), ("entries/001", 600)] {
        let home = Home::new();
        let published = home.path("published");
        write_site(&published, &long(520, usize::MAX));
        home.honest();
        write_site(&published, &long(size, usize::MAX));
        let recheck = Options { recheck: true, ..options(&[&published]) };
        let path = published.join("logs/site-1/tile").join(tile);
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        *bad.last_mut().unwrap() ^= 1;
        fs::write(&path, &bad).unwrap();
        let outcome = home.run(&recheck);
        assert_eq!(kinds(&outcome), [FaultKind::ChangedTile], "{tile}");
        assert!(outcome.faults[0].path.as_ref().unwrap().ends_with(tile), "{tile}");
        assert!(outcome.logs.iter().any(|log| (log.before, log.size) == (520, size as u64)));
        fs::write(&path, &good).unwrap();
        write_site(&published, &long(size + 100, usize::MAX));
        let outcome = home.run(&recheck);
        assert!(outcome.faults.is_empty(), "{outcome:?}");
    }
}

/// L2: an announcement only grows.
#[test]
fn a_poorer_announcement_does_not_replace_a_fuller_one() {
    let home = Home::new();
    home.honest();
    let path = home.mirror().join("announcement.bin");
    let full = announcement(&STORY.1.issuer.entries);
    assert!(full.openings.len() > 1);
    let stick = home.stick("stick");
    let mut poor = full.clone();
    poor.openings.pop();
    fs::write(stick.join("announcement.bin"), poor.encode()).unwrap();
    let outcome = home.run(&options(&[&stick]));
    assert!(outcome.faults.is_empty(), "{outcome:?}");
    assert!(fs::read(&path).unwrap() == full.encode());
    // What is damaged, or poorer, is replaced.
    for before in [poor.encode(), b"junk".to_vec()] {
        fs::write(&path, before).unwrap();
        home.honest();
        assert!(fs::read(&path).unwrap() == full.encode());
    }
}

/// Without witnesses an announcement still has to lead into the log: else a longer false one would stay.
#[test]
fn without_witnesses_an_announcement_has_to_be_in_the_log() {
    let home = Home::new();
    let stick = home.stick("stick");
    let full = announcement(&STORY.1.issuer.entries);
    let mut twice = full.clone();
    twice.openings.push(full.openings[0].clone());
    let mut elsewhere = full.clone();
    elsewhere.openings[0].index += 1;
    for bad in [twice, elsewhere] {
        fs::write(stick.join("announcement.bin"), bad.encode()).unwrap();
        let outcome = home.run(&Options { uncosigned: true, ..options(&[&stick]) });
        assert_eq!(kinds(&outcome), [FaultKind::Announcement]);
        // One that is here from before does not count.
        fs::create_dir_all(home.mirror()).unwrap();
        home.honest();
        fs::write(home.mirror().join("announcement.bin"), bad.encode()).unwrap();
        home.honest();
        assert!(fs::read(home.mirror().join("announcement.bin")).unwrap() == full.encode());
        fs::remove_dir_all(home.mirror()).unwrap();
    }
}

fn signed(edit: impl Fn(&mut PackTerms)) -> OpeningPack {
    let mut terms = STORY.1.packs[0].content.clone();
    edit(&mut terms);
    Signed::sign(terms, &STORY.0.fixture.issuer_log)
}

/// M2: a pack waits for its freeze.
#[test]
fn a_pack_before_its_freeze_waits() {
    let home = Home::new();
    let stick = home.stick("stick");
    let entries = before_freeze(2);
    write_log(&stick.join("logs/issuer"), &issuer_note(entries), entries);
    fs::write(stick.join("announcement.bin"), announcement(entries).encode()).unwrap();
    let outcome = home.run(&options(&[&stick]));
    assert!(outcome.faults.is_empty(), "{outcome:?}");
    let names: Vec<_> = home.packs().into_keys().collect();
    assert_eq!(names, ["round-1-site-1.bin", "round-1-site-2.bin"]);
    // The freeze comes, from a source without packs.
    let late = home.stick("late");
    fs::remove_dir_all(late.join("packs")).unwrap();
    let outcome = home.run(&options(&[&late]));
    assert!(outcome.faults.is_empty(), "{outcome:?}");
    assert_eq!(home.packs().len(), STORY.1.packs.len());
    home.assert_verified();
}

#[test]
fn a_pack_of_another_programme_is_not_taken() {
    let home = Home::new();
    let stick = home.stick("stick");
    let foreign = signed(|terms| terms.place.programme = ProgrammeId([7; 32]));
    write(stick.join("packs/0.bin"), &foreign.encode());
    let outcome = home.run(&options(&[&stick]));
    assert_eq!(kinds(&outcome), [FaultKind::PackDiffers]);
    assert_eq!(home.packs().len(), STORY.1.packs.len());
    home.assert_verified();
}

/// A second pack for a place that is frozen is a failure of the issuer, which one more shows; a thousand would fill the disk.
#[test]
fn a_second_pack_is_kept_and_a_third_is_not() {
    let home = Home::new();
    let stick = home.stick("stick");
    for more in 1..5 {
        // Seen before the true one, by its name.
        write(stick.join(format!("packs/0{more}.bin")), &signed(|terms| terms.size += more).encode());
    }
    for _ in 0..2 {
        let outcome = home.run(&options(&[&stick]));
        assert!(outcome.faults.iter().all(|fault| fault.kind == FaultKind::PackDiffers));
        assert_eq!(outcome.faults.len(), 4);
        let packs = home.packs();
        assert_eq!(packs.len(), STORY.1.packs.len() + 1);
        let true_one = &STORY.1.packs[0];
        assert!(packs[pack_name(true_one).strip_prefix("packs/").unwrap()] == true_one.encode());
    }
}

/// What an earlier run kept under the name of the true one, before there was a freeze.
#[test]
fn the_pack_that_the_freeze_fixes_gets_its_name() {
    let home = Home::new();
    home.honest();
    let (name, other) = (pack_name(&STORY.1.packs[0]), signed(|terms| terms.size += 1).encode());
    fs::write(home.mirror().join(&name), &other).unwrap();
    home.honest();
    assert!(fs::read(home.mirror().join(&name)).unwrap() == STORY.1.packs[0].encode());
    let packs = home.packs();
    assert_eq!(packs.len(), STORY.1.packs.len() + 1);
    assert!(packs.values().any(|pack| *pack == other), "an audit still sees both");
}

/// Serves a published folder as the node has it; `packs` says what file stands for a pack that is asked for.
fn serve(published: PathBuf, packs: impl Fn(&str) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let Some(Ok(request)) = lines.next() else { continue };
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let path = request.split(' ').nth(1).unwrap();
            let file = match (path.strip_prefix("/log/"), path.strip_prefix("/v1/packs/")) {
                (Some(below), _) => format!("logs/issuer/{below}"),
                (_, Some(place)) => packs(place),
                _ => "announcement.bin".to_owned(),
            };
            let body = fs::read(published.join(file)).unwrap();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            // Who asked may be gone: that is its test's to say.
            drop(stream.write_all(&[head.as_bytes(), &body].concat()));
        }
    });
    url
}

#[test]
fn a_server_that_gives_other_packs_is_named() {
    let home = Home::new();
    let published = home.path("published");
    let other = signed(|terms| terms.size += 1);
    write(published.join("other.bin"), &other.encode());
    let honest = |place: &str| format!("packs/round-{}.bin", place.replace('/', "-site-"));
    let of_another_place = move |_: &str| honest("1/2");
    let of_this_place = move |place: &str| if place == "1/1" { "other.bin".into() } else { honest(place) };
    let run = |url| home.run(&Options { issuer: Some(url), ..options(&[]) });
    let outcome = run(serve(published.clone(), of_another_place));
    assert_eq!(kinds(&outcome), [FaultKind::PackDiffers; 3]);
    assert_eq!(home.packs().into_keys().collect::<Vec<_>>(), ["round-1-site-2.bin"]);
    let outcome = run(serve(published.clone(), of_this_place));
    assert_eq!(kinds(&outcome), [FaultKind::PackDiffers]);
    assert!(home.packs().values().any(|pack| *pack == other.encode()));
    let outcome = run(serve(published, honest));
    assert!(outcome.faults.is_empty(), "{outcome:?}");
    assert_eq!(home.packs().len(), STORY.1.packs.len() + 1);
}

/// Anybody can write a surrender that does not verify, and a holder any number of one voucher.
#[test]
fn surrendered_vouchers_are_verified_and_taken_once() {
    let home = Home::new();
    let stick = home.stick("stick");
    let true_one = &STORY.1.surrendered[0];
    let mut bad = *true_one;
    bad.voucher.shown.key.0 ^= 1;
    for (at, surrender) in [true_one, true_one, &bad].into_iter().enumerate() {
        write(stick.join(format!("surrendered/{at}.bin")), &surrender.encode());
    }
    write(stick.join("surrendered/junk.bin"), b"junk");
    let outcome = home.run(&options(&[&stick]));
    assert!(outcome.faults.is_empty() && outcome.unreached.is_empty(), "{outcome:?}");
    let kept: Vec<_> = fs::read_dir(home.mirror().join("surrendered")).unwrap().collect();
    assert_eq!(kept.len(), 1);
    assert!(fs::read(kept[0].as_ref().unwrap().path()).unwrap() == true_one.encode());
    home.assert_verified();
}

/// The mirror says what it could not use.
#[test]
fn a_stick_of_links_is_named() {
    let home = Home::new();
    let stick = home.stick("stick");
    fs::rename(stick.join("announcement.bin"), home.path("elsewhere")).unwrap();
    symlink(home.path("elsewhere"), stick.join("announcement.bin")).unwrap();
    let error = mirror(&home.mirror(), &options(&[&stick]), &AtomicBool::new(false)).unwrap_err();
    assert!(matches!(error, MirrorError::Source(_)) && error.to_string().contains("no plain file"), "{error}");
}
