//! XTrace (Epperly, Tropp and Webber 2024).

use super::{exact, info, mean_and_error, orthonormal_rows, products, sign_probes};
use crate::flatness::curvature::{NotFiniteProduct, SymmetricOperator};
use crate::numeric::linalg::{dot, norm};
use crate::numeric::{Estimate, Streams};
use ndarray::Array2;

/// Products from which the budget is split into 8 groups instead of 4.
const MANY: usize = 128;

/// Every probe serves twice: to sketch the range with all others, and to estimate what a sketch without it
/// leaves over.
///
/// With `k` probes `w_i` (half the products), `Y = A W = Q R` and `Q_i` the range of all columns of `Y` but
/// the `i`-th, each `tr Q_i^T A Q_i + w_i^T (I - Q_i Q_i^T) A (I - Q_i Q_i^T) w_i` is unbiased.
/// `Q_i Q_i^T = Q (I - s_i s_i^T) Q^T` with `s_i` the normalised `i`-th column of `R^-T`, so all of them follow from
/// `k x k` matrices.
///
/// These values share their sketches: taken as independent, their spread understates the variance of their
/// mean by about half. So the budget is split into independent groups (8, or 4 where it is small), and the
/// standard error is the one between groups. A budget of at least the dimension gives the trace itself.
///
/// # Errors
/// [`NotFiniteProduct`].
pub fn xtrace(operator: &dyn SymmetricOperator, count: usize, streams: Streams) -> Result<Estimate, NotFiniteProduct> {
    if count >= operator.dimension() {
        return exact(operator, "xtrace");
    }
    let groups: usize = if count >= MANY { 8 } else { 4 };
    let probes = (count / (2 * groups)).max(2);
    let mut spent = 0;
    let mut values = Vec::with_capacity(groups);
    for index in 0..groups {
        let (value, products) = group(operator, probes, streams.child("xtrace", index as u64))?;
        spent += products;
        values.push(value);
    }
    let (value, error) = mean_and_error(&values);
    Ok(Estimate::stochastic(value, error, info("xtrace", spent).with("groups", groups)))
}

/// The mean of the leave-one-out values of one group of probes, and the products it took.
fn group(operator: &dyn SymmetricOperator, count: usize, streams: Streams) -> Result<(f64, usize), NotFiniteProduct> {
    let probes = sign_probes(count, operator.dimension(), streams, "probes");
    let range = products(operator, &probes)?;
    // Rows here are columns in the formulas: range = r basis, so R = r^T.
    let (basis, r) = orthonormal_rows(&range);
    let rank = basis.nrows();
    let images = products(operator, &basis)?;
    let core = basis.dot(&images.t());
    let captured = core.diag().sum();
    if rank < count {
        // A sketch of deficient rank has caught the whole range of A: sign vectors in more dimensions than
        // there are of them depend on each other with negligible probability.
        return Ok((captured, count + rank));
    }
    let overlaps = probes.dot(&basis.t());
    let inverse = lower_inverse(&r);
    let mut values = Vec::with_capacity(rank);
    for i in 0..rank {
        // Column i of R^-T = (r^-1), in rows of r: r = R^T, so R^-T = r^-1 and its column i is wanted.
        let mut s = inverse.column(i).to_vec();
        let length = norm(&s);
        s.iter_mut().for_each(|x| *x /= length);
        let w = overlaps.row(i).to_vec();
        let y = r.row(i).to_vec();
        let along = dot(&s, &w);
        let u: Vec<f64> = w.iter().zip(&s).map(|(w, s)| w - along * s).collect();
        let quadratic = |v: &[f64]| {
            let image: Vec<f64> = core.outer_iter().map(|row| dot(row.as_slice().expect("rows"), v)).collect();
            dot(v, &image)
        };
        values.push(captured - quadratic(&s) + dot(&w, &y) - 2.0 * dot(&u, &y) + quadratic(&u));
    }
    Ok((values.iter().sum::<f64>() / rank as f64, count + rank))
}

/// Inverse of a lower triangular matrix with nonzero diagonal.
fn lower_inverse(lower: &Array2<f64>) -> Array2<f64> {
    let n = lower.nrows();
    let mut inverse = Array2::zeros((n, n));
    for column in 0..n {
        inverse[[column, column]] = 1.0 / lower[[column, column]];
        for row in column + 1..n {
            let sum: f64 = (column..row).map(|k| lower[[row, k]] * inverse[[k, column]]).sum();
            inverse[[row, column]] = -sum / lower[[row, row]];
        }
    }
    inverse
}
