//! Sharpness over a box (Keskar et al. 2017).

use crate::flatness::ascent::{Domain, SignAscent};
use crate::flatness::options::non_negative;
use crate::flatness::{FlatnessError, Measure, Options, Point, Response, Responses};
use crate::numeric::Estimate;
use crate::rescale::Action;

/// `100 (max_{|d_i| <= eps (|theta_i| + 1)} L(theta + d) - L(theta)) / (1 + L(theta))`.
///
/// The maximum is the best an ascent found, a lower bound. At `eps = 0` the box is a point and the value 0.
pub(super) struct KeskarSharpness;

impl KeskarSharpness {
    fn over(&self, point: &Point, radii: &[f64]) -> Result<Estimate, FlatnessError> {
        let loss = point.linearisation.value();
        let domain = Domain { objective: point.objective(), theta: point.theta(), radii };
        let peak = SignAscent::default().climb(&domain);
        if !loss.is_finite() {
            return Err(FlatnessError::NotFinite { measure: self.id(), what: "the loss", value: loss });
        }
        let value = 100.0 * (peak.value - loss).max(0.0) / (1.0 + loss);
        let info = point
            .info()
            .with("ascent", "sign")
            .with("iterations", peak.iterations)
            .with("converged", peak.converged)
            .with("max_loss", peak.value);
        Ok(Estimate::deterministic(value, info))
    }
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

    fn responses(&self) -> Responses {
        Responses {
            layer_scaling: Response::Changes,
            neuron_scaling: Response::Changes,
            permutation: Response::Invariant,
        }
    }

    fn evaluate(&self, point: &Point, options: &Options) -> Result<Estimate, FlatnessError> {
        let eps = non_negative(self.id(), "eps", options.eps)?;
        let radii: Vec<f64> = point.theta().iter().map(|theta| eps * (theta.abs() + 1.0)).collect();
        self.over(point, &radii)
    }

    fn predict(&self, point: &Point, action: &Action, options: &Options) -> Option<Result<Estimate, FlatnessError>> {
        Some(non_negative(self.id(), "eps", options.eps).and_then(|eps| {
            // The box around action(theta), seen from theta.
            let mut radii = vec![0.0; action.len()];
            for (scale, &source) in action.scale().iter().zip(action.source()) {
                let there = scale * point.theta()[source];
                radii[source] = eps * (there.abs() + 1.0) / scale.abs();
            }
            self.over(point, &radii)
        }))
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
                    let options = Options { eps, ..Options::default() };
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
        let at = |eps| KeskarSharpness.evaluate(&point, &Options { eps, ..Options::default() });
        assert_eq!(at(0.0).unwrap().value, 0.0);
        for eps in [-1e-4, f64::NAN, f64::INFINITY] {
            let error = at(eps).unwrap_err().to_string();
            assert!(error.contains("keskar_sharpness") && error.contains("eps"), "{error}");
        }
    }
}
