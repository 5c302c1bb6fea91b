//! An attack on suppressed reports, written apart from the suppressor: it reads the published JSON, writes down every equation
//! and inequality that its reader knows, and solves for what is withheld, by elimination and by linear programming. The reader
//! has the manifest too: units are sums of voucher values.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    sync::LazyLock,
};

use annona_audit::report::{Document, Protection, json, manifest::ManifestFacts, stock};
use annona_protocol::{
    audit::{DrawnTotals, Names, Report, SiteTotals, Totals},
    fixture::{CASH, FOOD, Fixture},
    ids::{LineId, ProgrammeId, Round, SiteId, Units},
    programme::Header,
};
use microlp::{ComparisonOp, OptimizationDirection, Problem};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};
use serde_json::Value;

/// A figure's place in the JSON.
type Path = String;

/// What a reader of a line's figures knows.
struct Knowledge {
    /// Withheld figures. But for owed and collected units zeros are always shown, so each is at least 1.
    unknown: Vec<Path>,
    /// Sums of unknown figures, with coefficients, that are known.
    equal: Vec<(Vec<(usize, i64)>, i64)>,
    /// Sums of unknown figures that are at least so much.
    at_least: Vec<(Vec<(usize, i64)>, i64)>,
    /// For each unknown figure, the least that the zeros beside it say.
    least: Vec<i64>,
    /// The smallest voucher's value, and the greatest common divisor of all.
    smallest: i64,
    divisor: i64,
}

/// Whether a figure is a sum of voucher values. Owed slips promise any units, and grants are sums of entitlements.
fn is_of_vouchers(path: &str) -> bool {
    !["/owed", "/collected", "/granted"].iter().any(|other| path.starts_with(other))
}

impl Knowledge {
    fn of(line: &Value, values: &[u32]) -> Self {
        let divisor = values.iter().fold(0, |left, right| gcd(left, i64::from(*right)));
        let smallest = i64::from(*values.iter().min().unwrap());
        let (unknown, equal, at_least, least) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut knowledge = Self { unknown, equal, at_least, least, smallest, divisor };
        let rounds = line["drawn"].as_array().unwrap().len();
        let sites = line["redeemed"]["by_site"].as_array().unwrap().len();
        let cell = |measure: &str, round: usize, site: usize| format!("/{measure}/cells/{round}/{site}");
        for measure in ["redeemed", "voided", "owed", "collected"] {
            for round in 0..rounds {
                let row: Vec<_> = (0..sites).map(|site| cell(measure, round, site)).collect();
                knowledge.sum(line, &row, &format!("/{measure}/by_round/{round}"));
            }
            for site in 0..sites {
                let column: Vec<_> = (0..rounds).map(|round| cell(measure, round, site)).collect();
                knowledge.sum(line, &column, &format!("/{measure}/by_site/{site}"));
            }
            let by_round: Vec<_> = (0..rounds).map(|round| format!("/{measure}/by_round/{round}")).collect();
            let by_site: Vec<_> = (0..sites).map(|site| format!("/{measure}/by_site/{site}")).collect();
            let total = format!("/{measure}/total");
            knowledge.sum(line, &by_round, &total);
            knowledge.sum(line, &by_site, &total);
        }
        let row = |what: &str, round: usize| format!("/{what}/{round}");
        for round in 0..rounds {
            knowledge.no_more(line, &[format!("/redeemed/by_round/{round}")], &[row("drawn", round)]);
            knowledge.no_more(line, &[row("counted", round)], &[row("granted_at_most", round)]);
            let draws = if line["carry"] == true { 0..=round } else { round..=round };
            let draws: Vec<_> = draws.map(|round| row("drawn", round)).collect();
            knowledge.sum(line, &draws, &row("counted", round));
            for site in 0..sites {
                knowledge.no_more(line, &[cell("owed", round, site)], &[cell("redeemed", round, site)]);
                let until = |measure: &str| (0..=round).map(|round| cell(measure, round, site)).collect::<Vec<_>>();
                knowledge.no_more(line, &until("collected"), &until("owed"));
            }
        }
        let zeros = Zeros { line, rounds, sites, smallest };
        knowledge.least = knowledge.unknown.iter().map(|path| zeros.least(path)).collect();
        knowledge
    }

