//! Tests on what was measured on networks: correlations, their signs, sizes and differences.
//!
//! Networks are resampled together with all that belongs to them: both predictors of one network, a network and its rescaled
//! twin, and the networks of several optimisers that share an attack set and a seed.

use super::{Effect, Test, Verdict, above, below};
use crate::numeric::Streams;
use crate::numeric::correlation::{partial, pearson};
use crate::study::Measured;
use crate::study::predictors::value;

/// What is predicted, among the names of [`value`].
const ACCURACY: &str = "accuracy";

/// Networks that are resampled together.
type Cell<'m> = Vec<&'m Measured>;

fn streams(seed: u64, of: &str) -> Streams {
    Streams::new(seed).child(of, 0)
}

/// Pearson's coefficient of two columns over networks, those without a value left out.
fn coefficient<'m>(networks: impl Iterator<Item = &'m Measured>, x: &str, y: &str) -> Option<f64> {
    let pairs = networks.map(|one| (value(one, x), value(one, y)));
    let (x, y): (Vec<f64>, Vec<f64>) = pairs.filter(|(x, y)| x.is_finite() && y.is_finite()).unzip();
    pearson(&x, &y)
}

/// The networks that have values of all `names`.
fn with_all<'m>(networks: &[&'m Measured], names: &[&str]) -> Vec<&'m Measured> {
    networks.iter().copied().filter(|one| names.iter().all(|name| value(one, name).is_finite())).collect()
}

fn effect(networks: &[&Measured], x: &str, y: &str, streams: Streams) -> Effect {
    let networks = with_all(networks, &[x, y]);
    Effect::over(networks.len(), streams, |rows| coefficient(rows.iter().map(|&row| networks[row]), x, y))
}

/// `x` and `y` are correlated with at least `least` (Pearson), `least` above 0; at most, if it is below 0.
pub fn correlated_strongly(of: &str, networks: &[&Measured], x: &str, y: &str, least: f64, seed: u64) -> Test {
    let effect = effect(networks, x, y, streams(seed, of));
    if least > 0.0 { above(of, effect, least) } else { below(of, effect, least) }
}

/// The correlation of `x` and `y` has the sign of `sign`.
pub fn correlated_in_sign(of: &str, networks: &[&Measured], x: &str, y: &str, sign: f64, seed: u64) -> Test {
    let effect = effect(networks, x, y, streams(seed, of));
    if sign > 0.0 { above(of, effect, 0.0) } else { below(of, effect, 0.0) }
}

/// `a` is more strongly correlated with `with` than `b` is, on the same networks; the effect is `|r_a| - |r_b|`.
pub fn stronger_than(of: &str, networks: &[&Measured], a: &str, b: &str, with: &str, seed: u64) -> Test {
    let networks = with_all(networks, &[a, b, with]);
    let size = |rows: &[usize], x: &str| Some(coefficient(rows.iter().map(|&row| networks[row]), x, with)?.abs());
    let effect = Effect::over(networks.len(), streams(seed, of), |rows| Some(size(rows, a)? - size(rows, b)?));
    above(of, effect, 0.0)
}

/// Given `given`, `x` is less correlated with accuracy than without; the effect is `|r| - |partial r|`.
pub fn accounted_for(of: &str, networks: &[&Measured], x: &str, given: &str, seed: u64) -> Test {
    above(of, difference_to_partial(networks, x, given, streams(seed, of)), 0.0)
}

fn difference_to_partial(networks: &[&Measured], x: &str, given: &str, streams: Streams) -> Effect {
    let networks = with_all(networks, &[x, given, ACCURACY]);
    Effect::over(networks.len(), streams, |rows| {
        let column = |name: &str| rows.iter().map(|&row| value(networks[row], name)).collect::<Vec<f64>>();
        let (x, y, z) = (column(x), column(ACCURACY), column(given));
        Some(pearson(&x, &y)?.abs() - partial(&x, &y, &z)?.abs())
    })
}

/// Networks of the reference and of another group that share attack set and seed.
fn cells<'m>(reference: &[&'m Measured], other: &[&'m Measured], predictor: &str) -> Vec<(&'m Measured, Cell<'m>)> {
    let other = with_all(other, &[predictor, ACCURACY]);
    with_all(reference, &[predictor, ACCURACY])
        .into_iter()
        .filter_map(|one| {
            let partners: Cell =
                other.iter().copied().filter(|two| (two.attack, two.seed) == (one.attack, one.seed)).collect();
            (!partners.is_empty()).then_some((one, partners))
        })
        .collect()
}

/// The correlation of `predictor` with accuracy is weaker among `other` networks than among `reference` ones, or broken.
///
/// Weaker: the interval of `|r_reference| - |r_other|`, the effect shown, lies above 0. Broken: the interval of `r_other`
/// covers 0 or has the other sign. So that few networks do not count as broken, `r_reference` must differ from 0 by its own
/// interval, and the interval of `r_other` must not reach `r_reference`.
pub fn weakens_or_breaks(of: &str, reference: &[&Measured], other: &[&Measured], predictor: &str, seed: u64) -> Test {
    let cells = cells(reference, other, predictor);
    let streams = streams(seed, of);
    let of_reference = |rows: &[usize]| coefficient(rows.iter().map(|&row| cells[row].0), predictor, ACCURACY);
    let of_other =
        |rows: &[usize]| coefficient(rows.iter().flat_map(|&row| cells[row].1.iter().copied()), predictor, ACCURACY);
    let n = cells.len();
    let difference = Effect::over(n, streams, |rows| Some(of_reference(rows)?.abs() - of_other(rows)?.abs()));
    let broken = breaks(Effect::over(n, streams, of_reference), Effect::over(n, streams, of_other));
    let weaker = above(of, difference, 0.0);
    Test { verdict: weaker.verdict.or(broken), ..weaker }
}

