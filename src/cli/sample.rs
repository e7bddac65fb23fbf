//! `flatgauge sample`: networks drawn from the prior, and how often each function is found.

use super::arguments::{ArchitectureArguments, check_out, read_rows};
use super::progress::bar;
use super::{Outcome, UsageError, WithFlag, emit, note, processes, shown};
use crate::data;
use crate::function::{CountOptions, Counts, FunctionError, Sampler, count, write_table};
use crate::io::with_appended;
use clap::Args;
use ndarray::Array2;
use std::path::{Path, PathBuf};
use std::time::Instant;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    architecture: ArchitectureArguments,
    /// Inputs: boolean:N, all 2^N inputs of 0 and 1 in counting order, or a .npy file, n x d or n x c x h x w
    #[arg(long)]
    inputs: String,
    /// Networks to draw, as 1000000 or 1e6
    #[arg(long, value_parser = whole_number)]
    count: u64,
    /// Seed of the networks
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Most functions kept in memory; beyond it the rarest are dropped and reported [default: those of a table of 1 GiB]
    #[arg(long, value_parser = whole_number)]
    max_functions: Option<u64>,
    /// List only this many functions, the most frequent [default: all]
    #[arg(long, value_parser = whole_number)]
    top: Option<u64>,
    /// Table to write, function<TAB>count (.tsv); unfinished work is kept beside it, in NAME.partial
    #[arg(long)]
    out: PathBuf,
    /// Go on with the unfinished work there, if there is any
    #[arg(long)]
    resume: bool,
}

/// A number of things: digits, or a float that is whole.
fn whole_number(text: &str) -> Result<u64, String> {
    let fault = || "expected a whole number of at least 1, as 1000000 or 1e6".to_owned();
    let number = match text.parse::<u64>() {
        Ok(number) => number,
        Err(_) => {
            // Larger floats are not all the whole numbers they seem.
            let number: f64 = text.parse().map_err(|_| fault())?;
            if !(number >= 0.0 && number <= (1_u64 << 53) as f64 && number.fract() == 0.0) {
                return Err(fault());
            }
            number as u64
        }
    };
    if number == 0 { Err(fault()) } else { Ok(number) }
}

fn read_inputs(text: &str, features: usize) -> Result<Array2<f64>, UsageError> {
    match text.split_once(':') {
        Some(("boolean", inputs)) if !inputs.contains(':') => Ok(data::load(text).with_flag("--inputs")?.inputs),
        _ if text.ends_with(".npy") => read_rows(Path::new(text), "--inputs", Some(features)),
        _ => Err(UsageError(format!("--inputs: '{text}' is neither boolean:N nor a .npy file"))),
    }
}

pub(super) fn run(arguments: Arguments, quiet: bool) -> Result<Outcome, UsageError> {
    let ranks = processes::join();
    let root = ranks.rank() == 0;
    let quiet = quiet || !root;
    let model = arguments.architecture.model()?;
    if root {
        let files = [("--inputs", Path::new(&arguments.inputs))].into_iter();
        check_out(
            &arguments.out,
            &files.chain(arguments.architecture.file().map(|file| ("--arch", file))).collect::<Vec<_>>(),
        )?;
    }
    let inputs = read_inputs(&arguments.inputs, model.input_count())?;
    let sampler = Sampler::new(model.architecture().clone(), inputs, arguments.seed).map_err(|error| {
        let flag = match error {
            FunctionError::Inputs { .. } => "--inputs".to_owned(),
            _ => arguments.architecture.name(),
        };
        UsageError(format!("{flag}: {error}"))
    })?;
    let checkpoint = with_appended(&arguments.out, "partial");
    if root && !arguments.resume && checkpoint.exists() {
        let file = checkpoint.display();
        note(quiet, &format!("{file} holds unfinished work, which this run overwrites; --resume goes on with it"));
    }
    let bar = bar(quiet);
    bar.set_length(arguments.count);
    let start = Instant::now();
    let first = std::cell::Cell::new(None);
    let progress = |networks: u64, functions: usize| {
        let resumed = first.get().unwrap_or(networks);
        first.set(Some(resumed));
        let rate = (networks - resumed) as f64 / start.elapsed().as_secs_f64();
        bar.set_position(networks);
        bar.set_message(format!("{rate:.0} networks/s, {functions} functions"));
    };
    let defaults = CountOptions::new(&sampler);
    let options = CountOptions {
        max_functions: arguments.max_functions.map_or(defaults.max_functions, |most| most as usize),
        checkpoint: Some(&checkpoint),
        resume: arguments.resume,
        ranks: &*ranks,
        progress: Some(&progress),
    };
    let counts = count(&sampler, arguments.count, &options).map_err(|error| match error {
        FunctionError::Checkpoint { .. } => UsageError(format!("--out: {error}")),
        FunctionError::Overflow { .. } => UsageError(format!("--inputs and --arch: {error}")),
        other => other.into(),
    })?;
    bar.finish_and_clear();
    if !root {
        return Ok(Outcome::Done);
    }
    let top = arguments.top.map(|top| top as usize);
    write_table(&arguments.out, &sampler, &counts, top)
        .with_flag(&format!("--out: file '{}'", arguments.out.display()))?;
    if checkpoint.exists() {
        std::fs::remove_file(&checkpoint).with_flag(&format!("file '{}'", checkpoint.display()))?;
    }
    let drawn = arguments.count - first.get().unwrap_or_default();
    let rate = drawn as f64 / start.elapsed().as_secs_f64();
    note(quiet, &format!("{drawn} networks in this run, {rate:.0} a second"));
    emit(&summary(&arguments.out, &sampler, &counts));
    Ok(Outcome::Done)
}

fn summary(out: &Path, sampler: &Sampler, counts: &Counts) -> String {
    let (networks, functions) = (counts.network_count(), counts.function_count());
    let mut text =
        format!("wrote {}: {functions} functions of {networks} networks {}\n", shown(out), sampler.architecture());
    let dropped = counts.dropped();
    if dropped.functions > 0 {
        text += &format!(
            "dropped {} rare functions of {} networks to stay below --max-functions; counts are short by at most {}\n",
            dropped.functions, dropped.networks, dropped.undercount
        );
    }
    text
}