    /// What a figure moves by.
    fn step(&self, at: usize) -> f64 {
        if is_of_vouchers(&self.unknown[at]) { self.divisor as f64 } else { 1.0 }
    }

    /// Adds a figure to a sum: its value to the constant if it is shown, itself if not.
    fn add(&mut self, line: &Value, path: &Path, coefficient: i64, terms: &mut BTreeMap<usize, i64>) -> i64 {
        let value = line.pointer(path).unwrap_or_else(|| panic!("{path}"));
        if let Some(value) = value.as_i64() {
            return coefficient * value;
        }
        assert!(value.is_null());
        let at = self.unknown.iter().position(|known| known == path).unwrap_or_else(|| {
            self.unknown.push(path.clone());
            self.unknown.len() - 1
        });
        *terms.entry(at).or_default() += coefficient;
        0
    }

    fn terms(&mut self, line: &Value, plus: &[Path], minus: &[Path]) -> (Vec<(usize, i64)>, i64) {
        let mut terms = BTreeMap::new();
        let mut constant = 0;
        for path in plus {
            constant += self.add(line, path, 1, &mut terms);
        }
        for path in minus {
            constant += self.add(line, path, -1, &mut terms);
        }
        (terms.into_iter().filter(|(_, coefficient)| *coefficient != 0).collect(), -constant)
    }

    fn sum(&mut self, line: &Value, parts: &[Path], sum: &Path) {
        let (terms, constant) = self.terms(line, parts, std::slice::from_ref(sum));
        if terms.is_empty() {
            assert_eq!(constant, 0, "published sums are sums: {sum}");
        } else {
            self.equal.push((terms, constant));
        }
    }

    fn no_more(&mut self, line: &Value, less: &[Path], more: &[Path]) {
        let (terms, constant) = self.terms(line, more, less);
        if terms.is_empty() {
            assert!(constant <= 0, "published bounds hold: {less:?} {more:?}");
        } else {
            self.at_least.push((terms, constant));
        }
    }

    /// Figures that the equations alone determine: elimination modulo a prime, which errs once in 2^61.
    fn eliminated(&self) -> Vec<usize> {
        const PRIME: i128 = (1 << 61) - 1;
        let inverse = |x: i128| {
            let (mut power, mut base, mut result) = (PRIME - 2, x, 1);
            while power > 0 {
                if power % 2 == 1 {
                    result = result * base % PRIME;
                }
                base = base * base % PRIME;
                power /= 2;
            }
            result
        };
        let mut rows: Vec<Vec<i128>> = self
            .equal
            .iter()
            .map(|(terms, _)| {
                let mut row = vec![0; self.unknown.len()];
                terms.iter().for_each(|(at, coefficient)| row[*at] = i128::from(*coefficient).rem_euclid(PRIME));
                row
            })
            .collect();
        let mut determined = Vec::new();
        let mut done = 0;
        for column in 0..self.unknown.len() {
            let Some(pivot) = (done..rows.len()).find(|row| rows[*row][column] != 0) else { continue };
            rows.swap(done, pivot);
            let scale = inverse(rows[done][column]);
            rows[done].iter_mut().for_each(|x| *x = *x * scale % PRIME);
            let pivot = rows[done].clone();
            for (at, row) in rows.iter_mut().enumerate() {
                let times = row[column];
                if at != done && times != 0 {
                    row.iter_mut().zip(&pivot).for_each(|(x, p)| *x = (*x - times * p).rem_euclid(PRIME));
                }
            }
            done += 1;
        }
        for row in &rows[..done] {
            let mut others = row.iter().enumerate().filter(|(_, x)| **x != 0);
            if let (Some((at, _)), None) = (others.next(), others.next()) {
                determined.push(at);
            }
        }
        determined
    }

