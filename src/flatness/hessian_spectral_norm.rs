//! Spectral norm of the Hessian.

use crate::description::{Description, references};
use crate::flatness::hessian_max_eigenvalue::outermost;
use crate::flatness::lanczos::End;
use crate::flatness::place::Place;
use crate::flatness::{DensePoint, FlatnessError, Measure, Options, Point, Responses};
use crate::numeric::{Estimate, linalg};
use crate::rescale::Action;

/// `max_i |lambda_i(H)|`, by Lanczos; `info` has the eigenvalue with its sign.
pub(super) struct HessianSpectralNorm;

fn norm(place: &Place, options: &Options) -> Result<Estimate, FlatnessError> {
    let mut estimate = outermost("hessian_spectral_norm", place, End::Magnitude, options)?;
    estimate.info.set("eigenvalue", estimate.value);
    estimate.value = estimate.value.abs();
    Ok(estimate)
}

impl Measure for HessianSpectralNorm {
    fn id(&self) -> &'static str {
        "hessian_spectral_norm"
    }

    fn summary(&self) -> &'static str {
        "largest absolute eigenvalue of the Hessian"
    }

    fn source(&self) -> &'static str {
        "Lanczos 1950; as a measure of sharpness: Dinh et al. 2017"
    }

    fn description(&self) -> Option<&'static Description> {
        Some(&Description {
            formula: "|H|_2 = max_i |lambda_i(H)|",
            notes: "By Lanczos at both ends of the spectrum; `info` has the eigenvalue with its sign.",
            unit: "units of the loss",
            use_for: "the steepest curvature, up or down",
            not_for: "comparing networks with different parametrisations",
            cost: "some tens of products, at most about 20,000",
            options: &["tolerance", "seed"],
            refuses: "as `hessian_max_eigenvalue`",
            sources: &[references::LANCZOS_1950, references::DINH_2017],
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
        let eigenvalues = linalg::symmetric_eigenvalues(dense.hessian.view());
        Some(eigenvalues.iter().fold(0.0, |top, value| f64::max(top, value.abs())))
    }

    /// An eigenvalue is off by at most the spectral norm of the errors of what is added up (Weyl).
    fn summands(&self, dense: &DensePoint, _options: &Options) -> f64 {
        dense.magnitude_norm()
    }
}
