//! Sharpness over a box (Keskar et al. 2017).

use crate::description::{Description, references};
use crate::flatness::ascent::{Domain, Lbfgsb, Peak, SgdAscent, SignAscent};
use crate::flatness::options::{AscentKind, at_least, non_negative, positive};
use crate::flatness::place::Place;
use crate::flatness::{DensePoint, FlatnessError, Measure, Options, Point, Responses, rise};
use crate::numeric::Estimate;
use crate::rescale::Action;

/// A later ascent replaces an earlier one as the finder if its rise is larger by more than this share, which
/// covers the rounding of a sum of a few thousand losses.
const BETTER: f64 = 1e-10;

/// `100 (max_{|d_i| <= eps (|theta_i| + 1)} L(theta + d) - L(theta)) / (1 + L(theta))`.
///
/// The maximum is the best that any of [`Options::ascents`] found, a lower bound; `info` says which one found it
/// first, what each found (`sgd_value`: `keskar_sharpness_sgd`), and how many gradients each took. At `eps = 0` the
/// box is a point and the value 0.
pub(super) struct KeskarSharpness;

impl AscentKind {
    fn name(self) -> &'static str {
        match self {
            Self::Sign => "sign",
            Self::Lbfgsb => "lbfgsb",
            Self::Sgd => "sgd",
        }
    }

    fn climb(self, domain: &Domain, options: &Options) -> Peak {
        match self {
            Self::Sign => SignAscent::default().climb(domain),
            Self::Lbfgsb => Lbfgsb::default().climb(domain),
            Self::Sgd => SgdAscent { epochs: options.epochs, batch: options.batch_size, rate: options.learning_rate }
                .climb(domain),
        }
    }
}

/// The sharpness that `measure` gives: the best of [`Options::ascents`].
pub(super) fn sharpness(measure: &'static str, place: &Place, options: &Options) -> Result<Estimate, FlatnessError> {
    let eps = non_negative(measure, "box_radius", options.box_radius)?;
    at_least(measure, "ascents", options.ascents.len(), 1, "at least one of sign, lbfgsb, sgd")?;
    if options.ascents.contains(&AscentKind::Sgd) {
        at_least(measure, "batch_size", options.batch_size, 1, "at least 1")?;
        at_least(measure, "epochs", options.epochs, 1, "at least 1")?;
        positive(measure, "learning_rate", options.learning_rate)?;
    }
    let loss = place.point.linearisation.value();
    if !loss.is_finite() {
        return Err(FlatnessError::NotFinite { measure, what: "the loss", value: loss });
    }
    let radii: Vec<f64> = place.theta().iter().map(|theta| eps * (theta.abs() + 1.0)).collect();
    let radii = place.pull_with(radii, |radius, scale| radius / scale.abs());
    let metric = place.pull_with(vec![1.0; radii.len()], |metric, scale| metric / (scale * scale));
    let domain =
        Domain { objective: place.point.objective(), theta: place.point.theta(), radii: &radii, metric: &metric };
    let mut info = place.info();
    let (mut best, mut finder, mut total) = (0.0, options.ascents[0], 0);
    for &ascent in &options.ascents {
        let peak = ascent.climb(&domain, options);
        let rise = (peak.value - loss).max(0.0);
        if rise > best * (1.0 + BETTER) {
            (best, finder) = (rise, ascent);
        }
        total += peak.iterations;
        info.set(&format!("{}_value", ascent.name()), 100.0 * rise / (1.0 + loss));
        info.set(&format!("{}_iterations", ascent.name()), peak.iterations);
        // SGD starts at the centre alone and tests no curvature: where it has not moved it has found nothing.
        let moved = ascent != AscentKind::Sgd || rise > 0.0 || eps == 0.0;
        info.set(&format!("{}_converged", ascent.name()), peak.converged && moved);
    }
    let info = info.with("ascent", finder.name()).with("iterations", total).with("max_loss", loss + best);
    Ok(Estimate::deterministic(100.0 * best / (1.0 + loss), info))
}

/// A sharpness in another unit of loss: the rise is in proportion to it, the denominator is not.
pub(super) fn rise_at_loss_scale(value: f64, factor: f64, point: &Point) -> f64 {
    let loss = point.linearisation.value();
    value * factor * (1.0 + loss) / (1.0 + factor * loss)
}

