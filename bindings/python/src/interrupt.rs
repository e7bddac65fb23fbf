//! Work that a signal can end: done on a thread of its own, while the calling one looks for Ctrl-C.

use pyo3::prelude::*;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// Between two looks at the signals.
const TICK: Duration = Duration::from_millis(50);
/// Stack of the thread: that of a main thread.
const STACK: usize = 8 << 20;

/// Does `work` without holding the interpreter. When Python's handler of a signal raises (Ctrl-C: `KeyboardInterrupt`),
/// `cancel` is called, and the work is left to end by itself.
pub fn interruptible<T: Send + 'static>(
    py: Python,
    work: impl FnOnce() -> T + Send + 'static,
    cancel: impl Fn(),
) -> PyResult<T> {
    let (sender, receiver) = channel();
    let thread = std::thread::Builder::new().name("flatgauge".to_owned()).stack_size(STACK).spawn(move || {
        let _ = sender.send(work());
    })?;
    // A receiver is not Sync; the thread that waits is the one that made it.
    let receiver = std::sync::Mutex::new(receiver);
    loop {
        let heard = py.detach(|| receiver.lock().expect("no other thread").recv_timeout(TICK));
        match heard {
            Ok(result) => return Ok(result),
            Err(RecvTimeoutError::Timeout) => {
                if let Err(signal) = py.check_signals() {
                    cancel();
                    return Err(signal);
                }
            }
            Err(RecvTimeoutError::Disconnected) => match thread.join() {
                Err(panic) => std::panic::resume_unwind(panic),
                Ok(()) => unreachable!("it sends before it ends"),
            },
        }
    }
}
