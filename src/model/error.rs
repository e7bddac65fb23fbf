//! What can go wrong with architectures and networks that a user supplies.

/// Errors of the model room.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The description of an architecture cannot be used.
    #[error("architecture '{origin}': {reason}")]
    Architecture {
        /// The shorthand or the file's path.
        origin: String,
        /// What is wrong.
        reason: String,
    },
    /// A layer does not fit the shape that reaches it.
    #[error("layer {index} ({kind}) cannot take an input of shape {input:?}: {reason}")]
    Shape {
        /// Position of the layer, nested positions joined by dots.
        index: String,
        /// Type of the layer.
        kind: &'static str,
        /// Shape that reaches it.
        input: Vec<usize>,
        /// What it expects.
        reason: String,
    },
    /// A size is beyond what is computed with.
    #[error("{place} has {found} {what}, more than the {most} that are computed with")]
    TooLarge {
        /// The layer, the input or the whole network.
        place: String,
        /// What there are too many of.
        what: &'static str,
        /// How many, as a product of sizes.
        found: String,
        /// The most that are possible.
        most: usize,
    },
    /// A checkpoint file cannot be used.
    #[error("network file '{path}': {reason}")]
    Checkpoint {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// Data and network do not fit together.
    #[error("{what}: found {found}, expected {expected}")]
    Mismatch {
        /// What disagrees.
        what: String,
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },
}
