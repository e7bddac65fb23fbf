//! What can go wrong with cases in files.

/// A case that cannot be read or written, in one sentence that names the file or the case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct CorpusError {
    reason: String,
}

impl CorpusError {
    pub(super) fn new(reason: String) -> Self {
        Self { reason }
    }
}
