//! Data sets and their loaders, one file a loader.

mod array_file;
mod dataset;
mod digits;
mod error;
mod npz;

pub use array_file::{parse_npy, parse_npz, read_npy, read_npz, write_npy, write_npy_vector, write_npz};
pub use dataset::{Dataset, Split};
pub use digits::digits;
pub use error::DataError;

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
    fn load(&self, argument: &str) -> Result<Dataset, DataError>;
}

/// All loaders, in the order users see them. A new loader is a file and a line here.
pub fn registry() -> &'static [&'static dyn Loader] {
    &[&digits::Digits, &npz::Npz]
}

/// Loads `digits`, `id:argument`, or the path of an `.npz` file.
///
/// # Errors
/// [`DataError::UnknownSource`], or the loader's own.
pub fn load(source: &str) -> Result<Dataset, DataError> {
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
