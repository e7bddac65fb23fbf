//! Commands that crash, hang, flood, hide and lie: each fault has its name, and nothing stays behind.

use crate::roles::{LINE, ROLE, text};
use crate::{check, checking, judged, refused};
use serde_json::Value;
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn every_fault_is_named_in_bounded_time() {
    let roles = [
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
    ];
    // Most of the time is spent waiting.
    for some in roles.chunks(4) {
        std::thread::scope(|scope| {
            for (role, word) in some {
                scope.spawn(move || {
                    let judged = check(role, "2s");
                    judged.failed_with(word);
                    assert!(judged.seconds < 30.0, "{role} took {} s", judged.seconds);
                });
            }
        });
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

/// Whether this process was started with a signal ignored, as shells do for their background jobs: what it starts ignores it too.
#[cfg(unix)]
fn is_ignored(signal: rustix::process::Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal.as_raw() - 1) & 1 == 1)
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
        if is_ignored(signal) {
            eprintln!("skipped: this process was started with {signal:?} ignored");
            continue;
        }
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
