//! The same answers, to the last bit, for every instruction set that the machine has.

use std::path::Path;
use std::process::{Command, Output};

fn run(instructions: &str, arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_flatgauge"))
        .args(arguments)
        .current_dir(folder)
        .env("FLATGAUGE_INSTRUCTIONS", instructions)
        .output()
        .expect("the program starts")
}

/// Those of the machine, from the sentence that refuses another.
fn of_the_machine() -> Vec<String> {
    let output = run("abacus", &["list", "laws"], Path::new("."));
    let sentence = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{sentence}");
    assert!(output.stdout.is_empty());
    let names = sentence.trim().strip_prefix("error: FLATGAUGE_INSTRUCTIONS is 'abacus', expected one of ");
    let names: Vec<String> = names.expect(&sentence).split(", ").map(str::to_owned).collect();
    println!("instruction sets: {}", names.join(", "));
    assert_eq!(names.last().map(String::as_str), Some("baseline"));
    names
}

/// Certified values of kernels (dense, convolutional, residual) and of log P(f) by every method, truncated normals and slice steps
/// among what they draw, and all laws of one network.
#[test]
fn the_gate_says_the_same_under_each() {
    let folder = tempfile::tempdir().unwrap();
    for only in ["certified.kernel", "certified.closed_form", "prior.permutation", "fcn-4-5-3-relu-ce-0"] {
        let said: Vec<(String, Output)> = of_the_machine()
            .into_iter()
            .map(|set| {
                let output = run(&set, &["verify", "--format", "json", "--only", only], folder.path());
                (set, output)
            })
            .collect();
        let (widest, first) = &said[0];
        assert_eq!(first.status.code(), Some(0), "{widest}: {}", String::from_utf8_lossy(&first.stderr));
        for (set, output) in &said[1..] {
            assert!(output.stdout == first.stdout, "{only}: {set} and {widest} differ");
        }
    }
}

/// Thousands of networks: single precision and fixed point, whichever a set has, count the same functions.
#[test]
fn sampling_counts_the_same_functions_under_each() {
    let folder = tempfile::tempdir().unwrap();
    for (architecture, inputs) in [("fcn:7-40-40-1", "boolean:7"), ("fcn:5-17-1", "boolean:5")] {
        let mut tables = of_the_machine().into_iter().map(|set| {
            let out = format!("{set}.tsv");
            let arguments =
                ["sample", "--arch", architecture, "--inputs", inputs, "--count", "3e3", "--seed", "3", "--out", &out];
            let output = run(&set, &arguments, folder.path());
            assert!(output.status.success(), "{set}: {}", String::from_utf8_lossy(&output.stderr));
            std::fs::read(folder.path().join(out)).unwrap()
        });
        let first = tables.next().unwrap();
        assert!(first.len() > 1000);
        assert!(tables.all(|table| table == first), "{architecture}: tables differ");
    }
}

/// Steps of every optimiser's loops.
#[test]
fn training_takes_the_same_steps_under_each() {
    let folder = tempfile::tempdir().unwrap();
    for optimizer in ["sgd", "adam"] {
        let mut networks = of_the_machine().into_iter().map(|set| {
            let out = format!("{optimizer}-{set}.safetensors");
            let arguments = [
                "train",
                "--arch",
                "fcn:64-20-1",
                "--train",
                "60",
                "--test",
                "20",
                "--optimizer",
                optimizer,
                "--out",
                &out,
            ];
            let output = run(&set, &arguments, folder.path());
            assert!(output.status.success(), "{set}: {}", String::from_utf8_lossy(&output.stderr));
            std::fs::read(folder.path().join(out)).unwrap()
        });
        let first = networks.next().unwrap();
        assert!(networks.all(|network| network == first), "{optimizer}: networks differ");
    }
}
