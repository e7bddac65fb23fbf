//! Trace of the Hessian with each layer in units of its own weights.

use crate::description::{Description, references};
use crate::flatness::hessian_trace::weighted_trace;
use crate::flatness::place::Place;
use crate::flatness::{DensePoint, FlatnessError, Measure, Options, Point, Response, Responses};
use crate::model::Role;
use crate::numeric::Estimate;
use crate::numeric::linalg::norm;
use crate::rescale::Action;

/// `sum_l |W_l|^2 tr H_ll`, `W_l` the weights of layer `l` (no biases, no normalisation parameters), `H_ll` their
/// block of the Hessian. Scaling a layer changes `|W_l|^2` and `tr H_ll` by inverse factors.
pub(super) struct LayerNormalisedTrace;

fn normalised(place: &Place, options: &Options) -> Result<Estimate, FlatnessError> {
    let theta = place.theta();
    let mut weight = vec![0.0; theta.len()];
    for tensor in place.model().tensors().iter().filter(|tensor| tensor.role == Role::Weight) {
        weight[tensor.range.clone()].fill(norm(&theta[tensor.range.clone()]));
    }
    weighted_trace("layer_normalised_trace", place, &weight, options)
}

impl Measure for LayerNormalisedTrace {
    fn id(&self) -> &'static str {
        "layer_normalised_trace"
    }

    fn summary(&self) -> &'static str {
        "trace of each layer's Hessian block times the squared norm of its weights, summed"
    }

    fn source(&self) -> &'static str {
        "Tsuzuku et al. 2020"
    }

    fn description(&self) -> Option<&'static Description> {
        Some(&Description {
            formula: "sum_l |W_l|_F^2 tr H_ll, H_ll the block of the weights of layer l",
            notes: "Weights only: no biases, no parameters of batch norms.",
            unit: "units of the loss",
            use_for: "a trace that layer scaling does not change",
            not_for: "scalings of single hidden units, which change it",
            cost: "piecewise linear networks: one backward pass per logit and no product; others: one product per parameter up to `dense_limit` parameters, beyond that `product_budget` products",
            options: &["trace", "dense_limit", "product_budget", "seed"],
            refuses: "a trace or standard error that is not finite",
            sources: &[references::TSUZUKU_2020],
        })
    }

    fn responses(&self) -> Responses {
        Responses { layer_scaling: Response::Invariant, ..Responses::OF_CURVATURE }
    }

    fn evaluate(&self, point: &Point, options: &Options) -> Result<Estimate, FlatnessError> {
        normalised(&Place::at(point), options)
    }

    fn predict(&self, point: &Point, action: &Action, options: &Options) -> Option<Result<Estimate, FlatnessError>> {
        Some(normalised(&Place::transported(point, action), options))
    }

    fn on_dense(&self, dense: &DensePoint, _options: &Options) -> Option<f64> {
        let mut total = 0.0;
        for tensor in dense.objective.model.tensors().iter().filter(|tensor| tensor.role == Role::Weight) {
            let length = dense.theta[tensor.range.clone()].iter().fold(0.0, |sum, w| f64::hypot(sum, *w));
            total += length * tensor.range.clone().map(|i| dense.hessian[[i, i]]).sum::<f64>() * length;
        }
        Some(total)
    }

    fn summands(&self, dense: &DensePoint, _options: &Options) -> f64 {
        let weights = dense.objective.model.tensors().iter().filter(|tensor| tensor.role == Role::Weight);
        let of_layer = |range: std::ops::Range<usize>| {
            let length = norm(&dense.theta[range.clone()]);
            range.map(|i| length * dense.magnitude[[i, i]] * length).sum::<f64>()
        };
        weights.map(|tensor| of_layer(tensor.range.clone())).sum()
    }
}
