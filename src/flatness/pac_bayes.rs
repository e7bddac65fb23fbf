//! PAC-Bayes noise levels (Neyshabur et al. 2017; Jiang et al. 2020).

use crate::description::{Description, references};
use crate::flatness::noise::Noise;
use crate::flatness::options::{Criterion, positive};
use crate::flatness::place::Place;
use crate::flatness::{FlatnessError, Measure, Options, Point, Response, Responses};
use crate::model::{Loss, Objective};
use crate::numeric::Estimate;
use crate::rescale::Action;

/// Noise levels searched.
const SMALLEST: f64 = 1e-12;
const LARGEST: f64 = 1e12;

/// `1 / sigma^2`, `sigma` the largest level such that at it and every level below (as far as the search sees) Gaussian
/// noise of standard deviation `sigma` (isotropic) or `sigma |theta_i|` (magnitude) raises the expected loss, or the
/// share of errors, by no more than [`Options::allowed_rise`].
///
/// The expectation is over [`Options::perturbation_count`] perturbations, the same at every level; the standard error is the
/// one of that mean, carried to `1 / sigma^2` through its slope. Parameters that are 0 get no noise of magnitude
/// 0; `info` says how many, and it is an error if all are.
pub(super) struct PacBayes {
    /// Whether the noise is in proportion to each parameter.
    pub magnitude: bool,
}

/// Share of misclassified samples.
fn error_rate(objective: &Objective, theta: &[f64]) -> f64 {
    let logits = objective.logits(theta);
    let wrong = logits.outer_iter().zip(objective.targets.column(0)).filter(|(logits, target)| {
        let label = if logits.len() == 1 {
            f64::from(u8::from(logits[0] > 0.0))
        } else {
            // The first of the largest.
            let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            logits.iter().position(|logit| *logit == top).unwrap_or(0) as f64
        };
        label != **target
    });
    wrong.count() as f64 / logits.nrows() as f64
}

impl PacBayes {
    fn level(&self, place: &Place, options: &Options) -> Result<Estimate, FlatnessError> {
        let measure = self.id();
        let bound = positive(measure, "allowed_rise", options.allowed_rise)?;
        let objective = place.point.objective();
        let zeros = place.theta().iter().filter(|theta| **theta == 0.0).count();
        if self.magnitude && zeros == place.theta().len() {
            return Err(FlatnessError::NotApplicable {
                measure,
                reason: format!("all {zeros} parameters are 0, so noise in proportion to them moves nothing"),
            });
        }
        if options.criterion == Criterion::Error && objective.loss == Loss::Mse {
            return Err(FlatnessError::NotApplicable {
                measure,
                reason: "mse has no misclassified samples".to_owned(),
            });
        }
        let cost = |theta: &[f64]| match options.criterion {
            Criterion::Loss => objective.value(theta),
            Criterion::Error => error_rate(objective, theta),
        };
        let start = cost(place.point.theta());
        if !start.is_finite() {
            return Err(FlatnessError::NotFinite { measure, what: "the loss", value: start });
        }
        let noise = Noise::draw(measure, place, self.magnitude, options)?;
        let mut evaluations = 0_usize;
        // A loss that overflows is above any bound.
        let mut excess = |level: f64| {
            evaluations += 1;
            let (mean, error) = noise.mean(level, cost);
            (if mean.is_nan() { f64::INFINITY } else { mean - start - bound }, error)
        };
        let (mut low, mut high) = (0.0, 1e-2);
        while excess(high).0 > 0.0 {
            high /= 2.0;
            if high < SMALLEST {
                let what = if options.criterion == Criterion::Loss { "loss" } else { "error" };
                let reason = format!("even noise of {SMALLEST:e} raises the expected {what} by more than {bound}");
                return Err(FlatnessError::NotApplicable { measure, reason });
            }
        }
        while excess(high).0 <= 0.0 {
            low = high;
            high *= 2.0;
            if high > LARGEST {
                let reason = format!("no noise up to {LARGEST:e} reaches the bound {bound}");
                return Err(FlatnessError::NotApplicable { measure, reason });
            }
        }
        let (precision, width) = match options.criterion {
            Criterion::Loss => (1e-13, 1e-3),
            // A share of errors is a step function of the level.
            Criterion::Error => (1e-4, 0.1),
        };
        let sigma = crossing(|level| excess(level).0, low, high, precision);
        let (above, below) = (excess(sigma * (1.0 + width)).0, excess(sigma * (1.0 - width)).0);
        let slope = (above - below) / (2.0 * width * sigma);
        let error = 2.0 * excess(sigma).1 / (slope.max(0.0) * sigma.powi(3));
        let value = 1.0 / (sigma * sigma);
        if !error.is_finite() {
            return Err(FlatnessError::NotFinite { measure, what: "the standard error", value: error });
        }
        let mut info = place
            .info()
            .with("sigma", sigma)
            .with("allowed_rise", bound)
            .with("perturbation_count", 2 * noise.pairs())
            .with("levels_tried", evaluations);
        if self.magnitude {
            info.set("zero_weights", zeros);
        }
        Ok(Estimate::stochastic(value, error, info))
    }
}