    /// The least and most that each figure can be, as far as `until`: anything beyond is as good.
    fn ranges(&self, until: f64) -> Vec<(f64, f64)> {
        let mut ranges = vec![(f64::INFINITY, f64::NEG_INFINITY); self.unknown.len()];
        for target in 0..self.unknown.len() {
            for direction in [OptimizationDirection::Minimize, OptimizationDirection::Maximize] {
                let (low, high) = ranges[target];
                let known = match direction {
                    OptimizationDirection::Minimize => low <= self.least[target] as f64,
                    OptimizationDirection::Maximize => high >= until && high - low >= self.step(target),
                };
                if known {
                    continue;
                }
                // Every solution is a table that could be: it widens what is known of all figures.
                for (range, value) in ranges.iter_mut().zip(self.solve(target, direction)) {
                    *range = (range.0.min(value), range.1.max(value));
                }
            }
        }
        ranges
    }

    fn solve(&self, target: usize, direction: OptimizationDirection) -> Vec<f64> {
        let mut problem = Problem::new(direction);
        // A bound on everything, so that what is unbounded has a solution.
        let floor = |path: &Path| match path {
            path if path.starts_with("/owed") || path.starts_with("/collected") => 0.0,
            path if is_of_vouchers(path) => self.smallest as f64,
            _ => 1.0,
        };
        let variables: Vec<_> = (0..)
            .zip(&self.unknown)
            .map(|(at, path)| problem.add_var(if at == target { 1.0 } else { 0.0 }, (floor(path), 1e6)))
            .collect();
        let row = |terms: &[(usize, i64)]| terms.iter().map(|(at, x)| (variables[*at], *x as f64)).collect::<Vec<_>>();
        self.equal.iter().for_each(|(terms, sum)| problem.add_constraint(row(terms), ComparisonOp::Eq, *sum as f64));
        self.at_least.iter().for_each(|(terms, sum)| problem.add_constraint(row(terms), ComparisonOp::Ge, *sum as f64));
        let solution = problem.solve().expect("the truth is a solution").into_solution().expect("no limit is set");
        variables.iter().map(|variable| solution[*variable]).collect()
    }
}

fn gcd(left: i64, right: i64) -> i64 {
    if right == 0 { left } else { gcd(right, left % right) }
}

/// What the zeros of a line say of its withheld figures: how many cells that are not zero each adds up, of at least one voucher.
struct Zeros<'a> {
    line: &'a Value,
    rounds: usize,
    sites: usize,
    smallest: i64,
}

impl Zeros<'_> {
    fn cell(&self, measure: &str, round: usize, site: usize) -> i64 {
        let zero = self.line.pointer(&format!("/{measure}/cells/{round}/{site}")) == Some(&0.into());
        if zero { 0 } else { self.smallest }
    }

    fn of_round(&self, measure: &str, round: usize) -> i64 {
        (0..self.sites).map(|site| self.cell(measure, round, site)).sum()
    }

    fn least(&self, path: &str) -> i64 {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let at = |at: usize| parts[at].parse::<usize>().unwrap();
        let drawn = |round: usize| {
            let zero = self.line["drawn"][round] == 0;
            if zero { 0 } else { self.of_round("redeemed", round).max(self.smallest) }
        };
        match (parts[0], parts.get(1).copied()) {
            ("owed" | "collected", _) => 1,
            (measure, Some("by_round")) => self.of_round(measure, at(2)),
            (measure, Some("by_site")) => (0..self.rounds).map(|round| self.cell(measure, round, at(2))).sum(),
            (measure, Some("total")) => (0..self.rounds).map(|round| self.of_round(measure, round)).sum(),
            ("drawn", _) => drawn(at(1)),
            ("counted" | "granted_at_most", _) => {
                let draws = if self.line["carry"] == true { 0..=at(1) } else { at(1)..=at(1) };
                draws.map(drawn).sum::<i64>().max(if parts[0] == "counted" { self.smallest } else { 1 })
            }
            _ => self.smallest,
        }
    }
}

