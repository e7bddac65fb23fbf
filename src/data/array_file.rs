//! Writing of arrays as NumPy's `.npy` and `.npz` files.

use super::bounded::fault;
use crate::data::DataError;
use crate::io::write_atomically;
use ndarray::{ArrayView1, ArrayView2};
use std::io::Write;
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// An array of f64 in C order as NumPy writes it, format 1.0: the header is padded with spaces so that the entries begin at a
/// multiple of 64.
fn npy_bytes(shape: &[usize], values: impl Iterator<Item = f64>) -> Vec<u8> {
    const BEFORE: &[u8] = b"\x93NUMPY\x01\x00";
    let extents = shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    let comma = if shape.len() == 1 { "," } else { "" };
    let mut header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({extents}{comma}), }}");
    let length = (BEFORE.len() + 2 + header.len() + 1).next_multiple_of(64);
    header.extend(std::iter::repeat_n(' ', length - 1 - header.len() - 2 - BEFORE.len()));
    header.push('\n');
    let mut bytes = BEFORE.to_vec();
    bytes.extend(u16::try_from(header.len()).expect("headers of few axes are short").to_le_bytes());
    bytes.extend(header.into_bytes());
    values.for_each(|value| bytes.extend(value.to_le_bytes()));
    bytes
}

/// Writes a matrix as a `.npy` file of f64 in C order.
///
/// # Errors
/// [`DataError::File`] if the file cannot be written; then nothing is left behind.
pub fn write_npy(path: &Path, matrix: ArrayView2<f64>) -> Result<(), DataError> {
    let shape = [matrix.nrows(), matrix.ncols()];
    write_atomically(path, &npy_bytes(&shape, matrix.iter().copied()))
        .map_err(|error| fault(path, format!("cannot write the file ({error})")))
}

/// Writes a vector as a `.npy` file of f64.
///
/// # Errors
/// As [`write_npy`].
pub fn write_npy_vector(path: &Path, vector: ArrayView1<f64>) -> Result<(), DataError> {
    write_atomically(path, &npy_bytes(&[vector.len()], vector.iter().copied()))
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
    let rows = inputs.nrows();
    let x = [&[rows], shape].concat();
    let y = if targets.ncols() == 1 { vec![rows] } else { vec![rows, targets.ncols()] };
    let mut archive = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    // No clock: the same data are the same bytes.
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, shape, values) in [("x.npy", &x, inputs), ("y.npy", &y, targets)] {
        let array = npy_bytes(shape, values.iter().copied());
        let stored = stored.large_file(array.len() > u32::MAX as usize);
        archive.start_file(name, stored).expect("the names differ");
        archive.write_all(&array).expect("writing to memory does not fail");
    }
    let bytes = archive.finish().expect("writing to memory does not fail");
    write_atomically(path, bytes.get_ref()).map_err(|error| fault(path, format!("cannot write the file ({error})")))
}
