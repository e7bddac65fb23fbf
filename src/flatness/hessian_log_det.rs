//! Log determinant of the shifted Hessian.

use crate::description::{Description, references};
use crate::flatness::hessian_max_eigenvalue::outermost;
use crate::flatness::lanczos::End;
use crate::flatness::options::positive;
use crate::flatness::place::Place;
use crate::flatness::quadrature::spectral_measure;
use crate::flatness::{DensePoint, FlatnessError, Measure, Options, Point, Responses};
use crate::numeric::linalg::{self, Cholesky};
use crate::numeric::{Estimate, Streams};
use crate::rescale::Action;

/// Lanczos steps from each probe of the quadrature.
const STEPS: usize = 64;

/// `log det(H + c I)`, in nats: by a Cholesky factorisation up to [`Options::dense_limit`] parameters, beyond that
/// by stochastic Lanczos quadrature, whose standard error does not hold the quadrature's own error (it falls
/// exponentially with the steps at a rate of about `sqrt(c / lambda_max)`).
///
/// It does not apply where `H + c I` is not positive definite; the error then names the smallest eigenvalue.
pub(super) struct HessianLogDet;

fn log_det(place: &Place, options: &Options) -> Result<Estimate, FlatnessError> {
    let measure = "hessian_log_det";
    let c = positive(measure, "log_det_shift", options.log_det_shift)?;
    let smallest = || Ok::<_, FlatnessError>(outermost(measure, place, End::Smallest, options)?.value);
    let indefinite = |smallest: f64| FlatnessError::NotApplicable {
        measure,
        reason: format!("H + c I is not positive definite: the smallest eigenvalue of H is {smallest:e}, c is {c:e}"),
    };
    if let Some(mut matrix) = place.dense_hessian(measure, options)? {
        matrix.diag_mut().iter_mut().for_each(|entry| *entry += c);
        return match Cholesky::new(matrix) {
            Ok(cholesky) => Ok(Estimate::deterministic(cholesky.log_det(), place.info().with("method", "cholesky"))),
            Err(_) => Err(indefinite(smallest()?)),
        };
    }
    let smallest = smallest()?;
    if !(smallest + c > 0.0) {
        return Err(indefinite(smallest));
    }
    let probes = (options.product_budget / STEPS).max(2);
    let spectrum = spectral_measure(&*place.hessian(), probes, STEPS, Streams::new(options.seed))
        .map_err(|error| error.of(measure))?;
    // Ritz values lie between the extreme eigenvalues but for rounding.
    let log = |t: f64| (t.max(smallest) + c).ln();
    let (value, error) = spectrum.trace_of(log);
    let info = (place.info())
        .with("method", "quadrature")
        .with("products", spectrum.products)
        .with("probes", probes)
        .with("steps", STEPS)
        .with("change_from_half_the_steps", spectrum.change_from_half_the_steps(log))
        .with("smallest_eigenvalue", smallest);
    Ok(Estimate::stochastic(value, error, info))
}

impl Measure for HessianLogDet {
    fn id(&self) -> &'static str {
        "hessian_log_det"
    }

    fn summary(&self) -> &'static str {
        "log determinant of H + c I"
    }

    fn source(&self) -> &'static str {
        "MacKay 1992 (Occam factor); quadrature: Ubaru et al. 2017"
    }

    fn description(&self) -> Option<&'static Description> {
        Some(&Description {
            formula: "log det(H + c I) = sum_i log(lambda_i(H) + c), c = log_det_shift",
            notes: "Minus twice the log-volume, up to a constant, of the quadratic basin. Beyond `dense_limit` parameters by stochastic Lanczos quadrature, whose standard error does not hold the quadrature's own error.",
            unit: "nats",
            use_for: "the volume of a basin; the Occam factor of the evidence",
            not_for: "points that are no minimum: the Hessian must be above -c",
            cost: "one product per parameter and a Cholesky factorisation up to `dense_limit` parameters; beyond that `product_budget` products (64 per probe) and those for the smallest eigenvalue",
            options: &["log_det_shift", "dense_limit", "product_budget", "tolerance", "seed"],
            refuses: "`log_det_shift` of 0 or below; H + c I not positive definite (the error names the smallest eigenvalue); more than 16,384 parameters with a larger `dense_limit`",
            sources: &[references::MACKAY_1992, references::UBARU_2017],
        })
    }

    fn responses(&self) -> Responses {
        Responses::OF_CURVATURE
    }

    fn evaluate(&self, point: &Point, options: &Options) -> Result<Estimate, FlatnessError> {
        log_det(&Place::at(point), options)
    }

    fn predict(&self, point: &Point, action: &Action, options: &Options) -> Option<Result<Estimate, FlatnessError>> {
        Some(log_det(&Place::transported(point, action), options))
    }

    fn on_dense(&self, dense: &DensePoint, options: &Options) -> Option<f64> {
        let eigenvalues = linalg::symmetric_eigenvalues(dense.hessian.view());
        let definite = eigenvalues.first().is_some_and(|smallest| smallest + options.log_det_shift > 0.0);
        definite.then(|| eigenvalues.iter().map(|value| (value + options.log_det_shift).ln()).sum())
    }

    /// `sum_i |log(lambda_i + c)| + delta / (lambda_i + c)`, `delta` the scale of an eigenvalue's error.
    fn summands(&self, dense: &DensePoint, options: &Options) -> f64 {
        let delta = dense.magnitude_norm();
        let eigenvalues = linalg::symmetric_eigenvalues(dense.hessian.view());
        let shifted = eigenvalues.iter().map(|value| value + options.log_det_shift).filter(|value| *value > 0.0);
        shifted.map(|value| value.ln().abs() + delta / value).sum()
    }

    /// `log det(k H + k c I) = log det(H + c I) + P log k`.
    fn at_loss_scale(&self, value: f64, factor: f64, point: &Point, _options: &Options) -> f64 {
        value + point.theta().len() as f64 * factor.ln()
    }
}
