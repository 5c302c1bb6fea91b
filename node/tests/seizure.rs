//! Somebody takes a site's whole disk (spec P2, threats 3.1): in mid-batch, after the batch, after the round.
//!
//! The search is over raw bytes of every file, not over what SQL shows. The state in mid-batch is the control: the same search
//! has to find there what it must not find later, or it could find nothing at all.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::print_stdout, reason = "figures of the search")]

mod world;

use std::{collections::HashMap, fs, path::Path};

use aho_corasick::AhoCorasick;
use annona_node::{random::os as rng, service::site::CounterId};
use annona_protocol::{
    ids::KeyIndex,
    redeem::{Outcome, RedeemRequest},
    secret::SecretScalar,
    voucher::{Mark, Voucher},
    wire::{Message as _, request_digest},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use world::{CASH, FOOD, ROUND, world_of};

const HOUSEHOLDS: usize = 96;

/// A file of the seized disk.
struct Seized {
    name: String,
    bytes: Vec<u8>,
}

fn seize(home: &Path) -> Vec<Seized> {
    let mut files = Vec::new();
    let mut folders = vec![home.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                files.push(Seized { name, bytes: fs::read(path).unwrap() });
            }
        }
    }
    files
}

/// How often any of the strings occurs, in the forms in which programs write bytes.
fn occurrences<'a>(disk: &[Seized], secrets: impl IntoIterator<Item = &'a [u8]>) -> usize {
    let patterns: Vec<Vec<u8>> = secrets
        .into_iter()
        .flat_map(|secret| {
            [secret.to_vec(), hex::encode(secret).into_bytes(), STANDARD.encode(secret).trim_end_matches('=').into()]
        })
        .collect();
    let search = AhoCorasick::new(patterns).unwrap();
    disk.iter().map(|file| search.find_overlapping_iter(&file.bytes).count()).sum()
}

/// Where each mark's holder key stands in each file, by first occurrence.
fn offsets(disk: &[Seized], marks: &[Vec<Mark>]) -> Vec<Vec<(usize, usize)>> {
    let holders: Vec<(usize, [u8; 32])> =
        (0..).zip(marks).flat_map(|(visit, marks)| marks.iter().map(move |mark| (visit, mark.holder.0))).collect();
    let search = AhoCorasick::new(holders.iter().map(|(_, holder)| holder)).unwrap();
    disk.iter()
        .map(|file| {
            search
                .find_overlapping_iter(&file.bytes)
                .map(|found| (found.start(), holders[found.pattern().as_usize()].0))
                .collect()
        })
        .collect()
}

/// Kendall's tau-b between where something stands and when it came, over all places of a region, and how many pairs of
/// neighbours are of one visit. Regions are the places of one file.
fn order(places: &[(usize, usize)]) -> (f64, f64) {
    let (mut concordant, mut discordant) = (0f64, 0f64);
    for (at, (left, first)) in places.iter().enumerate() {
        for (right, second) in &places[at + 1..] {
            if first != second {
                if (left < right) == (first < second) { concordant += 1.0 } else { discordant += 1.0 }
            }
        }
    }
    let together = places.windows(2).filter(|pair| pair[0].1 == pair[1].1).count();
    ((concordant - discordant) / (concordant + discordant).max(1.0), together as f64 / places.len().max(1) as f64)
}

/// The mean of |tau| and share of neighbours of one visit over the pages of the database: what an examiner who knows SQLite's
/// layout reads off. A page is filled from its end, in the order of insertion.
fn by_page(disk: &[Seized], marks: &[Vec<Mark>]) -> (f64, f64) {
    let mut together = (0.0, 0.0);
    let mut taus = Vec::new();
    for (file, places) in disk.iter().zip(offsets(disk, marks)) {
        if !file.name.starts_with("annona.db") {
            continue;
        }
        let mut pages: HashMap<usize, Vec<(usize, usize)>> = HashMap::new();
        for place in places {
            pages.entry(place.0 / 4096).or_default().push(place);
        }
        for page in pages.values().filter(|page| page.len() >= 8) {
            let (tau, share) = order(page);
            taus.push((tau.abs(), page.len()));
            together.0 += share * page.len() as f64;
            together.1 += page.len() as f64;
        }
    }
    let weight: usize = taus.iter().map(|(_, places)| places).sum();
    let tau = taus.iter().map(|(tau, places)| tau * *places as f64).sum::<f64>() / weight.max(1) as f64;
    (tau, together.0 / f64::max(together.1, 1.0))
}

/// The largest tau of any file, between where a holder key first stands in it and when it was shown. The write-ahead log is
/// written in the order of commits.
fn first_seen(disk: &[Seized], marks: &[Vec<Mark>]) -> f64 {
    let taus = offsets(disk, marks).into_iter().map(|places| {
        let mut first: HashMap<usize, usize> = HashMap::new();
        for (at, visit) in places {
            first.entry(visit).or_insert(at);
        }
        let places: Vec<(usize, usize)> = first.into_iter().map(|(visit, at)| (at, visit)).collect();
        if places.len() < 10 { 0.0 } else { order(&places).0.abs() }
    });
    taus.fold(0.0, f64::max)
}

