//! The order in which the sampler meets the points, with the Cholesky factor in that order.

use crate::numeric::linalg::dot;
use crate::numeric::normal::{log_ndtr, positive_part_moments};
use crate::prior::PriorError;
use crate::prior::problem::Orthant;
use ndarray::Array2;

/// Orders points greedily, the least likely constraint next, given that those before sit at their truncated means
/// (Gibson, Glasbey and Elston 1994), while factorising `R = L L^T` in that order. Costs `n^3 / 3` multiply-adds.
///
/// # Errors
/// [`PriorError::Singular`] and [`PriorError::NearlySingular`].
pub(crate) fn least_likely_first(
    method: &'static str,
    orthant: &Orthant,
) -> Result<(Vec<usize>, Array2<f64>), PriorError> {
    orthant.require_pivots(method)?;
    let correlation = orthant.correlation();
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
        // Nothing but rounding can bring it to zero, and then the factor is computed anew below.
        let pivot = variance[j].max(f64::EPSILON).sqrt();
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
    if orthant.factor().is_some() {
        // Small pivots have no digits left in f64.
        lower = orthant.cholesky(method, &order)?;
    }
    Ok((order, lower))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prior::problem::{Reduced, reduce};
    use crate::prior::{Gram, Labels, Link};
    use approx::assert_abs_diff_eq;

    #[test]
    fn the_factor_is_that_of_the_reordered_matrix() {
        let matrix = Array2::from_shape_fn((7, 7), |(i, j)| {
            (-0.2 * (i as f64 - j as f64).powi(2)).exp() * if (i + j) % 3 == 0 || i == j { 1.0 } else { -0.3 }
        });
        let matrix = matrix.dot(&matrix.t());
        let labels = Labels::from_signs([true; 7]);
        let Reduced::Open(orthant) = reduce(&Gram::new(matrix).unwrap(), &labels, Link::Step).unwrap() else {
            panic!("a definite matrix")
        };
        let (order, lower) = least_likely_first("test", &orthant).unwrap();
        let reordered = Array2::from_shape_fn((7, 7), |(i, j)| orthant.correlation()[[order[i], order[j]]]);
        assert_abs_diff_eq!(lower.dot(&lower.t()), reordered, epsilon = 1e-12);
    }
}
