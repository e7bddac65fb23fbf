//! Where the entries of a Gram matrix live: with it, or with somebody else.

use ndarray::{Array2, ArrayView2};
use std::fmt;
use std::sync::Arc;

/// A square matrix that somebody else owns and a [`Gram`](super::Gram) reads where it lies, such as an array of NumPy that is
/// too large to be copied.
///
/// `view` shows the same numbers at every call: what a `Gram` was checked for must stay true while it lives.
pub trait SharedMatrix: Send + Sync {
    /// The entries, `n x n`.
    fn view(&self) -> ArrayView2<'_, f64>;
}

impl SharedMatrix for Array2<f64> {
    fn view(&self) -> ArrayView2<'_, f64> {
        ArrayView2::from(self)
    }
}

#[derive(Clone)]
pub(super) enum Entries {
    Own(Array2<f64>),
    Shared(Arc<dyn SharedMatrix>),
}

impl Entries {
    pub(super) fn view(&self) -> ArrayView2<'_, f64> {
        match self {
            Self::Own(matrix) => matrix.view(),
            Self::Shared(matrix) => matrix.view(),
        }
    }

    pub(super) fn into_owned(self) -> Array2<f64> {
        match self {
            Self::Own(matrix) => matrix,
            Self::Shared(matrix) => matrix.view().to_owned(),
        }
    }
}

impl PartialEq for Entries {
    fn eq(&self, other: &Self) -> bool {
        self.view() == other.view()
    }
}

impl fmt::Debug for Entries {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        self.view().fmt(formatter)
    }
}
