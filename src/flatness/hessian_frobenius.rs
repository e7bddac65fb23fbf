//! Frobenius norm of the Hessian.

use crate::flatness::curvature::{Squared, for_each_row};
use crate::flatness::place::Place;
use crate::flatness::{DensePoint, FlatnessError, Measure, Options, Point, Responses, trace};
use crate::numeric::Estimate;
use crate::numeric::linalg::dot;
use crate::rescale::Action;

/// `(sum_ij H_ij^2)^(1/2)`: row by row up to [`Options::dense_limit`] parameters, beyond that the root of an
/// estimate of `tr H^2` (two products a probe), with its standard error carried through the root.
pub(super) struct HessianFrobenius;

fn norm(place: &Place, options: &Options) -> Result<Estimate, FlatnessError> {
    let measure = "hessian_frobenius";
    let hessian = place.hessian();
    let mut estimate = if place.theta().len() <= options.dense_limit {
        let mut square = 0.0;
        for_each_row(&*hessian, |_, row| square += dot(row, row));
        Estimate::deterministic(square.sqrt(), place.info().with("method", "basis"))
    } else {
        let options = Options { products: options.products / 2, ..options.clone() };
        let square = trace::estimate(&Squared(&*hessian), &options);
        let value = square.value.sqrt();
        let error = square.std_error.map_or(0.0, |error| error / (2.0 * value));
        Estimate::stochastic(value, error, square.info)
    };
    if !estimate.value.is_finite() {
        return Err(FlatnessError::NotFinite { measure, what: "the norm", value: estimate.value });
    }
    estimate.info.merge(place.info());
    Ok(estimate)
}

impl Measure for HessianFrobenius {
    fn id(&self) -> &'static str {
        "hessian_frobenius"
    }

    fn summary(&self) -> &'static str {
        "Frobenius norm of the Hessian"
    }

    fn source(&self) -> &'static str {
        "Wu et al. 2022"
    }

    fn responses(&self) -> Responses {
        Responses::OF_CURVATURE
    }

    fn evaluate(&self, point: &Point, options: &Options) -> Result<Estimate, FlatnessError> {
        norm(&Place::here(point), options)
    }

    fn predict(&self, point: &Point, action: &Action, options: &Options) -> Option<Result<Estimate, FlatnessError>> {
        Some(norm(&Place::moved(point, action), options))
    }

    fn on_dense(&self, dense: &DensePoint, _options: &Options) -> Option<f64> {
        Some(dense.hessian.iter().map(|entry| entry * entry).sum::<f64>().sqrt())
    }
}