/// What an attack found.
#[derive(Debug, Default)]
struct Loot {
    /// Withheld figures.
    withheld: usize,
    /// Those of them that are small.
    small: usize,
    /// Withheld figures that it computed exactly.
    computed: Vec<Path>,
    /// Small figures of which it knows more than that they are small or not.
    narrowed: Vec<(Path, f64, f64)>,
}

fn attack(published: &Value, truth: &Value, case: &Case) -> Loot {
    let (mut loot, below) = (Loot::default(), case.below as i64);
    for (line, truth) in published["lines"].as_array().unwrap().iter().zip(truth["lines"].as_array().unwrap()) {
        let values = &case.values[&LineId(u16::try_from(line["line"].as_u64().unwrap()).unwrap())];
        let knowledge = Knowledge::of(line, values);
        let eliminated = knowledge.eliminated();
        let ranges = knowledge.ranges(below as f64);
        loot.withheld += knowledge.unknown.len();
        for (at, path) in knowledge.unknown.iter().enumerate() {
            let (low, high) = ranges[at];
            let value = truth.pointer(path).unwrap().as_i64().unwrap();
            assert!(low - 1e-6 <= value as f64, "the attack's model holds: {path} {value} {low}..{high}");
            if eliminated.contains(&at) || high - low < knowledge.step(at) - 0.5 {
                loot.computed.push(path.clone());
            }
            if (1..below).contains(&value) {
                loot.small += 1;
                if low > knowledge.least[at] as f64 + 1e-6 || high < below as f64 - 1e-6 {
                    loot.narrowed.push((path.clone(), low, high));
                }
            }
        }
    }
    loot
}

struct Case {
    report: Report,
    facts: ManifestFacts,
    below: u64,
    /// What vouchers are worth, by line.
    values: BTreeMap<LineId, Vec<u32>>,
}

/// Voucher values: with every amount, with a common divisor, and with gaps.
const VALUES: [&[u32]; 8] =
    [&[1, 2, 4, 8], &[5], &[10, 20, 50], &[1, 2, 4], &[3, 5], &[7, 14], &[20, 50], &[1, 2, 5, 10, 20, 50]];

/// The smallest sum of values that is not less.
fn sum_of(values: &[u32], units: u64) -> u64 {
    let mut sums = vec![true];
    loop {
        let (last, at) = (sums.len() as u64 - 1, sums.len() as u64);
        if sums[last as usize] && last >= units {
            return last;
        }
        sums.push(values.iter().any(|value| at.checked_sub(u64::from(*value)).is_some_and(|rest| sums[rest as usize])));
    }
}

