//! What every operation costs, in time and bytes, beside the libraries that the protocol is built on.
//!
//! `--bin table` measures everything in one run and prints one table; `--bin ct-check` looks for timing that depends on
//! secrets; `cargo bench` gives criterion's statistics for the same operations; `--bin load` asks whole servers;
//! `--bin wallet` is what a household waits for.
//!
//! The operations are [`measure::Case`]s over one [`world::World`], a programme with eight lines, so that a draw range-proves
//! as many values as lines are asked for.
#![forbid(unsafe_code)]

pub mod leak;
pub mod load;
pub mod measure;
pub mod node;
pub mod operations;
pub mod published;
pub mod report;

pub mod secret_inputs;
pub mod sizes;
pub mod wallet;
pub mod world;
pub mod yardsticks;
