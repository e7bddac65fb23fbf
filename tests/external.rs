//! `flatgauge check` against commands that answer well, badly, or not at all.
//!
//! The commands are this test program itself: started with [`ROLE`] set it plays an estimator.

use flatgauge::data::{read_npy, read_npz};
use flatgauge::flatness::{self, Options, Point};
use flatgauge::gate::{self, Context, Report, Tier};
use flatgauge::model::{Architecture, Loss, Model, Objective, load_network};
use flatgauge::prior::{self, Gram, Labels, PriorOptions};
use ndarray::Ix2;
use serde_json::{Value, json};
use std::io::{BufRead, Write};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Environment variable that turns this program into an estimator.
const ROLE: &str = "FLATGAUGE_TEST_ROLE";

fn text<'a>(request: &'a Value, key: &str) -> &'a str {
    request[key].as_str().expect("a string")
}

/// The right answer, from the request and its files alone.
fn right(request: &Value) -> f64 {
    if request["kind"] == "prior" {
        let gram = read_npy(Path::new(text(request, "gram"))).unwrap().into_dimensionality::<Ix2>().unwrap();
        let labels: Vec<f64> = read_npy(Path::new(text(request, "labels"))).unwrap().iter().copied().collect();
        let method = match text(request, "method") {
            "any" => "exact",
            method => method,
        };
        let options =
            PriorOptions { link: serde_json::from_value(request["link"].clone()).unwrap(), ..PriorOptions::default() };
        let (gram, labels) = (Gram::new(gram).unwrap(), Labels::from_values(&labels).unwrap());
        return prior::find(method).unwrap().log_prob(&gram, &labels, &options).map_or(f64::NAN, |p| p.estimate.value);
    }
    let architecture: Architecture = serde_json::from_value(request["architecture"].clone()).unwrap();
    let model = Arc::new(Model::new(architecture).unwrap());
    let network = load_network(Path::new(text(request, "net")), &model).unwrap().network;
    let data = Path::new(text(request, "data"));
    let x = read_npz(data, "x").unwrap();
    let y = read_npz(data, "y").unwrap();
    let rows = x.shape()[0];
    let x = x.into_shape_with_order((rows, model.inputs())).unwrap();
    let columns = y.len() / rows;
    let y = y.into_shape_with_order((rows, columns)).unwrap();
    let loss: Loss = serde_json::from_value(request["loss"].clone()).unwrap();
    let objective = Objective::new(&network, loss, x.view(), y.view()).unwrap();
    let options: Options = serde_json::from_value(request["options"].clone()).unwrap();
    let measure = flatness::find(text(request, "measure")).unwrap();
    measure.evaluate(&Point::new(objective, &network.theta), &options).unwrap().value
}

/// Plays a role until stdin ends.
fn play(role: &str) {
    // Test programs print lines of their own on stdout, so the answers go through descriptor 3.
    let mut out = std::fs::OpenOptions::new().write(true).open("/dev/fd/3").unwrap();
    let mut huge = out.try_clone().unwrap();
    let mut say = |line: &str| {
        let _ = out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
    };
    if role == "crash-at-start" {
        eprintln!("no such luck");
        std::process::exit(3);
    }
    for (index, line) in std::io::stdin().lock().lines().enumerate() {
        let request: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let id = text(&request, "id");
        let answer = || match right(&request) {
            f64::NEG_INFINITY => json!({"id": id, "value": "-inf"}).to_string(),
            value => json!({"id": id, "value": value}).to_string(),
        };
        match role {
            "right" => say(&answer()),
            "off-by-one-percent" => say(&json!({"id": id, "value": 1.01 * right(&request)}).to_string()),
            "wrong-from-six-samples" => {
                let rows = read_npz(Path::new(text(&request, "data")), "x").unwrap().shape()[0];
                let factor = if rows > 5 { 1.01 } else { 1.0 };
                say(&json!({"id": id, "value": factor * right(&request)}).to_string());
            }
            "skip" => say(&json!({"id": id, "skip": "not today"}).to_string()),
            "error" => say(&json!({"id": id, "error": "out of ideas"}).to_string()),
            "nan" => say(&format!("{{\"id\": \"{id}\", \"value\": NaN}}")),
            "no-value" => say(&json!({"id": id}).to_string()),
            "crash-midway" if index == 3 => std::process::exit(9),
            "hang" if index == 3 => std::thread::sleep(Duration::from_secs(600)),
            "garbage" => say("I think it is about seven"),
            "huge-line" if index == 3 => {
                let block = vec![b'x'; 1 << 20];
                for _ in 0..1024 {
                    if huge.write_all(&block).is_err() {
                        return;
                    }
                }
            }
            "unknown-id" => {
                say(&json!({"id": "nobody", "value": 1.0}).to_string());
                say(&answer());
            }
            "repeated-id" => {
                // Once: a request's files may be gone when it has been answered.
                let answer = answer();
                say(&answer);
                say(&answer);
            }
            "stderr-flood" => {
                for _ in 0..2000 {
                    eprintln!("{}", "noise ".repeat(20));
                }
                say(&answer());
            }
            "grandchild" => {
                if index == 0 {
                    // A grandchild in a session of its own, that outlives everything.
                    let _ = Command::new("setsid").args(["sleep", "613"]).spawn();
                }
                say(&answer());
            }
            "ignores-end" => say(&answer()),
            "bad-exit" => say(&answer()),
            _ => say(&answer()),
        }
    }
    match role {
        "ignores-end" => std::thread::sleep(Duration::from_secs(600)),
        "bad-exit" => std::process::exit(4),
        _ => {}
    }
}

