//! Flatness measures: the [`Measure`] trait, the registry, one file per measure.
//!
//! Every measure has an estimator, [`Measure::evaluate`], and where it is a function of the curvature a
//! dense definition, [`Measure::on_dense`], that shares no code with it. The definition applied to the
//! transported curvature says what the measure must be after a rescaling.
//!
//! `docs/measures.md` has every measure with formula, unit, cost, options, refusals and source; it is written from
//! [`Measure::description`].

pub mod ascent;
pub mod curvature;
mod error;
pub mod lanczos;
pub mod langevin;
mod noise;
pub mod options;
mod place;
mod point;
pub mod quadrature;
mod rise;
pub mod trace;

mod adaptive_sharpness;
mod filter_weighted_trace;
mod fisher_rao;
mod hessian_frobenius;
mod hessian_log_det;
mod hessian_log_product;
mod hessian_max_eigenvalue;
mod hessian_spectral_norm;
mod hessian_trace;
mod keskar_sharpness;
mod keskar_sharpness_sgd;
mod layer_normalised_trace;
mod local_entropy;
mod local_learning_coefficient;
mod measure_fn;
mod pac_bayes;
mod parameter_norm;
mod path_norm;
mod relative_flatness;
mod spectral_density;

pub use error::FlatnessError;
pub use measure_fn::{MeasureFn, measure_fn};
pub use options::Options;
pub use place::DENSE_REFUSAL;
pub use point::{DensePoint, ORACLE_LIMIT, Point, STATIONARY_GRADIENT};

use crate::description::Description;
use crate::numeric::Estimate;
use crate::rescale::Action;
use serde::{Deserialize, Serialize};

/// How a measure responds to a function-preserving map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Response {
    /// It changes, by a factor that is predicted.
    Changes,
    /// It stays.
    Invariant,
    /// Its distribution stays (stochastic measures).
    Statistical,
}

/// Responses to the three families of maps, a row of the table of measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Responses {
    /// To layer scaling by alpha.
    pub layer_scaling: Response,
    /// To positive scaling of hidden units.
    pub neuron_scaling: Response,
    /// To permutation of hidden units.
    pub permutation: Response,
}

impl Responses {
    /// Of functions of the Hessian's eigenvalues, and of boxes in absolute units.
    pub const OF_CURVATURE: Self =
        Self { layer_scaling: Response::Changes, neuron_scaling: Response::Changes, permutation: Response::Invariant };
    /// Of measures that no rescaling changes.
    pub const INVARIANT: Self = Self {
        layer_scaling: Response::Invariant,
        neuron_scaling: Response::Invariant,
        permutation: Response::Invariant,
    };
}

/// What the losses are, and by what factor those of PyTorch differ.
pub const LOSSES: [&str; 3] = [
    "bce: mean over samples of log(1 + exp(z)) - y z, one logit z, label y in {0, 1}; as BCEWithLogitsLoss",
    "ce: mean over samples of the cross-entropy of the softmax with a class index; as CrossEntropyLoss",
    "mse: mean over samples of the squared error summed over outputs, without a factor 1/2; MSELoss divides by the number of \
     outputs too",
];

/// A flatness measure.
pub trait Measure: Send + Sync {
    /// Registry name.
    fn id(&self) -> &'static str;

    /// One line for lists and help.
    fn summary(&self) -> &'static str;

    /// Where the measure comes from (author, year).
    fn source(&self) -> &'static str;

