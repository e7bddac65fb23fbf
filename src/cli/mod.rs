//! The command line: one file per subcommand, no mathematics.

mod arguments;
mod bench;
mod cases;
mod check;
mod flatness;
mod interrupt;
mod kernel;
mod list;
mod output;
mod prior;
mod processes;
mod progress;
mod reproduce;
mod rescale;
mod sample;
mod subject;
mod train;
mod verify;

pub use output::exit_code;
use output::{
    Format, Outcome, UsageError, WithFlag, code_of, emit, emit_json, not_text, note, note_stdout, refuse, shown,
    stdout_refusal, usage_sentence,
};

use crate::numeric::instructions::Instructions;
use clap::{CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

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
    /// Time an estimator beside the built-in one, and gate a change by the ratio.
    Bench(Box<bench::Arguments>),
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

impl<T, E: std::fmt::Display> WithFlag<T> for Result<T, E> {
    fn with_flag(self, what: &str) -> Result<T, UsageError> {
        self.map_err(|error| UsageError(format!("{what}: {error}")))
    }
}

/// Parses the arguments of the process, runs what they ask for, and says how it went.
pub fn run() -> ExitCode {
    ExitCode::from(run_with(std::env::args_os()))
}

/// The same for other words, the first of which is the program's name; gives the exit code of the process. For programs
/// that hold this one, as the Python package does.
pub fn run_with(words: impl IntoIterator<Item = OsString>) -> u8 {
    let words: Vec<OsString> = words.into_iter().collect();
    let cli = match Cli::try_parse_from(&words) {
        Ok(cli) => cli,
        Err(error)
            if error.use_stderr()
                && error.kind() != clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand =>
        {
            return refuse(&not_text(&error, &words).unwrap_or_else(|| usage_sentence(&error)));
        }
        Err(error) => {
            let missing = error.use_stderr();
            if let Err(error) = error.print().and_then(|()| std::io::stdout().flush())
                && !missing
            {
                note_stdout(error);
            }
            return stdout_refusal().unwrap_or(if missing { 2 } else { 0 });
        }
    };
    if let Err(sentence) = Instructions::check() {
        return refuse(&sentence);
    }
    let quiet = cli.quiet;
    let outcome = match cli.command {
        Command::Verify(arguments) => verify::run(arguments, quiet),
        Command::Check(arguments) => check::run(*arguments, quiet),
        Command::Bench(arguments) => bench::run(*arguments),
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
            Outcome::Done => 0,
            Outcome::Judged(verdict) => code_of(verdict),
        }),
    }
}
