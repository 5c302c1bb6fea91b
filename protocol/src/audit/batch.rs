//! Batches of proofs: one multi-scalar multiplication a chunk, halved down to the culprits if it fails.

use crate::{group::Accumulator, secret::Weights};

/// Maps in parallel, where the feature `parallel` is on.
pub(super) fn map<T: Send, U: Send>(items: Vec<T>, f: impl Fn(T) -> U + Send + Sync) -> Vec<U> {
    #[cfg(feature = "parallel")]
    {
        use rayon::prelude::*;
        items.into_par_iter().map(f).collect()
    }
    #[cfg(not(feature = "parallel"))]
    {
        items.into_iter().map(f).collect()
    }
}

/// How many threads [`map`] uses.
pub(super) fn threads() -> usize {
    #[cfg(feature = "parallel")]
    {
        rayon::current_num_threads()
    }
    #[cfg(not(feature = "parallel"))]
    1
}

/// Sorts in parallel, where the feature `parallel` is on.
pub(super) fn sort<T: Send + Ord>(items: &mut [T]) {
    #[cfg(feature = "parallel")]
    {
        use rayon::prelude::*;
        items.par_sort_unstable();
    }
    #[cfg(not(feature = "parallel"))]
    items.sort_unstable();
}

/// Checks all items at once, and finds the false ones: each with the error of its shape, or `None` if an equation fails.
///
/// The weights go on for each attempt, so that no attempt sees weights of another.
pub(super) fn culprits<T, E>(
    items: &[T],
    weights: &mut Weights,
    add: &impl Fn(&T, &mut Weights, &mut Accumulator) -> Result<(), E>,
) -> Vec<(usize, Option<E>)> {
    let mut found = Vec::new();
    let sound: Vec<usize> = check(items, (0..items.len()).collect(), weights, add, &mut found);
    halve(items, &sound, weights, add, &mut found);
    found.sort_by_key(|(at, _)| *at);
    found
}

/// Drops items of a wrong shape until the rest fits one accumulator, and returns the rest if it is unbalanced.
fn check<T, E>(
    items: &[T],
    mut live: Vec<usize>,
    weights: &mut Weights,
    add: &impl Fn(&T, &mut Weights, &mut Accumulator) -> Result<(), E>,
    found: &mut Vec<(usize, Option<E>)>,
) -> Vec<usize> {
    loop {
        let mut accumulator = Accumulator::new();
        let before = found.len();
        live.retain(|at| match add(&items[*at], weights, &mut accumulator) {
            Ok(()) => true,
            Err(error) => {
                found.push((*at, Some(error)));
                false
            }
        });
        // An item that is refused may have left terms behind: the rest starts anew.
        if found.len() == before {
            return if accumulator.verify().is_ok() { Vec::new() } else { live };
        }
    }
}

/// Finds the culprits of an unbalanced set.
fn halve<T, E>(
    items: &[T],
    unbalanced: &[usize],
    weights: &mut Weights,
    add: &impl Fn(&T, &mut Weights, &mut Accumulator) -> Result<(), E>,
    found: &mut Vec<(usize, Option<E>)>,
) {
    match unbalanced {
        [] => {}
        [culprit] => found.push((*culprit, None)),
        _ => {
            let (left, right) = unbalanced.split_at(unbalanced.len() / 2);
            for half in [left, right] {
                let half = check(items, half.to_vec(), weights, add, found);
                halve(items, &half, weights, add, found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{Point, Scalar};
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    /// An item is true if it is even, of a wrong shape if it is 1.
    fn add(item: &u64, weights: &mut Weights, accumulator: &mut Accumulator) -> Result<(), &'static str> {
        accumulator.add_shared(&Point::generator(), weights.next() * Scalar::from(item % 2));
        if *item == 1 { Err("shape") } else { Ok(()) }
    }

    #[test]
    fn every_culprit_is_found_and_nobody_else() {
        let mut weights = Weights::new(&mut ChaCha20Rng::seed_from_u64(1));
        let culprits = |items: &[u64], weights: &mut Weights| culprits(items, weights, &add);
        assert_eq!(culprits(&[], &mut weights), []);
        assert_eq!(culprits(&[2, 4, 6, 8, 10], &mut weights), []);
        assert_eq!(culprits(&[3], &mut weights), [(0, None)]);
        assert_eq!(
            culprits(&[2, 3, 1, 8, 5, 6, 1], &mut weights),
            [(1, None), (2, Some("shape")), (4, None), (6, Some("shape"))]
        );
        assert_eq!(culprits(&[3, 5, 7], &mut weights), [(0, None), (1, None), (2, None)]);
    }
}
