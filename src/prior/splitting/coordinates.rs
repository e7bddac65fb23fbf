//! Markov steps for nearly singular matrices: one coordinate of the factor at a time, drawn exactly.
//!
//! With `h = A z`, `A` lower trapezoidal with the pivots' rows first and `z` standard normal, coordinate `k` given the others
//! is a standard normal between two bounds: each constraint `h_i + A_ik (z - z_k) >= -gamma` gives one. Nothing is inverted,
//! and a thin cone is no matter: points with a near copy are the first pivots, so the thin directions are coordinates,
//! and a coordinate at its own scale moves as far as the others leave room for.

use crate::numeric::normal::{log_ndtr, quantile_of_log};
use crate::prior::particles::open_uniform;
use ndarray::{Array2, ArrayViewMut2, s};
use rand_chacha::ChaCha8Rng;

/// Moves each particle (a column: `n` values, then the coordinates) once through all coordinates.
pub(super) fn sweep(factor: &Array2<f64>, mut state: ArrayViewMut2<f64>, gamma: f64, generator: &mut ChaCha8Rng) {
    let (n, rank) = factor.dim();
    let particles = state.ncols();
    let (mut values, mut coordinates) = state.view_mut().split_at(ndarray::Axis(0), n);
    let (mut lower, mut upper) = (vec![0.0; particles], vec![0.0; particles]);
    for k in 0..rank {
        lower.fill(f64::NEG_INFINITY);
        upper.fill(f64::INFINITY);
        for (row, &slope) in values.outer_iter().zip(factor.column(k)) {
            // How far the constraint is, in units of the coordinate; rounding must not put it behind the point.
            if slope > 0.0 {
                lower.iter_mut().zip(row).for_each(|(bound, &h)| *bound = bound.max(-(h + gamma).max(0.0) / slope));
            } else if slope < 0.0 {
                upper.iter_mut().zip(row).for_each(|(bound, &h)| *bound = bound.min(-(h + gamma).max(0.0) / slope));
            }
        }
        let mut row = coordinates.row_mut(k);
        let steps: Vec<f64> = row
            .iter_mut()
            .zip(lower.iter().zip(&upper))
            .map(|(z, (&lower, &upper))| {
                let step = (between(*z + lower, *z + upper, open_uniform(generator)) - *z).clamp(lower, upper);
                *z += step;
                step
            })
            .collect();
        for (mut row, &slope) in values.slice_mut(s![.., ..]).outer_iter_mut().zip(factor.column(k)) {
            if slope != 0.0 {
                row.iter_mut().zip(&steps).for_each(|(h, step)| *h += slope * step);
            }
        }
    }
    // Afresh from the coordinates, so that rounding does not pile up; at the very end of an interval it must not leave the
    // domain.
    let fresh = factor.dot(&coordinates);
    values.zip_mut_with(&fresh, |h, &fresh| *h = fresh.max(-gamma));
}

/// The quantile at `u` of a standard normal between `lower` and `upper`.
fn between(lower: f64, upper: f64, u: f64) -> f64 {
    // In the tail that the interval leans to, where probabilities keep their digits.
    let flip = lower + upper < 0.0;
    let (near, far) = if flip { (-upper, -lower) } else { (lower, upper) };
    let (log_near, log_far) = (log_ndtr(-near), log_ndtr(-far));
    // P(beyond x) = P(beyond near) - u (P(beyond near) - P(beyond far)).
    let share = -(log_far - log_near).exp_m1();
    let x = -quantile_of_log(log_near + (-u * share).ln_1p());
    let x = x.clamp(near, far);
    if flip { -x } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::Streams;

    #[test]
    fn quantiles_between_bounds_have_the_share_below_them() {
        for (lower, upper) in
            [(-1.0, 2.0), (0.5, 0.5 + 1e-7), (-8.0, -7.9), (30.0, f64::INFINITY), (-0.1, f64::INFINITY)]
        {
            for u in [1e-3, 0.3, 0.999] {
                let x = between(lower, upper, u);
                assert!(x >= lower && x <= upper);
                let tail = |a: f64| log_ndtr(-a);
                let (near, far) = if lower + upper < 0.0 { (-upper, -lower) } else { (lower, upper) };
                let at = if lower + upper < 0.0 { -x } else { x };
                let share = |a: f64| -(tail(a) - tail(near)).exp_m1();
                let found = share(at) / share(far);
                // A width of 1e-7 leaves nine digits.
                assert!((found - u).abs() < 1e-8, "{lower} {upper}: {found} for {u}");
            }
        }
    }

    #[test]
    fn sweeps_leave_a_thin_cone_invariant() {
        // z_1 > 0 and d z_2 > z_1: between the axes z_1 = 0 and z_1 = d z_2, so z_2 has density z exp(-z^2 / 2) as d vanishes:
        // mean sqrt(pi / 2), variance 2 - pi / 2.
        let d = 1e-7;
        let factor = ndarray::array![[1.0, 0.0], [-1.0, d]];
        let mut generator = Streams::new(9).stream("thin cone", 0);
        let particles = 4000;
        let mut state = Array2::<f64>::zeros((4, particles));
        state.row_mut(2).fill(0.5 * d);
        state.row_mut(3).fill(1.0);
        state.row_mut(0).fill(0.5 * d);
        state.row_mut(1).fill(0.5 * d);
        for _ in 0..100 {
            sweep(&factor, state.view_mut(), 0.0, &mut generator);
        }
        let mean = state.row(3).mean().unwrap();
        let (expected, deviation) = ((0.5 * std::f64::consts::PI).sqrt(), (2.0 - 0.5 * std::f64::consts::PI).sqrt());
        // Six standard errors of independent particles.
        assert!((mean - expected).abs() < 6.0 * deviation / (particles as f64).sqrt(), "{mean} for {expected}");
    }
}
