//! One-factor matrices, whose orthant probabilities are one integral: a truth that the gate does not have. Its own laws of
//! `log P(f)` are held on drawn matrices in laws.rs.

use flatgauge::numeric::Estimate;
use flatgauge::prior::{Exactness, Gram, Labels, Link, PriorError, PriorOptions, registry};
use ndarray::Array2;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, RngSeed};

/// Deterministic methods and the quadrature below differ by rounding alone.
const SAME: f64 = 1e-8;

/// Combined standard errors allowed: a Gaussian leaves 6.5 with probability `8e-11`, so the few thousand
/// comparisons made here raise a false alarm with probability below `1e-6`.
const SIGMAS: f64 = 6.5;

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

/// Whether an answer is the truth within what rounding and its standard error explain.
fn agrees(answer: &Estimate, truth: f64) -> bool {
    (answer.value - truth).abs() <= SAME + SIGMAS * answer.std_error.unwrap_or(0.0)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn one_factor_matrices_agree_with_quadrature(loadings in prop::collection::vec(-0.95..0.95_f64, 3..=6)) {
        let n = loadings.len();
        let matrix = Array2::from_shape_fn((n, n), |(i, j)| if i == j { 1.0 } else { loadings[i] * loadings[j] });
        let (gram, labels) = (Gram::new(matrix).unwrap(), Labels::from_signs(vec![true; n]));
        let truth = quadrature(&loadings);
        let options = PriorOptions { link: Link::Step, seed: 1, ..PriorOptions::default() };
        let methods = registry().iter().filter(|method| method.links().contains(&Link::Step));
        for method in methods.filter(|method| method.exactness() != Exactness::Approximate) {
            match method.log_prob(&gram, &labels, &options) {
                Ok(answer) => {
                    prop_assert!(agrees(&answer.estimate, truth), "{}: {answer:?}, by quadrature {truth}", method.id());
                }
                Err(PriorError::NotApplicable { .. }) => {}
                Err(error) => panic!("{}: {error}", method.id()),
            }
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

#[test]
fn the_comparison_rejects_planted_errors() {
    // A bias of one per cent of log P is seen through standard errors of a thousandth.
    let honest = |value| Estimate::stochastic(value, 1e-3, Default::default());
    assert!(agrees(&honest(-2.003), -2.0) && !agrees(&honest(-2.02), -2.0));
    let exact = |value| Estimate::deterministic(value, Default::default());
    assert!(!agrees(&exact(-2.0 - 1e-7), -2.0) && !agrees(&exact(f64::NEG_INFINITY), -2.0));
}
