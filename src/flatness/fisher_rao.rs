//! Fisher-Rao norm (Liang et al. 2017).

use crate::description::{Description, references};
use crate::flatness::place::Place;
use crate::flatness::{DensePoint, FlatnessError, Measure, Options, Point, Responses};
use crate::model::Loss;
use crate::numeric::Estimate;
use crate::numeric::linalg::dot;
use crate::rescale::Action;

/// `theta^T F theta`, `F` the Fisher information: the Gauss-Newton matrix for `bce` and `ce`, half of it for `mse`,
/// read as Gaussian noise of unit variance. One product.
pub(super) struct FisherRao;

/// `F` in units of the Gauss-Newton matrix.
fn share(loss: Loss) -> f64 {
    match loss {
        Loss::Bce | Loss::Ce => 1.0,
        Loss::Mse => 0.5,
    }
}

fn norm(place: &Place) -> Result<Estimate, FlatnessError> {
    let image = place.gauss_newton().product(place.theta());
    let shares = place.model().tensors().iter().map(|tensor| {
        let range = tensor.range.clone();
        share(place.point.objective().loss) * dot(&place.theta()[range.clone()], &image[range])
    });
    let shares: Vec<f64> = shares.collect();
    let value: f64 = shares.iter().sum();
    if !value.is_finite() {
        return Err(FlatnessError::NotFinite { measure: "fisher_rao", what: "the norm", value });
    }
    Ok(Estimate::deterministic(value, place.info().with("tensor_shares", shares)))
}

impl Measure for FisherRao {
    fn id(&self) -> &'static str {
        "fisher_rao"
    }

    fn summary(&self) -> &'static str {
        "Fisher-Rao norm theta^T F theta"
    }

    fn source(&self) -> &'static str {
        "Liang et al. 2017"
    }

    fn description(&self) -> Option<&'static Description> {
        Some(&Description {
            formula: "theta^T F theta, F = G for bce and ce, F = G / 2 for mse",
            notes: "F is the Fisher information of the labels under the network's own predictions. For mse these are Gaussian with unit variance, whose negative log-likelihood is half of the loss here: hence the factor.",
            unit: "none",
            use_for: "a norm of the parameters that no rescaling changes",
            not_for: "-",
            cost: "one product with the Gauss-Newton matrix",
            options: &[],
            refuses: "a norm that is not finite",
            sources: &[references::LIANG_2017],
        })
    }

    fn responses(&self) -> Responses {
        Responses::INVARIANT
    }

    fn evaluate(&self, point: &Point, _options: &Options) -> Result<Estimate, FlatnessError> {
        norm(&Place::at(point))
    }

    fn predict(&self, point: &Point, action: &Action, _options: &Options) -> Option<Result<Estimate, FlatnessError>> {
        Some(norm(&Place::transported(point, action)))
    }

    fn on_dense(&self, dense: &DensePoint, _options: &Options) -> Option<f64> {
        let mut total = 0.0;
        for (i, row) in dense.gauss_newton.outer_iter().enumerate() {
            total += dense.theta[i] * row.iter().zip(&dense.theta).map(|(g, theta)| g * theta).sum::<f64>();
        }
        Some(share(dense.objective.loss) * total)
    }

    fn summands(&self, dense: &DensePoint, _options: &Options) -> f64 {
        let rows = dense.magnitude.outer_iter().zip(&dense.theta);
        let sizes = rows.map(|(row, theta)| {
            theta.abs() * row.iter().zip(&dense.theta).map(|(size, theta)| size * theta.abs()).sum::<f64>()
        });
        share(dense.objective.loss) * sizes.sum::<f64>()
    }
}
