//! Markov steps that leave a Gaussian with soft constraints invariant: one coordinate of its factor at a time.
//!
//! With `h = A z`, `A` lower trapezoidal with the pivots' rows first and `z` standard normal, the target has density
//! `exp(-|z|^2 / 2 - sum_i max(-h_i, 0) / gamma)`: that of a Gaussian truncated to `h_i >= -gamma E_i` for all `i`, averaged over
//! exponentials `E_i`. Given `h`, a threshold `-gamma E_i` is below both `h_i` and 0 by `gamma` times an exponential, since these
//! have no memory. So a sweep draws a threshold for each value, and then moves each coordinate between the two bounds that the
//! thresholds leave it, by a slice of its normal density (Neal 2003): uniformly on what of `z^2 <= z_k^2 + 2 E` lies between
//! them, `E` one more exponential. Where bounds are close that is as good as an independent draw.
//!
//! Columns of the first pivots move all values together, those of the last a single value by what the others leave it; so
//! wide and narrow directions are both moved at their own scale. Nothing is inverted, so `A` may be singular, and a thin
//! cone is no matter: points with a near copy are the first pivots, and the thin directions are coordinates.

use crate::numeric::instructions::vectorised;
use crate::numeric::linalg::gemm;
use crate::prior::problem::Orthant;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, s};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Exp1, StandardNormal};

/// Particles moved side by side: their distances at some hundred points stay in the first-level cache, and what belongs to one
/// coordinate in the registers.
const LANES: usize = 16;

/// A number for each particle of a group.
type Lanes = [f64; LANES];

/// Room that a constraint leaves on the side it does not bound, per distance: finite, so that none times it is none.
const UNBOUNDED: f64 = 1e200;

/// A Gaussian `N(0, R)` with the points in pivot order. A particle is a column: its `n` values, then its coordinates.
pub(super) struct Gaussian {
    /// `A` (`n x rank`), `A A^T = R`: lower trapezoidal.
    factor: Array2<f64>,
    /// Its columns, one after the other.
    columns: Vec<Column>,
}

/// A coordinate, and the values that move with it.
struct Column {
    /// Values before this one do not depend on it.
    first: usize,
    ties: Vec<Tie>,
}

/// How a value depends on a coordinate.
struct Tie {
    slope: f64,
    /// Steps of the coordinate that take the value down by its distance 1: the least and the greatest one allowed.
    least: f64,
    greatest: f64,
}

impl Tie {
    fn new(slope: f64) -> Self {
        let step = -slope.recip();
        Self {
            slope,
            least: if step < 0.0 { step.max(-UNBOUNDED) } else { -UNBOUNDED },
            greatest: if step > 0.0 { step.min(UNBOUNDED) } else { UNBOUNDED },
        }
    }
}

impl Gaussian {
    /// Factorises the correlation matrix of a problem, or takes its factor where that has been needed already.
    pub fn new(orthant: &Orthant) -> Self {
        Self::from_factor(match orthant.factor() {
            None => pivoted_factor(orthant.correlation()),
            Some(factor) => factor.to_matrix(),
        })
    }

    fn from_factor(factor: Array2<f64>) -> Self {
        let columns = factor.axis_iter(Axis(1)).map(|column| {
            let first = column.iter().position(|&slope| slope != 0.0).unwrap_or(column.len());
            Column { first, ties: column.iter().map(|&slope| Tie::new(slope)).collect() }
        });
        Self { columns: columns.collect(), factor }
    }

    /// Number of points.
    pub fn point_count(&self) -> usize {
        self.factor.nrows()
    }

    /// Rank of `R` to working precision.
    pub fn rank(&self) -> usize {
        self.factor.ncols()
    }

    /// Numbers that a particle consists of.
    pub fn rows(&self) -> usize {
        self.point_count() + self.rank()
    }

    /// Fills `state` (`rows x particles`) with draws from the prior.
    pub fn draw(&self, state: ArrayViewMut2<f64>, generator: &mut ChaCha8Rng) {
        let (values, mut coordinates) = state.split_at(Axis(0), self.point_count());
        coordinates.mapv_inplace(|_| StandardNormal.sample(&mut *generator));
        gemm(values, false, self.factor.view(), coordinates.view(), 1.0);
    }

    /// Moves each particle of `state` (`rows x particles`) once through all coordinates, under constraints softened by `margin`.
    pub fn sweep(&self, state: ArrayViewMut2<f64>, margin: f64, generator: &mut ChaCha8Rng) {
        let (values, mut coordinates) = state.split_at(Axis(0), self.point_count());
        let mut distances = vec![[0.0; LANES]; self.point_count()];
        let groups = values.axis_chunks_iter(Axis(1), LANES).zip(coordinates.axis_chunks_iter_mut(Axis(1), LANES));
        for (values, coordinates) in groups {
            for (row, distances) in values.outer_iter().zip(&mut distances) {
                for (&value, distance) in row.iter().zip(distances) {
                    let exponential: f64 = Exp1.sample(&mut *generator);
                    *distance = value.max(0.0) + margin * exponential;
                }
            }
            self.sweep_group(&mut distances, coordinates, generator);
        }
        // Afresh from the coordinates, so that rounding does not pile up.
        gemm(values, false, self.factor.view(), coordinates.view(), 1.0);
    }

