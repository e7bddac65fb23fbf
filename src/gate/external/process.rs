//! A command that answers requests line by line: started once, watched, and never left behind.

use super::answer::{Answer, Line, read};
use super::descendants::{MARK, kill_all};
use crate::gate::printable::printable;
use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Longest line that is read; an answer takes some hundred bytes.
const MAX_LINE_BYTES: usize = 1 << 20;
/// Faults kept; a command that writes nothing else has been understood by then.
const MAX_FAULTS: usize = 20;
/// How much of the end of stderr is kept for messages.
const STDERR_TAIL_BYTES: usize = 2048;
/// Time-outs after which a request is given up although its command says that it works on it.
const MOST_WAITS: u32 = 10;
/// How long the ends of a command that was killed are waited for: of its process, and of the threads that hold its pipes.
const LAST_WAIT: Duration = Duration::from_secs(2);
/// How long a command that has ended its answers is given to end itself, so that its exit code can be told.
const EXIT_WAIT: Duration = Duration::from_millis(300);

/// A running command with its request and answer streams.
#[derive(Debug)]
pub(super) struct Process {
    shared: Arc<Shared>,
    requests: Mutex<Option<Sender<String>>>,
    child: Mutex<Child>,
    /// Disconnected once the threads that read and write have ended.
    threads: Mutex<Receiver<()>>,
    killed: Mutex<bool>,
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
    /// Requests sent and not answered, in the order of sending.
    open: VecDeque<String>,
    /// Answers that were not fetched yet.
    answers: HashMap<String, Result<Answer, String>>,
    /// Requests that were answered.
    answered: HashSet<String>,
    /// Faults that belong to no request, the first [`MAX_FAULTS`] of them.
    faults: Vec<Fault>,
    /// Whether the command is to be stopped rather than waited for.
    stop: bool,
    /// Why no more answers will come.
    ended: Option<End>,
    /// When the last answer to an open request came.
    last_answer: Instant,
    stderr_tail: Vec<u8>,
}

/// Why no more answers will come, and at which request.
#[derive(Debug, Clone)]
struct End {
    kind: &'static str,
    detail: String,
    /// The request that fails by it; of others there is no more to say than that they were not answered.
    blamed: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// By a fault of this request's.
    Fault(String),
    /// By the fault of another one, at which the command was stopped or ended.
    NotAsked(String),
}

