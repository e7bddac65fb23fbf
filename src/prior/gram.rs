//! The inputs of every method: a validated Gram matrix and a vector of labels.

use crate::numeric::linalg::{Cholesky, NotPositiveDefinite};
use crate::prior::Link;
use crate::prior::entries::{Entries, SharedMatrix};
use crate::prior::rank::Format;
use crate::prior::tolerance::{GRAM_ASYMMETRY, GRAM_NEGATIVITY, SINGLE_ROUNDOFF, SMALL_PIVOT};
use ndarray::{Array2, ArrayView2};
use std::sync::Arc;

/// What can be wrong with the inputs of `log P(f)`, or go wrong on the way.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PriorError {
    /// The matrix is not square.
    #[error("the Gram matrix is {rows} x {columns}, expected square")]
    NotSquare {
        /// Rows found.
        rows: usize,
        /// Columns found.
        columns: usize,
    },
    /// There are no points.
    #[error("the Gram matrix is empty, expected at least one point")]
    Empty,
    /// An entry is NaN or infinite.
    #[error("entry ({row}, {column}) of the Gram matrix is {value}, expected a finite number")]
    NotFinite {
        /// Row of the first bad entry.
        row: usize,
        /// Its column.
        column: usize,
        /// What stands there.
        value: f64,
    },
    /// The matrix differs from its transpose.
    #[error(
        "the Gram matrix is not symmetric: entry ({row}, {column}) is {value}, entry ({column}, {row}) is {mirrored}"
    )]
    NotSymmetric {
        /// Row of the pair.
        row: usize,
        /// Column of the pair.
        column: usize,
        /// `K[row, column]`.
        value: f64,
        /// `K[column, row]`.
        mirrored: f64,
    },
    /// The matrix is not positive semi-definite.
    #[error(
        "the Gram matrix is indefinite: after scaling to unit diagonal, pivot {pivot} of its Cholesky factorisation is {value:e} with {shift:e} added to the diagonal"
    )]
    Indefinite {
        /// The failing pivot.
        pivot: usize,
        /// Its value.
        value: f64,
        /// What had been added to the diagonal to allow for rounding.
        shift: f64,
    },
    /// Labels and matrix disagree in size.
    #[error("there are {labels} labels for a Gram matrix of {points} points")]
    LabelCount {
        /// Labels given.
        labels: usize,
        /// Points of the matrix.
        points: usize,
    },
    /// A label is not one of the two values.
    #[error("label {index} is {value}, expected all labels in {{-1, +1}} or all in {{0, 1}}")]
    LabelValue {
        /// Position of the label.
        index: usize,
        /// What stands there.
        value: f64,
    },
    /// The training set is not a part of the points.
    #[error(
        "there are {training_points} training points, expected between 1 and the {points} points of the Gram matrix"
    )]
    TrainingPoints {
        /// Training points asked for.
        training_points: usize,
        /// Points of the matrix.
        points: usize,
    },
    /// The method does not offer this link.
    #[error("method '{method}' has no {link} link")]
    UnsupportedLink {
        /// Registry name of the method.
        method: &'static str,
        /// What was asked.
        link: Link,
    },
    /// The method does not cover this matrix.
    #[error("method '{method}' does not apply: {reason}")]
    NotApplicable {
        /// Registry name of the method.
        method: &'static str,
        /// Which of its conditions fails, with the numbers.
        reason: String,
    },
    /// A command that stands in for the method gave no usable answer.
    #[error("{method} by a command: {reason}")]
    External {
        /// Registry name of the method.
        method: &'static str,
        /// The named fault.
        reason: String,
    },
    /// The matrix is of lower rank than it has points, and the method needs an inverse.
    #[error(
        "method '{method}' needs a matrix of full rank, and this one has rank {rank} with {points} different points, to \
         {format} rounding ('auto' and 'splitting' do without, and 'exact' up to rank 3)"
    )]
    Singular {
        /// Registry name of the method.
        method: &'static str,
        /// Rank to rounding.
        rank: usize,
        /// Points that are left once copies are dropped.
        points: usize,
        /// Format in which the entries were rounded.
        format: &'static str,
    },
    /// Rounding broke an iteration on a nearly singular matrix.
    #[error(
        "method '{method}' broke down on a nearly singular matrix: in its iteration the variance left at point {pivot} was lost to \
         rounding ({value:e}); 'auto' and 'splitting' do without"
    )]
    Breakdown {
        /// Registry name of the method.
        method: &'static str,
        /// The point.
        pivot: usize,
        /// Its conditional variance.
        value: f64,
    },
    /// The matrix has full rank, but the method has too few digits for it.
    #[error(
        "method '{method}' works in f64 with matrices whose smallest pivot is above {least:e}, and this one's is {pivot:e} of a \
         point's variance ('auto' and 'splitting' do with less)"
    )]
    NearlySingular {
        /// Registry name of the method.
        method: &'static str,
        /// Smallest pivot.
        pivot: f64,
        /// The smallest the method can do with.
        least: f64,
    },
    /// The time allowed ended before there was an answer.
    #[error(
        "method '{method}': the time allowed, {seconds} s, ended with {done}, and there is no answer yet; allow more time, or \
         none for the default effort"
    )]
    OutOfTime {
        /// Registry name of the method.
        method: &'static str,
        /// The budget.
        seconds: f64,
        /// What had been reached.
        done: String,
    },
    /// A sampler never met the event.
    #[error(
        "method '{method}' found the function in none of its {replicates} replicates, so it cannot say how probable it is"
    )]
    NothingFound {
        /// Registry name of the method.
        method: &'static str,
        /// Replicates drawn.
        replicates: usize,
    },
    /// A few replicates outweigh all others, so that neither their mean nor its standard error is worth anything.
    #[error(
        "method '{method}' rests on a few of its {replicates} replicates (they leave a relative standard error of \
         {std_error:.2} in P), so it cannot say how probable the function is"
    )]
    Collapsed {
        /// The method.
        method: &'static str,
        /// Replicates run.
        replicates: usize,
        /// Relative standard error of their mean.
        std_error: f64,
    },
    /// A few points of the rule outweigh all others: replicates that each rest on one of them agree with each other more
    /// often than with the integral.
    #[error(
        "method '{method}' rests on {effective:.0} of its {points} points, so it cannot say how probable the function is \
         ('smc', 'tilting' and 'splitting' follow rare functions)"
    )]
    FewPoints {
        /// Registry name of the method.
        method: &'static str,
        /// Effective number of points: `(sum w)^2 / sum w^2` of their weights, summed over the replicates.
        effective: f64,
        /// Points evaluated.
        points: usize,
    },
    /// The iteration did not converge.
    #[error("method '{method}' did not converge in {iterations} iterations: log P still moves by {change:e}")]
    NotConverged {
        /// Registry name of the method.
        method: &'static str,
        /// Iterations done.
        iterations: usize,
        /// Last change of log P.
        change: f64,
    },
}

