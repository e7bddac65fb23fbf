//! Arguments that several subcommands share.

use super::{UsageError, WithFlag, note};
use crate::data::{self, Dataset, Source};
use crate::io::check_writable;
use crate::model::{Activation, Architecture, Checkpoint, Loss, Model, load_network};
use crate::prior::Labels;
use clap::{Args, ValueEnum};
use ndarray::Array2;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An architecture: shorthand or file.
#[derive(Debug, Args)]
pub(super) struct ArchitectureArguments {
    /// Shorthand as fcn:784-40-40-1, or a TOML file
    #[arg(long)]
    arch: String,
    /// Nonlinearity of the shorthand [default: relu]
    #[arg(long)]
    activation: Option<ActivationName>,
    /// Standard deviation of weights times the root of the fan-in, for the shorthand [default: sqrt 2]
    #[arg(long, allow_negative_numbers = true)]
    weight_std: Option<f64>,
    /// Standard deviation of biases, for the shorthand [default: 1]
    #[arg(long, allow_negative_numbers = true)]
    bias_std: Option<f64>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum ActivationName {
    Relu,
    Tanh,
    Erf,
}

impl From<ActivationName> for Activation {
    fn from(name: ActivationName) -> Self {
        match name {
            ActivationName::Relu => Self::Relu,
            ActivationName::Tanh => Self::Tanh,
            ActivationName::Erf => Self::Erf,
        }
    }
}

impl ArchitectureArguments {
    /// The file it is read from, if it is one.
    pub fn file(&self) -> Option<&Path> {
        let path = Path::new(&self.arch);
        path.exists().then_some(path)
    }

    /// How messages call it.
    pub fn name(&self) -> String {
        format!("--arch {}", self.arch)
    }

    pub fn read(&self) -> Result<Architecture, UsageError> {
        let activation = self.activation.map(Activation::from);
        Architecture::read(&self.arch, activation, self.weight_std, self.bias_std).with_flag("--arch")
    }

    pub fn model(&self) -> Result<Arc<Model>, UsageError> {
        Ok(Arc::new(Model::new(self.read()?).with_flag(&self.name())?))
    }
}

/// A network file with its architecture.
#[derive(Debug, Args)]
pub(super) struct NetworkArguments {
    /// Network in a safetensors file
    #[arg(long)]
    net: PathBuf,
    #[command(flatten)]
    architecture: ArchitectureArguments,
}

impl NetworkArguments {
    /// The files it is read from, with their flags.
    pub fn files(&self) -> Vec<(&str, &Path)> {
        [("--net", self.net.as_path())]
            .into_iter()
            .chain(self.architecture.file().map(|file| ("--arch", file)))
            .collect()
    }

    pub fn load(&self, quiet: bool) -> Result<Checkpoint, UsageError> {
        let checkpoint = load_network(&self.net, &self.architecture.model()?).with_flag("--net")?;
        if !checkpoint.ignored.is_empty() {
            note(quiet, &format!("{}: ignored tensors {}", self.net.display(), checkpoint.ignored.join(", ")));
        }
        Ok(checkpoint)
    }
}

/// Losses on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum LossName {
    /// Binary cross-entropy on one logit
    Bce,
    /// Cross-entropy with class indices
    Ce,
    /// Squared error summed over outputs
    Mse,
}

impl From<LossName> for Loss {
    fn from(name: LossName) -> Self {
        match name {
            LossName::Bce => Self::Bce,
            LossName::Ce => Self::Ce,
            LossName::Mse => Self::Mse,
        }
    }
}

/// Sees that results can be written to `out`, before they are computed: a place where a regular file can be put, and none of
/// the files that are read, nor one with the ending of unfinished work.
pub(super) fn check_out(out: &Path, inputs: &[(&str, &Path)]) -> Result<(), UsageError> {
    check_name(out, inputs)?;
    check_writable(out)
        .map_err(|error| UsageError(format!("--out: file '{}': cannot write the file ({error})", out.display())))
}

