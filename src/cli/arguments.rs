//! Arguments that several subcommands share.

use super::{Naming, Unusable, note};
use crate::data::{self, Dataset};
use crate::model::{Activation, Architecture, Checkpoint, Loss, Model, load_network};
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
    pub fn read(&self) -> Result<Architecture, Unusable> {
        let activation = self.activation.map(Activation::from);
        Architecture::read(&self.arch, activation, self.weight_std, self.bias_std).naming("--arch")
    }

    pub fn model(&self) -> Result<Arc<Model>, Unusable> {
        Ok(Arc::new(Model::new(self.read()?).naming(&format!("--arch {}", self.arch))?))
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
    pub fn load(&self, quiet: bool) -> Result<Checkpoint, Unusable> {
        let checkpoint = load_network(&self.net, &self.architecture.model()?).naming("--net")?;
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

/// Loads a data source together with the targets a loss takes from its labels.
pub(super) fn load_data(source: &str, loss: Loss) -> Result<(Dataset, Array2<f64>), Unusable> {
    let dataset = data::load(source).naming("--data")?;
    let targets = match loss {
        Loss::Bce => dataset.binary_targets().naming("--data")?,
        Loss::Ce | Loss::Mse => dataset.targets.clone(),
    };
    Ok((dataset, targets))
}

/// Reads a `.npy` file of samples: one row a sample, further axes flattened.
pub(super) fn read_rows(path: &Path, flag: &str) -> Result<Array2<f64>, Unusable> {
    let array = data::read_npy(path).naming(flag)?;
    if array.ndim() < 2 {
        return Err(Unusable(format!(
            "{flag}: file '{}' has shape {:?}, expected n x d or n x c x h x w",
            path.display(),
            array.shape()
        )));
    }
    let (rows, columns) = (array.shape()[0], array.shape()[1..].iter().product());
    let values = array.iter().copied().collect();
    Ok(Array2::from_shape_vec((rows, columns), values).expect("same number of entries"))
}

/// Attack sizes: one number, or `FIRST..LAST:STEP` with both ends.
pub(super) fn attack_sizes(text: &str) -> Result<Vec<usize>, Unusable> {
    let fault = || Unusable(format!("--attack: '{text}' is no number of rows, expected 100 or a range as 0..500:50"));
    let number = |word: &str| word.parse::<usize>().map_err(|_| fault());
    let Some((first, rest)) = text.split_once("..") else { return Ok(vec![number(text)?]) };
    let (last, step) = rest.split_once(':').ok_or_else(fault)?;
    let (first, last, step) = (number(first)?, number(last)?, number(step)?);
    if step == 0 || last < first {
        return Err(fault());
    }
    Ok((first..=last).step_by(step).collect())
}

#[cfg(test)]
mod tests {
    use super::attack_sizes;

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
