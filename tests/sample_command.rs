//! `flatgauge sample` as other programs see it: the table, interruptions, damage, processes.

mod common;

use flatgauge::function::Function;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_flatgauge"))
}

fn sample(out: &Path, arguments: &[&str]) -> Output {
    program().arg("sample").args(arguments).arg("--out").arg(out).output().expect("the program starts")
}

fn done(out: &Path, arguments: &[&str]) -> String {
    let output = sample(out, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read_to_string(out).unwrap()
}

fn refusal(out: &Path, arguments: &[&str]) -> String {
    let output = sample(out, arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    assert!(output.stdout.is_empty() && !out.exists());
    let sentence = String::from_utf8(output.stderr).unwrap();
    let last = sentence.lines().last().unwrap().to_owned();
    assert!(last.starts_with("error: "), "{sentence}");
    last
}

/// Eight rounds of small networks: long enough to be interrupted after the first save.
const LONG: [&str; 6] = ["--arch", "fcn:5-6-1", "--inputs", "boolean:5", "--seed", "5"];
const LONG_COUNT: [&str; 2] = ["--count", "2e6"];

fn long() -> Vec<&'static str> {
    LONG.into_iter().chain(LONG_COUNT).collect()
}

/// Starts a run and kills it, without warning, once it has saved something.
fn killed_after_a_save(command: &mut Command, partial: &Path, out: &Path) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while !partial.exists() {
        assert!(start.elapsed() < Duration::from_secs(120), "nothing was saved");
        assert!(child.try_wait().unwrap().is_none(), "the run ended before it was killed");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(partial.exists() && !out.exists());
}

#[test]
fn the_table_is_as_the_interface_says() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("counts.tsv");
    let arguments = ["--arch", "fcn:3-6-1", "--inputs", "boolean:3", "--count", "2e3", "--seed", "9"];
    let text = done(&out, &arguments);
    let header: Vec<&str> = text.lines().take_while(|line| line.starts_with('#')).collect();
    for line in ["# arch: fcn:3-6-1", "# seed: 9", "# total: 2000"] {
        assert!(header.contains(&line), "{header:?}");
    }
    let rows: Vec<(Function, u64)> = text
        .lines()
        .skip(header.len())
        .map(|line| {
            let (function, count) = line.split_once('\t').unwrap();
            (function.parse().unwrap(), count.parse().unwrap())
        })
        .collect();
    assert!(rows.iter().all(|(function, _)| function.input_count() == 8));
    assert_eq!(rows.iter().map(|(_, count)| count).sum::<u64>(), 2000);
    let key = |row: &(Function, u64)| (std::cmp::Reverse(row.1), row.0.to_string());
    assert!(rows.is_sorted_by(|a, b| key(a) < key(b)));
    assert!(header.contains(&format!("# functions: {}", rows.len()).as_str()));
    // A shorter list says so and has the same head.
    let short = done(&folder.path().join("top.tsv"), &[&arguments[..], &["--top", "3"]].concat());
    assert_eq!(short.lines().count(), header.len() + 3);
    assert!(short.contains("\n# listed: 3\n"));
    let rows_of = |text: &str| text.lines().skip(header.len()).take(3).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rows_of(&short), rows_of(&text));
    assert!(!folder.path().join("counts.tsv.partial").exists());
}

#[test]
fn a_file_of_inputs_gives_the_same_table() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = folder.path().join("x.npy");
    flatgauge::data::write_npy(&inputs, flatgauge::data::load("boolean:4").unwrap().inputs().view()).unwrap();
    let arguments = |inputs| vec!["--arch", "fcn:4-5-1", "--count", "500", "--inputs", inputs];
    let a = done(&folder.path().join("a.tsv"), &arguments("boolean:4"));
    let b = done(&folder.path().join("b.tsv"), &arguments(inputs.to_str().unwrap()));
    assert_eq!(a, b);
}

#[test]
fn a_killed_run_goes_on_to_the_same_bytes_and_damage_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let whole = done(&folder.path().join("whole.tsv"), &long());
    let one_thread = folder.path().join("one.tsv");
    let status =
        program().arg("sample").args(long()).arg("--out").arg(&one_thread).env("RAYON_NUM_THREADS", "1").output();
    assert!(status.unwrap().status.success());
    assert!(std::fs::read_to_string(&one_thread).unwrap() == whole, "one thread gave another table");

    let (out, partial) = (folder.path().join("killed.tsv"), folder.path().join("killed.tsv.partial"));
    let long = long();
    killed_after_a_save(program().arg("sample").args(&long).arg("--out").arg(&out), &partial, &out);
    let bytes = std::fs::read(&partial).unwrap();
    let resumed: Vec<&str> = long.iter().copied().chain(["--resume"]).collect();
    let named = |bytes: &[u8], arguments: &[&str]| {
        std::fs::write(&partial, bytes).unwrap();
        let sentence = refusal(&out, arguments);
        assert!(sentence.contains(partial.to_str().unwrap()), "{sentence}");
        assert_eq!(std::fs::read(&partial).unwrap(), bytes, "a refused checkpoint was touched");
        sentence
    };
    // One bit: of the header, of a function, of a count, of the checksum.
    for place in [40, bytes.len() / 2, bytes.len() - 16, bytes.len() - 1] {
        let mut flipped = bytes.clone();
        flipped[place] ^= 1;
        assert!(named(&flipped, &resumed).contains("damaged"), "byte {place}");
    }
    for short in [&bytes[..0], &bytes[..10], &bytes[..bytes.len() - 1]] {
        assert!(named(short, &resumed).contains("damaged"));
    }
    assert!(named(&[&bytes[..], &[0; 8]].concat(), &resumed).contains("damaged"));
    let other: Vec<&str> = resumed.iter().map(|word| if *word == "5" { "6" } else { word }).collect();
    assert!(named(&bytes, &other).contains("another run"));
    let fewer: Vec<&str> = resumed.iter().map(|word| if *word == "2e6" { "1000" } else { word }).collect();
    assert!(named(&bytes, &fewer).contains("more than the 1000"));

    std::fs::write(&partial, &bytes).unwrap();
    assert!(done(&out, &resumed) == whole, "the resumed run gave another table");
    assert!(!partial.exists());
}

