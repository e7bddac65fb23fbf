//! Maximising a loss over a box around the parameters, one file a method.

mod sign;

pub use sign::SignAscent;

use crate::model::Objective;

/// Maximise `L(theta + d)` over `|d_i| <= radii_i`.
///
/// Methods work in `u_i = d_i / radii_i`, `|u_i| <= 1`: a rescaling moves the box and the parameters
/// together, and in `u` nothing but the order and signs of coordinates changes, so their steps are the
/// same at `theta'` over its box and at `theta` over the transported box.
#[derive(Debug, Clone, Copy)]
pub struct Domain<'p, 'a> {
    /// The loss.
    pub objective: &'p Objective<'a>,
    /// Centre.
    pub theta: &'p [f64],
    /// Half-widths, at least 0.
    pub radii: &'p [f64],
}

impl Domain<'_, '_> {
    /// The parameters at `u`.
    fn parameters(&self, u: &[f64]) -> Vec<f64> {
        self.theta.iter().zip(self.radii).zip(u).map(|((theta, radius), u)| theta + radius * u).collect()
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
    /// Where, in units of the box.
    pub u: Vec<f64>,
    /// Gradients computed.
    pub iterations: usize,
    /// Whether the method stopped by its own criterion.
    pub converged: bool,
}
