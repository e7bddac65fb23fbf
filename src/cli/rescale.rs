//! `flatgauge rescale`: another network with the same function.

use super::arguments::{NetworkArguments, check_out, two_numbers};
use super::{Outcome, UsageError, WithFlag, emit, shown};
use crate::model::{Model, save_network};
use crate::numeric::Streams;
use crate::rescale::{LayerAlpha, NeuronScaling, Permutation, Rescaling};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("map").required(true).args(["layer", "neurons", "permute"]))]
pub(super) struct Arguments {
    #[command(flatten)]
    network: NetworkArguments,
    /// Divide this layer by alpha and multiply the next; counted over layers with parameters
    #[arg(long, requires = "alpha")]
    layer: Option<usize>,
    /// Factor above 0
    #[arg(long, allow_negative_numbers = true, requires = "layer")]
    alpha: Option<f64>,
    /// Scale each hidden unit by a factor of its own
    #[arg(long, requires = "range")]
    neurons: bool,
    /// Smallest and largest factor of --neurons, as 0.1,10
    #[arg(long, value_name = "LO,HI", num_args = 1..=2, requires = "neurons")]
    range: Option<Vec<String>>,
    /// Permute the hidden units of each layer
    #[arg(long)]
    permute: bool,
    /// Seed of factors and permutations
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where to write the rescaled network
    #[arg(long)]
    out: PathBuf,
}

impl Arguments {
    fn map(&self, model: &Model) -> Result<Box<dyn Rescaling>, UsageError> {
        let streams = Streams::new(self.seed);
        if let (Some(layer), Some(alpha)) = (self.layer, self.alpha) {
            return Ok(Box::new(LayerAlpha { layer, alpha }));
        }
        match &self.range {
            Some(words) => {
                let [low, high] = two_numbers("--range", words)?;
                Ok(Box::new(NeuronScaling::draw(model, low, high, streams).with_flag("--range")?))
            }
            None => Ok(Box::new(Permutation::draw(model, streams).with_flag("--permute")?)),
        }
    }
}

pub(super) fn run(arguments: Arguments, quiet: bool) -> Result<Outcome, UsageError> {
    check_out(&arguments.out, &arguments.network.files())?;
    let checkpoint = arguments.network.load(quiet)?;
    let model = &checkpoint.network.model;
    let map = arguments.map(model)?;
    let flags = if arguments.layer.is_some() { "--layer and --alpha" } else { "--neurons or --permute" };
    let rescaled = map.apply(&checkpoint.network).with_flag(flags)?;
    if let Some(value) = rescaled.theta.iter().find(|value| !value.is_finite()) {
        return Err(UsageError(format!("{flags}: {} makes a parameter {value}, expected finite ones", map.describe())));
    }
    let mut metadata = checkpoint.metadata;
    let history = metadata.remove("rescaled").map_or(String::new(), |earlier| earlier + "; ");
    metadata.insert("rescaled".to_owned(), history + &map.describe());
    save_network(&arguments.out, &rescaled, &metadata).with_flag("--out")?;
    emit(&format!("wrote {}: {}\n", shown(&arguments.out), map.describe()));
    Ok(Outcome::Done)
}
