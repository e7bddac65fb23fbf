//! Unfinished averages on disk: one line of JSON that says of what, then the numbers (f64, little endian), then a checksum of
//! everything before it.

use super::moments::Moments;
use super::{KernelError, KernelOptions};
use crate::io::{Checksum, read_file, write_atomically};
use crate::model::Architecture;
use ndarray::{Array2, ArrayView2};
use serde_json::{Value, json};
use std::path::Path;

/// Longest first line: an architecture of thousands of layers is shorter.
const LONGEST_HEADER: u64 = 1 << 24;

fn fault(path: &Path, reason: &str) -> KernelError {
    KernelError::Partial { path: path.display().to_string(), reason: reason.to_owned() }
}

/// All that the numbers depend on, the count of networks apart.
pub(super) fn key(architecture: &Architecture, inputs: ArrayView2<f64>, options: &KernelOptions) -> Value {
    let hash = inputs.iter().fold(Checksum::default(), |hash, value| hash.word(value.to_bits())).text();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "architecture": architecture,
        "inputs": [inputs.nrows(), inputs.ncols()],
        "inputs_hash": hash,
        "seed": options.seed,
        "groups": options.groups,
    })
}

pub(super) fn save(path: &Path, key: &Value, moments: &Moments) -> Result<(), KernelError> {
    let header = json!({ "key": key, "count": moments.count });
    let mut bytes = (header.to_string() + "\n").into_bytes();
    for matrix in [&moments.mean, &moments.spread].into_iter().chain(&moments.groups) {
        matrix.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
    }
    let checksum = Checksum::default().bytes(&bytes).value();
    bytes.extend(checksum.to_le_bytes());
    write_atomically(path, &bytes).map_err(|error| fault(path, &format!("cannot write the file ({error})")))
}

/// What was saved under `key`, if anything was.
///
/// # Errors
/// [`KernelError::Partial`]: a file that cannot be read, or holds something else.
pub(super) fn load(path: &Path, key: &Value, n: usize, groups: usize) -> Result<Option<Moments>, KernelError> {
    let numbers = 8 * (n * n * (2 + groups)) as u64;
    let bytes = match read_file(path, LONGEST_HEADER + numbers + 8) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault(path, &format!("cannot read the file ({error})"))),
    };
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let header: Value = serde_json::from_slice(&bytes[..end])
        .map_err(|_| fault(path, "it is no unfinished kernel; remove it or choose another place for the result"))?;
    let damaged = || fault(path, "it is damaged; remove it to start anew");
    let (rest, checksum) = bytes.split_last_chunk().ok_or_else(damaged)?;
    // Whose file it is can only be said of one that is whole.
    if u64::from_le_bytes(*checksum) != Checksum::default().bytes(rest).value() {
        return Err(damaged());
    }
    if header["key"] != *key {
        return Err(fault(path, "it belongs to another kernel; remove it to start anew"));
    }
    let count =
        header["count"].as_u64().filter(|_| rest.len() as u64 == end as u64 + 1 + numbers).ok_or_else(damaged)?;
    let values = rest[end + 1..].as_chunks().0.iter().map(|eight| f64::from_le_bytes(*eight));
    if values.clone().any(|value| !value.is_finite()) {
        return Err(damaged());
    }
    let mut values = values;
    let mut matrix = || {
        let entries = values.by_ref().take(n * n).collect();
        Array2::from_shape_vec((n, n), entries).expect("the length was checked")
    };
    Ok(Some(Moments { count, mean: matrix(), spread: matrix(), groups: (0..groups).map(|_| matrix()).collect() }))
}