    /// Moves up to [`LANES`] particles, whose values are at `distances` above their thresholds.
    fn sweep_group(&self, distances: &mut [Lanes], mut coordinates: ArrayViewMut2<f64>, generator: &mut ChaCha8Rng) {
        let mut steps = [0.0; LANES];
        let mut last = &self.columns[0];
        for (mut row, column) in coordinates.outer_iter_mut().zip(&self.columns) {
            let first = last.first.min(column.first);
            let ties = (&last.ties[first..], &column.ties[first..]);
            let [least, greatest] = bound(&mut distances[first..], ties, steps);
            for (lane, z) in row.iter_mut().enumerate() {
                let exponential: f64 = Exp1.sample(&mut *generator);
                let reach = (*z * *z + 2.0 * exponential).sqrt();
                // Rounding must not put a bound behind the point.
                let from = least[lane].max(-reach - *z).min(0.0);
                let to = greatest[lane].min(reach - *z).max(0.0);
                steps[lane] = from + generator.random::<f64>() * (to - from);
                *z += steps[lane];
            }
            last = column;
        }
    }
}

/// Moves the distances by the steps of the last coordinate, and returns the least and the greatest step of the next one, with
/// the ties of both. Compiled for each width of vectors; the operations and so the bits are the same in all of them.
fn bound(distances: &mut [Lanes], (last, next): (&[Tie], &[Tie]), steps: Lanes) -> [Lanes; 2] {
    vectorised(
        #[inline(always)]
        move || {
            let (mut from, mut to) = ([f64::NEG_INFINITY; LANES], [f64::INFINITY; LANES]);
            for ((distances, last), next) in distances.iter_mut().zip(last).zip(next) {
                let (slope, least, greatest) = (last.slope, next.least, next.greatest);
                // A copy, so that what is written is seen to be none of what is read, and stays in registers.
                let mut moved = *distances;
                for lane in 0..LANES {
                    moved[lane] += slope * steps[lane];
                    let (low, high) = (moved[lane] * least, moved[lane] * greatest);
                    from[lane] = if low > from[lane] { low } else { from[lane] };
                    to[lane] = if high < to[lane] { high } else { to[lane] };
                }
                *distances = moved;
            }
            [from, to]
        },
    )
}

