//! What can go wrong on the way to a Gram matrix.

use crate::model::ModelError;

/// Errors of the kernel room.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// The architecture itself cannot be compiled.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A layer has no closed-form kernel.
    #[error("layer {index} ({kind}) has no analytic kernel: {reason}; the empirical kernel covers it")]
    NoClosedForm {
        /// Position of the layer, nested positions joined by dots.
        index: String,
        /// Type of the layer.
        kind: &'static str,
        /// Why there is none.
        reason: &'static str,
    },
    /// The inputs do not fit the architecture.
    #[error("the inputs have {found} features per row, the architecture takes {expected}")]
    Inputs {
        /// Features found.
        found: usize,
        /// Features of the architecture's input.
        expected: usize,
    },
    /// An input is NaN or infinite.
    #[error("input ({row}, {column}) is {value}, expected a finite number")]
    NotFinite {
        /// Row of the first bad entry.
        row: usize,
        /// Its column.
        column: usize,
        /// What stands there.
        value: f64,
    },
    /// There is nothing to make a matrix of.
    #[error("there are 0 inputs, expected at least 1")]
    NoInputs,
    /// The square of an input is too large or too small for a number.
    #[error("input {row} has root mean square {root:e}, outside 1e-75 to 1e75: scale the inputs")]
    Magnitude {
        /// Row of the input.
        row: usize,
        /// Root of the mean of the squares of its entries.
        root: f64,
    },
    /// The result cannot be represented.
    #[error(
        "entry ({row}, {column}) of the kernel is {value}: weight_std and bias_std do not suit this depth and these \
         inputs"
    )]
    Entry {
        /// Row of the entry.
        row: usize,
        /// Its column.
        column: usize,
        /// What came of it.
        value: f64,
    },
    /// A variance has left the range in which products of two of them are representable.
    #[error(
        "the prior variance at layer {index} is {value:e} for input {sample}, outside 1e-150 to 1e150: weight_std and bias_std do not suit this depth"
    )]
    Variance {
        /// Position of the layer.
        index: String,
        /// Row of the input.
        sample: usize,
        /// The variance.
        value: f64,
    },
    /// The method has no tangent kernel.
    #[error("method '{method}' offers the nngp kernel only")]
    Kind {
        /// Registry name of the method.
        method: &'static str,
    },
    /// There are no features to average over.
    #[error("the last layer is not dense: the empirical kernel averages over the inputs of a dense last layer")]
    NoReadout,
    /// Too few networks.
    #[error("{found} sampled networks are too few, expected at least {expected} for {purpose}")]
    Samples {
        /// Networks asked for.
        found: usize,
        /// Least that make sense.
        expected: usize,
        /// What they are needed for.
        purpose: &'static str,
    },
    /// The average cannot have full rank.
    #[error(
        "{samples} networks of {width} features cannot give a kernel of full rank on {points} points; sample at least {needed}"
    )]
    Rank {
        /// Networks asked for.
        samples: usize,
        /// Features of each.
        width: usize,
        /// Points.
        points: usize,
        /// Networks that could do it.
        needed: usize,
    },
    /// A network's features overflow.
    #[error("the features of sampled network {network} overflow: weight_std and bias_std do not suit this depth")]
    Overflow {
        /// Number of the network.
        network: usize,
    },
    /// The file of unfinished work cannot be used.
    #[error("file '{path}': {reason}")]
    Partial {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The method does not cover this architecture, as one of a user's own may say.
    #[error("method '{method}' does not apply: {reason}")]
    NotApplicable {
        /// Name of the method.
        method: &'static str,
        /// Why not.
        reason: String,
    },
    /// What stands in for the method gave no usable answer.
    #[error("{method} by a command: {reason}")]
    External {
        /// Name of the method.
        method: &'static str,
        /// The named fault.
        reason: String,
    },
    /// Another process of the run failed.
    #[error("another process of this run failed; it says why")]
    Process,
    /// The computation would not fit into memory.
    #[error("this kernel needs {} of memory, {} may be used", gibibytes(.needed), gibibytes(.limit))]
    TooLarge {
        /// Bytes needed.
        needed: u64,
        /// Bytes that may be used.
        limit: u64,
    },
}

fn gibibytes(bytes: &u64) -> String {
    format!("{:.3} GiB", *bytes as f64 / f64::from(1 << 30))
}
