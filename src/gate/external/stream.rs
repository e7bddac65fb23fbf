//! The stream of answers of a command: what was asked, what was said, and what was wrong with it.

use super::answer::{Answer, Line, read};
use super::hello::Hello;
use crate::gate::printable::printable;
use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{BufRead, Read};
use std::sync::mpsc::Sender;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Instant;

/// Longest line that is read; an answer takes some hundred bytes.
const MAX_LINE_BYTES: usize = 1 << 20;
/// Faults kept; a command that writes nothing else has been understood by then.
const MAX_FAULTS: usize = 20;
/// How much of the end of stderr is kept for messages.
const STDERR_TAIL_BYTES: usize = 2048;
/// Id of the line that opens protocol 1.0. It asks for nothing, so that whatever is said of it is no fault.
pub(super) const START: &str = "start";

/// The state with the signal that it has changed.
#[derive(Debug)]
pub(super) struct Shared {
    pub state: Mutex<State>,
    pub changed: Condvar,
}

/// What was asked and said so far.
#[derive(Debug)]
pub(super) struct State {
    /// The way to the command's stdin; `None` once it is closed.
    pub requests: Option<Sender<String>>,
    /// What the command said of itself.
    pub hello: Option<Hello>,
    /// The line with which a command that says who it is is answered.
    pub start: String,
    /// All lines of the command, where they are kept.
    pub lines: Option<Vec<Vec<u8>>>,
    /// Requests sent and not answered, in the order of sending.
    pub open: VecDeque<String>,
    /// Answers that were not fetched yet.
    pub answers: HashMap<String, Result<Answer, String>>,
    /// Requests that were answered.
    pub answered: HashSet<String>,
    /// Faults that belong to no request, the first [`MAX_FAULTS`] of them.
    pub faults: Vec<Fault>,
    /// Whether the command is to be stopped rather than waited for.
    pub stop: bool,
    /// Why no more answers will come.
    pub ended: Option<End>,
    /// When the last answer to an open request came.
    pub last_answer: Instant,
    pub stderr_tail: Vec<u8>,
}

/// Why no more answers will come, and at which request.
#[derive(Debug, Clone)]
pub(super) struct End {
    pub kind: &'static str,
    pub detail: String,
    /// The request that fails by it; of others there is no more to say than that they were not answered.
    pub blamed: Option<String>,
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
    /// `exit`, `hello`.
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
    /// Nothing asked and nothing said; `keeps_lines` for whoever looks at the lines themselves.
    pub fn new(requests: Sender<String>, start: String, keeps_lines: bool) -> Self {
        Self {
            requests: Some(requests),
            hello: None,
            start,
            lines: keeps_lines.then(Vec::new),
            open: VecDeque::new(),
            answers: HashMap::new(),
            answered: HashSet::new(),
            faults: Vec::new(),
            stop: false,
            ended: None,
            last_answer: Instant::now(),
            stderr_tail: Vec::new(),
        }
    }

    /// Writes a line to the command. A writer that is gone has its reason in `ended`, soon.
    pub fn send(&self, line: &str) {
        if let Some(requests) = &self.requests {
            let _ = requests.send(format!("{line}\n"));
        }
    }

    /// The end of stderr on one line.
    pub fn tail(&self) -> String {
        printable(&String::from_utf8_lossy(&self.stderr_tail).trim().replace('\n', " | "))
    }

    pub fn fault(&mut self, kind: &'static str, detail: String) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault { kind, detail });
        }
    }

    /// Ends the stream unless it has ended already. The oldest request is blamed: a command works them off in turn.
    pub fn end(&mut self, kind: &'static str, detail: String) {
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

    /// A command that says who it is is told what it will be asked; the time until then is that of its start.
    fn greet(&mut self, hello: Hello) {
        if self.hello.is_some() {
            self.fault("hello", "the command said who it is for a second time".to_owned());
            return;
        }
        self.hello = Some(hello);
        self.last_answer = Instant::now();
        self.send(&self.start);
    }

    fn take_line(&mut self, line: &[u8]) {
        if let Some(lines) = &mut self.lines {
            lines.push(line.to_vec());
        }
        match read(line) {
            Line::Blank => {}
            Line::Hello(Ok(hello)) => self.greet(hello),
            Line::Hello(Err(detail)) => self.fault("hello", detail),
            Line::Of(id, _) if id == START => {}
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
    pub fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// The guard of a mutex, whoever has panicked with it.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Takes every line of the command's stdout, until it ends.
pub(super) fn read_answers(shared: &Shared, mut stdout: impl BufRead) {
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

/// Keeps the end of the command's stderr.
pub(super) fn keep_tail(shared: &Shared, mut stderr: impl Read) {
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
