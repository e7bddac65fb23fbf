//! Why a map or an optimiser under test gives no parameters.

use crate::gate::finding::Finding;

/// Why a subject that answers with parameters gave none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoParameters {
    /// It does not cover what it was asked, in its own words.
    #[error("{0}")]
    NotApplicable(String),
    /// It failed.
    #[error("{0}")]
    Fault(String),
}

impl From<NoParameters> for Finding {
    fn from(error: NoParameters) -> Self {
        match error {
            NoParameters::NotApplicable(reason) => Self::unsupported(reason),
            NoParameters::Fault(reason) => Self::fail(reason),
        }
    }
}
