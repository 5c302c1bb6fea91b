//! What manipulations are made of: the true story, folders on disk, the program, and rows that findings are held against.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Output},
    sync::LazyLock,
};

use annona_protocol::{
    audit::{
        Check, Party, Published, PublishedLog,
        forge::positions,
        keys_to_bytes,
        testing::{Draft, Story},
    },
    fixture::{SITE, SLOTTED},
    ids::{LineId, SiteId, Units},
    log::{
        leaf::{IssuerLeaf, Leaf, SiteLeaf},
        tile::tiles_for,
    },
    voucher::Mark,
    wire::Message,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use serde_json::Value;

/// The first site, and its place in lists.
pub(crate) const NORTH: (SiteId, usize) = (SITE, 0);
/// The second one.
pub(crate) const RIVER: (SiteId, usize) = (SLOTTED, 1);

/// What the story is told from.
pub(crate) const SEED: u64 = 61;

static STORY: LazyLock<(Story, Published)> = LazyLock::new(|| {
    let mut rng = ChaCha20Rng::seed_from_u64(SEED);
    let story = Story::new(&mut rng);
    let published = story.draft.publish(&story, &mut rng);
    (story, published)
});

/// The story that everything is made from.
pub(crate) fn story() -> &'static Story {
    &STORY.0
}

/// What it publishes if nobody cheats.
pub(crate) fn truth() -> &'static Published {
    &STORY.1
}

pub(crate) fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(62)
}

/// What is published if a party edits what it will log, and signs all of it.
pub(crate) fn publish(edit: impl FnOnce(&mut Draft)) -> Published {
    let mut draft = story().draft.clone();
    edit(&mut draft);
    draft.publish(story(), &mut rng())
}

/// A cheat.
pub(crate) struct Manipulation {
    /// Its stable name.
    pub(crate) name: &'static str,
    /// Who cheats, and how.
    pub(crate) how: &'static str,
    /// What the findings name beside the party.
    pub(crate) named: &'static str,
    /// Does it, and asserts everything that is found.
    pub(crate) run: fn() -> Caught,
}

/// What caught a manipulation. Only made by what asserts it.
pub(crate) struct Caught {
    /// The checks that name the manipulation.
    pub(crate) checks: Vec<Check>,
    /// Checks that fail as a consequence.
    pub(crate) follows: Vec<Check>,
    /// What caught it, where no check of an audit does.
    pub(crate) other: &'static str,
    /// Who is named for the manipulation.
    pub(crate) parties: BTreeSet<String>,
    /// Who is named at all.
    pub(crate) accused: BTreeSet<String>,
}

impl Caught {
    /// By something else than an audit's checks; parties as the program names them.
    pub(crate) fn otherwise(other: &'static str, parties: &[&str]) -> Self {
        let parties: BTreeSet<String> = parties.iter().map(|party| (*party).to_owned()).collect();
        Self { checks: Vec::new(), follows: Vec::new(), other, accused: parties.clone(), parties }
    }
}

/// A finding, with everything that the program says of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    check: &'static str,
    number: &'static str,
    party: String,
    log: String,
    leaf: Option<u64>,
    round: Option<u64>,
    line: Option<u64>,
    units: u64,
    key: Option<u64>,
    holder: Option<String>,
}

impl Row {
    fn new(check: Check, party: Party, log: &str) -> Self {
        let (number, check, party, log) = (check.number(), check.code(), party.to_string(), log.to_owned());
        Self { check, number, party, log, leaf: None, round: None, line: None, units: 0, key: None, holder: None }
    }

    /// Of the issuer, in its log.
    pub(crate) fn issuer(check: Check) -> Self {
        Self::new(check, Party::Issuer, &truth().issuer.name)
    }

    /// Of a site, in its log.
    pub(crate) fn site(check: Check, (site, at): (SiteId, usize)) -> Self {
        Self::new(check, Party::Site(site), &truth().sites[at].1.name)
    }

    pub(crate) fn party(self, party: Party) -> Self {
        Self { party: party.to_string(), ..self }
    }

    pub(crate) fn log(self, name: &str) -> Self {
        Self { log: name.to_owned(), ..self }
    }

