//! Correlation coefficients of paired samples, and bootstrap intervals.

use crate::numeric::Streams;
use crate::numeric::bootstrap::bootstrap;
use crate::numeric::tolerance::SUMMATION_AGREEMENT;
use serde::Serialize;

/// The coefficient of `n` pairs by Pearson 1895: covariance over the product of standard deviations.
///
/// `None` if there are fewer than two pairs, a value is not finite, or one of the variables is constant.
///
/// # Panics
/// If the samples differ in length.
pub fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    check(x, y)?;
    let n = x.len() as f64;
    // Scaled first, so that no square overflows or vanishes.
    let centred = |values: &[f64]| -> Option<Vec<f64>> {
        let (low, high) = extremes(values);
        // Halved where their range is above the largest number.
        let unit = if (high - low).is_finite() { 1.0 } else { 0.5 };
        let range = unit * high - unit * low;
        if !(range > 0.0) {
            return None;
        }
        let scaled: Vec<f64> = values.iter().map(|value| (unit * value - unit * low) / range).collect();
        let mean = scaled.iter().sum::<f64>() / n;
        Some(scaled.into_iter().map(|value| value - mean).collect())
    };
    let (x, y) = (centred(x)?, centred(y)?);
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    Some((product(&x, &y) / (product(&x, &x) * product(&y, &y)).sqrt()).clamp(-1.0, 1.0))
}

/// Rank correlation by Spearman 1904: [`pearson`] of the ranks, ties sharing the mean of theirs.
///
/// # Panics
/// If the samples differ in length.
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    check(x, y)?;
    pearson(&ranks(x), &ranks(y))
}

/// Rank correlation tau-b by Kendall 1945: concordant less discordant pairs, over the geometric mean of the pairs
/// untied in `x` and those untied in `y`; in `O(n log n)` as Knight 1966.
///
/// # Panics
/// If the samples differ in length.
pub fn kendall(x: &[f64], y: &[f64]) -> Option<f64> {
    check(x, y)?;
    // The two zeros are equal, and the order by bits would tell them apart; a sum with 0 is never -0.
    let mut pairs: Vec<(f64, f64)> = x.iter().zip(y).map(|(x, y)| (x + 0.0, y + 0.0)).collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let choose = |n: usize| n as u64 * (n as u64).saturating_sub(1) / 2;
    let all = choose(pairs.len());
    type Pair = (f64, f64);
    let tied = |equal: fn(&Pair, &Pair) -> bool, pairs: &[Pair]| -> u64 {
        pairs.chunk_by(equal).map(|run| choose(run.len())).sum()
    };
    let tied_x = tied(|a, b| a.0 == b.0, &pairs);
    let tied_both = tied(|a, b| a == b, &pairs);
    let mut second: Vec<f64> = pairs.iter().map(|pair| pair.1).collect();
    let discordant = inversions(&mut second);
    // Sorted by now.
    let tied_y: u64 = second.chunk_by(|a, b| a == b).map(|run| choose(run.len())).sum();
    let (untied_x, untied_y) = (all - tied_x, all - tied_y);
    if untied_x == 0 || untied_y == 0 {
        return None;
    }
    let concordant = all + tied_both - tied_x - tied_y - discordant;
    let difference = concordant as f64 - discordant as f64;
    Some(difference / (untied_x as f64 * untied_y as f64).sqrt())
}

/// The three coefficients of a sample with bootstrap intervals; `None` where a coefficient is not defined.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Correlation {
    /// Pearson's coefficient.
    pub pearson: Option<f64>,
    /// Spearman's coefficient.
    pub spearman: Option<f64>,
    /// Kendall's tau-b.
    pub kendall: Option<f64>,
    /// Ends of the 95% interval of Pearson's coefficient.
    pub pearson_interval: Option<[f64; 2]>,
    /// Ends of the 95% interval of Spearman's coefficient.
    pub spearman_interval: Option<[f64; 2]>,
    /// Ends of the 95% interval of Kendall's tau-b.
    pub kendall_interval: Option<[f64; 2]>,
    /// Pairs of which both values are finite.
    pub n: usize,
}

