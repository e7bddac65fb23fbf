//! Trace of the Hessian with each parameter in units of itself.

use crate::description::{Description, references};
use crate::flatness::hessian_trace::weighted_trace;
use crate::flatness::place::Place;
use crate::flatness::{DensePoint, FlatnessError, Measure, Options, Point, Responses};
use crate::numeric::Estimate;
use crate::rescale::Action;

/// `sum_i theta_i^2 H_ii`: what relative perturbations of independent signs do to the loss, to second order.
/// Parameters that are 0 do not count; `info` says how many there are.
pub(super) struct FilterWeightedTrace;

fn weighted(place: &Place, options: &Options) -> Result<Estimate, FlatnessError> {
    let mut estimate = weighted_trace("filter_weighted_trace", place, place.theta(), options)?;
    estimate.info.set("zero_weights", place.theta().iter().filter(|theta| **theta == 0.0).count());
    Ok(estimate)
}

impl Measure for FilterWeightedTrace {
    fn id(&self) -> &'static str {
        "filter_weighted_trace"
    }

    fn summary(&self) -> &'static str {
        "Hessian diagonal weighted by squared parameters"
    }

    fn source(&self) -> &'static str {
        "Tsuzuku et al. 2020"
    }

    fn description(&self) -> Option<&'static Description> {
        Some(&Description {
            formula: "sum_i theta_i^2 H_ii",
            notes: "What relative perturbations of independent signs do to the loss, to second order. Parameters that are 0 do not count.",
            unit: "units of the loss",
            use_for: "a trace that no rescaling changes",
            not_for: "-",
            cost: "piecewise linear networks: one backward pass per logit and no product; others: one product per parameter up to `dense_limit` parameters, beyond that `product_budget` products",
            options: &["trace", "dense_limit", "product_budget", "seed"],
            refuses: "a trace or standard error that is not finite",
            sources: &[references::TSUZUKU_2020],
        })
    }

    fn responses(&self) -> Responses {
        Responses::INVARIANT
    }

    fn evaluate(&self, point: &Point, options: &Options) -> Result<Estimate, FlatnessError> {
        weighted(&Place::at(point), options)
    }

    fn predict(&self, point: &Point, action: &Action, options: &Options) -> Option<Result<Estimate, FlatnessError>> {
        Some(weighted(&Place::transported(point, action), options))
    }

    fn on_dense(&self, dense: &DensePoint, _options: &Options) -> Option<f64> {
        Some(dense.theta.iter().zip(dense.hessian.diag()).map(|(theta, h)| theta * h * theta).sum())
    }

    fn summands(&self, dense: &DensePoint, _options: &Options) -> f64 {
        dense.theta.iter().zip(dense.magnitude.diag()).map(|(theta, h)| theta * h * theta).sum()
    }
}
