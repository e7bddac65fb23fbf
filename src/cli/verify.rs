//! `flatgauge verify`: the main job.

use super::progress::bar;
use super::{Format, Naming, Outcome, Unusable, emit, emit_json};
use crate::gate::{self, Context, Tier};
use crate::report;
use crate::report::folder::GateDocument;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

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
    /// Write the report into this folder: text, JSON, JUnit XML, Markdown, and a page
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

pub(super) fn run(arguments: Arguments, quiet: bool) -> Result<Outcome, Unusable> {
    if let Some(folder) = &arguments.report {
        report::folder::prepare(folder).naming("--report")?;
    }
    let context = Context::built_in(arguments.tier.into(), arguments.seed);
    let bar = bar(quiet);
    let progress = |done: usize, total: usize, what: &str| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        bar.set_message(what.to_owned());
    };
    let only = arguments.only.as_deref();
    let (demonstration, report) = gate::verify(&context, only, "flatgauge verify", &progress).map_err(Unusable)?;
    bar.finish_and_clear();
    if report.laws.is_empty() {
        let only = only.unwrap_or_default();
        return Err(Unusable(format!(
            "--only: no check's law/estimator/case contains '{only}'; see `flatgauge list laws`"
        )));
    }
    if let Some(folder) = &arguments.report {
        report::folder::write(folder, demonstration.as_ref(), &report).naming("--report")?;
    }
    match arguments.format {
        Format::Json => emit_json(&GateDocument { report: &report, demonstration: demonstration.as_ref() }),
        Format::Text => emit(&report::text::verify(demonstration.as_ref(), &report)),
    }
    Ok(Outcome::Judged(report))
}
