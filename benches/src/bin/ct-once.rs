//! One operation on one random secret, for an instruction counter: `ct-once NAME SEED`; without arguments, the names, and whose code it is.
//!
//! Everything but the operation happens outside `measured_operation`, where a tool that counts instructions starts and stops.
#![allow(clippy::print_stdout)]

use std::process::ExitCode;

use annona_benches::{
    leak::Class,
    secret_inputs::probes,
    world::{self, World},
};

#[inline(never)]
fn measured_operation(operation: &mut dyn FnMut()) {
    operation();
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let mut all = probes(World::leak(16));
    let (Some(name), Some(seed)) = (arguments.next(), arguments.next().and_then(|seed| seed.parse().ok())) else {
        all.iter().for_each(|probe| println!("{} {:?}", probe.name, probe.whose));
        return ExitCode::SUCCESS;
    };
    let Some(probe) = all.iter_mut().find(|probe| probe.name == name) else { return ExitCode::FAILURE };
    // Tables that are made at their first use.
    probe.run(Class::Fixed, &mut world::rng(1), &mut |operation| operation());
    // Seed 0 is the fixed secret.
    let class = if seed == 0 { Class::Fixed } else { Class::Random };
    probe.run(class, &mut world::rng(seed), &mut measured_operation);
    ExitCode::SUCCESS
}