/// The three coefficients of the pairs of which both values are finite, with [`bootstrap`] intervals over the pairs.
///
/// # Panics
/// If the samples differ in length.
pub fn correlate(x: &[f64], y: &[f64], streams: Streams) -> Correlation {
    assert_eq!(x.len(), y.len(), "samples of {} and {} values", x.len(), y.len());
    let (x, y): (Vec<f64>, Vec<f64>) =
        x.iter().zip(y).filter(|(x, y)| x.is_finite() && y.is_finite()).map(|(x, y)| (*x, *y)).unzip();
    let [pearson_interval, spearman_interval, kendall_interval] = bootstrap(x.len(), streams, |rows| {
        let (x, y): (Vec<f64>, Vec<f64>) = rows.iter().map(|&row| (x[row], y[row])).unzip();
        [pearson(&x, &y), spearman(&x, &y), kendall(&x, &y)]
    });
    Correlation {
        pearson: pearson(&x, &y),
        spearman: spearman(&x, &y),
        kendall: kendall(&x, &y),
        pearson_interval,
        spearman_interval,
        kendall_interval,
        n: x.len(),
    }
}

/// The partial correlation of `x` and `y` given `z` (Yule 1907): Pearson's coefficient of what is left of each once its
/// linear dependence on `z` is taken out, `(r_xy - r_xz r_yz) / sqrt((1 - r_xz^2) (1 - r_yz^2))`.
///
/// `None` where one of the three coefficients is not defined, or `z` leaves nothing of `x` or `y` but rounding.
///
/// # Panics
/// If the samples differ in length.
pub fn partial(x: &[f64], y: &[f64], z: &[f64]) -> Option<f64> {
    let (xy, xz, yz) = (pearson(x, y)?, pearson(x, z)?, pearson(y, z)?);
    let left = |r: f64| (1.0 - r) * (1.0 + r);
    let enough = |r: f64| left(r) > x.len() as f64 * SUMMATION_AGREEMENT;
    if !(enough(xz) && enough(yz)) {
        return None;
    }
    Some(((xy - xz * yz) / (left(xz) * left(yz)).sqrt()).clamp(-1.0, 1.0))
}

fn check(x: &[f64], y: &[f64]) -> Option<()> {
    assert_eq!(x.len(), y.len(), "samples of {} and {} values", x.len(), y.len());
    let usable = x.len() >= 2 && x.iter().chain(y).all(|value| value.is_finite());
    usable.then_some(())
}

fn extremes(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)))
}

/// Ranks from 1, ties sharing their mean.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for run in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let mean = before as f64 + (run.len() + 1) as f64 / 2.0;
        for &index in run {
            ranks[index] = mean;
        }
        before += run.len();
    }
    ranks
}

