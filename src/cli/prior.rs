//! `flatgauge prior`: log P(f) of labels under a Gram matrix.

use super::arguments::read_labels;
use super::{Format, Outcome, UsageError, WithFlag, emit, emit_json};
use crate::data::{read_npy_that, rows_of};
use crate::prior::{self, Gram, Interim, Labels, Link, PriorOptions, ProgressSink};
use crate::report;
use clap::{Args, ValueEnum};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Gram matrix, n x n, in a .npy file
    #[arg(long)]
    gram: PathBuf,
    /// Labels in {0, 1} or {-1, +1}, n of them, in a .npy file
    #[arg(long)]
    labels: PathBuf,
    /// Method (see `flatgauge list priors`)
    #[arg(long, default_value = "ep")]
    method: String,
    /// Reading of log P(f): step is the definition, and the default of every method that has it
    #[arg(long)]
    link: Option<LinkName>,
    /// Standard error to reach, in nats (stochastic methods)
    #[arg(long, allow_negative_numbers = true)]
    target_se: Option<f64>,
    /// Wall-clock budget for reaching it
    #[arg(long, allow_negative_numbers = true)]
    max_seconds: Option<f64>,
    /// Also log P(f|S) = log P(f) - log P(S) and the PAC-Bayes bound, S being the first M points
    #[arg(long, value_name = "M")]
    train: Option<usize>,
    /// The PAC-Bayes bound fails with at most this probability
    #[arg(long, default_value_t = 0.05, allow_negative_numbers = true, requires = "train")]
    delta: f64,
    /// Multiply the diagonal of the Gram matrix by 1 + X first (for singular matrices; changes the problem)
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    jitter: Option<f64>,
    /// Seed of stochastic methods
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How to print the result
    #[arg(long, default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum LinkName {
    Step,
    Probit,
    Logistic,
}

impl From<LinkName> for Link {
    fn from(name: LinkName) -> Self {
        match name {
            LinkName::Step => Self::Step,
            LinkName::Probit => Self::Probit,
            LinkName::Logistic => Self::Logistic,
        }
    }
}

