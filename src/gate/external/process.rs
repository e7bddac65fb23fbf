//! A command that answers requests line by line: started once, watched, and never left behind.

use super::answer::Answer;
use super::descendants::{MARK, kill_all};
use super::hello::{Hello, PROTOCOL_VARIABLE, PROTOCOL_VERSION};
use super::stream::{End, Fault, NoAnswer, Shared, State, keep_tail, lock, read_answers};
use std::io::{BufReader, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Time-outs after which a request is given up although its command says that it works on it.
const MOST_WAITS: u32 = 10;
/// How long the ends of a command that was killed are waited for: of its process, and of the threads that hold its pipes.
const LAST_WAIT: Duration = Duration::from_secs(2);
/// How long a command that has ended its answers is given to end itself, so that its exit code can be told.
const EXIT_WAIT: Duration = Duration::from_millis(300);
/// Time-outs that a command is given to start, until its first line.
const START_WAITS: u32 = 2;

/// A running command with its request and answer streams.
#[derive(Debug)]
pub(super) struct Process {
    shared: Arc<Shared>,
    child: Mutex<Child>,
    /// Disconnected once the threads that read and write have ended.
    threads: Mutex<Receiver<()>>,
    killed: Mutex<bool>,
    timeout: Duration,
    mark: String,
}

impl Process {
    /// Starts `command` through the shell, in a process group of its own. If it says who it is, it is sent the line `start`.
    pub fn start(command: &str, timeout: Duration, start: String, keeps_lines: bool) -> std::io::Result<Self> {
        let mark = format!("{}-{:x}", std::process::id(), rand_mark());
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(command).env(MARK, &mark).env(PROTOCOL_VARIABLE, PROTOCOL_VERSION);
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut shell, 0);
        let mut child = shell.spawn()?;
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let (requests, queue) = channel::<String>();
        let state = State::new(requests, start, keeps_lines);
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
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
        state.send(&request.to_string());
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
            // What a command takes to start is not counted against its first answer: one that says who it is has started.
            let starts = state.answered.is_empty() && state.hello.is_none();
            let allowed = if starts { START_WAITS * self.timeout } else { self.timeout };
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
            format!("; it ended with {}{}", describe(status), after(&self.shared.lock().tail()))
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

    /// Waits until the command has said who it is, or something else, or has ended; for its start at most.
    pub fn wait_for_hello(&self) -> Option<Hello> {
        let deadline = Instant::now() + START_WAITS * self.timeout;
        let mut state = self.shared.lock();
        while state.hello.is_none() && state.ended.is_none() && state.faults.is_empty() {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { break };
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
        state.hello.clone()
    }

    /// What the command has said of itself so far.
    pub fn hello(&self) -> Option<Hello> {
        self.shared.lock().hello.clone()
    }

    /// The command's lines so far, where they are kept.
    pub fn lines(&self) -> Vec<Vec<u8>> {
        self.shared.lock().lines.clone().unwrap_or_default()
    }

    /// Says `stop` to a command of protocol 1.0, closes stdin, waits for the command to exit, stops what is left, and returns
    /// the faults seen.
    pub fn finish(&self) -> Vec<Fault> {
        let mut state = self.shared.lock();
        if state.hello.is_some() {
            state.send(r#"{"kind":"stop"}"#);
        }
        state.requests.take();
        let stopped = state.stop;
        drop(state);
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
            Some(status) => Some(format!("it ended with {}{}", describe(status), after(&state.tail()))),
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
        self.shared.lock().requests.take();
        self.kill();
    }
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
