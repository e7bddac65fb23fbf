//! Trace of the Hessian.

use crate::description::{Description, references};
use crate::flatness::curvature::Scaled;
use crate::flatness::options::TraceMethod;
use crate::flatness::place::Place;
use crate::flatness::{DensePoint, FlatnessError, Measure, Options, Point, Responses, trace};
use crate::numeric::Estimate;
use crate::rescale::Action;

/// `tr H`, the sum of the Hessian's eigenvalues.
///
/// Where the network is piecewise linear, each layer's own second derivative of the logits vanishes, so
/// `tr H = tr G` exactly, a sum of squared norms of per-sample gradients: one backward pass per logit.
/// Elsewhere the diagonal is read off products with the basis vectors up to [`Options::dense_limit`] parameters,
/// and beyond that the trace is estimated. `info` holds the trace of each parameter tensor's block.
pub(super) struct HessianTrace;

impl Measure for HessianTrace {
    fn id(&self) -> &'static str {
        "hessian_trace"
    }

    fn summary(&self) -> &'static str {
        "trace of the Hessian of the loss"
    }

    fn source(&self) -> &'static str {
        "Dinh et al. 2017; estimators: Hutchinson 1990, Meyer et al. 2021, Epperly et al. 2024"
    }

    fn description(&self) -> Option<&'static Description> {
        Some(&Description {
            formula: "tr H = sum_i H_ii = sum_i lambda_i(H)",
            notes: "Exact for piecewise linear networks, where tr H = tr G: each layer's own second derivative of the logits vanishes.",
            unit: "units of the loss",
            use_for: "the cheapest curvature: exact in one pass on ReLU networks",
            not_for: "comparing networks with different parametrisations",
            cost: "piecewise linear networks: one backward pass per logit and no product; others: one product per parameter up to `dense_limit` parameters, beyond that `product_budget` products",
            options: &["trace", "dense_limit", "product_budget", "seed"],
            refuses: "a trace or standard error that is not finite",
            sources: &[
                references::DINH_2017,
                references::HUTCHINSON_1990,
                references::MEYER_2021,
                references::EPPERLY_2024,
            ],
        })
    }

    fn responses(&self) -> Responses {
        Responses::OF_CURVATURE
    }

    fn evaluate(&self, point: &Point, options: &Options) -> Result<Estimate, FlatnessError> {
        if options.trace == TraceMethod::Auto && point.model().is_piecewise_linear() {
            let traces = point.linearisation.gauss_newton_block_traces();
            let value = finite(self.id(), traces.iter().sum())?;
            let info = point.info().with("method", "gauss-newton").with("tensor_traces", traces);
            return Ok(Estimate::deterministic(value, info));
        }
        weighted_trace(self.id(), &Place::at(point), &vec![1.0; point.theta().len()], options)
    }

    fn predict(&self, point: &Point, action: &Action, options: &Options) -> Option<Result<Estimate, FlatnessError>> {
        Some(weighted_trace(self.id(), &Place::transported(point, action), &vec![1.0; action.len()], options))
    }

    fn on_dense(&self, dense: &DensePoint, _options: &Options) -> Option<f64> {
        Some(dense.hessian.diag().sum())
    }

    fn summands(&self, dense: &DensePoint, _options: &Options) -> f64 {
        dense.magnitude.diag().sum()
    }
}

fn finite(measure: &'static str, value: f64) -> Result<f64, FlatnessError> {
    if value.is_finite() { Ok(value) } else { Err(FlatnessError::NotFinite { measure, what: "the trace", value }) }
}

/// `sum_i weight_i^2 H_ii = tr D H D`, `D = diag(weight)`: exactly where the options allow it, else estimated.
pub(super) fn weighted_trace(
    measure: &'static str,
    place: &Place,
    weight: &[f64],
    options: &Options,
) -> Result<Estimate, FlatnessError> {
    if options.trace == TraceMethod::Auto
        && let Some((diagonal, method)) = place.hessian_diagonal(options)
    {
        let share = |range: std::ops::Range<usize>| -> f64 {
            // Not w^2 H_ii: the square of a weight may leave the range of f64 where the product does not.
            diagonal[range.clone()].iter().zip(&weight[range]).map(|(h, w)| w * h * w).sum()
        };
        let traces: Vec<f64> = place.model().tensors().iter().map(|tensor| share(tensor.range.clone())).collect();
        let info = place.info().with("method", method).with("tensor_traces", traces.clone());
        return Ok(Estimate::deterministic(finite(measure, traces.iter().sum())?, info));
    }
    let hessian = place.hessian();
    let scaled = Scaled { operator: &*hessian, scale: weight };
    let mut estimate = trace::estimate(&scaled, options).map_err(|error| error.of(measure))?;
    finite(measure, estimate.value)?;
    finite(measure, estimate.std_error.unwrap_or(0.0))?;
    estimate.info.merge(place.info());
    Ok(estimate)
}
