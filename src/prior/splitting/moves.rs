//! Markov steps that leave a Gaussian truncated to `{h_i >= -gamma}` invariant: ellipses in blocks of coordinates.
//!
//! A whole-space ellipse (LIN-ESS) hardly moves where the domain is much narrower than the prior, as it is for all but
//! the simplest functions. So the ellipse is drawn in a few coordinates at a time, about their conditional mean `m`
//! given all others: `h_B -> m + (h_B - m) cos(theta) + w sin(theta)`, `w` from the conditional covariance. With precision
//! `Lambda = R^-1`, `h_B - m = Lambda_BB^-1 Lambda_B h`; a sweep over all blocks costs as much as one whole ellipse.
//!
//! `R` may be singular: the blocks run over points of full rank (pivots of a Cholesky factorisation); the other points
//! depend on them linearly, move along and constrain the arc. Where pivots are so small that `Lambda` has no digits, the
//! moves of `coordinates.rs` take over, which need no inverse.

use crate::numeric::angle::{angles, sin_cos};
use crate::numeric::instructions::vectorised;
use crate::numeric::linalg::{Cholesky, gemm, par_gram, product};
use crate::prior::problem::Orthant;
use crate::prior::splitting::coordinates;
use crate::prior::tolerance::SPLITTING_PIVOT;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, s};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use std::f64::consts::{PI, TAU};

/// Coordinates of a block.
const BLOCK: usize = 16;

/// A Gaussian `N(0, R)` with the points in pivot order, and what the moves need of it.
pub(super) struct Gaussian {
    /// `A` (`n x rank`), `A A^T = R`: lower trapezoidal.
    factor: Array2<f64>,
    moves: Moves,
}

/// How particles move.
enum Moves {
    /// In blocks of points: two partitions, used in turn, so that no two neighbours are always apart.
    Ellipses([Vec<Block>; 2]),
    /// In the coordinates of the factor, which then are a part of a particle.
    Coordinates,
}

/// One block of coordinates `first..first + width`.
struct Block {
    first: usize,
    /// `Lambda_BB^-1 Lambda_B` (`width x rank`): from all pivots to `h_B - m`.
    deviation: Array2<f64>,
    /// Square root of the conditional covariance (`width x width`).
    root: Array2<f64>,
    /// How the dependent points follow (`(n - rank) x width`).
    followers: Array2<f64>,
}

impl Gaussian {
    /// Factorises the correlation matrix of a problem, or takes its factor where that has been needed already.
    pub fn new(orthant: &Orthant) -> Self {
        match orthant.factor() {
            None => Self::from_factor(pivoted_factor(orthant.correlation())),
            Some(factor) if factor.smallest > SPLITTING_PIVOT => Self::from_factor(factor.to_matrix()),
            Some(factor) => Self { factor: factor.to_matrix(), moves: Moves::Coordinates },
        }
    }

    fn from_factor(factor: Array2<f64>) -> Self {
        let rank = factor.ncols();
        let square = factor.slice(s![..rank, ..]);
        let inverse = Cholesky::from_lower(square.to_owned()).forward_matrix(Array2::eye(rank));
        let precision = par_gram(inverse.t());
        // Dependent points in terms of pivots: A_d A_p^-1.
        let dependence = product(factor.slice(s![rank.., ..]), inverse.view());
        let partitions = [0, BLOCK / 2].map(|offset| {
            let mut blocks = Vec::new();
            let mut first = 0;
            while first < rank {
                let end = if first == 0 && offset > 0 { offset } else { first + BLOCK }.min(rank);
                blocks.push(Block::new(&precision, &dependence, first, end));
                first = end;
            }
            blocks
        });
        Self { factor, moves: Moves::Ellipses(partitions) }
    }

    /// Number of points.
    pub fn point_count(&self) -> usize {
        self.factor.nrows()
    }

    /// Rank of `R` to working precision.
    pub fn rank(&self) -> usize {
        self.factor.ncols()
    }

