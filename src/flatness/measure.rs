//! The [`Measure`] trait.

use crate::description::Description;
use crate::flatness::{DensePoint, FlatnessError, Options, Point};
use crate::numeric::{Dtype, Estimate};
use crate::rescale::Action;
use serde::{Deserialize, Serialize};

/// How a measure responds to a function-preserving map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
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

    /// Id of the registered measure whose laws, definition and certified values the gate holds it to; its own unless said
    /// otherwise. Two estimators of one measure need ids of their own and the same claim, or a report takes them for one.
    fn claim(&self) -> &'static str {
        self.id()
    }

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

    /// Whether it takes the objective's scale into account; the protocol of external commands has none.
    fn knows_loss_scale(&self) -> bool {
        true
    }

    /// The format it computes in. One of [`Dtype::Float32`] is asked on networks and data of that format, and judged by
    /// tolerances that follow from it.
    fn dtype(&self) -> Dtype {
        Dtype::Float64
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