/// A Gram matrix `K` (`n x n`): finite, symmetric, positive semi-definite up to rounding.
#[derive(Debug, Clone, PartialEq)]
pub struct Gram {
    entries: Entries,
    /// Smallest pivot of the Cholesky factorisation after scaling, with the rounding allowance.
    smallest_pivot: f64,
    /// Rounding allowance: what was added to the unit diagonal before.
    allowance: f64,
    format: Format,
}

impl Gram {
    /// Checks a matrix; nothing is repaired, but the upper triangle is replaced by the lower one once
    /// they agree to rounding, so that all methods see exactly the same symmetric matrix.
    ///
    /// # Errors
    /// [`PriorError::NotSquare`], `Empty`, `NotFinite`, `NotSymmetric`, `Indefinite`.
    pub fn new(mut matrix: Array2<f64>) -> Result<Self, PriorError> {
        if check_symmetric(matrix.view())? == Symmetry::ToRounding {
            for row in 0..matrix.nrows() {
                for column in 0..row {
                    matrix[[column, row]] = matrix[[row, column]];
                }
            }
        }
        Self::of(Entries::Own(matrix))
    }

    /// As [`Gram::new`], of a matrix that stays where it is. It is copied only if it is symmetric to rounding but not exactly,
    /// since every method must see the same matrix.
    ///
    /// # Errors
    /// As [`Gram::new`].
    pub fn shared(matrix: Arc<dyn SharedMatrix>) -> Result<Self, PriorError> {
        match check_symmetric(matrix.view())? {
            Symmetry::Exact => Self::of(Entries::Shared(matrix)),
            Symmetry::ToRounding => Self::new(matrix.view().to_owned()),
        }
    }

