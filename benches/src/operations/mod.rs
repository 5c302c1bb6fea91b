//! Every operation of the protocol as a [`Case`]. The table and criterion measure the same cases.

mod batch;
mod credential;
mod redemption;
mod voucher;

pub use batch::{batches, draw_batch, voucher_batch};
pub use credential::{amend, cohort, draw, draw_prove, draw_show, draw_verify, enrol, range, roll_over};
pub use redemption::{redeem, rest, swap};
pub use voucher::{Signing, sign, verify_prepared, vouchers};

use annona_protocol::wire::Message;

use crate::{measure::Case, world::World};

/// The values that the criteria name.
pub const VALUES: [u16; 3] = [1, 4, 8];

/// Sizes of batches.
pub const BATCHES: [usize; 3] = [1, 64, 1024];

/// A second copy of a message that is not `Clone`, by its encoding.
fn copy<M: Message>(message: &M) -> M {
    M::decode(&message.encode()).expect("just encoded")
}

/// A part of the protocol, whose cases are made when it is measured: some take seconds to set up.
pub struct Part {
    /// Its name.
    pub name: String,
    make: Box<dyn FnOnce() -> Vec<Case>>,
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Part({})", self.name)
    }
}

impl Part {
    /// A part by its name and what makes its cases.
    pub fn new(name: impl Into<String>, make: impl FnOnce() -> Vec<Case> + 'static) -> Self {
        Self { name: name.into(), make: Box::new(make) }
    }

    /// Sets its cases up.
    pub fn cases(self) -> Vec<Case> {
        (self.make)()
    }
}

/// All single operations of 16-bit programmes, and the draws of 32-bit ones.
pub fn single(world: &'static World, wide: &'static World) -> Vec<Part> {
    let mut parts = vec![Part::new("enrol", move || enrol(world)), Part::new("roll over", move || roll_over(world))];
    for world in [world, wide] {
        for values in VALUES {
            parts.push(Part::new(format!("draw {values} x {}", world.width), move || draw(world, values)));
        }
    }
    parts.push(Part::new("range proof", || {
        let sizes = [16, 32].into_iter().flat_map(|width| VALUES.map(|values| (width, usize::from(values))));
        sizes.flat_map(|(width, count)| range(width, count)).collect()
    }));
    parts.push(Part::new("amend", move || amend(world)));
    parts.push(Part::new("voucher", move || vouchers(world)));
    parts.extend([1, 4, 6, 12].map(|count| Part::new(format!("redeem {count}"), move || redeem(world, count))));
    parts.push(Part::new("redeem, the rest", move || rest(world)));
    parts.push(Part::new("swap", move || swap(world)));
    parts.extend([50, 2000].map(|members| Part::new(format!("cohort {members}"), move || cohort(world, members))));
    parts
}