/// The entry through which this program plays its roles; as a test of its own it does nothing.
#[test]
fn role() {
    if let Ok(role) = std::env::var(ROLE) {
        play(&role);
        std::process::exit(0);
    }
}

fn check_with(role: &str, what: &[&str], timeout: &str) -> Output {
    let program = std::env::current_exe().unwrap();
    let command = format!("exec 3>&1 1>&2; exec '{}' --exact role --nocapture", program.display());
    let mut arguments = vec!["check", "--command", &command, "--timeout", timeout, "--format", "json"];
    arguments.extend(what);
    Command::new(env!("CARGO_BIN_EXE_flatgauge")).args(arguments).env(ROLE, role).output().unwrap()
}

struct Judged {
    code: i32,
    document: Value,
    seconds: f64,
}

fn check(role: &str, timeout: &str) -> Judged {
    let start = Instant::now();
    let output = check_with(role, &["--measure", "hessian_trace"], timeout);
    let document = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{role}: {error}: {}", String::from_utf8_lossy(&output.stderr)));
    Judged { code: output.status.code().expect("it ends by itself"), document, seconds: start.elapsed().as_secs_f64() }
}

impl Judged {
    fn failures(&self) -> Vec<(&str, &str)> {
        let laws = self.document["laws"].as_array().unwrap();
        let failures = laws.iter().filter(|outcome| outcome["verdict"] == "fail");
        failures.map(|outcome| (text(outcome, "law"), text(outcome, "reason"))).collect()
    }

    fn failed_with(&self, word: &str) {
        assert_eq!(self.code, 1);
        assert_eq!(self.document["verdict"], "fail");
        let failures = self.failures();
        assert!(failures.iter().any(|(_, reason)| reason.contains(word)), "{word}: {failures:?}");
    }
}

