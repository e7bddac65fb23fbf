//! `flatgauge reproduce` as other programs see it.

mod common;

use common::cli::{command, flatgauge, refusal, text};
use common::files::files;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// A small sweep, without its output folder.
const SWEEP: [&str; 17] = [
    "reproduce",
    "correlation",
    "--quick",
    "--train",
    "40",
    "--test",
    "30",
    "--attack",
    "0..30:15",
    "--seeds",
    "2",
    "--optimizers",
    "momentum",
    "--measures",
    "hessian_trace,keskar_sharpness",
    "--seed",
    "3",
];

fn sweep(out: &Path, more: &[&str]) -> Command {
    let mut command = command(&SWEEP);
    command.arg("--out").arg(out).args(more);
    command
}

#[test]
fn unusable_requests_are_refused_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let out = out.to_str().unwrap();
    for (arguments, expected) in [
        (&["reproduce", "corelation"][..], "'corelation' is no study, expected one of correlation, temporal"),
        (&["reproduce", "correlation", "--data", "digit"], "--data: data source 'digit' is unknown"),
        (&["reproduce", "correlation", "--attack", "5..1"], "--attack: '5..1' is no number of rows"),
        (&["reproduce", "correlation", "--seeds", "0"], "--seeds: it is 0, expected at least 1"),
        (&["reproduce", "correlation", "--train", "0"], "--train: found 0, expected at least 1"),
        (&["reproduce", "correlation", "--train", "1700", "--test", "200"], "at most the 1797 rows of 'digits'"),
        (&["reproduce", "correlation", "--optimizers", "sdg"], "--optimizers: found 'sdg', expected names among sgd"),
        (
            &["reproduce", "correlation", "--measures", "trace"],
            "--measures: found 'trace', expected all, or names among",
        ),
        (
            &["reproduce", "correlation", "--readings", "log_prob_ep"],
            "--readings: found 'log_prob_ep', expected names among log_prob_ep_step",
        ),
        (&["reproduce", "correlation", "--preset", "fastest"], "preset of sgd is 'fastest', expected one of"),
        (&["reproduce", "correlation", "--preset", "sam=pytorch", "--optimizers", "sgd"], "--preset: found 'sam'"),
        (&["reproduce", "correlation", "--lr", "fast"], "--lr: found 'fast', expected a number"),
        (&["reproduce", "correlation", "--lr", "-1"], "--lr: found -1, expected a finite number above 0"),
        (&["reproduce", "correlation", "--batch", "0"], "--batch: found 0, expected at least 1"),
        (&["reproduce", "correlation", "--seeds", "18446744073709551615"], "expected at most 100000"),
        (&["reproduce", "correlation", "--arch", "fcn:9-1"], "--arch: found fcn:9-1 with 9 inputs and 1 outputs"),
        (&["reproduce", "width", "--arch", "fcn:64-1"], "--arch: found fcn:64-1, expected no architecture"),
        (&["reproduce", "all", "--arch", "fcn:64-1"], "--arch: found 'fcn:64-1' for all"),
        (&["reproduce", "correlation", "--kernel-samples", "9"], "--kernel-samples: found 9, expected it beside"),
        (&["reproduce", "temporal", "--extra-epochs", "1"], "--extra-epochs: found 1, expected at least 2"),
    ] {
        let mut arguments = arguments.to_vec();
        arguments.extend(["--out", out]);
        let sentence = refusal(&arguments);
        assert!(sentence.contains(expected), "{sentence}");
        // Nothing half-written.
        assert!(!folder.path().join("out/results.json").exists());
    }
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    assert!(refusal(&["reproduce", "rescaling", "--out", file.to_str().unwrap()]).contains("--out"));
    assert_eq!(std::fs::read(&file).unwrap(), b"x");
}

#[test]
fn studies_are_listed_with_their_sources() {
    let output = flatgauge(&["list", "studies", "--format", "json"]);
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let ids: Vec<&str> = list.as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap()).collect();
    for id in ["correlation", "temporal", "rescaling"] {
        assert!(ids.contains(&id), "{ids:?}");
    }
    assert!(list.as_array().unwrap().iter().all(|entry| entry["source"].as_str().is_some_and(|s| !s.is_empty())));
}

#[test]
fn results_are_files_for_every_reader_and_a_killed_run_resumes_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, killed] = ["whole", "killed"].map(|name| folder.path().join(name));
    let output = sweep(&whole, &["--format", "json"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let printed: Value = serde_json::from_slice(&output.stdout).expect("one JSON document and nothing else");
    let kept: Value = serde_json::from_slice(&std::fs::read(whole.join("results.json")).unwrap()).unwrap();
    assert_eq!(printed, kept);
    assert_eq!(
        kept["reproduce"],
        "flatgauge reproduce correlation --data digits --quick --train 40 --test 30 --attack 0..30:15 --seeds 2 --optimizers \
         momentum --measures hessian_trace,keskar_sharpness --seed 3"
    );
    assert_eq!(kept["seeds"], serde_json::json!([3, 4]));
    for claim in kept["claims"].as_array().unwrap() {
        let is_verdict = |value: &Value| ["holds", "fails", "undecided"].iter().any(|word| value == word);
        let tests = claim["tests"].as_array().unwrap();
        assert!(is_verdict(&claim["verdict"]) && !tests.is_empty(), "{claim}");
        assert!(tests.iter().all(|test| is_verdict(&test["verdict"]) && test["n"].is_u64()), "{claim}");
    }
    for predictor in ["log_prob_ep_step", "log_prob_ep_probit", "log10_keskar_sharpness", "hessian_trace"] {
        let entry =
            kept["correlations"].as_array().unwrap().iter().find(|entry| entry["predictor"] == predictor).unwrap();
        assert_eq!(entry["n"], 6);
        assert!(["pearson", "spearman", "kendall"].iter().all(|name| entry[name].is_number()), "{entry}");
    }
    let written = files(&whole);
    for name in ["thesis.svg", "thesis.png", "correlations.csv", "networks.csv", "index.html", "results.json"] {
        assert!(written.contains_key(name), "{name} is missing");
    }
    let page = text(&written["index.html"]);
    assert!(
        page.contains("Pearson(log P(f), accuracy)") && page.contains("<svg") && page.contains("flatgauge reproduce")
    );
    for word in ["<script", "http-equiv", "src=", "@import", "url("] {
        assert!(!page.contains(word), "the page asks for something else: {word}");
    }
    let csv = text(&written["networks.csv"]);
    assert_eq!(csv.lines().count(), 1 + 12);

    // Killed once a measurement is on disk; what was measured until then is kept.
    let mut child = sweep(&killed, &[]).stdout(std::process::Stdio::null()).spawn().unwrap();
    let measured = || std::fs::read_dir(killed.join("measured")).map_or(0, Iterator::count);
    while measured() == 0 && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(measured() > 0);
    let output = sweep(&killed, &["--resume"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(output.stderr.is_empty(), "bars only on a terminal");
    assert_eq!(files(&killed), written);
}