/// `A` (`n x rank`) with `A A^T` equal to the matrix in pivot order, by Cholesky factorisation with the largest
/// conditional variance next.
///
/// For matrices whose pivots have been looked at: none is near zero.
fn pivoted_factor(correlation: ArrayView2<f64>) -> Array2<f64> {
    let n = correlation.nrows();
    let mut order: Vec<usize> = (0..n).collect();
    let mut factor = Array2::<f64>::zeros((n, n));
    let mut left = correlation.diag().to_vec();
    let mut rank = 0;
    while rank < n {
        let pivot = (rank..n).max_by(|&a, &b| left[a].total_cmp(&left[b])).expect("rank is below n");
        if !(left[pivot] > f64::EPSILON) {
            break;
        }
        order.swap(rank, pivot);
        left.swap(rank, pivot);
        for column in 0..rank {
            factor.swap([rank, column], [pivot, column]);
        }
        let root = left[rank].sqrt();
        factor[[rank, rank]] = root;
        let (above, mut below) = factor.view_mut().split_at(ndarray::Axis(0), rank + 1);
        let pivot_row = above.slice(s![rank, ..rank]);
        for (offset, mut row) in below.outer_iter_mut().enumerate() {
            let i = rank + 1 + offset;
            let entry = (correlation[[order[i], order[rank]]] - row.slice(s![..rank]).dot(&pivot_row)) / root;
            row[rank] = entry;
            left[i] -= entry * entry;
        }
        rank += 1;
    }
    factor.slice_move(s![.., ..rank])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::Streams;
    use crate::numeric::normal::log_ndtr;
    use crate::prior::problem::{Reduced, reduce};
    use crate::prior::{Gram, Labels, Link};
    use approx::assert_abs_diff_eq;
    use std::f64::consts::TAU;

    fn singular() -> Array2<f64> {
        let points = Array2::from_shape_fn((9, 3), |(i, j)| ((i * 7 + j * 5) % 11) as f64 - 4.6);
        let points = &points / &points.map_axis(Axis(1), |row| row.dot(&row).sqrt()).insert_axis(Axis(1));
        points.dot(&points.t())
    }

    fn gaussian(matrix: Array2<f64>) -> Gaussian {
        let labels = Labels::from_signs(vec![true; matrix.nrows()]);
        match reduce(&Gram::new(matrix).unwrap(), &labels, Link::Step).unwrap() {
            Reduced::Open(orthant) => Gaussian::new(&orthant),
            Reduced::Decided(answer) => panic!("{answer:?}"),
        }
    }

    #[test]
    fn the_factor_of_a_singular_matrix_has_its_rank() {
        // Signs as at one of the directions: all nine values have them.
        let matrix = singular();
        let signs: Vec<f64> = matrix.row(0).iter().map(|r| r.signum()).collect();
        let matrix = Array2::from_shape_fn((9, 9), |(i, j)| matrix[[i, j]] * signs[i] * signs[j]);
        let factor = gaussian(matrix.clone()).factor;
        assert_eq!(factor.dim(), (9, 3));
        // The same matrix up to the order of points: compare what does not depend on it.
        let rebuilt = factor.dot(&factor.t());
        let (mut a, mut b): (Vec<f64>, Vec<f64>) =
            (matrix.iter().copied().collect(), rebuilt.iter().copied().collect());
        a.sort_by(f64::total_cmp);
        b.sort_by(f64::total_cmp);
        for (a, b) in a.iter().zip(&b) {
            assert_abs_diff_eq!(a, b, epsilon = 1e-13);
        }
    }

    /// Mean of a row over many particles, after sweeps from the coordinates `start`.
    fn mean_after(gaussian: &Gaussian, start: &[f64], margin: f64, row: usize) -> f64 {
        let mut generator = Streams::new(9).stream("walk", 0);
        let mut state = Array2::zeros((gaussian.rows(), PARTICLES));
        let start = Array2::from_shape_fn((start.len(), 1), |(k, _)| start[k]);
        let (mut values, mut coordinates) = state.view_mut().split_at(Axis(0), gaussian.point_count());
        values.assign(&gaussian.factor.dot(&start));
        coordinates.assign(&start);
        for _ in 0..100 {
            gaussian.sweep(state.view_mut(), margin, &mut generator);
        }
        state.row(row).mean().unwrap()
    }

    /// No multiple of [`LANES`]. So many that slices of 5% too little energy are seen: they move means by 0.02, half as far again as
    /// is allowed.
    const PARTICLES: usize = 100_001;

    /// Six standard errors of the mean of independent particles.
    fn allowed(deviation: f64) -> f64 {
        6.0 * deviation / (PARTICLES as f64).sqrt()
    }

    /// A margin that softens nothing.
    const HARD: f64 = 1e-13;

    #[test]
    fn sweeps_leave_the_truncated_gaussian_invariant() {
        for r in [-0.6_f64, 0.0, 0.8] {
            let gaussian = gaussian(ndarray::array![[1.0, r], [r, 1.0]]);
            // Two points at correlation r, truncated to the positive quadrant of probability P = 1/4 + asin(r) / (2 pi):
            // E[h_1 1(h > 0)] = (1 + r) / (2 sqrt(2 pi)) (Rosenbaum 1961).
            let probability = 0.25 + r.asin() / TAU;
            let expected = (1.0 + r) / (2.0 * TAU.sqrt()) / probability;
            let start = [1.0, (1.0 - r) / (1.0 - r * r).sqrt()];
            for row in 0..2 {
                // The standard deviation of h_1 is below 0.7.
                let mean = mean_after(&gaussian, &start, HARD, row);
                assert!((mean - expected).abs() < allowed(0.7), "{mean} against {expected}");
            }
        }
    }

    #[test]
    fn sweeps_leave_a_softened_gaussian_invariant() {
        let gaussian = gaussian(ndarray::array![[1.0]]);
        for margin in [0.2_f64, 1.0, 5.0] {
            // Density exp(-h^2 / 2 + min(h, 0) / margin): with q = exp(rate^2 / 2) Phi(-rate) its mass is sqrt(2 pi) (1/2 + q),
            // its mean rate q / (1/2 + q).
            let rate = margin.recip();
            let below = (0.5 * rate * rate + log_ndtr(-rate)).exp();
            let expected = rate * below / (0.5 + below);
            let mean = mean_after(&gaussian, &[0.0], margin, 0);
            assert!((mean - expected).abs() < allowed(1.0), "{mean} against {expected} at {margin}");
        }
    }

    #[test]
    fn sweeps_leave_a_thin_cone_invariant() {
        // z_1 > 0 and d z_2 > z_1: between the axes z_1 = 0 and z_1 = d z_2, so z_2 has density z exp(-z^2 / 2) as d vanishes:
        // mean sqrt(pi / 2), variance 2 - pi / 2.
        let d = 1e-7;
        let gaussian = Gaussian::from_factor(ndarray::array![[1.0, 0.0], [-1.0, d]]);
        let mean = mean_after(&gaussian, &[0.5 * d, 1.0], HARD, 3);
        let (expected, deviation) = ((0.25 * TAU).sqrt(), (2.0 - 0.25 * TAU).sqrt());
        assert!((mean - expected).abs() < allowed(deviation), "{mean} for {expected}");
    }
}
