//! Where a measure is wanted: at a point, or at its image under a rescaling, seen from the point.

use crate::flatness::curvature::{self, GaussNewton, Hessian, SymmetricOperator, Transported};
use crate::flatness::{FlatnessError, Options, Point};
use crate::model::Model;
use crate::numeric::Info;
use crate::rescale::Action;
use ndarray::Array2;
use std::borrow::Cow;

/// Parameters beyond which no dense matrix is formed whatever the options: 2.1 GB.
pub const DENSE_REFUSAL: usize = 16_384;

/// `theta`, or `M theta` with every quantity transported from `theta`: a measure written on places gives its
/// value and its prediction in one body of code, and nothing is ever computed at `M theta`.
pub(super) struct Place<'p, 'a> {
    /// The point at which passes are run.
    pub point: &'p Point<'a>,
    /// The map to the place, `None` at the point itself.
    pub action: Option<&'p Action>,
    theta: Cow<'p, [f64]>,
}

impl<'p, 'a> Place<'p, 'a> {
    /// The point itself.
    pub fn at(point: &'p Point<'a>) -> Self {
        Self { point, action: None, theta: Cow::Borrowed(point.theta()) }
    }

    /// Its image.
    pub fn transported(point: &'p Point<'a>, action: &'p Action) -> Self {
        Self { point, action: Some(action), theta: Cow::Owned(action.apply(point.theta())) }
    }

    /// The parameters there.
    pub fn theta(&self) -> &[f64] {
        &self.theta
    }

    /// The model.
    pub fn model(&self) -> &'a Model {
        self.point.model()
    }

    /// What is reported of the point.
    pub fn info(&self) -> Info {
        self.point.info()
    }

    /// The Hessian there.
    pub fn hessian(&self) -> Box<dyn SymmetricOperator + '_> {
        let operator = Hessian(&self.point.linearisation);
        match self.action {
            None => Box::new(operator),
            Some(action) => Box::new(Transported { operator, action }),
        }
    }

    /// The Gauss-Newton matrix there.
    pub fn gauss_newton(&self) -> Box<dyn SymmetricOperator + '_> {
        let operator = GaussNewton(&self.point.linearisation);
        match self.action {
            None => Box::new(operator),
            Some(action) => Box::new(Transported { operator, action }),
        }
    }

    /// The exact diagonal of the Hessian there, with the name of the method; `None` where it would take
    /// more than the options allow.
    pub fn hessian_diagonal(&self, options: &Options) -> Option<(Vec<f64>, &'static str)> {
        let linearisation = &self.point.linearisation;
        let (diagonal, method) = if self.model().is_piecewise_linear() {
            (linearisation.gauss_newton_diagonal(), "gauss-newton")
        } else if self.theta.len() <= options.dense_limit {
            (curvature::diagonal(&Hessian(linearisation)), "basis")
        } else {
            return None;
        };
        let moved = match self.action {
            None => diagonal,
            Some(action) => action.transport_diagonal(&diagonal),
        };
        Some((moved, method))
    }

    /// The dense Hessian there, by products; `None` above [`Options::dense_limit`].
    ///
    /// # Errors
    /// [`FlatnessError::TooLarge`] above [`DENSE_REFUSAL`].
    pub fn dense_hessian(
        &self,
        measure: &'static str,
        options: &Options,
    ) -> Result<Option<Array2<f64>>, FlatnessError> {
        let parameters = self.theta.len();
        if parameters > options.dense_limit {
            return Ok(None);
        }
        if parameters > DENSE_REFUSAL {
            return Err(FlatnessError::TooLarge { measure, parameters, limit: DENSE_REFUSAL });
        }
        Ok(Some(curvature::dense(&*self.hessian())))
    }

    /// A perturbation of the parameters there, as the perturbation at the point that has the same effect.
    pub fn pull(&self, perturbation: Vec<f64>) -> Vec<f64> {
        match self.action {
            None => perturbation,
            Some(action) => action.apply_inverse(&perturbation),
        }
    }

    /// A quantity of each parameter there, such as a radius or a random number, listed by the parameters at
    /// the point: `map(value, scale)` of the parameter that parameter `j` turns into.
    pub fn pull_with(&self, values: Vec<f64>, map: impl Fn(f64, f64) -> f64) -> Vec<f64> {
        match self.action {
            None => values.into_iter().map(|value| map(value, 1.0)).collect(),
            Some(action) => {
                let mut out = vec![0.0; values.len()];
                for ((value, &scale), &source) in values.into_iter().zip(action.scale()).zip(action.source()) {
                    out[source] = map(value, scale);
                }
                out
            }
        }
    }
}
