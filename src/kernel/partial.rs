//! Unfinished averages on disk: of what, and how many networks; then the bits of the numbers.

use super::moments::Moments;
use super::{KernelError, KernelOptions};
use crate::io::{Checksum, Fault, Unfinished, write_unfinished};
use crate::model::Architecture;
use ndarray::{Array2, ArrayView2};
use serde_json::{Value, json};
use std::path::Path;

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
    let matrices = [&moments.mean, &moments.spread].into_iter().chain(&moments.groups);
    let words = matrices.flatten().map(|value| value.to_bits());
    write_unfinished(path, &json!({ "key": key, "count": moments.count }), words)
        .map_err(|error| fault(path, &format!("cannot write the file ({error})")))
}

/// What was saved under `key`, if anything was.
///
/// # Errors
/// [`KernelError::Partial`]: a file that cannot be read, or holds something else.
pub(super) fn load(path: &Path, key: &Value, n: usize, groups: usize) -> Result<Option<Moments>, KernelError> {
    let refused = |reason: Fault| fault(path, &reason.to_string());
    let Some(mut file) = Unfinished::open(path).map_err(refused)? else { return Ok(None) };
    let header = file.header.clone();
    // Whose file it is can only be said of one that is whole; one of another kernel has other sizes.
    if header["key"] != *key {
        let number = |value: &Value| value.as_u64().ok_or_else(|| refused(Fault::Header));
        let (rows, groups) = (number(&header["key"]["inputs"][0])?, number(&header["key"]["groups"])?);
        let numbers = rows.saturating_mul(rows).saturating_mul(groups.saturating_add(2));
        (0..numbers).try_for_each(|_| file.word().map(drop)).and_then(|()| file.finish()).map_err(refused)?;
        return Err(fault(path, "it belongs to another kernel; remove it to start anew"));
    }
    let count = header["count"].as_u64().ok_or_else(|| refused(Fault::Damaged("its count is no number")))?;
    let mut matrix = || {
        let entries: Vec<f64> =
            (0..n * n).map(|_| file.word().map(f64::from_bits)).collect::<Result<_, _>>().map_err(refused)?;
        if entries.iter().any(|entry| !entry.is_finite()) {
            return Err(refused(Fault::Damaged("its numbers are not finite")));
        }
        Ok(Array2::from_shape_vec((n, n), entries).expect("n n entries were read"))
    };
    let (mean, spread) = (matrix()?, matrix()?);
    let groups = (0..groups).map(|_| matrix()).collect::<Result<_, _>>()?;
    file.finish().map_err(refused)?;
    Ok(Some(Moments { count, mean, spread, groups }))
}
