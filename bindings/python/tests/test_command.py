"""The program in the wheel: exit codes, stdout and signals are a binary's."""

from __future__ import annotations

import signal
import subprocess
import sysconfig
import time
from pathlib import Path

import pytest
from signals import takes_ctrl_c

COMMAND = str(Path(sysconfig.get_path("scripts")) / "flatgauge")


def run(*words, **more):
    return subprocess.run([COMMAND, *words], capture_output=True, text=True, **more)


def test_exit_codes_and_streams():
    version = run("--version")
    assert (version.returncode, version.stderr) == (0, "") and version.stdout.startswith("flatgauge ")
    assert run().returncode == 2
    wrong = run("prior", "--gram", "missing.npy", "--labels", "missing.npy")
    assert wrong.returncode == 2 and wrong.stdout == "" and wrong.stderr.startswith("error: --gram")
    assert run("prior", "--grm", "x").returncode == 2
    assert "hessian_trace" in run("list", "measures").stdout
    failed = run("check", "--measure", "hessian_trace", "--command", "exit 3", "--only", "definition")
    assert failed.returncode == 1 and "fail" in failed.stdout.lower()


def test_a_reader_that_goes_away_is_no_error():
    shell = subprocess.run(f"'{COMMAND}' list laws | head -1", shell=True, capture_output=True, text=True)
    assert shell.returncode == 0 and shell.stderr == "" and shell.stdout


def test_names_that_are_no_text():
    shown = subprocess.run([COMMAND.encode(), b"prior", b"--gram", b"\xff.npy", b"--labels", b"y.npy"], capture_output=True, text=True)
    assert shown.returncode == 2 and shown.stderr.startswith("error:")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_at_once(number):
    words = [COMMAND, "check", "--measure", "hessian_trace", "--command", "sleep 100"]
    started = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=takes_ctrl_c)
    time.sleep(2.0)
    started.send_signal(number)
    assert started.wait(timeout=10) == -number