    pub(crate) fn at(self, leaf: u64) -> Self {
        Self { leaf: Some(leaf), ..self }
    }

    pub(crate) fn round(self, round: u32) -> Self {
        Self { round: Some(round.into()), ..self }
    }

    pub(crate) fn stake(self, line: LineId, units: u64) -> Self {
        Self { line: Some(line.0.into()), units, ..self }
    }

    pub(crate) fn mark(self, mark: &Mark) -> Self {
        Self { key: Some(mark.key.0.into()), holder: Some(hex::encode(mark.holder.0)), ..self }
    }

    /// With the mark, and the round, line and units of its key.
    pub(crate) fn of(self, mark: &Mark) -> Self {
        let id = story().fixture.programme.key(mark.key).expect("a listed key").id;
        self.mark(mark).round(id.round.0).stake(id.line, id.value.into())
    }

    fn check(&self) -> Check {
        *Check::ALL.iter().find(|check| check.code() == self.check).expect("made from a check")
    }

    fn read(value: &Value) -> Self {
        let text = |member: &str| value[member].as_str().expect("a text").to_owned();
        let number = |member: &str| value[member].as_u64();
        let code = text("check");
        let check = *Check::ALL.iter().find(|check| check.code() == code).expect("a documented code");
        assert_eq!((text("number").as_str(), text("meaning").as_str()), (check.number(), check.meaning()));
        Self {
            check: check.code(),
            number: check.number(),
            party: text("party"),
            log: text("log"),
            leaf: number("leaf"),
            round: number("round"),
            line: number("line"),
            units: number("units").expect("a number"),
            key: number("key"),
            holder: value["holder"].as_str().map(str::to_owned),
        }
    }
}

/// A published folder.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    /// Writes one as the layout says.
    pub(crate) fn of(published: &Published) -> Self {
        let folder = Self(tempfile::tempdir().expect("a temporary folder"));
        folder.write_log("issuer", &published.issuer);
        for (at, (site, log)) in published.sites.iter().enumerate() {
            let earlier = published.sites[..at].iter().filter(|(other, _)| other == site).count();
            let suffix = if earlier == 0 { String::new() } else { format!(".{}", earlier + 1) };
            folder.write_log(&format!("site-{site}{suffix}"), log);
        }
        folder.write("keys.bin", &keys_to_bytes(&published.keys));
        for (index, pack) in published.packs.iter().enumerate() {
            folder.write(&format!("packs/{index}.bin"), &pack.encode());
        }
        for (index, surrender) in published.surrendered.iter().enumerate() {
            folder.write(&format!("surrendered/{index}.bin"), &surrender.encode());
        }
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, path: &str, content: &[u8]) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().expect("inside of the folder")).expect("a folder");
        fs::write(path, content).expect("a file");
    }

    fn write_log(&self, folder: &str, log: &PublishedLog) {
        self.write(&format!("logs/{folder}/checkpoint"), &log.checkpoint);
        for tile in tiles_for(&log.entries).expect("short entries") {
            self.write(&format!("logs/{folder}/{}", tile.path), &tile.content);
        }
    }

    /// The only file below a folder: a partial tile.
    pub(crate) fn tile(&self, folder: &str) -> std::path::PathBuf {
        let mut files = fs::read_dir(self.path().join(folder)).expect("a folder of tiles");
        files.next().expect("a tile").expect("a readable folder").path()
    }

    /// Verifies: the status, the report if there is one, and what standard error says.
    pub(crate) fn verify(&self) -> (Option<i32>, Option<Value>, String) {
        let output = program(&["verify", self.text(), "--json", "--threads", "1"]);
        let report = serde_json::from_slice(&output.stdout).ok();
        (output.status.code(), report, String::from_utf8_lossy(&output.stderr).into_owned())
    }

    pub(crate) fn text(&self) -> &str {
        self.path().to_str().expect("a path in UTF-8")
    }

    /// Everything holds.
    pub(crate) fn assert_verified(&self) -> Value {
        let (status, report, errors) = self.verify();
        let report = report.expect("a report");
        assert_eq!((status, &report["verified"], errors.as_str()), (Some(0), &Value::Bool(true), ""), "{report:#}");
        assert_eq!(report["findings"], Value::Array(Vec::new()));
        report
    }

    /// Exactly these findings: what names the manipulation, and what follows from it.
    pub(crate) fn caught(&self, named: &[Row], follows: &[Row]) -> Caught {
        let (status, report, errors) = self.verify();
        let report = report.unwrap_or_else(|| panic!("no report, status {status:?}: {errors}"));
        let mut found: Vec<Row> = report["findings"].as_array().expect("findings").iter().map(Row::read).collect();
        let mut expected: Vec<Row> = named.iter().chain(follows).cloned().collect();
        found.sort();
        expected.sort();
        assert!(!named.is_empty() && found == expected, "found {found:#?}\nexpected {expected:#?}");
        assert_eq!((status, &report["verified"], errors.as_str()), (Some(1), &Value::Bool(false), ""));
        Caught {
            checks: distinct(named),
            follows: distinct(follows),
            other: "",
            parties: named.iter().map(|row| row.party.clone()).collect(),
            accused: expected.into_iter().map(|row| row.party).collect(),
        }
    }

    /// The folder is no published folder: status 2, and a message with these parts. No report.
    pub(crate) fn refused(&self, parts: &[&str]) -> Caught {
        let (status, report, errors) = self.verify();
        assert_eq!((status, report), (Some(2), None), "{errors}");
        assert!(parts.iter().all(|part| errors.contains(part)), "{errors}");
        Caught::otherwise("status 2", &[])
    }
}

