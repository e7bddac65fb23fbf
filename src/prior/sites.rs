//! Gaussian sites beside a Gaussian prior: the matrix that expectation propagation and Laplace's method factorise.

use crate::numeric::linalg::{Cholesky, NotPositiveDefinite, par_from_rows};
use crate::prior::PriorError;
use ndarray::ArrayView2;

/// `B = I + S K S` (`n x n`) factorised, `S = diag(root)` of the square roots of the sites' precisions.
///
/// # Errors
/// [`PriorError::Breakdown`] of `method` if rounding has left `B` without a factor.
pub(super) fn factorise(method: &'static str, matrix: ArrayView2<f64>, root: &[f64]) -> Result<Cholesky, PriorError> {
    let b = par_from_rows(root.len(), |i, row| {
        for ((out, entry), root_j) in row.iter_mut().zip(matrix.row(i)).zip(root) {
            *out = root[i] * entry * root_j;
        }
        row[i] += 1.0;
    });
    Cholesky::new(b).map_err(|NotPositiveDefinite { pivot, value }| PriorError::Breakdown { method, pivot, value })
}
