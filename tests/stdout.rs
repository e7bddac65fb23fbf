//! What every subcommand does where its result cannot be printed, and what its refusals may print.

use flatgauge::data::{write_npy, write_npy_vector};
use ndarray::array;
use std::process::{Command, Output, Stdio};

fn flatgauge(arguments: &[&str], stdout: Stdio) -> Output {
    Command::new(env!("CARGO_BIN_EXE_flatgauge")).args(arguments).stdout(stdout).output().expect("the program starts")
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_stdout_is_an_error_of_every_subcommand() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let [net, moved, gram, labels, inputs, kernel, table] =
        ["net.safetensors", "moved.safetensors", "gram.npy", "labels.npy", "x.npy", "k.npy", "counts.tsv"].map(path);
    write_npy(gram.as_ref(), array![[1.0, 0.5], [0.5, 1.0]].view()).unwrap();
    write_npy_vector(labels.as_ref(), array![1.0, -1.0].view()).unwrap();
    write_npy(inputs.as_ref(), array![[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]].view()).unwrap();
    let train = ["train", "--arch", "fcn:64-4-1", "--data", "digits", "--train", "8", "--test", "8", "--out", &net];
    let network = ["--net", &net, "--arch", "fcn:64-4-1"];
    let data = ["--loss", "bce", "--data", "digits"];
    let flatness = [&["flatness", "--measure", "parameter_norm"][..], &network, &data].concat();
    let rescale = [&["rescale", "--layer", "0", "--alpha", "2", "--out", &moved][..], &network].concat();
    let command = ["check", "--prior", "exact", "--command", "cat", "--only", "label_flip/exact-step/gram-2-0"];
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["prior", "--help"],
        &["list", "laws"],
        &["list", "measures", "--format", "json"],
        &["completions", "bash"],
        &["prior", "--gram", &gram, "--labels", &labels],
        &["prior", "--gram", &gram, "--labels", &labels, "--format", "json"],
        &["kernel", "--arch", "fcn:2-4-1", "--inputs", &inputs, "--out", &kernel],
        &["sample", "--arch", "fcn:2-4-1", "--inputs", &inputs, "--count", "100", "--out", &table],
        &train,
        &flatness,
        &rescale,
        &["verify", "--only", "label_flip/exact-step/gram-2-0"],
        &["verify", "--only", "label_flip/exact-step/gram-2-0", "--format", "json"],
        &command,
        &["check", "--print-example", "python"],
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = flatgauge(arguments, full.into());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        let last = stderr.lines().last().unwrap_or_default();
        assert!(last.starts_with("error: stdout: "), "{arguments:?}: {stderr}");
        // A reader that has gone away has seen enough.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = flatgauge(arguments, writer.into());
        let wanted = if arguments[0] == "check" && arguments.len() > 3 { 1 } else { 0 };
        assert_eq!(output.status.code(), Some(wanted), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_refusal_shows_no_character_that_a_terminal_obeys() {
    let place = tempfile::tempdir().unwrap();
    // A header with an escape, a bell and a null; numpy's format says 128 bytes to the data.
    let header = "{'descr': '<f8', 'fortran_order': \u{1b}[31m\u{7}\0\u{9b}, 'shape': (2, 2), }";
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend(format!("{header:<116}\n").chars().map(|c| c as u32 as u8));
    bytes.extend([0; 32]);
    let hostile = place.path().join("a\u{1b}]0;owned\u{7}b\nerror: c\u{202e}.npy");
    std::fs::write(&hostile, &bytes).unwrap();
    let hostile = hostile.to_str().unwrap();
    for arguments in [
        &["prior", "--gram", hostile, "--labels", hostile][..],
        &["kernel", "--arch", hostile, "--inputs", hostile, "--out", "/nonexistent/k.npy"],
        &["verify", "--case", hostile],
        &["verify", "--only", hostile],
        &["check", "--measure", hostile, "--command", "true"],
        &["list", hostile],
    ] {
        let output = flatgauge(arguments, Stdio::piped());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr:?}");
        assert!(output.stdout.is_empty() && stderr.lines().count() == 1 && stderr.starts_with("error: "), "{stderr:?}");
        let obeyed = stderr.chars().find(|c| c.is_control() && *c != '\n' || ('\u{202a}'..='\u{202e}').contains(c));
        assert_eq!(obeyed, None, "{arguments:?}: {stderr:?}");
    }
}
