use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

type Files = BTreeMap<String, Vec<u8>>;

fn entries(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|index| format!("entry {index}").into_bytes()[..(index % 9 + 1).min(7)].to_vec()).collect()
}

fn files(tiles: Vec<Tile>) -> Files {
    tiles.into_iter().map(|tile| (tile.path.to_string(), tile.content)).collect()
}

fn published(count: usize) -> Files {
    files(tiles_for(&entries(count)).expect("short entries"))
}

fn fetcher(files: &Files) -> impl Fn(&str) -> Option<Vec<u8>> + '_ {
    |path| files.get(path).cloned()
}

fn path(text: &str) -> TilePath {
    text.parse().expect("a path")
}

fn names(paths: impl Iterator<Item = TilePath>) -> Vec<String> {
    paths.map(|path| path.to_string()).collect()
}

#[test]
fn paths_of_the_specification() {
    let hashes = |level| TileKind::Hashes { level };
    for (kind, index, width, text) in [
        (hashes(0), 1_234_067, 256, "tile/0/x001/x234/067"),
        (hashes(63), 0, 1, "tile/63/000.p/1"),
        (TileKind::Entries, 999, 255, "tile/entries/999.p/255"),
        (TileKind::Entries, 1000, 256, "tile/entries/x001/000"),
        (hashes(1), u64::MAX, 256, "tile/1/x018/x446/x744/x073/x709/x551/615"),
    ] {
        let path = TilePath::new(kind, index, width).expect("in range");
        assert_eq!(path.to_string(), text);
        assert_eq!(text.parse(), Ok(path));
        assert_eq!((path.kind(), path.index(), path.width()), (kind, index, width));
    }
}

#[test]
fn other_spellings_of_a_path_are_refused() {
    for text in [
        "",
        "tile/",
        "tile/0",
        "tile/0/",
        "tile/0/1",
        "tile/0/0001",
        "tile/0/x000/001",
        "tile/0/001/001",
        "tile/0/x001/x001",
        "tile/0/x001",
        "tile/0/x1/001",
        "tile/0/X001/001",
        "tile/00/001",
        "tile/+1/001",
        "tile/64/001",
        "tile/256/001",
        "tile/-1/001",
        "tile/entry/001",
        "tile/0/001.p/",
        "tile/0/001.p/0",
        "tile/0/001.p/256",
        "tile/0/001.p/257",
        "tile/0/001.p/012",
        "tile/0/001.p/+2",
        "tile/0/001.p/2.p/2",
        "tile/0/001/",
        "/tile/0/001",
        "tile/0/../000",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/0/٠٠١",
    ] {
        assert_eq!(text.parse::<TilePath>(), Err(TileError::Path), "{text}");
    }
    assert_eq!(TilePath::new(TileKind::Entries, 0, 0), Err(TileError::Path));
    assert_eq!(TilePath::new(TileKind::Entries, 0, 257), Err(TileError::Path));
    assert_eq!(TilePath::new(TileKind::Hashes { level: 64 }, 0, 1), Err(TileError::Path));
}

