//! Cases beyond the corpus: generated ones, and those of a file.

use super::{Naming, Unusable};
use crate::gate::{self, Context, Corpus, Law, Progress, Report, Scope};
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct CaseArguments {
    /// Also generate this many networks and Gram matrices, and shrink what fails to the smallest case
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = case_count)]
    cases: usize,
    /// Run the laws on the cases of this TOML file, in place of all others
    #[arg(long, value_name = "FILE", conflicts_with = "cases")]
    case: Option<PathBuf>,
}

/// Most cases that are generated: each is kept until all are judged.
const MOST_CASES: usize = 1_000_000;

fn case_count(text: &str) -> Result<usize, String> {
    let count: Option<usize> = text.parse().ok().filter(|count| *count <= MOST_CASES);
    count.ok_or_else(|| format!("expected a whole number from 0 to {MOST_CASES}"))
}

/// `text` as one word of a shell.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What is run on the cases of a file.
pub(super) struct OfFile<'a> {
    /// The estimators on these cases.
    pub context: Context<'a>,
    /// The laws that can be held there.
    pub laws: Vec<&'static dyn Law>,
    /// The command that says so.
    pub command: String,
}

impl CaseArguments {
    /// The same context on the cases of the file; `None` without a file.
    pub fn of_file<'a>(&self, context: &Context<'a>, command: &str) -> Result<Option<OfFile<'a>>, Unusable> {
        let Some(path) = &self.case else { return Ok(None) };
        let corpus = Corpus::read(path).naming("--case")?;
        let networks = corpus.networks(context.tier, context.seed).naming("--case")?;
        let grams = corpus.grams(context.tier, context.seed).naming("--case")?;
        let laws = gate::registry().iter().copied().filter(|law| law.scope() != Scope::Certified).collect();
        let command = format!("{command} --case {}", quoted(&path.to_string_lossy()));
        Ok(Some(OfFile { context: context.on_cases(networks, grams), laws, command }))
    }

    /// Adds the generated cases, if any are asked for.
    pub fn generate(
        &self,
        report: Report,
        context: &Context,
        only: Option<&str>,
        command: &str,
        restartable: bool,
        progress: Progress,
    ) -> Report {
        if self.cases == 0 {
            return report;
        }
        let (outcomes, counterexamples) =
            gate::run_generated(context, self.cases, only, command, restartable, progress);
        report.with_generated(outcomes, counterexamples)
    }
}

/// Writes counterexamples into `folder/cases`, and makes the failures they come from reproducible by these files.
pub(super) fn keep_counterexamples(report: &mut Report, folder: &Path, command: &str) -> Result<(), Unusable> {
    if report.counterexamples.is_empty() {
        return Ok(());
    }
    let folder = folder.join("cases");
    std::fs::create_dir_all(&folder).naming("--report")?;
    for counterexample in &report.counterexamples {
        let path = counterexample.save(&folder).naming("--report")?;
        let path = std::path::absolute(&path).unwrap_or(path);
        for outcome in report.laws.iter_mut().filter(|outcome| counterexample.explains(outcome)) {
            outcome.reproduce = format!(
                "{command} --seed {} --case {} --only '{}/{}/'",
                report.seed,
                quoted(&path.to_string_lossy()),
                outcome.law,
                outcome.estimator
            );
        }
    }
    Ok(())
}