impl Measure for KeskarSharpness {
    fn id(&self) -> &'static str {
        "keskar_sharpness"
    }

    fn summary(&self) -> &'static str {
        "relative rise of the loss within a box around the parameters, in percent"
    }

    fn source(&self) -> &'static str {
        "Keskar et al. 2017"
    }

    fn description(&self) -> Option<&'static Description> {
        Some(&Description {
            formula: "100 (max L(theta + d) - L(theta)) / (1 + L(theta)), |d_i| <= box_radius (|theta_i| + 1)",
            notes: "The maximum is the best that any of `ascents` found, so the value is a lower bound; `info` says what each found.",
            unit: "percent",
            use_for: "the largest rise of the loss in a box, as most of the field defines sharpness",
            not_for: "comparing networks with different parametrisations: rescaling changes it",
            cost: "no products but where an ascent meets a point without slope; some hundred gradients for the default ascents and `epochs` passes over the data",
            options: &["box_radius", "ascents", "learning_rate", "epochs", "batch_size"],
            refuses: "`box_radius` below 0; no ascent named; for the SGD ascent a `learning_rate` of 0 or below, `epochs` or `batch_size` of 0; a loss that is not finite",
            sources: &[references::KESKAR_2017, references::ZHANG_2021, references::BYRD_1995],
        })
    }

    fn responses(&self) -> Responses {
        Responses::OF_CURVATURE
    }

    fn evaluate(&self, point: &Point, options: &Options) -> Result<Estimate, FlatnessError> {
        sharpness(self.id(), &Place::at(point), options)
    }

    fn predict(&self, point: &Point, action: &Action, options: &Options) -> Option<Result<Estimate, FlatnessError>> {
        Some(sharpness(self.id(), &Place::transported(point, action), options))
    }

    /// The rise is a difference of two losses.
    fn summands(&self, dense: &DensePoint, _options: &Options) -> f64 {
        200.0 * dense.value / (1.0 + dense.value)
    }

    fn at_least(&self, dense: &DensePoint, options: &Options) -> Option<f64> {
        let radii: Vec<f64> = dense.theta.iter().map(|theta| options.box_radius * (theta.abs() + 1.0)).collect();
        Some(100.0 * rise::over_box(dense, &radii) / (1.0 + dense.value))
    }

    fn at_loss_scale(&self, value: f64, factor: f64, point: &Point, _options: &Options) -> f64 {
        rise_at_loss_scale(value, factor, point)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Activation, Architecture, Loss, Model, Network, Objective};
    use crate::numeric::Streams;
    use approx::assert_relative_eq;
    use ndarray::{Array2, array};
    use std::sync::Arc;

    fn data() -> (Array2<f64>, Array2<f64>) {
        (array![[0.5, -1.0], [1.5, 0.3], [-0.7, 0.9], [-1.2, -0.4]], array![[1.0], [0.0], [1.0], [0.0]])
    }

    fn network(activation: Activation, seed: u64) -> Network {
        let architecture = Architecture::fully_connected(&[2, 2, 1], activation, 1.4, 1.0);
        Network::sample(Arc::new(Model::new(architecture).unwrap()), Streams::new(seed))
    }

    /// The definition for a box so small that the loss is close to linear in it, and the maximum a corner:
    /// all corners are tried, in plain loops.
    fn best_corner(objective: &Objective, theta: &[f64], eps: f64) -> f64 {
        let loss = objective.value(theta);
        let mut best = loss;
        for corner in 0..1_u32 << theta.len() {
            let moved: Vec<f64> = theta
                .iter()
                .enumerate()
                .map(|(i, t)| t + eps * (t.abs() + 1.0) * if corner >> i & 1 == 1 { 1.0 } else { -1.0 })
                .collect();
            best = f64::max(best, objective.value(&moved));
        }
        100.0 * (best - loss) / (1.0 + loss)
    }

    #[test]
    fn it_finds_the_best_of_all_corners() {
        let (inputs, targets) = data();
        for activation in [Activation::Relu, Activation::Tanh] {
            for seed in 0..10 {
                let network = network(activation, seed);
                let objective = Objective::new(&network, Loss::Bce, inputs.view(), targets.view()).unwrap();
                let point = Point::new(objective, &network.theta);
                for eps in [1e-5, 1e-4, 1e-3] {
                    let options = Options { box_radius: eps, ..Options::default() };
                    let found = KeskarSharpness.evaluate(&point, &options).unwrap();
                    // Differences of losses of order one, each right to some units of roundoff.
                    let expected = best_corner(&objective, &network.theta, eps);
                    assert_relative_eq!(found.value, expected, max_relative = 1e-9, epsilon = 1e-12);
                    assert!(found.value > 0.0);
                }
            }
        }
    }

    #[test]
    fn an_empty_box_is_flat_and_a_negative_one_is_refused() {
        let (inputs, targets) = data();
        let network = network(Activation::Relu, 0);
        let objective = Objective::new(&network, Loss::Bce, inputs.view(), targets.view()).unwrap();
        let point = Point::new(objective, &network.theta);
        let at = |eps| KeskarSharpness.evaluate(&point, &Options { box_radius: eps, ..Options::default() });
        assert_eq!(at(0.0).unwrap().value, 0.0);
        for eps in [-1e-4, f64::NAN, f64::INFINITY] {
            let error = at(eps).unwrap_err().to_string();
            assert!(error.contains("keskar_sharpness") && error.contains("box_radius"), "{error}");
        }
    }
}
