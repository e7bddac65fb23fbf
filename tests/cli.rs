//! The command line as other programs see it: exit codes, files, JSON, sentences.

mod common;

use common::cli::{flatgauge, json, refusal, text};
use flatgauge::data::{read_npy, write_npy};
use ndarray::{Array2, array};
use std::path::Path;

/// A file of `golden/`, as an argument.
fn golden(name: &str) -> String {
    common::golden::golden(name).to_str().unwrap().to_owned()
}

/// Compares with a reviewed text under `golden/snapshots`.
fn assert_reviewed(name: &str, text: &str) {
    insta::with_settings!({snapshot_path => "../golden/snapshots", prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!(name, text);
    });
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn matrix(&self, name: &str, matrix: &Array2<f64>) -> String {
        let path = self.path(name);
        write_npy(Path::new(&path), matrix.view()).unwrap();
        path
    }

    fn file(&self, name: &str, content: &[u8]) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// A message with this folder's and the golden folder's paths taken out.
    fn plain(&self, message: &str) -> String {
        message.replace(self.0.path().to_str().unwrap(), "DIR").replace(&golden(""), "GOLDEN/")
    }
}

#[test]
fn prior_computes_the_arcsine_formula() {
    let folder = Folder::new();
    let gram = folder.matrix("gram.npy", &array![[2.0, 0.6], [0.6, 0.5]]);
    for labels in [array![[1.0], [1.0]], array![[-1.0], [-1.0]], array![[1.0], [0.0]], array![[-1.0], [1.0]]] {
        let agree = labels[[0, 0]] == labels[[1, 0]];
        let labels = folder.matrix("labels.npy", &labels);
        let output =
            flatgauge(&["prior", "--gram", &gram, "--labels", &labels, "--method", "exact", "--format", "json"]);
        let document = json(&output);
        let angle = (0.6_f64 / (2.0_f64 * 0.5).sqrt()).asin();
        let probability = 0.25 + if agree { angle } else { -angle } / std::f64::consts::TAU;
        let log_prob = document["log_prob"].as_f64().unwrap();
        approx::assert_relative_eq!(log_prob, probability.ln(), max_relative = 1e-13);
        assert_eq!(document["method"], "exact");
        assert_eq!(document["link"], "step");
        assert_eq!(document["n"], 2);
        assert!(document["std_error"].is_null());
        assert!(document["info"].is_object());
    }
}

#[test]
fn an_impossible_function_is_an_answer_not_an_error() {
    let folder = Folder::new();
    let gram = folder.matrix("gram.npy", &array![[1.0, 1.0], [1.0, 1.0]]);
    let labels = folder.matrix("labels.npy", &array![[1.0], [-1.0]]);
    let document = json(&flatgauge(&["prior", "--gram", &gram, "--labels", &labels, "--format", "json"]));
    assert_eq!(document["log_prob"], "-inf");
}

#[test]
fn prior_refuses_bad_matrices_and_labels() {
    let folder = Folder::new();
    let good = folder.matrix("good.npy", &array![[1.0, 0.5], [0.5, 1.0]]);
    let labels = folder.matrix("labels.npy", &array![[1.0], [0.0]]);
    let cases = [
        ("missing", folder.path("none.npy"), labels.clone()),
        ("nan", folder.matrix("nan.npy", &array![[1.0, f64::NAN], [0.5, 1.0]]), labels.clone()),
        ("not square", folder.matrix("wide.npy", &array![[1.0, 0.5, 0.2], [0.5, 1.0, 0.1]]), labels.clone()),
        ("not symmetric", folder.matrix("skew.npy", &array![[1.0, 0.5], [0.4, 1.0]]), labels.clone()),
        ("indefinite", folder.matrix("bad.npy", &array![[1.0, 2.0], [2.0, 1.0]]), labels.clone()),
        ("garbage", folder.file("garbage.npy", b"hello"), labels.clone()),
        ("truncated", folder.file("cut.npy", &std::fs::read(&good).unwrap()[..140]), labels.clone()),
        ("label count", good.clone(), folder.matrix("three.npy", &array![[1.0], [0.0], [1.0]])),
        ("label value", good.clone(), folder.matrix("two.npy", &array![[1.0], [2.0]])),
        ("label alphabet", good.clone(), folder.matrix("mixed.npy", &array![[0.0], [-1.0]])),
    ];
    let mut sentences = String::new();
    for (name, gram, labels) in cases {
        let sentence = refusal(&["prior", "--gram", &gram, "--labels", &labels]);
        sentences += &format!("{name}: {}\n", folder.plain(&sentence));
    }
    assert_reviewed("prior_refusals", &sentences);
}