    /// Numbers that a particle consists of: its values `h`, and its coordinates where the moves need them.
    pub fn rows(&self) -> usize {
        match self.moves {
            Moves::Ellipses(_) => self.point_count(),
            Moves::Coordinates => self.point_count() + self.rank(),
        }
    }

    /// Which moves.
    pub fn moves(&self) -> &'static str {
        match self.moves {
            Moves::Ellipses(_) => "ellipses in blocks of points",
            Moves::Coordinates => "single coordinates of the factor",
        }
    }

    /// Fills `state` (`rows x particles`) with draws from the prior.
    pub fn draw(&self, mut state: ArrayViewMut2<f64>, generator: &mut ChaCha8Rng) {
        let (n, rank) = self.factor.dim();
        let particles = state.ncols();
        let normals = Array2::from_shape_simple_fn((rank, particles), || StandardNormal.sample(&mut *generator));
        gemm(state.slice_mut(s![..n, ..]), false, self.factor.view(), normals.view(), 1.0);
        if let Moves::Coordinates = self.moves {
            state.slice_mut(s![n.., ..]).assign(&normals);
        }
    }

    /// Moves each particle (a column of `state`) once through everything that moves.
    pub fn sweep(&self, mut state: ArrayViewMut2<f64>, gamma: f64, parity: usize, generator: &mut ChaCha8Rng) {
        match &self.moves {
            Moves::Ellipses(partitions) => {
                for block in &partitions[parity % 2] {
                    block.step(self.rank(), state.view_mut(), gamma, generator);
                }
            }
            Moves::Coordinates => coordinates::sweep(&self.factor, state, gamma, generator),
        }
    }
}

impl Block {
    fn new(precision: &Array2<f64>, dependence: &Array2<f64>, first: usize, end: usize) -> Self {
        let width = end - first;
        let own = precision.slice(s![first..end, first..end]).to_owned();
        let cholesky = Cholesky::new(own).expect("a block of a positive definite matrix is positive definite");
        let half = cholesky.forward_matrix(Array2::eye(width));
        let covariance = product(half.t(), half.view());
        Self {
            first,
            deviation: product(covariance.view(), precision.slice(s![first..end, ..])),
            root: half.t().to_owned(),
            followers: dependence.slice(s![.., first..end]).to_owned(),
        }
    }

    fn step(&self, rank: usize, mut h: ArrayViewMut2<f64>, gamma: f64, generator: &mut ChaCha8Rng) {
        let (width, followers) = (self.root.nrows(), self.followers.nrows());
        let particles = h.ncols();
        // Rows: the block's coordinates, then the followers; u is where they stand, w the direction.
        let (mut u, mut w) =
            (Array2::zeros((width + followers, particles)), Array2::zeros((width + followers, particles)));
        gemm(u.slice_mut(s![..width, ..]), false, self.deviation.view(), h.slice(s![..rank, ..]), 1.0);
        let normals = Array2::from_shape_simple_fn((width, particles), || StandardNormal.sample(&mut *generator));
        gemm(w.slice_mut(s![..width, ..]), false, self.root.view(), normals.view(), 1.0);
        if followers > 0 {
            for moved in [&mut u, &mut w] {
                let (block, mut rest) = moved.view_mut().split_at(ndarray::Axis(0), width);
                gemm(rest.view_mut(), false, self.followers.view(), block.view(), 1.0);
            }
        }
        let row_of = |k: usize| if k < width { self.first + k } else { rank + k - width };
        let mut arcs = Arcs::new(particles);
        let contiguous = "rows of a population are contiguous";
        for k in 0..width + followers {
            let (h, u, w) = (h.row(row_of(k)), u.row(k), w.row(k));
            arcs.restrict(
                h.to_slice().expect(contiguous),
                u.to_slice().expect(contiguous),
                w.to_slice().expect(contiguous),
                gamma,
            );
        }
        let places: Vec<f64> = (0..particles).map(|_| generator.random::<f64>()).collect();
        let (cosines, sines) = arcs.land(&places);
        for k in 0..width + followers {
            let mut row = h.row_mut(row_of(k));
            let moved = row.iter_mut().zip(u.row(k)).zip(w.row(k)).zip(cosines.iter().zip(&sines));
            for (((h, u), w), (cosine, sine)) in moved {
                // m + u cos + w sin with m = h - u. Rounding at the very end of an arc must not leave the domain.
                *h = (*h + u * (cosine - 1.0) + w * sine).max(-gamma);
            }
        }
    }
}

