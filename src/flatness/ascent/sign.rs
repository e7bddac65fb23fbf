//! Projected sign ascent with a step of its own for each coordinate (resilient propagation, Riedmiller and Braun
//! 1993; the first step is the fast gradient sign method of Goodfellow et al. 2015, on parameters).

use super::{Domain, Peak, sign_of};

/// Growth of a coordinate's step while its gradient keeps its sign, and shrinkage when it flips.
const GROWTH: f64 = 1.2;
const SHRINKAGE: f64 = 0.5;
/// Iterations without a gain of [`LEAST_GAIN`] after which the ascent ends.
const PATIENCE: usize = 12;
/// A gain below this share of the whole rise is none.
const LEAST_GAIN: f64 = 1e-11;

/// Moves every coordinate along the sign of its gradient by its own step, clipped to the box. The first step is
/// the radius and reaches the corner, the maximum of a loss that is linear in the box; a step grows while the sign
/// stays and is halved when it flips. Nothing but signs enters, so rounding seldom changes the path.
#[derive(Debug, Clone, Copy)]
pub struct SignAscent {
    /// Most gradients from each start.
    pub max_iterations: usize,
}

impl Default for SignAscent {
    fn default() -> Self {
        Self { max_iterations: 200 }
    }
}

impl SignAscent {
    /// Climbs from the centre, from the outward corner, and on along curvature from where nothing moves.
    pub fn climb(&self, domain: &Domain) -> Peak {
        domain.climb(|u| self.climb_from(domain, u, 1.0))
    }

    /// Climbs from `u` with first steps of `step` radii; the best point seen counts.
    pub(super) fn climb_from(&self, domain: &Domain, mut u: Vec<f64>, step: f64) -> Peak {
        let (start, mut gradient) = domain.gradient(&u);
        let mut best = Peak { value: start, u: u.clone(), iterations: 1, converged: false };
        let mut steps = vec![step; u.len()];
        let mut last = vec![0.0; u.len()];
        let mut without_gain = 0;
        while best.iterations < self.max_iterations {
            let mut moved = false;
            for index in 0..u.len() {
                let agreement = sign_of(gradient[index]) * sign_of(last[index]);
                if agreement > 0.0 {
                    steps[index] = f64::min(GROWTH * steps[index], 2.0);
                } else if agreement < 0.0 {
                    // Past a ridge: wait there for one step, with half the step.
                    steps[index] *= SHRINKAGE;
                    last[index] = 0.0;
                    moved = true;
                    continue;
                }
                let next = (u[index] + steps[index] * sign_of(gradient[index])).clamp(-1.0, 1.0);
                moved |= next != u[index];
                u[index] = next;
                last[index] = gradient[index];
            }
            if !moved {
                best.converged = true;
                break;
            }
            let (value, next_gradient) = domain.gradient(&u);
            best.iterations += 1;
            gradient = next_gradient;
            let gain = value - best.value;
            without_gain = if gain > LEAST_GAIN * (value - start) { 0 } else { without_gain + 1 };
            // A NaN or infinite loss is not a gain.
            if gain > 0.0 && value.is_finite() {
                best.value = value;
                best.u.clone_from(&u);
            }
            if without_gain >= PATIENCE {
                best.converged = true;
                break;
            }
        }
        best
    }
}
