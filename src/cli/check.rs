//! `flatgauge check`: holds a command, in any language, to the laws and certified values.

use super::cases::{CaseArguments, OfFile, nothing_matches, quoted};
use super::interrupt::on_interrupt;
use super::prior::LinkName;
use super::progress::bar;
use super::subject::{Asked, Claim, KernelName, Subject};
use super::verify::{TierName, tell};
use super::{Format, Outcome, UsageError, WithFlag, emit, emit_json};
use crate::gate::external::{External, Language, Opening, StartError, adopt_orphans, conformance, template};
use crate::gate::{self, Context, Known, Report, Tier};
use crate::numeric::Dtype;
use crate::prior::Link;
use crate::report;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["measure", "prior", "kernel", "rescaling", "optimizer", "conformance", "print_example"]))]
pub(super) struct Arguments {
    /// Hold the command to the laws and certified values of this measure
    #[arg(long, requires = "command", value_name = "ID")]
    measure: Option<String>,
    /// Hold the command to the laws and certified values of this method of log P(f)
    #[arg(long, requires = "command", value_name = "ID")]
    prior: Option<String>,
    /// Hold the command to the laws and certified values of this kernel: of infinitely wide networks, or by averages with
    /// standard errors
    #[arg(long, requires = "command", value_name = "KIND")]
    kernel: Option<KernelName>,
    /// Hold the command, a map of parameters of this name, to leaving functions as they are, and to acting on parameters and
    /// Hessian as it declares
    #[arg(long, requires = "command", value_name = "NAME")]
    rescaling: Option<String>,
    /// Hold the command to the certified trajectories of this optimiser
    #[arg(long, requires = "command", value_name = "ID")]
    optimizer: Option<String>,
    /// Hold the command's lines to protocol 1.0 and its JSON Schemas, whatever it answers
    #[arg(long, requires = "command")]
    conformance: bool,
    /// Ask a method of log P(f) for this link alone
    #[arg(long, requires = "prior")]
    link: Option<LinkName>,
    /// Relative error up to which the command vouches for its answers, unless one says otherwise (rel_error, abs_error)
    #[arg(long, value_name = "SHARE", value_parser = share)]
    accuracy: Option<f64>,
    /// Format in which the command computes a measure or a kernel: float32 is asked on numbers of that format, and judged by
    /// its tolerances
    #[arg(long, default_value = "float64", value_name = "FORMAT")]
    dtype: DtypeName,
    /// Failures that are known: a TOML file of lines "law/estimator/case" = "reason or address", with * for any text
    #[arg(long, value_name = "FILE")]
    known: Option<PathBuf>,
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
    /// Python with JAX
    Jax,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DtypeName {
    Float64,
    Float32,
}

impl From<DtypeName> for Dtype {
    fn from(name: DtypeName) -> Self {
        match name {
            DtypeName::Float64 => Self::Float64,
            DtypeName::Float32 => Self::Float32,
        }
    }
}

/// Reads a relative error.
pub(super) fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if share > 0.0 && share < 1.0 => Ok(share),
        _ => Err("expected a number above 0 and below 1, as 1e-3".to_owned()),
    }
}

/// Reads `60s`, `500ms`, `2m`, or seconds without a unit.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let (number, seconds) = [("ms", 1e-3), ("s", 1.0), ("m", 60.0)]
        .into_iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)))
        .unwrap_or((text, 1.0));
    match number.trim().parse::<f64>().map(|number| number * seconds) {
        Ok(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("expected a time above 0 and up to a day, as 60s, 500ms or 2m".to_owned()),
    }
}

