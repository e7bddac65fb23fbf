//! Whether a command's lines are those of protocol 1.0, line by line.

#[cfg(feature = "studies")]
use super::ExternalOptimizer;
use super::answer::{Line, read};
use super::hello::{Hello, PROTOCOL_VARIABLE, PROTOCOL_VERSION};
use super::schema::line_violations;
use super::{External, ExternalKernel, ExternalMeasure, ExternalPrior, ExternalRescaling, RequestKind};
use crate::flatness::{self, Measure, Options, Point};
use crate::gate::finding::Verdict;
use crate::gate::law::Context;
use crate::gate::map::FunctionMap;
use crate::gate::printable::printable;
#[cfg(feature = "studies")]
use crate::gate::trajectory::{self, TrajectoryMethod};
use crate::kernel::{KernelMethod, KernelOptions, Kind};
use crate::model::{Activation, Architecture};
use crate::prior::{self, LogProbMethod, PriorOptions};
#[cfg(feature = "studies")]
use crate::train;
use ndarray::array;
use serde::Serialize;
use std::sync::Arc;

/// Requests of a measure and of log P(f) that are asked; enough for every line that a command can write.
const ASKED: usize = 6;

/// What was found of a command's lines.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Conformance {
    /// Pass iff nothing is wrong with any line, nor with the stream of them.
    pub verdict: Verdict,
    /// The version of the protocol that the lines are held to.
    pub protocol: &'static str,
    /// What the command said of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Hello>,
    /// Requests that were asked.
    pub requests: usize,
    /// All lines of the command, in their order.
    pub lines: Vec<JudgedLine>,
    /// What is wrong with no single line: a missing answer, a crash, an exit code.
    pub faults: Vec<String>,
}

/// One line of a command.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct JudgedLine {
    /// Which, from 1.
    pub line: usize,
    /// What it was taken for: `hello` or `answer`.
    pub taken_for: &'static str,
    /// What it said.
    pub text: String,
    /// What is wrong with it, sentence by sentence.
    pub faults: Vec<String>,
}

/// Asks a command requests of every kind, whatever it answers, and judges its lines: measures, log P(f) and kernels, and maps of
/// parameters and steps of optimisers where its capabilities name them. It is asked nothing before it has said who it is, or
/// has not for the time that a start may take. The command is ended.
pub fn conformance(external: &Arc<External>, context: &Context) -> Conformance {
    let command = external.process.wait_for_hello();
    let mut unanswered = Vec::new();
    let mut requests = 0;
    let mut note = |result: Result<(), String>| {
        requests += 1;
        // Faults of a line are found there; what has no line has its reason here.
        unanswered.extend(result.err().filter(|reason| NO_LINE.iter().any(|kind| reason.contains(kind))));
    };
    for id in ["hessian_trace", "keskar_sharpness"] {
        let measure = ExternalMeasure::new(flatness::find(id).expect("it is built in"), Arc::clone(external));
        for case in context.flatness_cases.iter().take(ASKED / 2) {
            let options = Options { seed: context.seed, ..Options::default() };
            let point = Point::new(case.objective(), &case.network.theta);
            note(measure.evaluate(&point, &options).map(drop).map_err(|error| error.to_string()));
        }
    }
    let method = prior::find("exact").expect("it is built in");
    let method = ExternalPrior::new(method, Arc::clone(external));
    for (index, case) in context.prior_cases.iter().take(ASKED).enumerate() {
        let link = method.links()[index % method.links().len()];
        let options = PriorOptions { link, seed: context.seed, ..PriorOptions::default() };
        note(method.log_prob(&case.gram, &case.labels, &options).map(drop).map_err(|error| error.to_string()));
    }
    let architecture = Architecture::fully_connected(&[2, 8, 1], Activation::Relu, 1.0, 0.5);
    let inputs = array![[1.0, 0.0], [0.5, -2.0], [0.25, 1.0]];
    for kind in [Kind::Nngp, Kind::Ntk] {
        let options = KernelOptions { kind, seed: context.seed, ..KernelOptions::default() };
        let kernel = ExternalKernel::new(kind, Arc::clone(external));
        note(kernel.gram(&architecture, inputs.view(), &options).map(drop).map_err(|error| error.to_string()));
    }
    let offers = |kind: RequestKind| command.as_ref().is_some_and(|command| command.offers(kind.name()));
    if offers(RequestKind::Rescaling) {
        let map = ExternalRescaling::new("layer_alpha", Arc::clone(external));
        for case in context.flatness_cases.iter().take(ASKED / 2) {
            note(map.rescale(&case.network, context.seed).map(drop).map_err(|error| error.to_string()));
        }
    }
    #[cfg(feature = "studies")]
    if offers(RequestKind::Optimizer) {
        for course in trajectory::courses().iter().take(ASKED / 2) {
            let named = train::registry().iter().find(|optimizer| optimizer.id() == course.optimizer.id());
            let optimizer =
                ExternalOptimizer::new(*named.expect("courses are of registered ones"), Arc::clone(external));
            note(optimizer.run(course, trajectory::STEPS[0]).map(drop).map_err(|error| error.to_string()));
        }
    }
    let faults = external.process.finish();
    let lines: Vec<JudgedLine> =
        (external.process.lines().iter().enumerate()).filter_map(|(index, line)| judged(index + 1, line)).collect();
    let mut said: Vec<String> = faults.iter().map(ToString::to_string).collect();
    said.extend(unanswered.into_iter().take(1));
    if command.is_none() {
        said.insert(
            0,
            format!(
                "no hello: expected {{\"protocol\":\"{PROTOCOL_VERSION}\",\"name\":\"...\"}} as the first line, before anything \
                 is asked, where the environment has {PROTOCOL_VARIABLE}"
            ),
        );
    } else if lines.first().is_some_and(|line| line.taken_for != "hello") {
        said.insert(0, "the hello is not the first line".to_owned());
    }
    let wrong = !said.is_empty() || lines.iter().any(|line| !line.faults.is_empty());
    let verdict = if wrong { Verdict::Fail } else { Verdict::Pass };
    Conformance { verdict, protocol: PROTOCOL_VERSION, command, requests, lines, faults: said }
}

