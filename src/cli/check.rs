//! `flatgauge check`: holds a command, in any language, to the laws and certified values.

use super::cases::{CaseArguments, OfFile, keep_counterexamples, quoted};
use super::progress::bar;
use super::verify::TierName;
use super::{Format, Naming, Outcome, Unusable, emit, emit_json};
use crate::flatness::Measure;
use crate::gate::external::{External, ExternalMeasure, ExternalPrior, Language, template};
use crate::gate::{self, Context, Report};
use crate::prior::Prior;
use crate::report;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["measure", "prior", "print_example"]))]
pub(super) struct Arguments {
    /// Hold the command to the laws and certified values of this measure
    #[arg(long, requires = "command", value_name = "ID")]
    measure: Option<String>,
    /// Hold the command to the laws and certified values of this method of log P(f)
    #[arg(long, requires = "command", value_name = "ID")]
    prior: Option<String>,
    /// The command, run by the shell; requests come on its stdin, answers on its stdout
    #[arg(long, value_name = "CMD")]
    command: Option<String>,
    /// Longest wait for an answer: 60s, 500ms, 2m
    #[arg(long, default_value = "60s", value_parser = duration)]
    timeout: Duration,
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
    /// Write the report into this folder: text, JSON, JUnit XML, Markdown, a page, and counterexamples
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// How to print the report
    #[arg(long, default_value = "text")]
    format: Format,
    /// Print a working example of a command and do nothing else
    #[arg(long, value_name = "LANGUAGE")]
    print_example: Option<LanguageName>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LanguageName {
    /// Python with numpy and scipy
    Python,
    /// Python with PyTorch
    Torch,
}

/// Reads `60s`, `500ms`, `2m`, or seconds without a unit.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, seconds) = [("ms", 1e-3), ("s", 1.0), ("m", 60.0)]
        .into_iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)))
        .unwrap_or((text, 1.0));
    match number.trim().parse::<f64>().map(|number| number * seconds) {
        Ok(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("expected a time above 0 and up to a day, as 60s, 500ms or 2m".to_owned()),
    }
}

pub(super) fn run(arguments: Arguments, quiet: bool) -> Result<Outcome, Unusable> {
    if let Some(language) = arguments.print_example {
        emit(template(match language {
            LanguageName::Python => Language::Python,
            LanguageName::Torch => Language::Torch,
        }));
        return Ok(Outcome::Done);
    }
    let measure = arguments.measure.as_deref().map(super::flatness::find).transpose()?;
    let method = arguments.prior.as_deref().map(super::prior::find).transpose()?;
    let command = arguments.command.as_deref().unwrap_or_default();
    if command.trim().is_empty() {
        return Err(Unusable("--command: it is empty, expected a command line".to_owned()));
    }
    if let Some(folder) = &arguments.report {
        report::folder::prepare(folder).naming("--report")?;
    }
    let external = External::start(command, arguments.timeout).naming("--command")?;
    let external = Arc::new(external);
    let measure = measure.map(|definition| ExternalMeasure::new(definition, Arc::clone(&external)));
    let method = method.map(|definition| ExternalPrior::new(definition, Arc::clone(&external)));
    let measures: Vec<&dyn Measure> = measure.iter().map(|measure| measure as &dyn Measure).collect();
    let priors: Vec<&dyn Prior> = method.iter().map(|method| method as &dyn Prior).collect();
    let (flag, id) = match (measures.first(), priors.first()) {
        (Some(measure), _) => ("--measure", measure.id()),
        (None, Some(method)) => ("--prior", method.id()),
        (None, None) => unreachable!("the parser asks for one of them"),
    };
    let line = format!("flatgauge check {flag} {id} --command {}", quoted(command));

    let context = Context::new(measures, priors, false, arguments.tier.into(), arguments.seed);
    let bar = bar(quiet);
    let progress = |done: usize, total: usize, what: &str| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        bar.set_message(what.to_owned());
    };
    let only = arguments.only.as_deref();
    let mut report = match arguments.cases.of_file(&context, &line)? {
        Some(OfFile { context, laws, command }) => {
            Report::new(gate::run(&laws, &context, only, &command, &progress), context.seed)
        }
        None => {
            let report = Report::new(gate::run(gate::registry(), &context, only, &line, &progress), context.seed);
            arguments.cases.generate(report, &context, only, &line, false, &progress)
        }
    };
    report = report.with_generated(external.finish(id, &context, &line), Vec::new());
    bar.finish_and_clear();
    if let Some(folder) = &arguments.report {
        keep_counterexamples(&mut report, folder, &line)?;
        report::folder::write(folder, None, &report).naming("--report")?;
    }
    match arguments.format {
        Format::Json => emit_json(&report),
        Format::Text => emit(&report::text::verify(None, &report)),
    }
    Ok(Outcome::Judged(report.verdict))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("1.5"), Ok(Duration::from_millis(1500)));
        for bad in ["0s", "-1s", "nan", "soon", "", "1e9s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn commands_are_quoted_for_the_shell() {
        assert_eq!(quoted("python it's.py"), r"'python it'\''s.py'");
    }
}
