//! `flatgauge kernel`: the Gram matrix of an architecture's prior.

use super::arguments::{ArchitectureArguments, read_rows};
use super::{Naming, Outcome, Unusable, emit};
use crate::data::write_npy;
use crate::kernel;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    architecture: ArchitectureArguments,
    /// Inputs, n x d or n x c x h x w, in a .npy file
    #[arg(long)]
    inputs: PathBuf,
    /// Where to write the n x n matrix (.npy)
    #[arg(long)]
    out: PathBuf,
}

pub(super) fn run(arguments: Arguments) -> Result<Outcome, Unusable> {
    let architecture = arguments.architecture.read()?;
    let inputs = read_rows(&arguments.inputs, "--inputs")?;
    let name = format!("--inputs: file '{}'", arguments.inputs.display());
    let gram = kernel::nngp(&architecture, inputs.view()).naming(&name)?;
    write_npy(&arguments.out, gram.view()).naming("--out")?;
    emit(&format!("wrote {}: nngp of {architecture}, {} x {}\n", arguments.out.display(), gram.nrows(), gram.ncols()));
    Ok(Outcome::Done)
}