fn breaks(reference: Effect, other: Effect) -> Verdict {
    let (Some(r), Some([low, high]), Some([other_low, other_high])) =
        (reference.value, reference.interval, other.interval)
    else {
        return Verdict::Undecided;
    };
    if low <= 0.0 && high >= 0.0 {
        return Verdict::Undecided;
    }
    let kept_its_sign = if r > 0.0 { other_low > 0.0 } else { other_high < 0.0 };
    let reaches = other_low <= r && r <= other_high;
    match (kept_its_sign, reaches) {
        (true, _) => Verdict::Fails,
        (false, true) => Verdict::Undecided,
        (false, false) => Verdict::Holds,
    }
}

/// With a rescaled twin of each network the correlation of `predictor` with accuracy is less than half of what it was; the
/// effect is `|r| / 2 - |r_with_twins|`.
pub fn halved_by_twins(of: &str, networks: &[&Measured], twins: &[&Measured], predictor: &str, seed: u64) -> Test {
    let pairs: Vec<[&Measured; 2]> = with_all(networks, &[predictor, ACCURACY])
        .into_iter()
        .filter_map(|one| {
            Some([one, with_all(twins, &[predictor]).into_iter().find(|twin| twin.network == one.network)?])
        })
        .collect();
    let effect = Effect::over(pairs.len(), streams(seed, of), |rows| {
        let alone = coefficient(rows.iter().map(|&row| pairs[row][0]), predictor, ACCURACY)?;
        let both = coefficient(rows.iter().flat_map(|&row| pairs[row]), predictor, ACCURACY)?;
        Some(alone.abs() / 2.0 - both.abs())
    });
    above(of, effect, 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::claims::planted::{noise, planted};

    /// Networks whose sharpness follows their accuracy with so much noise, for `n` of them.
    fn group(optimizer: &str, n: usize, slope: f64, spread: f64) -> Vec<Measured> {
        (0..n)
            .map(|index| {
                let accuracy = 0.5 + 0.4 * index as f64 / n as f64;
                let sharpness = slope * accuracy + spread * noise(optimizer, index);
                planted(optimizer, index, accuracy, &[("keskar_sharpness", 10_f64.powf(sharpness))])
            })
            .collect()
    }

    fn verdict(sgd: &[Measured], other: &[Measured]) -> Verdict {
        let (sgd, other): (Vec<&Measured>, Vec<&Measured>) = (sgd.iter().collect(), other.iter().collect());
        weakens_or_breaks("other", &sgd, &other, "log10_keskar_sharpness", 0).verdict
    }

    #[test]
    fn weaker_broken_kept_and_unknown_are_told_apart() {
        let sgd = group("sgd", 24, -1.0, 0.02);
        assert_eq!(verdict(&sgd, &group("a", 24, -1.0, 0.2)), Verdict::Holds);
        assert_eq!(verdict(&sgd, &group("a", 24, 0.0, 0.2)), Verdict::Holds);
        assert_eq!(verdict(&sgd, &group("a", 24, 1.0, 0.02)), Verdict::Holds);
        assert_eq!(verdict(&group("sgd", 24, -1.0, 0.1), &group("a", 24, -1.0, 0.005)), Verdict::Fails);
        // As strong as under SGD: neither stronger nor weaker beyond the noise.
        assert_eq!(verdict(&sgd, &group("a", 24, -1.0, 0.02)), Verdict::Undecided);
        assert_eq!(verdict(&sgd[..4], &group("a", 4, 0.0, 0.2)), Verdict::Undecided);
        assert_eq!(verdict(&group("sgd", 6, 0.0, 1.0), &group("a", 6, 0.0, 1.0)), Verdict::Undecided);
        assert_eq!(verdict(&sgd, &[]), Verdict::Undecided);
    }

    /// Sharpness was stronger under Adam (-0.898) than under SGD (-0.737) on 1000 MNIST images, and the claim was said to hold.
    #[test]
    fn a_correlation_that_is_stronger_than_under_sgd_has_neither_weakened_nor_broken() {
        // Noise of the sizes that give these coefficients.
        for (n, spread_sgd, spread_other) in [(22, 0.106, 0.056), (55, 0.106, 0.056), (6, 0.106, 0.056)] {
            let found = verdict(&group("sgd", n, -1.0, spread_sgd), &group("adam", n, -1.0, spread_other));
            assert_ne!(found, Verdict::Holds, "{n}");
        }
    }

    #[test]
    fn networks_are_paired_by_attack_set_and_seed() {
        let (sgd, mut other) = (group("sgd", 12, -1.0, 0.02), group("a", 12, -1.0, 0.2));
        other.reverse();
        let refs = |all: &[Measured]| -> Vec<String> { all.iter().map(|one| one.network.clone()).collect() };
        assert_ne!(refs(&sgd), refs(&other));
        let (a, b): (Vec<&Measured>, Vec<&Measured>) = (sgd.iter().collect(), other.iter().collect());
        let paired = cells(&a, &b, "keskar_sharpness");
        assert_eq!(paired.len(), 12);
        assert!(paired.iter().all(|(one, two)| two.len() == 1 && two[0].attack == one.attack));
    }
}
