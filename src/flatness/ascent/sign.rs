//! Projected sign ascent (the fast gradient sign method of Goodfellow et al. 2015, iterated as by Madry et
//! al. 2018, on parameters).

use super::{Domain, Peak};

/// A step that gains less than this share of the whole rise ends the ascent.
const LEAST_GAIN: f64 = 1e-9;
/// The step below which halving it stops.
const LEAST_STEP: f64 = 1.0 / 1024.0;

/// Moves every coordinate by `step` box radii along the sign of its gradient, clipped to the box; a step
/// that does not gain is halved. The first step reaches the corner, which is the maximum of a loss that is
/// linear in the box.
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
    /// Climbs from the centre and from the second start.
    pub fn climb(&self, domain: &Domain) -> Peak {
        let centre = self.climb_from(domain, vec![0.0; domain.theta.len()]);
        centre.or(self.climb_from(domain, domain.start.to_vec()))
    }

    fn climb_from(&self, domain: &Domain, mut u: Vec<f64>) -> Peak {
        let (start, mut gradient) = domain.gradient(&u);
        let mut value = start;
        let mut step = 2.0;
        let mut iterations = 1;
        let mut converged = false;
        while iterations < self.max_iterations {
            let candidate: Vec<f64> =
                u.iter().zip(&gradient).map(|(u, g)| (u + step * sign(*g)).clamp(-1.0, 1.0)).collect();
            if candidate == u {
                converged = true;
                break;
            }
            let (found, found_gradient) = domain.gradient(&candidate);
            iterations += 1;
            // A NaN or infinite loss is not a gain.
            if found > value && found.is_finite() {
                let gain = found - value;
                (u, value, gradient) = (candidate, found, found_gradient);
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
