//! Largest eigenvalue of the Hessian.

use crate::description::{Description, references};
use crate::flatness::lanczos::{End, LanczosError};
use crate::flatness::options::lanczos;
use crate::flatness::place::Place;
use crate::flatness::{DensePoint, FlatnessError, Measure, Options, Point, Responses};
use crate::numeric::{Estimate, linalg};
use crate::rescale::Action;

/// `lambda_max(H)`, by Lanczos with full reorthogonalisation; `info` holds the residual, within which of
/// the value an eigenvalue is certain to lie.
pub(super) struct HessianMaxEigenvalue;

impl Measure for HessianMaxEigenvalue {
    fn id(&self) -> &'static str {
        "hessian_max_eigenvalue"
    }

    fn summary(&self) -> &'static str {
        "largest eigenvalue of the Hessian"
    }

    fn source(&self) -> &'static str {
        "Lanczos 1950; as a measure of sharpness: Yao et al. 2018"
    }

    fn description(&self) -> Option<&'static Description> {
        Some(&Description {
            formula: "lambda_max(H)",
            notes: "By Lanczos with full reorthogonalisation; some eigenvalue lies within `residual` of the value, which is at most `tolerance` of it. The value itself is mostly as good as the square of that.",
            unit: "units of the loss",
            use_for: "the steepest curvature",
            not_for: "comparing networks with different parametrisations",
            cost: "some tens of products, at most about 20,000",
            options: &["tolerance", "seed"],
            refuses: "`tolerance` of 0 or below, or of 1 or above; no eigenvalue to a residual of `tolerance` of its size within that many products; products that are not finite",
            sources: &[references::LANCZOS_1950, references::YAO_2018],
        })
    }

    fn responses(&self) -> Responses {
        Responses::OF_CURVATURE
    }

    fn evaluate(&self, point: &Point, options: &Options) -> Result<Estimate, FlatnessError> {
        outermost(self.id(), &Place::at(point), End::Largest, options)
    }

    fn predict(&self, point: &Point, action: &Action, options: &Options) -> Option<Result<Estimate, FlatnessError>> {
        Some(outermost(self.id(), &Place::transported(point, action), End::Largest, options))
    }

    fn on_dense(&self, dense: &DensePoint, _options: &Options) -> Option<f64> {
        linalg::symmetric_eigenvalues(dense.hessian.view()).last().copied()
    }

    /// An eigenvalue is off by at most the spectral norm of the errors of what is added up (Weyl).
    fn summands(&self, dense: &DensePoint, _options: &Options) -> f64 {
        dense.magnitude_norm()
    }
}

/// The outermost eigenvalue of the Hessian at `end`.
pub(super) fn outermost(
    measure: &'static str,
    place: &Place,
    end: End,
    options: &Options,
) -> Result<Estimate, FlatnessError> {
    let found = lanczos(measure, options)?.extreme(&*place.hessian(), end, 1).map_err(|error| match error {
        LanczosError::NotConverged { products, residual, wanted } => {
            FlatnessError::NotConverged { measure, iterations: products, residual, wanted }
        }
        LanczosError::NotFinite(value) => {
            FlatnessError::NotFinite { measure, what: "the norm of a Hessian product", value }
        }
    })?;
    let pair = &found.pairs[0];
    let info = place
        .info()
        .with("products", found.work.products)
        .with("restarts", found.work.restarts)
        .with("residual", pair.residual);
    Ok(Estimate::deterministic(pair.value, info))
}