/// Sizes from 1 by 1 to 6 by 7, from nearly empty to full, small figures rare or everywhere.
fn case(seed: u64) -> Case {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut random = |below: u64| rng.next_u64() % below.max(1);
    let shape = random(8);
    let rounds = if shape == 0 { 1 } else { 1 + random(6) };
    let sites = if shape == 1 { 1 } else { 1 + random(7) };
    let below = [2, 3, 5, 10, 20][random(5) as usize] * [1, 1, 2, 5, 10][random(5) as usize];
    let values: BTreeMap<LineId, Vec<u32>> =
        [FOOD, CASH].map(|line| (line, VALUES[random(VALUES.len() as u64) as usize].to_vec())).into();
    let (zeros, smalls) = (random(10), random(10));
    let mut totals = Totals { enrolments: random(40), amends: random(12), ..Totals::default() };
    for (line, carry) in [(FOOD, false), (CASH, true)] {
        let fit = |units: u64| sum_of(&values[&line], units);
        let (mut counted, mut slack) = (0, 0);
        let mut open = vec![0; sites as usize];
        for round in 1..=rounds {
            let mut redeemed = 0;
            for site in 1..=sites {
                let units = match (random(10) < zeros, random(10) < smalls) {
                    (true, _) => 0,
                    (_, true) => fit(1 + random(below)),
                    _ => fit(random(8 * below)),
                };
                let owed = if random(3) == 0 { random(units + 1) } else { 0 };
                let open = &mut open[site as usize - 1];
                *open += owed;
                let collected = if random(3) == 0 { random(*open + 1) } else { 0 };
                *open -= collected;
                let voided = if random(4) == 0 { fit(random(2 * below)) } else { 0 };
                let [redeemed_here, voided, owed, collected] = [units, voided, owed, collected].map(Units);
                let row = SiteTotals { redeemed: redeemed_here, voided, owed, collected };
                let site = SiteId(u16::try_from(site).unwrap());
                totals.sites.insert((Round(round as u32), site, line), row);
                redeemed += units;
            }
            let drawn = redeemed + if random(2) == 0 { fit(random(below)) } else { 0 };
            counted = if carry { counted + drawn } else { drawn };
            slack = if carry { slack } else { 0 } + random(3);
            let row = DrawnTotals { drawn: Units(drawn), bounded: Units(counted), granted: Units(counted + slack) };
            totals.drawn.insert((Round(round as u32), line), row);
            totals.swapped.insert((Round(round as u32), line), Units(fit(random(drawn + 1)).min(drawn)));
        }
    }
    case_of(totals, below, values)
}

fn case_of(totals: Totals, below: u64, values: BTreeMap<LineId, Vec<u32>>) -> Case {
    let names = Names::default();
    let (findings, notes) = (Vec::new(), Vec::new());
    let report = Report { programme: ProgrammeId([1; 32]), names, findings, notes, totals, leaves: 1000 };
    let mut header = HEADER.clone();
    for line in &mut header.lines {
        if let Some(values) = values.get(&line.id) {
            line.values.clone_from(values);
        }
    }
    Case { report, facts: ManifestFacts::of(&[header]), below, values }
}

static HEADER: LazyLock<Header> =
    LazyLock::new(|| Fixture::new(&mut ChaCha20Rng::seed_from_u64(3)).chain[1].header.clone());

fn published(case: &Case, protection: Protection) -> Value {
    with_stock(case, Vec::new(), protection)
}

fn with_stock(case: &Case, stock: Vec<stock::StockRow>, protection: Protection) -> Value {
    let mut rng = ChaCha20Rng::seed_from_u64(0);
    json::document(&Document::new(&case.report, &case.facts, stock, protection, &mut rng).unwrap())
}

/// Withholds small figures and nothing else.
fn naive(value: &mut Value, below: u64) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| naive(value, below)),
        Value::Object(values) => {
            let kept = ["line", "carry", "household_maximum"];
            values
                .iter_mut()
                .filter(|(key, _)| !kept.contains(&key.as_str()))
                .for_each(|(_, value)| naive(value, below));
        }
        Value::Number(number) if number.as_u64().is_some_and(|number| (1..below).contains(&number)) => {
            *value = Value::Null
        }
        _ => {}
    }
}

/// Figures of 1 to K-1 are all withheld, in every table.
fn no_small_figure(line: &Value, below: u64) {
    let mut copy = line.clone();
    naive(&mut copy, below);
    assert_eq!(&copy, line);
}

#[test]
fn withheld_figures_cannot_be_recomputed_from_1000_random_tables() {
    let (mut withheld, mut small, mut shown) = (0, 0, 0);
    for seed in 0..1000 {
        let case = case(seed);
        let truth = published(&case, Protection::None);
        let report = published(&case, Protection::SuppressBelow(case.below));
        report["lines"].as_array().unwrap().iter().for_each(|line| no_small_figure(line, case.below));
        let loot = attack(&report, &truth, &case);
        assert!(
            loot.computed.is_empty() && loot.narrowed.is_empty(),
            "seed {seed}, K {}, {:?}: {loot:?}\n{report:#}",
            case.below,
            case.values
        );
        withheld += loot.withheld;
        small += loot.small;
        shown += count(&report["lines"], &|value| value.as_u64().is_some_and(|value| value > 0));
    }
    println!("{small} small figures, {withheld} withheld, {shown} shown that are not zero");
    assert!(small > 5_000 && withheld > small && shown > 5_000);
}

