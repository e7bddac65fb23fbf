//! `flatgauge bench`: times an estimator, built in or a command, beside the built-in one, and gates a change by the ratio.

use super::check::{duration, share, start};
use super::subject::{Asked, KernelName};
use super::{Format, Outcome, UsageError, WithFlag, emit, emit_json};
use crate::flatness::Measure;
use crate::gate::external::{External, ExternalKernel, ExternalMeasure, ExternalPrior, Opening};
use crate::gate::{Bench, BenchRow, Gate, Verdict};
use crate::io::{check_writable, read_text, write_atomically};
use crate::kernel::{self, KernelMethod};
use crate::prior::LogProbMethod;
use clap::Args;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Longest file of times that is read.
const LONGEST: u64 = 1 << 24;

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("timed").required(true).args(["measure", "prior", "kernel"]))]
pub(super) struct Arguments {
    /// Time this measure
    #[arg(long, value_name = "ID")]
    measure: Option<String>,
    /// Time this method of log P(f)
    #[arg(long, value_name = "ID")]
    prior: Option<String>,
    /// Time this kernel
    #[arg(long, value_name = "KIND")]
    kernel: Option<KernelName>,
    /// A command that answers in the place of the built-in estimator, as in check; its files and pipes are timed with it
    #[arg(long, value_name = "CMD")]
    command: Option<String>,
    /// Longest wait for an answer of the command: 60s, 500ms, 2m
    #[arg(long, default_value = "60s", value_parser = duration)]
    timeout: Duration,
    /// Relative error up to which the command vouches for its answers
    #[arg(long, value_name = "SHARE", value_parser = share)]
    accuracy: Option<f64>,
    /// Time for each case
    #[arg(long, default_value = "2s", value_parser = duration)]
    budget: Duration,
    /// Keep the times in this file, as JSON
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Compare with the times of this file, which --out wrote
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Fail where the whole interval of the ratio to the built-in estimator lies above this many times what it was
    #[arg(long, value_name = "FACTOR", default_value_t = 1.1, requires = "against", value_parser = factor)]
    fail_over: f64,
    /// How to print the times
    #[arg(long, default_value = "text")]
    format: Format,
}

/// What is kept: the times, and by which version they were taken.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    version: String,
    #[serde(flatten)]
    bench: Bench,
    #[serde(default)]
    slower: Vec<String>,
    #[serde(default)]
    verdict: String,
}

/// Reads a factor.
fn factor(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(factor) if factor >= 1.0 && factor.is_finite() => Ok(factor),
        _ => Err("expected a number of at least 1, as 1.1".to_owned()),
    }
}

fn read(path: &Path) -> Result<Record, UsageError> {
    let text = read_text(path, LONGEST)
        .map_err(|error| UsageError(format!("--against: file '{}': {error}", path.display())))?;
    serde_json::from_str(&text).map_err(|error| {
        UsageError(format!("--against: file '{}' has no times as --out writes them: {error}", path.display()))
    })
}

pub(super) fn run(arguments: Arguments) -> Result<Outcome, UsageError> {
    let asked = Asked::new(arguments.measure.as_deref(), arguments.prior.as_deref(), arguments.kernel)?;
    let before = arguments.against.as_deref().map(read).transpose()?;
    if let Some(out) = &arguments.out {
        check_writable(out).map_err(|error| UsageError(format!("--out: file '{}': {error}", out.display())))?;
    }
    if let Some(before) = &before
        && before.bench.estimator != asked.id()
    {
        return Err(UsageError(format!(
            "--against: the file has times of '{}', expected those of '{}'",
            before.bench.estimator,
            asked.id()
        )));
    }
    let mut bench = match arguments.command.as_deref() {
        None => of_built_in(&asked, arguments.budget),
        Some(command) if command.trim().is_empty() => {
            return Err(UsageError("--command: it is empty, expected a command line".to_owned()));
        }
        Some(command) => {
            let accuracy = arguments.accuracy.unwrap_or(0.0);
            of_command(&asked, &start(command, arguments.timeout, &Opening::default(), accuracy)?, arguments.budget)?
        }
    };
    bench.estimator = asked.id().to_owned();
    let slower =
        before.as_ref().map(|before| bench.slower_than(&before.bench, arguments.fail_over)).unwrap_or_default();
    let (verdict, word) =
        if bench.failed() || !slower.is_empty() { (Verdict::Fail, "fail") } else { (Verdict::Pass, "pass") };
    let record = Record { version: env!("CARGO_PKG_VERSION").to_owned(), bench, slower, verdict: word.to_owned() };
    if let Some(out) = &arguments.out {
        let bytes = serde_json::to_vec_pretty(&record).expect("times serialise");
        write_atomically(out, &bytes).with_flag(&format!("--out: file '{}'", out.display()))?;
    }
    match arguments.format {
        Format::Text => emit(&text(&record, before.as_ref())),
        Format::Json => emit_json(&serde_json::to_value(&record).expect("times serialise")),
    }
    Ok(Outcome::Judged(verdict))
}

