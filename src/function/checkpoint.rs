//! Unfinished runs on disk: of what, and how many rounds; then functions and their counts.

use super::counts::Dropped;
use super::{Counts, FunctionError, Sampler};
use crate::io::{Checksum, Fault, Unfinished, write_unfinished};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::Path;

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    /// What the counts are of.
    run: Value,
    /// Rounds that are counted.
    rounds: u64,
    functions: usize,
    networks: u64,
    dropped: Dropped,
}

/// All that the counts of a round depend on.
pub(super) fn key(sampler: &Sampler, max_functions: usize) -> Value {
    let inputs = sampler.inputs();
    let hash = inputs.iter().fold(Checksum::default(), |hash, value| hash.word(value.to_bits())).text();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "architecture": sampler.architecture(),
        "inputs": [inputs.nrows(), inputs.ncols()],
        "inputs_hash": hash,
        "seed": sampler.seed(),
        "max_functions": max_functions,
    })
}

fn fault(path: &Path, reason: &str) -> FunctionError {
    FunctionError::Checkpoint { path: path.display().to_string(), reason: reason.to_owned() }
}

pub(super) fn save(path: &Path, key: &Value, rounds: u64, counts: &Counts) -> Result<(), FunctionError> {
    let header = Header {
        run: key.clone(),
        rounds,
        functions: counts.function_count(),
        networks: counts.network_count(),
        dropped: counts.dropped(),
    };
    let header = serde_json::to_value(&header).expect("headers serialise");
    let words = counts.entries().flat_map(|(words, count)| words.iter().copied().chain([count]));
    write_unfinished(path, &header, words).map_err(|error| fault(path, &format!("cannot write the file ({error})")))
}

/// Sees that what is at `path` may be replaced: nothing, or unfinished work of this very run.
///
/// # Errors
/// [`FunctionError::Checkpoint`]: anything else.
pub(super) fn check_own(path: &Path, key: &Value) -> Result<(), FunctionError> {
    let file = match Unfinished::open(path) {
        Ok(None) => return Ok(()),
        Ok(file) => file,
        Err(Fault::Header) => None,
        Err(other) => return Err(fault(path, &other.to_string())),
    };
    match file.and_then(|file| serde_json::from_value::<Header>(file.header).ok()) {
        Some(header) if header.run == *key => Ok(()),
        _ => {
            Err(fault(path, "it is not unfinished work of this run; remove it or choose another place for the result"))
        }
    }
}

/// Rounds and counts that were saved, if any were.
///
/// # Errors
/// [`FunctionError::Checkpoint`]: a file that cannot be read, is damaged, or belongs to another run.
pub(super) fn load(path: &Path, key: &Value, inputs: usize) -> Result<Option<(u64, Counts)>, FunctionError> {
    let refused = |reason: Fault| fault(path, &reason.to_string());
    let damaged = |what: &'static str| refused(Fault::Damaged(what));
    let Some(mut file) = Unfinished::open(path).map_err(refused)? else { return Ok(None) };
    let header: Header = serde_json::from_value(file.header.clone()).map_err(|_| refused(Fault::Header))?;
    let mut counts = Counts::new(inputs);
    let mut words = vec![0; super::bits::words_of(inputs)];
    // Counts of a file may add up to more than a number holds.
    let mut total = header.dropped.networks;
    let mut more = |count: u64| {
        total = total.checked_add(count).ok_or_else(|| damaged("its counts do not add up"))?;
        Ok::<_, FunctionError>(())
    };
    // Whose file it is can only be said of one that is whole.
    let mine = header.run == *key;
    let width = if mine { words.len() } else { header.run["inputs"][0].as_u64().unwrap_or(0).div_ceil(64) as usize };
    for _ in 0..header.functions {
        if mine {
            words.iter_mut().try_for_each(|place| file.word().map(|word| *place = word)).map_err(refused)?;
            let count = file.word().map_err(refused)?;
            more(count)?;
            counts.add_words(&words, count);
        } else {
            (0..=width).try_for_each(|_| file.word().map(drop)).map_err(refused)?;
        }
    }
    file.finish().map_err(refused)?;
    if !mine {
        return Err(fault(
            path,
            "it belongs to another run; remove it, choose another output or give the same settings",
        ));
    }
    counts.restore_dropped(header.dropped);
    if counts.function_count() != header.functions || counts.network_count() != header.networks {
        return Err(damaged("its counts do not add up"));
    }
    Ok(Some((header.rounds, counts)))
}
