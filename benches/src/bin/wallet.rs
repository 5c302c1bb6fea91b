//! What a household waits for, in processor time of its wallet; in one table. Never fails on a figure.
#![allow(clippy::print_stdout)]

use annona_benches::{
    measure::median,
    wallet::{Bench, DRAWN, LINES, PRINTED, REDEEMED, RESTORED, Sample},
};

/// Runs of each operation.
const RUNS: usize = 15;
/// What a person does not wait for.
const BOUND_MILLISECONDS: f64 = 300.0;

fn row(name: &str, interactive: bool, mut run: impl FnMut() -> Sample) {
    run();
    let samples: Vec<Sample> = (0..RUNS).map(|_| run()).collect();
    let milliseconds = median(&samples) / 1e6;
    let most = samples.iter().copied().fold(0.0, f64::max) / 1e6;
    let verdict = match interactive {
        false => "",
        true if milliseconds < BOUND_MILLISECONDS => "met",
        true => "NOT met",
    };
    println!("| {name} | {milliseconds:.1} ms | {most:.1} ms | {verdict} |");
}

fn main() -> std::io::Result<()> {
    // Seven rows take a household each time; the words' takes one.
    let mut bench = Bench::new(&std::env::temp_dir(), 7 * (RUNS + 1) + 1)?;
    println!(
        "Processor time of the wallet's thread, medians of {RUNS} runs: proofs, verification and the encrypted file; without the \
         servers, TLS and what every command does first, which stands in the first rows. {LINES} lines in kind; a draw is \
         {DRAWN} vouchers.\n"
    );
    println!("| what | median | longest | under {BOUND_MILLISECONDS} ms |\n| --- | --- | --- | --- |");
    let factor = annona_vault::VAULT_WORK_FACTOR;
    row(&format!("open the file: scrypt 2^{factor}"), true, || bench.open_file(factor));
    row("open the file without it: scrypt 2^1", true, || bench.open_file(1));
    row("verify the announcement, one round", true, || bench.read_announcement());
    row("enrol", true, || bench.enrol());
    row("roll-over", true, || bench.roll_over());
    row("draw, 4 values", true, || bench.draw(4));
    row("draw, 8 values", true, || bench.draw(8));
    row(&format!("redeem {REDEEMED}"), true, || bench.redeem());
    row(&format!("print {PRINTED}"), true, || bench.print());
    bench.live();
    row(&format!("verify the announcement, {RESTORED} rounds"), true, || bench.read_announcement());
    row(&format!("restore {RESTORED} rounds"), false, || bench.restore());
    Ok(())
}