fn distinct(rows: &[Row]) -> Vec<Check> {
    rows.iter().map(Row::check).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Runs the program, for the story's programme.
pub(crate) fn program(arguments: &[&str]) -> Output {
    let programme = story().fixture.programme.id().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_annona-audit"));
    command.args(arguments).args(["--programme", &programme]).output().expect("the program runs")
}

/// Publishes, and expects exactly these findings.
pub(crate) fn caught(published: &Published, named: &[Row], follows: &[Row]) -> Caught {
    Folder::of(published).caught(named, follows)
}

/// The one position of a leaf.
pub(crate) fn only<L: Leaf>(log: &PublishedLog, is: impl Fn(&L) -> bool) -> u64 {
    let found = positions(log, is);
    assert_eq!(found.len(), 1, "one such leaf");
    found[0]
}

/// The position of a leaf of the issuer's.
pub(crate) fn issued(published: &Published, leaf: &IssuerLeaf) -> u64 {
    only(&published.issuer, |known: &IssuerLeaf| known == leaf)
}

/// The position of a leaf of a site's.
pub(crate) fn logged(published: &Published, (_, site): (SiteId, usize), leaf: &SiteLeaf) -> u64 {
    only(&published.sites[site].1, |known: &SiteLeaf| known == leaf)
}

/// The last position of a leaf that stands twice.
pub(crate) fn again<L: Leaf + PartialEq>(log: &PublishedLog, leaf: &L) -> u64 {
    let found = positions(log, |known: &L| known == leaf);
    assert_eq!(found.len(), 2, "the leaf stands twice");
    found[1]
}

/// Where the freezes stand: of round 1, of round 2, and the closing one.
pub(crate) fn freezes(published: &Published) -> [u64; 3] {
    let found = positions(&published.issuer, |leaf: &IssuerLeaf| matches!(leaf, IssuerLeaf::Freeze(_)));
    found.try_into().expect("three freezes")
}

/// Where a site's statements stand: of round 1, of round 2.
pub(crate) fn statements(published: &Published, (_, site): (SiteId, usize)) -> [u64; 2] {
    let found = positions(&published.sites[site].1, |leaf: &SiteLeaf| matches!(leaf, SiteLeaf::Statement(_)));
    found.try_into().expect("two statements")
}

/// The units of a voucher's key.
pub(crate) fn units(mark: &Mark) -> u64 {
    story().fixture.programme.key(mark.key).map(|entry| Units(entry.id.value.into()).0).expect("a listed key")
}
