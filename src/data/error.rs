//! What can go wrong with data that a user supplies.

/// Errors of the data room.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file cannot be used.
    #[error("file '{path}': {reason}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The name of a data source means nothing.
    #[error("data source '{source_name}' is unknown, expected one of: {known}")]
    UnknownSource {
        /// What was asked for.
        source_name: String,
        /// What is known.
        known: String,
    },
    /// What is asked of a data source makes no sense.
    #[error("data source '{source_name}': expected {expected}")]
    Argument {
        /// What was asked for.
        source_name: String,
        /// What is possible.
        expected: String,
    },
    /// Inputs cannot be used as they are to be used.
    #[error("inputs of '{source_name}': {reason}")]
    Inputs {
        /// The data source.
        source_name: String,
        /// What is wrong.
        reason: String,
    },
    /// More rows were asked for than there are.
    #[error("{wanted} {what} were asked for, but '{source_name}' has {available}")]
    TooFew {
        /// The data source.
        source_name: String,
        /// What the rows are for.
        what: &'static str,
        /// How many were asked for.
        wanted: usize,
        /// How many there are.
        available: usize,
    },
    /// The labels do not fit what is to be done with them.
    #[error("labels of '{source_name}': {reason}")]
    Labels {
        /// The data source.
        source_name: String,
        /// What is wrong.
        reason: String,
    },
}