/// For every particle the arc around its point that stays inside all constraints seen so far.
///
/// In `s = cot(theta / 2)` the point itself is `s = infinity`, and a constraint `m + u cos(theta) + w sin(theta) >= -gamma`,
/// `m = h - u`, excludes the interval between the roots of `(h + gamma) s^2 + 2 w s + (h + gamma - 2 u) = 0`: the arc ends at the
/// largest upper and the smallest lower root. No trigonometry, no rejection.
struct Arcs {
    upper: Vec<f64>,
    lower: Vec<f64>,
}

impl Arcs {
    fn new(particles: usize) -> Self {
        Self { upper: vec![f64::NEG_INFINITY; particles], lower: vec![f64::INFINITY; particles] }
    }

    fn restrict(&mut self, h: &[f64], u: &[f64], w: &[f64], gamma: f64) {
        restrict(h, u, w, gamma, &mut self.upper, &mut self.lower);
    }

    /// Cosine and sine of the angle at each share of each arc.
    fn land(&self, shares: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let (mut cosines, mut sines) = (vec![0.0; shares.len()], vec![0.0; shares.len()]);
        land(&self.upper, &self.lower, shares, &mut cosines, &mut sines);
        (cosines, sines)
    }
}

/// The arcs' ends in `s` under one more constraint. Compiled for each width of vectors; the operations and so the bits are the
/// same in all of them.
fn restrict(h: &[f64], u: &[f64], w: &[f64], gamma: f64, upper: &mut [f64], lower: &mut [f64]) {
    vectorised(
        #[inline(always)]
        move || restrict_here(h, u, w, gamma, upper, lower),
    );
}

#[inline(always)]
fn restrict_here(h: &[f64], u: &[f64], w: &[f64], gamma: f64, upper: &mut [f64], lower: &mut [f64]) {
    for ((((h, u), w), upper), lower) in h.iter().zip(u).zip(w).zip(upper).zip(lower) {
        let distance = h + gamma;
        let discriminant = w * w - distance * (distance - 2.0 * u);
        let root = if discriminant > 0.0 { discriminant } else { 0.0 }.sqrt();
        let (last, first) = ((root - w) / distance, (-root - w) / distance);
        // At distance 0 one of the two may be 0 / 0, which is on no side of anything: that end is free.
        *upper = if discriminant > 0.0 && last > *upper { last } else { *upper };
        *lower = if discriminant > 0.0 && first < *lower { first } else { *lower };
    }
}

/// Cosine and sine of the angle at each share of each arc; compiled as [`restrict`].
fn land(upper: &[f64], lower: &[f64], shares: &[f64], cosines: &mut [f64], sines: &mut [f64]) {
    vectorised(
        #[inline(always)]
        move || land_here(upper, lower, shares, cosines, sines),
    );
}

#[inline(always)]
fn land_here(upper: &[f64], lower: &[f64], shares: &[f64], cosines: &mut [f64], sines: &mut [f64]) {
    let ends = upper.iter().zip(lower).zip(shares);
    for (((upper, lower), share), (cosine, sine)) in ends.zip(cosines.iter_mut().zip(sines)) {
        // theta = 2 acot(s) in (0, 2 pi): forwards to the largest upper root, backwards to the smallest lower one.
        let free = *upper == f64::NEG_INFINITY;
        let forwards = if free { PI } else { twice_arc_cotangent(*upper) };
        let backwards = if free { -PI } else { twice_arc_cotangent(*lower) - TAU };
        (*sine, *cosine) = sin_cos(backwards + share * (forwards - backwards));
    }
}

