//! Kernels and sweeps shared by the processes of a launcher: the same bytes as from one process. Sampling's own tests are
//! in `sample_command.rs`.
#![cfg(feature = "mpi")]

mod common;

use common::files::files;
use common::need::need;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_flatgauge");

fn alone(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

/// The program under a launcher; `None`, with the reason printed, where there is none.
fn together(ranks: &str, arguments: &[&str]) -> Option<Output> {
    let version = Command::new("mpirun").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !need("mpi", version.is_ok(), "there is no mpirun") {
        return None;
    }
    let mut command = Command::new("mpirun");
    command.args(["--allow-run-as-root", "--oversubscribe", "-n", ranks]).env("RAYON_NUM_THREADS", "1");
    Some(command.arg(PROGRAM).args(arguments).output().unwrap())
}

/// Runs `arguments` and `--out` into a folder of its own with 1, 2, 3 and 4 processes, and without a launcher.
fn same_files_for_any_number_of_processes(arguments: &[&str], out: &str) {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| {
        let place = folder.path().join(name);
        std::fs::create_dir(&place).unwrap();
        (place.clone(), place.join(out).display().to_string())
    };
    let (whole, path) = place("whole");
    let output = alone(&[arguments, &["--out", &path]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = |output: &Output, path: &str| String::from_utf8_lossy(&output.stdout).replace(path, out);
    let said = text(&output, path.trim_end_matches(".npy"));
    let expected = files(&whole);
    assert!(expected.len() >= 2, "{:?}", expected.keys());
    for ranks in ["1", "2", "3", "4"] {
        let (folder, path) = place(ranks);
        let Some(output) = together(ranks, &[arguments, &["--out", &path]].concat()) else { return };
        assert!(output.status.success(), "{ranks}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(text(&output, path.trim_end_matches(".npy")), said, "{ranks} processes");
        assert!(files(&folder) == expected, "{ranks} processes wrote other files: {:?}", files(&folder).keys());
    }
}

#[test]
fn an_empirical_kernel_is_that_of_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = folder.path().join("x.npy");
    flatgauge::data::write_npy(&inputs, flatgauge::data::load("boolean:4").unwrap().inputs.view()).unwrap();
    let inputs = inputs.to_str().unwrap();
    let arguments = ["kernel", "--method", "empirical", "--arch", "fcn:4-10-1", "--samples", "37", "--inputs", inputs];
    same_files_for_any_number_of_processes(&arguments, "k.npy");
}

#[test]
fn a_sweep_is_that_of_one_process() {
    let arguments = ["train", "--arch", "fcn:64-10-1", "--data", "digits", "--train", "40", "--attack", "0..20:10"];
    same_files_for_any_number_of_processes(&[&arguments[..], &["--seeds", "2", "--optimizer", "adam"]].concat(), "");
}

/// A kernel that fails on one process fails on all, with the sentence of the one.
#[test]
fn what_fails_in_one_process_ends_all() {
    let folder = tempfile::tempdir().unwrap();
    let (inputs, out) = (folder.path().join("x.npy"), folder.path().join("k.npy"));
    flatgauge::data::write_npy(&inputs, flatgauge::data::load("boolean:6").unwrap().inputs.view()).unwrap();
    let arguments = ["kernel", "--method", "empirical", "--arch", "fcn:6-2-1", "--samples", "8"];
    let paths = ["--inputs", inputs.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let Some(output) = together("3", &[&arguments[..], &paths].concat()) else { return };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("error: ") && said.contains("rank"), "{said}");
    assert!(!out.exists());
}
