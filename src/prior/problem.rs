//! The step every method begins with: from Gram matrix and labels to one orthant probability.
//!
//! After it, all methods see the same problem, `Pr[h_i > 0 for all i]` with `h ~ N(0, R)` and `R` a
//! correlation matrix: labels are folded into the signs, scales divided out, the probit's unit noise
//! added, and points that cannot matter taken away. So every method is held to, and has, invariance under
//! scaling, diagonal scaling, label flips and duplicated points.
//!
//! The rank is decided here too, by the rules of `rank.rs`, and with it whether any function of the prior has the labels:
//! a matrix of full rank has functions for all labels, one of lower rank for some, and the others are impossible.

use crate::numeric::linalg::{Cholesky, par_from_rows};
use crate::numeric::{DoubleDouble, Estimate, Info};
use crate::prior::feasibility::{self, Feasibility};
use crate::prior::rank::{self, Factor, Literal};
use crate::prior::tolerance::{COPY_CORRELATION, COPY_ROW, SAMPLING_PIVOT, SMALL_PIVOT};
use crate::prior::{Gram, Labels, Link, LogProb, PriorError};
use ndarray::{Array2, ArrayView2};
use std::sync::Arc;

/// What is left of the inputs.
#[derive(Debug, Clone)]
pub enum Reduced {
    /// The answer is certain: an impossible function (`-inf`) or a sure one (`0`).
    Decided(LogProb),
    /// An orthant probability to be computed.
    Open(Orthant),
}

/// `log Pr[h_i > 0 for all i]`, `h ~ N(0, R)`, with `R` (`n x n`) of unit diagonal.
#[derive(Debug, Clone)]
pub struct Orthant {
    correlation: Array2<f64>,
    literal: Literal,
    /// Where pivots of `R` in f64 are too small to trust: its factor to all digits, of full or lower rank.
    factor: Option<Arc<Factor>>,
    info: Info,
}

impl Orthant {
    /// The correlation matrix `R`, no two points of which are the same or opposite.
    pub fn correlation(&self) -> ArrayView2<'_, f64> {
        self.correlation.view()
    }

    /// Number of points left.
    pub fn point_count(&self) -> usize {
        self.correlation.nrows()
    }

    /// What was taken away: the diagnostics every method starts from.
    pub fn info(&self) -> Info {
        self.info.clone()
    }

    /// The same problem on some of its points, in the order given.
    pub fn select(&self, points: &[usize]) -> Self {
        Self {
            correlation: submatrix(&self.correlation, points),
            literal: self.literal.select(points),
            factor: None,
            info: self.info.clone(),
        }
    }

    /// Covariances of the signed values as they were given, up to powers of two.
    pub(crate) fn literal(&self) -> &Literal {
        &self.literal
    }

    /// The factor to all digits, if the matrix is of lower rank or nearly so.
    pub(crate) fn factor(&self) -> Option<&Factor> {
        self.factor.as_deref()
    }

    /// Conditional variance that counts as zero.
    pub(crate) fn threshold(&self) -> f64 {
        self.factor().map_or_else(|| self.literal.threshold(), |factor| factor.threshold)
    }

    /// [`PriorError::Singular`] unless the matrix is of full rank.
    pub(crate) fn require_full_rank(&self, method: &'static str) -> Result<(), PriorError> {
        match self.factor() {
            Some(Factor { rank, .. }) if *rank < self.point_count() => Err(self.singular(method, *rank)),
            _ => Ok(()),
        }
    }

    /// [`PriorError::Singular`], or [`PriorError::NearlySingular`] for pivots of which f64 leaves a sampler too few digits.
    pub(crate) fn require_pivots(&self, method: &'static str) -> Result<(), PriorError> {
        self.require_full_rank(method)?;
        match self.factor() {
            Some(&Factor { smallest: pivot, .. }) if !(pivot > SAMPLING_PIVOT) => {
                Err(PriorError::NearlySingular { method, pivot, least: SAMPLING_PIVOT })
            }
            _ => Ok(()),
        }
    }

    fn singular(&self, method: &'static str, rank: usize) -> PriorError {
        PriorError::Singular { method, rank, points: self.point_count(), format: self.literal.format.name() }
    }

    /// Lower triangular `L`, `L L^T = R` with the points in `order`: in f64, or to all digits where that would not do.
    ///
    /// # Errors
    /// As [`Self::require_pivots`].
    pub(crate) fn cholesky(&self, method: &'static str, order: &[usize]) -> Result<Array2<f64>, PriorError> {
        self.require_pivots(method)?;
        if self.factor.is_none()
            && let Ok(cholesky) = Cholesky::new(submatrix(&self.correlation, order))
        {
            return Ok(cholesky.into_lower());
        }
        rank::cholesky_in_order(&self.literal, order).map_err(|(rank, _)| self.singular(method, rank))
    }
}

