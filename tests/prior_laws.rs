//! The laws of `log P(f)`, on random matrices, for every method of the registry.
//!
//! All methods owe the symmetries; exact and unbiased ones owe the values too. A comparison of estimates with
//! standard errors allows [`SIGMAS`] combined standard errors.

use flatgauge::numeric::Estimate;
use flatgauge::prior::{Exactness, Gram, Labels, Link, LogProbMethod, PriorError, PriorOptions, registry};
use ndarray::{Array1, Array2};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, RngSeed};

/// Deterministic methods that differ by rounding alone: expectation propagation stops within `1e-10` of its fixed
/// point and both sides stop on their own.
const SAME: f64 = 1e-8;

/// Combined standard errors allowed: a Gaussian leaves 6.5 with probability `8e-11`, so the few thousand
/// comparisons made here raise a false alarm with probability below `1e-6`.
const SIGMAS: f64 = 6.5;

/// Matrices of up to this many points; methods are run on thousands of them.
const MAX_POINTS: usize = 6;

fn config() -> ProptestConfig {
    // A fixed seed: a failure is always reproduced by running the test again.
    ProptestConfig {
        cases: 24,
        rng_algorithm: RngAlgorithm::ChaCha,
        rng_seed: RngSeed::Fixed(20_240_117),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// `A A^T / d + ridge I` with uniform entries, of 1 to `MAX_POINTS` points, and labels.
fn problem() -> impl Strategy<Value = (Array2<f64>, Vec<bool>)> {
    (1..=MAX_POINTS).prop_flat_map(|n| {
        let entries = prop::collection::vec(-1.0..1.0_f64, n * 4);
        let signs = prop::collection::vec(any::<bool>(), n);
        (entries, signs, 0.02..1.0_f64).prop_map(move |(entries, signs, ridge)| {
            let factor = Array2::from_shape_vec((n, 4), entries).unwrap();
            (factor.dot(&factor.t()) + Array2::<f64>::eye(n) * ridge, signs)
        })
    })
}

/// What a method says; `None` where it says it does not apply.
fn ask(method: &dyn LogProbMethod, matrix: &Array2<f64>, signs: &[bool], link: Link, seed: u64) -> Option<Estimate> {
    let gram = Gram::new(matrix.clone()).expect("the matrices made here are positive definite");
    let labels = Labels::from_signs(signs.iter().copied());
    match method.log_prob(&gram, &labels, &PriorOptions { link, seed, ..PriorOptions::default() }) {
        Ok(answer) => {
            let estimate = answer.estimate;
            assert!(!estimate.value.is_nan(), "{}: NaN", method.id());
            assert_eq!(estimate.std_error.is_some(), method.exactness() == Exactness::Unbiased, "{}", method.id());
            Some(estimate)
        }
        Err(PriorError::NotApplicable { .. }) => None,
        Err(error) => panic!("{}: {error}", method.id()),
    }
}

/// Difference of two answers within what rounding and their standard errors explain.
fn agree(a: &Estimate, b: &Estimate) -> bool {
    if a.value == f64::NEG_INFINITY || b.value == f64::NEG_INFINITY {
        return a.value == b.value;
    }
    let (x, y) = (a.std_error.unwrap_or(0.0), b.std_error.unwrap_or(0.0));
    (a.value - b.value).abs() <= SAME + SIGMAS * x.hypot(y)
}

fn step_methods() -> impl Iterator<Item = &'static dyn LogProbMethod> {
    registry().iter().copied().filter(|method| method.links().contains(&Link::Step))
}

fn owes_values(method: &dyn LogProbMethod) -> bool {
    method.exactness() != Exactness::Approximate
}

fn log_sum_exp(values: &[f64]) -> f64 {
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + values.iter().map(|value| (value - largest).exp()).sum::<f64>().ln()
}

/// `log sum exp` with its standard error by the delta method.
fn log_sum(estimates: &[Estimate]) -> Estimate {
    let values: Vec<f64> = estimates.iter().map(|estimate| estimate.value).collect();
    let total = log_sum_exp(&values);
    let variance: f64 = estimates
        .iter()
        .map(|estimate| ((estimate.value - total).exp() * estimate.std_error.unwrap_or(0.0)).powi(2))
        .sum();
    Estimate::stochastic(total, variance.sqrt(), Default::default())
}

fn permuted(matrix: &Array2<f64>, signs: &[bool], order: &[usize]) -> (Array2<f64>, Vec<bool>) {
    let matrix = Array2::from_shape_fn(matrix.dim(), |(i, j)| matrix[[order[i], order[j]]]);
    (matrix, order.iter().map(|&i| signs[i]).collect())
}

/// `matrix` with its point `i` written down again at the end.
fn with_copy(matrix: &Array2<f64>, i: usize) -> Array2<f64> {
    let n = matrix.nrows();
    let source = |a: usize| if a == n { i } else { a };
    Array2::from_shape_fn((n + 1, n + 1), |(a, b)| matrix[[source(a), source(b)]])
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn scaling_the_matrix_changes_nothing((matrix, signs) in problem(), log_scale in -12.0..12.0_f64) {
        for method in step_methods() {
            let Some(before) = ask(method, &matrix, &signs, Link::Step, 1) else { continue };
            let after = ask(method, &(&matrix * log_scale.exp()), &signs, Link::Step, 2).unwrap();
            prop_assert!(agree(&before, &after), "{}: {before:?} against {after:?}", method.id());
        }
    }

    #[test]
    fn scaling_each_point_changes_nothing(
        (matrix, signs) in problem(),
        log_scales in prop::collection::vec(-6.0..6.0_f64, MAX_POINTS),
    ) {
        let scales = Array1::from_vec(log_scales[..signs.len()].iter().map(|s| s.exp()).collect());
        let scaled = Array2::from_shape_fn(matrix.dim(), |(i, j)| matrix[[i, j]] * scales[i] * scales[j]);
        for method in step_methods() {
            let Some(before) = ask(method, &matrix, &signs, Link::Step, 1) else { continue };
            let after = ask(method, &scaled, &signs, Link::Step, 2).unwrap();
            prop_assert!(agree(&before, &after), "{}: {before:?} against {after:?}", method.id());
        }
    }

    #[test]
    fn permuting_points_and_flipping_labels_changes_nothing(
        (matrix, signs) in problem(),
        order in Just((0..MAX_POINTS).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let order: Vec<usize> = order.into_iter().filter(|&i| i < signs.len()).collect();
        let (moved, moved_signs) = permuted(&matrix, &signs, &order);
        let flipped: Vec<bool> = signs.iter().map(|sign| !sign).collect();
        for method in registry() {
            for &link in method.links() {
                let Some(before) = ask(*method, &matrix, &signs, link, 1) else { continue };
                let after = ask(*method, &moved, &moved_signs, link, 2).unwrap();
                prop_assert!(agree(&before, &after), "{}: {before:?} against {after:?}", method.id());
                let after = ask(*method, &matrix, &flipped, link, 3).unwrap();
                prop_assert!(agree(&before, &after), "{}: {before:?} against {after:?}", method.id());
            }
        }
    }

    #[test]
    fn duplicates_change_nothing_and_contradictions_are_impossible(
        (matrix, signs) in problem(),
        which in 0..MAX_POINTS,
        scale in 0.1..10.0_f64,
    ) {
        let i = which % signs.len();
        let n = signs.len();
        let mut doubled = with_copy(&matrix, i);
        doubled.row_mut(n).mapv_inplace(|entry| entry * scale);
        doubled.column_mut(n).mapv_inplace(|entry| entry * scale);
        for method in step_methods() {
            let Some(before) = ask(method, &matrix, &signs, Link::Step, 1) else { continue };
            let mut more = signs.clone();
            more.push(signs[i]);
            let same = ask(method, &doubled, &more, Link::Step, 2).unwrap();
            prop_assert!(agree(&before, &same), "{}: {before:?} against {same:?}", method.id());
            more[n] = !signs[i];
            let contradiction = ask(method, &doubled, &more, Link::Step, 2).unwrap();
            prop_assert_eq!(contradiction.value, f64::NEG_INFINITY, "{}", method.id());
        }
    }

    #[test]
    fn the_two_labels_of_the_last_point_share_what_the_others_have((matrix, signs) in problem()) {
        let n = signs.len();
        prop_assume!(n > 1);
        let fewer = matrix.slice(ndarray::s![..n - 1, ..n - 1]).to_owned();
        for method in registry().iter().filter(|method| owes_values(**method)) {
            for &link in method.links() {
                let Some(without) = ask(*method, &fewer, &signs[..n - 1], link, 1) else { continue };
                let with: Vec<Estimate> = [true, false]
                    .into_iter()
                    .filter_map(|last| {
                        let mut signs = signs.clone();
                        signs[n - 1] = last;
                        ask(*method, &matrix, &signs, link, if last { 2 } else { 3 })
                    })
                    .collect();
                if with.len() < 2 {
                    continue;
                }
                prop_assert!(agree(&without, &log_sum(&with)), "{}: {without:?} against {with:?}", method.id());
                for part in &with {
                    let slack = SIGMAS * part.std_error.unwrap_or(0.0).hypot(without.std_error.unwrap_or(0.0));
                    prop_assert!(part.value <= without.value + slack + SAME, "{}", method.id());
                }
            }
        }
    }

    #[test]
    fn independent_blocks_add((first, first_signs) in problem(), (second, second_signs) in problem()) {
        let (n, m) = (first_signs.len(), second_signs.len());
        let joint = Array2::from_shape_fn((n + m, n + m), |(i, j)| match (i < n, j < n) {
            (true, true) => first[[i, j]],
            (false, false) => second[[i - n, j - n]],
            _ => 0.0,
        });
        let joint_signs = [first_signs.clone(), second_signs.clone()].concat();
        // Approximate methods factorise over independent blocks too.
        for method in registry() {
            for &link in method.links() {
                let parts = (ask(*method, &first, &first_signs, link, 1), ask(*method, &second, &second_signs, link, 2));
                let (Some(a), Some(b)) = parts else { continue };
                let both = ask(*method, &joint, &joint_signs, link, 3).unwrap();
                let errors = (a.std_error.unwrap_or(0.0), b.std_error.unwrap_or(0.0));
                let sum = Estimate::stochastic(a.value + b.value, errors.0.hypot(errors.1), a.info);
                prop_assert!(agree(&sum, &both), "{}: {sum:?} against {both:?}", method.id());
            }
        }
    }

    #[test]
    fn one_factor_matrices_agree_with_quadrature(
        loadings in prop::collection::vec(-0.95..0.95_f64, 3..=MAX_POINTS),
    ) {
        let n = loadings.len();
        let matrix = Array2::from_shape_fn((n, n), |(i, j)| if i == j { 1.0 } else { loadings[i] * loadings[j] });
        let truth = quadrature(&loadings);
        for method in step_methods().filter(|method| owes_values(*method)) {
            let Some(answer) = ask(method, &matrix, &vec![true; n], Link::Step, 1) else { continue };
            let truth = Estimate::deterministic(truth, Default::default());
            prop_assert!(agree(&answer, &truth), "{}: {answer:?} against {truth:?}", method.id());
        }
    }
}

/// Simpson's rule on `phi(z) prod Phi(l_i z / sqrt(1 - l_i^2))`, the distribution function itself by Simpson's rule.
fn quadrature(loadings: &[f64]) -> f64 {
    let density = |z: f64| (-0.5 * z * z).exp() / std::f64::consts::TAU.sqrt();
    let steps = 6000;
    let width = 24.0 / steps as f64;
    let mut cumulative = vec![0.0; steps + 1];
    for k in 1..=steps {
        let (a, b) = (-12.0 + width * (k - 1) as f64, -12.0 + width * k as f64);
        cumulative[k] = cumulative[k - 1] + width / 6.0 * (density(a) + 4.0 * density(0.5 * (a + b)) + density(b));
    }
    // Third-order interpolation between the nodes: the derivative is the density, known exactly.
    let distribution = |x: f64| {
        let x = x.clamp(-12.0, 12.0);
        let index = (((x + 12.0) / width) as usize).min(steps);
        let node = -12.0 + width * index as f64;
        cumulative[index] + (x - node) / 6.0 * (density(node) + 4.0 * density(0.5 * (node + x)) + density(x))
    };
    let integrand =
        |z: f64| density(z) * loadings.iter().map(|l| distribution(l * z / (1.0 - l * l).sqrt())).product::<f64>();
    let sum: f64 = (0..=steps)
        .map(|k| {
            let weight = if k == 0 || k == steps { 1.0 } else { 2.0 + 2.0 * (k % 2) as f64 };
            weight * integrand(-12.0 + width * k as f64)
        })
        .sum();
    (sum * width / 3.0).ln()
}

/// A matrix on which every reading has something to say.
fn example(n: usize) -> Array2<f64> {
    Array2::from_shape_fn((n, n), |(i, j)| 3.0 * (-0.3 * (i as f64 - j as f64).abs()).exp())
}

#[test]
fn all_labellings_together_have_probability_one() {
    let mut checked = 0;
    for n in 1..=5 {
        let matrix = example(n);
        for method in registry().iter().filter(|method| owes_values(**method)) {
            for &link in method.links() {
                let estimates: Vec<Estimate> = (0..1_u32 << n)
                    .filter_map(|code| {
                        let signs: Vec<bool> = (0..n).map(|bit| code >> bit & 1 == 1).collect();
                        ask(*method, &matrix, &signs, link, u64::from(code))
                    })
                    .collect();
                if estimates.len() < 1 << n {
                    continue;
                }
                let total = log_sum(&estimates);
                let one = Estimate::deterministic(0.0, Default::default());
                assert!(agree(&total, &one), "{} at n = {n}: {total:?}", method.id());
                checked += 1;
            }
        }
    }
    assert!(checked >= 6, "only {checked} normalisations were checked");
}

#[test]
fn the_probit_reading_breaks_both_scale_laws() {
    // Power of the laws: on the same matrices on which the step reading obeys them, the probit reading must fail by
    // far more than any tolerance here.
    // Points are only shrunk: at a variance of 48 Laplace's approximation is off by as much as the law moves it.
    let matrix = example(3);
    let scales = [0.3, 0.7, 0.2];
    let stretched = Array2::from_shape_fn((3, 3), |(i, j)| matrix[[i, j]] * scales[i] * scales[j]);
    let signs = [true, false, true];
    for method in registry().iter().filter(|method| method.links().contains(&Link::Probit)) {
        let value = |matrix: &Array2<f64>| ask(*method, matrix, &signs, Link::Probit, 1).map(|answer| answer.value);
        let Some(before) = value(&matrix) else { continue };
        for changed in [&matrix * 0.1, stretched.clone()] {
            let after = value(&changed).unwrap();
            assert!((before - after).abs() > 0.05, "{}: {before} and {after}", method.id());
        }
    }
}

#[test]
fn the_laws_reject_planted_errors() {
    // The comparator itself: a bias of one per cent of log P is seen through standard errors of a thousandth.
    let honest = Estimate::stochastic(-2.0, 1e-3, Default::default());
    assert!(agree(&honest, &Estimate::stochastic(-2.003, 1e-3, Default::default())));
    assert!(!agree(&honest, &Estimate::stochastic(-2.02, 1e-3, Default::default())));
    assert!(!agree(&honest, &Estimate::deterministic(f64::NEG_INFINITY, Default::default())));
    let exact = Estimate::deterministic(-2.0, Default::default());
    assert!(!agree(&exact, &Estimate::deterministic(-2.0 - 1e-7, Default::default())));
}
