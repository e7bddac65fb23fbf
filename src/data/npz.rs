//! Data sets in `.npz` files with arrays `x` (n x d or n x c x h x w) and `y` (n, or n x outputs).

use crate::data::array_file::read_npz;
use crate::data::{DataError, Inputs, LabelRule, Loader, Rows, Source};
use ndarray::Array2;
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
        let path = Path::new(argument);
        let fault = |reason: String| DataError::File { path: argument.to_owned(), reason };
        let (x, y) = (read_npz(path, "x")?, read_npz(path, "y")?);
        if !matches!(x.ndim(), 2 | 4) {
            return Err(fault(format!("x has shape {:?}, expected n x d or n x c x h x w", x.shape())));
        }
        let n = x.shape()[0];
        if !matches!(y.ndim(), 1 | 2) || y.shape()[0] != n {
            return Err(fault(format!("y has shape {:?}, expected {n} labels as x has {n} rows", y.shape())));
        }
        if let Some((index, value)) = x.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            return Err(fault(format!("entry {index} of x is {value}, expected finite numbers")));
        }
        let shape = x.shape()[1..].to_vec();
        let flat = |array: ndarray::ArrayD<f64>| -> Array2<f64> {
            let columns = array.shape()[1..].iter().product();
            // A logical C-order copy: Fortran-ordered files must not be read in memory order.
            Array2::from_shape_vec((n, columns), array.iter().copied().collect()).expect("same number of entries")
        };
        Ok(Source {
            name: argument.to_owned(),
            shape,
            training: Rows { inputs: Inputs::Reals(flat(x)), targets: flat(y) },
            test: None,
            rule: LabelRule::AsGiven,
        })
    }
}