/// Something in the stream of answers that the protocol does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What kind: `not-json`, `unknown-id`, `repeated-id`, `missing-id`, `id-not-a-string`, `line-too-long`, `hang`, `crash`,
    /// `exit`.
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

    /// Ends the stream unless it has ended already. The oldest request is blamed: a command works them off in turn.
    fn end(&mut self, kind: &'static str, detail: String) {
        let blamed = self.open.front().cloned();
        self.ended.get_or_insert(End { kind, detail, blamed });
    }

    /// Closes an open request; `false` if it is none.
    fn close(&mut self, id: &str, answer: Result<Answer, String>) -> bool {
        let Some(place) = self.open.iter().position(|open| open == id) else { return false };
        self.open.remove(place);
        self.answered.insert(id.to_owned());
        self.answers.insert(id.to_owned(), answer);
        self.last_answer = Instant::now();
        true
    }

    fn take_line(&mut self, line: &[u8]) {
        match read(line) {
            Line::Blank => {}
            Line::Progress(id) => {
                if self.open.contains(&id) {
                    self.last_answer = Instant::now();
                }
            }
            Line::Of(id, answer) => {
                if self.close(&id, answer) {
                    return;
                }
                let shown = printable(&id.chars().take(80).collect::<String>());
                if self.answered.contains(&id) {
                    self.fault("repeated-id", format!("id '{shown}' came again"));
                } else {
                    self.fault("unknown-id", format!("no request had id '{shown}'"));
                }
            }
            // A command answers one line a request, so this one stands where an answer to the oldest should.
            Line::Nameless { kind, detail } => {
                if let Some(oldest) = self.open.front().cloned() {
                    self.close(&oldest, Err(format!("{kind}: {detail} (taken for the answer to request {oldest})")));
                }
                self.fault(kind, detail);
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
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
            open: VecDeque::new(),
            answers: HashMap::new(),
            answered: HashSet::new(),
            faults: Vec::new(),
            stop: false,
            ended: None,
            last_answer: Instant::now(),
            stderr_tail: Vec::new(),
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let (requests, queue) = channel::<String>();
        let (running, threads) = channel::<()>();
        // A command that does not read its stdin must not block the gate: a thread of its own writes. None of the threads
        // is joined: a process that cannot be ended may hold its pipe for ever.
        let runs = running.clone();
        std::thread::spawn(move || {
            let _runs = runs;
            for line in queue {
                if stdin.write_all(line.as_bytes()).and_then(|()| stdin.flush()).is_err() {
                    break;
                }
            }
        });
        let (answers, runs) = (Arc::clone(&shared), running.clone());
        std::thread::spawn(move || {
            let _runs = runs;
            read_answers(&answers, BufReader::new(stdout));
        });
        let messages = Arc::clone(&shared);
        std::thread::spawn(move || {
            let _runs = running;
            keep_tail(&messages, stderr);
        });
        Ok(Self {
            shared,
            requests: Mutex::new(Some(requests)),
            child: Mutex::new(child),
            threads: Mutex::new(threads),
            killed: Mutex::new(false),
            timeout,
            mark,
        })
    }

    /// Sends one request and waits for its answer, for the time-out at most since it was sent or another open one was
    /// answered: nothing else that a command writes is a sign of life.
    ///
    /// # Errors
    /// A sentence: the answer is none, the command hangs, has crashed, or has been stopped for an earlier fault.
    pub fn ask(&self, id: &str, request: &serde_json::Value) -> Result<Answer, NoAnswer> {
        let asked = Instant::now();
        let mut state = self.shared.lock();
        if state.ended.is_some() {
            return Err(self.after_the_end(state, id));
        }
        state.open.push_back(id.to_owned());
        drop(state);
        if let Some(requests) = &*lock(&self.requests) {
            // A writer that is gone has its reason in `ended`, soon.
            let _ = requests.send(format!("{request}\n"));
        }
        let mut state = self.shared.lock();
        loop {
            if let Some(answer) = state.answers.remove(id) {
                return answer.map_err(NoAnswer::Fault);
            }
            if state.ended.is_some() {
                return Err(self.after_the_end(state, id));
            }
            // Signs of life put off the end, but not for ever.
            let waited =
                asked.max(state.last_answer).elapsed().max(asked.elapsed().saturating_sub(MOST_WAITS * self.timeout));
            // What a command takes to start is not counted against its first answer.
            let allowed = if state.answered.is_empty() { 2 * self.timeout } else { self.timeout };
            let Some(left) = allowed.checked_sub(waited).filter(|left| !left.is_zero()) else {
                let before = state.faults.last().map_or(String::new(), |fault| format!("; before that {fault}"));
                let oldest = state.open.front().cloned().unwrap_or_default();
                let ended = match lock(&self.child).try_wait() {
                    Ok(Some(status)) => format!(" itself had ended with {}, and", describe(status)),
                    _ => String::new(),
                };
                let detail = format!(
                    "no answer to request {oldest} within {allowed:?}; the command{ended} was stopped. One that has answered \
                     must flush its output after every line{before}"
                );
                state.end("hang", detail);
                state.stop = true;
                drop(state);
                self.shared.changed.notify_all();
                self.kill();
                return Err(self.after_the_end(self.shared.lock(), id));
            };
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
    }

    /// Why request `id` has no answer once none will come. The first one that hears of it is blamed where none was open.
    fn after_the_end(&self, mut state: MutexGuard<State>, id: &str) -> NoAnswer {
        let Some(end) = &mut state.ended else { return NoAnswer::NotAsked("the command has not ended".to_owned()) };
        let blamed = end.blamed.get_or_insert_with(|| id.to_owned());
        if blamed != id {
            return NoAnswer::NotAsked(format!(
                "not asked: there are no answers after request {blamed} ({})",
                end.kind
            ));
        }
        let (kind, detail) = (end.kind, end.detail.clone());
        drop(state);
        let status = (kind == "crash").then(|| self.wait_for_exit(Instant::now() + EXIT_WAIT)).flatten();
        let status = status.map_or(String::new(), |status| {
            format!("; it ended with {}{}", describe(status), after(&tail(&self.shared.lock())))
        });
        NoAnswer::Fault(format!("{kind}: {detail}{status}"))
    }

    fn wait_for_exit(&self, deadline: Instant) -> Option<ExitStatus> {
        loop {
            let status = lock(&self.child).try_wait();
            match status {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
                _ => return None,
            }
        }
    }

    /// Closes stdin, waits for the command to exit, stops what is left, and returns the faults seen.
    pub fn finish(&self) -> Vec<Fault> {
        lock(&self.requests).take();
        let stopped = self.shared.lock().stop;
        let deadline = Instant::now() + if stopped { Duration::ZERO } else { self.timeout };
        let status = self.wait_for_exit(deadline);
        self.kill();
        let last = Instant::now() + LAST_WAIT;
        let threads = lock(&self.threads);
        while let Some(left) = last.checked_duration_since(Instant::now()) {
            // Nothing is ever sent: it is disconnected, or the time is up.
            if threads.recv_timeout(left).is_err() {
                break;
            }
        }
        let mut state = self.shared.lock();
        let detail = match status {
            Some(status) if status.success() => None,
            // A command that was stopped for a fault has that fault.
            _ if state.stop => None,
            Some(status) => Some(format!("it ended with {}{}", describe(status), after(&tail(&state)))),
            None => Some(format!("it did not exit within {:?} after its stdin was closed", self.timeout)),
        };
        match (detail, state.ended.clone()) {
            (Some(detail), _) => state.fault("exit", detail),
            // A stream that ends when all is answered is no crash.
            (None, Some(End { kind, detail, blamed })) if blamed.is_some() || kind != "crash" => {
                state.fault(kind, detail)
            }
            (None, _) => {}
        }
        std::mem::take(&mut state.faults)
    }

    /// Ends the command from outside: whoever waits for an answer is told `reason`.
    pub fn abort(&self, reason: &str) {
        let mut state = self.shared.lock();
        state.end("interrupt", reason.to_owned());
        state.stop = true;
        drop(state);
        self.shared.changed.notify_all();
        self.kill();
    }

    /// Ends the command and everything it started; the second time only what was left, since the number of a process that
    /// has ended is given to others.
    fn kill(&self) {
        let first = !std::mem::replace(&mut *lock(&self.killed), true);
        kill_all(first.then(|| lock(&self.child).id()), &self.mark);
        let _ = lock(&self.child).kill();
        self.wait_for_exit(Instant::now() + LAST_WAIT);
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

/// The end of stderr on one line.
fn tail(state: &State) -> String {
    printable(&String::from_utf8_lossy(&state.stderr_tail).trim().replace('\n', " | "))
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

fn read_answers(shared: &Shared, mut stdout: impl BufRead) {
    let mut line = Vec::new();
    loop {
        line.clear();
        let count = stdout.by_ref().take(MAX_LINE_BYTES as u64 + 1).read_until(b'\n', &mut line);
        let mut state = shared.lock();
        let ends = match count {
            Ok(0) | Err(_) => {
                state.end("crash", "the command ended its answers before this one".to_owned());
                true
            }
            Ok(_) if line.len() > MAX_LINE_BYTES => {
                let detail = format!("a line is longer than {MAX_LINE_BYTES} bytes, the command was stopped");
                state.end("line-too-long", detail);
                state.stop = true;
                true
            }
            Ok(_) => {
                state.take_line(&line);
                false
            }
        };
        drop(state);
        shared.changed.notify_all();
        if ends {
            return;
        }
    }
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
