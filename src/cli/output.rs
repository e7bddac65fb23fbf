//! How results and refusals reach whoever asked.

use crate::gate::{Report, Verdict, printable};
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;

/// Exit code of a gate: 0 if its verdict is pass, else 1.
pub fn exit_code(report: &Report) -> u8 {
    code_of(report.verdict)
}

pub(super) fn code_of(verdict: Verdict) -> u8 {
    u8::from(verdict != Verdict::Pass)
}

/// How a subcommand ended.
pub(super) enum Outcome {
    /// All that was asked was computed.
    Done,
    /// A gate gave its verdict.
    Judged(Verdict),
}

/// Unusable input or usage, in one sentence.
#[derive(Debug)]
pub(super) struct UsageError(pub(super) String);

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for UsageError {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Prefixes an error with the flag or file it concerns.
pub(super) trait WithFlag<T> {
    fn with_flag(self, what: &str) -> Result<T, UsageError>;
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// One JSON document.
    Json,
}

/// Names of files and what stands in them may be in the sentence.
pub(super) fn refuse(sentence: &str) -> u8 {
    let _ = writeln!(std::io::stderr(), "error: {}", printable(sentence));
    2
}

/// The first thing that went wrong on stdout: whatever a subcommand still does is done, and its exit code says it.
pub(super) static STDOUT_FAULT: OnceLock<std::io::Error> = OnceLock::new();

/// Keeps an error of stdout; a reader that has gone away is none.
pub(super) fn note_stdout(error: std::io::Error) {
    if error.kind() != std::io::ErrorKind::BrokenPipe {
        let _ = STDOUT_FAULT.set(error);
    }
}

pub(super) fn stdout_refusal() -> Option<u8> {
    STDOUT_FAULT.get().map(|error| refuse(&format!("stdout: {error}, so the result could not be printed")))
}

/// A path as a line of results shows it.
pub(super) fn shown(path: &Path) -> String {
    printable(&path.display().to_string())
}

/// The flag whose value is no UTF-8 text, which clap does not name.
pub(super) fn not_text(error: &clap::Error, words: &[OsString]) -> Option<String> {
    if error.kind() != clap::error::ErrorKind::InvalidUtf8 {
        return None;
    }
    let place = words.iter().position(|word| word.to_str().is_none())?;
    let (word, before) = (words[place].to_string_lossy(), words[place.saturating_sub(1)].to_string_lossy());
    Some(match word.split_once('=').filter(|(flag, _)| flag.starts_with("--")) {
        Some((flag, value)) => format!("{flag}: its value '{value}' is not UTF-8 text"),
        None if before.starts_with("--") => format!("{before}: its value '{word}' is not UTF-8 text"),
        None => format!("argument {place}, '{word}', is not UTF-8 text"),
    })
}

/// What is wrong with the arguments in one sentence: clap's first paragraph, on one line.
pub(super) fn usage_sentence(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = paragraph.split_whitespace().collect();
    words.join(" ").trim_start_matches("error: ").to_owned()
}

/// Writes to stdout. What goes wrong there is kept, and in the end refused with exit code 2.
pub(super) fn emit(text: &str) {
    let mut stdout = std::io::stdout().lock();
    if let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        note_stdout(error);
    }
}

/// Writes one JSON document to stdout.
pub(super) fn emit_json(value: &impl serde::Serialize) {
    emit(&(serde_json::to_string_pretty(value).expect("results serialise") + "\n"));
}

/// Writes a note to stderr unless asked not to.
pub(super) fn note(quiet: bool, text: &str) {
    if !quiet {
        let _ = writeln!(std::io::stderr(), "note: {}", printable(text));
    }
}
