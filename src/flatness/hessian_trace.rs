//! Trace of the Hessian.

use crate::flatness::curvature::{self, Hessian};
use crate::flatness::{DensePoint, FlatnessError, Measure, Options, Point, Response, Responses};
use crate::numeric::Estimate;
use crate::rescale::Action;

/// `tr H`, the sum of the Hessian's eigenvalues.
///
/// Where the network is piecewise linear, each layer's own second derivative of the logits vanishes, so
/// `tr H = tr G` exactly, a sum of squared norms of per-sample gradients: one backward pass a logit.
/// Elsewhere the diagonal is read off products with the basis vectors.
pub(super) struct HessianTrace;

impl Measure for HessianTrace {
    fn id(&self) -> &'static str {
        "hessian_trace"
    }

    fn summary(&self) -> &'static str {
        "trace of the Hessian of the loss"
    }

    fn source(&self) -> &'static str {
        "Dinh et al. 2017; trace estimators: Hutchinson 1990"
    }

    fn responses(&self) -> Responses {
        Responses {
            layer_scaling: Response::Changes,
            neuron_scaling: Response::Changes,
            permutation: Response::Invariant,
        }
    }

    fn evaluate(&self, point: &Point, _options: &Options) -> Result<Estimate, FlatnessError> {
        let model = point.model();
        let (method, traces) = if model.is_piecewise_linear() {
            ("gauss-newton", point.linearisation.gauss_newton_block_traces())
        } else {
            let diagonal = point.hessian_diagonal(self.id())?;
            let traces = model.tensors().iter().map(|tensor| diagonal[tensor.range.clone()].iter().sum()).collect();
            ("basis", traces)
        };
        let info = point.info().with("method", method).with("tensor_traces", traces.clone());
        Ok(Estimate::deterministic(traces.iter().sum(), info))
    }

    fn predict(&self, point: &Point, action: &Action, _options: &Options) -> Option<Result<Estimate, FlatnessError>> {
        Some(point.hessian_diagonal(self.id()).map(|diagonal| {
            let transported = action.transport_diagonal(&diagonal);
            Estimate::deterministic(transported.iter().sum(), point.info())
        }))
    }

    fn on_dense(&self, dense: &DensePoint, _options: &Options) -> Option<f64> {
        Some(dense.hessian.diag().sum())
    }
}

impl Point<'_> {
    /// The exact diagonal of the Hessian.
    pub(super) fn hessian_diagonal(&self, measure: &'static str) -> Result<Vec<f64>, FlatnessError> {
        if self.model().is_piecewise_linear() {
            return Ok(self.linearisation.gauss_newton_diagonal());
        }
        self.check_dense(measure)?;
        Ok(curvature::diagonal(&Hessian(&self.linearisation)))
    }
}
