//! What can go wrong with sampling functions.

use crate::model::ModelError;

/// Errors of the function room.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FunctionError {
    /// A network has no single logit whose sign would be its label.
    #[error("the network has {outputs} logits, expected one: a function here is the sign of one logit on each input")]
    Outputs {
        /// Logits of the network.
        outputs: usize,
    },
    /// Inputs cannot be used.
    #[error("{reason}")]
    Inputs {
        /// What is wrong.
        reason: String,
    },
    /// The prior's scale is beyond single precision.
    #[error("{name} is {value:e}, expected 0 or a number from 1e-20 to 1e20: parameters are drawn in single precision")]
    Scale {
        /// Which standard deviation.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// Numbers too large for double precision.
    #[error("the logits of network {network} overflow; the inputs or the prior's standard deviations are too large")]
    Overflow {
        /// Number of the network.
        network: u64,
    },
    /// A setting is out of its range.
    #[error("{name} is {found}, expected {expected}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// The file of an unfinished run cannot be used.
    #[error("checkpoint '{path}': {reason}")]
    Checkpoint {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process of the run failed.
    #[error("another process of this run failed; it says why")]
    Process,
    /// A text is no function.
    #[error("'{text}' is no function, expected characters 0 and 1, one an input")]
    Bits {
        /// The text, or its beginning.
        text: String,
    },
    /// Labels that are not those of all Boolean inputs.
    #[error("{labels} labels, expected those of all inputs of a Boolean function: 2, 4, 8, ...")]
    NotBoolean {
        /// Number of labels.
        labels: usize,
    },
    /// The network cannot be built.
    #[error(transparent)]
    Model(#[from] ModelError),
}