/// Pairs in which a larger value precedes a smaller one; sorts the values by merging.
fn inversions(values: &mut [f64]) -> u64 {
    if values.len() < 2 {
        return 0;
    }
    let (left, right) = values.split_at_mut(values.len() / 2);
    let mut count = inversions(left) + inversions(right);
    let (left, right) = (left.to_vec(), right.to_vec());
    let (mut i, mut j) = (0, 0);
    for value in values {
        if j == right.len() || (i < left.len() && left[i] <= right[j]) {
            *value = left[i];
            i += 1;
        } else {
            *value = right[j];
            j += 1;
            count += (left.len() - i) as u64;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;
    use rand_distr::{Distribution, StandardNormal};

    /// All pairs, one by one: the definition.
    fn kendall_by_pairs(x: &[f64], y: &[f64]) -> Option<f64> {
        let (mut difference, mut untied_x, mut untied_y) = (0.0, 0.0, 0.0);
        for i in 0..x.len() {
            for j in 0..i {
                let direction = |a: f64, b: f64| if a == b { 0.0 } else { (a - b).signum() };
                let (dx, dy) = (direction(x[i], x[j]), direction(y[i], y[j]));
                difference += dx * dy;
                untied_x += dx * dx;
                untied_y += dy * dy;
            }
        }
        let root = f64::sqrt(untied_x * untied_y);
        (root > 0.0).then(|| difference / root)
    }

    /// Mean product of all differences: no mean is subtracted anywhere.
    fn pearson_by_pairs(x: &[f64], y: &[f64]) -> Option<f64> {
        let sum = |a: &[f64], b: &[f64]| -> f64 {
            (0..a.len()).flat_map(|i| (0..i).map(move |j| (a[i] - a[j]) * (b[i] - b[j]))).sum()
        };
        let root = (sum(x, x) * sum(y, y)).sqrt();
        (root > 0.0).then(|| sum(x, y) / root)
    }

    /// The rank of a value by counting: those below it, and half of those equal to it.
    fn ranks_by_counting(values: &[f64]) -> Vec<f64> {
        let rank = |value: &f64| -> f64 {
            values
                .iter()
                .map(|other| {
                    if other < value {
                        1.0
                    } else if other == value {
                        0.5
                    } else {
                        0.0
                    }
                })
                .sum()
        };
        values.iter().map(rank).collect()
    }

    fn agree(a: Option<f64>, b: Option<f64>) -> bool {
        match (a, b) {
            (Some(a), Some(b)) => (a - b).abs() <= SUMMATION_AGREEMENT,
            (a, b) => a == b,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 300,
            rng_seed: RngSeed::Fixed(20261130),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// Few distinct values, so that ties abound.
        #[test]
        fn fast_and_slow_agree_with_ties(pairs in prop::collection::vec((0_u8..6, 0_u8..6), 0..40)) {
            let (x, y): (Vec<f64>, Vec<f64>) = pairs.iter().map(|(x, y)| (f64::from(*x), f64::from(*y) * 0.5)).unzip();
            prop_assert!(agree(kendall(&x, &y), kendall_by_pairs(&x, &y)));
            prop_assert!(agree(pearson(&x, &y), pearson_by_pairs(&x, &y)));
            let slow = pearson_by_pairs(&ranks_by_counting(&x), &ranks_by_counting(&y));
            prop_assert!(agree(spearman(&x, &y), slow));
        }

        #[test]
        fn fast_and_slow_agree_without_ties(pairs in prop::collection::vec((-1e3_f64..1e3, -1.0_f64..1.0), 2..40)) {
            let (x, y): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            prop_assert!(agree(kendall(&x, &y), kendall_by_pairs(&x, &y)));
            prop_assert!(agree(pearson(&x, &y), pearson_by_pairs(&x, &y)));
        }
    }

    #[test]
    fn small_samples_by_hand() {
        let (x, y) = ([1.0, 2.0, 2.0, 3.0], [1.0, 3.0, 2.0, 3.0]);
        // Concordant 4, discordant 0, one tie in each: 4 / sqrt(5 5).
        assert_eq!(kendall(&x, &y), Some(0.8));
        // Ranks 1, 2.5, 2.5, 4 and 1, 3.5, 2, 3.5: covariance 15/4, variances 18/4 each.
        assert!((spearman(&x, &y).unwrap() - 15.0 / 18.0).abs() <= SUMMATION_AGREEMENT);
        // A permutation has 1 - 6 sum d^2 / (n (n^2 - 1)) with d = 1, 1, 1, 1.
        let permuted = spearman(&[1.0, 2.0, 3.0, 4.0], &[2.0, 1.0, 4.0, 3.0]).unwrap();
        assert!((permuted - (1.0 - 6.0 * 4.0 / 60.0)).abs() <= SUMMATION_AGREEMENT);
    }

    /// Both zeros are one value: every choice of their signs gives what positive zeros give.
    #[test]
    fn signed_zeros_are_ties() {
        assert!(agree(kendall(&[-0.0, 0.0, 1.0], &[5.0, 3.0, 7.0]), Some(f64::sqrt(2.0 / 3.0))));
        let mut generator = Streams::new(11).stream("signed zeros", 0);
        for _ in 0..300 {
            let n = generator.random_range(2..12);
            let mut draw = || -> Vec<f64> { (0..n).map(|_| f64::from(generator.random_range(-1_i8..=1))).collect() };
            let (x, y) = (draw(), draw());
            let mut signed = |values: &[f64]| -> Vec<f64> {
                values.iter().map(|value| if *value == 0.0 && generator.random() { -0.0 } else { *value }).collect()
            };
            let (a, b) = (signed(&x), signed(&y));
            for coefficient in [pearson, spearman, kendall] {
                assert_eq!(coefficient(&a, &b), coefficient(&x, &y), "{a:?} {b:?}");
            }
        }
    }

    /// A range above the largest number overflows, the coefficient does not.
    #[test]
    fn the_largest_numbers_have_a_correlation() {
        let most = f64::MAX;
        for (x, y) in [([most, -most, 0.0], [1.0, -1.0, 0.0]), ([-most, most, most], [-3.0, most, most])] {
            for coefficient in [pearson, spearman, kendall] {
                assert!(agree(coefficient(&x, &y), Some(1.0)), "{:?}", coefficient(&x, &y));
            }
        }
        let tiny = f64::from_bits(1);
        assert!(agree(pearson(&[0.0, tiny, 2.0 * tiny], &[0.0, 1.0, 2.0]), Some(1.0)));
    }

    #[test]
    fn what_has_no_correlation_has_none() {
        for coefficient in [pearson, spearman, kendall] {
            assert_eq!(coefficient(&[], &[]), None);
            assert_eq!(coefficient(&[1.0], &[2.0]), None);
            assert_eq!(coefficient(&[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0]), None);
            assert_eq!(coefficient(&[1.0, f64::NAN], &[1.0, 2.0]), None);
            assert!(coefficient(&[1e300, -1e300, 0.0], &[1.0, -1.0, 0.0]).is_some());
            assert!(agree(coefficient(&[3.0, 1.0, 2.0], &[6.0, 2.0, 4.0]), Some(1.0)));
            assert!(agree(coefficient(&[3.0, 1.0, 2.0], &[-6.0, -2.0, -4.0]), Some(-1.0)));
        }
    }

    #[test]
    fn pairs_that_are_not_finite_are_left_out_and_counted() {
        let x = [1.0, f64::NEG_INFINITY, 2.0, 3.0, 5.0, 8.0];
        let y = [1.0, 9.0, 2.0, 4.0, 5.0, f64::NAN];
        let found = correlate(&x, &y, Streams::new(0));
        assert_eq!((found.n, found.kendall, found.pearson_interval), (4, Some(1.0), None));
    }

    /// Pearson's coefficient of residuals: each variable less its least-squares line in `z`.
    fn partial_by_residuals(x: &[f64], y: &[f64], z: &[f64]) -> Option<f64> {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let residuals = |values: &[f64]| -> Vec<f64> {
            let (centre, middle) = (mean(values), mean(z));
            let covariance: f64 = values.iter().zip(z).map(|(value, z)| (value - centre) * (z - middle)).sum();
            let slope = covariance / z.iter().map(|z| (z - middle).powi(2)).sum::<f64>();
            values.iter().zip(z).map(|(value, z)| value - centre - slope * (z - middle)).collect()
        };
        pearson_by_pairs(&residuals(x), &residuals(y))
    }

    #[test]
    fn partial_correlation_is_that_of_residuals() {
        for seed in 0..50 {
            let mut generator = Streams::new(seed).stream("triples", 0);
            let mut draw = |shared: &[f64], weight: f64| -> Vec<f64> {
                (0..30)
                    .map(|row| {
                        let own: f64 = StandardNormal.sample(&mut generator);
                        own + weight * shared.get(row).copied().unwrap_or_default()
                    })
                    .collect()
            };
            let z = draw(&[], 0.0);
            let (x, y) = (draw(&z, 2.0), draw(&z, -1.0));
            let (found, expected) = (partial(&x, &y, &z).unwrap(), partial_by_residuals(&x, &y, &z).unwrap());
            // A difference of coefficients, divided by what z leaves of the variances: a fifth.
            assert!((found - expected).abs() <= 10.0 * SUMMATION_AGREEMENT, "{found} for {expected}");
            // What depends on z alone has none given z, and neither has anything given a constant.
            let line: Vec<f64> = z.iter().map(|z| 3.0 - 2.0 * z).collect();
            assert_eq!(partial(&line, &y, &z), None);
            assert_eq!(partial(&x, &y, &[1.0; 30]), None);
        }
        // By hand: r_xy = 0.5, r_xz = r_yz = 0 for x = (1, -1, 0, ...), so that nothing is taken out.
        let (x, y, z) = ([1.0, -1.0, 0.0, 0.0], [1.0, 0.0, -1.0, 0.0], [1.0, 1.0, 1.0, -3.0]);
        assert!((partial(&x, &y, &z).unwrap() - pearson(&x, &y).unwrap()).abs() <= SUMMATION_AGREEMENT);
    }
}
