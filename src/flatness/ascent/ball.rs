//! Ascent over a ball in rescaled coordinates: sharpness-aware maximisation (Foret et al. 2021; Kwon et al.
//! 2021), iterated.

use super::stationary::{Surroundings, climb_ball};
use super::{Peak, sign_of};
use crate::model::Objective;
use crate::numeric::linalg::norm;

/// A step that gains less than this share of the whole rise ends the ascent.
const LEAST_GAIN: f64 = 1e-11;
/// The step, in radii, below which halving it stops.
const LEAST_STEP: f64 = 1e-6;

/// Maximise `L(theta + scale * u)` over `|u|_2 <= radius`, coordinates with scale 0 at rest.
#[derive(Debug, Clone, Copy)]
pub struct Ball<'p, 'a> {
    /// The loss.
    pub objective: &'p Objective<'a>,
    /// Centre.
    pub theta: &'p [f64],
    /// Unit of each coordinate, at least 0.
    pub scale: &'p [f64],
    /// Radius.
    pub radius: f64,
}

impl Ball<'_, '_> {
    fn gradient(&self, u: &[f64]) -> (f64, Vec<f64>) {
        let moved: Vec<f64> = self.theta.iter().zip(self.scale).zip(u).map(|((t, scale), u)| t + scale * u).collect();
        let (value, mut gradient) = self.objective.gradient(&moved);
        for (gradient, scale) in gradient.iter_mut().zip(self.scale) {
            *gradient *= scale;
        }
        (value, gradient)
    }

    /// `u` drawn back to the ball.
    fn project(&self, mut u: Vec<f64>) -> Vec<f64> {
        let length = norm(&u);
        if length > self.radius {
            u.iter_mut().for_each(|u| *u *= self.radius / length);
        }
        u
    }
}

/// Projected gradient ascent with steps in units of the radius: the first reaches the sphere (the maximum of a
/// linear loss, and the step of SAM), a step that gains is doubled, one that does not is halved.
#[derive(Debug, Clone, Copy)]
pub struct BallAscent {
    /// Most gradients from each start.
    pub max_iterations: usize,
}

impl Default for BallAscent {
    fn default() -> Self {
        Self { max_iterations: 500 }
    }
}

impl BallAscent {
    /// Climbs from the centre, from the sphere in the direction of the parameters themselves, and on along curvature
    /// from where nothing moves.
    pub fn climb(&self, ball: &Ball) -> Peak {
        let moving = ball.scale.iter().filter(|scale| **scale > 0.0).count() as f64;
        let share = if moving > 0.0 { ball.radius / moving.sqrt() } else { 0.0 };
        let outward =
            ball.theta.iter().zip(ball.scale).map(|(t, scale)| if *scale > 0.0 { share * sign_of(*t) } else { 0.0 });
        let around = Surroundings { objective: ball.objective, theta: ball.theta, unit: ball.scale };
        climb_ball(&around, ball.radius, outward.collect(), |u| self.climb_from(ball, u))
    }

    fn climb_from(&self, ball: &Ball, mut u: Vec<f64>) -> Peak {
        let (start, mut gradient) = ball.gradient(&u);
        let mut value = start;
        let mut step = 1.0;
        let mut iterations = 1;
        let mut converged = false;
        while iterations < self.max_iterations {
            let length = norm(&gradient);
            if length == 0.0 || ball.radius == 0.0 {
                converged = true;
                break;
            }
            let along = step * ball.radius / length;
            let candidate = ball.project(u.iter().zip(&gradient).map(|(u, g)| u + along * g).collect());
            let (found, found_gradient) = ball.gradient(&candidate);
            iterations += 1;
            if found > value && found.is_finite() {
                let gain = found - value;
                (u, value, gradient) = (candidate, found, found_gradient);
                step *= 2.0;
                if gain <= LEAST_GAIN * (value - start) {
                    converged = true;
                    break;
                }
            } else {
                step /= 2.0;
                if step < LEAST_STEP {
                    converged = true;
                    break;
                }
            }
        }
        Peak { value, u, iterations, converged }
    }
}
