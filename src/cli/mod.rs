//! The command line: one file per subcommand, no mathematics.

mod arguments;
mod cases;
mod check;
mod flatness;
mod interrupt;
mod kernel;
mod list;
mod prior;
mod processes;
mod progress;
mod reproduce;
mod rescale;
mod sample;
mod train;
mod verify;

use crate::gate::{Report, Verdict, printable};
use clap::{CommandFactory, Parser, Subcommand};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::OnceLock;

/// Reference and conformance suite for flatness measures and log P(f) of trained neural networks.
#[derive(Debug, Parser)]
#[command(name = "flatgauge", version, arg_required_else_help = true)]
struct Cli {
    /// No progress bars and no notes on stderr.
    #[arg(long, global = true)]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train networks on embedded digits, rescale them, and check every law.
    Verify(verify::Arguments),
    /// Hold an estimator in any language to the laws and certified values.
    Check(Box<check::Arguments>),
    /// log P(f) of labels under a Gram matrix.
    Prior(prior::Arguments),
    /// Gram matrix of an architecture's prior on given inputs.
    Kernel(kernel::Arguments),
    /// Flatness measures of a network on data.
    Flatness(flatness::Arguments),
    /// Rescale a network without changing its function.
    Rescale(rescale::Arguments),
    /// Train a network to zero error, or a sweep of networks.
    Train(Box<train::Arguments>),
    /// Rerun an experiment of the paper, with figures.
    Reproduce(Box<reproduce::Arguments>),
    /// Draw networks from the prior and count the functions they express.
    Sample(Box<sample::Arguments>),
    /// List measures, methods, laws and other registries, or describe one entry.
    List(list::Arguments),
    /// Completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Exit code of a gate: 0 if its verdict is pass, else 1.
pub fn exit_code(report: &Report) -> u8 {
    code_of(report.verdict)
}

fn code_of(verdict: Verdict) -> u8 {
    u8::from(verdict != Verdict::Pass)
}

/// How a subcommand ended.
enum Outcome {
    /// All that was asked was computed.
    Done,
    /// A gate gave its verdict.
    Judged(Verdict),
}

/// Unusable input or usage, in one sentence.
#[derive(Debug)]
struct UsageError(String);

impl<E: std::error::Error> From<E> for UsageError {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Prefixes an error with the flag or file it concerns.
trait WithFlag<T> {
    fn with_flag(self, what: &str) -> Result<T, UsageError>;
}

impl<T, E: std::fmt::Display> WithFlag<T> for Result<T, E> {
    fn with_flag(self, what: &str) -> Result<T, UsageError> {
        self.map_err(|error| UsageError(format!("{what}: {error}")))
    }
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One JSON document.
    Json,
}

/// Parses the arguments of the process, runs what they ask for, and says how it went.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error)
            if error.use_stderr()
                && error.kind() != clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand =>
        {
            return refuse(&not_text(&error).unwrap_or_else(|| usage_sentence(&error)));
        }
        Err(error) => {
            let missing = error.use_stderr();
            if let Err(error) = error.print().and_then(|()| std::io::stdout().flush())
                && !missing
            {
                note_stdout(error);
            }
            return stdout_refusal().unwrap_or(ExitCode::from(if missing { 2 } else { 0 }));
        }
    };
    let quiet = cli.quiet;
    let outcome = match cli.command {
        Command::Verify(arguments) => verify::run(arguments, quiet),
        Command::Check(arguments) => check::run(*arguments, quiet),
        Command::Prior(arguments) => prior::run(arguments, quiet),
        Command::Kernel(arguments) => kernel::run(arguments, quiet),
        Command::Flatness(arguments) => flatness::run(arguments, quiet),
        Command::Rescale(arguments) => rescale::run(arguments, quiet),
        Command::Train(arguments) => train::run(*arguments, quiet),
        Command::Reproduce(arguments) => reproduce::run(*arguments, quiet),
        Command::Sample(arguments) => sample::run(*arguments, quiet),
        Command::List(arguments) => list::run(arguments),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "flatgauge", &mut script);
            emit(&String::from_utf8_lossy(&script));
            Ok(Outcome::Done)
        }
    };
    match outcome {
        Err(UsageError(sentence)) => refuse(&sentence),
        // Whoever asked has not seen the result.
        Ok(outcome) => stdout_refusal().unwrap_or(match outcome {
            Outcome::Done => ExitCode::SUCCESS,
            Outcome::Judged(verdict) => ExitCode::from(code_of(verdict)),
        }),
    }
}

/// Names of files and what stands in them may be in the sentence.
fn refuse(sentence: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "error: {}", printable(sentence));
    ExitCode::from(2)
}

/// The first thing that went wrong on stdout: whatever a subcommand still does is done, and its exit code says it.
static STDOUT_FAULT: OnceLock<std::io::Error> = OnceLock::new();

/// Keeps an error of stdout; a reader that has gone away is none.
fn note_stdout(error: std::io::Error) {
    if error.kind() != std::io::ErrorKind::BrokenPipe {
        let _ = STDOUT_FAULT.set(error);
    }
}

fn stdout_refusal() -> Option<ExitCode> {
    STDOUT_FAULT.get().map(|error| refuse(&format!("stdout: {error}, so the result could not be printed")))
}

/// A path as a line of results shows it.
fn shown(path: &Path) -> String {
    printable(&path.display().to_string())
}

/// The flag whose value is no UTF-8 text, which clap does not name.
fn not_text(error: &clap::Error) -> Option<String> {
    if error.kind() != clap::error::ErrorKind::InvalidUtf8 {
        return None;
    }
    let words: Vec<_> = std::env::args_os().collect();
    let place = words.iter().position(|word| word.to_str().is_none())?;
    let (word, before) = (words[place].to_string_lossy(), words[place.saturating_sub(1)].to_string_lossy());
    Some(match word.split_once('=').filter(|(flag, _)| flag.starts_with("--")) {
        Some((flag, value)) => format!("{flag}: its value '{value}' is not UTF-8 text"),
        None if before.starts_with("--") => format!("{before}: its value '{word}' is not UTF-8 text"),
        None => format!("argument {place}, '{word}', is not UTF-8 text"),
    })
}

/// What is wrong with the arguments in one sentence: clap's first paragraph, on one line.
fn usage_sentence(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = paragraph.split_whitespace().collect();
    words.join(" ").trim_start_matches("error: ").to_owned()
}

/// Writes to stdout. What goes wrong there is kept, and in the end refused with exit code 2.
fn emit(text: &str) {
    let mut stdout = std::io::stdout().lock();
    if let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        note_stdout(error);
    }
}

/// Writes one JSON document to stdout.
fn emit_json(value: &impl serde::Serialize) {
    emit(&(serde_json::to_string_pretty(value).expect("results serialise") + "\n"));
}

/// Writes a note to stderr unless asked not to.
fn note(quiet: bool, text: &str) {
    if !quiet {
        let _ = writeln!(std::io::stderr(), "note: {}", printable(text));
    }
}
