//! Progress bars on a terminal; silence elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

/// A bar on stderr, hidden unless stderr is a terminal and `quiet` is off.
pub(super) fn bar(quiet: bool) -> ProgressBar {
    let target = if quiet || !std::io::stderr().is_terminal() {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr()
    };
    let style = ProgressStyle::with_template("{elapsed_precise} [{bar:30}] {pos}/{len} {wide_msg}")
        .expect("the template is well formed")
        .progress_chars("=> ");
    ProgressBar::with_draw_target(Some(0), target).with_style(style)
}

/// The same with an estimate of the time left.
pub(super) fn timed_bar(quiet: bool) -> ProgressBar {
    let style = ProgressStyle::with_template("{elapsed_precise} [{bar:30}] {pos}/{len}, {eta} left {wide_msg}")
        .expect("the template is well formed")
        .progress_chars("=> ");
    bar(quiet).with_style(style)
}