fn of_built_in(asked: &Asked, budget: Duration) -> Bench {
    let gate = match *asked {
        Asked::Measure(measure) => Gate::quick().measure(measure),
        Asked::Prior(method) => Gate::quick().prior(method),
        Asked::Kernel(KernelName::Empirical, _) => {
            Gate::quick().kernel(kernel::find("empirical").expect("it is registered"))
        }
        Asked::Kernel(..) => Gate::quick().kernel(kernel::find("analytic").expect("it is registered")),
    };
    gate.bench(budget).remove(0)
}

fn of_command(asked: &Asked, external: &Arc<External>, budget: Duration) -> Result<Bench, UsageError> {
    let bench = match *asked {
        Asked::Measure(definition) => {
            let subject = ExternalMeasure::new(definition, Arc::clone(external));
            Gate::quick().measure(&subject as &dyn Measure).bench(budget)
        }
        Asked::Prior(definition) => {
            let subject = ExternalPrior::new(definition, Arc::clone(external));
            Gate::quick().prior(&subject as &dyn LogProbMethod).bench(budget)
        }
        Asked::Kernel(_, kind) => {
            let subject = ExternalKernel::new(kind, Arc::clone(external));
            Gate::quick().kernel(&subject as &dyn KernelMethod).bench(budget)
        }
    };
    match external.host_fault() {
        Some(fault) => Err(UsageError(format!("TMPDIR: the files of a request cannot be written: {fault}"))),
        None => Ok(bench.into_iter().next().expect("one estimator was timed")),
    }
}

fn text(record: &Record, before: Option<&Record>) -> String {
    let bench = &record.bench;
    let mut text = format!(
        "{} beside the built-in {}: median seconds of an answer, and their ratio with its 95% interval\n",
        bench.estimator, bench.reference
    );
    for row in &bench.rows {
        text += &line(row);
        if let Some(before) = before {
            text += &match before.bench.timing(&row.case) {
                Some(was) => format!("    the ratio was {:.3}\n", was.ratio),
                None => "    it was not timed before\n".to_owned(),
            };
        }
    }
    for slower in &record.slower {
        text += &format!("SLOWER: {slower}\n");
    }
    text + &format!("verdict: {}\n", record.verdict)
}

fn line(row: &BenchRow) -> String {
    let Some(timing) = &row.timing else {
        let word = if row.failed { "FAILED" } else { "not timed" };
        return format!("  {:<40} {word}: {}\n", row.case, row.fault.as_deref().unwrap_or_default());
    };
    let optional =
        |name: &str, number: Option<f64>| number.map_or(String::new(), |number| format!(", {name} {number:.3e}"));
    format!(
        "  {:<40} {:.3e} s, built in {:.3e} s, ratio {:.3} [{:.3}, {:.3}], {} rounds{}{}{}{}\n",
        row.case,
        timing.seconds,
        timing.reference_seconds,
        timing.ratio,
        timing.interval[0],
        timing.interval[1],
        timing.rounds,
        timing.digits.map_or(String::new(), |digits| format!(", {digits:.1} digits")),
        optional("s per digit", timing.seconds_per_digit),
        optional("s times relative variance", timing.seconds_times_variance),
        timing.products.map_or(String::new(), |products| format!(", {products} products")),
    )
}
