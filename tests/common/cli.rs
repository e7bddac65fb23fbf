//! The program as a user starts it.

use serde_json::Value;
use std::process::{Command, Output};

/// The program with arguments, not yet started.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flatgauge"));
    command.args(arguments);
    command
}

/// Runs the program.
pub fn flatgauge(arguments: &[&str]) -> Output {
    command(arguments).output().expect("the program starts")
}

/// What was written, as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}

/// The one JSON document of a run that succeeded.
pub fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON document on stdout and nothing else")
}

/// The one sentence with which unusable input is refused: exit code 2, nothing on stdout.
pub fn refusal(arguments: &[&str]) -> String {
    let output = flatgauge(arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stderr));
    assert!(output.stdout.is_empty(), "{arguments:?} wrote {}", text(&output.stdout));
    let sentence = text(&output.stderr);
    assert_eq!(sentence.lines().count(), 1, "{sentence}");
    sentence.trim_start_matches("error: ").trim_end().to_owned()
}
