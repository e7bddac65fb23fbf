//! Largest eigenvalue of the Hessian.

use crate::flatness::curvature::{Hessian, SymmetricOperator, Transported};
use crate::flatness::lanczos::{Eigenpairs, End, Lanczos, LanczosError};
use crate::flatness::{DensePoint, FlatnessError, Measure, Options, Point, Response, Responses};
use crate::numeric::{Estimate, linalg};
use crate::rescale::Action;

/// `lambda_max(H)`, by Lanczos with full reorthogonalisation; `info` holds the residual, within which of
/// the value an eigenvalue is certain to lie.
pub(super) struct HessianMaxEigenvalue;

impl HessianMaxEigenvalue {
    fn of(
        &self,
        operator: &dyn SymmetricOperator,
        point: &Point,
        options: &Options,
    ) -> Result<Estimate, FlatnessError> {
        let found = outermost(self.id(), operator, End::Largest, options)?;
        let info = point
            .info()
            .with("products", found.work.products)
            .with("restarts", found.work.restarts)
            .with("residual", found.pairs[0].residual);
        Ok(Estimate::deterministic(found.pairs[0].value, info))
    }
}

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

    fn responses(&self) -> Responses {
        Responses {
            layer_scaling: Response::Changes,
            neuron_scaling: Response::Changes,
            permutation: Response::Invariant,
        }
    }

    fn evaluate(&self, point: &Point, options: &Options) -> Result<Estimate, FlatnessError> {
        self.of(&Hessian(&point.linearisation), point, options)
    }

    fn predict(&self, point: &Point, action: &Action, options: &Options) -> Option<Result<Estimate, FlatnessError>> {
        let operator = Transported { operator: Hessian(&point.linearisation), action };
        Some(self.of(&operator, point, options))
    }

    fn on_dense(&self, dense: &DensePoint, _options: &Options) -> Option<f64> {
        linalg::symmetric_eigenvalues(dense.hessian.view()).last().copied()
    }
}

/// The outermost eigenpair at `end`, with errors that name the measure.
pub(super) fn outermost(
    measure: &'static str,
    operator: &dyn SymmetricOperator,
    end: End,
    options: &Options,
) -> Result<Eigenpairs, FlatnessError> {
    let settings = Lanczos { seed: options.seed, ..Lanczos::default() };
    settings.extreme(operator, end, 1).map_err(|error| match error {
        LanczosError::NotConverged { products, residual, wanted } => {
            FlatnessError::NotConverged { measure, iterations: products, residual, wanted }
        }
        LanczosError::NotFinite(value) => {
            FlatnessError::NotFinite { measure, what: "the norm of a Hessian product", value }
        }
    })
}
