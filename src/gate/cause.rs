//! Why a check did not pass.

use serde::Serialize;

/// Why a check did not pass: two estimators that are not held to be right can need quite different work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// A failure: a law or a value is broken.
    Wrong,
    /// A failure: the estimator crashed, hung, raised an error, or gave something that is no number.
    Broken,
    /// A failure: no case of a law was decided, so nothing is known.
    NothingVerified,
    /// A skip: the estimator says that it does not cover the case.
    Unsupported,
    /// A skip: standard errors are so large that nothing is decided.
    Undecided,
    /// A skip: the law says nothing of this case.
    NotApplicable,
    /// A skip: the law is not owed by this estimator, on any case.
    NotOwed,
    /// A skip: a failure that was declared in advance, with its reason.
    Known,
}

impl Cause {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wrong => "wrong",
            Self::Broken => "broken",
            Self::NothingVerified => "nothing verified",
            Self::Unsupported => "unsupported",
            Self::Undecided => "undecided",
            Self::NotApplicable => "not applicable",
            Self::NotOwed => "not owed",
            Self::Known => "known",
        }
    }
}