/// `2 acot(s)` in `[0, 2 pi]`.
#[inline(always)]
fn twice_arc_cotangent(s: f64) -> f64 {
    let acute = angles(1.0, s.abs()).0;
    2.0 * if s < 0.0 { PI - acute } else { acute }
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
    use crate::prior::problem::{Reduced, reduce};
    use crate::prior::{Gram, Labels, Link};
    use approx::assert_abs_diff_eq;
    use ndarray::Axis;

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

    #[test]
    fn the_arc_is_the_one_found_by_walking_along_the_ellipse() {
        let mut generator = Streams::new(4).stream("arcs", 0);
        let normal = |generator: &mut ChaCha8Rng| -> f64 { StandardNormal.sample(generator) };
        for case in 0..300 {
            let gamma = if case % 2 == 0 { 0.0 } else { 0.7 };
            let n = 1 + case % 6;
            let w: Vec<f64> = (0..n).map(|_| normal(&mut generator)).collect();
            let u: Vec<f64> = (0..n).map(|_| normal(&mut generator)).collect();
            let h: Vec<f64> = (0..n).map(|_| -gamma + 1.5 * generator.random::<f64>()).collect();
            let mut arcs = Arcs::new(1);
            for k in 0..n {
                arcs.restrict(&h[k..=k], &u[k..=k], &w[k..=k], gamma);
            }
            let inside = |theta: f64| (0..n).all(|k| h[k] - u[k] + u[k] * theta.cos() + w[k] * theta.sin() >= -gamma);
            let steps = 200_000;
            let step = std::f64::consts::TAU / steps as f64;
            let walk = |sign: f64| (1..=steps).map(|k| sign * step * k as f64).find(|&theta| !inside(theta));
            let forwards = walk(1.0);
            assert_eq!(forwards.is_none(), arcs.upper[0] == f64::NEG_INFINITY);
            if let (Some(forwards), Some(backwards)) = (forwards, walk(-1.0)) {
                assert_abs_diff_eq!(2.0 * f64::atan2(1.0, arcs.upper[0]), forwards, epsilon = 2.0 * step);
                let end = 2.0 * f64::atan2(1.0, arcs.lower[0]) - std::f64::consts::TAU;
                assert_abs_diff_eq!(end, backwards, epsilon = 2.0 * step);
            }
        }
    }

    #[test]
    fn sweeps_leave_the_truncated_gaussian_invariant() {
        // Two points at correlation r, truncated to the positive quadrant: E[h_1] = sqrt(2 / pi) (1 + r) / 2 / (4 P / 2)
        // with P = 1/4 + asin(r) / (2 pi), so E[h_1] = (1 + r) / (2 sqrt(2 pi) P) / ... written out below.
        for r in [-0.6_f64, 0.0, 0.8] {
            let gaussian = gaussian(ndarray::array![[1.0, r], [r, 1.0]]);
            let mut generator = Streams::new(9).stream("walk", 0);
            let particles = 4000;
            let mut h = Array2::<f64>::from_elem((2, particles), 1.0);
            for sweep in 0..200 {
                gaussian.sweep(h.view_mut(), 0.0, sweep, &mut generator);
            }
            let probability = 0.25 + r.asin() / std::f64::consts::TAU;
            // E[h_1 1(h > 0)] = (1 + r) / (2 sqrt(2 pi)) (Rosenbaum 1961), over P.
            let expected = (1.0 + r) / (2.0 * std::f64::consts::TAU.sqrt()) / probability;
            // The standard deviation of h_1 is below 0.7; six standard errors of independent particles.
            let allowed = 6.0 * 0.7 / (particles as f64).sqrt();
            for row in h.outer_iter() {
                assert!((row.mean().unwrap() - expected).abs() < allowed, "{} against {expected}", row.mean().unwrap());
            }
        }
    }
}
