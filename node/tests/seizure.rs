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
    draw::RollOverContext,
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

/// The holder keys of visits, each with the number of its visit.
fn holders(marks: &[Vec<Mark>]) -> Vec<(usize, [u8; 32])> {
    (0..).zip(marks).flat_map(|(visit, marks)| marks.iter().map(move |mark| (visit, mark.holder.0))).collect()
}

/// Where each string stands in each file, with its number: places and numbers.
fn offsets(disk: &[Seized], holders: &[(usize, [u8; 32])]) -> Vec<Vec<(usize, usize)>> {
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

/// What the pages of the database tell an examiner who knows SQLite's layout: a page is filled from its end, in the order of
/// insertion.
struct Pages {
    /// The mean of |tau| over pages.
    tau: f64,
    /// The mean of tau: what is chance on each page cancels out.
    trend: f64,
    /// The share of neighbours of one visit.
    together: f64,
}

fn by_page(disk: &[Seized], strings: &[(usize, [u8; 32])]) -> Pages {
    let mut sums = Pages { tau: 0.0, trend: 0.0, together: 0.0 };
    let mut weight = 0.0;
    for (file, places) in disk.iter().zip(offsets(disk, strings)) {
        if !file.name.starts_with("annona.db") {
            continue;
        }
        let mut pages: HashMap<usize, Vec<(usize, usize)>> = HashMap::new();
        for place in places {
            pages.entry(place.0 / 4096).or_default().push(place);
        }
        for page in pages.values().filter(|page| page.len() >= 8) {
            let ((tau, share), places) = (order(page), page.len() as f64);
            sums.tau += tau.abs() * places;
            sums.trend += tau * places;
            sums.together += share * places;
            weight += places;
        }
    }
    let mean = |sum: f64| sum / f64::max(weight, 1.0);
    Pages { tau: mean(sums.tau), trend: mean(sums.trend), together: mean(sums.together) }
}

/// The largest tau of any file, between where a holder key first stands in it and when it was shown. The write-ahead log is
/// written in the order of commits.
fn first_seen(disk: &[Seized], strings: &[(usize, [u8; 32])]) -> f64 {
    let taus = offsets(disk, strings).into_iter().map(|places| {
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
            let first = first_seen(&seize(&home), &holders(&groups));
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
    let Pages { tau, together, .. } = by_page(&during, &holders(&groups));
    let first = first_seen(&during, &holders(&groups));
    println!(
        "in mid-batch: order of files {first:.3}, tau {tau:.3}, neighbours of one visit {together:.3}, by chance {expected:.3}"
    );
    assert!(together > 3.0 * expected, "mid-batch shows which vouchers came together: {together}");

    open.site.close_batch(true).unwrap();
    let after = seize(&home);
    assert_eq!(occurrences(&after, secrets.iter().map(Vec::as_slice)), 0, "after the batch");
    assert_eq!(occurrences(&after, linking()), 0, "nothing of a visit, a quote or a spare key is left after the batch");
    assert!(occurrences(&after, requests.iter().map(|bytes| &bytes[..64])) == 0, "no request");
    let Pages { tau, together, .. } = by_page(&after, &holders(&groups));
    let first = first_seen(&after, &holders(&groups));
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
    let all: Vec<[u8; 32]> = groups.iter().flatten().map(|mark| mark.holder.0).collect();
    assert_eq!(occurrences(&later, all.iter().map(|holder| &holder[..])), all.len());
    assert!(groups.iter().flatten().all(|mark| mark.key != KeyIndex(u32::MAX)));
}

/// Somebody takes the issuer's whole disk, key files apart (threats 3.2). In mid-batch the order in which households rolled over is
/// there, and the search finds it; after the round rows stand in the order of their keys.
#[test]
fn a_seized_issuer_holds_no_key_no_code_and_no_order_after_the_round() {
    let world = world_of(HOUSEHOLDS);
    let programme = world.programme();
    let view = programme.in_force(ROUND).unwrap();
    let home = world.homes.path().join("issuer");
    let credentials: Vec<_> = (0..HOUSEHOLDS).map(|ticket| world.enrol_with(ticket)).collect();
    world.issuer.close_batch().unwrap();
    let mut serials: Vec<(usize, [u8; 32])> = Vec::new();
    for (at, credential) in (0..).zip(&credentials) {
        let (_, request) = RollOverContext::new(&view, credential, world::slots(), &mut rng()).unwrap();
        world.issuer.roll_over(&request.encode(), &mut rng()).unwrap();
        serials.push((at, request.show.serial.0.to_bytes()));
        if serials.len() == 15 {
            let file = first_seen(&seize(&home), &serials);
            assert!(file > 0.8, "the write-ahead log of a morning is written in the order of requests: {file}");
        }
    }
    let mut secrets: Vec<Vec<u8>> = world.secrets.chunks(32).map(<[u8]>::to_vec).collect();
    secrets.extend(world.masters[&ROUND].to_bytes().chunks(32).map(<[u8]>::to_vec));
    secrets.extend(world.codes.iter().map(|code| code.expose().to_vec()));
    let mut by_key: Vec<[u8; 32]> = serials.iter().map(|(_, serial)| *serial).collect();
    by_key.sort_unstable();
    let by_key: Vec<(usize, [u8; 32])> = by_key.into_iter().enumerate().collect();
    // How much places follow the order of requests, and how much that of keys.
    let figures = |moment: &str| {
        let disk = seize(&home);
        assert_eq!(occurrences(&disk, secrets.iter().map(Vec::as_slice)), 0, "{moment}");
        let (file, requests, keys) = (first_seen(&disk, &serials), by_page(&disk, &serials), by_page(&disk, &by_key));
        println!(
            "issuer, {moment}: order of files {file:.3}, on pages of requests {:.3} (trend {:.3}), of keys {:.3}",
            requests.tau, requests.trend, keys.tau
        );
        (file, keys.tau)
    };
    figures("in mid-batch");
    world.issuer.close_batch().unwrap();
    let wal = seize(&home).into_iter().find(|file| file.name.ends_with("-wal"));
    assert!(wal.is_none_or(|file| file.bytes.is_empty()), "the write-ahead log is truncated");
    let (_, keys) = figures("after the batch");
    assert!(keys < 0.65, "pages are as they were filled until the round closes: {keys}");
    world.issuer.freeze(ROUND).unwrap();
    world.issuer.close_round(ROUND).unwrap();
    let (file, keys) = figures("after the round");
    // Not 1: SQLite moves one row of each page when it fills the next. Which one depends on the keys alone.
    assert!(keys > 0.75, "rows stand in the order of their keys: {keys}");
    assert!(file < 0.35, "places do not follow the order of requests: {file}");
}
