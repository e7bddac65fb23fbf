//! Data sets in `.npz` files with arrays `x` (n x d or n x c x h x w) and `y` (n, or n x outputs).

use crate::data::npy::npz_shape;
use crate::data::{DataError, Inputs, LabelRule, Loader, Rows, Source, read_npz, read_npz_that, rows_of};
use std::path::Path;

/// Loader of `.npz` files.
#[derive(Debug)]
pub struct Npz;

impl Loader for Npz {
    fn id(&self) -> &'static str {
        "npz"
    }

    fn summary(&self) -> &'static str {
        "PATH.npz with x (n x d or n x c x h x w) and y (n)"
    }

    fn load(&self, argument: &str) -> Result<Source, DataError> {
        self.load_of(argument, None)
    }

    /// Shapes are looked at before entries are read: a small archive can claim large arrays.
    fn load_of(&self, argument: &str, features: Option<usize>) -> Result<Source, DataError> {
        let path = Path::new(argument);
        let fault = |reason: String| DataError::File { path: argument.to_owned(), reason };
        let shape = npz_shape(path, "x")?;
        if !matches!(shape.len(), 2 | 4) {
            return Err(fault(format!("x has shape {shape:?}, expected n x d or n x c x h x w")));
        }
        let (n, found) = (shape[0], shape[1..].iter().product::<usize>());
        if let Some(features) = features.filter(|features| *features != found) {
            return Err(fault(format!(
                "x has shape {shape:?}, {found} features per row; the architecture takes {features}"
            )));
        }
        let labels = |shape: &[usize]| match matches!(shape.len(), 1 | 2) && shape[0] == n {
            true => Ok(()),
            false => Err(format!("y has shape {shape:?}, expected {n} labels as x has {n} rows")),
        };
        let y = read_npz_that(path, "y", &labels)?;
        let x = read_npz(path, "x")?;
        for (name, array) in [("x", &x), ("y", &y)] {
            if let Some((index, value)) = array.iter().enumerate().find(|(_, value)| !value.is_finite()) {
                return Err(fault(format!("entry {index} of {name} is {value}, expected finite numbers")));
            }
        }
        Ok(Source {
            name: argument.to_owned(),
            shape: shape[1..].to_vec(),
            training: Rows { inputs: Inputs::Reals(rows_of(x)), targets: rows_of(y) },
            test: None,
            rule: LabelRule::AsGiven,
            notes: Vec::new(),
        })
    }
}