#[test]
fn a_seized_site_links_orders_names_and_forges_nothing() {
    let world = world_of(HOUSEHOLDS);
    let households: Vec<Vec<Voucher>> =
        (0..HOUSEHOLDS).map(|ticket| world.drawn_with(ticket, &[(FOOD, 3), (CASH, 34)]).1).collect();
    let open = world.site(0, 1_000_000);
    let home = world.homes.path().join("site-0");
    let view = open.programme.in_force(ROUND).unwrap();

    let (mut requests, mut quotes, mut spares, mut visits, mut groups) = (vec![], vec![], vec![], vec![], vec![]);
    for vouchers in &households {
        let quote = open.site.quote(CounterId(1), &mut rng()).unwrap();
        let spare = SecretScalar::random(&mut rng());
        let shown: Vec<&Voucher> = vouchers.iter().collect();
        let request = RedeemRequest::new(&view, &quote, &shown, &spare, &mut rng()).unwrap();
        let bytes = request.encode();
        let answer = open.site.redeem(&bytes).unwrap();
        assert_eq!(answer.outcome, Outcome::Accepted);
        open.site.handed_over(answer.visit, CounterId(1)).unwrap();
        quotes.push(quote.content.id.0);
        spares.push(request.spare.0);
        visits.push(request_digest(&bytes).0);
        groups.push(shown.iter().map(|voucher| voucher.shown().mark()).collect::<Vec<Mark>>());
        requests.push(bytes);
        if requests.len() == 15 {
            // The control of the search for order: the write-ahead log of a morning is written in it.
            let first = first_seen(&seize(&home), &groups);
            println!("in the morning: order of files {first:.3}");
            assert!(first > 0.8, "mid-batch shows the order of visits: {first}");
        }
    }

    // Never there: whatever signs vouchers, whatever names a household or its wallet, and the site's own key in the clear.
    let mut secrets: Vec<Vec<u8>> = vec![world.secrets.clone(), world.site_keys[0].as_bytes().to_vec()];
    secrets.extend(world.secrets.chunks(32).map(<[u8]>::to_vec));
    let master = world.masters[&ROUND].to_bytes();
    secrets.extend(master.chunks(32).map(<[u8]>::to_vec));
    secrets.extend(world.codes.iter().map(|code| code.expose().to_vec()));
    for vouchers in &households {
        // A stored voucher begins with its holder secret.
        secrets.extend(vouchers.iter().map(|voucher| voucher.encode()[2..34].to_vec()));
    }
    let linking = || visits.iter().chain(&spares).map(|bytes| &bytes[..]).chain(quotes.iter().map(|id| &id[..]));
    let expected: f64 = 1.0 / HOUSEHOLDS as f64;

    let during = seize(&home);
    assert_eq!(occurrences(&during, secrets.iter().map(Vec::as_slice)), 0, "in mid-batch");
    // The control: grouping by visit is there, and so is what finds it.
    assert!(occurrences(&during, visits.iter().map(|visit| &visit[..])) >= HOUSEHOLDS, "mid-batch shows visits");
    let (tau, together) = by_page(&during, &groups);
    let first = first_seen(&during, &groups);
    println!(
        "in mid-batch: order of files {first:.3}, tau {tau:.3}, neighbours of one visit {together:.3}, by chance {expected:.3}"
    );
    assert!(together > 3.0 * expected, "mid-batch shows which vouchers came together: {together}");

    open.site.close_batch(true).unwrap();
    let after = seize(&home);
    assert_eq!(occurrences(&after, secrets.iter().map(Vec::as_slice)), 0, "after the batch");
    assert_eq!(occurrences(&after, linking()), 0, "nothing of a visit, a quote or a spare key is left after the batch");
    assert!(occurrences(&after, requests.iter().map(|bytes| &bytes[..64])) == 0, "no request");
    let (tau, together) = by_page(&after, &groups);
    let first = first_seen(&after, &groups);
    println!(
        "after the batch: order of files {first:.3}, tau {tau:.3}, neighbours of one visit {together:.3}, by chance {expected:.3}"
    );
    // Sorted by hash and by mark: what stands together is chance.
    assert!(together < 2.0 * expected, "neighbours on a page are of one visit no more than by chance: {together}");
    assert!(first < 0.35, "places in a file do not follow the order of visits: {first}");
    assert!(tau < 0.2, "places on a page do not follow the order of visits: {tau}");
    let wal = after.iter().find(|file| file.name.ends_with("-wal"));
    assert!(wal.is_none_or(|file| file.bytes.is_empty()), "the write-ahead log is truncated");

    open.site.close_round().unwrap();
    drop(open.site);
    let later = seize(&home);
    assert_eq!(occurrences(&later, secrets.iter().map(Vec::as_slice)), 0, "after the round");
    assert_eq!(occurrences(&later, linking()), 0, "after the round");
    // What is left of a voucher is its leaf: each holder key stands once in the log, and nowhere else.
    let holders: Vec<[u8; 32]> = groups.iter().flatten().map(|mark| mark.holder.0).collect();
    assert_eq!(occurrences(&later, holders.iter().map(|holder| &holder[..])), holders.len());
    assert!(groups.iter().flatten().all(|mark| mark.key != KeyIndex(u32::MAX)));
}
