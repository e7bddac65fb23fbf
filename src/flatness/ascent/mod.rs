//! Maximising a loss around the parameters, one file per method.

mod ball;
mod lbfgsb;
mod sgd;
mod sign;
mod stationary;

pub use ball::{Ball, BallAscent};
pub use lbfgsb::Lbfgsb;
pub use sgd::SgdAscent;
pub use sign::SignAscent;

use crate::model::Objective;
use stationary::{Surroundings, climb_box};

/// Maximise `L(theta + d)` over `|d_i| <= radii_i`.
///
/// Methods work in `u_i = d_i / radii_i`, `|u_i| <= 1`: a rescaling moves the box and the parameters
/// together, and in `u` nothing but the order and signs of coordinates changes, so their steps are the
/// same at `theta'` over its box and at `theta` over the transported box. Only SGD, which knows no box
/// when it steps, needs the `metric`.
#[derive(Debug, Clone, Copy)]
pub struct Domain<'p, 'a> {
    /// The loss.
    pub objective: &'p Objective<'a>,
    /// Centre.
    pub theta: &'p [f64],
    /// Half-widths, at least 0.
    pub radii: &'p [f64],
    /// Factor on each coordinate of a gradient step: 1 at the parameters themselves, `1 / scale_i^2` where the
    /// step is taken at rescaled parameters and seen from here.
    pub metric: &'p [f64],
}

impl Domain<'_, '_> {
    /// The parameters at `u`.
    fn parameters(&self, u: &[f64]) -> Vec<f64> {
        self.theta.iter().zip(self.radii).zip(u).map(|((theta, radius), u)| theta + radius * u).collect()
    }

    /// A second place to start from: the corner in the direction of the parameters themselves. No rescaling moves it.
    fn outward(&self) -> Vec<f64> {
        self.theta.iter().map(|theta| sign(*theta)).collect()
    }

    /// Climbs from the centre, from the outward corner, and from wherever curvature leads on.
    fn climb(&self, climb_from: impl Fn(Vec<f64>) -> Peak) -> Peak {
        let around = Surroundings { objective: self.objective, theta: self.theta, unit: self.radii };
        climb_box(&around, self.outward(), climb_from)
    }

    /// Loss and its gradient with respect to `u`.
    fn gradient(&self, u: &[f64]) -> (f64, Vec<f64>) {
        let (value, mut gradient) = self.objective.gradient(&self.parameters(u));
        for (gradient, radius) in gradient.iter_mut().zip(self.radii) {
            *gradient *= radius;
        }
        (value, gradient)
    }
}

/// The best point an ascent found.
#[derive(Debug, Clone)]
pub struct Peak {
    /// Loss there: a lower bound of the maximum.
    pub value: f64,
    /// Where, in units of the domain.
    pub u: Vec<f64>,
    /// Gradients and Hessian products computed.
    pub iterations: usize,
    /// Whether the method stopped by its own criterion, and no curvature says that a point without a slope is no maximum.
    pub converged: bool,
}

impl Peak {
    /// The higher of two, with the work of both.
    fn or(self, other: Self) -> Self {
        let iterations = self.iterations + other.iterations;
        let best = if other.value > self.value { other } else { self };
        Self { iterations, ..best }
    }
}

/// -1, 0 or 1.
fn sign(x: f64) -> f64 {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Activation, Architecture, Loss, Model, Network};
    use crate::numeric::Streams;
    use ndarray::Array2;
    use rand::RngExt;
    use std::sync::Arc;

    /// All ascents reach the top of a box in which they can: the same corner, whatever the network.
    #[test]
    fn the_ascents_agree_in_small_boxes() {
        let mut generator = Streams::new(4).stream("data", 0);
        let inputs = Array2::from_shape_simple_fn((24, 3), || generator.random_range(-1.0..1.0));
        let targets = Array2::from_shape_fn((24, 1), |(i, _)| f64::from(u8::from(inputs[[i, 0]] > inputs[[i, 1]])));
        for (seed, activation) in [(1, Activation::Relu), (2, Activation::Tanh), (3, Activation::Erf)] {
            let architecture = Architecture::fully_connected(&[3, 5, 4, 1], activation, 1.4, 0.5);
            let network = Network::sample(Arc::new(Model::new(architecture).unwrap()), Streams::new(seed));
            let objective = Objective::new(&network, Loss::Bce, inputs.view(), targets.view()).unwrap();
            let radii: Vec<f64> = network.theta.iter().map(|theta| 1e-4 * (theta.abs() + 1.0)).collect();
            let metric = vec![1.0; radii.len()];
            let domain = Domain { objective: &objective, theta: &network.theta, radii: &radii, metric: &metric };
            let centre = objective.value(&network.theta);
            let sign = SignAscent::default().climb(&domain);
            let lbfgsb = Lbfgsb::default().climb(&domain);
            let sgd = SgdAscent { rate: 1.0, ..SgdAscent::default() }.climb(&domain);
            let rise = sign.value - centre;
            assert!(rise > 0.0);
            for (name, peak) in [("sign", &sign), ("lbfgsb", &lbfgsb), ("sgd", &sgd)] {
                println!("{activation} {name}: {:e} in {}", peak.value - centre, peak.iterations);
                assert!((peak.value - centre - rise).abs() < 1e-6 * rise, "{name}");
                assert!(peak.u.iter().all(|u| u.abs() <= 1.0), "{name} left the box");
                // The value is the loss at the point.
                assert_eq!(peak.value, objective.value(&domain.parameters(&peak.u)));
            }
        }
    }
}
