//! The tables: figures, criteria, sizes.

use std::fmt::Write as _;

use crate::{
    measure::{Budget, Case, Comparison, compare, measure},
    operations::{self, Signing, VALUES},
    sizes::{self, Promised, Size},
    world::World,
    yardsticks,
};

/// A bound of ours on a yardstick, and what came out.
#[derive(Clone, Debug, PartialEq)]
pub struct Criterion {
    /// What is bounded.
    pub name: String,
    /// What it is held against.
    pub yardstick: String,
    /// The figures, in nanoseconds.
    pub measured: Comparison,
    /// The largest ratio that meets the criterion.
    pub bound: f64,
}

impl Criterion {
    /// Whether the ratio is within the bound.
    pub fn met(&self) -> bool {
        self.measured.ratio <= self.bound
    }

    fn row(&self) -> String {
        format!(
            "| {} | {} | {}: {} | {:.2} | {:.2} | {} |",
            self.name,
            time(self.measured.ours),
            self.yardstick,
            time(self.measured.yardstick),
            self.measured.ratio,
            self.bound,
            if self.met() { "met" } else { "NOT met" }
        )
    }
}

/// A criterion's two sides, set up when they are measured.
pub struct Pair {
    /// What is bounded.
    pub name: String,
    sides: Box<dyn FnOnce() -> (Case, Case)>,
    bound: f64,
    budget: Budget,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pair({})", self.name)
    }
}

impl Pair {
    fn new(
        name: impl Into<String>,
        bound: f64,
        milliseconds: u64,
        sides: impl FnOnce() -> (Case, Case) + 'static,
    ) -> Self {
        Self { name: name.into(), sides: Box::new(sides), bound, budget: Budget::milliseconds(milliseconds) }
    }

    /// Measures both sides in turns.
    pub fn measure(self) -> Criterion {
        let (mut ours, mut yardstick) = (self.sides)();
        let measured = compare(&mut ours, &mut yardstick, self.budget);
        Criterion { name: self.name, yardstick: yardstick.name, measured, bound: self.bound }
    }
}

/// Nanoseconds as microseconds, three or four digits.
pub fn time(nanoseconds: f64) -> String {
    let microseconds = nanoseconds / 1000.0;
    match microseconds {
        small if small < 10.0 => format!("{small:.2} us"),
        medium if medium < 100.0 => format!("{medium:.1} us"),
        large => format!("{large:.0} us"),
    }
}

/// All promised ratios.
pub fn pairs(world: &'static World, wide: &'static World) -> Vec<Pair> {
    let mut pairs = vec![
        Pair::new("voucher, batch of 1,024, a voucher", 1.5, 3000, move || {
            (operations::voucher_batch(world, 1024, 1), yardsticks::batch(1024))
        }),
        Pair::new("voucher, one, prepared key", 2.0, 500, move || {
            (operations::verify_prepared(world), yardsticks::verify())
        }),
        Pair::new("sign a voucher, session of 12, a voucher", 2.5, 500, move || {
            (operations::sign(world, 12, Signing::Both), yardsticks::sign())
        }),
        Pair::new("sign a voucher, alone", 2.5, 500, move || {
            (operations::sign(world, 1, Signing::Both), yardsticks::sign())
        }),
    ];
    for world in [world, wide] {
        let width = usize::from(world.width);
        for values in VALUES {
            let count = usize::from(values);
            let name = |step: &str| format!("draw, {values} x {width} bits, {step}");
            let verify = move || yardsticks::range_verify(width, count).plus(10, yardsticks::variable_base());
            let prove = move || yardsticks::range_prove(width, count).plus(25, yardsticks::variable_base());
            pairs.push(Pair::new(name("verified"), 1.0, 1000, move || {
                (operations::draw_verify(world, values), verify())
            }));
            pairs.push(Pair::new(name("proved, the show"), 1.0, 4000, move || {
                (operations::draw_show(world, values), prove())
            }));
            pairs.push(Pair::new(name(&format!("proved, with {values} vouchers blinded")), 1.0, 4000, move || {
                (operations::draw_prove(world, values), prove())
            }));
        }
    }
    pairs
}

/// Heads of the criteria's table.
pub const CRITERIA: &str = "| criterion | ours | yardstick | ratio | bound | |\n| --- | --- | --- | --- | --- | --- |";

/// The rows of the criteria, as they are measured.
pub fn criterion_rows(pairs: Vec<Pair>) -> impl Iterator<Item = String> {
    pairs.into_iter().map(|pair| pair.measure().row())
}

/// The rows of the promised sizes.
pub fn size_rows(promised: Promised) -> Vec<String> {
    let row = |name: &str, bytes: usize, bound: usize| {
        let verdict = if bytes <= bound { "met" } else { "NOT met" };
        format!("| {name} | {bytes} B | {bound} B | {:.2} | 1.00 | {verdict} |", bytes as f64 / bound as f64)
    };
    vec![
        row("voucher, without its key index", promised.voucher, 128),
        row("redemption of 4 vouchers", promised.redemption, 640),
        row("draw request, 4 values, less challenges and slots", promised.draw, 1945),
    ]
}

/// Heads of the operations' table.
pub const OPERATIONS: &str = "| part | operation | median |\n| --- | --- | --- |";

/// The row of one operation, measured now.
pub fn operation_row(case: &mut Case, budget: Budget) -> String {
    let median = measure(case, budget);
    format!("| {} | {} | {} |", case.group, case.name, time(median))
}

/// The table of sizes.
pub fn size_table(world: &'static World) -> String {
    let mut table = String::from("| message | bytes |\n| --- | --- |\n");
    for Size { message, bytes } in sizes::messages(world) {
        writeln!(table, "| {message} | {bytes} |").expect("writing to memory cannot fail");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits() {
        assert_eq!([1234.0, 12_340.0, 1_234_000.0].map(time), ["1.23 us", "12.3 us", "1234 us"]);
    }

    #[test]
    fn verdicts() {
        let measured = Comparison { ours: 2000.0, yardstick: 1000.0, ratio: 2.0 };
        let mut criterion = Criterion { name: "a".into(), yardstick: "b".into(), measured, bound: 2.0 };
        assert_eq!(criterion.row(), "| a | 2.00 us | b: 1.00 us | 2.00 | 2.00 | met |");
        criterion.bound = 1.9;
        assert!(criterion.row().ends_with("NOT met |"));
        let rows = size_rows(Promised { voucher: 128, redemption: 641, draw: 1 });
        assert!(rows[0].ends_with("| met |") && rows[1].ends_with("NOT met |"));
    }
}
