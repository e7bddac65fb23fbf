//! The commands: what each role answers.

use crate::parameters::{mapped, stepped};
use flatgauge::data::{read_npy, read_npz};
use flatgauge::flatness::options::FORMER_NAMES;
use flatgauge::flatness::{self, Options, Point};
use flatgauge::model::{Architecture, Loss, Model, Objective, load_network};
use flatgauge::prior::{self, Gram, Labels, PriorOptions};
use ndarray::Ix2;
use serde_json::{Value, json};
use std::io::{BufRead, Write};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// Environment variable that turns this program into an estimator.
pub const ROLE: &str = "FLATGAUGE_TEST_ROLE";
/// File into which the roles that record write every line they are sent.
pub const RECORD: &str = "FLATGAUGE_TEST_RECORD";
/// What the role `line` answers to everything; `ID` stands for the id of the request.
pub const LINE: &str = "FLATGAUGE_TEST_LINE";

pub fn text<'a>(request: &'a Value, key: &str) -> &'a str {
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
pub fn play(role: &str) {
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
    let versatile =
        r#"{"protocol":"1.0","name":"roles","capabilities":{"kinds":["flatness","rescaling","optimizer"]}}"#;
    match role {
        "speaks-1.0" | "misspells" => say(hello),
        "versatile" | "misspells-scale" => say(versatile),
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
        if request["kind"] == "rescaling" {
            say(&mapped(role, &request).to_string());
            continue;
        }
        if request["kind"] == "optimizer" {
            say(&stepped(role, &request).to_string());
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
            "speaks-1.0" | "misspells" | "versatile" | "misspells-scale" if request["kind"] != "flatness" => {
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
