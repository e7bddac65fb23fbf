//! Local entropy (Chaudhari et al. 2017).

use crate::description::{Description, references};
use crate::flatness::noise::{Noise, mean_and_error};
use crate::flatness::options::positive;
use crate::flatness::place::Place;
use crate::flatness::{FlatnessError, Measure, Options, Point, Response, Responses};
use crate::numeric::Estimate;
use crate::rescale::Action;

/// `log E exp(-beta L(theta'))` over `theta' ~ N(theta, I / gamma)`, in nats: Entropy-SGD's local entropy
/// `log int exp(-beta L(theta') - gamma/2 |theta' - theta|^2) d theta'` up to the constant `P/2 log(2 pi / gamma)`. Larger is
/// flatter. [`Options::inverse_temperature`] is 1 unless given.
///
/// The mean is over [`Options::perturbation_count`] perturbations in pairs `xi, -xi`; the logarithm of a mean over `m` pairs is low
/// by about half its variance, which `info` gives as `bias`.
pub(super) struct LocalEntropy;

fn entropy(place: &Place, options: &Options) -> Result<Estimate, FlatnessError> {
    let measure = "local_entropy";
    let gamma = positive(measure, "entropy_precision", options.entropy_precision)?;
    let objective = place.point.objective();
    let beta = positive(measure, "inverse_temperature", options.inverse_temperature.unwrap_or(1.0 / objective.scale))?;
    let noise = Noise::draw(measure, place, false, options)?;
    let exponents: Vec<(f64, f64)> = noise.evaluate(gamma.sqrt().recip(), |theta| -beta * objective.value(theta));
    let top = exponents.iter().fold(f64::NEG_INFINITY, |top, (plus, minus)| top.max(*plus).max(*minus));
    let weights: Vec<f64> =
        exponents.iter().map(|(plus, minus)| 0.5 * ((plus - top).exp() + (minus - top).exp())).collect();
    let (mean, error) = mean_and_error(&weights);
    let value = top + mean.ln();
    if !value.is_finite() {
        return Err(FlatnessError::NotFinite { measure, what: "the log mean", value });
    }
    let relative = error / mean;
    let info = (place.info())
        .with("inverse_temperature", beta)
        .with("entropy_precision", gamma)
        .with("perturbation_count", 2 * noise.pairs())
        .with("bias", -0.5 * relative * relative);
    Ok(Estimate::stochastic(value, relative, info))
}

impl Measure for LocalEntropy {
    fn id(&self) -> &'static str {
        "local_entropy"
    }

    fn summary(&self) -> &'static str {
        "log mean of exp(-loss) over Gaussian noise (larger is flatter)"
    }

    fn source(&self) -> &'static str {
        "Chaudhari et al. 2017"
    }

    fn description(&self) -> Option<&'static Description> {
        Some(&Description {
            formula: "log E[exp(-beta L(theta + xi))], xi ~ N(0, I / gamma), beta = inverse_temperature, gamma = entropy_precision",
            notes: "Larger is flatter. The local entropy of Entropy-SGD up to the constant (P / 2) log(2 pi / gamma), P parameters. The logarithm of a mean is low by about half its variance, which `info` gives as `bias`.",
            unit: "nats",
            use_for: "the mean loss around the parameters rather than its maximum",
            not_for: "comparing networks with different parametrisations",
            cost: "no products; `perturbation_count` evaluations of the loss",
            options: &["entropy_precision", "inverse_temperature", "perturbation_count", "seed"],
            refuses: "`entropy_precision` or `inverse_temperature` of 0 or below; `perturbation_count` below 4; a mean that is not finite",
            sources: &[references::CHAUDHARI_2017],
        })
    }

    fn responses(&self) -> Responses {
        Responses {
            layer_scaling: Response::Changes,
            neuron_scaling: Response::Changes,
            permutation: Response::Statistical,
        }
    }

    fn is_stochastic(&self) -> bool {
        true
    }

    fn evaluate(&self, point: &Point, options: &Options) -> Result<Estimate, FlatnessError> {
        entropy(&Place::at(point), options)
    }

    fn predict(&self, point: &Point, action: &Action, options: &Options) -> Option<Result<Estimate, FlatnessError>> {
        Some(entropy(&Place::transported(point, action), options))
    }

    /// Only `beta L` enters.
    fn at_loss_scale(&self, value: f64, _factor: f64, _point: &Point, _options: &Options) -> f64 {
        value
    }
}
