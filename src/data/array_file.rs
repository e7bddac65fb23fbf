//! Arrays in NumPy's `.npy` and `.npz` files: any integer, float or boolean type, C or Fortran order.

use crate::data::DataError;
use crate::numeric::write_atomically;
use ndarray::{ArrayD, ArrayView1, ArrayView2, IxDyn, ShapeBuilder};
use npyz::{NpyFile, NpyHeader, Order, TypeChar, WriterBuilder};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// Longest header accepted; NumPy writes 128 bytes for plain arrays.
const MAX_HEADER_BYTES: u64 = 1 << 16;
/// Most entries accepted in one array (2 GiB as f64): larger claims are damage or attacks.
const MAX_ENTRIES: u64 = 1 << 28;

fn fault(path: &Path, reason: impl Into<String>) -> DataError {
    DataError::File { path: path.display().to_string(), reason: reason.into() }
}

fn open(path: &Path) -> Result<File, DataError> {
    File::open(path).map_err(|error| fault(path, format!("cannot read the file ({error})")))
}

/// Reads a `.npy` file.
///
/// # Errors
/// [`DataError::File`]: missing, not `.npy`, truncated, or of a type that is not a number.
pub fn read_npy(path: &Path) -> Result<ArrayD<f64>, DataError> {
    read_array(BufReader::new(open(path)?)).map_err(|reason| fault(path, reason))
}

/// Reads a `.npy` file in memory.
///
/// # Errors
/// What is wrong with it, in one sentence.
pub fn parse_npy(bytes: &[u8]) -> Result<ArrayD<f64>, String> {
    read_array(bytes)
}

/// Reads array `name` of an `.npz` file.
///
/// # Errors
/// [`DataError::File`]: as [`read_npy`], or the archive or the array in it is missing or damaged.
pub fn read_npz(path: &Path, name: &str) -> Result<ArrayD<f64>, DataError> {
    let file = BufReader::new(open(path)?);
    let mut archive =
        npyz::npz::NpzArchive::new(file).map_err(|error| fault(path, format!("not an .npz archive ({error})")))?;
    read_entry(&mut archive, name).map_err(|reason| fault(path, reason))
}

/// Reads array `name` of an `.npz` archive in memory.
///
/// # Errors
/// What is wrong with it, in one sentence.
pub fn parse_npz(bytes: &[u8], name: &str) -> Result<ArrayD<f64>, String> {
    let mut archive = npyz::npz::NpzArchive::new(std::io::Cursor::new(bytes)).map_err(|error| error.to_string())?;
    read_entry(&mut archive, name)
}

fn read_entry<R: Read + std::io::Seek>(
    archive: &mut npyz::npz::NpzArchive<R>,
    name: &str,
) -> Result<ArrayD<f64>, String> {
    let file_name = npyz::npz::file_name_from_array_name(name);
    let mut names: Vec<String> = archive.array_names().map(str::to_owned).collect();
    names.sort();
    let entry = archive
        .zip_archive()
        .by_name(&file_name)
        .map_err(|error| format!("array '{name}' cannot be read ({error}); found {names:?}"))?;
    read_array(entry).map_err(|reason| format!("array '{name}': {reason}"))
}

fn read_array(mut reader: impl Read) -> Result<ArrayD<f64>, String> {
    let header = NpyHeader::from_reader(reader.by_ref().take(MAX_HEADER_BYTES))
        .map_err(|error| format!("not a NumPy array ({error})"))?;
    let npyz::DType::Plain(kind) = header.dtype() else {
        return Err(format!("type {} is not a plain number", header.dtype().descr()));
    };
    let mut entries: u64 = 1;
    for &extent in header.shape() {
        entries = entries.checked_mul(extent).filter(|&entries| entries <= MAX_ENTRIES).ok_or_else(|| {
            format!("shape {:?} has more than {MAX_ENTRIES} entries, the most that is read", header.shape())
        })?;
    }
    let shape: Vec<usize> = header.shape().iter().map(|&extent| extent as usize).collect();
    let order = header.order();
    let file = NpyFile::with_header(header, reader);
    let size = kind.size_field();
    let values = match (kind.type_char(), size) {
        (TypeChar::Float, 8) => collect::<f64, _>(file, |x| x),
        (TypeChar::Float, 4) => collect::<f32, _>(file, f64::from),
        (TypeChar::Float, 2) => collect::<half::f16, _>(file, f64::from),
        (TypeChar::Int, 1) => collect::<i8, _>(file, f64::from),
        (TypeChar::Int, 2) => collect::<i16, _>(file, f64::from),
        (TypeChar::Int, 4) => collect::<i32, _>(file, f64::from),
        (TypeChar::Int, 8) => collect::<i64, _>(file, |x| x as f64),
        (TypeChar::Uint, 1) => collect::<u8, _>(file, f64::from),
        (TypeChar::Uint, 2) => collect::<u16, _>(file, f64::from),
        (TypeChar::Uint, 4) => collect::<u32, _>(file, f64::from),
        (TypeChar::Uint, 8) => collect::<u64, _>(file, |x| x as f64),
        (TypeChar::Bool, 1) => collect::<bool, _>(file, |x| f64::from(u8::from(x))),
        _ => return Err(format!("type {kind} is not an integer, float or boolean of 1 to 8 bytes")),
    }?;
    let shape = IxDyn(&shape).set_f(order == Order::Fortran);
    Ok(ArrayD::from_shape_vec(shape, values).expect("as many values were read as the shape holds"))
}

/// Reads all entries; memory grows with what is really there, not with what the header claims.
fn collect<T: npyz::Deserialize, R: Read>(file: NpyFile<R>, convert: impl Fn(T) -> f64) -> Result<Vec<f64>, String> {
    let expected = file.len();
    let mut values = Vec::new();
    for value in file.data::<T>().map_err(|error| error.to_string())? {
        let value =
            value.map_err(|error| format!("truncated after {} of {expected} entries ({error})", values.len()))?;
        values.push(convert(value));
    }
    Ok(values)
}

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
