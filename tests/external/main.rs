//! `flatgauge check` against commands that answer well, badly, or not at all.
//!
//! The commands are this test program itself: started with [`ROLE`] set it plays an estimator.

#[path = "../common/mod.rs"]
mod common;
mod faults;
mod parameters;
mod protocol;
mod roles;

use common::tier::by_tier;
use flatgauge::flatness;
use flatgauge::gate::{self, Context, Report, Tier};
use flatgauge::prior;
use roles::{LINE, ROLE, play, text};
use serde_json::Value;
use std::process::{Command, Output};
use std::time::Instant;

/// The entry through which this program plays its roles.
#[test]
#[ignore = "no test: the process that stands in for a command"]
fn process_that_plays_a_role() {
    play(&std::env::var(ROLE).expect("only the tests of this file start this process"));
    std::process::exit(0);
}

fn checking(role: &str, what: &[&str], timeout: &str) -> Command {
    let program = std::env::current_exe().unwrap();
    let command =
        format!("exec 3>&1 1>&2; exec '{}' --exact --ignored process_that_plays_a_role --nocapture", program.display());
    let mut check = Command::new(env!("CARGO_BIN_EXE_flatgauge"));
    check.args(["check", "--command", &command, "--timeout", timeout]).args(what).env(ROLE, role);
    check
}

fn check_with(role: &str, what: &[&str], timeout: &str) -> Output {
    checking(role, what, timeout).args(["--format", "json"]).output().unwrap()
}

struct Judged {
    code: i32,
    document: Value,
    seconds: f64,
}

fn check(role: &str, timeout: &str) -> Judged {
    judged(role, checking(role, &["--measure", "hessian_trace", "--format", "json"], timeout))
}

