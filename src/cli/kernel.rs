//! `flatgauge kernel`: the Gram matrix of an architecture's prior.

use super::arguments::{ArchitectureArguments, read_rows};
use super::progress::bar;
use super::{Naming, Outcome, Unusable, emit};
use crate::data::write_npy;
use crate::kernel::{self, KernelOptions, Kind};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    architecture: ArchitectureArguments,
    /// Inputs, n x d or n x c x h x w, in a .npy file
    #[arg(long)]
    inputs: PathBuf,
    /// Covariance of the logits, or neural tangent kernel
    #[arg(long, default_value = "nngp")]
    kind: KindName,
    /// Method (see `flatgauge list kernels`)
    #[arg(long, default_value = "analytic")]
    method: String,
    /// Where to write the n x n matrix (.npy)
    #[arg(long)]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KindName {
    Nngp,
    Ntk,
}

pub(super) fn run(arguments: Arguments, quiet: bool) -> Result<Outcome, Unusable> {
    let method = kernel::find(&arguments.method).ok_or_else(|| {
        let known: Vec<&str> = kernel::registry().iter().map(|method| method.id()).collect();
        Unusable(format!("--method: '{}' is unknown, expected one of {}", arguments.method, known.join(", ")))
    })?;
    let (kind, kind_name) = match arguments.kind {
        KindName::Nngp => (Kind::Nngp, "nngp"),
        KindName::Ntk => (Kind::Ntk, "ntk"),
    };
    let architecture = arguments.architecture.read()?;
    let inputs = read_rows(&arguments.inputs, "--inputs")?;
    let name = format!("--inputs: file '{}'", arguments.inputs.display());
    let bar = bar(quiet);
    let shown = bar.clone();
    let progress = move |done: usize, total: usize| {
        shown.set_length(total as u64);
        shown.set_position(done as u64);
    };
    let options = KernelOptions { kind, progress: Some(&progress), ..KernelOptions::default() };
    let gram = method.gram(&architecture, inputs.view(), &options).naming(&name)?.matrix;
    bar.finish_and_clear();
    write_npy(&arguments.out, gram.view()).naming("--out")?;
    let n = gram.nrows();
    emit(&format!("wrote {}: {kind_name} of {architecture}, {n} x {n}\n", arguments.out.display()));
    Ok(Outcome::Done)
}
