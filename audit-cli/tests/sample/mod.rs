//! A programme of some size, made up: figures of six rounds, five sites and three lines, for reports.

use std::collections::BTreeMap;

use annona_audit::report::manifest::ManifestFacts;
use annona_protocol::{
    audit::{
        DrawnTotals, Names, Note, Party, Report, SiteTotals, Totals, audit,
        testing::{Block, Story},
    },
    cohort::CohortClass,
    fixture::Fixture,
    ids::{LineId, ProgrammeId, Round, SiteId, Units},
    log::leaf::SiteLeaf,
    programme::{Carry, Header, Since, Site, Worth},
};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};

/// The names, the third of them hostile.
pub(crate) const SITES: [&str; 5] = [
    "North market",
    "River crossing",
    "<script>alert(1)</script>",
    "\u{202e}مركز التوزيع",
    "A site with a name that is far too long for any chart",
];

/// The manifest: the fixture's lines, with worth, and five sites.
pub(crate) fn header() -> Header {
    let mut header = Fixture::new(&mut ChaCha20Rng::seed_from_u64(7)).chain[1].header.clone();
    let site = header.sites[0].clone();
    header.agency = "Relief & Co <b>".into();
    header.name = "Winter \"distribution\" 2026".into();
    header.sites =
        (1..).zip(SITES).map(|(id, name)| Site { id: SiteId(id), name: name.into(), ..site.clone() }).collect();
    let worth = |item: &str, amount, measure: &str| Worth { item: item.into(), amount, measure: measure.into() };
    let since = |round, value| Since { round: Round(round), value };
    let food = vec![worth("cereals", 12_000, "g"), worth("oil", 900, "ml")];
    let more = vec![worth("cereals", 10_000, "g"), worth("oil", 900, "ml")];
    header.lines[0].worth = vec![since(1, food), since(4, more)];
    header.lines[1].worth = vec![since(1, vec![worth("porridge", 1500, "g"), worth("oil", 100, "ml")])];
    header.lines[0].unit = "ration".into();
    header.lines[1].unit = "ration".into();
    header.lines[2].unit = "EUR".into();
    header
}

/// What a report takes from it.
pub(crate) fn facts() -> ManifestFacts {
    ManifestFacts::of(&[header()])
}

/// An audit without a finding.
pub(crate) fn report() -> Report {
    let header = header();
    let mut rng = ChaCha20Rng::seed_from_u64(8);
    let mut random = |below: u64| rng.next_u64() % below;
    let mut totals = Totals { enrolments: 1312, amends: 44, ..Totals::default() };
    for line in &header.lines {
        let (size, mut counted, mut granted) = ([310, 24, 4100][usize::from(line.id.0) - 1], 0, 0);
        for round in (1..=6).map(Round) {
            let mut redeemed = 0;
            for site in &header.sites {
                let full = size / (u64::from(site.id.0) + 1) + random(size / 4);
                let units = match random(8) {
                    0 => 0,
                    1 => full % 7,
                    _ => full,
                };
                let owed = if random(4) == 0 { units / 9 } else { 0 };
                let collected = if round > Round(1) && random(4) == 0 { random(3) } else { 0 };
                let voided = if random(5) == 0 { random(9) } else { 0 };
                let [redeemed_here, voided, owed, collected] = [units, voided, owed, collected].map(Units);
                let row = SiteTotals { redeemed: redeemed_here, voided, owed, collected };
                totals.sites.insert((round, site.id, line.id), row);
                redeemed += units;
            }
            let drawn = redeemed + random(size / 5 + 1);
            counted = if line.carry == Carry::Carry { counted + drawn } else { drawn };
            granted = if line.carry == Carry::Carry { granted } else { 0 } + drawn + random(size / 3);
            let row = DrawnTotals { drawn: Units(drawn), bounded: Units(counted), granted: Units(granted) };
            totals.drawn.insert((round, line.id), row);
            totals.swapped.insert((round, line.id), Units(random(size / 10 + 1)));
        }
    }
    let class = CohortClass { amend: false, drawn: Round(2), expires: Round(12) };
    Report {
        programme: ProgrammeId([0xab; 32]),
        names: Names {
            agency: header.agency.clone(),
            programme: header.name.clone(),
            sites: header.sites.iter().map(|site| (site.id, site.name.clone())).collect(),
            lines: header.lines.iter().map(|line| (line.id, line.name.clone())).collect::<BTreeMap<LineId, _>>(),
        },
        findings: Vec::new(),
        notes: vec![
            Note::BoundByMaximum { class, count: 17 },
            Note::StatementMissing { site: SiteId(3), round: Round(6) },
        ],
        totals,
        leaves: 48_211,
    }
}

/// The same with findings of a false story: a forged voucher, and a leaf of another round.
pub(crate) fn with_findings() -> Report {
    let mut rng = ChaCha20Rng::seed_from_u64(23);
    let story = Story::new(&mut rng);
    let mut draft = story.draft.clone();
    for (_, blocks) in &mut draft.sites {
        let Block::Batch(_, events) = &mut blocks[0] else { panic!("a batch") };
        let Some(SiteLeaf::Voucher(leaf)) = events.first_mut() else { panic!("a voucher") };
        leaf.voucher.shown.holder = leaf.voucher.shown.r;
    }
    let published = draft.publish(&story, &mut rng);
    let mut findings = audit(story.fixture.programme.id(), &published, &mut rng, &|_| {}).findings;
    assert!(findings.len() >= 2);
    // One of the kinds that have units at stake, with a large leaf.
    findings[0].leaf = Some(1_234_567);
    findings[0].round = Some(Round(4));
    findings[0].line = Some(LineId(3));
    findings[0].units = Units(20_500);
    findings[1].party = Party::Voucher;
    findings[1].log = "<img src=x onerror=alert(1)>".into();
    Report { findings, ..report() }
}