#[test]
fn usage_errors_are_one_sentence() {
    let folder = Folder::new();
    let gram = folder.matrix("gram.npy", &array![[1.0, 0.5], [0.5, 1.0]]);
    let labels = folder.matrix("labels.npy", &array![[1.0], [0.0]]);
    let mut sentences = String::new();
    for arguments in [
        &["prior", "--gram", &gram][..],
        &["prior", "--gram", &gram, "--labels", &labels, "--method", "magic"],
        &["prior", "--gram", &gram, "--labels", &labels, "--link", "stap"],
        &["prior", "--gram", &gram, "--labels", &labels, "--method", "exact", "--link", "logistic"],
        &["prior", "--gram", &gram, "--labels", &labels, "--target-se", "nan"],
        &["verify", "--tier", "eternal"],
        &["verify", "--only", "no such law"],
        &["frobnicate"],
        &["kernel", "--arch", "fcn:64-x-1", "--inputs", &gram, "--out", "never.npy"],
        &["kernel", "--arch", "fcn:64-1", "--inputs", &gram, "--out", "never.npy"],
    ] {
        sentences += &format!("{}\n", folder.plain(&refusal(arguments)));
    }
    assert_reviewed("usage_refusals", &sentences);
    assert!(!Path::new("never.npy").exists());
}

#[test]
fn kernel_writes_the_certified_gram_matrix() {
    let folder = Folder::new();
    let out = folder.path("gram.npy");
    let inputs = golden("kernel/fcn2_relu_1.x.npy");
    let arguments = ["kernel", "--arch", "fcn:64-40-40-1", "--inputs", &inputs, "--out", &out];
    let features = read_npy(Path::new(&inputs)).unwrap().shape()[1];
    let arch = format!("fcn:{features}-40-40-1");
    let arguments = arguments.map(|argument| if argument.starts_with("fcn:") { &arch } else { argument });
    assert!(flatgauge(&arguments).status.success());
    let (gram, expected) =
        (read_npy(Path::new(&out)).unwrap(), read_npy(Path::new(&golden("kernel/fcn2_relu_1.nngp.npy"))).unwrap());
    assert_eq!(gram.shape(), expected.shape());
    for (value, expected) in gram.iter().zip(&expected) {
        approx::assert_relative_eq!(value, expected, max_relative = 1e-12);
    }
}

#[test]
fn architecture_files_are_read_and_unknown_keys_named() {
    let folder = Folder::new();
    let inputs = folder.matrix("x.npy", &array![[1.0, 2.0], [0.5, -1.0]]);
    let good = "input = [2]\nweight_std = 1.5\nbias_std = 0.3\n\
                [[layers]]\ntype = \"dense\"\nunits = 5\n[[layers]]\ntype = \"erf\"\n[[layers]]\ntype = \"dense\"\nunits = 1\n";
    let arch = folder.file("good.toml", good.as_bytes());
    let out = folder.path("out.npy");
    assert!(flatgauge(&["kernel", "--arch", &arch, "--inputs", &inputs, "--out", &out]).status.success());
    let mut sentences = String::new();
    for (name, content) in [
        ("key", good.replace("units = 5", "units = 5\nwidth = 5")),
        ("top", good.replace("bias_std", "bias_sdt")),
        ("type", good.replace("\"erf\"", "\"gelu\"")),
        ("value", good.replace("units = 5", "units = -5")),
        ("syntax", good.replace("[2]", "[2")),
    ] {
        let arch = folder.file(&format!("{name}.toml"), content.as_bytes());
        let sentence = refusal(&["kernel", "--arch", &arch, "--inputs", &inputs, "--out", &folder.path("never.npy")]);
        sentences += &format!("{}\n", folder.plain(&sentence));
    }
    assert_reviewed("architecture_refusals", &sentences);
    assert!(!Path::new(&folder.path("never.npy")).exists());
}

