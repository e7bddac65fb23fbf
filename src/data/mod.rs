//! Data sets and their loaders, one file per loader.
//!
//! ```
//! use flatgauge::data::{Recipe, load_source};
//!
//! // 50 training rows, 10 rows with wrong labels beside them, 20 test rows; the seed decides which.
//! let recipe = Recipe { train: 50, attack: 10, test: 20, seed: 1, ..Recipe::default() };
//! let splits = recipe.take(&load_source("digits")?)?;
//! assert_eq!((splits.training.len(), splits.clean, splits.test.len()), (60, 50, 20));
//! # Ok::<(), flatgauge::data::DataError>(())
//! ```

mod array_file;
pub(crate) mod attack;
mod boolean;
mod bounded;
mod cifar10;
mod dataset;
mod digits;
mod error;
mod idx;
mod label_rule;
mod loader;
mod mnist;
mod normalisation;
mod npy;
mod npy_header;
mod npz;
mod recipe;
mod source;

pub use loader::Loader;

#[doc(hidden)]
pub use array_file::{write_npy, write_npy_vector, write_npz};
pub use dataset::{Dataset, Split};
pub use digits::digits;
pub use error::DataError;
pub use label_rule::LabelRule;
pub use normalisation::Normalisation;
pub use npy::{Fits, read_npy, read_npz};
#[doc(hidden)]
pub use npy::{parse_npy, parse_npz, read_npy_that, read_npz_that, rows_of};
pub use recipe::{Recipe, Splits};
pub use source::{Inputs, Rows, Source};

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
    load_source_of(source, None)
}

/// [`load_source`] of inputs of this many features, where that is known: other inputs are refused, before they are read where
/// the source allows it.
///
/// # Errors
/// As [`load_source`], or [`DataError::Inputs`].
pub fn load_source_of(source: &str, features: Option<usize>) -> Result<Source, DataError> {
    let found = find_loader(source)?;
    let source = found.0.load_of(found.1, features)?;
    let there: usize = source.shape.iter().product();
    match features.filter(|features| *features != there) {
        None => Ok(source),
        Some(features) => {
            let reason =
                format!("{there} features per row (shape {:?}), the architecture takes {features}", source.shape);
            Err(DataError::Inputs { source_name: source.name, reason })
        }
    }
}

fn find_loader(source: &str) -> Result<(&'static dyn Loader, &str), DataError> {
    let (id, argument) = match source.split_once(':') {
        Some((id, argument)) => (id, argument),
        None if source.ends_with(".npz") => ("npz", source),
        None => (source, ""),
    };
    match registry().iter().find(|loader| crate::id::names(id, loader.id())) {
        Some(loader) => Ok((*loader, argument)),
        None => Err(DataError::UnknownSource {
            source_name: source.to_owned(),
            known: registry().iter().map(|loader| loader.id()).collect::<Vec<_>>().join(", "),
        }),
    }
}