    /// Of a symmetric matrix of finite numbers.
    fn of(entries: Entries) -> Result<Self, PriorError> {
        let matrix = entries.view();
        let format = Format::of(matrix);
        let per_point = if format == Format::Single { 2.0 * SINGLE_ROUNDOFF } else { GRAM_NEGATIVITY };
        let allowance = per_point * matrix.nrows() as f64;
        let smallest_pivot = check_semidefinite(matrix, allowance)?;
        Ok(Self { entries, smallest_pivot, allowance, format })
    }

    /// `K_ii (1 + relative)` on the diagonal: noise of its own on every point, in units of that point's variance.
    ///
    /// This is another problem, with another answer; nothing adds it unless asked.
    ///
    /// # Panics
    /// Unless `relative` is finite and not negative.
    pub fn with_jitter(mut self, relative: f64) -> Self {
        assert!(relative >= 0.0 && relative.is_finite(), "jitter is {relative}, expected a finite number from 0");
        let mut matrix = self.entries.into_owned();
        matrix.diag_mut().mapv_inplace(|variance| variance * (1.0 + relative));
        self.entries = Entries::Own(matrix);
        self.smallest_pivot = (self.smallest_pivot + relative) / (1.0 + relative);
        self
    }

    /// The matrix.
    pub fn matrix(&self) -> ArrayView2<'_, f64> {
        self.entries.view()
    }

    /// Number of points `n`.
    pub fn point_count(&self) -> usize {
        self.matrix().nrows()
    }

    /// The format in which the entries were rounded.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Whether a pivot was so small that rank and digits need a second look.
    pub(crate) fn is_suspicious(&self) -> bool {
        /// The allowance enters a pivot multiplied by one plus the squares of the coefficients by which the point depends on
        /// those before: below this unless these are nearly dependent themselves.
        const LARGEST_MULTIPLE: f64 = 1e5;
        !(self.smallest_pivot > SMALL_PIVOT.max(LARGEST_MULTIPLE * self.allowance))
    }
}

#[derive(PartialEq)]
enum Symmetry {
    Exact,
    ToRounding,
}

/// Whether a matrix is square, finite and symmetric, and how exactly.
fn check_symmetric(matrix: ArrayView2<f64>) -> Result<Symmetry, PriorError> {
    let (rows, columns) = matrix.dim();
    if rows != columns {
        return Err(PriorError::NotSquare { rows, columns });
    }
    if rows == 0 {
        return Err(PriorError::Empty);
    }
    if let Some(((row, column), &value)) = matrix.indexed_iter().find(|(_, value)| !value.is_finite()) {
        return Err(PriorError::NotFinite { row, column, value });
    }
    let mut symmetry = Symmetry::Exact;
    for row in 0..rows {
        for column in 0..row {
            let (value, mirrored) = (matrix[[row, column]], matrix[[column, row]]);
            if value == mirrored {
                continue;
            }
            let scale = matrix[[row, row]].abs().sqrt() * matrix[[column, column]].abs().sqrt();
            if (value - mirrored).abs() > GRAM_ASYMMETRY * scale {
                return Err(PriorError::NotSymmetric { row, column, value, mirrored });
            }
            symmetry = Symmetry::ToRounding;
        }
    }
    Ok(symmetry)
}

