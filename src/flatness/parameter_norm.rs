//! Length of the parameter vector.

use crate::description::{Description, references};
use crate::flatness::place::Place;
use crate::flatness::{DensePoint, FlatnessError, Measure, Options, Point, Response, Responses};
use crate::numeric::Estimate;
use crate::numeric::linalg;
use crate::rescale::Action;

/// `|theta|_2` of all parameters; `info` has the norm of each tensor.
pub(super) struct ParameterNorm;

fn norm(place: &Place) -> Result<Estimate, FlatnessError> {
    let value = linalg::norm(place.theta());
    if !value.is_finite() {
        return Err(FlatnessError::NotFinite { measure: "parameter_norm", what: "the norm", value });
    }
    let norms: Vec<f64> =
        place.model().tensors().iter().map(|tensor| linalg::norm(&place.theta()[tensor.range.clone()])).collect();
    Ok(Estimate::deterministic(value, place.info().with("tensor_norms", norms)))
}

impl Measure for ParameterNorm {
    fn id(&self) -> &'static str {
        "parameter_norm"
    }

    fn summary(&self) -> &'static str {
        "Euclidean norm of the parameters"
    }

    fn source(&self) -> &'static str {
        "Bartlett 1998; Neyshabur et al. 2015"
    }

    fn description(&self) -> Option<&'static Description> {
        Some(&Description {
            formula: "|theta|_2 = (sum_i theta_i^2)^(1/2)",
            notes: "Of all parameters; `info` has the norm of each tensor. It knows neither data nor loss.",
            unit: "none",
            use_for: "a baseline",
            not_for: "comparing networks with different parametrisations",
            cost: "no products and no pass",
            options: &[],
            refuses: "a norm that is not finite",
            sources: &[references::BARTLETT_1998, references::NEYSHABUR_2015],
        })
    }

    fn responses(&self) -> Responses {
        Responses {
            layer_scaling: Response::Changes,
            neuron_scaling: Response::Changes,
            permutation: Response::Invariant,
        }
    }

    fn evaluate(&self, point: &Point, _options: &Options) -> Result<Estimate, FlatnessError> {
        norm(&Place::at(point))
    }

    fn predict(&self, point: &Point, action: &Action, _options: &Options) -> Option<Result<Estimate, FlatnessError>> {
        Some(norm(&Place::transported(point, action)))
    }

    fn on_dense(&self, dense: &DensePoint, _options: &Options) -> Option<f64> {
        Some(dense.theta.iter().fold(0.0, |sum, theta| f64::hypot(sum, *theta)))
    }

    /// It knows no loss.
    fn at_loss_scale(&self, value: f64, _factor: f64, _point: &Point, _options: &Options) -> f64 {
        value
    }
}