/// [`check_out`] of the name alone.
pub(super) fn check_name(out: &Path, inputs: &[(&str, &Path)]) -> Result<(), UsageError> {
    let fault = |reason: String| UsageError(format!("--out: file '{}': {reason}", out.display()));
    if out.extension().is_some_and(|ending| ending == "partial") {
        return Err(fault("a result cannot end in .partial, the ending of unfinished work".to_owned()));
    }
    match inputs.iter().find(|(_, input)| are_one_file(out, input)) {
        Some((flag, _)) => Err(fault(format!("it is the file of {flag}, which would be overwritten; name another"))),
        None => Ok(()),
    }
}

/// Whether two paths lead to one file that is there.
fn are_one_file(a: &Path, b: &Path) -> bool {
    #[cfg(unix)]
    if let (Ok(a), Ok(b)) = (a.metadata(), b.metadata()) {
        // Hard links, too.
        use std::os::unix::fs::MetadataExt;
        return (a.dev(), a.ino()) == (b.dev(), b.ino());
    }
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// Exactly two numbers, as `0.1,10` in one word or `0.1 10` in two.
pub(super) fn two_numbers(flag: &str, words: &[String]) -> Result<[f64; 2], UsageError> {
    // A shell splits "0.1, 10" after its comma.
    let text = words.iter().map(|word| word.trim_end_matches(',')).collect::<Vec<_>>().join(",");
    let numbers: Option<Vec<f64>> = text.split(',').map(|word| word.trim().parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[first, second]) => Ok([first, second]),
        _ => Err(UsageError(format!("{flag}: '{text}' is not usable, expected two numbers as 0.1,10"))),
    }
}

/// Tells what a source's loader has to say.
pub(super) fn tell_notes(quiet: bool, source: &Source) {
    source.notes.iter().for_each(|text| note(quiet, &format!("--data: {text}")));
}

/// Loads a data source of this many features together with the targets a loss takes from its labels.
pub(super) fn load_data(
    source: &str,
    loss: Loss,
    features: usize,
    quiet: bool,
) -> Result<(Dataset, Array2<f64>), UsageError> {
    let source = data::load_source_of(source, Some(features)).with_flag("--data")?;
    tell_notes(quiet, &source);
    let dataset = source.dataset().with_flag("--data")?;
    let targets = match loss {
        Loss::Bce => dataset.binary_targets().with_flag("--data")?,
        Loss::Ce | Loss::Mse => dataset.targets.clone(),
    };
    Ok((dataset, targets))
}

/// Reads a `.npy` file of samples of this many features: one row per sample, further axes flattened.
pub(super) fn read_rows(path: &Path, flag: &str, features: Option<usize>) -> Result<Array2<f64>, UsageError> {
    let fits = |shape: &[usize]| {
        if shape.len() < 2 {
            return Err(format!("shape {shape:?}, expected n x d or n x c x h x w"));
        }
        let found: usize = shape[1..].iter().product();
        match features.filter(|features| *features != found) {
            Some(features) => {
                Err(format!("shape {shape:?} has {found} features per row, the architecture takes {features}"))
            }
            None if shape[0] == 0 => Err(format!("shape {shape:?} has no rows, expected at least 1")),
            None => Ok(()),
        }
    };
    data::read_npy_that(path, &fits).map(data::rows_of).with_flag(flag)
}

/// Reads a `.npy` file of labels, one a point.
pub(super) fn read_labels(path: &Path, points: Option<usize>) -> Result<Labels, UsageError> {
    let fits = |shape: &[usize]| match (shape, points) {
        // A column is taken for a vector.
        (&[n] | &[n, 1], None) if n > 0 => Ok(()),
        (&[n] | &[n, 1], Some(points)) if n == points => Ok(()),
        (_, Some(points)) => Err(format!("shape {shape:?}, expected [{points}], one label a point")),
        (_, None) => Err(format!("shape {shape:?}, expected one label a point")),
    };
    let values = data::read_npy_that(path, &fits).with_flag("--labels")?;
    let name = format!("--labels: file '{}'", path.display());
    Labels::from_values(&values.iter().copied().collect::<Vec<_>>()).with_flag(&name)
}

