//! The rank of a Gram matrix, decided once and before any method, and a factor that keeps the digits of small pivots.
//!
//! A matrix is taken literally where that means anything, and as of lower rank where only rounding keeps it from being so:
//! 1. `K` is rescaled by powers of two alone, which rounds nothing, and factorised in double-double arithmetic with the
//!    largest conditional variance next: pivots are those of the matrix as stored, to all digits.
//! 2. A conditional variance (in units of the point's own) of at most `2 n u` is zero to rounding. Computed entries carry
//!    about one rounding `u` each, which moves a conditional variance by `u` times the squared 1-norm of its coefficients,
//!    typically `n u`. Where the matrix is indefinite by more than that, twice the most negative one is the threshold: the
//!    matrix says itself how far it is off.
//! 3. `u = 2^-53`, but `2^-24` where every entry is a float32 and some entry uses more digits than exact data (small
//!    integers, short fractions) would: such a matrix was rounded to float32.
//! 4. Two points of bit-equal variance whose covariance is smaller in size, in f64, are told apart by the matrix: a
//!    program that meets the same point twice computes the same three numbers. A point that rule 2 would merge with
//!    another from which the matrix tells it apart stays a point of its own.
//!
//! Pivots near 1 of points that have a near copy come first, so that the copy's own coordinate is the small difference.

use crate::numeric::DoubleDouble;
use crate::numeric::tolerance::UNIT_ROUNDOFF;
use crate::prior::tolerance::{NEAR_COPY, RANK_ROUNDINGS, SINGLE_ROUNDOFF};
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

/// The format in which a matrix was rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Single,
    Double,
}

impl Format {
    /// That of a matrix: float32 if all entries are, and one of them needs more bits than [`EXACT_BITS`].
    pub fn of(matrix: ArrayView2<f64>) -> Self {
        /// Significant bits of numbers that are taken for exact data: half of what float32 holds.
        const EXACT_BITS: u32 = 12;
        let mut rounded = false;
        for &entry in matrix {
            if f64::from(entry as f32) != entry {
                return Self::Double;
            }
            let mantissa = entry.to_bits() & ((1 << 52) - 1);
            rounded |= 53 - (mantissa | 1 << 52).trailing_zeros() > EXACT_BITS;
        }
        if rounded { Self::Single } else { Self::Double }
    }

    /// Unit roundoff.
    pub fn roundoff(self) -> f64 {
        match self {
            Self::Single => SINGLE_ROUNDOFF,
            Self::Double => UNIT_ROUNDOFF,
        }
    }

    /// Its usual name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Single => "float32",
            Self::Double => "float64",
        }
    }
}

/// The covariance of the signed values `y_i g_i`, rescaled by powers of two alone.
#[derive(Debug, Clone)]
pub(crate) struct Literal {
    /// Entries (`n x n`); the diagonal is between 1/2 and 4.
    pub matrix: Array2<f64>,
    /// The diagonal without rounding: under the probit link it is a sum.
    pub diagonal: Vec<DoubleDouble>,
    /// How entries were rounded.
    pub format: Format,
    /// Whether noise on the diagonal makes the matrix definite whatever the rounding of its entries.
    pub noisy: bool,
}

impl Literal {
    /// Number of points.
    pub fn point_count(&self) -> usize {
        self.matrix.nrows()
    }

    /// The same for some of the points.
    pub fn select(&self, points: &[usize]) -> Self {
        Self {
            matrix: self.matrix.select(Axis(0), points).select(Axis(1), points),
            diagonal: points.iter().map(|&i| self.diagonal[i]).collect(),
            format: self.format,
            noisy: self.noisy,
        }
    }

    /// Conditional variance at or below which a point depends on others to rounding, in units of its own.
    pub fn threshold(&self) -> f64 {
        if self.noisy { 0.0 } else { RANK_ROUNDINGS * self.point_count() as f64 * self.format.roundoff() }
    }

    /// Whether the matrix tells two nearly perfectly correlated points apart (rule 4).
    pub fn tells_apart(&self, i: usize, j: usize) -> bool {
        let size = self.matrix[[i, j]].abs();
        let (a, b) = (self.diagonal[i], self.diagonal[j]);
        self.noisy || (self.format == Format::Double && a == b && a > size)
    }