/// Where an increasing `f` crosses 0 between `low` (at or below) and `high` (above), to a relative `precision`: the
/// regula falsi with the Illinois correction, and bisection where that is slow.
fn crossing(mut f: impl FnMut(f64) -> f64, mut low: f64, mut high: f64, precision: f64) -> f64 {
    let (mut at_low, mut at_high) = (f(low), f(high));
    let mut last_side = 0;
    let mut width = high - low;
    for step in 0..200 {
        if high - low <= precision * high {
            break;
        }
        let secant = (low * at_high - high * at_low) / (at_high - at_low);
        // Every third step must have halved the interval.
        let slow = step % 3 == 2 && high - low > 0.5 * width;
        if step % 3 == 2 {
            width = high - low;
        }
        let middle = if slow || !(secant > low && secant < high) { 0.5 * (low + high) } else { secant };
        let value = f(middle);
        if value == 0.0 {
            return middle;
        }
        if value > 0.0 {
            (high, at_high) = (middle, value);
            if last_side == 1 {
                at_low /= 2.0;
            }
            last_side = 1;
        } else {
            (low, at_low) = (middle, value);
            if last_side == -1 {
                at_high /= 2.0;
            }
            last_side = -1;
        }
    }
    low
}

impl Measure for PacBayes {
    fn id(&self) -> &'static str {
        if self.magnitude { "pac_bayes_magnitude" } else { "pac_bayes_sigma" }
    }

    fn summary(&self) -> &'static str {
        if self.magnitude {
            "1/sigma^2 of the largest noise in proportion to the parameters within a bound on the loss"
        } else {
            "1/sigma^2 of the largest isotropic noise within a bound on the loss"
        }
    }

    fn source(&self) -> &'static str {
        "Neyshabur et al. 2017; Jiang et al. 2020"
    }

    fn description(&self) -> Option<&'static Description> {
        const SIGMA: &Description = &Description {
            formula: "1 / sigma^2, sigma the largest level with E[C(theta + s xi)] - C(theta) <= allowed_rise for all s <= sigma, xi ~ N(0, I)",
            notes: "C is the loss, or the share of errors with `criterion` error; the expectation is over `perturbation_count` perturbations, the same at every level.",
            unit: "the inverse square of the parameters' unit",
            use_for: "a level of noise, as PAC-Bayes bounds have it",
            not_for: "comparing networks with different parametrisations",
            cost: "no products; `perturbation_count` evaluations of the loss at each of some tens of levels",
            options: &["allowed_rise", "criterion", "perturbation_count", "seed"],
            refuses: "`allowed_rise` of 0 or below; `perturbation_count` below 4; `criterion` error with mse; no level between 1e-12 and 1e12 that reaches the bound",
            sources: &[references::NEYSHABUR_2017, references::JIANG_2020],
        };
        const MAGNITUDE: &Description = &Description {
            formula: "1 / sigma^2, sigma the largest level with E[C(theta + s xi)] - C(theta) <= allowed_rise for all s <= sigma, xi_i ~ N(0, theta_i^2)",
            notes: "C is the loss, or the share of errors with `criterion` error; the expectation is over `perturbation_count` perturbations, the same at every level.",
            unit: "none",
            use_for: "a level of noise that no rescaling changes",
            not_for: "networks with many parameters that are 0, which get no noise",
            cost: "no products; `perturbation_count` evaluations of the loss at each of some tens of levels",
            options: &["allowed_rise", "criterion", "perturbation_count", "seed"],
            refuses: "`allowed_rise` of 0 or below; `perturbation_count` below 4; `criterion` error with mse; no level between 1e-12 and 1e12 that reaches the bound; parameters that are all 0",
            sources: &[references::NEYSHABUR_2017, references::JIANG_2020],
        };
        Some(if self.magnitude { MAGNITUDE } else { SIGMA })
    }

    fn responses(&self) -> Responses {
        let scaling = if self.magnitude { Response::Invariant } else { Response::Changes };
        // Permutations deal the same draws to other parameters.
        Responses { layer_scaling: scaling, neuron_scaling: scaling, permutation: Response::Statistical }
    }

    fn is_stochastic(&self) -> bool {
        true
    }

    fn evaluate(&self, point: &Point, options: &Options) -> Result<Estimate, FlatnessError> {
        self.level(&Place::at(point), options)
    }

    fn predict(&self, point: &Point, action: &Action, options: &Options) -> Option<Result<Estimate, FlatnessError>> {
        Some(self.level(&Place::transported(point, action), options))
    }

    /// The bound has the loss' unit, the noise has not.
    fn at_loss_scale(&self, value: f64, _factor: f64, _point: &Point, _options: &Options) -> f64 {
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crossings_are_found_to_precision() {
        for root in [1e-6, 0.3, 7.0, 1e5] {
            let smooth = crossing(|x| (x / root).powi(4) - 1.0, 0.0, root * 3.7, 1e-13);
            assert!((smooth / root - 1.0).abs() < 1e-12, "{smooth} {root}");
            let step = crossing(|x| if x > root { 1.0 } else { -0.2 }, 0.0, root * 3.7, 1e-4);
            assert!((step / root - 1.0).abs() < 2e-4, "{step} {root}");
        }
    }
}
