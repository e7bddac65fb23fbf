//! Log-product of the largest eigenvalues of the Hessian (Wu, Zhu and E 2017).

use crate::description::{Description, references};
use crate::flatness::curvature;
use crate::flatness::lanczos::{End, LanczosError};
use crate::flatness::options::{at_least, lanczos};
use crate::flatness::place::Place;
use crate::flatness::{DENSE_REFUSAL, DensePoint, FlatnessError, Measure, Options, Point, Responses};
use crate::numeric::{Estimate, Info, linalg};
use crate::rescale::Action;

/// `sum_{i <= k} log lambda_i` (in nats), `lambda_1 >= lambda_2 >= ...` the eigenvalues of the Hessian and `k` from
/// [`Options::eigenvalue_count`]: minus twice the log-volume, up to a constant, of the basin of the quadratic approximation in its `k`
/// steepest directions.
///
/// It does not apply where fewer than `k` eigenvalues are positive, or where the `k`-th is so small that rounding may
/// have made it so; the error says how many are positive (a product of fewer factors would be another measure, not to
/// be compared with those of other networks). Eigenvalues are found by Lanczos: some true eigenvalue lies within its
/// residual of each, and `info` holds `residual_bound = sum_i residual_i / lambda_i`, to first order the error that this
/// leaves in the value.
///
/// A rescaling changes it, and not by any factor of the network alone: its definition on the transported Hessian says
/// to what.
pub(super) struct HessianLogProduct;

/// Least size of an eigenvalue, relative to the largest: each of a `parameters x parameters` matrix is right to this many
/// units of roundoff of its norm.
fn least_share(parameters: usize) -> f64 {
    parameters as f64 * f64::EPSILON
}

/// Parameters per wanted eigenvalue up to which all eigenvalues of the dense Hessian are found sooner than the wanted ones
/// by Lanczos, whose work grows fast with their number; limited by [`Options::dense_limit`].
const DENSE_SHARE: usize = 20;

/// How many of `values`, from the largest down, are certainly positive.
fn positive(values: &[f64], parameters: usize) -> usize {
    let least = values.first().map_or(0.0, |largest| least_share(parameters) * largest.max(0.0));
    values.iter().take_while(|value| **value > least).count()
}

fn log_product(place: &Place, options: &Options) -> Result<Estimate, FlatnessError> {
    let measure = "hessian_log_product";
    let k = at_least(measure, "eigenvalue_count", options.eigenvalue_count, 1, "at least 1")?;
    let parameters = place.theta().len();
    if k > parameters {
        let reason = format!("its Hessian has {parameters} eigenvalues, k is {k}");
        return Err(FlatnessError::NotApplicable { measure, reason });
    }
    let (values, found) = if parameters <= options.dense_limit.min(DENSE_SHARE * k).min(DENSE_REFUSAL) {
        let hessian = curvature::dense(&*place.hessian());
        if let Some(entry) = hessian.iter().copied().find(|entry| !entry.is_finite()) {
            return Err(FlatnessError::NotFinite { measure, what: "an entry of the Hessian", value: entry });
        }
        let mut values = linalg::symmetric_eigenvalues(hessian.view());
        values.reverse();
        (values, Info::new().with("method", "dense").with("products", parameters))
    } else {
        by_lanczos(measure, place, k, options)?
    };
    let count = positive(&values, parameters);
    if count < k {
        let reason = format!(
            "{count} eigenvalues of the Hessian are positive beyond rounding, k is {k} (the next one is {:e}, the largest \
             {:e})",
            values[count], values[0]
        );
        return Err(FlatnessError::NotApplicable { measure, reason });
    }
    let mut info = place.info().with("eigenvalue_count", k);
    info.merge(found);
    info.set("largest_eigenvalue", values[0]);
    info.set("smallest_eigenvalue", values[k - 1]);
    Ok(Estimate::deterministic(values[..k].iter().map(|value| value.ln()).sum(), info))
}

/// The `k` largest eigenvalues by Lanczos, with what is reported of it.
fn by_lanczos(
    measure: &'static str,
    place: &Place,
    k: usize,
    options: &Options,
) -> Result<(Vec<f64>, Info), FlatnessError> {
    let found =
        lanczos(measure, options)?.extreme(&*place.hessian(), End::Largest, k).map_err(|error| match error {
            LanczosError::NotConverged { products, residual, wanted } => {
                FlatnessError::NotConverged { measure, iterations: products, residual, wanted }
            }
            LanczosError::NotFinite(value) => {
                FlatnessError::NotFinite { measure, what: "the norm of a Hessian product", value }
            }
        })?;
    let info = Info::new()
        .with("method", "lanczos")
        .with("products", found.work.products)
        .with("restarts", found.work.restarts)
        .with("residual_bound", found.pairs.iter().map(|pair| pair.residual / pair.value).sum::<f64>());
    Ok((found.pairs.iter().map(|pair| pair.value).collect(), info))
}

impl Measure for HessianLogProduct {
    fn id(&self) -> &'static str {
        "hessian_log_product"
    }

    fn summary(&self) -> &'static str {
        "log of the product of the k largest eigenvalues of the Hessian"
    }

    fn source(&self) -> &'static str {
        "Wu, Zhu and E 2017"
    }

    fn description(&self) -> Option<&'static Description> {
        Some(&Description {
            formula: "sum_(i <= k) log lambda_i(H), lambda_1 >= lambda_2 >= ..., k = eigenvalue_count",
            notes: "Minus twice the log-volume, up to a constant, of the quadratic basin in its k steepest directions.",
            unit: "nats",
            use_for: "volumes of basins of networks with a singular Hessian",
            not_for: "networks with fewer than k positive curvatures; comparing different k",
            cost: "one product per parameter up to 20 k of them (and `dense_limit`), beyond that Lanczos: some hundred products",
            options: &["eigenvalue_count", "dense_limit", "tolerance", "seed"],
            refuses: "`eigenvalue_count` of 0 or above the number of parameters; `tolerance` of 0 or below, or of 1 or above; fewer than k eigenvalues that are positive beyond rounding; no convergence",
            sources: &[references::WU_2017],
        })
    }

    fn responses(&self) -> Responses {
        Responses::OF_CURVATURE
    }

    fn evaluate(&self, point: &Point, options: &Options) -> Result<Estimate, FlatnessError> {
        log_product(&Place::at(point), options)
    }

    fn predict(&self, point: &Point, action: &Action, options: &Options) -> Option<Result<Estimate, FlatnessError>> {
        Some(log_product(&Place::transported(point, action), options))
    }

    fn on_dense(&self, dense: &DensePoint, options: &Options) -> Option<f64> {
        let mut eigenvalues = linalg::symmetric_eigenvalues(dense.hessian.view());
        eigenvalues.reverse();
        let enough =
            options.eigenvalue_count > 0 && positive(&eigenvalues, eigenvalues.len()) >= options.eigenvalue_count;
        enough.then(|| eigenvalues[..options.eigenvalue_count].iter().map(|value| value.ln()).sum())
    }

    /// Every factor is in proportion to the loss.
    fn at_loss_scale(&self, value: f64, factor: f64, _point: &Point, options: &Options) -> f64 {
        value + options.eigenvalue_count as f64 * factor.ln()
    }
}