    /// `1 - |rho|` of two points, with all its digits.
    pub fn distance(&self, i: usize, j: usize) -> f64 {
        let (variances, size) = (self.diagonal[i] * self.diagonal[j], self.matrix[[i, j]].abs());
        let determinant = variances - DoubleDouble::product(size, size);
        // 1 - rho = (1 - rho^2) / (1 + rho).
        determinant.to_f64() / (variances.to_f64() + size * variances.to_f64().sqrt())
    }
}

/// `R = V V^T`: the points as directions of as many dimensions as the matrix has rank.
#[derive(Debug, Clone)]
pub(crate) struct Factor {
    /// Points, pivots first.
    pub order: Vec<usize>,
    /// A direction for each point in `order`: unit vectors, zero behind the pivot's own coordinate.
    pub directions: Vec<Vec<DoubleDouble>>,
    /// Rank.
    pub rank: usize,
    /// Threshold of rule 2 as it came to be applied.
    pub threshold: f64,
    /// Smallest pivot kept as above the threshold, in units of the point's own variance.
    pub smallest_judged: f64,
    /// Smallest pivot kept at all.
    pub smallest: f64,
}

impl Factor {
    /// `V` (`n x rank`) in the order of [`Self::order`].
    pub fn to_matrix(&self) -> Array2<f64> {
        Array2::from_shape_fn((self.order.len(), self.rank), |(i, j)| self.directions[i][j].to_f64())
    }

    /// How far rounding of the entries may turn a direction: `n` roundings over the root of the smallest pivot.
    pub fn blur(&self, format: Format) -> f64 {
        4.0 * self.order.len() as f64 * format.roundoff() / self.smallest_judged.sqrt()
    }
}

/// Factorises, with the largest conditional variance next; `None` once the rank exceeds `limit`.
pub(crate) fn factorise(literal: &Literal, threshold: f64, limit: usize) -> Option<Factor> {
    let n = literal.point_count();
    let mut work = Elimination::new(literal);
    let close = close_pairs(literal);
    let (mut threshold, mut smallest_judged, mut smallest) = (threshold, 1.0_f64, 1.0_f64);
    for anchor in anchors(&close) {
        if work.rank == limit {
            return None;
        }
        let place = work.order.iter().position(|&i| i == anchor).expect("the order holds every point");
        if work.relative(place) > NEAR_COPY.sqrt() {
            let pivot = work.relative(place);
            (smallest_judged, smallest) = (smallest_judged.min(pivot), smallest.min(pivot));
            work.eliminate(place);
        }
    }
    while work.rank < n {
        let largest = (work.rank..n).max_by(|&a, &b| work.relative(a).total_cmp(&work.relative(b)));
        let lowest = (work.rank..n).map(|place| work.relative(place)).fold(0.0, f64::min);
        threshold = threshold.max(-2.0 * lowest);
        let place = largest.expect("rank is below n");
        let pivot = work.relative(place);
        let place = if pivot > threshold {
            smallest_judged = smallest_judged.min(pivot);
            place
        } else {
            match work.merged_wrongly(&close) {
                Some(place) => place,
                None => break,
            }
        };
        if work.rank == limit {
            return None;
        }
        smallest = smallest.min(work.relative(place));
        work.eliminate(place);
    }
    let rank = work.rank;
    let directions = work
        .rows
        .iter()
        .map(|row| {
            let row = &row[..rank];
            let length = row.iter().fold(DoubleDouble::ZERO, |sum, &x| sum + x * x).sqrt();
            row.iter().map(|&x| x / length).collect()
        })
        .collect();
    Some(Factor { order: work.order, directions, rank, threshold, smallest_judged, smallest })
}

/// The Cholesky factor in the given order, each row divided by its point's standard deviation; the position and size of the
/// first pivot that is not positive otherwise.
pub(crate) fn cholesky_in_order(literal: &Literal, order: &[usize]) -> Result<Array2<f64>, (usize, f64)> {
    let n = order.len();
    let ordered = literal.select(order);
    let mut work = Elimination::new(&ordered);
    for place in 0..n {
        if !(work.relative(place) > 0.0) {
            return Err((place, work.relative(place)));
        }
        work.eliminate(place);
    }
    let deviations: Vec<DoubleDouble> = ordered.diagonal.iter().map(|variance| variance.sqrt()).collect();
    Ok(Array2::from_shape_fn((n, n), |(i, j)| (work.rows[i][j] / deviations[i]).to_f64()))
}

