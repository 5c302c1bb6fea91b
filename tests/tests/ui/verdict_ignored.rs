//! A verdict that nobody looks at does not compile under the workspace's lints.
#![deny(unused_must_use)]

use annona_protocol::{programme::InForce, redeem::Surrender};

fn accept(surrender: &Surrender, view: &InForce<'_>) {
    surrender.verify(view);
}

fn main() {}