#[test]
fn unusable_input_is_refused_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("counts.tsv");
    let refused = |arch: &str, inputs: &str, count: &str, wanted: &str| {
        let sentence = refusal(&out, &["--arch", arch, "--inputs", inputs, "--count", count]);
        assert!(sentence.contains(wanted), "{sentence}");
    };
    refused("fcn:7-40-10", "boolean:7", "10", "10 logits");
    refused("fcn:7-40-1", "boolean:8", "10", "256 x 8");
    refused("fcn:7-40-1", "boolean:99", "10", "boolean:99");
    refused("fcn:7-40-1", "missing.npy", "10", "missing.npy");
    refused("fcn:7-40-1", "digits", "10", "neither boolean:N nor a .npy file");
    for count in ["0", "-1", "1.5", "1e300", "NaN", "many"] {
        let count = format!("--count={count}");
        let sentence = refusal(&out, &["--arch", "fcn:7-40-1", "--inputs", "boolean:7", &count]);
        assert!(sentence.contains("--count"), "{sentence}");
    }
    let nowhere = folder.path().join("none/counts.tsv");
    let sentence = refusal(&nowhere, &["--arch", "fcn:3-1", "--inputs", "boolean:3", "--count", "10"]);
    assert!(sentence.contains("counts.tsv"), "{sentence}");
}

/// Where MPI is compiled in and there is a launcher.
#[cfg(feature = "mpi")]
fn mpirun(ranks: &str) -> Option<Command> {
    let mut command = Command::new("mpirun");
    let version = command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !common::need::need("mpi", version.is_ok(), "there is no mpirun") {
        return None;
    }
    let mut command = Command::new("mpirun");
    command.args(["--allow-run-as-root", "--oversubscribe", "-n", ranks]).env("RAYON_NUM_THREADS", "1");
    command.arg(env!("CARGO_BIN_EXE_flatgauge")).arg("sample");
    Some(command)
}

#[cfg(feature = "mpi")]
#[test]
fn ranks_do_not_change_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let short: Vec<&str> = LONG.into_iter().chain(["--count", "50001"]).collect();
    let whole = done(&folder.path().join("whole.tsv"), &short);
    for ranks in ["1", "2", "3", "4"] {
        let Some(mut command) = mpirun(ranks) else { return };
        let out = folder.path().join(format!("{ranks}.tsv"));
        let output = command.args(&short).arg("--out").arg(&out).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(std::fs::read_to_string(&out).unwrap() == whole, "{ranks} ranks gave another table");
    }
}

#[cfg(feature = "mpi")]
#[test]
fn a_run_whose_rank_is_killed_goes_on_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (out, partial) = (folder.path().join("killed.tsv"), folder.path().join("killed.tsv.partial"));
    let Some(mut command) = mpirun("2") else { return };
    command.args(long()).arg("--out").arg(&out).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    while !partial.exists() {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before it was killed");
        std::thread::sleep(Duration::from_millis(5));
    }
    let rank = ranks_of(child.id()).pop().expect("the launcher has started ranks");
    assert!(Command::new("kill").args(["-9", &rank.to_string()]).status().unwrap().success());
    assert!(!child.wait().unwrap().success(), "a run that lost a rank cannot succeed");
    assert!(!out.exists());
    let mut command = mpirun("3").expect("as before");
    let output = command.args(long()).arg("--resume").arg("--out").arg(&out).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let whole = done(&folder.path().join("whole.tsv"), &long());
    assert!(std::fs::read_to_string(&out).unwrap() == whole, "the resumed run gave another table");
}

/// Processes of this program below a launcher.
#[cfg(feature = "mpi")]
fn ranks_of(launcher: u32) -> Vec<u32> {
    let output = Command::new("ps").args(["-e", "-o", "pid=,ppid=,comm="]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut ranks = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [pid, parent, "flatgauge"] = words[..]
            && parent == launcher.to_string()
        {
            ranks.push(pid.parse().unwrap());
        }
    }
    ranks
}

/// The folder of a test's files is not the program's business.
#[test]
fn nothing_else_is_left_in_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("counts.tsv");
    done(&out, &["--arch", "fcn:3-1", "--inputs", "boolean:3", "--count", "10"]);
    let files: Vec<PathBuf> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files, [out]);
}
