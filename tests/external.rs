//! `flatgauge check` against commands that answer well, badly, or not at all.
//!
//! The commands are this test program itself: started with [`ROLE`] set it plays an estimator.

use flatgauge::data::{read_npy, read_npz};
use flatgauge::flatness::options::FORMER_NAMES;
use flatgauge::flatness::{self, Options, Point};
use flatgauge::gate::external::line_violations;
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
/// File into which the roles that record write every line they are sent.
const RECORD: &str = "FLATGAUGE_TEST_RECORD";
/// What the role `line` answers to everything; `ID` stands for the id of the request.
const LINE: &str = "FLATGAUGE_TEST_LINE";

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
    let x = x.into_shape_with_order((rows, model.input_count())).unwrap();
    let columns = y.len() / rows;
    let y = y.into_shape_with_order((rows, columns)).unwrap();
    let loss: Loss = serde_json::from_value(request["loss"].clone()).unwrap();
    let objective = Objective::new(&network, loss, x.view(), y.view()).unwrap();
    // Requests carry options under their former names too.
    let mut options = request["options"].clone();
    FORMER_NAMES.iter().for_each(|(former, _)| drop(options.as_object_mut().unwrap().remove(*former)));
    let options: Options = serde_json::from_value(options).unwrap();
    let measure = flatness::find(text(request, "measure")).unwrap();
    measure.evaluate(&Point::new(objective, network.theta()), &options).unwrap().value
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
    let hello =
        r#"{"protocol":"1.0","name":"roles","version":"7","language":"rust","capabilities":{"kinds":["flatness"]}}"#;
    match role {
        "speaks-1.0" | "misspells" => say(hello),
        "slow-start" => {
            std::thread::sleep(Duration::from_millis(6000));
            say(hello);
        }
        "speaks-2.0" => say(r#"{"protocol":"2.0","name":"roles"}"#),
        _ => {}
    }
    let record = std::env::var(RECORD).ok();
    let mut record = record.map(|path| std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap());
    for (index, line) in std::io::stdin().lock().lines().enumerate() {
        let line = line.unwrap();
        if let Some(record) = &mut record {
            writeln!(record, "{line}").unwrap();
        }
        let request: Value = serde_json::from_str(&line).unwrap();
        if ["start", "stop"].contains(&text(&request, "kind")) {
            continue;
        }
        let id = text(&request, "id");
        if request["kind"] == "kernel" {
            say(&json!({"id": id, "skip": "no kernels here"}).to_string());
            continue;
        }
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
            "slow-start" if index < 2 => {
                std::thread::sleep(Duration::from_millis(2500));
                say(&answer());
            }
            "misspells" if request["kind"] == "flatness" => {
                say(&json!({"id": id, "value": 1, "stderr": 1}).to_string())
            }
            "speaks-1.0" | "misspells" if request["kind"] != "flatness" => {
                say(&json!({"id": id, "skip": "no"}).to_string())
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
            "line" => say(&std::env::var(LINE).unwrap().replace("ID", id)),
            "unknown-for-ever" if index == 3 => loop {
                say(&json!({"id": "nobody", "value": 1.0}).to_string());
                std::thread::sleep(Duration::from_millis(100));
            },
            "repeated-for-ever" if index == 3 => loop {
                say(&json!({"id": "c0", "value": 1.0}).to_string());
                std::thread::sleep(Duration::from_millis(100));
            },
            "working-for-ever" if index == 3 => loop {
                eprintln!("working");
                std::thread::sleep(Duration::from_millis(100));
            },
            // A session and an environment of its own, an ended parent, and the pipes held or not.
            "daemon-with-pipes" | "daemon-without-pipes" => {
                if index == 0 {
                    let pipes = if role == "daemon-with-pipes" { "" } else { ">/dev/null 2>&1 3>&1 </dev/null" };
                    let line = format!("(env -i setsid sleep 614 {pipes} &)");
                    Command::new("sh").args(["-c", &line]).status().unwrap();
                }
                say(&answer());
            }
            "daemon-then-crash" => {
                let _ = Command::new("sh").args(["-c", "(env -i setsid sleep 614 &)"]).status();
                std::process::exit(9);
            }
            "sleeps-with-child" => {
                let _ = Command::new("env").args(["-i", "setsid", "sleep", "616"]).status();
            }
            _ => say(&answer()),
        }
    }
    match role {
        "ignores-end" => std::thread::sleep(Duration::from_secs(600)),
        "bad-exit" => std::process::exit(4),
        _ => {}
    }
}

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
        ("unknown-for-ever", "no request had id 'nobody'"),
        ("unknown-for-ever", "hang"),
        ("repeated-id", "came again"),
        ("repeated-for-ever", "came again"),
        ("repeated-for-ever", "hang"),
        ("working-for-ever", "must flush its output after every line"),
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

