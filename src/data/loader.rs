//! The [`Loader`] trait.

use crate::data::{DataError, Source};

/// A source of data sets, named `id` or `id:argument` on the command line.
pub trait Loader: Send + Sync {
    /// Registry name.
    fn id(&self) -> &'static str;

    /// One line for lists and help.
    fn summary(&self) -> &'static str;

    /// Loads everything the source has.
    ///
    /// # Errors
    /// [`DataError`] naming the file and what is wrong with it.
    fn load(&self, argument: &str) -> Result<Source, DataError>;

    /// [`Loader::load`] of inputs of so many features, where that is known: other inputs may be refused before they are read.
    ///
    /// # Errors
    /// As [`Loader::load`].
    fn load_of(&self, argument: &str, _features: Option<usize>) -> Result<Source, DataError> {
        self.load(argument)
    }
}
