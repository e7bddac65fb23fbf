//! A command that answers requests line by line: started once, watched, and never left behind.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest line that is read; an answer takes some hundred bytes.
const MAX_LINE_BYTES: usize = 1 << 20;
/// Faults kept; a command that writes nothing else has been understood by then.
const MAX_FAULTS: usize = 20;
/// How much of the end of stderr is kept for messages.
const STDERR_TAIL_BYTES: usize = 2048;
/// Environment variable by which descendants are found, wherever they have gone.
const MARK: &str = "FLATGAUGE_CHECK_ID";

/// A running command with its request and answer streams.
#[derive(Debug)]
pub(super) struct Process {
    shared: Arc<Shared>,
    requests: Mutex<Option<Sender<String>>>,
    child: Mutex<Child>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    timeout: Duration,
    mark: String,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Requests sent, with their answers once they are there.
    answers: HashMap<String, Option<serde_json::Value>>,
    /// Faults that belong to no request, the first [`MAX_FAULTS`] of them.
    faults: Vec<Fault>,
    /// Whether the command is to be stopped rather than waited for.
    stop: bool,
    /// Why no more answers will come.
    ended: Option<String>,
    /// When the last answer came.
    last_answer: Instant,
    stderr_tail: Vec<u8>,
}

/// Something in the stream of answers that the protocol does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What kind: `not-json`, `unknown-id`, `repeated-id`, `line-too-long`, `exit`.
    pub kind: &'static str,
    /// What was found.
    pub detail: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.kind, self.detail)
    }
}

impl State {
    fn fault(&mut self, kind: &'static str, detail: String) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault { kind, detail });
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn end(&self, reason: String) {
        self.lock().ended.get_or_insert(reason);
        self.changed.notify_all();
    }
}

impl Process {
    /// Starts `command` through the shell, in a process group of its own.
    pub fn start(command: &str, timeout: Duration) -> std::io::Result<Self> {
        let mark = format!("{}-{:x}", std::process::id(), rand_mark());
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(command).env(MARK, &mark);
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut shell, 0);
        let mut child = shell.spawn()?;
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let state = State {
            answers: HashMap::new(),
            faults: Vec::new(),
            stop: false,
            ended: None,
            last_answer: Instant::now(),
            stderr_tail: Vec::new(),
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let (requests, queue) = channel::<String>();
        // A command that does not read its stdin must not block the gate: a thread of its own writes.
        let writer = std::thread::spawn(move || {
            for line in queue {
                if stdin.write_all(line.as_bytes()).and_then(|()| stdin.flush()).is_err() {
                    break;
                }
            }
        });
        let answers = Arc::clone(&shared);
        let reader = std::thread::spawn(move || read_answers(&answers, BufReader::new(stdout)));
        let messages = Arc::clone(&shared);
        let drain = std::thread::spawn(move || keep_tail(&messages, stderr));
        Ok(Self {
            shared,
            requests: Mutex::new(Some(requests)),
            child: Mutex::new(child),
            threads: Mutex::new(vec![writer, reader, drain]),
            timeout,
            mark,
        })
    }

