"""Signals of child processes."""

from __future__ import annotations

import signal


def takes_ctrl_c() -> None:
    """In a child: Ctrl-C ends it, whatever this process was started with (a shell's background jobs ignore it)."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
