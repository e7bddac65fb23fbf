//! Writing of arrays as NumPy's `.npy` and `.npz` files.

use super::bounded::fault;
use crate::data::DataError;
use crate::io::write_atomically;
use ndarray::{ArrayView1, ArrayView2};
use npyz::WriterBuilder;
use std::path::Path;

fn npy_bytes(shape: &[u64], values: impl Iterator<Item = f64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    {
        let mut writer = npyz::WriteOptions::new()
            .default_dtype()
            .shape(shape)
            .writer(&mut bytes)
            .begin_nd()
            .expect("writing to memory does not fail");
        writer.extend(values).expect("writing to memory does not fail");
        writer.finish().expect("as many values as the shape holds");
    }
    bytes
}

/// Writes a matrix as a `.npy` file of f64 in C order.
///
/// # Errors
/// [`DataError::File`] if the file cannot be written; then nothing is left behind.
pub fn write_npy(path: &Path, matrix: ArrayView2<f64>) -> Result<(), DataError> {
    let shape = [matrix.nrows() as u64, matrix.ncols() as u64];
    write_atomically(path, &npy_bytes(&shape, matrix.iter().copied()))
        .map_err(|error| fault(path, format!("cannot write the file ({error})")))
}

/// Writes a vector as a `.npy` file of f64.
///
/// # Errors
/// As [`write_npy`].
pub fn write_npy_vector(path: &Path, vector: ArrayView1<f64>) -> Result<(), DataError> {
    write_atomically(path, &npy_bytes(&[vector.len() as u64], vector.iter().copied()))
        .map_err(|error| fault(path, format!("cannot write the file ({error})")))
}

/// Writes a data set as an `.npz` file: `x` (`n` x the shape of one input) and `y` (`n`, or `n x outputs`).
///
/// # Errors
/// As [`write_npy`].
pub fn write_npz(
    path: &Path,
    inputs: ArrayView2<f64>,
    shape: &[usize],
    targets: ArrayView2<f64>,
) -> Result<(), DataError> {
    let rows = inputs.nrows() as u64;
    let x: Vec<u64> = [rows].into_iter().chain(shape.iter().map(|&extent| extent as u64)).collect();
    let y = if targets.ncols() == 1 { vec![rows] } else { vec![rows, targets.ncols() as u64] };
    let mut bytes = std::io::Cursor::new(Vec::new());
    let mut archive = npyz::npz::NpzWriter::new(&mut bytes);
    for (name, shape, values) in [("x", &x, inputs), ("y", &y, targets)] {
        let written = (|| {
            let mut array = archive.array(name, Default::default())?.default_dtype().shape(shape).begin_nd()?;
            array.extend(values.iter().copied())?;
            array.finish()
        })();
        written.expect("writing to memory does not fail");
    }
    drop(archive);
    write_atomically(path, bytes.get_ref()).map_err(|error| fault(path, format!("cannot write the file ({error})")))
}
