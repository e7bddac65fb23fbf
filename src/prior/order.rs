//! The order in which the sampler meets the points, with the Cholesky factor in that order.

use crate::numeric::linalg::dot;
use crate::numeric::normal::{log_ndtr, positive_part_moments};
use crate::numeric::tolerance::SINGULAR_PIVOT;
use ndarray::{Array2, ArrayView2};

/// Orders points greedily, the least likely constraint next, given that those before sit at their truncated means
/// (Gibson, Glasbey and Elston 1994), while factorising `R = L L^T` in that order. Costs `n^3 / 3` multiply-adds.
///
/// # Errors
/// The position and value of a conditional variance that is zero to rounding.
pub(crate) fn least_likely_first(correlation: ArrayView2<f64>) -> Result<(Vec<usize>, Array2<f64>), (usize, f64)> {
    let n = correlation.nrows();
    let mut order: Vec<usize> = (0..n).collect();
    let mut lower = Array2::<f64>::zeros((n, n));
    let (mut mean, mut variance) = (vec![0.0; n], correlation.diag().to_vec());
    for j in 0..n {
        let likelihood = |i: usize| log_ndtr(mean[i] / variance[i].max(f64::MIN_POSITIVE).sqrt());
        let next = (j..n).min_by(|&a, &b| likelihood(a).total_cmp(&likelihood(b))).expect("j..n is not empty");
        order.swap(j, next);
        mean.swap(j, next);
        variance.swap(j, next);
        for column in 0..j {
            lower.swap([j, column], [next, column]);
        }
        if !(variance[j] > SINGULAR_PIVOT * n as f64) {
            return Err((j, variance[j]));
        }
        let pivot = variance[j].sqrt();
        lower[[j, j]] = pivot;
        let (shift, _) = positive_part_moments(mean[j] / pivot);
        let step = shift - mean[j] / pivot;
        let (above, mut below) = lower.view_mut().split_at(ndarray::Axis(0), j + 1);
        let pivot_row = above.row(j);
        let pivot_row = &pivot_row.as_slice().expect("rows are contiguous")[..j];
        for (offset, mut row) in below.outer_iter_mut().enumerate() {
            let i = j + 1 + offset;
            let row = row.as_slice_mut().expect("rows are contiguous");
            let entry = (correlation[[order[i], order[j]]] - dot(&row[..j], pivot_row)) / pivot;
            row[j] = entry;
            variance[i] -= entry * entry;
            mean[i] += entry * step;
        }
    }
    Ok((order, lower))
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    #[test]
    fn the_factor_is_that_of_the_reordered_matrix() {
        let matrix = Array2::from_shape_fn((7, 7), |(i, j)| {
            (-0.2 * (i as f64 - j as f64).powi(2)).exp() * if (i + j) % 3 == 0 || i == j { 1.0 } else { -0.3 }
        });
        let matrix = matrix.dot(&matrix.t());
        let (order, lower) = least_likely_first(matrix.view()).unwrap();
        let reordered = Array2::from_shape_fn((7, 7), |(i, j)| matrix[[order[i], order[j]]]);
        assert_abs_diff_eq!(lower.dot(&lower.t()), reordered, epsilon = 1e-12);
    }
}
