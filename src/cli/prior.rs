//! `flatgauge prior`: log P(f) of labels under a Gram matrix.

use super::arguments::read_rows;
use super::{Format, Naming, Outcome, Unusable, emit, emit_json};
use crate::data::read_npy;
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
    /// Reading of log P(f): step is the definition
    #[arg(long, default_value = "step")]
    link: LinkName,
    /// Standard error to reach, in nats (stochastic methods)
    #[arg(long, allow_negative_numbers = true)]
    target_se: Option<f64>,
    /// Wall-clock budget for reaching it
    #[arg(long, allow_negative_numbers = true)]
    max_seconds: Option<f64>,
    /// Seed of stochastic methods
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How to print the result
    #[arg(long, default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LinkName {
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

pub(super) fn run(arguments: Arguments, quiet: bool) -> Result<Outcome, Unusable> {
    let method = find(&arguments.method)?;
    for (flag, value) in [("--target-se", arguments.target_se), ("--max-seconds", arguments.max_seconds)] {
        if let Some(value) = value
            && !(value > 0.0 && value.is_finite())
        {
            return Err(Unusable(format!("{flag}: {value} is not usable, expected a finite number above 0")));
        }
    }
    let gram_name = format!("--gram: file '{}'", arguments.gram.display());
    let gram = Gram::new(read_rows(&arguments.gram, "--gram")?).naming(&gram_name)?;
    let labels_name = format!("--labels: file '{}'", arguments.labels.display());
    let labels = read_npy(&arguments.labels).naming("--labels")?;
    if labels.len() != labels.shape().first().copied().unwrap_or(0) {
        return Err(Unusable(format!("{labels_name} has shape {:?}, expected one label a point", labels.shape())));
    }
    let labels = Labels::from_values(&labels.iter().copied().collect::<Vec<_>>()).naming(&labels_name)?;
    let options = PriorOptions {
        link: arguments.link.into(),
        seed: arguments.seed,
        target_std_error: arguments.target_se,
        max_seconds: arguments.max_seconds,
        progress: ProgressSink::new(move |interim| tell(quiet, &interim)),
    };
    if labels.len() != gram.points() {
        let (labels, points) = (labels.len(), gram.points());
        return Err(Unusable(format!(
            "{labels_name} has {labels} labels, expected {points} as {gram_name} has points"
        )));
    }
    if !method.links().contains(&options.link) {
        let offered: Vec<String> = method.links().iter().map(|link| link.to_string()).collect();
        let (id, link) = (method.id(), options.link);
        return Err(Unusable(format!("--link: method '{id}' has no {link} link, expected {}", offered.join(" or "))));
    }
    let answer = method.log_prob(&gram, &labels, &options)?;
    match arguments.format {
        Format::Json => emit_json(&report::json::log_prob(method.id(), options.link, labels.len(), &answer)),
        Format::Text => emit(&report::text::log_prob(method.id(), options.link, labels.len(), &answer)),
    }
    Ok(Outcome::Done)
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
pub(super) fn find(id: &str) -> Result<&'static dyn prior::Prior, Unusable> {
    prior::find(id).ok_or_else(|| {
        let known: Vec<&str> = prior::registry().iter().map(|method| method.id()).collect();
        Unusable(format!("'{id}' is no method of log P(f), expected one of {}", known.join(", ")))
    })
}
