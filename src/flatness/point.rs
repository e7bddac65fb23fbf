//! Where a measure is evaluated: an objective, parameters, and the curvature there.

use crate::flatness::FlatnessError;
use crate::model::{Linearisation, Loss, Model, ModelError, Network, Objective, oracle};
use crate::numeric::Info;
use crate::numeric::linalg::norm;
use crate::rescale::{Action, NearKinks};
use ndarray::{Array2, ArrayView2};
use std::sync::OnceLock;

/// Gradient norm of a loss of order one below which a point is reported as stationary. Training stops far
/// above it; every measure is defined there all the same.
pub const STATIONARY_GRADIENT: f64 = 1e-6;

/// An objective at given parameters, linearised once for all measures.
#[derive(Debug)]
pub struct Point<'a> {
    /// The passes kept for Hessian and Gauss-Newton products.
    pub linearisation: Linearisation<'a>,
    near_kinks: OnceLock<NearKinks>,
}

impl<'a> Point<'a> {
    /// Linearises `objective` at `theta`.
    pub fn new(objective: Objective<'a>, theta: &'a [f64]) -> Self {
        Self { linearisation: objective.linearise(theta), near_kinks: OnceLock::new() }
    }

    /// The place where a network stands, under its mean loss on data.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`], as [`Objective::new`].
    pub fn of(
        network: &'a Network,
        loss: Loss,
        inputs: ArrayView2<'a, f64>,
        targets: ArrayView2<'a, f64>,
    ) -> Result<Self, ModelError> {
        Ok(Self::new(Objective::new(network, loss, inputs, targets)?, &network.theta))
    }

    /// As [`Point::new`] for parameters from outside.
    ///
    /// # Errors
    /// [`FlatnessError::Parameters`] if their number does not fit the model or one is not finite.
    pub fn try_new(objective: Objective<'a>, theta: &'a [f64]) -> Result<Self, FlatnessError> {
        let expected = objective.model.parameter_count();
        if theta.len() != expected {
            return Err(FlatnessError::Parameters {
                what: "number of parameters".to_owned(),
                found: theta.len().to_string(),
                expected: format!("{expected} for {}", objective.model.architecture()),
            });
        }
        if let Some((index, value)) = theta.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            let tensor = objective.model.tensors().iter().find(|tensor| tensor.range.contains(&index));
            return Err(FlatnessError::Parameters {
                what: format!("parameter {index} (in {})", tensor.map_or("", |tensor| &tensor.name)),
                found: value.to_string(),
                expected: "a finite number".to_owned(),
            });
        }
        Ok(Self::new(objective, theta))
    }

    /// What every measure reports of the point: the loss, the norm of its gradient (where they are finite),
    /// whether that is small enough to call the point stationary (`STATIONARY_GRADIENT`).
    pub fn info(&self) -> Info {
        let gradient = norm(self.linearisation.gradient());
        let stationary = gradient <= STATIONARY_GRADIENT * self.objective().scale.abs();
        let mut info = Info::new().with("stationary", stationary);
        // What overflows is an error of the measures that need it, and no diagnostic of those that do not.
        let kinks = self.near_kinks();
        if let Some(sentence) = kinks.sentence() {
            info.set("near_kinks", kinks.count);
            info.set("near_kinks_note", sentence);
        }
        for (name, value) in [("loss", self.linearisation.value()), ("gradient_norm", gradient)] {
            if value.is_finite() {
                info.set(name, value);
            }
        }
        info
    }

    /// Pre-activations of ReLUs that are 0 as far as rounding lets one see; looked for once.
    pub fn near_kinks(&self) -> &NearKinks {
        let Objective { model, buffers, inputs, .. } = *self.objective();
        self.near_kinks.get_or_init(|| NearKinks::of(model, self.theta(), buffers, inputs))
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
    /// Sizes of what the Hessian adds up, entry by entry ([`oracle::Dense::magnitude`]).
    pub magnitude: Array2<f64>,
}

/// Most parameters for which [`DensePoint::try_new`] computes three dense matrices (216 MB).
pub const ORACLE_LIMIT: usize = 3000;

impl<'a> DensePoint<'a> {
    /// As [`DensePoint::new`] for networks from outside.
    ///
    /// # Errors
    /// [`FlatnessError::TooLarge`] above `ORACLE_LIMIT` parameters.
    pub fn try_new(objective: Objective<'a>, theta: &[f64]) -> Result<Self, FlatnessError> {
        let (parameters, limit) = (theta.len(), ORACLE_LIMIT);
        if parameters > limit {
            return Err(FlatnessError::TooLarge { measure: "the dense definition", parameters, limit });
        }
        Ok(Self::new(objective, theta))
    }

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
            magnitude: dense.magnitude,
        }
    }

    /// The largest sum over a row of [`DensePoint::magnitude`]: a bound on the spectral norm of everything the Hessian
    /// adds up, and so the scale of its eigenvalues' errors.
    pub fn magnitude_norm(&self) -> f64 {
        self.magnitude.outer_iter().map(|row| row.sum()).fold(0.0, f64::max)
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
            magnitude: action.transport_hessian(self.magnitude.view()).mapv_into(f64::abs),
        }
    }
}
