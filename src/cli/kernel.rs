//! `flatgauge kernel`: the Gram matrix of an architecture's prior.

use super::arguments::{ArchitectureArguments, check_out, read_labels, read_rows};
use super::progress::bar;
use super::{Outcome, UsageError, WithFlag, emit, processes, shown};
use crate::data::write_npy;
use crate::io::with_appended;
use crate::kernel::{self, KernelError, KernelOptions, KernelResult, Kind};
use crate::prior::{self, Gram, Labels, Link, PriorError, PriorOptions};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

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
    /// Networks to average over (empirical)
    #[arg(long)]
    samples: Option<usize>,
    /// Seed of the networks (empirical)
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Labels, n of them, in a .npy file: also report log P(f) by EP with the standard error that sampling gives it
    #[arg(long)]
    labels: Option<PathBuf>,
    /// Where to write the n x n matrix (.npy); standard errors go beside it, to NAME.std_error.npy
    #[arg(long)]
    out: PathBuf,
}

/// Groups of networks left out in turn: a standard error good to a sixth of itself.
const GROUPS: usize = 20;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KindName {
    Nngp,
    Ntk,
}

pub(super) fn run(arguments: Arguments, quiet: bool) -> Result<Outcome, UsageError> {
    let method = kernel::find(&arguments.method).ok_or_else(|| {
        let known: Vec<&str> = kernel::registry().iter().map(|method| method.id()).collect();
        UsageError(format!("--method: '{}' is unknown, expected one of {}", arguments.method, known.join(", ")))
    })?;
    let (kind, kind_name) = match arguments.kind {
        KindName::Nngp => (Kind::Nngp, "nngp"),
        KindName::Ntk => (Kind::Ntk, "ntk"),
    };
    let ranks = processes::join();
    let root = ranks.rank() == 0;
    let empirical = arguments.method == "empirical";
    if !root && !empirical {
        // Only networks are shared.
        return Ok(Outcome::Done);
    }
    let model = arguments.architecture.model()?;
    let architecture = model.architecture();
    let std_errors = std_error_path(&arguments.out);
    if root {
        let mut files = vec![("--inputs", arguments.inputs.as_path())];
        files.extend(arguments.architecture.file().map(|file| ("--arch", file)));
        files.extend(arguments.labels.as_deref().map(|file| ("--labels", file)));
        check_out(&arguments.out, &files)?;
        if empirical {
            check_out(&std_errors, &files)?;
        }
    }
    let inputs = read_rows(&arguments.inputs, "--inputs", Some(model.input_count()))?;
    let bar = bar(quiet || !root);
    let display = bar.clone();
    let progress = move |done: usize, total: usize| {
        display.set_length(total as u64);
        display.set_position(done as u64);
    };
    let samples = match (arguments.samples, empirical) {
        (Some(samples), true) => samples,
        (None, false) => KernelOptions::default().samples,
        (None, true) => return Err(UsageError("--samples: method 'empirical' needs a number of networks".to_owned())),
        (Some(_), false) => {
            return Err(UsageError(format!("--samples: method '{}' samples no networks", arguments.method)));
        }
    };
    let labels = arguments.labels.as_ref().map(|path| read_labels(path, Some(inputs.nrows()))).transpose()?;
    let partial = with_appended(&arguments.out, "partial");
    let options = KernelOptions {
        kind,
        progress: Some(&progress),
        samples,
        seed: arguments.seed,
        groups: if empirical && labels.is_some() { GROUPS } else { 0 },
        partial: empirical.then_some(partial.as_path()),
        ..KernelOptions::default()
    };
    let result = match empirical {
        true => kernel::empirical(architecture, inputs.view(), &options, &*ranks),
        false => method.gram(architecture, inputs.view(), &options),
    };
    let result = result.map_err(|error| UsageError(format!("{}: {error}", arguments.blamed(&error))))?;
    bar.finish_and_clear();
    if !root {
        return Ok(Outcome::Done);
    }
    let mut lines = String::new();
    if let Some(labels) = &labels {
        lines += &log_prob(&result, labels)?;
    }
    if let Some(std_error) = &result.std_error {
        write_npy(&std_errors, std_error.view()).with_flag("--out")?;
        let rank = result.info.number("rank_bound").unwrap_or_default();
        let networks = result.info.number("networks").unwrap_or_default();
        lines += &format!("wrote {}: standard errors; {networks} networks, rank at most {rank}\n", shown(&std_errors));
    }
    write_npy(&arguments.out, result.matrix.view()).with_flag("--out")?;
    if empirical && partial.exists() {
        std::fs::remove_file(&partial).with_flag(&format!("file '{}'", partial.display()))?;
    }
    let n = result.matrix.nrows();
    emit(&format!("wrote {}: {kind_name} of {architecture}, {n} x {n}\n{lines}", shown(&arguments.out)));
    Ok(Outcome::Done)
}

/// `K.std_error.npy` beside `K.npy`.
fn std_error_path(out: &Path) -> PathBuf {
    match out.extension().is_some_and(|ending| ending == "npy") {
        true => out.with_extension("std_error.npy"),
        false => with_appended(out, "std_error.npy"),
    }
}

impl Arguments {
    /// The flags that an error is about.
    fn blamed(&self, error: &KernelError) -> String {
        let inputs = format!("--inputs: file '{}'", self.inputs.display());
        match error {
            KernelError::Inputs { .. } | KernelError::NotFinite { .. } | KernelError::NoInputs => inputs,
            KernelError::Magnitude { .. } => inputs,
            KernelError::Kind { .. } => "--kind".to_owned(),
            KernelError::Samples { .. } | KernelError::Rank { .. } => "--samples".to_owned(),
            KernelError::Partial { .. } => "--out: unfinished work".to_owned(),
            KernelError::TooLarge { .. } | KernelError::Entry { .. } => "--inputs and --arch".to_owned(),
            _ => self.architecture.name(),
        }
    }
}

fn log_prob(result: &KernelResult, labels: &Labels) -> Result<String, UsageError> {
    let method = prior::find("ep").expect("EP is registered");
    let mut text = String::new();
    for link in [Link::Step, Link::Probit] {
        let options = PriorOptions { link, ..PriorOptions::default() };
        let estimate = result.propagate(|matrix| {
            let gram = Gram::new(matrix.to_owned())?;
            Ok::<f64, PriorError>(method.log_prob(&gram, labels, &options)?.estimate.value)
        })?;
        text += &format!("log P(f) = {:.6} (ep, {link})", estimate.value);
        if let Some(std_error) = estimate.std_error {
            text += &format!(", standard error {std_error:.6} from the networks sampled");
        }
        if let Some(bias) = estimate.info.number("jackknife_bias") {
            text += &format!(", bias about {bias:.6}");
        }
        text += "\n";
    }
    Ok(text)
}