/// The example of the specification: a tree of 70,000 leaves.
#[test]
fn layout_of_seventy_thousand() {
    let all: Vec<_> = paths(70_000).collect();
    let count = |kind, full| all.iter().filter(|path| path.kind == kind && (path.width == 256) == full).count();
    let hashes = |level| TileKind::Hashes { level };
    assert_eq!((count(hashes(0), true), count(hashes(0), false)), (273, 1));
    assert_eq!((count(hashes(1), true), count(hashes(1), false)), (1, 1));
    assert_eq!((count(hashes(2), true), count(hashes(2), false)), (0, 1));
    assert_eq!(all.len(), 274 + 274 + 2 + 1);
    let partial: Vec<_> = names(all.into_iter().filter(|path| path.width < 256));
    assert_eq!(partial, ["tile/entries/273.p/112", "tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]);
}

#[test]
fn layout_at_the_edges_of_a_tile() {
    assert_eq!(names(paths(0)), [""; 0]);
    assert_eq!(names(paths(1)), ["tile/entries/000.p/1", "tile/0/000.p/1"]);
    assert_eq!(names(paths(255)), ["tile/entries/000.p/255", "tile/0/000.p/255"]);
    assert_eq!(names(paths(256)), ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]);
    assert_eq!(
        names(paths(257)),
        ["tile/entries/000", "tile/entries/001.p/1", "tile/0/000", "tile/0/001.p/1", "tile/1/000.p/1"]
    );
    assert_eq!(paths(u64::MAX).next(), Some(path("tile/entries/000")));
}

#[test]
fn content_is_pinned() {
    let tiles = tiles_for(&[&b""[..], b"ab"]).expect("short entries");
    assert_eq!(tiles.len(), 2);
    assert_eq!(tiles[0], Tile { path: path("tile/entries/000.p/2"), content: b"\0\0\0\x02ab".to_vec() });
    let hashes = [leaf_hash(b"").0, leaf_hash(b"ab").0].concat();
    assert_eq!(tiles[1], Tile { path: path("tile/0/000.p/2"), content: hashes });
}

#[test]
fn upper_levels_are_roots_of_full_tiles() {
    let files = published(513);
    let leaves: Vec<_> = entries(513).iter().map(|entry| leaf_hash(entry)).collect();
    let expected = [merkle::root(&leaves[..256]).0, merkle::root(&leaves[256..512]).0].concat();
    assert_eq!(files["tile/1/000.p/2"], expected);
}

#[test]
fn growing_publishes_exactly_the_new_files() {
    let sizes = [0usize, 1, 2, 255, 256, 257, 511, 512, 513, 800];
    for (position, &old) in sizes.iter().enumerate() {
        let before = published(old);
        for &new in &sizes[position..] {
            let grown = files(tiles_between(&entries(new), old as u64).expect("short entries"));
            let after = published(new);
            assert!(grown.keys().all(|path| !before.contains_key(path)), "{old} to {new}");
            assert!(after.iter().all(|(path, content)| grown.get(path).or(before.get(path)) == Some(content)));
            assert!(grown.iter().all(|(path, content)| after.get(path) == Some(content)));
            assert_eq!(grown.len(), paths_between(old as u64, new as u64).count());
        }
    }
    assert_eq!(names(paths_between(5, 5)), [""; 0]);
    assert_eq!(names(paths_between(600, 5)), [""; 0]);
    assert_eq!(names(paths_between(256, 257)), ["tile/entries/001.p/1", "tile/0/001.p/1"]);
    let (large, grown) = (u64::MAX - 1, names(paths_between(u64::MAX - 1, u64::MAX)));
    assert_eq!(grown.len(), 2, "{large} {grown:?}");
}

#[test]
fn entry_lengths_at_the_limit() {
    let longest = vec![7; MAX_ENTRY_BYTES];
    let tiles = tiles_for(&[&longest[..], &[]]).expect("the longest entry");
    let read = read_log(fetcher(&files(tiles)), 2).expect("as published");
    assert_eq!(read.entries, [longest, vec![]]);
    let mut all = entries(300);
    all[299] = vec![0; MAX_ENTRY_BYTES + 1];
    assert_eq!(tiles_for(&all), Err(TileError::EntryTooLong { index: 299, length: 65_536 }));
}

#[test]
fn reads_back_what_was_published() {
    for size in [0, 1, 2, 255, 256, 257, 511, 512, 513, 1000] {
        let (files, entries) = (published(size), entries(size));
        let read = read_log(fetcher(&files), size as u64).expect("as published");
        assert_eq!(read.entries, entries);
        assert_eq!(read.root, merkle::root(&read.leaves));
        assert!(entries.iter().zip(&read.leaves).all(|(entry, leaf)| leaf_hash(entry) == *leaf));
        assert_eq!(fsck(fetcher(&files), size as u64, 10), []);
    }
}

#[test]
fn three_levels_read_back() {
    let entries: Vec<_> = (0..65_536u32 + 300).map(|index| index.to_be_bytes()).collect();
    let files = files(tiles_for(&entries).expect("short entries"));
    assert!(files.contains_key("tile/2/000.p/1") && files.contains_key("tile/1/001.p/1"));
    let read = read_log(fetcher(&files), entries.len() as u64).expect("as published");
    assert_eq!(read.root, merkle::root(&read.leaves));
    let mut bad = files.clone();
    bad.get_mut("tile/2/000.p/1").expect("published")[31] ^= 1;
    let expected = TileError::Mismatch { path: path("tile/2/000.p/1") };
    assert_eq!(fsck(fetcher(&bad), entries.len() as u64, 10), [expected]);
}

#[test]
fn a_missing_file_is_named() {
    let files = published(700);
    for name in files.keys() {
        let mut fewer = files.clone();
        fewer.remove(name);
        let expected = TileError::Missing { path: path(name) };
        assert_eq!(read_log(fetcher(&fewer), 700), Err(expected));
        assert_eq!(fsck(fetcher(&fewer), 700, 10), [expected], "{name}");
    }
}

#[test]
fn a_cut_or_extended_file_is_named() {
    let files = published(700);
    for name in files.keys() {
        let expected = TileError::Malformed { path: path(name) };
        for change in [
            (|content| content.truncate(content.len() - 1)) as fn(&mut Vec<u8>),
            |content| content.push(0),
            |content| content.extend([0; 32]),
            Vec::clear,
        ] {
            let mut bad = files.clone();
            change(bad.get_mut(name).expect("published"));
            assert_eq!(fsck(fetcher(&bad), 700, 10), [expected], "{name}");
        }
    }
}

#[test]
fn an_altered_hash_is_named() {
    let files = published(700);
    for name in files.keys().filter(|name| !name.contains("entries")) {
        for position in [0, files[name].len() - 1] {
            let mut bad = files.clone();
            bad.get_mut(name).expect("published")[position] ^= 0x40;
            let expected = TileError::Mismatch { path: path(name) };
            assert_eq!(read_log(fetcher(&bad), 700), Err(expected));
            assert_eq!(fsck(fetcher(&bad), 700, 10), [expected], "{name}");
        }
    }
}

/// A bundle that parses but holds other entries shows at its hash tile, and in the levels above if it is full.
#[test]
fn an_altered_entry_is_noticed() {
    let files = published(700);
    for (bundle, mismatches) in
        [("tile/entries/001", &["tile/0/001", "tile/1/000.p/2"][..]), ("tile/entries/002.p/188", &["tile/0/002.p/188"])]
    {
        let mut bad = files.clone();
        *bad.get_mut(bundle).expect("published").last_mut().expect("entries") ^= 1;
        let expected: Vec<_> = mismatches.iter().map(|name| TileError::Mismatch { path: path(name) }).collect();
        assert_eq!(fsck(fetcher(&bad), 700, 10), expected);
    }
}

#[test]
fn one_fault_does_not_hide_another() {
    let mut files = published(700);
    files.remove("tile/entries/000");
    files.get_mut("tile/0/001").expect("published")[0] ^= 1;
    files.get_mut("tile/1/000.p/2").expect("published")[0] ^= 1;
    let faults = [
        TileError::Missing { path: path("tile/entries/000") },
        TileError::Mismatch { path: path("tile/0/001") },
        TileError::Mismatch { path: path("tile/1/000.p/2") },
    ];
    assert_eq!(fsck(fetcher(&files), 700, 10), faults);
    assert_eq!(fsck(fetcher(&files), 700, 2), faults[..2]);
    assert_eq!(fsck(fetcher(&files), 700, 0), faults[..1]);
}

/// tlog-tiles lets a log delete a partial tile once the full one is there.
#[test]
fn a_replaced_partial_tile_is_read_from_the_full_one() {
    let mut files = published(512);
    let at = |files: &Files| read_log(fetcher(files), 300);
    files.insert("tile/1/000.p/1".into(), published(300)["tile/1/000.p/1"].clone());
    let read = at(&files).expect("full tiles hold the partial ones");
    assert_eq!(read.entries, entries(300));
    assert_eq!(read.root, read_log(fetcher(&published(300)), 300).expect("as published").root);
    files.get_mut("tile/0/001").expect("published").pop();
    assert_eq!(at(&files), Err(TileError::Malformed { path: path("tile/0/001") }));
    files.remove("tile/0/001");
    assert_eq!(at(&files), Err(TileError::Missing { path: path("tile/0/001.p/44") }));
}

#[test]
fn an_absurd_size_stops_at_the_limit() {
    assert_eq!(read_log(|_| None, u64::MAX), Err(TileError::Missing { path: path("tile/entries/000") }));
    assert_eq!(fsck(|_| Some(vec![0; 3]), u64::MAX, 20).len(), 20);
}

proptest! {
    #[test]
    fn paths_round_trip(level in 0u8..=64, index in any::<u64>(), width in 1u16..=256) {
        let kind = if level == 64 { TileKind::Entries } else { TileKind::Hashes { level } };
        let path = TilePath::new(kind, index, width).expect("in range");
        prop_assert_eq!(path.to_string().parse(), Ok(path));
    }

    #[test]
    fn path_parser_survives_anything(text in "(tile/)?(entries|[0-9]{1,3}|.{0,4})/[x0-9/]{0,20}(\\.p/[0-9]{0,4})?.?") {
        if let Ok(path) = text.parse::<TilePath>() {
            prop_assert_eq!(path.to_string(), text);
        }
    }

    #[test]
    fn bundles_round_trip(entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..300)) {
        let files = files(tiles_for(&entries).expect("short entries"));
        let read = read_log(fetcher(&files), entries.len() as u64).expect("as published");
        prop_assert_eq!(read.entries, entries);
    }

    /// Any bytes in place of a file are a fault or the file itself.
    #[test]
    fn readers_survive_anything(
        bytes in prop::collection::vec(any::<u8>(), 0..100),
        chosen in any::<prop::sample::Index>(),
    ) {
        let mut files = published(260);
        let name = chosen.get(&files.keys().cloned().collect::<Vec<_>>()).clone();
        files.insert(name, bytes);
        prop_assert!(read_log(fetcher(&files), 260).is_err());
    }
}