/// Reduces `(K, y)` to an orthant problem.
///
/// - [`Link::Step`] uses `K`, [`Link::Probit`] uses `K + I`.
/// - A point of zero variance has `g = 0`, so its label is `-1` for certain: it is dropped, or makes the
///   function impossible.
/// - Perfectly correlated points are one point: the later is dropped where the labels ask for the same
///   sign, and makes the function impossible where they ask for opposite ones.
///
/// # Errors
/// [`PriorError::LabelCount`].
///
/// # Panics
/// On [`Link::Logistic`], which is no orthant probability.
pub fn reduce(gram: &Gram, labels: &Labels, link: Link) -> Result<Reduced, PriorError> {
    check_label_count(gram, labels)?;
    let noise = match link {
        Link::Step => 0.0,
        Link::Probit => 1.0,
        Link::Logistic => panic!("the logistic link is not an orthant probability"),
    };
    let (matrix, signs) = (gram.matrix(), labels.signs());
    let deviation = |i: usize| (matrix[[i, i]] + noise).sqrt();
    let mut points = Vec::with_capacity(labels.len());
    let mut constant_points = 0_usize;
    let mut impossible = None;
    for (i, &sign) in signs.iter().enumerate() {
        if deviation(i) > 0.0 {
            points.push(i);
        } else if sign > 0 {
            impossible.get_or_insert_with(|| format!("point {i} has zero variance, so its label is never +1"));
        } else {
            constant_points += 1;
        }
    }
    let mut info = Info::new().with("points", labels.len()).with("constant_points_dropped", constant_points);
    let literal = literal(gram, labels, &points, noise);
    let deviations: Vec<f64> = literal.diagonal.iter().map(|variance| variance.to_f64().sqrt().recip()).collect();
    let correlation = par_from_rows(points.len(), |a, row| {
        for ((out, entry), deviation) in row.iter_mut().zip(literal.matrix.row(a)).zip(&deviations) {
            *out = entry * deviations[a] * deviation;
        }
        row[a] = 1.0;
    });
    let mut kept: Vec<usize> = Vec::with_capacity(points.len());
    for a in 0..points.len() {
        let twin = kept.iter().copied().find(|&b| same_up_to_sign(&literal, &correlation, a, b));
        match twin {
            None => kept.push(a),
            Some(b) if correlation[[a, b]] < 0.0 => {
                let (first, second) = (points[b], points[a]);
                impossible.get_or_insert_with(|| {
                    format!("points {first} and {second} are perfectly correlated and their labels contradict")
                });
            }
            Some(_) => {}
        }
    }
    info.set("duplicates_dropped", points.len() - kept.len());
    if let Some(reason) = impossible {
        return Ok(Reduced::Decided(decided(f64::NEG_INFINITY, info.with("impossible", reason))));
    }
    if kept.is_empty() {
        return Ok(Reduced::Decided(decided(0.0, info)));
    }
    let mut orthant = Orthant { correlation, literal, factor: None, info };
    if kept.len() < points.len() {
        orthant = orthant.select(&kept);
    }
    if gram.is_suspicious() {
        let names: Vec<usize> = kept.iter().map(|&a| points[a]).collect();
        if let Some(reason) = decide_rank(&mut orthant, &names) {
            return Ok(Reduced::Decided(decided(f64::NEG_INFINITY, orthant.info.with("impossible", reason))));
        }
    }
    Ok(Reduced::Open(orthant))
}

