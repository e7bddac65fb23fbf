//! `flatgauge verify`: the main job.

use super::cases::{CaseArguments, OfFile, keep_counterexamples, nothing_matches};
use super::progress::bar;
use super::{Format, Outcome, UsageError, WithFlag, emit, emit_json};
use crate::demonstration::{self, Demonstration};
use crate::gate::{self, Context, Report, Tier};
use crate::report;
use crate::report::folder::GateDocument;
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How much to check
    #[arg(long, default_value = "quick")]
    tier: TierName,
    /// Seed of every drawn case
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Run only checks whose law/estimator/case contains this
    #[arg(long)]
    only: Option<String>,
    #[command(flatten)]
    cases: CaseArguments,
    /// Hold the stochastic laws to the built-in estimators over this many seeds, count false alarms, and do nothing else
    #[arg(long, value_name = "SEEDS", value_parser = clap::value_parser!(u64).range(1..),
          conflicts_with_all = ["only", "cases", "case", "seed", "report", "tier"])]
    calibrate: Option<u64>,
    /// Write the report into this folder: text, JSON, JUnit XML, Markdown, a page, and counterexamples
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// How to print the report
    #[arg(long, default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum TierName {
    Quick,
    Full,
}

impl From<TierName> for Tier {
    fn from(name: TierName) -> Self {
        match name {
            TierName::Quick => Self::Quick,
            TierName::Full => Self::Full,
        }
    }
}

pub(super) fn run(arguments: Arguments, quiet: bool) -> Result<Outcome, UsageError> {
    if let Some(seeds) = arguments.calibrate {
        return Ok(calibrate(seeds, arguments.format, quiet));
    }
    if let Some(folder) = &arguments.report {
        report::folder::prepare(folder).with_flag("--report")?;
    }
    let context = Context::built_in(arguments.tier.into(), arguments.seed);
    let bar = bar(quiet);
    let progress = |done: usize, total: usize, what: &str| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        bar.set_message(what.to_owned());
    };
    let only = arguments.only.as_deref();
    let command = "flatgauge verify";
    let (demonstration, mut report) = match arguments.cases.of_file(&context, command)? {
        Some(OfFile { context, laws, command }) => {
            (None, Report::new(gate::run(&laws, &context, only, &command, &progress), context.seed))
        }
        None => {
            let (demonstration, report) = demonstration::verify(&context, only, command, &progress)
                .map_err(|error| UsageError(error.to_string()))?;
            (demonstration, arguments.cases.generate(report, &context, only, command, true, &progress))
        }
    };
    bar.finish_and_clear();
    if report.laws.is_empty() {
        return Err(nothing_matches(only));
    }
    tell(demonstration.as_ref(), &mut report, command, arguments.format, arguments.report.as_deref())
}

/// Prints the report, then writes its folder if there is to be one: a full disk must not cost the verdict.
pub(super) fn tell(
    demonstration: Option<&Demonstration>,
    report: &mut Report,
    command: &str,
    format: Format,
    folder: Option<&Path>,
) -> Result<Outcome, UsageError> {
    // Lines that reproduce a failure name the files of its counterexample.
    let kept = folder.map_or(Ok(()), |folder| keep_counterexamples(report, folder, command));
    match format {
        Format::Json => emit_json(&GateDocument::new(report, demonstration)),
        Format::Text => emit(&report::text::verify(demonstration, report)),
    }
    kept?;
    if let Some(folder) = folder {
        report::folder::write(folder, demonstration, report).with_flag("--report")?;
    }
    Ok(Outcome::Judged(report.verdict))
}

fn calibrate(seeds: u64, format: Format, quiet: bool) -> Outcome {
    let bar = bar(quiet);
    bar.set_length(seeds);
    let calibration = gate::calibrate(seeds, &|done| bar.set_position(done));
    bar.finish_and_clear();
    match format {
        Format::Json => emit_json(&calibration),
        Format::Text => emit(&report::text::calibration(&calibration)),
    }
    Outcome::Judged(calibration.verdict())
}
