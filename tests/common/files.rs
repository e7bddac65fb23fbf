//! Files and bits, to be compared byte for byte.

use std::collections::BTreeMap;
use std::path::Path;

/// Names and bytes of the files of a folder; folders in it are left out.
pub fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    files.map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())).collect()
}

/// The bits of numbers: equal bits are equal numbers, NaN and signs of zero included.
pub fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}
