//! What can go wrong with a rescaling.

/// What can go wrong with a rescaling that a user asks for.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RescaleError {
    /// The factor is not usable.
    #[error("alpha is {0}, expected a finite number above 0")]
    Alpha(f64),
    /// There is no such layer, or nothing after it that could compensate.
    #[error("layer {layer} cannot be rescaled: {reason}")]
    Layer {
        /// Number of the parametrised layer.
        layer: usize,
        /// Why not.
        reason: String,
    },
    /// A range of factors is not usable.
    #[error("factors from {low} to {high}, expected 0 < low <= high")]
    Range {
        /// Smallest factor.
        low: f64,
        /// Largest factor.
        high: f64,
    },
    /// A list does not have one entry a hidden unit.
    #[error("layer {layer} has {expected} hidden units behind it, but {found} {what} were given")]
    Length {
        /// Number of the parametrised layer.
        layer: usize,
        /// What was listed.
        what: &'static str,
        /// Entries given.
        found: usize,
        /// Hidden units.
        expected: usize,
    },
    /// The map does not preserve the function of this architecture.
    #[error("rescaling '{id}' does not preserve the function of {architecture}: {reason}")]
    NotApplicable {
        /// Registry name of the rescaling.
        id: &'static str,
        /// The architecture.
        architecture: String,
        /// Which condition fails.
        reason: String,
    },
}