/// Kinds of faults that no line of the command shows.
const NO_LINE: [&str; 3] = ["hang: ", "crash: ", "line-too-long: "];

/// One line, read as the gate reads it and held to its schema; `None` of white space.
fn judged(number: usize, line: &[u8]) -> Option<JudgedLine> {
    let text = String::from_utf8_lossy(line).trim().to_owned();
    let read = read(line);
    let taken_for = if matches!(read, Line::Hello(_)) { "hello" } else { "answer" };
    let mut faults = match read {
        Line::Blank => return None,
        Line::Nameless { kind, detail } => vec![format!("{kind}: {detail}")],
        // An error is a proper answer.
        Line::Of(_, Err(reason)) if reason.starts_with("error: ") => Vec::new(),
        Line::Of(_, Err(reason)) | Line::Hello(Err(reason)) => vec![reason],
        Line::Of(_, Ok(_)) | Line::Hello(Ok(_)) | Line::Progress(_) => Vec::new(),
    };
    if let Ok(value) = serde_json::from_str(&text)
        && faults.is_empty()
    {
        faults.extend(line_violations(taken_for, &value).into_iter().flatten());
    } else if faults.is_empty() {
        faults.push(
            "it is no JSON: numbers that JSON has not, as NaN or Infinity, are not understood everywhere".to_owned(),
        );
    }
    let shown: String = text.chars().take(200).collect();
    Some(JudgedLine { line: number, taken_for, text: printable(&shown), faults })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_held_to_their_schema_and_to_what_the_gate_reads() {
        let faults = |line: &str| judged(1, line.as_bytes()).unwrap().faults;
        for line in [
            r#"{"protocol":"1.0","name":"mine","capabilities":{"kinds":["flatness"]}}"#,
            r#"{"id":"c0","value":1,"std_error":null,"rel_error":1e-3,"info":{"products":3}}"#,
            r#"{"id":"c0","value":"-inf"}"#,
            r#"{"id":"k0","gram":[[1,0],[0,1]]}"#,
            r#"{"id":"c0","skip":"no","address":"https://example.org"}"#,
            r#"{"id":"c0","error":"no","traceback":"a\nb"}"#,
            r#"{"id":"c0","progress":0.5}"#,
        ] {
            assert_eq!(faults(line), Vec::<String>::new(), "{line}");
        }
        for (line, word) in [
            (r#"{"protocol":"1.0"}"#, "name is missing"),
            (r#"{"protocol":"1.0","name":"mine","licence":"MIT"}"#, "'licence'"),
            (r#"{"id":"c0","value":1,"stderr":0.1}"#, "'stderr'"),
            (r#"{"id":"c0","value":NaN}"#, "not-a-number"),
            (r#"{"id":"c0","value":-Infinity}"#, "no JSON"),
            (r#"{"id":"c0","value":1,"skip":"no"}"#, "ambiguous"),
            (r#"{"id":"k0","gram":[["a"]]}"#, "/gram"),
            (r#"{"value":1}"#, "missing-id"),
            ("seven", "not-json"),
        ] {
            let said = faults(line);
            assert!(said.iter().any(|sentence| sentence.contains(word)), "{line}: {said:?}");
        }
        assert_eq!(judged(1, b" \n"), None);
    }
}