fn count(value: &Value, counts: &dyn Fn(&Value) -> bool) -> usize {
    match value {
        Value::Array(values) => values.iter().map(|value| count(value, counts)).sum(),
        Value::Object(values) => values.values().map(|value| count(value, counts)).sum(),
        value => counts(value).into(),
    }
}

/// The same attack, on reports that withhold small figures and nothing else.
#[test]
fn the_attack_recomputes_what_is_withheld_without_complements() {
    let (mut attacked, mut broken, mut computed) = (0, 0, 0);
    for seed in 0..200 {
        let case = case(seed);
        let truth = published(&case, Protection::None);
        let mut report = truth.clone();
        naive(&mut report["lines"], case.below);
        let loot = attack(&report, &truth, &case);
        attacked += usize::from(loot.small > 0);
        broken += usize::from(!loot.computed.is_empty());
        computed += loot.computed.len();
    }
    println!("{computed} figures computed, in {broken} of {attacked} tables");
    assert!(attacked > 150 && broken * 10 > attacked * 7);
}

/// Complements chosen by the table of one line alone would still leave draws and owed units to tell what is withheld.
#[test]
fn related_tables_are_withheld_together() {
    let mut totals = Totals { enrolments: 900, amends: 90, ..Totals::default() };
    for (site, redeemed) in [(1, 3), (2, 0)] {
        let row = SiteTotals { redeemed: Units(redeemed), owed: Units(redeemed / 2), ..SiteTotals::default() };
        totals.sites.insert((Round(1), SiteId(site), FOOD), row);
    }
    let row = DrawnTotals { drawn: Units(43), bounded: Units(43), granted: Units(44) };
    totals.drawn.insert((Round(1), FOOD), row);
    let json = published(&case_of(totals, 5, BTreeMap::new()), Protection::SuppressBelow(5));
    let line = &json["lines"][0];
    for path in [
        "/redeemed/cells/0/0",
        "/redeemed/by_site/0",
        "/redeemed/by_round/0",
        "/redeemed/total",
        "/owed/cells/0/0",
        "/drawn/0",
        "/granted_at_most/0",
        "/counted/0",
    ] {
        assert!(line.pointer(path).unwrap().is_null(), "{path}\n{json:#}");
    }
    assert!(json["enrolments"].is_null() && json["amends"].is_null() && json["leaves"].is_null());
}

fn redeemed(line: LineId, cells: &[&[u64]]) -> Totals {
    let mut totals = Totals { enrolments: 900, amends: 90, ..Totals::default() };
    for (round, row) in (1..).map(Round).zip(cells) {
        for (site, units) in (1..).map(SiteId).zip(*row) {
            totals.sites.insert((round, site, line), SiteTotals { redeemed: Units(*units), ..SiteTotals::default() });
        }
        let sum = row.iter().sum();
        let row = DrawnTotals { drawn: Units(sum), bounded: Units(sum), granted: Units(sum) };
        totals.drawn.insert((round, line), row);
    }
    totals
}

