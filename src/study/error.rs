//! What can go wrong in a study.

use crate::data::DataError;
use crate::flatness::FlatnessError;
use crate::function::FunctionError;
use crate::kernel::KernelError;
use crate::model::ModelError;
use crate::prior::PriorError;
use crate::rescale::RescaleError;
use crate::train::TrainError;

/// What can go wrong in a study.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StudyError {
    /// A request that cannot be met.
    #[error("{name}: found {found}, expected {expected}")]
    Request {
        /// What of the request.
        name: &'static str,
        /// What was asked.
        found: String,
        /// What can be.
        expected: String,
    },
    /// Too few networks reached zero error.
    #[error("{trained} of {wanted} networks reached zero training error, expected at least {least}: {reason}")]
    Untrained {
        /// Networks that did.
        trained: usize,
        /// Networks that were to.
        wanted: usize,
        /// Fewest of use.
        least: usize,
        /// What became of the first that did not.
        reason: String,
    },
    /// A network cannot be measured.
    #[error("network {network}: {reason}")]
    Network {
        /// Its name.
        network: String,
        /// What went wrong.
        reason: String,
    },
    /// A file of the output folder.
    #[error("file '{path}': {reason}")]
    File {
        /// Which.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// Data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Models.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Training.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Kernels.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// `log P(f)`.
    #[error(transparent)]
    Prior(#[from] PriorError),
    /// Flatness.
    #[error(transparent)]
    Flatness(#[from] FlatnessError),
    /// Functions.
    #[error(transparent)]
    Function(#[from] FunctionError),
    /// Rescaling.
    #[error(transparent)]
    Rescale(#[from] RescaleError),
}