pub(super) fn run(arguments: Arguments, quiet: bool) -> Result<Outcome, UsageError> {
    if let Some(language) = arguments.print_example {
        emit(template(match language {
            LanguageName::Python => Language::Python,
            LanguageName::Torch => Language::Torch,
            LanguageName::Jax => Language::Jax,
        }));
        return Ok(Outcome::Done);
    }
    let command = arguments.command.as_deref().unwrap_or_default();
    if command.trim().is_empty() {
        return Err(UsageError("--command: it is empty, expected a command line".to_owned()));
    }
    if arguments.conformance {
        return conforms(command, &arguments);
    }
    let claim = match Claim::new(arguments.rescaling.as_deref(), arguments.optimizer.as_deref())? {
        Some(claim) => claim,
        None => {
            Claim::Estimator(Asked::new(arguments.measure.as_deref(), arguments.prior.as_deref(), arguments.kernel)?)
        }
    };
    let (flag, id) = (claim.flag(), claim.id());
    let method = match &claim {
        Claim::Estimator(Asked::Prior(method)) => Some(*method),
        _ => None,
    };
    let links: Option<&'static [Link]> = arguments.link.map(|link| match Link::from(link) {
        Link::Step => &[Link::Step][..],
        Link::Probit => &[Link::Probit][..],
        Link::Logistic => &[Link::Logistic][..],
    });
    if let (Some(method), Some(links)) = (method, links)
        && !method.links().contains(&links[0])
    {
        return Err(UsageError(format!("--link: method '{id}' has no {} link", links[0])));
    }
    let dtype = Dtype::from(arguments.dtype);
    let in_any_dtype = matches!(claim, Claim::Estimator(Asked::Measure(_) | Asked::Kernel(..)));
    if dtype != Dtype::Float64 && !in_any_dtype {
        let why =
            "since digits that it does not have decide whether labels are possible under nearly singular Gram matrices";
        let why = if method.is_some() { format!(", {why}") } else { String::new() };
        return Err(UsageError(format!("--dtype: {flag} is not held to {dtype}{why}")));
    }
    let known = arguments.known.as_deref().map(Known::read).transpose().with_flag("--known")?.unwrap_or_default();
    let word = if matches!(claim, Claim::Rescaling(_)) { quoted(id) } else { id.to_owned() };
    let mut line = format!("flatgauge check {flag} {word} --command {}", quoted(command));
    if let Some(links) = links {
        line += &format!(" --link {}", links[0]);
    }
    if let Some(accuracy) = arguments.accuracy {
        line += &format!(" --accuracy {accuracy:e}");
    }
    if dtype != Dtype::Float64 {
        line += &format!(" --dtype {dtype}");
    }
    if let Some(folder) = &arguments.report {
        report::folder::prepare(folder).with_flag("--report")?;
    }

    // What is to be asked is settled before anything is started: a stand-in takes the place of the command.
    let stand_in = Subject::stand_in(&claim);
    let plan = stand_in.join(Context::new(Vec::new(), Vec::new(), false, arguments.tier.into(), arguments.seed));
    let only = arguments.only.as_deref();
    let (plan, laws, reproduce) = match arguments.cases.of_file(&plan, &line)? {
        Some(OfFile { context, laws, command }) => (context, laws, command),
        None => (plan, gate::registry().to_vec(), line.clone()),
    };
    if !arguments.cases.generates() && gate::count(&laws, &plan, only) == 0 {
        return Err(nothing_matches(only));
    }

    let opening = Opening { kinds: vec![claim.request_kind()], seed: arguments.seed, dtype, keeps_lines: false };
    let external = start(command, arguments.timeout, &opening, arguments.accuracy.unwrap_or(0.0))?;
    let subject = Subject::command(&claim, &external, links);
    let context = subject.join(plan);
    let bar = bar(quiet);
    let progress = |done: usize, total: usize, what: &str| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        bar.set_message(what.to_owned());
    };
    let report = Report::new(gate::run(&laws, &context, only, &reproduce, &progress), context.seed);
    let report = arguments.cases.generate(report, &context, only, &line, false, &progress);
    if report.laws.is_empty() {
        return Err(nothing_matches(only));
    }
    let report = report.with_generated(external.finish(id, &context, &line), Vec::new()).excusing(&known);
    let mut report = report.of_command(external.hello());
    bar.finish_and_clear();
    if let Some(fault) = external.host_fault() {
        return Err(UsageError(format!("TMPDIR: the files of a request cannot be written: {fault}")));
    }
    tell(None, &mut report, &line, arguments.format, arguments.report.as_deref())
}

/// Starts the command so that neither it nor anything of its making stays behind, whatever ends this program.
pub(super) fn start(
    command: &str,
    timeout: Duration,
    opening: &Opening,
    accuracy: f64,
) -> Result<Arc<External>, UsageError> {
    adopt_orphans();
    let external = External::start_with(command, timeout, opening).map_err(|error| match error {
        StartError::Folder { .. } => UsageError(format!("TMPDIR: {error}")),
        StartError::Shell(_) => UsageError(format!("--command: {error}")),
    })?;
    let external = Arc::new(external.vouching(accuracy));
    let interrupted = Arc::downgrade(&external);
    on_interrupt(move || {
        if let Some(external) = interrupted.upgrade() {
            external.abort();
        }
    })?;
    Ok(external)
}

/// Judges the lines of the command, not what they say.
fn conforms(command: &str, arguments: &Arguments) -> Result<Outcome, UsageError> {
    let opening = Opening { seed: arguments.seed, keeps_lines: true, ..Opening::default() };
    let external = start(command, arguments.timeout, &opening, 0.0)?;
    let found = conformance(&external, &Context::new(Vec::new(), Vec::new(), false, Tier::Quick, arguments.seed));
    if let Some(fault) = external.host_fault() {
        return Err(UsageError(format!("TMPDIR: the files of a request cannot be written: {fault}")));
    }
    match arguments.format {
        Format::Json => emit_json(&found),
        Format::Text => emit(&report::conformance::text(&found)),
    }
    Ok(Outcome::Judged(found.verdict))
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
