//! Hutchinson's estimator (Hutchinson 1990).

use super::{info, mean_and_error, products, sign_probes};
use crate::flatness::curvature::{NotFiniteProduct, SymmetricOperator};
use crate::numeric::linalg::dot;
use crate::numeric::{Estimate, Streams};

/// `tr A = E z^T A z` over random signs `z`; the standard error is that of the mean of `count` probes.
///
/// # Errors
/// [`NotFiniteProduct`].
pub fn hutchinson(
    operator: &dyn SymmetricOperator,
    count: usize,
    streams: Streams,
) -> Result<Estimate, NotFiniteProduct> {
    let count = count.max(2);
    let probes = sign_probes(count, operator.dimension(), streams, "hutchinson");
    let images = products(operator, &probes)?;
    let values: Vec<f64> = (probes.outer_iter().zip(images.outer_iter()))
        .map(|(probe, image)| dot(probe.as_slice().expect("rows"), image.as_slice().expect("rows")))
        .collect();
    let (value, error) = mean_and_error(&values);
    Ok(Estimate::stochastic(value, error, info("hutchinson", count)))
}