    /// Sends one request and waits for its answer.
    ///
    /// # Errors
    /// A sentence: the command hangs, has crashed, or has been stopped for an earlier fault.
    pub fn ask(&self, id: &str, request: &serde_json::Value) -> Result<serde_json::Value, String> {
        let asked = Instant::now();
        {
            let mut state = self.shared.lock();
            if let Some(reason) = &state.ended {
                return Err(reason.clone());
            }
            state.answers.insert(id.to_owned(), None);
        }
        if let Some(requests) = &*lock(&self.requests) {
            // A writer that is gone has its reason in `ended`, soon.
            let _ = requests.send(format!("{request}\n"));
        }
        let mut state = self.shared.lock();
        loop {
            if let Some(Some(answer)) = state.answers.get(id) {
                return Ok(answer.clone());
            }
            if let Some(reason) = &state.ended {
                return Err(reason.clone());
            }
            // Answers to other requests are signs of life.
            let waited = asked.max(state.last_answer).elapsed();
            let Some(left) = self.timeout.checked_sub(waited).filter(|left| !left.is_zero()) else {
                let before = state.faults.last().map_or(String::new(), |fault| format!("; before that {fault}"));
                let reason = format!("hang: no answer within {:?}, the command was stopped{before}", self.timeout);
                state.ended.get_or_insert(reason.clone());
                state.stop = true;
                drop(state);
                self.shared.changed.notify_all();
                self.kill();
                return Err(reason);
            };
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
    }

    /// Closes stdin, waits for the command to exit, stops what is left, and returns the faults seen.
    pub fn finish(&self) -> Vec<Fault> {
        lock(&self.requests).take();
        let deadline = Instant::now() + self.timeout;
        let status = loop {
            let stop = self.shared.lock().stop;
            match lock(&self.child).try_wait() {
                Ok(Some(status)) => break Some(status),
                Ok(None) if !stop && Instant::now() < deadline => {}
                _ => break None,
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        self.kill();
        for thread in lock(&self.threads).drain(..) {
            let _ = thread.join();
        }
        let mut state = self.shared.lock();
        let tail = String::from_utf8_lossy(&state.stderr_tail).trim().replace('\n', " | ");
        let detail = match status {
            Some(status) if status.success() => None,
            // A command that was stopped for a fault has that fault already.
            _ if state.stop => None,
            Some(status) => Some(format!("it ended with {}{}", describe(status), after(&tail))),
            None => Some(format!("it did not exit within {:?} after its stdin was closed", self.timeout)),
        };
        if let Some(detail) = detail {
            state.fault("exit", detail);
        }
        std::mem::take(&mut state.faults)
    }

    /// Ends the command and everything it started: its process group, and by their mark those that left it.
    fn kill(&self) {
        let mut child = lock(&self.child);
        #[cfg(unix)]
        if let Some(group) = rustix::process::Pid::from_raw(child.id() as i32) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = child.kill();
        let _ = child.wait();
        kill_marked(&self.mark);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        lock(&self.requests).take();
        self.kill();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn after(tail: &str) -> String {
    if tail.is_empty() { String::new() } else { format!("; the end of its stderr: {tail}") }
}

fn describe(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return format!("signal {signal}");
    }
    status.code().map_or("no exit code".to_owned(), |code| format!("exit code {code}"))
}

/// A number that no other running gate uses: time and a counter.
fn rand_mark() -> u128 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    time.as_nanos() << 16 | u128::from(COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// Kills processes whose environment holds the mark: descendants that have changed group or session.
#[cfg(target_os = "linux")]
fn kill_marked(mark: &str) {
    let wanted = format!("{MARK}={mark}").into_bytes();
    // A process may fork while the list is read: look again until none is found.
    for _ in 0..50 {
        let mut found = false;
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
            let Ok(environment) = std::fs::read(entry.path().join("environ")) else { continue };
            if environment.split(|byte| *byte == 0).any(|variable| variable == wanted)
                && let Some(id) = rustix::process::Pid::from_raw(id)
            {
                found |= rustix::process::kill_process(id, rustix::process::Signal::KILL).is_ok();
            }
        }
        if !found {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[cfg(not(target_os = "linux"))]
fn kill_marked(_mark: &str) {}

fn read_answers(shared: &Shared, mut stdout: impl BufRead) {
    let mut line = Vec::new();
    loop {
        line.clear();
        match stdout.by_ref().take(MAX_LINE_BYTES as u64 + 1).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => {
                shared.end("crash: the command ended its answers before this one".to_owned());
                return;
            }
            Ok(_) if line.len() > MAX_LINE_BYTES => {
                let detail = format!("a line is longer than {MAX_LINE_BYTES} bytes, the command was stopped");
                {
                    let mut state = shared.lock();
                    state.fault("line-too-long", detail.clone());
                    state.stop = true;
                }
                shared.end(format!("line-too-long: {detail}"));
                return;
            }
            Ok(_) => take_answer(shared, &line),
        }
    }
}

fn take_answer(shared: &Shared, line: &[u8]) {
    let shown: String = String::from_utf8_lossy(line).trim().chars().take(80).collect();
    let mut state = shared.lock();
    let parsed = parse(line);
    let id = parsed.as_ref().and_then(|answer| answer.get("id")?.as_str().map(str::to_owned));
    let (Some(answer), Some(id)) = (parsed, id) else {
        if !shown.is_empty() {
            state.fault("not-json", format!("'{shown}' is not a JSON object with an id"));
        }
        return;
    };
    match state.answers.get_mut(&id) {
        None => state.fault("unknown-id", format!("no request had id '{id}'")),
        Some(Some(_)) => state.fault("repeated-id", format!("id '{id}' came again")),
        Some(slot) => *slot = Some(answer),
    }
    state.last_answer = Instant::now();
    drop(state);
    shared.changed.notify_all();
}

/// Reads a line as JSON; failing that, with the bare words NaN and Infinity, which Python writes, made strings.
fn parse(line: &[u8]) -> Option<serde_json::Value> {
    if let Ok(value) = serde_json::from_slice(line) {
        return Some(value);
    }
    let text = std::str::from_utf8(line).ok()?;
    let quoted = text.replace("-Infinity", "\"-inf\"").replace("Infinity", "\"inf\"").replace("NaN", "\"nan\"");
    serde_json::from_str(&quoted).ok()
}

fn keep_tail(shared: &Shared, mut stderr: impl Read) {
    let mut buffer = [0; 4096];
    while let Ok(count) = stderr.read(&mut buffer) {
        if count == 0 {
            return;
        }
        let mut state = shared.lock();
        state.stderr_tail.extend_from_slice(&buffer[..count]);
        let surplus = state.stderr_tail.len().saturating_sub(STDERR_TAIL_BYTES);
        state.stderr_tail.drain(..surplus);
    }
}
