//! Maximising a loss around the parameters, one file per method.

mod ball;
mod domain;
mod lbfgsb;
mod peak;
mod sgd;
mod sign;
mod stationary;

pub use domain::Domain;

pub use peak::Peak;
use peak::sign_of;

pub use ball::{Ball, BallAscent};
pub use lbfgsb::Lbfgsb;
pub use sgd::SgdAscent;
pub use sign::SignAscent;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Activation, Architecture, Loss, Model, Network, Objective};
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
