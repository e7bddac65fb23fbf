//! Correlations of one factor, `R_ij = l_i l_j` off the diagonal: `P = int phi(z) prod_i Phi(l_i z / sqrt(1 - l_i^2)) dz`
//! (Dunnett and Sobel 1955). The equicorrelated matrix is the case of equal loadings.

use crate::numeric::normal::{LOG_SQRT_TAU, log_ndtr, positive_part_moments};
use crate::numeric::tolerance::{ONE_FACTOR_ENTRY, QUADRATURE_STANDSTILL};
use ndarray::ArrayView2;

/// Loadings `l` with `|R_ij - l_i l_j|` within rounding for all `i != j`, if there are such.
pub(super) fn loadings(correlation: ArrayView2<f64>) -> Option<Vec<f64>> {
    let n = correlation.nrows();
    // The strongest pair (a, b) and the third point most strongly tied to both fix the loading of a:
    // l_a^2 = R_ab R_ac / R_bc.
    let (a, b) = strongest(n, |i, j| correlation[[i, j]].abs())?;
    let c = (0..n)
        .filter(|&c| c != a && c != b)
        .max_by(|&c, &d| weakest_tie(correlation, a, b, c).total_cmp(&weakest_tie(correlation, a, b, d)))?;
    let square = correlation[[a, b]] * correlation[[a, c]] / correlation[[b, c]];
    // A loading of 1 makes h_a the factor itself; NaN and negative squares have no real loading.
    if !(square > 0.0 && square < 1.0) {
        return None;
    }
    let first = square.sqrt();
    let loadings: Vec<f64> = (0..n).map(|i| if i == a { first } else { correlation[[a, i]] / first }).collect();
    if loadings.iter().any(|l| !(l.abs() < 1.0)) {
        return None;
    }
    let fits =
        (0..n).all(|i| (0..i).all(|j| (correlation[[i, j]] - loadings[i] * loadings[j]).abs() <= ONE_FACTOR_ENTRY));
    fits.then_some(loadings)
}

fn strongest(n: usize, tie: impl Fn(usize, usize) -> f64) -> Option<(usize, usize)> {
    (0..n).flat_map(|i| (0..i).map(move |j| (j, i))).max_by(|&(a, b), &(c, d)| tie(a, b).total_cmp(&tie(c, d)))
}

fn weakest_tie(correlation: ArrayView2<f64>, a: usize, b: usize, c: usize) -> f64 {
    correlation[[a, c]].abs().min(correlation[[b, c]].abs())
}

/// `log P` by the trapezoid rule, halving the step until the sum stands still.
///
/// The integrand is log-concave and analytic and falls like a Gaussian, so the rule converges faster than any
/// power of the step; it is centred on the mode and scaled by the curvature there.
pub(super) fn log_orthant(loadings: &[f64]) -> f64 {
    let slopes: Vec<f64> = loadings.iter().map(|l| l / ((1.0 - l) * (1.0 + l)).sqrt()).collect();
    let log_integrand =
        |z: f64| -0.5 * z * z - LOG_SQRT_TAU + slopes.iter().map(|slope| log_ndtr(slope * z)).sum::<f64>();
    let (mode, curvature) = mode(&slopes);
    let peak = log_integrand(mode);
    let mut step = 0.5 / curvature.sqrt();
    let mut sum = 1.0;
    // Points added at the first pass: all multiples of the step; later: the odd multiples only.
    let (mut offset, mut stride) = (1.0, 1.0);
    let mut last = f64::INFINITY;
    for _ in 0..16 {
        for side in [-1.0, 1.0] {
            for k in 0.. {
                let term = (log_integrand(mode + side * step * (offset + stride * k as f64)) - peak).exp();
                sum += term;
                // What follows falls at least geometrically once terms are this small. (Written so that NaN ends it.)
                if !(term >= 1e-20 * sum) {
                    break;
                }
            }
        }
        let value = peak + (sum * step).ln();
        if (value - last).abs() <= QUADRATURE_STANDSTILL * value.abs().max(1.0) {
            return value;
        }
        last = value;
        step *= 0.5;
        (offset, stride) = (1.0, 2.0);
    }
    last
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
    use approx::assert_relative_eq;
    use ndarray::Array2;

    fn equicorrelated(n: usize, rho: f64) -> Array2<f64> {
        Array2::from_shape_fn((n, n), |(i, j)| if i == j { 1.0 } else { rho })
    }

    #[test]
    fn correlation_one_half_gives_one_over_n_plus_one() {
        for n in [3, 4, 10, 100, 1000] {
            let loadings = loadings(equicorrelated(n, 0.5).view()).unwrap();
            assert_relative_eq!(log_orthant(&loadings), -(n as f64 + 1.0).ln(), max_relative = 1e-12);
        }
    }

    #[test]
    fn signs_of_loadings_are_found() {
        let truth = [0.3, -0.9, 0.5, -0.2, 0.95];
        let matrix = Array2::from_shape_fn((5, 5), |(i, j)| if i == j { 1.0 } else { truth[i] * truth[j] });
        let found = loadings(matrix.view()).unwrap();
        let sign = (found[0] / truth[0]).signum();
        for (l, t) in found.iter().zip(truth) {
            assert_relative_eq!(*l, sign * t, max_relative = 1e-13);
        }
    }

    #[test]
    fn other_matrices_have_no_factor() {
        let mut matrix = equicorrelated(5, 0.4);
        matrix[[1, 3]] = 0.4 + 1e-9;
        matrix[[3, 1]] = 0.4 + 1e-9;
        assert!(loadings(matrix.view()).is_none());
        assert!(loadings(equicorrelated(4, -0.2).view()).is_none());
    }
}