/// Pairs of points within [`NEAR_COPY`] of perfect correlation.
fn close_pairs(literal: &Literal) -> Vec<(usize, usize)> {
    let deviations: Vec<f64> = literal.diagonal.iter().map(|variance| variance.to_f64().sqrt()).collect();
    let near = |i: usize, j: usize| literal.matrix[[i, j]].abs() >= (1.0 - NEAR_COPY) * deviations[i] * deviations[j];
    (0..literal.point_count()).flat_map(|i| (0..i).filter(move |&j| near(i, j)).map(move |j| (j, i))).collect()
}

/// One point of each cluster of near copies.
fn anchors(close: &[(usize, usize)]) -> Vec<usize> {
    let mut anchors: Vec<usize> = Vec::new();
    for &(first, _) in close {
        let known = |i: usize| anchors.iter().any(|&a| a == i || close.contains(&(a.min(i), a.max(i))));
        if !known(first) {
            anchors.push(first);
        }
    }
    anchors
}

/// A Cholesky factorisation under way.
struct Elimination<'l> {
    literal: &'l Literal,
    order: Vec<usize>,
    /// Rows in `order`, `n` long, of which the first `rank` entries are done.
    rows: Vec<Vec<DoubleDouble>>,
    /// Conditional variances in `order`.
    left: Vec<DoubleDouble>,
    rank: usize,
}

impl<'l> Elimination<'l> {
    fn new(literal: &'l Literal) -> Self {
        let n = literal.point_count();
        Self {
            literal,
            order: (0..n).collect(),
            rows: vec![vec![DoubleDouble::ZERO; n]; n],
            left: literal.diagonal.clone(),
            rank: 0,
        }
    }

    /// Conditional variance of the point at `place`, in units of its variance.
    fn relative(&self, place: usize) -> f64 {
        self.left[place].to_f64() / self.literal.diagonal[self.order[place]].to_f64()
    }

    /// Makes the point at `place` the next pivot.
    fn eliminate(&mut self, place: usize) {
        let rank = self.rank;
        self.order.swap(rank, place);
        self.rows.swap(rank, place);
        self.left.swap(rank, place);
        let root = self.left[rank].sqrt();
        self.rows[rank][rank] = root;
        let pivot = self.order[rank];
        let (above, below) = self.rows.split_at_mut(rank + 1);
        let pivot_row = &above[rank][..rank];
        let (matrix, order) = (&self.literal.matrix, &self.order);
        below.par_iter_mut().zip(self.left[rank + 1..].par_iter_mut()).enumerate().with_min_len(32).for_each(
            |(offset, (row, left))| {
                let i = order[rank + 1 + offset];
                let known = row[..rank].iter().zip(pivot_row).fold(DoubleDouble::ZERO, |sum, (&x, &y)| sum + x * y);
                let entry = (DoubleDouble::from(matrix[[i, pivot]]) - known) / root;
                row[rank] = entry;
                *left = *left - entry * entry;
            },
        );
        self.rank += 1;
    }

    /// The dependent point, of those with a conditional variance left, that would wrongly coincide with another (rule 4).
    fn merged_wrongly(&self, close: &[(usize, usize)]) -> Option<usize> {
        let mut places = vec![0; self.order.len()];
        self.order.iter().enumerate().for_each(|(place, &i)| places[i] = place);
        let candidates = close.iter().filter(|&&(i, j)| {
            let apart = self.literal.distance(i, j);
            let sign = self.literal.matrix[[i, j]].signum();
            let (a, b) = (&self.rows[places[i]][..self.rank], &self.rows[places[j]][..self.rank]);
            let square: f64 = a.iter().zip(b).map(|(&x, &y)| (x - y * sign).to_f64().powi(2)).sum();
            // Without the dropped part the squared distance is less than half of what the matrix says.
            let kept = square / self.literal.diagonal[i].to_f64();
            self.literal.tells_apart(i, j) && kept < apart
        });
        candidates
            .flat_map(|&(i, j)| [places[i], places[j]])
            .filter(|&place| place >= self.rank && self.left[place] > 0.0)
            .max_by(|&a, &b| self.relative(a).total_cmp(&self.relative(b)))
    }
}
