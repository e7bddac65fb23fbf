//! Where a measure is evaluated: an objective, parameters, and the curvature there.

use crate::model::{Linearisation, Model, Objective, oracle};
use crate::rescale::Action;
use ndarray::Array2;

/// An objective at given parameters, linearised once for all measures.
#[derive(Debug)]
pub struct Point<'a> {
    /// The passes kept for Hessian and Gauss-Newton products.
    pub linearisation: Linearisation<'a>,
}

impl<'a> Point<'a> {
    /// Linearises `objective` at `theta`.
    pub fn new(objective: Objective<'a>, theta: &'a [f64]) -> Self {
        Self { linearisation: objective.linearise(theta) }
    }

    /// The objective.
    pub fn objective(&self) -> &Objective<'a> {
        self.linearisation.objective()
    }

    /// The model.
    pub fn model(&self) -> &'a Model {
        self.objective().model
    }

    /// The parameters.
    pub fn theta(&self) -> &'a [f64] {
        self.linearisation.theta()
    }
}

/// Dense derivatives at a point, by the scalar oracle.
#[derive(Debug, Clone)]
pub struct DensePoint<'a> {
    /// The objective.
    pub objective: Objective<'a>,
    /// The parameters.
    pub theta: Vec<f64>,
    /// `L(theta)`.
    pub value: f64,
    /// Gradient.
    pub gradient: Vec<f64>,
    /// Hessian, `parameters x parameters`.
    pub hessian: Array2<f64>,
    /// Gauss-Newton matrix.
    pub gauss_newton: Array2<f64>,
}

impl<'a> DensePoint<'a> {
    /// Computes everything densely; see [`oracle::dense`] for the cost.
    pub fn new(objective: Objective<'a>, theta: &[f64]) -> Self {
        let dense = oracle::dense(&objective, theta);
        Self {
            objective,
            theta: theta.to_vec(),
            value: dense.value,
            gradient: dense.gradient,
            hessian: dense.hessian,
            gauss_newton: dense.gauss_newton,
        }
    }

    /// The same quantities at `action(theta)`, by transport and not by evaluation there.
    pub fn transported(&self, action: &Action) -> Self {
        Self {
            objective: self.objective,
            theta: action.apply(&self.theta),
            value: self.value,
            gradient: action.transport_covector(&self.gradient),
            hessian: action.transport_hessian(self.hessian.view()),
            gauss_newton: action.transport_hessian(self.gauss_newton.view()),
        }
    }
}
