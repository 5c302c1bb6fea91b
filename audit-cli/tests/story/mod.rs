//! A true story's published folder, and the program run on one.
#![allow(dead_code, reason = "each test that uses this uses a part of it")]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    sync::LazyLock,
};

use annona_protocol::{
    audit::{Published, keys_to_bytes, testing::Story},
    log::tile::tiles_for,
    wire::Message,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

pub(crate) static STORY: LazyLock<(Story, Published)> = LazyLock::new(|| {
    let mut rng = ChaCha20Rng::seed_from_u64(31);
    let story = Story::new(&mut rng);
    let published = story.draft.publish(&story, &mut rng);
    (story, published)
});

/// Writes a published folder as the layout says.
pub(crate) fn write(published: &Published, folder: &Path) {
    let write = |path: String, content: &[u8]| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    let sites = published.sites.iter().map(|(site, log)| (format!("site-{site}"), log));
    for (name, log) in std::iter::once(("issuer".to_owned(), &published.issuer)).chain(sites) {
        write(format!("logs/{name}/checkpoint"), &log.checkpoint);
        for tile in tiles_for(&log.entries).unwrap() {
            write(format!("logs/{name}/{}", tile.path), &tile.content);
        }
    }
    write("keys.bin".into(), &keys_to_bytes(&published.keys));
    for (index, pack) in published.packs.iter().enumerate() {
        write(format!("packs/{index}.bin"), &pack.encode());
    }
    for (index, surrender) in published.surrendered.iter().enumerate() {
        write(format!("surrendered/{index}.bin"), &surrender.encode());
    }
}

pub(crate) fn folder(published: &Published) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(published, folder.path());
    folder
}

pub(crate) fn run(command: &str, folder: &Path, more: &[&str]) -> Output {
    let programme = STORY.0.fixture.programme.id().to_string();
    let mut program = Command::new(env!("CARGO_BIN_EXE_annona-audit"));
    program.arg(command).arg(folder).args(["--programme", &programme]).args(more).output().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
