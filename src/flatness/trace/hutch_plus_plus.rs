//! Hutch++ (Meyer, Musco, Musco and Woodruff 2021).

use super::{exact, info, mean_and_error, orthonormal_rows, products, sign_probes};
use crate::flatness::curvature::{NotFiniteProduct, SymmetricOperator};
use crate::numeric::linalg::dot;
use crate::numeric::{Estimate, Streams};

/// A third of the products sketch the range of `A` (`Q`), a third give `tr Q^T A Q` exactly, and a third
/// estimate the rest `tr (I - Q Q^T) A (I - Q Q^T)` by Hutchinson's method, whose standard error is stated. A budget of at
/// least the dimension gives the trace itself.
///
/// # Errors
/// [`NotFiniteProduct`].
pub fn hutch_plus_plus(
    operator: &dyn SymmetricOperator,
    count: usize,
    streams: Streams,
) -> Result<Estimate, NotFiniteProduct> {
    let dimension = operator.dimension();
    if count >= dimension {
        return exact(operator, "hutch++");
    }
    let third = (count / 3).max(2);
    let range = products(operator, &sign_probes(third, dimension, streams, "hutch++ sketch"))?;
    let (basis, _) = orthonormal_rows(&range);
    let images = products(operator, &basis)?;
    let captured: f64 = (basis.outer_iter().zip(images.outer_iter()))
        .map(|(member, image)| dot(member.as_slice().expect("rows"), image.as_slice().expect("rows")))
        .sum();
    let mut probes = sign_probes(third, dimension, streams, "hutch++ rest");
    let overlaps = probes.dot(&basis.t());
    probes -= &overlaps.dot(&basis);
    let images = products(operator, &probes)?;
    let values: Vec<f64> = (probes.outer_iter().zip(images.outer_iter()))
        .map(|(probe, image)| dot(probe.as_slice().expect("rows"), image.as_slice().expect("rows")))
        .collect();
    let (rest, error) = mean_and_error(&values);
    Ok(Estimate::stochastic(captured + rest, error, info("hutch++", third + basis.nrows() + third)))
}
