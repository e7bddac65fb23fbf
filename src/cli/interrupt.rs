//! Signals that end a program which has something to put away first.

/// Runs `act` when a signal asks this process to end (INT, TERM, HUP, QUIT), and then ends it by that signal, so that a
/// shell sees what it would have seen anyway. Signals that were ignored from the start, as by `nohup`, stay ignored.
///
/// # Errors
/// Those of installing a handler.
#[cfg(unix)]
pub(super) fn on_interrupt(act: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    let ignored = ignored_signals();
    let heard = [SIGINT, SIGTERM, SIGHUP, SIGQUIT].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0);
    let mut signals = signal_hook::iterator::Signals::new(heard.collect::<Vec<_>>())?;
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            act();
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
    });
    Ok(())
}

/// The signals that this process ignores, signal `k` as bit `k - 1`; none where the system does not tell.
#[cfg(unix)]
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(not(unix))]
pub(super) fn on_interrupt(_: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    Ok(())
}
