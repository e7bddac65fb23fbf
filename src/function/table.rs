//! Counts as a table of tab-separated values.

use super::{Counts, Sampler};
use crate::io::write_atomically_with;
use std::io;
use std::path::Path;

/// Writes `function<TAB>count`, the most frequent first and those of equal counts in the order of their bit strings, behind
/// lines that begin with `#` and say of what. Character `i` of a function is the label of input `i`. At most `top`
/// functions are listed.
///
/// # Errors
/// Those of the file system; then `path` is as it was.
pub fn write_table(path: &Path, sampler: &Sampler, counts: &Counts, top: Option<usize>) -> io::Result<()> {
    let architecture = sampler.architecture();
    let json = serde_json::to_string(architecture).expect("architectures serialise");
    let listed = counts.function_count().min(top.unwrap_or(usize::MAX));
    let dropped = counts.dropped();
    let (rows, columns) = sampler.inputs().dim();
    write_atomically_with(path, |file| {
        writeln!(file, "# flatgauge {}: functions of networks drawn from the prior", env!("CARGO_PKG_VERSION"))?;
        writeln!(file, "# arch: {architecture}")?;
        writeln!(file, "# weight_std: {}", architecture.weight_std)?;
        writeln!(file, "# bias_std: {}", architecture.bias_std)?;
        writeln!(file, "# architecture: {json}")?;
        writeln!(file, "# inputs: {rows} x {columns}")?;
        writeln!(file, "# seed: {}", sampler.seed())?;
        writeln!(file, "# total: {}", counts.network_count())?;
        writeln!(file, "# functions: {}", counts.function_count())?;
        writeln!(file, "# listed: {listed}")?;
        writeln!(file, "# dropped functions: {}", dropped.functions)?;
        writeln!(file, "# dropped networks: {}", dropped.networks)?;
        writeln!(file, "# counts short by at most: {}", dropped.undercount)?;
        for (function, count) in counts.ranked().take(listed) {
            writeln!(file, "{function}\t{count}")?;
        }
        Ok(())
    })
}