fn judged(role: &str, mut command: Command) -> Judged {
    let start = Instant::now();
    let output = command.output().unwrap();
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

    fn count(&self, verdict: &str, word: &str) -> usize {
        let laws = self.document["laws"].as_array().unwrap();
        let outcomes = laws.iter().filter(|outcome| outcome["verdict"] == verdict);
        outcomes.filter(|outcome| text(outcome, "reason").contains(word)).count()
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
        // The stream of answers itself is one more, and the protocol has no scale of the loss.
        let scaled = built_in.laws.iter().filter(|outcome| outcome.law == "curvature.loss_scale").count();
        assert_eq!(document["counts"]["pass"], built_in.counts.pass + 1 - scaled, "{id}");
        assert_eq!(document["counts"]["skip"], built_in.counts.skip + scaled, "{id}");
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

/// A refusal: exit code 2, one sentence, nothing printed.
fn refused(output: &Output) -> String {
    let sentence = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{sentence}");
    assert!(output.stdout.is_empty() && sentence.lines().count() == 1, "{sentence}");
    sentence
}

#[test]
fn a_check_of_nothing_is_refused_before_the_command_is_started() {
    let place = tempfile::tempdir().unwrap();
    let [grams, networks, started] = ["grams.toml", "networks.toml", "started"].map(|name| place.path().join(name));
    let gram = "[[gram]]\nname = \"pair\"\ngiven = { matrix = [[1.0, 0.5], [0.5, 1.0]], labels = [1, -1] }\n";
    std::fs::write(&grams, gram).unwrap();
    let network = "[[network]]\nname = \"n\"\nloss = \"bce\"\nalphas = [2.0]\n\
                   drawn = { widths = [2, 2, 1], activation = \"relu\", samples = 4 }\n";
    std::fs::write(&networks, network).unwrap();
    let later = place.path().join("later.toml");
    std::fs::write(&later, format!("{gram}tier = \"full\"\n")).unwrap();
    let [grams, networks, later] = [&grams, &networks, &later].map(|path| path.to_str().unwrap());
    for (what, words) in [
        (&["--measure", "hessian_trace", "--only", "curvature.defintion"][..], &["--only", "curvature.defintion"][..]),
        (&["--prior", "ep", "--only", "hessian_trace"], &["--only", "hessian_trace"]),
        (&["--measure", "hessian_trace", "--case", grams], &["--case", "[[network]]", "--measure"]),
        (&["--prior", "exact", "--case", networks], &["--case", "[[gram]]", "--prior"]),
        (&["--prior", "exact", "--case", grams, "--only", "another"], &["--only", "another"]),
        (&["--prior", "exact", "--case", later], &["--case", "quick tier"]),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_flatgauge"))
            .args(["check", "--command", &format!("touch '{}'", started.display())])
            .args(what)
            .output()
            .unwrap();
        let sentence = refused(&output);
        assert!(words.iter().all(|word| sentence.contains(word)), "{what:?}: {sentence}");
        assert!(!started.exists(), "{what:?} started the command");
    }
    // Generated cases are known once they are drawn.
    let what = ["--measure", "hessian_trace", "--cases", "2", "--only", "generated-7"];
    assert!(refused(&check_with("right", &what, "60s")).contains("generated-7"));
    // Each file is a case of its own kind.
    for (what, file) in [(["--measure", "hessian_trace"], networks), (["--prior", "exact"], grams)] {
        let output = check_with("right", &[what[0], what[1], "--case", file], "60s");
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn a_constant_and_a_standard_error_that_swallows_everything_do_not_pass() {
    let lines = [
        r#"{"id":"ID","value":-Infinity}"#,
        r#"{"id":"ID","value":0,"std_error":1e9}"#,
        r#"{"id":"ID","value":1,"std_error":1e300}"#,
        r#"{"id":"ID","value":1}"#,
        r#"{"id":"ID","value":"-inf"}"#,
        r#"{"id":"ID","value":-1.5,"std_error":1e3}"#,
    ];
    for line in &lines[..by_tier(3, 6)] {
        for what in [["--measure", "fisher_rao"], ["--measure", "path_norm"], ["--prior", "ep"], ["--prior", "smc"]] {
            let output = checking("line", &what, "60s").env(LINE, line).output().unwrap();
            assert_eq!(output.status.code(), Some(1), "{what:?}, {line}: {}", String::from_utf8_lossy(&output.stdout));
        }
    }
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

/// One cause is one entry, which says what the failing cases have in common.
#[test]
fn failures_of_one_cause_stand_together_with_their_pattern() {
    let judged = check("wrong-from-six-samples", "60s");
    let groups = judged.document["failures"].as_array().unwrap();
    let definition = groups.iter().find(|group| group["law"] == "curvature.definition").unwrap();
    let pattern = text(definition, "pattern");
    assert!(pattern.contains("samples or more") && pattern.contains("on none of the"), "{definition:#}");
    let ratio = definition["ratio"].as_array().unwrap();
    assert!(ratio.iter().all(|ratio| (ratio.as_f64().unwrap() - 1.01).abs() < 1e-9), "{definition:#}");
    assert_eq!(definition["cases"][0], definition["smallest"]["case"]);
    assert!(text(&definition["smallest"], "reproduce").contains("--only 'curvature.definition/hessian_trace/"));
    let failed = definition["cases"].as_array().unwrap().len() as u64;
    assert!(failed > 5 && definition["held"].as_u64().unwrap() > 2, "{definition:#}");
    let count = groups.iter().map(|group| group["cases"].as_array().unwrap().len()).sum::<usize>();
    assert_eq!(count, judged.failures().len(), "no failure is lost");
}

#[test]
fn a_declared_accuracy_is_graded_in_digits() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().to_str().unwrap();
    for (accuracy, code, words) in
        [("0.02", 0, "holds to 2 digits (declared 1.6)"), ("1e-3", 1, "holds to 2 digits only (declared 3)")]
    {
        let what = ["--measure", "hessian_trace", "--accuracy", accuracy, "--report", folder, "--format", "json"];
        let judged = judged("off-by-one-percent", checking("off-by-one-percent", &what, "60s"));
        assert_eq!(judged.code, code, "{:?}", judged.failures());
        let score = &judged.document["scores"][0];
        assert!((score["fewest_digits"].as_f64().unwrap() - 2.0).abs() < 0.01, "{score}");
        assert!(score["declared_digits"].as_f64().unwrap() > 1.6, "{score}");
        for name in ["report.txt", "report.md", "index.html"] {
            let shown = std::fs::read_to_string(place.path().join(name)).unwrap();
            assert!(shown.contains(words), "{name}: {shown}");
        }
    }
}
