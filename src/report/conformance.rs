//! The result of `flatgauge check --conformance` for people.

use crate::gate::Verdict;
use crate::gate::external::Conformance;

/// Every line with what is wrong with it, what is wrong with the stream, and one line of verdict.
pub fn text(found: &Conformance) -> String {
    let mut text = found.command.as_ref().map_or(String::new(), |command| format!("command: {command}\n"));
    for line in &found.lines {
        let word = if line.faults.is_empty() { "conforms" } else { "does not conform" };
        text += &format!("line {}, {}: {word}: {}\n", line.line, line.taken_for, line.text);
        text.extend(line.faults.iter().map(|fault| format!("     {fault}\n")));
    }
    text.extend(found.faults.iter().map(|fault| format!("stream: {fault}\n")));
    let wrong = found.lines.iter().filter(|line| !line.faults.is_empty()).count();
    let word = if found.verdict == Verdict::Pass { "PASS" } else { "FAIL" };
    text + &format!(
        "\n{word}: {} lines to {} requests, {wrong} do not conform to protocol {}; {} faults of the stream\n",
        found.lines.len(),
        found.requests,
        found.protocol,
        found.faults.len()
    )
}
