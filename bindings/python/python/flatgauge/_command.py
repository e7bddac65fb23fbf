"""The program `flatgauge`, as the console command of the wheel."""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Runs the program with the words of the command line, and ends the process with its exit code."""
    # The program meets signals as a binary does. Python has a handler of its own for Ctrl-C, which would wait for the end
    # of the work, and ignores files that grow too large; what was ignored from outside stays ignored.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if hasattr(signal, "SIGXFSZ"):
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    from . import _flatgauge

    code = _flatgauge.main(["flatgauge", *sys.argv[1:]])
    # Nothing of Python's own is to be written or put away, and threads of the library may still stand.
    sys.stdout.flush()
    os._exit(code)
