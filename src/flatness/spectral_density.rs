//! Density of the Hessian's eigenvalues.

use crate::description::{Description, references};
use crate::flatness::place::Place;
use crate::flatness::quadrature::{gaussian_mixture, spectral_measure};
use crate::flatness::{DensePoint, FlatnessError, Measure, Options, Point, Responses};
use crate::numeric::{Estimate, Streams, linalg};
use crate::rescale::Action;

/// Points at which the density is listed.
const POINTS: usize = 201;
/// Lanczos steps from each probe.
const STEPS: usize = 64;
/// Least range: the density of a narrower spectrum, a Hessian that is 0 among them, would be beyond f64.
const LEAST_RANGE: f64 = 1e-300;

/// The density `phi(t)` of eigenvalues; the value is its first absolute moment, the mean absolute eigenvalue
/// `1/P sum_i |lambda_i| = int |t| phi(t) dt`.
///
/// `info` lists the density itself (`density` at `points`, it integrates to 1), each eigenvalue or quadrature
/// node widened to a Gaussian of standard deviation `width`, a hundredth of the spectrum's range (at least 1e-302: a
/// narrower one is a point mass to f64, and is listed that wide). All
/// eigenvalues are computed up to [`Options::dense_limit`] parameters; beyond that it is stochastic Lanczos
/// quadrature.
pub(super) struct SpectralDensity;

fn density(place: &Place, options: &Options) -> Result<Estimate, FlatnessError> {
    let measure = "spectral_density";
    let mut info = place.info();
    let (value, error, nodes) = match place.dense_hessian(measure, options)? {
        Some(matrix) => {
            if let Some(value) = matrix.iter().find(|entry| !entry.is_finite()) {
                return Err(FlatnessError::NotFinite { measure, what: "an entry of the Hessian", value: *value });
            }
            let eigenvalues = linalg::symmetric_eigenvalues(matrix.view());
            let share = 1.0 / eigenvalues.len() as f64;
            info.set("method", "eigenvalues");
            let value = eigenvalues.iter().map(|value| share * value.abs()).sum();
            (value, None, eigenvalues.into_iter().map(|value| (value, share)).collect::<Vec<_>>())
        }
        None => {
            let probes = (options.product_budget / STEPS).max(2);
            let spectrum = spectral_measure(&*place.hessian(), probes, STEPS, Streams::new(options.seed))
                .map_err(|error| error.of(measure))?;
            let (total, error) = spectrum.trace_of(f64::abs);
            if !total.is_finite() {
                return Err(FlatnessError::NotFinite { measure, what: "a Ritz value", value: total });
            }
            info = info
                .with("method", "quadrature")
                .with("products", spectrum.products)
                .with("probes", probes)
                .with("steps", STEPS)
                .with("change_from_half_the_steps", spectrum.change_from_half_the_steps(f64::abs));
            let parameters = place.theta().len() as f64;
            (total / parameters, Some(error / parameters), spectrum.nodes())
        }
    };
    let low = nodes.iter().map(|(node, _)| *node).fold(f64::INFINITY, f64::min);
    let high = nodes.iter().map(|(node, _)| *node).fold(f64::NEG_INFINITY, f64::max);
    // A single eigenvalue has no range: its own size is the unit then.
    let range = (if high > low { high - low } else { high.abs() }).max(LEAST_RANGE);
    if !range.is_finite() {
        return Err(FlatnessError::NotFinite { measure, what: "the range of the spectrum", value: range });
    }
    let width = range / 100.0;
    let points: Vec<f64> =
        (0..POINTS).map(|k| low - 0.05 * range + 1.1 * range * k as f64 / (POINTS - 1) as f64).collect();
    let info =
        info.with("density", gaussian_mixture(&nodes, &points, width)).with("points", points).with("width", width);
    Ok(Estimate { value, std_error: error, error_bound: 0.0, info })
}

impl Measure for SpectralDensity {
    fn id(&self) -> &'static str {
        "spectral_density"
    }

    fn summary(&self) -> &'static str {
        "density of the Hessian's eigenvalues; the value is the mean absolute eigenvalue"
    }

    fn source(&self) -> &'static str {
        "Ghorbani et al. 2019; Ubaru et al. 2017"
    }

    fn description(&self) -> Option<&'static Description> {
        Some(&Description {
            formula: "(1 / P) sum_i |lambda_i(H)| = int |t| phi(t) dt, phi(t) = (1 / P) sum_i N(t; lambda_i, width^2) for width -> 0, P parameters",
            notes: "The value is the mean absolute eigenvalue; `info` lists the density itself at 201 points, widened by a hundredth of its range.",
            unit: "units of the loss",
            use_for: "the whole spectrum",
            not_for: "comparing networks with different parametrisations",
            cost: "one product per parameter and all eigenvalues up to `dense_limit` parameters, beyond that `product_budget` products (64 per probe)",
            options: &["dense_limit", "product_budget", "seed"],
            refuses: "entries, eigenvalues or a range that are not finite; more than 16,384 parameters with a larger `dense_limit`",
            sources: &[references::GHORBANI_2019, references::UBARU_2017],
        })
    }

    fn responses(&self) -> Responses {
        Responses::OF_CURVATURE
    }

    fn evaluate(&self, point: &Point, options: &Options) -> Result<Estimate, FlatnessError> {
        density(&Place::at(point), options)
    }

    fn predict(&self, point: &Point, action: &Action, options: &Options) -> Option<Result<Estimate, FlatnessError>> {
        Some(density(&Place::transported(point, action), options))
    }

    fn on_dense(&self, dense: &DensePoint, _options: &Options) -> Option<f64> {
        let eigenvalues = linalg::symmetric_eigenvalues(dense.hessian.view());
        Some(eigenvalues.iter().map(|value| value.abs()).sum::<f64>() / eigenvalues.len() as f64)
    }

    /// An eigenvalue is off by at most the spectral norm of the errors of what is added up (Weyl).
    fn summands(&self, dense: &DensePoint, _options: &Options) -> f64 {
        dense.magnitude_norm()
    }
}