/// Most networks of a sweep, and sizes of an attack set.
pub(super) const MOST_NETWORKS: usize = 100_000;

/// `count` seeds from the first on.
pub(super) fn seeds(first: u64, count: u64, networks_each: usize) -> Result<std::ops::Range<u64>, UsageError> {
    if count == 0 {
        return Err(UsageError("--seeds: it is 0, expected at least 1".to_owned()));
    }
    let networks = count.saturating_mul(networks_each.max(1) as u64);
    if networks > MOST_NETWORKS as u64 {
        return Err(UsageError(format!(
            "--seeds: {count} seeds of {networks_each} networks each are {networks} networks, expected at most {MOST_NETWORKS}"
        )));
    }
    match first.checked_add(count) {
        Some(end) => Ok(first..end),
        None => {
            Err(UsageError(format!("--seed and --seeds: {count} seeds from {first} on go beyond the largest seed")))
        }
    }
}

/// Attack sizes: one number, or `FIRST..LAST:STEP` with both ends.
pub(super) fn attack_sizes(text: &str) -> Result<Vec<usize>, UsageError> {
    let fault = || UsageError(format!("--attack: '{text}' is no number of rows, expected 100 or a range as 0..500:50"));
    let number = |word: &str| word.parse::<usize>().map_err(|_| fault());
    let Some((first, rest)) = text.split_once("..") else { return Ok(vec![number(text)?]) };
    let (last, step) = rest.split_once(':').ok_or_else(fault)?;
    let (first, last, step) = (number(first)?, number(last)?, number(step)?);
    if step == 0 || last < first {
        return Err(fault());
    }
    let sizes = (last - first) / step;
    if sizes >= MOST_NETWORKS {
        return Err(UsageError(format!(
            "--attack: '{text}' is more than {MOST_NETWORKS} sizes, expected no more than that"
        )));
    }
    Ok((first..=last).step_by(step).collect())
}

#[cfg(test)]
mod tests {
    use super::{attack_sizes, seeds, two_numbers};

    #[test]
    fn two_numbers_come_in_one_word_or_two() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for text in ["0.1,10", "0.1 10", "1e-1, 10"] {
            assert_eq!(two_numbers("--range", &words(text)).unwrap(), [0.1, 10.0]);
        }
        for text in ["0.1", "0.1,10 3", "0.1,10,3", "a,b", "", "1,,2"] {
            assert!(two_numbers("--range", &words(text)).unwrap_err().0.starts_with("--range: "), "{text}");
        }
    }

    #[test]
    fn counts_that_no_memory_holds_are_refused() {
        assert_eq!(seeds(3, 2, 5).unwrap(), 3..5);
        for (first, count, each) in
            [(0, 0, 1), (0, u64::MAX, 1), (0, 100_000_000, 1), (0, 1000, 1000), (u64::MAX, 2, 1)]
        {
            assert!(seeds(first, count, each).unwrap_err().0.contains("--seeds"));
        }
        for text in ["0..18446744073709551615:1", "0..10000000:1", "5..18446744073709551615:3"] {
            assert!(attack_sizes(text).unwrap_err().0.starts_with("--attack: "));
        }
        assert_eq!(attack_sizes("1..18446744073709551615:18446744073709551614").unwrap().len(), 2);
    }

    #[test]
    fn attack_sizes_are_numbers_or_ranges_with_both_ends() {
        assert_eq!(attack_sizes("100").unwrap(), [100]);
        assert_eq!(attack_sizes("0..100:50").unwrap(), [0, 50, 100]);
        assert_eq!(attack_sizes("0..120:50").unwrap(), [0, 50, 100]);
        for bad in ["", "-1", "many", "0..100", "0..100:0", "100..0:10"] {
            assert!(attack_sizes(bad).is_err(), "{bad}");
        }
    }
}
