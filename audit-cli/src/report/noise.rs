//! Noise for a differentially private report (spec/audit.md, 6): the discrete Laplace distribution, sampled exactly.
//!
//! C. Canonne, G. Kamath, T. Steinke, "The discrete Gaussian for differential privacy", NeurIPS 2020, algorithms 1 and 2: whole
//! numbers only. Laplace noise in floating point can be told apart in its low bits (Mironov, CCS 2012).

use std::{fmt, str::FromStr};

use rand_core::CryptoRng;

use super::figures::{DrawnFigures, Figure, Figures, Grid};

/// How much privacy a report spends: a decimal number, kept as a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epsilon {
    millionths: u64,
}

/// Why a text is no epsilon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "epsilon is a decimal number from 0.000001 to 100, with at most six digits behind the point; give one, for example 1"
)]
pub struct EpsilonError;

const MILLION: u64 = 1_000_000;

impl FromStr for Epsilon {
    type Err = EpsilonError;

    fn from_str(text: &str) -> Result<Self, EpsilonError> {
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| (1..=6).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(part) {
            return Err(EpsilonError);
        }
        let whole: u64 = whole.parse().map_err(|_| EpsilonError)?;
        let part: u64 = format!("{part:0<6}").parse().map_err(|_| EpsilonError)?;
        let millionths = whole * MILLION + part;
        if (1..=100 * MILLION).contains(&millionths) { Ok(Self { millionths }) } else { Err(EpsilonError) }
    }
}

impl fmt::Display for Epsilon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:06}", self.millionths / MILLION, self.millionths % MILLION);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// Why no noisy report can be made. Each ends with what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoiseError {
    /// What a household can draw is not known.
    #[error(
        "the manifest does not tell what a household can draw. Fetch the issuer's log again, or report without --epsilon"
    )]
    NoBound,
}

/// Replaces redeemed and drawn units by noisy ones, and withholds everything else.
///
/// Neighbours differ in what one credential drew in one round, and in what became of those units. In each of the two tables of
/// a line that moves at most `household_maximum` units in all, within one round's cells. Each table is released with `epsilon`
/// shared equally over all tables; sums are made of noisy cells, so they tell nothing more.
///
/// # Errors
/// [`NoiseError`].
pub(super) fn add<R: CryptoRng + ?Sized>(
    figures: &mut Figures,
    epsilon: Epsilon,
    rng: &mut R,
) -> Result<(), NoiseError> {
    let tables = 2 * figures.lines.len() as u64;
    let truth = figures.clone();
    figures.withhold();
    for (line, truth) in figures.lines.iter_mut().zip(&truth.lines) {
        let mut noisy = |figure: Figure, household: Option<u64>| -> Result<Figure, NoiseError> {
            let household = household.ok_or(NoiseError::NoBound)?;
            let scale = u128::from(household) * u128::from(tables) * u128::from(MILLION);
            Ok(figure.map(|value| value + discrete_laplace(scale, epsilon.millionths.into(), rng)))
        };
        let mut cells = Vec::new();
        for (row, household) in truth.redeemed.cells.iter().zip(&truth.household) {
            cells.push(row.iter().map(|cell| noisy(*cell, *household)).collect::<Result<Vec<_>, _>>()?);
        }
        line.redeemed = Grid::of(cells, truth.redeemed.by_site.len());
        for ((row, truth), household) in line.drawn.iter_mut().zip(&truth.drawn).zip(&truth.household) {
            *row = DrawnFigures { drawn: noisy(truth.drawn, *household)?, ..DrawnFigures::default() };
        }
    }
    Ok(())
}

/// A sample `x` with probability in proportion to `exp(-|x| * s / t)`; 0 if `t` is.
pub(super) fn discrete_laplace<R: CryptoRng + ?Sized>(t: u128, s: u128, rng: &mut R) -> i128 {
    if t == 0 {
        return 0;
    }
    loop {
        let u = below(t, rng);
        if !bernoulli_exp(u, t, rng) {
            continue;
        }
        let mut v = 0;
        while bernoulli_exp(1, 1, rng) {
            v += 1;
        }
        let magnitude = i128::try_from((u + t * v) / s).unwrap_or(i128::MAX);
        let negative = below(2, rng) == 1;
        if !(negative && magnitude == 0) {
            return if negative { -magnitude } else { magnitude };
        }
    }
}