    /// Formula, unit, cost, options, refusals and sources; every measure of the registry has them, others may.
    fn description(&self) -> Option<&'static Description> {
        None
    }

    /// How it responds to rescalings.
    fn responses(&self) -> Responses;

    /// Whether the value depends on random draws (and so carries a standard error).
    fn is_stochastic(&self) -> bool {
        false
    }

    /// The measure at a point.
    ///
    /// # Errors
    /// [`FlatnessError`]: an option out of range, a network it does not cover, no convergence.
    fn evaluate(&self, point: &Point, options: &Options) -> Result<Estimate, FlatnessError>;

    /// What the measure must be at `action(theta)`, computed from quantities at `theta` alone; `None`
    /// where there is no such prediction beyond [`Measure::on_dense`].
    ///
    /// # Errors
    /// As [`Measure::evaluate`].
    fn predict(&self, _point: &Point, _action: &Action, _options: &Options) -> Option<Result<Estimate, FlatnessError>> {
        None
    }

    /// What the measure must be for the loss `factor L` and [`Options::at_loss_scale`], given its value for `L` and
    /// `options` at `point`; in proportion unless a measure says otherwise.
    fn at_loss_scale(&self, value: f64, factor: f64, _point: &Point, _options: &Options) -> f64 {
        factor * value
    }

    /// The definition applied to dense curvature; `None` where the measure is no function of it.
    fn on_dense(&self, _dense: &DensePoint, _options: &Options) -> Option<f64> {
        None
    }

    /// The sum of the sizes of what the measure adds up, in its own unit: rounding is relative to this where the summands
    /// cancel. 0 where they cannot, and the value itself is the scale.
    fn summands(&self, _dense: &DensePoint, _options: &Options) -> f64 {
        0.0
    }

    /// A lower bound of a measure that is a maximum, from dense derivatives and values of the loss alone; `None` for
    /// others.
    fn at_least(&self, _dense: &DensePoint, _options: &Options) -> Option<f64> {
        None
    }
}

/// All measures, in the order users see them. A new measure is a file and a line here.
pub fn registry() -> &'static [&'static dyn Measure] {
    &[
        &keskar_sharpness::KeskarSharpness,
        &keskar_sharpness_sgd::KeskarSharpnessSgd,
        &adaptive_sharpness::AdaptiveSharpness,
        &hessian_trace::HessianTrace,
        &hessian_max_eigenvalue::HessianMaxEigenvalue,
        &hessian_spectral_norm::HessianSpectralNorm,
        &hessian_frobenius::HessianFrobenius,
        &hessian_log_det::HessianLogDet,
        &hessian_log_product::HessianLogProduct,
        &spectral_density::SpectralDensity,
        &layer_normalised_trace::LayerNormalisedTrace,
        &filter_weighted_trace::FilterWeightedTrace,
        &relative_flatness::RelativeFlatness,
        &fisher_rao::FisherRao,
        &pac_bayes::PacBayes { magnitude: false },
        &pac_bayes::PacBayes { magnitude: true },
        &local_entropy::LocalEntropy,
        &local_learning_coefficient::LocalLearningCoefficient,
        &path_norm::PathNorm,
        &parameter_norm::ParameterNorm,
    ]
}

/// The measure called `id`.
///
/// ```
/// use flatgauge::flatness::{self, Options, Point};
/// use flatgauge::model::{Activation, Architecture, Loss, Model, Network, Objective};
/// use flatgauge::numeric::Streams;
/// use std::sync::Arc;
///
/// let architecture = Architecture::fully_connected(&[2, 5, 1], Activation::Relu, 1.4, 0.1);
/// let network = Network::sample(Arc::new(Model::new(architecture)?), Streams::new(1));
/// let (inputs, labels) = (ndarray::array![[1.0, 0.5], [-0.3, 2.0]], ndarray::array![[1.0], [0.0]]);
/// let objective = Objective::new(&network, Loss::Bce, inputs.view(), labels.view())?;
/// let point = Point::new(objective, &network.theta);
///
/// let trace = flatness::find("hessian_trace").expect("a registered measure");
/// let estimate = trace.evaluate(&point, &Options::default())?;
/// assert!(estimate.value > 0.0 && estimate.std_error.is_none());
/// println!("{}", trace.description().expect("registered measures have one").formula);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn find(id: &str) -> Option<&'static dyn Measure> {
    registry().iter().copied().find(|measure| crate::id::names(id, measure.id()))
}
