//! Data sets and their loaders, one file a loader.

mod array_file;
pub mod attack;
mod boolean;
mod bounded;
mod cifar10;
mod dataset;
mod digits;
mod error;
mod idx;
mod label_rule;
mod mnist;
mod normalisation;
mod npz;
mod recipe;
mod source;

pub use array_file::{parse_npy, parse_npz, read_npy, read_npz, write_npy, write_npy_vector, write_npz};
pub use dataset::{Dataset, Split};
pub use digits::digits;
pub use error::DataError;
pub use label_rule::LabelRule;
pub use normalisation::Normalisation;
pub use recipe::{Portions, Recipe};
pub use source::{Inputs, Rows, Source};

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
}

/// All loaders, in the order users see them. A new loader is a file and a line here.
pub fn registry() -> &'static [&'static dyn Loader] {
    &[&digits::Digits, &mnist::Mnist, &cifar10::Cifar10, &boolean::Boolean, &npz::Npz]
}

/// Loads all training rows of `digits`, `id:argument`, or the path of an `.npz` file, labelled by the source's own
/// rule. A [`Recipe`] takes less, and more carefully.
///
/// # Errors
/// As [`load_source`].
pub fn load(source: &str) -> Result<Dataset, DataError> {
    load_source(source)?.dataset()
}

/// Loads what `digits`, `id:argument`, or the path of an `.npz` file has.
///
/// # Errors
/// [`DataError::UnknownSource`], or the loader's own.
pub fn load_source(source: &str) -> Result<Source, DataError> {
    let (id, argument) = match source.split_once(':') {
        Some((id, argument)) => (id, argument),
        None if source.ends_with(".npz") => ("npz", source),
        None => (source, ""),
    };
    match registry().iter().find(|loader| loader.id() == id) {
        Some(loader) => loader.load(argument),
        None => Err(DataError::UnknownSource {
            source_name: source.to_owned(),
            known: registry().iter().map(|loader| loader.id()).collect::<Vec<_>>().join(", "),
        }),
    }
}
