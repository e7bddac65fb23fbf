//! The minimax tilt as a convex problem, and the upper bound that comes with it.
//!
//! Botev (2017) proposes `z_i ~ N(mu_i, 1)` restricted to what the constraint asks given the past, and chooses `mu` at
//! the saddle point `min_mu max_x psi(x, mu)` of the log weight. For orthants the two sets of equations collapse. With
//! `L = D (I + M)`, `M` strictly lower triangular, `S = (I + M)(I + M)^T - I` and the hazard `r = phi / Phi`, put
//! `mu = M^T h` for `h > 0`. Then `log Phi` being concave, its tangent at any `z_i = r^-1(h_i)` bounds it, and
//!
//! `psi(x, mu) <= F(h) = h^T S h / 2 - z^T h + sum_i log Phi(z_i)` for every `x`,
//!
//! because the terms in `x` cancel. So `log P <= F(h)` for *every* `h > 0`; `F` is convex with gradient `S h - z` and
//! Hessian `S + diag(1 / delta)`, `delta = h (h + z)` in (0, 1); and at its minimum `F` is Botev's saddle value. Newton's
//! method finds it with one Cholesky factorisation a step, and its bound holds even if it stops early.

use crate::numeric::linalg::{Cholesky, par_gram};
use crate::numeric::normal::{log_ndtr, positive_part_moments};
use crate::prior::tolerance::TILT_GRADIENT;
use ndarray::{Array1, Array2};

/// The tilt and its bound.
pub(super) struct Saddle {
    /// `M = D^-1 L - I`, strictly lower triangular.
    pub strict: Array2<f64>,
    /// `h`, the slopes of the tangents.
    pub slopes: Vec<f64>,
    /// `mu = M^T h`.
    pub tilt: Vec<f64>,
    /// `F(h) >= log P`.
    pub upper_bound: f64,
    /// Newton steps.
    pub iterations: usize,
    /// Whether the minimum was reached; if not, bound and estimate hold all the same, less tightly.
    pub converged: bool,
}

/// Newton steps after which the method gives up.
const MAX_ITERATIONS: usize = 100;

/// `F`, its gradient and `delta` at `z` (the tangent points).
struct Point {
    value: f64,
    slopes: Array1<f64>,
    gradient: Array1<f64>,
    delta: Array1<f64>,
}

fn evaluate(coupling: &Array2<f64>, z: &Array1<f64>) -> Point {
    let moments = z.mapv(|z| positive_part_moments(z).0);
    let slopes = &moments - z;
    let delta = &slopes * &moments;
    let pulled = coupling.dot(&slopes);
    let value = 0.5 * slopes.dot(&pulled) - z.dot(&slopes) + z.iter().map(|&z| log_ndtr(z)).sum::<f64>();
    Point { value, gradient: pulled - z, slopes, delta }
}

