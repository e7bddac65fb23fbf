"""A side of a row as a process: started, asked, measured, ended."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path
from typing import Any

# Most of a message that a table shows.
SHOWN = 160


class Failed(Exception):
    """Why a side has no time."""


class Side:
    """A process that answers requests, one line each, and is ended when it takes too long over one."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path, limit: float) -> None:
        self.log, self.limit, self.late, self.peak = log, limit, False, None
        with log.open("w") as errors:
            try:
                self.process = subprocess.Popen(
                    command,
                    env={**os.environ, **environment},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                    bufsize=1,
                )
            except OSError as error:
                raise Failed(f"cannot be started: {error.strerror}") from error
        try:
            self.program: str = self.line()["program"]
        except BaseException:
            self.close()
            raise

    def line(self) -> dict[str, Any]:
        timer = threading.Timer(self.limit, self.end_late)
        timer.start()
        try:
            text = self.process.stdout.readline()
        finally:
            timer.cancel()
        if not text:
            raise Failed(self.why())
        return json.loads(text)

    def end_late(self) -> None:
        self.late = True
        self.process.kill()

    def ask(self, times: int = 1) -> list[dict[str, Any]]:
        """Answers to the same request, one after the other without a pause; all hold the numbers of the last."""
        try:
            self.process.stdin.write(f"{times}\n")
        except BrokenPipeError:
            raise Failed(self.why()) from None
        answer = self.line()
        return [{**answer, "seconds": float(f"{seconds:.4g}")} for seconds in answer["seconds"]]

    def why(self) -> str:
        code = self.process.wait()
        if self.late:
            return f"took more than {self.limit:g} s"
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return (lines[-1] if lines else f"ended with code {code}")[:SHOWN]

    def close(self) -> int | None:
        """Ends the process; the most memory that it held, in bytes, where the system says."""
        if self.peak is None:
            self.peak = high_water(self.process.pid)
        self.process.stdin.close()
        self.process.stdout.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        return self.peak


def high_water(pid: int) -> int | None:
    """`ru_maxrss` would count what the process that started it held."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None