/// Three multiples of five that are not zero and add up to 15 are 5, 5 and 5.
#[test]
fn voucher_values_tell_what_their_multiples_are() {
    let totals = redeemed(FOOD, &[&[5, 5, 5], &[40, 40, 40]]);
    let case = case_of(totals, 10, [(FOOD, vec![5]), (CASH, vec![1])].into());
    let truth = published(&case, Protection::None);
    let mut report = published(&case, Protection::SuppressBelow(10));
    assert!(report["lines"][0]["redeemed"]["cells"][0][0].is_null());
    let loot = attack(&report, &truth, &case);
    assert!(loot.small >= 3 && loot.computed.is_empty() && loot.narrowed.is_empty(), "{loot:?}\n{report:#}");
    // With the sums of the sites and of the rounds beside them the attack finds all.
    for sums in ["by_round", "by_site"] {
        report["lines"][0]["redeemed"][sums] = truth["lines"][0]["redeemed"][sums].clone();
    }
    report["lines"][0]["drawn"] = truth["lines"][0]["drawn"].clone();
    assert!(attack(&report, &truth, &case).computed.len() >= 6);
}

/// One line's grants, each household's share of which the manifest has, tell how many households there are: and so another's.
#[test]
fn the_grants_of_one_line_do_not_tell_another_lines() {
    let mut totals = Totals { enrolments: 100, amends: 0, ..Totals::default() };
    for (line, share) in [(FOOD, 1), (CASH, 100)] {
        for (round, households) in [(1, 3), (2, 100)] {
            let units = Units(share * households);
            let row = SiteTotals { redeemed: units, ..SiteTotals::default() };
            totals.sites.insert((Round(round), SiteId(1), line), row);
            totals.drawn.insert((Round(round), line), DrawnTotals { drawn: units, bounded: units, granted: units });
        }
    }
    let case = case_of(totals, 5, [(FOOD, vec![1]), (CASH, vec![100])].into());
    let json = published(&case, Protection::SuppressBelow(5));
    let grants = |line: usize, round: usize| &json["lines"][line]["granted_at_most"][round];
    assert!(grants(0, 0).is_null() && grants(1, 0).is_null(), "{json:#}");
    // Enrolments are withheld: 100 households of round 2 would tell them.
    assert!(json["enrolments"].is_null() && grants(0, 1).is_null() && grants(1, 1).is_null(), "{json:#}");
}

/// A row for what the sheet does not name, listed only if something was handed out, would say whether all of it is owed.
#[test]
fn a_stock_row_tells_nothing_by_being_there() {
    let json = |owed: u64, collected: u64, protection| {
        let mut totals = redeemed(FOOD, &[&[3, 40], &[50, 60]]);
        let cell = |totals: &mut Totals, round, owed, collected| {
            let row = totals.sites.get_mut(&(Round(round), SiteId(1), FOOD)).unwrap();
            (row.owed, row.collected) = (Units(owed), Units(collected));
        };
        cell(&mut totals, 1, owed, 0);
        cell(&mut totals, 2, 50, collected);
        let case = case_of(totals, 5, [(FOOD, vec![1]), (CASH, vec![1])].into());
        let mut sheet = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
        sheet.write_all(b"item,received\ncash,0\n").unwrap();
        let rows = stock::reconcile(SiteId(1), sheet.path(), &case.report.totals, &case.facts).unwrap();
        with_stock(&case, rows, protection)["stock"].clone()
    };
    let all_owed = json(3, 0, Protection::SuppressBelow(5));
    assert_eq!(all_owed, json(2, 0, Protection::SuppressBelow(5)));
    assert_eq!(all_owed, json(3, 2, Protection::SuppressBelow(5)));
    let rows = all_owed.as_array().unwrap();
    let of_food: Vec<_> = rows.iter().filter(|row| row["item"] == "food").collect();
    assert_eq!(of_food.len(), 2, "{all_owed:#}");
    assert!(of_food.iter().all(|row| row["vouchers"].is_null() && row["difference"].is_null()));
    // Without suppression only what was handed out is listed.
    assert_eq!(json(3, 0, Protection::None).as_array().unwrap().len(), 1);
    assert_eq!(json(2, 0, Protection::None).as_array().unwrap().len(), 2);
}

