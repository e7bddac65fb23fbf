//! Protocol 1.0: a command that says who it is, and lines held to their schemas.

use crate::roles::{RECORD, text};
use crate::{Judged, checking, judged};
use flatgauge::gate::external::line_violations;
use serde_json::{Value, json};
use std::path::Path;

/// Lines that a command was sent, each with the name of its schema.
fn recorded(path: &Path) -> Vec<(String, Value)> {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|line| (self::text(&line, "kind").to_owned(), line)).collect()
}

#[test]
fn a_command_that_says_who_it_is_is_told_of_the_run_and_of_its_end() {
    let place = tempfile::tempdir().unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for (number, what) in [
        &["--measure", "hessian_trace", "--only", "curvature"][..],
        &["--prior", "exact", "--only", "label_flip"],
        &["--prior", "ep", "--link", "probit", "--only", "permutation"],
        &["--kernel", "ntk", "--only", "certified"],
    ]
    .iter()
    .enumerate()
    {
        let path = place.path().join(number.to_string());
        let what = [*what, &["--seed", "3", "--format", "json"][..]].concat();
        let mut command = checking("speaks-1.0", &what, "60s");
        let judged = judged("speaks-1.0", {
            command.env(RECORD, &path);
            command
        });
        if what[1] == "hessian_trace" {
            assert_eq!(judged.code, 0, "{:?}", judged.failures());
        }
        let command = &judged.document["command"];
        assert_eq!((text(command, "name"), text(command, "protocol")), ("roles", "1.0"));
        let lines = recorded(&path);
        let starts: Vec<_> = lines.iter().filter(|(name, _)| name == "start").collect();
        assert_eq!((starts.len(), &starts[0].1["seed"]), (1, &json!(3)), "{what:?}");
        assert_eq!(lines.last().unwrap().0, "stop", "{what:?}");
        // Every line that the gate writes fits its schema, and what is missing is seen.
        for (name, line) in lines {
            assert_eq!(line_violations(&name, &line), Some(Vec::new()), "{line}");
            for key in line.as_object().unwrap().keys() {
                let mut broken = line.clone();
                broken.as_object_mut().unwrap().remove(key);
                assert!(!line_violations(&name, &broken).unwrap().is_empty(), "{name} without {key}");
                broken[key] = json!([{}]);
                assert!(!line_violations(&name, &broken).unwrap().is_empty(), "{name} with another {key}");
            }
            seen.insert(name);
        }
    }
    assert_eq!(Vec::from_iter(seen), ["flatness", "kernel", "prior", "start", "stop"]);
    // Nothing is said to a command that does not speak 1.0.
    let path = place.path().join("old");
    let what = ["--measure", "hessian_trace", "--only", "curvature.definition", "--format", "json"];
    let mut command = checking("right", &what, "60s");
    let judged = judged("right", {
        command.env(RECORD, &path);
        command
    });
    assert_eq!(judged.code, 0, "{:?}", judged.failures());
    assert_eq!(judged.document.get("command"), None);
    assert!(recorded(&path).iter().all(|(name, _)| name == "flatness"));
}

#[test]
fn a_start_is_not_counted_against_the_first_answer_and_another_protocol_is_a_fault() {
    // 6 seconds to start and 2.5 for each of the first answers: more than two time-outs together.
    let what = ["--measure", "hessian_trace", "--only", "curvature.definition", "--format", "json"];
    let slow = judged("slow-start", checking("slow-start", &what, "4s"));
    assert_eq!(slow.code, 0, "{:?}", slow.failures());
    judged("speaks-2.0", checking("speaks-2.0", &what, "60s"))
        .failed_with("the command speaks protocol '2.0', the gate 1.0");
}

#[test]
fn conformance_is_judged_line_by_line() {
    let within =
        |timeout: &str, role: &str| judged(role, checking(role, &["--conformance", "--format", "json"], timeout));
    // Two time-outs pass before a command that does not say who it is is asked.
    let (conformance, nameless) = (|role: &str| within("20s", role), |role: &str| within("1s", role));
    let good = conformance("speaks-1.0");
    assert_eq!((good.code, &good.document["verdict"]), (0, &json!("pass")), "{}", good.document);
    assert_eq!(text(&good.document["command"], "name"), "roles");
    assert_eq!(
        good.document["lines"].as_array().unwrap().len() as u64,
        1 + good.document["requests"].as_u64().unwrap()
    );
    let said = |judged: &Judged| {
        assert_eq!((judged.code, &judged.document["verdict"]), (1, &json!("fail")), "{}", judged.document);
        judged.document.to_string()
    };
    assert!(said(&conformance("misspells")).contains("has a key 'stderr' that nobody knows"));
    assert!(said(&nameless("right")).contains("no hello"));
    assert!(said(&nameless("garbage")).contains("is not a JSON object"));
    assert!(said(&nameless("bad-exit")).contains("exit code 4"));
    assert!(said(&nameless("crash-midway")).contains("crash"));
    // Maps and optimisers are asked of those that offer them.
    let versatile = conformance("versatile");
    assert_eq!((versatile.code, &versatile.document["verdict"]), (0, &json!("pass")), "{}", versatile.document);
    assert_eq!(versatile.document["requests"].as_u64().unwrap(), good.document["requests"].as_u64().unwrap() + 6);
    assert!(versatile.document.to_string().contains("theta"));
    assert!(said(&conformance("misspells-scale")).contains("has a key 'scales' that nobody knows"));
    // The same for people.
    let output = checking("misspells", &["--conformance"], "20s").output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("line 1, hello: conforms") && shown.contains("line 2, answer: does not conform"), "{shown}");
    assert_eq!(output.status.code(), Some(1));
}
