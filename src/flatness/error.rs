//! What can go wrong with a measure.

/// Errors of the flatness room.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FlatnessError {
    /// Parameters from outside cannot be used.
    #[error("{what}: found {found}, expected {expected}")]
    Parameters {
        /// What disagrees.
        what: String,
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// A setting that does not exist or cannot be read.
    #[error("option '{option}' cannot be '{value}': {reason}")]
    Setting {
        /// The setting.
        option: String,
        /// What was given.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A setting is out of range.
    #[error("{measure}: {option} is {value}, expected {expected}")]
    Option {
        /// Registry name of the measure.
        measure: &'static str,
        /// The setting.
        option: &'static str,
        /// What was given.
        value: String,
        /// What is accepted.
        expected: &'static str,
    },
    /// The measure does not cover this network.
    #[error("{measure} does not apply to this network: {reason}")]
    NotApplicable {
        /// Registry name of the measure.
        measure: &'static str,
        /// Why not.
        reason: String,
    },
    /// The dense path was asked for beyond its size.
    #[error("{measure} needs the dense Hessian of {parameters} parameters, above the limit of {limit}")]
    TooLarge {
        /// Registry name of the measure.
        measure: &'static str,
        /// Parameters of the network.
        parameters: usize,
        /// Most parameters the dense path takes.
        limit: usize,
    },
    /// An iteration did not converge.
    #[error("{measure} did not converge in {iterations} iterations: residual {residual:e}, wanted {wanted:e}")]
    NotConverged {
        /// Registry name of the measure.
        measure: &'static str,
        /// Iterations done.
        iterations: usize,
        /// Residual reached.
        residual: f64,
        /// Residual wanted.
        wanted: f64,
    },
    /// The computation met a number that is not finite.
    #[error("{measure}: {what} is {value}, expected a finite number")]
    NotFinite {
        /// Registry name of the measure.
        measure: &'static str,
        /// What overflowed or was undefined.
        what: &'static str,
        /// Its value.
        value: f64,
    },
    /// A command that stands in for the measure gave no usable answer.
    #[error("{measure} by a command: {reason}")]
    External {
        /// Registry name of the measure.
        measure: &'static str,
        /// The named fault.
        reason: String,
    },
}