/// Scales to unit diagonal and factorises with the rounding allowance added to the diagonal; the smallest pivot.
fn check_semidefinite(matrix: ArrayView2<f64>, shift: f64) -> Result<f64, PriorError> {
    let n = matrix.nrows();
    let scales: Vec<f64> = matrix.diag().iter().map(|&d| if d > 0.0 { 1.0 / d.sqrt() } else { 0.0 }).collect();
    for (pivot, &value) in matrix.diag().iter().enumerate() {
        if value < 0.0 {
            return Err(PriorError::Indefinite { pivot, value, shift: 0.0 });
        }
        // A point of zero variance is constant: it correlates with nothing.
        if value == 0.0
            && let Some(bad) = matrix.row(pivot).iter().find(|entry| **entry != 0.0)
        {
            return Err(PriorError::Indefinite { pivot, value: -bad.abs(), shift: 0.0 });
        }
    }
    let scaled =
        Array2::from_shape_fn(
            (n, n),
            |(i, j)| {
                if i == j { 1.0 + shift } else { matrix[[i, j]] * scales[i] * scales[j] }
            },
        );
    match Cholesky::new(scaled) {
        Ok(cholesky) => Ok(cholesky.lower().diag().iter().map(|root| root * root).fold(f64::INFINITY, f64::min)),
        Err(NotPositiveDefinite { pivot, value }) => Err(PriorError::Indefinite { pivot, value, shift }),
    }
}

/// A function on `n` points: one label `+1` or `-1` a point.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Labels(Vec<i8>);

impl Labels {
    /// From signs; `true` is `+1`.
    pub fn from_signs(positive: impl IntoIterator<Item = bool>) -> Self {
        Self(positive.into_iter().map(|positive| if positive { 1 } else { -1 }).collect())
    }

    /// From logits: `+1` iff the logit is above zero.
    pub fn from_logits<'a>(logits: impl IntoIterator<Item = &'a f64>) -> Self {
        Self::from_signs(logits.into_iter().map(|logit| *logit > 0.0))
    }

    /// From numbers that are all in `{-1, +1}` or all in `{0, 1}`.
    ///
    /// # Errors
    /// [`PriorError::LabelValue`] with the first number that fits neither, or not the others.
    pub fn from_values(values: &[f64]) -> Result<Self, PriorError> {
        let zero_one = values.contains(&0.0);
        let negative = if zero_one { 0.0 } else { -1.0 };
        match values.iter().position(|&value| value != 1.0 && value != negative) {
            Some(index) => Err(PriorError::LabelValue { index, value: values[index] }),
            None => Ok(Self::from_signs(values.iter().map(|value| *value == 1.0))),
        }
    }

    /// The labels as `+1` and `-1`.
    pub fn signs(&self) -> &[i8] {
        &self.0
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no points.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The function with every label flipped.
    pub fn flipped(&self) -> Self {
        Self(self.0.iter().map(|sign| -sign).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn a_shared_matrix_is_read_where_it_lies_and_copied_only_to_be_symmetric() {
        let exact = Arc::new(array![[2.0, 1.0], [1.0, 3.0]]);
        let gram = Gram::shared(Arc::<Array2<f64>>::clone(&exact)).unwrap();
        assert_eq!(gram.matrix().as_ptr(), exact.as_ptr());
        assert_eq!(gram, Gram::new((*exact).clone()).unwrap());
        assert_eq!(gram.with_jitter(0.5).matrix(), array![[3.0, 1.0], [1.0, 4.5]]);
        assert_eq!(exact[[0, 0]], 2.0);

        let rounded = Arc::new(array![[2.0, 1.0 + f64::EPSILON], [1.0, 3.0]]);
        let gram = Gram::shared(Arc::<Array2<f64>>::clone(&rounded)).unwrap();
        assert_eq!(gram.matrix(), array![[2.0, 1.0], [1.0, 3.0]]);
        assert_eq!(gram, Gram::new((*rounded).clone()).unwrap());

        let wrong = PriorError::NotSymmetric { row: 1, column: 0, value: 1.0, mirrored: 1.5 };
        assert_eq!(Gram::shared(Arc::new(array![[2.0, 1.5], [1.0, 3.0]])), Err(wrong));
    }
}
