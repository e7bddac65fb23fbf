//! `flatgauge rescale`: another network with the same function.

use super::arguments::NetworkArguments;
use super::{Naming, Outcome, Unusable, emit};
use crate::model::save_network;
use crate::rescale::{LayerAlpha, Rescaling};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    network: NetworkArguments,
    /// Layer to divide by alpha, counted over layers with parameters
    #[arg(long, requires = "alpha")]
    layer: usize,
    /// Factor above 0; the next layer is multiplied by it
    #[arg(long, allow_negative_numbers = true)]
    alpha: f64,
    /// Where to write the rescaled network
    #[arg(long)]
    out: PathBuf,
}

pub(super) fn run(arguments: Arguments, quiet: bool) -> Result<Outcome, Unusable> {
    let checkpoint = arguments.network.load(quiet)?;
    let map = LayerAlpha { layer: arguments.layer, alpha: arguments.alpha };
    let action = map.action(&checkpoint.network.model).naming("--layer and --alpha")?;
    let rescaled = checkpoint.network.with_theta(action.apply(&checkpoint.network.theta));
    if let Some(value) = rescaled.theta.iter().find(|value| !value.is_finite()) {
        return Err(Unusable(format!("--alpha: {} makes a parameter {value}, expected finite ones", arguments.alpha)));
    }
    let mut metadata = checkpoint.metadata;
    let history = metadata.remove("rescaled").map_or(String::new(), |earlier| earlier + "; ");
    metadata.insert("rescaled".to_owned(), history + &map.describe());
    save_network(&arguments.out, &rescaled, &metadata).naming("--out")?;
    emit(&format!("wrote {}: {}\n", arguments.out.display(), map.describe()));
    Ok(Outcome::Done)
}
