//! The box in which an ascent climbs.

use super::stationary::{Surroundings, climb_box};
use super::{Peak, sign_of};
use crate::model::Objective;

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
    pub(super) fn parameters(&self, u: &[f64]) -> Vec<f64> {
        self.theta.iter().zip(self.radii).zip(u).map(|((theta, radius), u)| theta + radius * u).collect()
    }

    /// A second place to start from: the corner in the direction of the parameters themselves. No rescaling moves it.
    pub(super) fn outward(&self) -> Vec<f64> {
        self.theta.iter().map(|theta| sign_of(*theta)).collect()
    }

    /// Climbs from the centre, from the outward corner, and from wherever curvature leads on.
    pub(super) fn climb(&self, climb_from: impl Fn(Vec<f64>) -> Peak) -> Peak {
        let around = Surroundings { objective: self.objective, theta: self.theta, unit: self.radii };
        climb_box(&around, self.outward(), climb_from)
    }

    /// Loss and its gradient with respect to `u`.
    pub(super) fn gradient(&self, u: &[f64]) -> (f64, Vec<f64>) {
        let (value, mut gradient) = self.objective.gradient(&self.parameters(u));
        for (gradient, radius) in gradient.iter_mut().zip(self.radii) {
            *gradient *= radius;
        }
        (value, gradient)
    }
}