/// Minimises `F` for the Cholesky factor `L`.
pub(super) fn solve(lower: &Array2<f64>) -> Saddle {
    let n = lower.nrows();
    let mut strict = lower.clone();
    for (mut row, &pivot) in strict.outer_iter_mut().zip(&lower.diag()) {
        row /= pivot;
    }
    let mut coupling = par_gram(strict.view());
    coupling.diag_mut().mapv_inplace(|entry| entry - 1.0);
    strict.diag_mut().fill(0.0);
    let mut z = Array1::zeros(n);
    let mut point = evaluate(&coupling, &z);
    let mut stalled = false;
    for iteration in 0..=MAX_ITERATIONS {
        // (S + 1/delta) dh = -gradient, solved for dh / sqrt(delta): delta underflows where a constraint is certain.
        let root = point.delta.mapv(f64::sqrt);
        let mut scaled = coupling.clone();
        for ((mut row, &left), i) in scaled.outer_iter_mut().zip(&root).zip(0..) {
            row *= left;
            row *= &root;
            row[i] += 1.0;
        }
        // S + I is positive semi-definite and delta below 1: only rounding of large couplings can break it.
        let newton = match Cholesky::new(scaled) {
            Ok(cholesky) => cholesky.solve((&root * &point.gradient).view()),
            Err(_) => {
                stalled = true;
                Array1::zeros(n)
            }
        };
        let step = &root * &newton;
        // The Newton decrement: twice what a quadratic model leaves of F.
        let decrement = point.gradient.dot(&step);
        // Couplings of nearly singular matrices reach 1e3 and more: there steps are short, or rounding ends them. F
        // bounds log P, and the estimate is unbiased, at any point.
        let converged = !stalled && decrement <= TILT_GRADIENT;
        if converged || stalled || !decrement.is_finite() || iteration == MAX_ITERATIONS {
            let slopes = point.slopes;
            let tilt = strict.t().dot(&slopes).to_vec();
            let upper_bound = point.value;
            return Saddle { strict, slopes: slopes.to_vec(), tilt, upper_bound, iterations: iteration, converged };
        }
        // h moves by -step, and with it the tangent points by gradient - S step.
        let direction = &point.gradient - &coupling.dot(&step);
        let mut length = 1.0;
        loop {
            let next = &z + &(&direction * length);
            let candidate = evaluate(&coupling, &next);
            if candidate.value <= point.value - 1e-4 * length * decrement {
                z = next;
                point = candidate;
                break;
            }
            length *= 0.5;
            if length < 1e-10 {
                stalled = true;
                break;
            }
        }
    }
    unreachable!("the last iteration returns")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Botev's log weight `psi(x, mu)`, by its definition.
    fn psi(strict: &Array2<f64>, x: &Array1<f64>, mu: &Array1<f64>) -> f64 {
        let z = mu + &strict.dot(x);
        0.5 * mu.dot(mu) - x.dot(mu) + z.iter().map(|&z| log_ndtr(z)).sum::<f64>()
    }

    fn example() -> Array2<f64> {
        let matrix = Array2::from_shape_fn((6, 6), |(i, j)| {
            let distance = i as f64 - j as f64;
            (-0.3 * distance * distance).exp() * if (i + j) % 2 == 0 { 1.0 } else { -1.0 }
        });
        Cholesky::new(matrix + Array2::<f64>::eye(6) * 0.2).unwrap().into_lower()
    }

    #[test]
    fn every_point_gives_an_upper_bound() {
        // Three points at correlation 1/2: P = 1/4. Any tangent points bound it, the minimum best.
        let matrix = Array2::from_shape_fn((3, 3), |(i, j)| if i == j { 1.0 } else { 0.5 });
        let lower = Cholesky::new(matrix).unwrap().into_lower();
        let saddle = solve(&lower);
        assert!(saddle.upper_bound > 0.25_f64.ln() && saddle.upper_bound < 0.3_f64.ln());
        let unit = &saddle.strict + &Array2::<f64>::eye(3);
        let coupling = unit.dot(&unit.t()) - Array2::<f64>::eye(3);
        for z in [[0.0, 0.0, 0.0], [1.0, -1.0, 2.0], [-0.5, 0.3, 0.0]] {
            assert!(evaluate(&coupling, &Array1::from_vec(z.to_vec())).value >= saddle.upper_bound);
        }
    }

    #[test]
    fn the_minimum_is_the_saddle_point() {
        let saddle = solve(&example());
        let mu = Array1::from_vec(saddle.tilt.clone());
        let x = &mu + &Array1::from_vec(saddle.slopes.clone());
        let value = psi(&saddle.strict, &x, &mu);
        assert!((value - saddle.upper_bound).abs() < 1e-10);
        for i in 0..6 {
            for shift in [-1e-3, 1e-3] {
                let (mut other_x, mut other_mu) = (x.clone(), mu.clone());
                other_x[i] += shift;
                other_mu[i] += shift;
                // A minimum in every mu_i, and a maximum in every x_i but the last, on which psi does not depend.
                assert!(i == 5 || psi(&saddle.strict, &other_x, &mu) < value);
                assert!(psi(&saddle.strict, &x, &other_mu) > value);
            }
        }
    }
}