/// Covariance of the signed values at `points`, each in a unit that is a power of two near its standard deviation.
fn literal(gram: &Gram, labels: &Labels, points: &[usize], noise: f64) -> Literal {
    let (matrix, signs) = (gram.matrix(), labels.signs());
    let variances: Vec<DoubleDouble> = points.iter().map(|&i| DoubleDouble::sum(matrix[[i, i]], noise)).collect();
    let units: Vec<f64> =
        variances.iter().map(|variance| power_of_two_below(variance.to_f64().sqrt()).recip()).collect();
    let signed: Vec<f64> = units.iter().zip(points).map(|(unit, &i)| unit * f64::from(signs[i])).collect();
    Literal {
        matrix: par_from_rows(points.len(), |a, row| {
            let source = matrix.row(points[a]);
            for ((out, &point), sign) in row.iter_mut().zip(points).zip(&signed) {
                *out = source[point] * signed[a] * sign;
            }
            row[a] = variances[a].to_f64() * signed[a] * signed[a];
        }),
        diagonal: variances.iter().zip(&units).map(|(&variance, &unit)| variance * unit * unit).collect(),
        format: gram.format(),
        noisy: noise > 0.0,
    }
}

/// The largest power of two that is not above a positive number.
fn power_of_two_below(number: f64) -> f64 {
    f64::from_bits(number.to_bits() & (0x7ff << 52))
}

/// Takes a matrix with a small pivot literally, or as of lower rank; why its labels are impossible, if they are.
fn decide_rank(orthant: &mut Orthant, names: &[usize]) -> Option<String> {
    let threshold = orthant.literal.threshold();
    // Dropping copies or adding the probit's noise may have cured it.
    if let Ok(cholesky) = Cholesky::new(orthant.correlation.clone()) {
        let smallest = cholesky.lower().diag().iter().fold(f64::INFINITY, |least: f64, &root| least.min(root));
        if smallest * smallest > SMALL_PIVOT.max(100.0 * threshold) {
            return None;
        }
    }
    let points = orthant.point_count();
    let factor = rank::factorise(&orthant.literal, threshold, points).expect("no rank exceeds the number of points");
    let info = std::mem::take(&mut orthant.info);
    orthant.info = info
        .with("rank", factor.rank)
        .with("rank_format", orthant.literal.format.name())
        .with("rank_threshold", factor.threshold)
        .with("smallest_pivot", factor.smallest);
    let singular = factor.rank < points;
    let verdict = singular.then(|| feasibility::decide(factor.to_matrix().view(), factor.blur(orthant.literal.format)));
    let support = match verdict {
        Some(Feasibility::Impossible(rows)) => Some(rows.iter().map(|&row| names[factor.order[row]]).collect()),
        _ => None,
    };
    orthant.factor = Some(Arc::new(factor));
    support.map(|mut support: Vec<usize>| {
        support.sort_unstable();
        let listed = support.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        format!("the values at points {listed} are linearly dependent, and no values with these labels are")
    })
}

/// Rows and columns `points` of a matrix.
fn submatrix(matrix: &Array2<f64>, points: &[usize]) -> Array2<f64> {
    par_from_rows(points.len(), |a, row| {
        let source = matrix.row(points[a]);
        row.iter_mut().zip(points).for_each(|(out, &point)| *out = source[point]);
    })
}

/// Labels and matrix must agree in size.
pub(crate) fn check_label_count(gram: &Gram, labels: &Labels) -> Result<(), PriorError> {
    if labels.len() == gram.point_count() {
        Ok(())
    } else {
        Err(PriorError::LabelCount { labels: labels.len(), points: gram.point_count() })
    }
}

/// [`PriorError::UnsupportedLink`] unless `link` is among `links`.
pub(crate) fn check_link(method: &'static str, links: &[Link], link: Link) -> Result<(), PriorError> {
    if links.contains(&link) { Ok(()) } else { Err(PriorError::UnsupportedLink { method, link }) }
}

/// A certain answer, with zero standard error so that stochastic methods may return it too.
fn decided(value: f64, info: Info) -> LogProb {
    LogProb {
        estimate: Estimate::deterministic(value, info.with("decided_without_estimation", true)),
        upper_bound: Some(value),
    }
}

/// A certain answer as stochastic methods give it: with a standard error, which is zero.
pub(crate) fn decided_for_sampling(mut answer: LogProb) -> LogProb {
    answer.estimate.std_error = Some(0.0);
    answer
}

