//! Published folders as the node has them, of the story of the audit's tests.
#![allow(dead_code, reason = "each test that uses this uses a part of it")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
};

use annona_protocol::{
    audit::{Published, keys_to_bytes},
    log::{
        leaf::IssuerLeaf,
        merkle::{inclusion_proof, leaf_hash},
        tile::tiles_for,
    },
    programme::{Announced, Announcement},
    wire::Message,
};

/// Writes a file, with its folders.
pub(crate) fn write(path: PathBuf, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Writes a log in place of what is there.
pub(crate) fn write_log(folder: &Path, note: &[u8], entries: &[Vec<u8>]) {
    drop(fs::remove_dir_all(folder));
    write(folder.join("checkpoint"), note);
    for tile in tiles_for(entries).unwrap() {
        write(folder.join(tile.path.to_string()), &tile.content);
    }
}

/// The announcement that the issuer of this log gives.
pub(crate) fn announcement(published: &Published) -> Vec<u8> {
    let entries = &published.issuer.entries;
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
    let (checkpoint, keys) = (published.issuer.checkpoint.clone(), published.keys.clone());
    Announcement { checkpoint, versions, openings, keys }.encode()
}

/// Writes a published folder; the second log of a site goes beside the first.
pub(crate) fn publish(folder: &Path, published: &Published) {
    drop(fs::remove_dir_all(folder));
    write_log(&folder.join("logs/issuer"), &published.issuer.checkpoint, &published.issuer.entries);
    for (at, (site, log)) in published.sites.iter().enumerate() {
        let before = published.sites[..at].iter().filter(|(earlier, _)| earlier == site).count();
        let name = if before == 0 { format!("site-{site}") } else { format!("site-{site}.{}", before + 1) };
        write_log(&folder.join("logs").join(name), &log.checkpoint, &log.entries);
    }
    write(folder.join("keys.bin"), &keys_to_bytes(&published.keys));
    write(folder.join("announcement.bin"), &announcement(published));
    for pack in &published.packs {
        let place = pack.content.place;
        write(folder.join(format!("packs/round-{}-site-{}.bin", place.round.0, place.site.0)), &pack.encode());
    }
}

/// Runs the program.
pub(crate) fn audit(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_annona-audit")).args(arguments).output().unwrap()
}

/// What it printed, both streams.
pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A party's server: its answers are made by a closure; none closes the connection.
pub(crate) fn serve(mut answer: impl FnMut(&str) -> Option<Vec<u8>> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            if reader.read_line(&mut line).is_err() || line.is_empty() {
                continue;
            }
            let mut rest = String::new();
            while reader.read_line(&mut rest).is_ok_and(|read| read > 2) {
                rest.clear();
            }
            if let Some(body) = answer(line.split(' ').nth(1).unwrap()) {
                drop(stream.write_all(&body));
            }
        }
    });
    url
}

/// An answer of a server.
pub(crate) fn answer(status: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}
