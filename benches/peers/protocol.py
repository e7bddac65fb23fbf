"""What the scripts of the peers share: `python NAME_peer.py WORK DIR SIZE` serves requests as `cargo bench --bench peers` does.

The script says on one line of JSON that it is ready, and then, for each line on stdin, does the work as often as the line says
and answers with {"seconds": of each time, the work alone, "answer": numbers to compare, "info": diagnostics}.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

# Entries of a long vector that an answer holds, beside its length: those that benches/peers.rs takes.
SAMPLED = 64

# What a kind of work needs: the work, and what makes an answer and diagnostics of its result.
Prepared = tuple[Callable[[], Any], Callable[[Any], tuple[Any, dict[str, float]]]]


def load(folder: Path, name: str) -> np.ndarray:
    return np.load(folder / f"{name}.npy")


def sampled(values: Any) -> np.ndarray:
    """The Euclidean length of a vector, and entries at even distances."""
    values = np.asarray(values, float).ravel()
    step = max(-(-len(values) // SAMPLED), 1)
    return np.r_[np.linalg.norm(values), values[::step]]


def projected(matrix: Any) -> np.ndarray:
    """K w, w_j = cos j: every entry counts."""
    matrix = np.asarray(matrix, float)
    return matrix @ np.cos(np.arange(matrix.shape[1]))


def serve(program: str, works: dict[str, Callable[[Path, int], Prepared]]) -> None:
    # Packages print; what they print goes to the log.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    work, answer = works[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
    print(json.dumps({"program": program}), file=answers, flush=True)
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            start = time.perf_counter()
            found = work()
            seconds.append(time.perf_counter() - start)
        numbers, info = answer(found)
        numbers = [float(number) for number in np.atleast_1d(numbers)]
        print(json.dumps({"seconds": seconds, "answer": numbers, "info": info}), file=answers, flush=True)
