//! Cases beyond the corpus: generated ones, and those of a file.

use super::{UsageError, WithFlag};
use crate::gate::{self, Context, Corpus, Law, Progress, Report, Scope};
use clap::Args;
use std::path::{Path, PathBuf};

/// Most cases that are generated in one run: they are in memory together.
const MOST_CASES: i64 = 100_000;

#[derive(Debug, Args)]
pub(super) struct CaseArguments {
    /// Also generate this many networks and Gram matrices, and shrink what fails to the smallest case
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u32).range(..=MOST_CASES))]
    cases: u32,
    /// Run the laws on the cases of this TOML file, in place of all others
    #[arg(long, value_name = "FILE", conflicts_with = "cases")]
    case: Option<PathBuf>,
}

/// `text` as one word of a shell; where it has characters that a terminal would not show, as the shell's `printf` of it.
pub(super) fn quoted(text: &str) -> String {
    if gate::printable(text) == text {
        return format!("'{}'", text.replace('\'', r"'\''"));
    }
    let mut octal = String::new();
    for byte in text.bytes() {
        match byte {
            b'\n' => octal += "\\n",
            b'\\' => octal += "\\\\",
            b'%' => octal += "%%",
            b'\'' => octal += r"'\''",
            b' '..=b'~' => octal.push(char::from(byte)),
            _ => octal += &format!("\\{byte:03o}"),
        }
    }
    format!("\"$(printf '{octal}')\"")
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
    pub fn of_file<'a>(&self, context: &Context<'a>, command: &str) -> Result<Option<OfFile<'a>>, UsageError> {
        let Some(path) = &self.case else { return Ok(None) };
        let corpus = Corpus::read(path).with_flag("--case")?;
        let networks = corpus.networks(context.tier, context.seed).with_flag("--case")?;
        let grams = corpus.grams(context.tier, context.seed).with_flag("--case")?;
        let unusable = |kind: &str, flag: &str| {
            let tier = context.tier.name();
            UsageError(format!(
                "--case: file '{}' has no [[{kind}]] of the {tier} tier, which {flag} needs",
                path.display()
            ))
        };
        let (of_networks, of_grams) = (!context.measures.is_empty(), !context.priors.is_empty());
        match (networks.is_empty(), grams.is_empty()) {
            (true, true) => return Err(unusable("network]] or [[gram", "every check")),
            (true, _) if of_networks && !of_grams => return Err(unusable("network", "--measure")),
            (_, true) if of_grams && !of_networks => return Err(unusable("gram", "--prior")),
            _ => {}
        }
        let laws = gate::registry().iter().copied().filter(|law| law.scope() != Scope::Certified).collect();
        let command = format!("{command} --case {}", quoted(&path.to_string_lossy()));
        Ok(Some(OfFile { context: context.on_cases(networks, grams), laws, command }))
    }

    /// Whether cases are generated beside those that are there.
    pub fn generates(&self) -> bool {
        self.cases > 0
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
            gate::run_generated(context, self.cases as usize, only, command, restartable, progress);
        report.with_generated(outcomes, counterexamples)
    }
}

/// No check is called so.
pub(super) fn nothing_matches(only: Option<&str>) -> UsageError {
    let only = only.unwrap_or_default();
    UsageError(format!("--only: no check's law/estimator/case contains '{only}'; see `flatgauge list laws`"))
}

/// Writes counterexamples into `folder/cases`, and makes the failures they come from reproducible by these files.
pub(super) fn keep_counterexamples(report: &mut Report, folder: &Path, command: &str) -> Result<(), UsageError> {
    if report.counterexamples.is_empty() {
        return Ok(());
    }
    let folder = folder.join("cases");
    std::fs::create_dir_all(&folder).with_flag("--report")?;
    for counterexample in &report.counterexamples {
        let path = counterexample.save(&folder).with_flag("--report")?;
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
