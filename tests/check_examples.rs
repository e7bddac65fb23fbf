//! The examples that `flatgauge check --print-example` prints, held to the gate.

mod common;

use common::need::need;
use flatgauge::data::write_npz;
use flatgauge::model::{Architecture, Model, Network, save_network};
use flatgauge::numeric::Streams;
use ndarray::Array2;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Networks with every kind of layer, in the files of a case, and one whose logit is 0.
fn cases_of_all_layers(place: &Path) -> PathBuf {
    let layers = [
        (
            "conv-residual-batch-norm",
            "bce",
            r#"{"input":[2,4,4],"layers":[
                {"type":"conv","channels":2,"kernel":[3,3],"padding":[1,1],"bias":false},{"type":"batch_norm"},{"type":"relu"},
                {"type":"residual","branch":[{"type":"conv","channels":3,"kernel":[3,3],"padding":"same"},{"type":"batch_norm"},
                {"type":"erf"}],"shortcut":[{"type":"conv","channels":3,"kernel":[1,1],"padding":"valid"}]},
                {"type":"avg_pool","size":[2,2]},{"type":"residual","branch":[{"type":"relu"}]},{"type":"global_avg_pool"},
                {"type":"dense","units":1}]}"#,
        ),
        (
            "conv-stride-max-pool",
            "ce",
            r#"{"input":[1,5,4],"layers":[
                {"type":"conv","channels":2,"kernel":[3,2],"stride":[2,1],"padding":"same"},{"type":"tanh"},
                {"type":"max_pool","size":[2,2],"stride":[1,1],"padding":[1,0]},{"type":"flatten"},{"type":"dense","units":3}]}"#,
        ),
        (
            "conv-avg-pool-batch-norm-of-vectors",
            "mse",
            r#"{"input":[1,4,4],"layers":[
                {"type":"conv","channels":2,"kernel":[2,2],"padding":"valid"},{"type":"relu"},
                {"type":"avg_pool","size":[2,2],"stride":[1,1]},{"type":"flatten"},{"type":"dense","units":3},
                {"type":"batch_norm"},{"type":"tanh"},{"type":"dense","units":2}]}"#,
        ),
    ];
    let mut blocks =
        "[[network]]\nname = \"logit-0\"\nloss = \"bce\"\nalphas = []\ngiven = { arch = \"fcn:1-1\", theta = \
                      [0.0, 0.0], inputs = [[1.0]], targets = [[0.0]] }\n"
            .to_owned();
    for (number, (name, loss, architecture)) in layers.into_iter().enumerate() {
        let architecture: Architecture = serde_json::from_str(architecture).unwrap();
        let model = Arc::new(Model::new(architecture.clone()).unwrap());
        let network = Network::sample(Arc::clone(&model), Streams::new(number as u64));
        // Statistics that no batch of the data would have.
        let moved = |(index, value): (usize, &f64)| value + 0.25 * (index % 5 + 1) as f64;
        let buffers = network.buffers().iter().enumerate().map(moved).collect();
        let network = network.with_buffers(buffers);
        let file = |ending: &str| place.join(format!("{name}.{ending}"));
        std::fs::write(file("toml"), toml::to_string(&architecture).unwrap()).unwrap();
        save_network(&file("safetensors"), &network, &BTreeMap::new()).unwrap();
        let number = |i: usize, j: usize| ((7 * i + 3 * j + 1) as f64).sin();
        let inputs = Array2::from_shape_fn((5, model.input_count()), |(i, j)| number(i, j));
        let targets = match loss {
            "mse" => Array2::from_shape_fn((5, 2), |(i, j)| number(j, i)),
            _ => Array2::from_shape_fn((5, 1), |(i, _)| (i % 2) as f64),
        };
        write_npz(&file("npz"), inputs.view(), &architecture.input, targets.view()).unwrap();
        blocks += &format!(
            "[[network]]\nname = \"{name}\"\nloss = \"{loss}\"\nalphas = [2.0]\nrescalings = true\nfiles = {{ arch = \
             \"{name}.toml\", net = \"{name}.safetensors\", data = \"{name}.npz\" }}\n"
        );
    }
    let path = place.join("layers.toml");
    std::fs::write(&path, blocks).unwrap();
    path
}

/// An example builds every layer, its second derivatives are right where others lose them, and its lines are those of the
/// protocol.
#[test]
fn examples_build_every_layer_and_conform() {
    let place = tempfile::tempdir().unwrap();
    let cases = cases_of_all_layers(place.path());
    // `FLATGAUGE_TEST_PYTHON` may name the one that has the packages.
    let python = std::env::var("FLATGAUGE_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    for (language, packages) in [("python", "numpy, scipy"), ("torch", "numpy, torch"), ("jax", "numpy, jax")] {
        let found = Command::new(&python).args(["-c", &format!("import {packages}")]).output();
        if !need(
            "python-packages",
            found.is_ok_and(|output| output.status.success()),
            &format!("{python} has no {packages}"),
        ) {
            continue;
        }
        let example =
            Command::new(env!("CARGO_BIN_EXE_flatgauge")).args(["check", "--print-example", language]).output();
        // A program called `torch.py` would import itself.
        let path = place.path().join(format!("example_{language}.py"));
        std::fs::write(&path, example.unwrap().stdout).unwrap();
        let command = format!("{python} '{}'", path.display());
        let trace = ["--measure", "hessian_trace", "--case", cases.to_str().unwrap()];
        for what in [&trace[..], &[&trace[..], &["--dtype", "float32"]].concat(), &["--conformance"]] {
            let output = Command::new(env!("CARGO_BIN_EXE_flatgauge"))
                .args(["check", "--command", &command, "--timeout", "300s"])
                .args(what)
                .output()
                .unwrap();
            let shown = String::from_utf8_lossy(&output.stdout);
            assert_eq!(output.status.code(), Some(0), "{language}: {shown}");
            assert!(shown.contains("example") && !shown.contains(" parameters are too many"), "{language}: {shown}");
        }
    }
}

#[test]
fn examples_are_printed() {
    for language in ["python", "torch", "jax"] {
        let output = Command::new(env!("CARGO_BIN_EXE_flatgauge"))
            .args(["check", "--print-example", language])
            .output()
            .unwrap();
        assert!(output.status.success());
        assert!(String::from_utf8(output.stdout).unwrap().contains("for line in sys.stdin"));
    }
}