/// Whether `|R_ab| = 1` and the two rows agree, up to that sign, to rounding, and the matrix does not tell them apart.
fn same_up_to_sign(literal: &Literal, correlation: &Array2<f64>, a: usize, b: usize) -> bool {
    let between = correlation[[a, b]];
    let roundoff = literal.format.roundoff();
    // The correlation in f64 is off by a few roundings itself: a cheap test first, then all digits.
    if 1.0 - between.abs() > 4.0 * COPY_CORRELATION * roundoff
        || literal.tells_apart(a, b)
        || literal.distance(a, b) > COPY_CORRELATION * roundoff
    {
        return false;
    }
    let sign = between.signum();
    correlation
        .row(a)
        .iter()
        .zip(correlation.row(b))
        .enumerate()
        .all(|(c, (x, y))| c == a || c == b || (x - sign * y).abs() <= COPY_ROW * roundoff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn open(reduced: Reduced) -> Orthant {
        match reduced {
            Reduced::Open(orthant) => orthant,
            Reduced::Decided(answer) => panic!("expected an open problem, got {answer:?}"),
        }
    }

    fn labels(signs: &[f64]) -> Labels {
        Labels::from_values(signs).unwrap()
    }

    #[test]
    fn scales_and_signs_are_folded_in() {
        let gram = Gram::new(array![[4.0, -3.0], [-3.0, 9.0]]).unwrap();
        let step = open(reduce(&gram, &labels(&[1.0, -1.0]), Link::Step).unwrap());
        assert_eq!(step.correlation(), array![[1.0, 0.5], [0.5, 1.0]]);
        let probit = open(reduce(&gram, &labels(&[1.0, 1.0]), Link::Probit).unwrap());
        assert!((probit.correlation()[[0, 1]] + 3.0 / 50f64.sqrt()).abs() < 1e-15);
    }

    #[test]
    fn twins_are_dropped_or_contradict() {
        // Points 0 and 1 are the same up to scale, point 2 is their mirror image, 3 is another.
        let gram = Gram::new(array![
            [1.0, 2.0, -1.0, 0.5],
            [2.0, 4.0, -2.0, 1.0],
            [-1.0, -2.0, 1.0, -0.5],
            [0.5, 1.0, -0.5, 1.0]
        ])
        .unwrap();
        let orthant = open(reduce(&gram, &labels(&[1.0, 1.0, -1.0, -1.0]), Link::Step).unwrap());
        assert_eq!(orthant.correlation(), array![[1.0, -0.5], [-0.5, 1.0]]);
        assert_eq!(orthant.info().number("duplicates_dropped"), Some(2.0));
        for signs in [[1.0, -1.0, -1.0, 1.0], [1.0, 1.0, 1.0, 1.0]] {
            let Reduced::Decided(answer) = reduce(&gram, &labels(&signs), Link::Step).unwrap() else {
                panic!("contradicting twins are impossible")
            };
            assert_eq!(answer.estimate.value, f64::NEG_INFINITY);
        }
        assert_eq!(open(reduce(&gram, &labels(&[1.0, -1.0, 1.0, 1.0]), Link::Probit).unwrap()).point_count(), 4);
    }

    #[test]
    fn a_point_of_zero_variance_is_labelled_minus() {
        let gram = Gram::new(array![[0.0, 0.0], [0.0, 1.0]]).unwrap();
        assert_eq!(open(reduce(&gram, &labels(&[-1.0, 1.0]), Link::Step).unwrap()).point_count(), 1);
        assert!(matches!(reduce(&gram, &labels(&[1.0, 1.0]), Link::Step).unwrap(), Reduced::Decided(_)));
        let nothing = Gram::new(array![[0.0]]).unwrap();
        let Reduced::Decided(answer) = reduce(&nothing, &labels(&[-1.0]), Link::Step).unwrap() else {
            panic!("nothing is left to estimate")
        };
        assert_eq!(answer.estimate.value, 0.0);
    }

    #[test]
    fn sizes_must_agree() {
        let gram = Gram::new(array![[1.0]]).unwrap();
        assert_eq!(
            reduce(&gram, &labels(&[1.0, 1.0]), Link::Step).unwrap_err(),
            PriorError::LabelCount { labels: 2, points: 1 }
        );
    }
}
