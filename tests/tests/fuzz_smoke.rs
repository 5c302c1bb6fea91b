//! The fuzz targets for a moment, the same inputs in every run: valid samples, and what a fuzzer would make of them.
//!
//! `ANNONA_FUZZ_RUNS` sets the inputs a target. `make fuzz` runs the real fuzzers.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::{collections::BTreeSet, path::Path};

use annona_tests::{
    fuzzing::{run, targets},
    samples::Samples,
};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};

const RUNS: usize = 30_000;

struct Mutator(ChaCha20Rng);

impl Mutator {
    fn below(&mut self, limit: usize) -> usize {
        (self.0.next_u64() % limit.max(1) as u64) as usize
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// Flips, overwrites, cuts, grows, repeats, splices; one to three of them.
    fn mutate(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let at = self.below(corpus.len());
        let mut bytes = corpus[at].clone();
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len());
            match self.below(8) {
                0 | 1 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                2 if !bytes.is_empty() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][self.below(5)],
                3 => bytes.truncate(at),
                4 => {
                    let length = self.below(8);
                    let insert = self.bytes(length);
                    bytes.splice(at..at, insert);
                }
                5 => {
                    let end = at + self.below(bytes.len() - at);
                    let part = bytes[at..end].to_vec();
                    bytes.splice(end..end, part);
                }
                6 => {
                    let with = self.below(corpus.len());
                    let from = self.below(corpus[with].len());
                    bytes.splice(at.., corpus[with][from..].iter().copied());
                }
                _ => {
                    let length = self.below(300);
                    bytes = self.bytes(length);
                }
            }
        }
        bytes
    }
}

#[test]
fn no_target_panics() {
    let runs = std::env::var("ANNONA_FUZZ_RUNS").ok().map_or(RUNS, |runs| runs.parse().expect("a number"));
    let samples = Samples::new();
    for (seed, target) in (1..).zip(targets()) {
        let corpus = samples.corpus(&target);
        assert!(!corpus.is_empty(), "{target} has no seeds");
        let valid = corpus.iter().filter(|input| run(&target, input)).count();
        // The files of one log are not all alike: only the empty log is whole.
        let whole = if target == "log_files" { 1 } else { corpus.len() };
        assert_eq!(valid, whole, "{target}: seeds that decode");
        let mut mutator = Mutator(ChaCha20Rng::seed_from_u64(seed));
        let accepted = (0..runs).filter(|_| run(&target, &mutator.mutate(&corpus))).count();
        println!("{target}: {accepted} of {runs} decode");
    }
}

/// cargo-fuzz finds exactly the targets of the library, each in a file of its own.
#[test]
fn every_target_is_a_fuzz_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let manifest: toml::Table = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap().parse().unwrap();
    let listed: BTreeSet<String> =
        manifest["bin"].as_array().unwrap().iter().map(|bin| bin["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(listed, targets().into_iter().collect());
    for target in listed {
        let body = std::fs::read_to_string(folder.join(format!("fuzz_targets/{target}.rs"))).unwrap();
        assert!(body.contains(&format!("run(\"{target}\"")), "{target}.rs runs another target");
    }
}