#[test]
fn flatness_reports_certified_values() {
    let net = golden("flatness/fcn_relu_bce_1.safetensors");
    let data = golden("flatness/fcn_relu_bce_1.npz");
    let output = flatgauge(&[
        "flatness",
        "--net",
        &net,
        "--arch",
        "fcn:64-12-10-1",
        "--loss",
        "bce",
        "--data",
        &data,
        "--measure",
        "hessian_trace,hessian_max_eigenvalue",
        "--format",
        "json",
    ]);
    assert!(text(&output.stderr).contains("ignored tensors hessian_probe, probe_vector"));
    let document = json(&output);
    assert_eq!(document["parameters"], 921);
    let value = |id: &str| document["measures"][id]["value"].as_f64().unwrap();
    approx::assert_relative_eq!(document["loss"].as_f64().unwrap(), 0.01933399169414848, max_relative = 1e-12);
    approx::assert_relative_eq!(value("hessian_trace"), 8.310889246022118, max_relative = 1e-11);
    approx::assert_relative_eq!(value("hessian_max_eigenvalue"), 4.599668739929393, max_relative = 1e-9);
    assert!(document["measures"]["hessian_trace"]["std_error"].is_null());
}

#[test]
fn rescale_writes_a_network_with_the_predicted_trace() {
    let folder = Folder::new();
    let out = folder.path("rescaled.safetensors");
    let net = golden("flatness/fcn_relu_bce_1.safetensors");
    let data = golden("flatness/fcn_relu_bce_1.npz");
    let arch = "fcn:64-12-10-1";
    let output =
        flatgauge(&["rescale", "--net", &net, "--arch", arch, "--layer", "0", "--alpha", "5.9", "--out", &out]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let document = json(&flatgauge(&[
        "flatness",
        "--net",
        &out,
        "--arch",
        arch,
        "--loss",
        "bce",
        "--data",
        &data,
        "--measure",
        "hessian_trace",
        "--format",
        "json",
    ]));
    let trace = document["measures"]["hessian_trace"]["value"].as_f64().unwrap();
    approx::assert_relative_eq!(trace, 232.72626003037556, max_relative = 1e-11);
}

#[test]
fn networks_and_data_that_cannot_be_used_are_refused() {
    let folder = Folder::new();
    let net = golden("flatness/fcn_relu_bce_1.safetensors");
    let data = golden("flatness/fcn_relu_bce_1.npz");
    let garbage = folder.file("garbage.safetensors", b"not a network");
    let mut sentences = String::new();
    let flatness = |net: &str, arch: &str, loss: &str, data: &str, extra: &[&str]| {
        let mut arguments = vec!["--quiet", "flatness", "--net", net, "--arch", arch, "--loss", loss, "--data", data];
        arguments.extend(extra);
        folder.plain(&refusal(&arguments)) + "\n"
    };
    let arch = "fcn:64-12-10-1";
    sentences += &flatness(&folder.path("none.safetensors"), arch, "bce", &data, &[]);
    sentences += &flatness(&garbage, arch, "bce", &data, &[]);
    sentences += &flatness(&net, "fcn:64-12-11-1", "bce", &data, &[]);
    sentences += &flatness(&net, "fcn:64-12-10-5-1", "bce", &data, &[]);
    sentences += &flatness(&net, arch, "ce", &data, &[]);
    sentences += &flatness(&net, arch, "bce", "atlantis", &[]);
    sentences += &flatness(&net, arch, "bce", &golden("flatness/fcn_relu_ce10_1.npz"), &[]);
    sentences += &flatness(&net, arch, "bce", &data, &["--measure", "bumpiness"]);
    for eps in ["-1", "0", "nan"] {
        sentences += &flatness(&net, arch, "bce", &data, &["--measure", "keskar_sharpness", "--eps", eps]);
    }
    for alpha in ["0", "-2", "nan", "inf"] {
        let alpha = format!("--alpha={alpha}");
        let out = folder.path("never.safetensors");
        let arguments = ["--quiet", "rescale", "--net", &net, "--arch", arch, "--layer", "0", &alpha, "--out", &out];
        sentences += &(folder.plain(&refusal(&arguments)) + "\n");
    }
    let out = folder.path("never.safetensors");
    let arguments =
        ["--quiet", "rescale", "--net", &net, "--arch", arch, "--layer", "2", "--alpha", "2", "--out", &out];
    sentences += &(folder.plain(&refusal(&arguments)) + "\n");
    assert_reviewed("network_refusals", &sentences);
    assert!(!Path::new(&out).exists());
}

#[test]
fn lists_name_everything() {
    for (what, count) in [
        ("measures", flatgauge::flatness::registry().len()),
        ("priors", flatgauge::prior::registry().len()),
        ("kernels", flatgauge::kernel::registry().len()),
        ("rescalings", flatgauge::rescale::registry().len()),
        ("optimizers", flatgauge::train::registry().len()),
        ("laws", flatgauge::gate::registry().len()),
        ("studies", flatgauge::study::registry().len()),
        ("data", flatgauge::data::registry().len()),
    ] {
        let document = json(&flatgauge(&["list", what, "--format", "json"]));
        let entries = document.as_array().unwrap();
        assert_eq!(entries.len(), count, "{what}");
        let listed = text(&flatgauge(&["list", what]).stdout);
        for entry in entries {
            assert!(listed.contains(entry["id"].as_str().unwrap()));
        }
    }
}

#[test]
fn optimisers_are_listed_with_their_presets() {
    let document = json(&flatgauge(&["list", "optimizers", "--format", "json"]));
    let listed = text(&flatgauge(&["list", "optimizers"]).stdout);
    let mut presets = 0;
    for entry in document.as_array().unwrap() {
        for preset in entry["presets"].as_array().unwrap() {
            let (name, rate) = (preset["name"].as_str().unwrap(), preset["settings"]["lr"].as_f64().unwrap());
            assert!(rate > 0.0);
            assert!(listed.lines().any(|line| line.trim_start().starts_with(&format!("{name}: "))), "{name}");
            presets += 1;
        }
    }
    assert!(presets >= 18, "{presets}");
    let line = listed.lines().find(|line| line.trim_start().starts_with("tan_script: ")).unwrap();
    for setting in ["langevin_steps 20", "langevin_rate 0.12", "lr 0.4", "scope 0.008", "scoping 0.0008"] {
        assert!(line.contains(setting), "{line}");
    }
    // Measures have none.
    assert!(json(&flatgauge(&["list", "measures", "--format", "json"]))[0].get("presets").is_none());
}

#[test]
fn help_and_completions_are_there() {
    assert!(flatgauge(&["--help"]).status.success());
    assert!(flatgauge(&["--version"]).status.success());
    assert_eq!(flatgauge(&[]).status.code(), Some(2));
    assert!(text(&flatgauge(&["completions", "bash"]).stdout).contains("_flatgauge"));
}

/// Times of a command and of the built-in estimator, kept and compared: what became slower, or wrong, fails.
#[test]
fn times_are_kept_and_gate_a_change() {
    let folder = Folder::new();
    let kept = folder.path("before.json");
    let words = ["bench", "--measure", "hessian_trace", "--budget", "100ms", "--format", "json"];
    let record = json(&flatgauge(&[&words[..], &["--out", &kept]].concat()));
    assert_eq!((record["estimator"].as_str(), record["verdict"].as_str()), (Some("hessian_trace"), Some("pass")));
    let rows = record["rows"].as_array().unwrap();
    assert!(rows.len() >= 3 && rows.iter().all(|row| row["seconds"].as_f64().unwrap() > 0.0), "{record}");

    // The same estimator beside what claims to have been a thousand times faster.
    let mut faster = record.clone();
    for row in faster["rows"].as_array_mut().unwrap() {
        row["ratio"] = (row["ratio"].as_f64().unwrap() / 1000.0).into();
    }
    let faster = folder.file("faster.json", faster.to_string().as_bytes());
    let output = flatgauge(&[&words[..], &["--against", &faster, "--fail-over", "2"]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["slower"].as_array().unwrap().len(), rows.len());
    // Twice the time of the same program is no more than what a busy machine may make of a few rounds.
    let output = flatgauge(&[&words[..], &["--against", &kept, "--fail-over", "10"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));

    let wrong = r#"while read -r line; do id=${line#*\"id\":\"}; echo "{\"id\":\"${id%%\"*}\",\"value\":1.5}"; done"#;
    let output = flatgauge(&["bench", "--measure", "hessian_trace", "--command", wrong, "--budget", "50ms"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let told = text(&output.stdout);
    assert!(told.contains("FAILED: 1.5, the built-in estimator says") && told.contains("verdict: fail"), "{told}");

    let other = ["bench", "--prior", "ep", "--against", &kept];
    assert!(refusal(&other).contains("the file has times of 'hessian_trace', expected those of 'ep'"));
    let torn = folder.file("torn.json", b"{");
    assert!(refusal(&["bench", "--prior", "ep", "--against", &torn]).contains("no times as --out writes"));
    assert!(refusal(&["bench"]).contains("--measure"));
}
