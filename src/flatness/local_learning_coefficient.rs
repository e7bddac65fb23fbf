//! Local learning coefficient (Lau et al. 2023).

use crate::description::{Description, references};
use crate::flatness::langevin::{Length, Potential, Target, adjusted_chains, stochastic_chains};
use crate::flatness::noise::mean_and_error;
use crate::flatness::options::{Sampler, at_least, non_negative, positive};
use crate::flatness::place::Place;
use crate::flatness::{FlatnessError, Measure, Options, Point, Response, Responses};
use crate::model::Objective;
use crate::numeric::{Estimate, Streams};
use crate::rescale::Action;
use ndarray::Axis;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;

/// `n beta (E_beta[L(w)] - L(theta))`, the mean over `exp(-n beta L(w) - gamma/2 |w - theta|^2)` at `beta = 1 / log n`
/// ([`Options::inverse_temperature`]) with `gamma` = [`Options::localisation`].
///
/// It estimates the learning coefficient (real log canonical threshold) of the loss at `theta`: `d/2` for a regular
/// model with `d` parameters, less for a singular one. The mean is that of several chains, the standard error the
/// one between them; `info` has their means, acceptance rates, and the drift from their first to their second
/// halves in standard errors, which is large where chains have not settled. It is negative where `theta` is far from a
/// minimum, and the localisation ties its value to the parametrisation.
pub(super) struct LocalLearningCoefficient;

/// The loss, whole or from minibatches.
struct Data<'p, 'a> {
    objective: &'p Objective<'a>,
    batch: usize,
}

impl Potential for Data<'_, '_> {
    fn gradient(&self, w: &[f64]) -> (f64, Vec<f64>) {
        self.objective.gradient(w)
    }

    fn noisy_gradient(&self, w: &[f64], generator: &mut ChaCha8Rng) -> (f64, Vec<f64>) {
        let n = self.objective.sample_count();
        let rows = sample(generator, n, self.batch.min(n)).into_vec();
        let inputs = self.objective.inputs.select(Axis(0), &rows);
        let targets = self.objective.targets.select(Axis(0), &rows);
        Objective { inputs: inputs.view(), targets: targets.view(), ..*self.objective }.gradient(w)
    }
}

fn coefficient(place: &Place, options: &Options) -> Result<Estimate, FlatnessError> {
    let measure = "local_learning_coefficient";
    let objective = place.point.objective();
    if objective.sample_count() < 2 {
        let reason = "there is 1 sample, and its temperature log n is 0".to_owned();
        return Err(FlatnessError::NotApplicable { measure, reason });
    }
    let n = objective.sample_count() as f64;
    let beta = positive(
        measure,
        "inverse_temperature",
        options.inverse_temperature.unwrap_or(1.0 / (n.ln() * objective.scale)),
    )?;
    let localisation = non_negative(measure, "localisation", options.localisation)?;
    let chains = at_least(measure, "chain_count", options.chain_count, 2, "at least 2")?;
    let steps = at_least(measure, "chain_length", options.chain_length, 6, "at least 6")?;
    let batch = at_least(measure, "batch_size", options.batch_size, 1, "at least 1")?;
    let ones = || vec![1.0; place.theta().len()];
    let target = Target {
        potential: &Data { objective, batch },
        weight: n * beta,
        centre: place.point.theta(),
        precision: &place.pull_with(ones(), |_, scale| localisation * scale * scale),
        metric: &place.pull_with(ones(), |_, scale| 1.0 / (scale * scale)),
        unit_step: &|normal| place.pull(normal),
    };
    let length = Length { burn_in: steps / 3, kept: steps - steps / 3 };
    let streams = Streams::new(options.seed);
    let reports = match options.sampler {
        Sampler::Mala => adjusted_chains(&target, chains, length, streams),
        Sampler::Sgld => {
            let step = positive(measure, "step_size", options.step_size)?;
            stochastic_chains(&target, chains, length, step, streams)
        }
    };
    let start = place.point.linearisation.value();
    let value_of = |mean: f64| n * beta * (mean - start);
    let values: Vec<f64> = reports.iter().map(|report| value_of(report.mean)).collect();
    let (value, error) = mean_and_error(&values);
    if !(value.is_finite() && error.is_finite()) {
        return Err(FlatnessError::NotFinite { measure, what: "the mean loss of the chains", value });
    }
    let drifts: Vec<f64> =
        reports.iter().map(|report| value_of(report.halves[1]) - value_of(report.halves[0])).collect();
    let (drift, drift_error) = mean_and_error(&drifts);
    let info = place
        .info()
        .with("chain_values", values)
        .with("acceptance", reports.iter().map(|report| report.acceptance).collect::<Vec<_>>())
        .with("step", reports.iter().map(|report| report.step).collect::<Vec<_>>())
        .with("drift", if drift_error > 0.0 { drift / drift_error } else { 0.0 })
        .with("inverse_temperature", beta)
        .with("kept_steps", length.kept);
    Ok(Estimate::stochastic(value, error, info))
}

impl Measure for LocalLearningCoefficient {
    fn id(&self) -> &'static str {
        "local_learning_coefficient"
    }

    fn summary(&self) -> &'static str {
        "local learning coefficient from Langevin chains"
    }

    fn source(&self) -> &'static str {
        "Lau et al. 2023; Watanabe 2013"
    }

    fn description(&self) -> Option<&'static Description> {
        Some(&Description {
            formula: "n beta (E[L(w)] - L(theta)), w ~ exp(-n beta L(w) - (gamma / 2) |w - theta|^2), beta = inverse_temperature, gamma = localisation, n samples",
            notes: "Half the number of parameters for a regular model, less for a singular one. The standard error is that between chains; `drift` in `info` is large where they have not settled. Negative where theta is far from a minimum.",
            unit: "none",
            use_for: "how singular a minimum is",
            not_for: "quick answers, and points that are no minimum",
            cost: "no products; `chain_count` x `chain_length` gradients, of mini-batches for sgld",
            options: &[
                "inverse_temperature",
                "localisation",
                "sampler",
                "chain_count",
                "chain_length",
                "step_size",
                "batch_size",
                "seed",
            ],
            refuses: "a single sample; fewer than 2 chains or 6 steps; `batch_size` of 0; `inverse_temperature` or (sgld) `step_size` of 0 or below, `localisation` below 0; chains that leave the range of f64",
            sources: &[references::LAU_2023, references::WATANABE_2013],
        })
    }

    fn responses(&self) -> Responses {
        Responses {
            layer_scaling: Response::Statistical,
            neuron_scaling: Response::Statistical,
            permutation: Response::Statistical,
        }
    }

    fn is_stochastic(&self) -> bool {
        true
    }

    fn evaluate(&self, point: &Point, options: &Options) -> Result<Estimate, FlatnessError> {
        coefficient(&Place::at(point), options)
    }

    fn predict(&self, point: &Point, action: &Action, options: &Options) -> Option<Result<Estimate, FlatnessError>> {
        Some(coefficient(&Place::transported(point, action), options))
    }

    /// Only `beta L` enters.
    fn at_loss_scale(&self, value: f64, _factor: f64, _point: &Point, _options: &Options) -> f64 {
        value
    }
}
