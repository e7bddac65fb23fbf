//! Correlations of one factor, `R_ij = l_i l_j` off the diagonal: `P = int phi(z) prod_i Phi(l_i z / sqrt(1 - l_i^2)) dz`
//! (Dunnett and Sobel 1955). The equicorrelated matrix is the case of equal loadings.

use crate::numeric::DoubleDouble;
use crate::numeric::normal::{LOG_SQRT_TAU, log_ndtr, positive_part_moments};
use crate::numeric::tolerance::UNIT_ROUNDOFF;
use crate::prior::PriorError;
use crate::prior::rank::Literal;
use crate::prior::tolerance::{ONE_FACTOR_ENTRY, ONE_FACTOR_ROUNDING, QUADRATURE_STANDSTILL};
use ndarray::ArrayView2;

/// Slopes above this are steps on the scale of the density: the integral is taken in `log |z|`.
const STEEP: f64 = 1e3;

/// Halvings of the step after which a quadrature gives up.
const HALVINGS: usize = 16;

/// Slopes `l_i / sqrt(1 - l_i^2)` of loadings with `|R_ij - l_i l_j|` within rounding for all `i != j`, if there are such.
pub(super) fn slopes(literal: &Literal, correlation: ArrayView2<f64>) -> Option<Vec<f64>> {
    let n = literal.point_count();
    // The strongest pair (a, b) and the third point most strongly tied to both fix the loading of a:
    // l_a^2 = R_ab R_ac / R_bc.
    let (a, b) = strongest(n, |i, j| correlation[[i, j]].abs())?;
    let c = (0..n)
        .filter(|&c| c != a && c != b)
        .max_by(|&c, &d| weakest_tie(correlation, a, b, c).total_cmp(&weakest_tie(correlation, a, b, d)))?;
    let entry = |i: usize, j: usize| DoubleDouble::from(literal.matrix[[i, j]]);
    let one = DoubleDouble::from(1.0);
    let first = entry(a, b) * entry(a, c) / (entry(b, c) * literal.diagonal[a]);
    // A loading of 1 makes h_a the factor itself; NaN and negative squares have no real loading.
    if !(first > 0.0 && first < 1.0) {
        return None;
    }
    // R_ai = l_a l_i, so l_i^2 = K_ai^2 / (K_aa K_ii l_a^2); loadings of size near 1 live by the digits of 1 - l_i^2.
    let squares: Vec<DoubleDouble> = (0..n)
        .map(|i| {
            let tie = entry(a, i);
            if i == a { first } else { tie * tie / (literal.diagonal[a] * literal.diagonal[i] * first) }
        })
        .collect();
    let signs: Vec<f64> = (0..n).map(|i| if i == a { 1.0 } else { literal.matrix[[a, i]].signum() }).collect();
    let complements: Vec<f64> = squares.iter().map(|&square| (one - square).to_f64()).collect();
    if complements.iter().any(|complement| !(*complement > 0.0)) {
        return None;
    }
    let loadings: Vec<DoubleDouble> = squares.iter().zip(&signs).map(|(square, &sign)| square.sqrt() * sign).collect();
    let deviations: Vec<DoubleDouble> = literal.diagonal.iter().map(|variance| variance.sqrt()).collect();
    let fits = |i: usize, j: usize| {
        // A first look in f64 spares most matrices the double-double.
        let product = loadings[i].to_f64() * loadings[j].to_f64();
        if (correlation[[i, j]] - product).abs() > ONE_FACTOR_ENTRY {
            return false;
        }
        let exact = entry(i, j) / (deviations[i] * deviations[j]) - loadings[i] * loadings[j];
        let (deviation, unit) = (exact.to_f64().abs(), complements[i].max(complements[j]).sqrt());
        deviation <= ONE_FACTOR_ENTRY * unit
            || (deviation <= 2.0 * UNIT_ROUNDOFF && deviation <= ONE_FACTOR_ROUNDING * unit)
    };
    let all = (0..n).all(|i| (0..i).all(|j| fits(i, j)));
    all.then(|| loadings.iter().zip(&complements).map(|(l, complement)| l.to_f64() / complement.sqrt()).collect())
}

fn strongest(n: usize, tie: impl Fn(usize, usize) -> f64) -> Option<(usize, usize)> {
    (0..n).flat_map(|i| (0..i).map(move |j| (j, i))).max_by(|&(a, b), &(c, d)| tie(a, b).total_cmp(&tie(c, d)))
}

fn weakest_tie(correlation: ArrayView2<f64>, a: usize, b: usize, c: usize) -> f64 {
    correlation[[a, c]].abs().min(correlation[[b, c]].abs())
}

/// `log P` by quadrature.
///
/// # Errors
/// [`PriorError::NotConverged`] if halving the step does not bring the sum to a standstill.
pub(super) fn log_orthant(slopes: &[f64]) -> Result<f64, PriorError> {
    let log_integrand =
        |z: f64| -0.5 * z * z - LOG_SQRT_TAU + slopes.iter().map(|slope| log_ndtr(slope * z)).sum::<f64>();
    if slopes.iter().all(|slope| slope.abs() <= STEEP) {
        let (mode, curvature) = mode(slopes);
        return trapezoid(log_integrand, mode, 0.5 / curvature.sqrt());
    }
    // Every factor turns over at z = 0, on scales from 1 down to 1e-8. In t = log |z| all of them have width 1; on either
    // side the integrand has one peak, falls like exp(t) to the left and faster than a Gaussian to the right.
    let mut halves = [0.0; 2];
    for (half, side) in halves.iter_mut().zip([-1.0, 1.0]) {
        let in_logarithm = |t: f64| log_integrand(side * t.exp()) + t;
        let places = (-200..=16).map(|k| 0.25 * f64::from(k));
        let centre = places.max_by(|&s, &t| in_logarithm(s).total_cmp(&in_logarithm(t))).expect("there are some");
        *half = trapezoid(in_logarithm, centre, 0.25)?;
    }
    let (small, large) = (halves[0].min(halves[1]), halves[0].max(halves[1]));
    Ok(large + (small - large).exp().ln_1p())
}

