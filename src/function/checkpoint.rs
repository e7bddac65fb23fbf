//! Unfinished runs on disk: a line of JSON that says of what, then functions and counts (u64, little endian), then a
//! checksum of everything before it.

use super::counts::Dropped;
use super::{Counts, FunctionError, Sampler};
use crate::io::{Checksum, open_file, write_atomically_with};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

/// Longest first line: an architecture of thousands of layers is shorter.
const LONGEST_HEADER: u64 = 1 << 24;

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
    let header = serde_json::to_string(&header).expect("headers serialise") + "\n";
    let written = write_atomically_with(path, |file| {
        file.write_all(header.as_bytes())?;
        let mut checksum = Checksum::default().bytes(header.as_bytes());
        for (words, count) in counts.entries() {
            for word in words.iter().chain([&count]) {
                file.write_all(&word.to_le_bytes())?;
                checksum = checksum.word(*word);
            }
        }
        file.write_all(&checksum.value().to_le_bytes())
    });
    written.map_err(|error| fault(path, &format!("cannot write the file ({error})")))
}

/// Sees that what is at `path` may be replaced: nothing, or unfinished work of this very run.
///
/// # Errors
/// [`FunctionError::Checkpoint`]: anything else.
pub(super) fn check_own(path: &Path, key: &Value) -> Result<(), FunctionError> {
    let file = match open_file(path) {
        Ok((file, _)) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fault(path, &format!("cannot read the file ({error})"))),
    };
    let mut line = Vec::new();
    let read = BufReader::new(file.take(LONGEST_HEADER)).read_until(b'\n', &mut line);
    match read.ok().and_then(|_| serde_json::from_slice::<Header>(&line).ok()) {
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
    let damaged = |what: &str| fault(path, &format!("it is damaged ({what}); remove it to start anew"));
    let mut file = match open_file(path) {
        Ok((file, _)) => BufReader::with_capacity(1 << 20, file),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault(path, &format!("cannot read the file ({error})"))),
    };
    let mut line = Vec::new();
    file.by_ref().take(LONGEST_HEADER).read_until(b'\n', &mut line).map_err(|_| damaged("it cannot be read"))?;
    let header: Header =
        serde_json::from_slice(&line).map_err(|_| damaged("its first line is not that of an unfinished run"))?;
    let mut checksum = Checksum::default().bytes(&line);
    let mut counts = Counts::new(inputs);
    let mut word = || -> Result<u64, FunctionError> {
        let mut bytes = [0; 8];
        file.read_exact(&mut bytes).map_err(|_| damaged("it is too short"))?;
        Ok(u64::from_le_bytes(bytes))
    };
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
            words.iter_mut().try_for_each(|place| word().map(|word| *place = word))?;
            let count = word()?;
            checksum = words.iter().chain([&count]).fold(checksum, |checksum, word| checksum.word(*word));
            more(count)?;
            counts.add_words(&words, count);
        } else {
            for _ in 0..=width {
                checksum = checksum.word(word()?);
            }
        }
    }
    if word()? != checksum.value() || word().is_ok() {
        return Err(damaged("its checksum is another"));
    }
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