/// A line that is no answer: said at once of the request it belongs to, and not after the time-out.
#[test]
fn what_is_no_answer_is_named_at_once() {
    for (line, word) in [
        (r#"{"id":0,"value":1}"#, "id-not-a-string: the id of an answer is 0"),
        (r#"{"id":"ID","value":1,"error":null}"#, "ambiguous"),
        (r#"{"id":"ID","value":1,"skip":null}"#, "ambiguous"),
        (r#"{"id":"ID","value":NaN,"note":"NaN seen"}"#, "not-a-number: value is \"NaN\""),
        (r#"{"id":"ID","value":1e400}"#, "not-a-number: value is \"1e400\""),
        (r#"{"id":"ID","value":0x10}"#, "not-json"),
        ("\u{feff}{\"id\":\"ID\",\"value\":1}", "byte order mark"),
        (r#"{"id":"ID","value":1} trailing"#, "not-json"),
        (r#"[{"id":"ID","value":1}]"#, "not-json"),
        (r#"{"value":1}"#, "missing-id"),
        ("[1]", "not-json"),
        ("about seven", "not-json"),
    ] {
        let mut command = checking("line", &["--measure", "hessian_trace", "--format", "json"], "60s");
        command.env(LINE, line);
        let judged = judged(line, command);
        judged.failed_with(word);
        assert!(judged.seconds < 30.0, "{line} took {} s", judged.seconds);
        assert!(judged.document["counts"]["pass"].as_u64().unwrap() <= 1, "{line}");
        // Every request has its own failure; nothing is said of a hang.
        assert!(
            judged.count("fail", word) > 10 && judged.count("fail", "hang") == 0,
            "{line}: {:?}",
            judged.failures()
        );
    }
}

#[test]
fn a_hang_or_a_crash_is_blamed_on_one_request_and_the_rest_is_not_asked() {
    for (role, word) in
        [("hang", "hang: no answer to request"), ("crash-midway", "crash: "), ("huge-line", "line-too-long: ")]
    {
        let judged = check(role, "2s");
        let blamed = judged.count("fail", word);
        let outcomes = judged.document["laws"].as_array().unwrap().len();
        let said: Vec<_> = judged.failures().into_iter().filter(|(law, _)| *law != "protocol.answers").collect();
        // One check may ask the same of several laws, and a law whose cases were all skipped says so.
        assert!((1..=2).contains(&blamed), "{role}: {said:?}");
        assert!(
            said.iter().all(|(_, reason)| reason.contains(word) || reason.contains("nothing verified")),
            "{said:?}"
        );
        assert!(judged.count("skip", "not asked: there are no answers after request c") > outcomes / 3, "{role}");
        // The stream of answers has failed too.
        assert!(judged.failures().iter().any(|(law, _)| *law == "protocol.answers"), "{role}");
    }
    check("crash-midway", "2s").failed_with("it ended with exit code 9");
}

/// How many processes of the command line `words` there are.
fn living(words: &[u8]) -> usize {
    let folders = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    folders.filter(|entry| std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| line == words)).count()
}

#[test]
fn no_process_is_left_behind() {
    let judged = check("grandchild", "2s");
    assert_eq!(judged.code, 0, "{:?}", judged.failures());
    assert_eq!(living(b"sleep\x00613\x00"), 0, "the grandchild lives on");
}

/// In one test, since their daemons are known by one name.
#[test]
fn daemons_that_hide_neither_stay_nor_hold_the_gate_up() {
    for (role, code) in [("daemon-with-pipes", 0), ("daemon-without-pipes", 0), ("daemon-then-crash", 1)] {
        let judged = check(role, "3s");
        assert_eq!(judged.code, code, "{role}: {:?}", judged.failures());
        assert!(judged.seconds < 30.0, "{role} took {} s", judged.seconds);
        assert_eq!(living(b"sleep\x00614\x00"), 0, "{role}: the daemon lives on");
    }
}

#[cfg(unix)]
#[test]
fn a_signal_ends_the_command_and_its_folder_and_then_the_check() {
    use rustix::process::{Pid, Signal, kill_process};
    use std::os::unix::process::ExitStatusExt;
    let busy = || living(b"sleep\x00616\x00") == 1;
    let wait = |what: &str, done: &dyn Fn() -> bool| {
        let start = Instant::now();
        while !done() {
            assert!(start.elapsed() < Duration::from_secs(60), "{what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        let place = tempfile::tempdir().unwrap();
        let mut check = checking("sleeps-with-child", &["--measure", "hessian_trace"], "600s");
        let mut check = check.env("TMPDIR", place.path()).stdout(std::process::Stdio::null()).spawn().unwrap();
        wait("the command has started", &busy);
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
        kill_process(Pid::from_raw(check.id() as i32).unwrap(), signal).unwrap();
        let status = check.wait().unwrap();
        assert_eq!(status.signal(), Some(signal.as_raw()), "{status}");
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0, "its folder stays after {signal:?}");
        assert!(!busy(), "its command lives on after {signal:?}");
    }
    // What was ignored when the check began stays ignored, as under nohup.
    let place = tempfile::tempdir().unwrap();
    let inner = checking("sleeps-with-child", &["--measure", "hessian_trace"], "600s");
    let mut check = Command::new("sh");
    check.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]).arg(inner.get_program()).args(inner.get_args());
    check.env(ROLE, "sleeps-with-child").env("TMPDIR", place.path()).stdout(std::process::Stdio::null());
    let mut check = check.spawn().unwrap();
    wait("the command has started", &busy);
    let id = Pid::from_raw(check.id() as i32).unwrap();
    kill_process(id, Signal::HUP).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(check.try_wait().unwrap().is_none() && busy(), "a signal that was ignored ends it");
    kill_process(id, Signal::TERM).unwrap();
    assert_eq!(check.wait().unwrap().signal(), Some(Signal::TERM.as_raw()));
    assert!(!busy());
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
    for line in [
        r#"{"id":"ID","value":"-inf"}"#,
        r#"{"id":"ID","value":-Infinity}"#,
        r#"{"id":"ID","value":0,"std_error":1e9}"#,
        r#"{"id":"ID","value":1,"std_error":1e300}"#,
        r#"{"id":"ID","value":-1.5,"std_error":1e3}"#,
        r#"{"id":"ID","value":1}"#,
    ] {
        for what in [["--measure", "fisher_rao"], ["--measure", "path_norm"], ["--prior", "ep"], ["--prior", "smc"]] {
            let output = checking("line", &what, "60s").env(LINE, line).output().unwrap();
            assert_eq!(output.status.code(), Some(1), "{what:?}, {line}: {}", String::from_utf8_lossy(&output.stdout));
        }
    }
}

#[test]
fn the_machines_own_disk_is_not_blamed_on_the_estimator() {
    let what = ["--measure", "hessian_trace"];
    let gone = checking("right", &what, "60s").env("TMPDIR", "/nonexistent/folder").output().unwrap();
    let sentence = refused(&gone);
    assert!(sentence.starts_with("error: TMPDIR: ") && sentence.contains("/nonexistent/folder"), "{sentence}");
    // No file may grow: as on a full disk, a folder can be made, and nothing be written into it.
    let inner = checking("right", &what, "60s");
    let mut full = Command::new("sh");
    full.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "sh"]).arg(inner.get_program()).args(inner.get_args());
    let sentence = refused(&full.env(ROLE, "right").output().unwrap());
    assert!(sentence.contains("TMPDIR") && sentence.contains("cannot be written"), "{sentence}");
    // Requests name absolute files, wherever the folder is.
    let place = tempfile::tempdir().unwrap();
    let mut relative = checking("right", &["--measure", "hessian_trace", "--only", "fcn-5-6-1-relu-bce-0"], "60s");
    let output = relative.current_dir(place.path()).env("TMPDIR", ".").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn no_character_of_an_answer_reaches_a_terminal_that_would_obey_it() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().to_str().unwrap();
    let said = r#"a\u001b[2J\u0007b\u0000\nPASS: 1130 checks hold, 0 fail\r\u202ec\u009b31m"#;
    for key in ["error", "skip"] {
        let line = format!("{{\"id\":\"ID\",\"{key}\":\"{said}\"}}");
        let what = ["--measure", "hessian_trace", "--report", folder];
        let output = checking("line", &what, "60s").env(LINE, &line).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let mut texts = vec![("stdout".to_owned(), String::from_utf8(output.stdout).unwrap())];
        for name in ["report.txt", "report.md", "report.json", "junit.xml", "index.html"] {
            texts.push((name.to_owned(), std::fs::read_to_string(place.path().join(name)).unwrap()));
        }
        for (name, text) in texts {
            assert!(text.contains("1130 checks hold"), "{key}, {name}: the words themselves are not shown");
            assert!(!text.lines().any(|line| line.trim_start().starts_with("PASS")), "{key}, {name}: a forged verdict");
            let obeyed = text.chars().find(|c| c.is_control() && *c != '\n' || ('\u{202a}'..='\u{202e}').contains(c));
            assert_eq!(obeyed, None, "{key}, {name}");
        }
    }
    // The same of a command line that has such characters: it is shown as the shell would write it.
    let command = "printf '\u{1b}[31m' >&2; cat\nexit 3";
    let output = Command::new(env!("CARGO_BIN_EXE_flatgauge"))
        .args(["check", "--measure", "hessian_trace", "--timeout", "5s", "--format", "json", "--command", command])
        .output()
        .unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let line = text(&document["laws"][0], "reproduce");
    assert!(!line.contains('\u{1b}') && !line.contains('\n'), "{line:?}");
    let word = line.split(" --command ").nth(1).unwrap().split(" --tier").next().unwrap();
    let echo = Command::new("sh").args(["-c", &format!("printf %s {word}")]).output().unwrap();
    assert_eq!(String::from_utf8(echo.stdout).unwrap(), command);
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
    let conformance = |role: &str| judged(role, checking(role, &["--conformance", "--format", "json"], "5s"));
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
    assert!(said(&conformance("right")).contains("no hello"));
    assert!(said(&conformance("garbage")).contains("is not a JSON object"));
    assert!(said(&conformance("bad-exit")).contains("exit code 4"));
    assert!(said(&conformance("crash-midway")).contains("crash"));
    // The same for people.
    let output = checking("misspells", &["--conformance"], "20s").output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("line 1, hello: conforms") && shown.contains("line 2, answer: does not conform"), "{shown}");
    assert_eq!(output.status.code(), Some(1));
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