/// Log of an integral by the trapezoid rule, halving the step until the sum stands still.
///
/// On an integrand that is analytic and falls off to both sides of its only peak the rule converges faster than any
/// power of the step.
fn trapezoid(log_integrand: impl Fn(f64) -> f64, centre: f64, mut step: f64) -> Result<f64, PriorError> {
    let peak = log_integrand(centre);
    let mut sum = 1.0;
    // Points added at the first pass: all multiples of the step; later: the odd multiples only.
    let (mut offset, mut stride) = (1.0, 1.0);
    let (mut last, mut change) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..HALVINGS {
        for side in [-1.0, 1.0] {
            for k in 0.. {
                let term = (log_integrand(centre + side * step * (offset + stride * k as f64)) - peak).exp();
                sum += term;
                // What follows falls at least geometrically once terms are this small. (Written so that NaN ends it.)
                if !(term >= 1e-20 * sum) {
                    break;
                }
            }
        }
        let value = peak + (sum * step).ln();
        change = value - last;
        if change.abs() <= QUADRATURE_STANDSTILL * value.abs().max(1.0) {
            return Ok(value);
        }
        last = value;
        step *= 0.5;
        (offset, stride) = (1.0, 2.0);
    }
    Err(PriorError::NotConverged { method: "exact", iterations: HALVINGS, change })
}

/// Mode of the log-concave integrand and minus its second derivative there: Newton's steps on the gradient, which
/// falls everywhere, kept inside the bracket its signs have established.
fn mode(slopes: &[f64]) -> (f64, f64) {
    let derivatives = |z: f64| {
        slopes.iter().fold((-z, 1.0), |(gradient, curvature), &slope| {
            let (mean, _) = positive_part_moments(slope * z);
            let h = mean - slope * z;
            (gradient + slope * h, curvature + slope * slope * h * mean)
        })
    };
    let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
    let mut z: f64 = 0.0;
    for _ in 0..200 {
        let (gradient, curvature) = derivatives(z);
        if gradient > 0.0 {
            low = z;
        } else {
            high = z;
        }
        let newton = z + gradient / curvature;
        let next = if newton >= low && newton <= high { newton } else { 0.5 * (low + high) };
        let moved = (next - z).abs();
        z = next;
        if moved <= 1e-9 * (1.0 + z.abs()) {
            break;
        }
    }
    (z, derivatives(z).1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prior::rank::Format;
    use approx::assert_relative_eq;
    use ndarray::Array2;

    fn slopes_of(matrix: Array2<f64>) -> Option<Vec<f64>> {
        let diagonal = vec![DoubleDouble::from(1.0); matrix.nrows()];
        let literal = Literal { matrix: matrix.clone(), diagonal, format: Format::Double, noisy: false };
        slopes(&literal, matrix.view())
    }

    #[test]
    fn steep_and_flat_integrands_agree_where_both_rules_work() {
        // Two loadings of slope s, three of slope 1: in z below 1e3, in log |z| above, and continuous there.
        for signs in [[1.0, 1.0, 1.0], [1.0, -1.0, 1.0], [-1.0, -1.0, 1.0]] {
            let at = |s: f64| log_orthant(&[s * signs[0], s * signs[1], signs[2], 1.0, 1.0]).unwrap();
            let (below, above) = (at(STEEP), at(STEEP * (1.0 + 1e-13)));
            assert!((below - above).abs() < 1e-11 * below.abs(), "{signs:?}: {below} and {above}");
        }
    }

    fn equicorrelated(n: usize, rho: f64) -> Array2<f64> {
        Array2::from_shape_fn((n, n), |(i, j)| if i == j { 1.0 } else { rho })
    }

    #[test]
    fn correlation_one_half_gives_one_over_n_plus_one() {
        for n in [3, 4, 10, 100, 1000] {
            let slopes = slopes_of(equicorrelated(n, 0.5)).unwrap();
            assert_relative_eq!(log_orthant(&slopes).unwrap(), -(n as f64 + 1.0).ln(), max_relative = 1e-12);
        }
    }

    #[test]
    fn signs_of_loadings_are_found() {
        let truth = [0.3, -0.9, 0.5, -0.2, 0.95];
        let matrix = Array2::from_shape_fn((5, 5), |(i, j)| if i == j { 1.0 } else { truth[i] * truth[j] });
        let found = slopes_of(matrix).unwrap();
        let sign = (found[0] / truth[0]).signum();
        for (slope, l) in found.iter().zip(truth) {
            assert_relative_eq!(*slope, sign * l / (1.0_f64 - l * l).sqrt(), max_relative = 1e-12);
        }
    }

    #[test]
    fn other_matrices_have_no_factor() {
        let mut matrix = equicorrelated(5, 0.4);
        matrix[[1, 3]] = 0.4 + 1e-9;
        matrix[[3, 1]] = 0.4 + 1e-9;
        assert!(slopes_of(matrix).is_none());
        assert!(slopes_of(equicorrelated(4, -0.2)).is_none());
    }
}
