//! Frobenius norm of the Hessian.

use crate::description::{Description, references};
use crate::flatness::curvature::{Scaled, Squared, for_each_row};
use crate::flatness::place::Place;
use crate::flatness::{DensePoint, FlatnessError, Measure, Options, Point, Responses, trace};
use crate::numeric::Estimate;
use crate::numeric::linalg::{self, unit_of};
use crate::rescale::Action;

/// `(sum_ij H_ij^2)^(1/2)`: row by row up to [`Options::dense_limit`] parameters, beyond that the root of an
/// estimate of `tr H^2` (two products per probe), with its standard error carried through the root.
pub(super) struct HessianFrobenius;

fn norm(place: &Place, options: &Options) -> Result<Estimate, FlatnessError> {
    let measure = "hessian_frobenius";
    let hessian = place.hessian();
    let mut estimate = if place.theta().len() <= options.dense_limit {
        let mut lengths = vec![0.0; place.theta().len()];
        for_each_row(&*hessian, |index, row| lengths[index] = linalg::norm(row));
        Estimate::deterministic(linalg::norm(&lengths), place.info().with("method", "basis"))
    } else {
        let options = Options { product_budget: options.product_budget / 2, ..options.clone() };
        // H^2 leaves the range of f64 where H is beyond 1e154 or below 1e-154: it is taken of H / unit.
        // The vector has no symmetry that a network might have: the Hessian of a softmax maps ones to 0.
        let lopsided: Vec<f64> = (0..place.theta().len()).map(|index| 1.0 + (index as f64).sin()).collect();
        let unit = unit_of(linalg::norm(&hessian.product(&lopsided)));
        let root = vec![unit.sqrt().recip(); lopsided.len()];
        let scaled = Scaled { operator: &*hessian, scale: &root };
        let square = trace::estimate(&Squared(&scaled), &options).map_err(|error| error.of(measure))?;
        // A sum of squares is below 0 by rounding only.
        let value = square.value.max(0.0).sqrt();
        // A norm of 0 is that of a Hessian that is 0 along every probe.
        let error = square.std_error.filter(|error| *error > 0.0).map_or(0.0, |error| error / (2.0 * value));
        Estimate::stochastic(value * unit, error * unit, square.info)
    };
    if !estimate.value.is_finite() {
        return Err(FlatnessError::NotFinite { measure, what: "the norm", value: estimate.value });
    }
    if let Some(value) = estimate.std_error.filter(|error| !error.is_finite()) {
        return Err(FlatnessError::NotFinite { measure, what: "the standard error", value });
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

    fn description(&self) -> Option<&'static Description> {
        Some(&Description {
            formula: "|H|_F = (sum_ij H_ij^2)^(1/2) = (sum_i lambda_i(H)^2)^(1/2)",
            notes: "Beyond `dense_limit` parameters the root of an estimate of tr H^2.",
            unit: "units of the loss",
            use_for: "all curvatures, large ones most",
            not_for: "comparing networks with different parametrisations",
            cost: "one product per parameter up to `dense_limit` parameters, beyond that `product_budget` products (two per probe)",
            options: &["trace", "dense_limit", "product_budget", "seed"],
            refuses: "a norm or standard error that is not finite",
            sources: &[references::WU_2022],
        })
    }

    fn responses(&self) -> Responses {
        Responses::OF_CURVATURE
    }

    fn evaluate(&self, point: &Point, options: &Options) -> Result<Estimate, FlatnessError> {
        norm(&Place::at(point), options)
    }

    fn predict(&self, point: &Point, action: &Action, options: &Options) -> Option<Result<Estimate, FlatnessError>> {
        Some(norm(&Place::transported(point, action), options))
    }

    fn on_dense(&self, dense: &DensePoint, _options: &Options) -> Option<f64> {
        // Row by row, so that a sum has no more than a few thousand terms.
        let length = |entries: &mut dyn Iterator<Item = f64>| entries.fold(0.0_f64, f64::hypot);
        let rows = dense.hessian.outer_iter().map(|row| length(&mut row.iter().copied()));
        Some(length(&mut { rows }))
    }

    /// The norm of the sizes of what the entries add up.
    fn summands(&self, dense: &DensePoint, _options: &Options) -> f64 {
        linalg::norm(dense.magnitude.as_slice().expect("stored row by row"))
    }
}
