//! Unfinished averages on disk: one line of JSON that says of what, then the numbers (f64, little endian).

use super::moments::Moments;
use super::{KernelError, KernelOptions};
use crate::model::Architecture;
use crate::numeric::write_atomically;
use ndarray::{Array2, ArrayView2};
use serde_json::{Value, json};
use std::path::Path;

fn fault(path: &Path, reason: &str) -> KernelError {
    KernelError::Partial { path: path.display().to_string(), reason: reason.to_owned() }
}

/// All that the numbers depend on, the count of networks apart.
pub(super) fn key(architecture: &Architecture, inputs: ArrayView2<f64>, options: &KernelOptions) -> Value {
    // FNV-1a over the bits of the inputs.
    let hash = inputs.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, value| {
        value
            .to_bits()
            .to_le_bytes()
            .iter()
            .fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
    });
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "architecture": architecture,
        "inputs": [inputs.nrows(), inputs.ncols()],
        "inputs_hash": format!("{hash:016x}"),
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
    write_atomically(path, &bytes).map_err(|error| fault(path, &format!("cannot write the file ({error})")))
}

/// What was saved under `key`, if anything was.
///
/// # Errors
/// [`KernelError::Partial`]: a file that cannot be read, or holds something else.
pub(super) fn load(path: &Path, key: &Value, n: usize, groups: usize) -> Result<Option<Moments>, KernelError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault(path, &format!("cannot read the file ({error})"))),
    };
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let header: Value = serde_json::from_slice(&bytes[..end])
        .map_err(|_| fault(path, "it is no unfinished kernel; remove it or choose another --out"))?;
    if header["key"] != *key {
        return Err(fault(path, "it belongs to another kernel; remove it to start anew"));
    }
    let numbers = bytes.get(end + 1..).unwrap_or_default();
    let count = header["count"].as_u64().filter(|_| numbers.len() == 8 * n * n * (2 + groups));
    let count = count.ok_or_else(|| fault(path, "it is damaged; remove it to start anew"))?;
    let mut values = numbers.chunks_exact(8).map(|eight| f64::from_le_bytes(eight.try_into().expect("eight bytes")));
    let mut matrix = || {
        let entries = values.by_ref().take(n * n).collect();
        Array2::from_shape_vec((n, n), entries).expect("the length was checked")
    };
    Ok(Some(Moments { count, mean: matrix(), spread: matrix(), groups: (0..groups).map(|_| matrix()).collect() }))
}