pub(super) fn run(arguments: Arguments, quiet: bool) -> Result<Outcome, UsageError> {
    let method = find(&arguments.method)?;
    for (flag, value) in [("--target-se", arguments.target_se), ("--max-seconds", arguments.max_seconds)] {
        if let Some(value) = value
            && !(value > 0.0 && value.is_finite())
        {
            return Err(UsageError(format!("{flag}: {value} is not usable, expected a finite number above 0")));
        }
    }
    if !(arguments.delta > 0.0 && arguments.delta < 1.0) {
        return Err(UsageError(format!(
            "--delta: {} is not usable, expected a number between 0 and 1",
            arguments.delta
        )));
    }
    if let Some(jitter) = arguments.jitter
        && !(jitter >= 0.0 && jitter.is_finite())
    {
        return Err(UsageError(format!("--jitter: {jitter} is not usable, expected a finite number from 0")));
    }
    let gram_name = format!("--gram: file '{}'", arguments.gram.display());
    let square = |shape: &[usize]| match *shape {
        [_, _] => Ok(()),
        _ => Err(format!("shape {shape:?}, expected a matrix n x n")),
    };
    let matrix = read_npy_that(&arguments.gram, &square).map(rows_of).with_flag("--gram")?;
    let mut gram = Gram::new(matrix).with_flag(&gram_name)?;
    if let Some(jitter) = arguments.jitter {
        gram = gram.with_jitter(jitter);
    }
    let labels_name = format!("--labels: file '{}'", arguments.labels.display());
    let labels = read_labels(&arguments.labels, None)?;
    let options = PriorOptions {
        link: arguments.link.map_or(method.links()[0], Link::from),
        seed: arguments.seed,
        target_std_error: arguments.target_se,
        max_seconds: arguments.max_seconds,
        progress: ProgressSink::new(move |interim| tell(quiet, &interim)),
    };
    if labels.len() != gram.point_count() {
        let (labels, points) = (labels.len(), gram.point_count());
        return Err(UsageError(format!(
            "{labels_name} has {labels} labels, expected {points} as {gram_name} has points"
        )));
    }
    if !method.links().contains(&options.link) {
        let offered: Vec<String> = method.links().iter().map(|link| link.to_string()).collect();
        let (id, link) = (method.id(), options.link);
        return Err(UsageError(format!("--link: method '{id}' has no {link} link, expected {}", offered.join(" or "))));
    }
    if let Some(train) = arguments.train
        && !(1..=labels.len()).contains(&train)
    {
        return Err(UsageError(format!(
            "--train: {train} is not usable, expected between 1 and {} points",
            labels.len()
        )));
    }
    let mut answer = method.log_prob(&gram, &labels, &options)?;
    if let Some(train) = arguments.train {
        add_posterior(&mut answer, method, &gram, &labels, train, arguments.delta, &options)?;
    }
    let info = &mut answer.estimate.info;
    if let Some(jitter) = arguments.jitter {
        info.set("jitter_relative", jitter);
    }
    if let Some(target) = options.target_std_error {
        match answer.estimate.std_error {
            None => info.set("target_ignored", "the method is deterministic and has no standard error"),
            Some(reached) if reached > target && !quiet => {
                let _ = writeln!(
                    std::io::stderr(),
                    "note: the standard error is {reached:.3e}, above the target {target:.3e} (see stopped_by)"
                );
            }
            Some(_) => {}
        }
    }
    match arguments.format {
        Format::Json => emit_json(&report::json::log_prob(&arguments.method, options.link, labels.len(), &answer)),
        Format::Text => {
            let mut text = report::text::log_prob(&arguments.method, options.link, labels.len(), &answer);
            if method.exactness() == prior::Exactness::Approximate {
                text += "  an approximation: --method auto gives the true value with a standard error\n";
            }
            emit(&text);
        }
    }
    Ok(Outcome::Done)
}

/// Puts `log P(S)`, `log P(f|S)` and the PAC-Bayes bound among the diagnostics.
fn add_posterior(
    answer: &mut prior::LogProb,
    method: &dyn prior::LogProbMethod,
    gram: &Gram,
    labels: &Labels,
    train: usize,
    delta: f64,
    options: &PriorOptions,
) -> Result<(), UsageError> {
    let (training, value) = prior::posterior(method, gram, labels, &answer.estimate, train, options)?;
    let info = &mut answer.estimate.info;
    info.set("train_points", train);
    info.set("log_prob_train", training.value);
    info.set("log_posterior", value.value);
    if let (Some(of_training), Some(of_posterior)) = (training.std_error, value.std_error) {
        info.set("log_prob_train_std_error", of_training);
        info.set("log_posterior_std_error", of_posterior);
    }
    if let Some(bound) = prior::pac_bayes_bound(training.value, train, delta) {
        info.set("pac_bayes_error_bound", bound);
        info.set("pac_bayes_delta", delta);
    }
    Ok(())
}

/// Says on stderr, if it is a terminal, where a stochastic method stands.
fn tell(quiet: bool, interim: &Interim) {
    let mut stderr = std::io::stderr();
    if !quiet && stderr.is_terminal() {
        let Interim { log_prob, std_error, replicates, seconds } = interim;
        let _ =
            writeln!(stderr, "{seconds:6.1} s: log P(f) = {log_prob:.4} +- {std_error:.4} ({replicates} replicates)");
    }
}

/// The method called `id`.
pub(super) fn find(id: &str) -> Result<&'static dyn prior::LogProbMethod, UsageError> {
    prior::find(id).ok_or_else(|| {
        let known: Vec<&str> = prior::registry().iter().map(|method| method.id()).collect();
        UsageError(format!("'{id}' is no method of log P(f), expected one of {}", known.join(", ")))
    })
}