/// True with probability `exp(-n/d)`, for `n <= d`.
fn bernoulli_exp<R: CryptoRng + ?Sized>(n: u128, d: u128, rng: &mut R) -> bool {
    let mut k = 1;
    while below(d * k, rng) < n {
        k += 1;
    }
    k % 2 == 1
}

/// A uniform number below `bound`, which is not 0: by rejection, without a remainder's bias.
fn below<R: CryptoRng + ?Sized>(bound: u128, rng: &mut R) -> u128 {
    let mask = u128::MAX >> (bound - 1).leading_zeros().min(127);
    loop {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        let number = u128::from_le_bytes(bytes) & mask;
        if number < bound {
            return number;
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;

    #[test]
    fn epsilon_is_a_decimal_number() {
        for (text, shown) in [("1", "1"), ("0.5", "0.5"), ("0.000001", "0.000001"), ("100", "100"), ("2.50", "2.5")] {
            assert_eq!(text.parse::<Epsilon>().unwrap().to_string(), shown);
        }
        for text in ["", "0", "-1", "1e3", "0.0000001", "100.000001", ".5", "1.", "inf", "NaN", "1,5", "+1", "9999999"]
        {
            assert_eq!(text.parse::<Epsilon>(), Err(EpsilonError), "{text}");
        }
    }

    /// Chi-squared against the true probabilities, for a scale below, at and above 1.
    #[test]
    fn samples_follow_the_discrete_laplace_distribution() {
        let mut rng = ChaCha20Rng::seed_from_u64(20);
        const SAMPLES: u32 = 200_000;
        for (t, s) in [(1u32, 2u32), (1, 1), (7, 2)] {
            // p(x) = (1 - q) / (1 + q) * q^|x|
            let q = (-f64::from(s) / f64::from(t)).exp();
            let tail = 1 + (f64::from(t) / f64::from(s) * 5.0) as i128;
            let bins = usize::try_from(2 * tail + 1).unwrap();
            let mut seen = vec![0u32; bins];
            for _ in 0..SAMPLES {
                let x = discrete_laplace(t.into(), s.into(), &mut rng).clamp(-tail, tail);
                seen[usize::try_from(x + tail).unwrap()] += 1;
            }
            let chi: f64 = (-tail..=tail)
                .zip(&seen)
                .map(|(x, seen)| {
                    let magnitude = x.unsigned_abs() as i32;
                    let p = if x.abs() == tail {
                        q.powi(magnitude) / (1.0 + q)
                    } else {
                        (1.0 - q) / (1.0 + q) * q.powi(magnitude)
                    };
                    let expected = f64::from(SAMPLES) * p;
                    (f64::from(*seen) - expected).powi(2) / expected
                })
                .sum();
            // Mean `bins - 1`, deviation `sqrt(2 (bins - 1))`: five of them above is one seed in a million.
            let freedom = (bins - 1) as f64;
            assert!(chi < freedom + 5.0 * (2.0 * freedom).sqrt(), "t={t} s={s}: {chi} with {freedom}");
        }
    }

    /// The same test refuses a scale that is off by a twentieth.
    #[test]
    fn moments_are_those_of_the_scale() {
        let mut rng = ChaCha20Rng::seed_from_u64(21);
        let samples: Vec<f64> =
            (0..100_000).map(|_| discrete_laplace(60_000_000, 1_000_000, &mut rng) as f64).collect();
        let mean = samples.iter().sum::<f64>() / 1e5;
        let deviation = samples.iter().map(|x| x.abs()).sum::<f64>() / 1e5;
        // Deviation of the mean 60 * sqrt(2 / 1e5) = 0.27; of the mean distance 60 / sqrt(1e5) = 0.19.
        assert!(mean.abs() < 1.4, "{mean}");
        assert!((deviation - 60.0).abs() < 1.0, "{deviation}");
    }

    #[test]
    fn uniform_numbers_stay_below_their_bound() {
        let mut rng = ChaCha20Rng::seed_from_u64(22);
        for bound in [1u128, 2, 3, 5, 1 << 64, u128::MAX] {
            assert!((0..100).all(|_| below(bound, &mut rng) < bound));
        }
        let mut seen = [0; 3];
        (0..3000).for_each(|_| seen[below(3, &mut rng) as usize] += 1);
        assert!(seen.iter().all(|count| (900..1100).contains(count)), "{seen:?}");
        assert_eq!(discrete_laplace(0, 1, &mut rng), 0);
    }
}