#[test]
fn a_right_estimator_passes_with_the_counts_of_the_built_in_one() {
    for (flag, id) in [("--measure", "hessian_trace"), ("--measure", "keskar_sharpness"), ("--prior", "ep")] {
        let context = match flag {
            "--measure" => Context::new(vec![flatness::find(id).unwrap()], vec![], false, Tier::Quick, 0),
            _ => Context::new(vec![], vec![prior::find(id).unwrap()], false, Tier::Quick, 0),
        };
        let built_in = Report::new(gate::run(gate::registry(), &context, None, "", &|_, _, _| ()), 0);
        let output = check_with("right", &[flag, id], "60s");
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{id}: {document:#}");
        assert_eq!(document["verdict"], "pass");
        // The stream of answers itself is one more.
        assert_eq!(document["counts"]["pass"], built_in.counts.pass + 1, "{id}");
        assert_eq!(document["counts"]["skip"], built_in.counts.skip, "{id}");
    }
}

#[test]
fn a_bias_of_one_percent_is_caught() {
    let judged = check("off-by-one-percent", "60s");
    assert_eq!(judged.code, 1);
    let mut laws: Vec<&str> = judged.failures().into_iter().map(|(law, _)| law).collect();
    laws.dedup();
    assert_eq!(laws, ["curvature.definition", "curvature.covariance", "certified.flatness"]);
}

#[test]
fn a_failure_on_generated_cases_is_shrunk_to_files_that_a_command_line_runs_again() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("report");
    let shown = folder.display().to_string();
    let what = ["--measure", "hessian_trace", "--cases", "12", "--only", "curvature.definition", "--report", &shown];
    let document: Value = serde_json::from_slice(&check_with("wrong-from-six-samples", &what, "60s").stdout).unwrap();
    let found = &document["counterexamples"][0];
    assert!(text(found, "smallest").contains("fcn:1-1-1 relu, bce, 6 samples"), "{found}");
    let mut names: Vec<_> = std::fs::read_dir(folder.join("cases")).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["smallest-0.arch.toml", "smallest-0.npz", "smallest-0.safetensors", "smallest-0.toml"]);
    // The line stands in the report's JSON; it runs the smallest case alone, and fails in the same way.
    let report: Value = serde_json::from_slice(&std::fs::read(folder.join("report.json")).unwrap()).unwrap();
    let laws = report["laws"].as_array().unwrap();
    let line = laws.iter().map(|outcome| text(outcome, "reproduce")).find(|line| line.contains("--case '")).unwrap();
    let line = line.replacen("flatgauge", env!("CARGO_BIN_EXE_flatgauge"), 1) + " --format json";
    let output = Command::new("sh").args(["-c", &line]).env(ROLE, "wrong-from-six-samples").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    let again: Value = serde_json::from_slice(&output.stdout).unwrap();
    let failures: Vec<&Value> =
        again["laws"].as_array().unwrap().iter().filter(|outcome| outcome["verdict"] == "fail").collect();
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!((text(failures[0], "case"), text(failures[0], "reason")), ("smallest-0", text(found, "reason")));
}

#[test]
fn an_estimator_that_skips_everything_does_not_pass() {
    check("skip", "60s").failed_with("nothing verified");
}

#[test]
fn every_fault_is_named_in_bounded_time() {
    for (role, word) in [
        ("error", "out of ideas"),
        ("nan", "not-a-number"),
        ("no-value", "missing-value"),
        ("crash-at-start", "crash"),
        ("crash-midway", "crash"),
        ("hang", "hang"),
        ("garbage", "is not a JSON object"),
        ("huge-line", "line-too-long"),
        ("unknown-id", "no request had id 'nobody'"),
        ("repeated-id", "came again"),
        ("ignores-end", "did not exit"),
        ("bad-exit", "exit code 4"),
    ] {
        let judged = check(role, "2s");
        judged.failed_with(word);
        assert!(judged.seconds < 30.0, "{role} took {} s", judged.seconds);
    }
    let judged = check("crash-at-start", "2s");
    judged.failed_with("no such luck");
}

#[test]
fn noise_on_stderr_does_no_harm() {
    let judged = check("stderr-flood", "60s");
    assert_eq!(judged.code, 0, "{:?}", judged.failures());
}

#[test]
fn no_process_is_left_behind() {
    let judged = check("grandchild", "2s");
    assert_eq!(judged.code, 0, "{:?}", judged.failures());
    let mut left = 0;
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        if let Ok(words) = std::fs::read(entry.path().join("cmdline")) {
            left += usize::from(words.starts_with(b"sleep\x00613\x00"));
        }
    }
    assert_eq!(left, 0, "the grandchild lives on");
}

#[test]
fn usage_of_check_is_refused_in_one_sentence() {
    for arguments in [
        &["check"][..],
        &["check", "--measure", "hessian_trace"],
        &["check", "--measure", "bumpiness", "--command", "true"],
        &["check", "--prior", "magic", "--command", "true"],
        &["check", "--measure", "hessian_trace", "--command", " "],
        &["check", "--measure", "hessian_trace", "--command", "true", "--timeout", "soon"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_flatgauge")).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty());
        assert_eq!(String::from_utf8(output.stderr).unwrap().lines().count(), 1, "{arguments:?}");
    }
}

#[test]
fn examples_are_printed() {
    for language in ["python", "torch"] {
        let output = Command::new(env!("CARGO_BIN_EXE_flatgauge"))
            .args(["check", "--print-example", language])
            .output()
            .unwrap();
        assert!(output.status.success());
        assert!(String::from_utf8(output.stdout).unwrap().contains("for line in sys.stdin"));
    }
}
