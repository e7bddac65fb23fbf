//! The command line on input that is hostile, damaged or absurd, and on outputs that are not ordinary files: one sentence that
//! blames the right flag, exit code 2, nothing half-written.

#![cfg(unix)]

mod common;

use common::cli::flatgauge;
use flatgauge::data::{read_npy, write_npy};
use ndarray::{Array2, array};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn done(arguments: &[&str]) -> String {
    let output = flatgauge(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stderr).unwrap()
}

fn sentence_of(output: &Output, about: &str) -> String {
    let text = String::from_utf8(output.stderr.clone()).expect("messages are UTF-8");
    assert_eq!(output.status.code(), Some(2), "{about}: {text}");
    assert!(output.stdout.is_empty(), "{about}");
    let error = text.lines().last().unwrap_or_default().to_owned();
    assert!(error.starts_with("error: ") && text.matches("error: ").count() == 1, "{about}: {text}");
    assert!(!error.chars().any(char::is_control) && error.chars().count() < 2100, "{about}: {error:?}");
    error["error: ".len()..].to_owned()
}

fn refusal(arguments: &[&str]) -> String {
    sentence_of(&flatgauge(arguments), &format!("{arguments:?}"))
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn path(&self, name: &str) -> String {
        self.at(name).to_str().unwrap().to_owned()
    }

    fn file(&self, name: &str, content: &[u8]) -> String {
        std::fs::write(self.at(name), content).unwrap();
        self.path(name)
    }

    fn matrix(&self, name: &str, matrix: &Array2<f64>) -> String {
        write_npy(&self.at(name), matrix.view()).unwrap();
        self.path(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

/// A file of `golden/`, as an argument.
fn golden(name: &str) -> String {
    common::golden::golden(name).to_str().unwrap().to_owned()
}

const TRAIN: [&str; 9] = ["train", "--train", "20", "--test", "5", "--max-epochs", "2", "--seed", "1"];

fn train(arch: &str, out: &str, more: &[&str]) -> Vec<String> {
    [&TRAIN[..], &["--arch", arch, "--out", out], more].concat().into_iter().map(str::to_owned).collect()
}

fn run(words: &[String]) -> Output {
    flatgauge(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Sizes whose products wrap or that no memory holds, in every subcommand that takes an architecture.
#[test]
fn architectures_of_absurd_sizes() {
    let folder = Folder::new();
    let inputs = folder.matrix("x.npy", &array![[1.0, 2.0, 3.0, 4.0]]);
    let images = folder.matrix("images.npy", &Array2::zeros((1, 64)));
    let conv = |channels: &str, kernel: &str, padding: &str| {
        format!(
            "input = [1, 8, 8]\n[[layers]]\ntype = \"conv\"\nchannels = {channels}\nkernel = {kernel}\npadding = {padding}\n\
             [[layers]]\ntype = \"flatten\"\n[[layers]]\ntype = \"dense\"\nunits = 1\n"
        )
    };
    let (huge, half) = ("9223372036854775807", "6148914691236517205");
    let mut architectures: Vec<(String, &str)> = [
        "fcn:4-4294967296-1",
        "fcn:4294967296-3-1",
        "fcn:4-9223372036854775808-1",
        "fcn:4-18446744073709551615-1",
        "fcn:18446744073709551615-18446744073709551615",
        "fcn:4-4294967296-4294967296-1",
        "fcn:4-6148914691236517205-1",
        "fcn:4-20000-20000-1",
        "resnet8:3x32x32-18446744073709551615",
        "resnet8:4294967296x4294967296x2-1",
        "lenet:1x4294967296x28-10",
    ]
    .into_iter()
    .map(|arch| (arch.to_owned(), inputs.as_str()))
    .collect();
    for (index, text) in [
        conv(huge, "[3, 3]", "\"same\""),
        conv("2", &format!("[{huge}, 1]"), "\"same\""),
        conv("2", &format!("[{huge}, {huge}]"), "\"same\""),
        conv("2", &format!("[{half}, 3]"), "\"valid\""),
        conv("2", &format!("[{huge}, 3]"), &format!("[{half}, 1]")),
        conv("2", "[3, 3]", &format!("\"same\"\nstride = [{huge}, {huge}]")),
        conv(half, "[1, 1]", "\"valid\""),
    ]
    .into_iter()
    .enumerate()
    {
        architectures.push((folder.file(&format!("conv-{index}.toml"), text.as_bytes()), &images));
    }
    let out = folder.path("never");
    let before = folder.names();
    for (arch, inputs) in &architectures {
        for arguments in [
            vec!["kernel", "--arch", arch, "--inputs", inputs, "--out", &out],
            vec![
                "kernel",
                "--arch",
                arch,
                "--inputs",
                inputs,
                "--method",
                "empirical",
                "--samples",
                "2",
                "--out",
                &out,
            ],
            vec!["sample", "--arch", arch, "--inputs", inputs, "--count", "10", "--out", &out],
            vec!["train", "--arch", arch, "--out", &out],
            vec!["flatness", "--arch", arch, "--net", inputs, "--loss", "bce", "--data", "digits"],
            vec!["rescale", "--arch", arch, "--net", inputs, "--permute", "--out", &out],
        ] {
            let sentence = refusal(&arguments);
            assert!(sentence.starts_with(&format!("--arch {arch}: ")), "{sentence}");
        }
    }
    assert_eq!(folder.names(), before);
}

/// A network that fits into memory, for data that it does not fit.
#[test]
fn shapes_are_compared_before_anything_large_is_made() {
    let folder = Folder::new();
    let inputs = folder.matrix("x.npy", &array![[1.0, 2.0, 3.0, 4.0]]);
    let out = folder.path("never");
    let arch = "fcn:20000000-13-1";
    for arguments in [
        vec!["kernel", "--arch", arch, "--inputs", &inputs, "--method", "empirical", "--samples", "2", "--out", &out],
        vec!["sample", "--arch", arch, "--inputs", &inputs, "--count", "10", "--out", &out],
        vec!["train", "--arch", arch, "--out", &out],
    ] {
        // 2 GiB for the parameters alone, and half of it to live in.
        let words = arguments.join(" ");
        let script = format!("ulimit -v 1500000; exec {} {words}", env!("CARGO_BIN_EXE_flatgauge"));
        let output = Command::new("sh").args(["-c", &script]).env("RAYON_NUM_THREADS", "2").output().unwrap();
        let sentence = sentence_of(&output, &words);
        assert!(sentence.contains("20000000"), "{sentence}");
    }
}

#[test]
fn counts_that_no_memory_holds() {
    let folder = Folder::new();
    let out = folder.path("never");
    let most = "18446744073709551615";
    for (flag, arguments) in [
        ("--attack", vec!["train", "--arch", "fcn:64-2-1", "--attack", "0..18446744073709551615:1", "--out", &out]),
        ("--attack", vec!["train", "--arch", "fcn:64-2-1", "--attack", "0..10000000:1", "--out", &out]),
        ("--seeds", vec!["train", "--arch", "fcn:64-2-1", "--seeds", most, "--out", &out]),
        ("--seeds", vec!["train", "--arch", "fcn:64-2-1", "--seeds", "100000000", "--out", &out]),
        ("--seeds", vec!["train", "--arch", "fcn:64-2-1", "--seeds", "2", "--seed", most, "--out", &out]),
        ("--seeds", vec!["reproduce", "correlation", "--quick", "--seeds", most, "--out", &out]),
        (
            "--attack",
            vec!["reproduce", "correlation", "--quick", "--attack", "0..18446744073709551615:1", "--out", &out],
        ),
        ("--cases", vec!["verify", "--only", "no such law", "--cases", most]),
    ] {
        let sentence = refusal(&arguments);
        assert!(sentence.contains(flag), "{sentence}");
    }
    assert!(!Path::new(&out).exists());
}

/// What the program writes as a network it must be able to read.
#[test]
fn nested_residual_blocks_are_read_back_or_refused() {
    let folder = Folder::new();
    for (depth, fits) in [(48, true), (49, false), (62, false)] {
        let mut text = "input = [64]\n".to_owned();
        for level in 0..=depth {
            let path = format!("layers{}", ".branch".repeat(level));
            let kind = if level == depth { "relu" } else { "residual" };
            text += &format!("[[{path}]]\ntype = \"{kind}\"\n");
        }
        text += "[[layers]]\ntype = \"dense\"\nunits = 1\n";
        let arch = folder.file("nested.toml", text.as_bytes());
        let out = folder.path(&format!("net-{depth}"));
        let words = train(&arch, &out, &[]);
        if fits {
            for _ in 0..2 {
                let output = run(&words);
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            }
        } else {
            assert!(sentence_of(&run(&words), "nested").contains("more than 48"));
            assert!(!Path::new(&out).exists());
        }
    }
}

#[test]
fn two_values_in_one_word_or_two_and_no_third() {
    let folder = Folder::new();
    let net = golden("flatness/fcn_relu_bce_1.safetensors");
    let rescale = |range: &[&str], out: &str| {
        let mut words =
            vec!["--quiet", "rescale", "--net", &net, "--arch", "fcn:64-12-10-1", "--neurons", "--out", out];
        words.extend(range);
        flatgauge(&words)
    };
    let files: Vec<Vec<u8>> = [&["--range", "0.1,10"][..], &["--range=0.1,10"], &["--range", "0.1", "10"]]
        .iter()
        .map(|range| {
            let out = folder.path("rescaled");
            let output = rescale(range, &out);
            assert!(output.status.success(), "{range:?}: {}", String::from_utf8_lossy(&output.stderr));
            std::fs::read(out).unwrap()
        })
        .collect();
    assert!(files.iter().all(|bytes| *bytes == files[0]));
    for range in
        [&["--range", "0.1,10", "3"][..], &["--range", "0.1"], &["--range", "1,2,3"], &["--range", "1", "2", "3"]]
    {
        let output = rescale(range, &folder.path("never"));
        let sentence = sentence_of(&output, &format!("{range:?}"));
        assert!(sentence.contains("--range") || sentence.contains("'3'"), "{sentence}");
    }
    let trained: Vec<Vec<u8>> = [&["--classes", "1,7"][..], &["--classes", "1", "7"], &["--classes=1,7"]]
        .iter()
        .map(|classes| {
            let out = folder.path(&format!("net-{}", classes.concat()));
            let output = run(&train("fcn:64-3-1", &out, classes));
            assert!(output.status.success(), "{classes:?}: {}", String::from_utf8_lossy(&output.stderr));
            std::fs::read(out).unwrap()
        })
        .collect();
    assert!(trained.iter().all(|bytes| *bytes == trained[0]));
    for classes in [&["--classes", "1,7", "2,3"][..], &["--classes", "1"], &["--classes", "1,7,2"]] {
        let sentence = sentence_of(&run(&train("fcn:64-3-1", &folder.path("never"), classes)), "classes");
        assert!(sentence.starts_with("--classes: "), "{sentence}");
    }
    assert!(!folder.at("never").exists());
}

#[test]
fn arrays_of_the_wrong_shape() {
    let folder = Folder::new();
    let header = |shape: &str, entries: usize| {
        let text = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n");
        [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes(), &vec![1; entries]].concat()
    };
    let labels = folder.file("y.npy", &header("(4,)", 4));
    let cube = folder.file("cube.npy", &header("(4, 2, 2)", 16));
    let sentence = refusal(&["prior", "--gram", &cube, "--labels", &labels]);
    assert!(sentence.starts_with("--gram: ") && sentence.contains("[4, 2, 2]"), "{sentence}");
    let empty = folder.file("empty.npy", &header("(0, 4)", 0));
    let product = folder.file("product.npy", &header("(0, 4611686018427387904, 4)", 0));
    for inputs in [&empty, &product] {
        for method in
            [&["kernel"][..], &["kernel", "--method", "empirical", "--samples", "2"], &["sample", "--count", "5"]]
        {
            let rest = ["--arch", "fcn:4-3-1", "--inputs", inputs, "--out", &folder.path("never")];
            let sentence = refusal(&[method, &rest].concat());
            assert!(sentence.starts_with("--inputs: "), "{sentence}");
        }
        let sentence = refusal(&["prior", "--gram", inputs, "--labels", &labels]);
        assert!(sentence.starts_with("--gram: "), "{sentence}");
    }
    assert!(!folder.at("never").exists());
}

/// Control characters of a file and of its name reach no terminal, and a message has an end.
#[test]
fn messages_are_harmless() {
    let folder = Folder::new();
    let text = format!("{{'descr': '\u{1b}[2J\u{7}\0', 'shape': (2, 2), {}", "\u{202e}[".repeat(9000));
    let bytes = [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat();
    let gram = folder.file("evil\u{1b}[31m\u{202e}\n.npy", &bytes);
    let sentence = refusal(&["prior", "--gram", &gram, "--labels", &gram]);
    assert!(sentence.contains("evil\u{fffd}[31m\u{fffd} .npy") && sentence.len() < 1000, "{sentence}");
    let arch = folder.file("evil.toml", format!("input = [4]\n\"{}\u{1b}\" = 1\n", "x".repeat(100_000)).as_bytes());
    refusal(&["kernel", "--arch", &arch, "--inputs", &gram, "--out", &folder.path("never")]);
}

#[test]
fn what_is_no_text_names_its_flag() {
    for (flag, rest) in
        [("--arch", vec!["train", "--out", "never"]), ("--data", vec!["train", "--arch", "fcn:64-1", "--out", "never"])]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flatgauge"));
        command.args(rest).arg(flag).arg(OsStr::from_bytes(b"ab\xff"));
        let sentence = sentence_of(&command.output().unwrap(), flag);
        assert!(sentence.starts_with(flag) && sentence.contains("not UTF-8"), "{sentence}");
    }
}

/// Devices and pipes have no end, or no beginning.
#[test]
fn only_regular_files_are_read() {
    let folder = Folder::new();
    let pipe = folder.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let out = folder.path("never");
    let inputs = folder.matrix("x.npy", &array![[1.0, 2.0]]);
    for place in ["/dev/zero", &pipe, folder.0.path().to_str().unwrap()] {
        for arguments in [
            vec!["prior", "--gram", place, "--labels", place],
            vec!["kernel", "--arch", place, "--inputs", place, "--out", &out],
            vec!["kernel", "--arch", "fcn:2-1", "--inputs", place, "--out", &out],
            vec!["flatness", "--net", place, "--arch", "fcn:64-1", "--loss", "bce", "--data", "digits"],
            vec!["rescale", "--net", place, "--arch", "fcn:64-1", "--permute", "--out", &out],
            vec!["kernel", "--arch", "fcn:2-1", "--inputs", &inputs, "--labels", place, "--out", &out],
        ] {
            let sentence = refusal(&arguments);
            assert!(sentence.contains("expected a regular file"), "{sentence}");
        }
    }
    // Unfinished work, too.
    symlink("/dev/zero", folder.at("K.npy.partial")).unwrap();
    let sentence = refusal(&[
        "kernel",
        "--arch",
        "fcn:2-3-1",
        "--inputs",
        &inputs,
        "--method",
        "empirical",
        "--samples",
        "3",
        "--out",
        &folder.path("K.npy"),
    ]);
    assert!(sentence.starts_with("--out: ") && sentence.contains("a device"), "{sentence}");
}

#[test]
fn results_do_not_overwrite_their_input() {
    let folder = Folder::new();
    let x = folder.matrix("x.npy", &array![[1.0, 2.0], [0.5, 1.0]]);
    let y = folder.matrix("y.npy", &array![[1.0], [0.0]]);
    let arch = folder.file("a.toml", b"input = [2]\n[[layers]]\ntype = \"dense\"\nunits = 1\n");
    let net = folder.path("net");
    std::fs::copy(golden("flatness/fcn_relu_bce_1.safetensors"), &net).unwrap();
    symlink(&x, folder.at("link.npy")).unwrap();
    std::fs::hard_link(&x, folder.at("hard.npy")).unwrap();
    let contents = || [&x, &y, &arch, &net].map(|path| std::fs::read(path).unwrap());
    let before = contents();
    let (link, hard) = (folder.path("link.npy"), folder.path("hard.npy"));
    for (flag, arguments) in [
        ("--inputs", vec!["kernel", "--arch", "fcn:2-1", "--inputs", &x, "--out", &x]),
        ("--inputs", vec!["kernel", "--arch", "fcn:2-1", "--inputs", &x, "--out", &link]),
        ("--inputs", vec!["kernel", "--arch", "fcn:2-1", "--inputs", &x, "--out", &hard]),
        ("--arch", vec!["kernel", "--arch", &arch, "--inputs", &x, "--out", &arch]),
        ("--labels", vec!["kernel", "--arch", "fcn:2-1", "--inputs", &x, "--labels", &y, "--out", &y]),
        ("--inputs", vec!["sample", "--arch", "fcn:2-1", "--inputs", &x, "--count", "5", "--out", &x]),
        ("--arch", vec!["sample", "--arch", &arch, "--inputs", &x, "--count", "5", "--out", &arch]),
        ("--net", vec!["rescale", "--arch", "fcn:64-12-10-1", "--net", &net, "--permute", "--out", &net]),
        ("--arch", vec!["train", "--arch", &arch, "--out", &arch]),
    ] {
        let sentence = refusal(&arguments);
        assert!(sentence.starts_with("--out: ") && sentence.contains(flag), "{sentence}");
    }
    assert_eq!(contents(), before);
}

#[test]
fn results_go_where_a_regular_file_can_be() {
    let folder = Folder::new();
    let x = folder.matrix("x.npy", &array![[1.0, 2.0], [0.5, 1.0]]);
    let pipe = folder.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let net = golden("flatness/fcn_relu_bce_1.safetensors");
    for out in [
        pipe.as_str(),
        "/dev/null",
        folder.0.path().to_str().unwrap(),
        &folder.path("none/out"),
        &folder.path("K.partial"),
    ] {
        for arguments in [
            vec!["kernel", "--arch", "fcn:2-1", "--inputs", &x, "--out", out],
            vec![
                "kernel",
                "--arch",
                "fcn:2-3-1",
                "--inputs",
                &x,
                "--method",
                "empirical",
                "--samples",
                "3",
                "--out",
                out,
            ],
            vec!["sample", "--arch", "fcn:2-1", "--inputs", &x, "--count", "5", "--out", out],
            vec!["rescale", "--arch", "fcn:64-12-10-1", "--net", &net, "--permute", "--out", out],
            // Before hours of training.
            vec!["train", "--arch", "fcn:64-3-1", "--max-epochs", "100000000", "--lr", "0", "--out", out],
        ] {
            let sentence = refusal(&arguments);
            assert!(sentence.starts_with("--out: "), "{sentence}");
        }
    }
    assert_eq!(folder.names(), ["pipe", "x.npy"]);
    assert!(!std::fs::metadata(&pipe).unwrap().is_file());
    // A link stays, and what it leads to is written.
    std::fs::create_dir(folder.at("inner")).unwrap();
    symlink("inner/K.npy", folder.at("K.npy")).unwrap();
    done(&["kernel", "--arch", "fcn:2-1", "--inputs", &x, "--out", &folder.path("K.npy")]);
    assert!(folder.at("K.npy").is_symlink());
    assert_eq!(read_npy(&folder.at("inner/K.npy")).unwrap().shape(), [2, 2]);
}

#[test]
fn permissions_are_the_users() {
    let folder = Folder::new();
    let x = folder.matrix("x.npy", &array![[1.0, 2.0]]);
    let mode = |name: &str| folder.at(name).metadata().unwrap().permissions().mode() & 0o777;
    for (mask, expected) in [("077", 0o600), ("022", 0o644), ("002", 0o664)] {
        let name = format!("K-{mask}.npy");
        let script = format!(
            "umask {mask}; exec {} kernel --arch fcn:2-1 --inputs {x} --out {}",
            env!("CARGO_BIN_EXE_flatgauge"),
            folder.path(&name)
        );
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
        assert_eq!(mode(&name), expected, "{mask}");
        std::fs::set_permissions(folder.at(&name), std::fs::Permissions::from_mode(0o640)).unwrap();
        let inode = folder.at(&name).metadata().unwrap().ino();
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
        assert_eq!(mode(&name), 0o640);
        assert_ne!(folder.at(&name).metadata().unwrap().ino(), inode, "written anew, not in place");
    }
}

#[test]
fn temporary_files_of_killed_runs_are_removed() {
    let folder = Folder::new();
    let x = folder.matrix("x.npy", &array![[1.0, 2.0]]);
    folder.file(".flatgauge-Ab3xYz", b"half a file");
    let busy = std::fs::File::create(folder.at(".flatgauge-busy")).unwrap();
    busy.lock().unwrap();
    done(&["kernel", "--arch", "fcn:2-1", "--inputs", &x, "--out", &folder.path("K.npy")]);
    assert_eq!(folder.names(), [".flatgauge-busy", "K.npy", "x.npy"]);
}

/// Unfinished work of names that differ behind the last dot is not shared, and no one else's is replaced.
#[test]
fn unfinished_work_is_ones_own() {
    let folder = Folder::new();
    let x = folder.matrix("x.npy", &array![[1.0, 2.0], [0.5, 1.0]]);
    let (table, kernel) = (folder.path("a.tsv"), folder.path("a.npy"));
    let foreign = folder.file("a.tsv.partial", b"notes of mine");
    let sample = ["sample", "--arch", "fcn:2-1", "--inputs", &x, "--count", "5", "--out", &table];
    for words in [sample.to_vec(), [&sample[..], &["--resume"]].concat()] {
        let sentence = refusal(&words);
        assert!(sentence.starts_with("--out: ") && sentence.contains("a.tsv.partial"), "{sentence}");
    }
    let empirical =
        ["kernel", "--arch", "fcn:2-3-1", "--inputs", &x, "--method", "empirical", "--samples", "3", "--out", &kernel];
    // Another's unfinished work does not disturb.
    done(&empirical);
    assert_eq!(std::fs::read(&foreign).unwrap(), b"notes of mine");
    folder.file("a.npy.partial", b"notes of mine");
    assert!(refusal(&empirical).contains("a.npy.partial"));
    folder.file("net-0.05.partial", b"notes of mine");
    let words = train("fcn:64-3-1", &folder.path("net-0.05"), &[]);
    assert!(sentence_of(&run(&words), "train").contains("net-0.05.partial"));
    assert!(run(&train("fcn:64-3-1", &folder.path("net-0.01"), &[])).status.success());
    for name in ["a.tsv.partial", "a.npy.partial", "net-0.05.partial"] {
        assert_eq!(std::fs::read(folder.at(name)).unwrap(), b"notes of mine");
    }
}

/// Damage of a finished network is noticed by whoever reads it; networks of other programs have no checksum and are read.
#[test]
fn a_flipped_bit_in_a_finished_network() {
    let folder = Folder::new();
    let net = folder.path("net.safetensors");
    let words = train("fcn:64-3-1", &net, &[]);
    assert!(run(&words).status.success());
    let whole = std::fs::read(&net).unwrap();
    let flatness = [
        "flatness",
        "--net",
        &net,
        "--arch",
        "fcn:64-3-1",
        "--loss",
        "bce",
        "--data",
        "digits",
        "--measure",
        "parameter_norm",
    ];
    // The lowest bit of the last number, and one in the middle.
    for place in [whole.len() - 8, whole.len() - 700] {
        let mut flipped = whole.clone();
        flipped[place] ^= 1;
        std::fs::write(&net, &flipped).unwrap();
        for output in [run(&words), flatgauge(&flatness)] {
            let sentence = sentence_of(&output, "flipped");
            assert!(sentence.contains("net.safetensors") && sentence.contains("checksum"), "{sentence}");
        }
        assert_eq!(std::fs::read(&net).unwrap(), flipped);
    }
    std::fs::write(&net, &whole).unwrap();
    assert!(run(&words).status.success());
    done(&flatness);
}

/// Each fault is put down to the flag that has it.
#[test]
fn the_right_flag_is_blamed() {
    let folder = Folder::new();
    let x = folder.matrix("x.npy", &array![[1.0, 2.0], [0.5, 1.0], [1.5, 0.0]]);
    let huge = folder.matrix("huge.npy", &array![[1e300, 2e300]]);
    let out = folder.path("never");
    let bad = folder.file(
        "bad.toml",
        b"input = [2]\n[[layers]]\ntype = \"conv\"\nchannels = 1\nkernel = [1, 1]\npadding = \"same\"\n",
    );
    let kernel = |arch: &str, inputs: &str, more: &[&str]| {
        refusal(&[&["kernel", "--arch", arch, "--inputs", inputs, "--out", &out][..], more].concat())
    };
    let empirical = ["--method", "empirical", "--samples"];
    let arch = |name: &str| format!("--arch {name}: ");
    for (sentence, beginning) in [
        (kernel(&bad, &x, &[]), arch(&bad)),
        (kernel("fcn:3-1", &x, &[]), "--inputs: ".to_owned()),
        (kernel("fcn:2-1-1-1", &x, &["--weight-std", "1e200"]), arch("fcn:2-1-1-1")),
        (kernel("fcn:2-1", &huge, &[]), "--inputs: ".to_owned()),
        (kernel("fcn:2-1-1-1", &huge, &["--activation", "erf"]), "--".to_owned()),
        (kernel("fcn:2-1-1", &x, &[&empirical[..], &["1"]].concat()), "--samples: ".to_owned()),
        (kernel("fcn:2-1-1", &x, &[&empirical[..], &["2", "--kind", "ntk"]].concat()), "--kind: ".to_owned()),
        (kernel("fcn:2-1-1", &x, &["--activation", "tanh"]), arch("fcn:2-1-1")),
        (refusal(&["train", "--arch", &bad, "--out", &out]), arch(&bad)),
        (refusal(&["train", "--arch", "fcn:65-1", "--out", &out]), "--data: ".to_owned()),
        (refusal(&["sample", "--arch", &bad, "--inputs", &x, "--count", "1", "--out", &out]), arch(&bad)),
        (
            refusal(&["sample", "--arch", "fcn:3-1", "--inputs", &x, "--count", "1", "--out", &out]),
            "--inputs: ".to_owned(),
        ),
        (refusal(&["sample", "--arch", "fcn:2-2", "--inputs", &x, "--count", "1", "--out", &out]), arch("fcn:2-2")),
    ] {
        assert!(sentence.starts_with(&beginning), "{sentence}");
    }
    assert!(!folder.at("never").exists());
}

/// A part of a set that is missing is told.
#[test]
fn a_missing_batch_of_cifar10_is_noted() {
    let folder = Folder::new();
    let record = |label: u8| [vec![label], vec![7; 3072]].concat();
    for batch in [1, 2, 3, 4] {
        folder.file(&format!("data_batch_{batch}.bin"), &[record(1), record(3)].concat());
    }
    let source = format!("cifar10:{}", folder.0.path().display());
    let out = folder.path("net");
    let arguments = [
        "train",
        "--arch",
        "fcn:3072-1",
        "--data",
        &source,
        "--train",
        "2",
        "--test",
        "1",
        "--max-epochs",
        "1",
        "--out",
        &out,
    ];
    let notes = done(&arguments);
    assert!(notes.contains("lacks data_batch_5.bin; 8 images of 4 of 5 files"), "{notes}");
}