/// A reader who tries every table: all cells from nothing to `most`, as far as vouchers make them up, that give the shown sums.
fn possible(line: &Value, values: &[u32], most: u64) -> Vec<Vec<u64>> {
    let rounds = line["redeemed"]["cells"].as_array().unwrap();
    let shown: Vec<Option<u64>> = rounds.iter().flat_map(|row| row.as_array().unwrap()).map(Value::as_u64).collect();
    let sites = shown.len() / rounds.len();
    let sums: Vec<u64> = (1..=most).filter(|units| sum_of(values, *units) == *units).collect();
    let fits = |table: &[u64]| {
        let known =
            |path: String, sum: u64| line["redeemed"].pointer(&path).unwrap().as_u64().is_none_or(|known| known == sum);
        table.chunks(sites).enumerate().all(|(at, row)| known(format!("/by_round/{at}"), row.iter().sum()))
            && (0..sites).all(|at| known(format!("/by_site/{at}"), table.iter().skip(at).step_by(sites).sum()))
            && known("/total".into(), table.iter().sum())
    };
    let mut tables = vec![Vec::new()];
    for cell in shown {
        let more = |table: Vec<u64>| {
            let with = move |units: u64| [&table[..], &[units]].concat();
            let cells = cell.map_or(sums.clone(), |cell| vec![cell]);
            cells.into_iter().map(with)
        };
        tables = tables.into_iter().flat_map(more).collect();
        // A round that is whole has its sum.
        let whole = |table: &Vec<u64>| {
            let (at, rest) = (table.len() / sites, table.len() % sites);
            let sum = || table[(at - 1) * sites..].iter().sum::<u64>();
            rest != 0 || line["redeemed"]["by_round"][at - 1].as_u64().is_none_or(|known| known == sum())
        };
        tables.retain(whole);
    }
    tables.retain(|table| fits(table));
    tables
}

/// Small figures of small tables can be whatever vouchers make up, from the least up to K, also where values leave gaps.
#[test]
fn a_reader_who_tries_every_table_learns_no_small_figure() {
    let mut rng = ChaCha20Rng::seed_from_u64(44);
    let mut random = |below: usize| (rng.next_u64() % below as u64) as usize;
    let (mut hidden, mut open) = (0, 0);
    for _ in 0..200 {
        let values = [&[3, 5][..], &[2, 5], &[4, 6], &[1, 3], &[3, 4]][random(5)];
        let (rounds, sites) = [(1, 2), (2, 1), (1, 3), (3, 1), (2, 2), (2, 2)][random(6)];
        let below = [6, 8, 10][random(3)];
        let mut cells = vec![vec![0; sites]; rounds];
        cells
            .iter_mut()
            .flatten()
            .for_each(|cell| *cell = if random(6) == 0 { 0 } else { sum_of(values, 1 + random(20) as u64) });
        let rows: Vec<&[u64]> = cells.iter().map(Vec::as_slice).collect();
        let case = case_of(redeemed(FOOD, &rows), below, [(FOOD, values.to_vec()), (CASH, vec![1])].into());
        let line = &published(&case, Protection::SuppressBelow(below))["lines"][0];
        let tables = possible(line, values, 30);
        assert!(tables.contains(&cells.concat()), "the truth is possible");
        let small = |at: usize, value: u64| {
            let can_be: BTreeSet<u64> = tables.iter().map(|table| table[at]).collect();
            let wanted: BTreeSet<u64> = (1..=below).filter(|units| sum_of(values, *units) == *units).collect();
            assert!(wanted.is_subset(&can_be), "{value} of {cells:?}, K {below}, {values:?}: {can_be:?}\n{line:#}");
        };
        for (at, value) in cells.concat().into_iter().enumerate().filter(|(_, value)| (1..below).contains(value)) {
            small(at, value);
            hidden += 1;
        }
        open += count(&line["redeemed"]["cells"], &|cell| cell.as_u64().is_some_and(|cell| cell > 0));
    }
    println!("{hidden} small cells, {open} shown that are not zero");
    assert!(hidden > 120 && open > 60);
}
