"""The gate's protocol (docs/protocol.md): requests on stdin, one answer per line on stdout."""

from __future__ import annotations

import json
import os
import struct
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

BINDINGS = Path(__file__).resolve().parents[2] / "bindings" / "python" / "python" / "flatgauge"


class Skip(Exception):
    """The package does not cover this case: the reason."""


def cell() -> str:
    """Which cell of the table is being filled: adapters with several ways to a measure read it."""
    return os.environ.get("SURVEY_CELL", "")


def tensors(path: str) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file: a length, a JSON header, then the bytes."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        content = file.read()
    out = {}
    for name, entry in header.items():
        if name != "__metadata__":
            first, last = entry["data_offsets"]
            kind = {"F64": "<f8", "F32": "<f4"}[entry["dtype"]]
            out[name] = np.frombuffer(content[first:last], kind).reshape(entry["shape"]).astype(float)
    return out


def split(stored: dict[str, np.ndarray]) -> tuple[list[str], list[str]]:
    """Names of parameters and of statistics, in the order of the layers."""
    order = {"weight": 0, "bias": 1, "running_mean": 2, "running_var": 3}
    names = sorted(
        (name for name in stored if name.split(".")[1] in order),
        key=lambda name: (int(name.split(".")[0]), order[name.split(".")[1]]),
    )
    return [n for n in names if not n.split(".")[1].startswith("running")], [n for n in names if "running" in n]


def bindings(name: str) -> Any:
    """A module of this repository's Python package, without its compiled part."""
    import importlib
    import types

    if "flatgauge" not in sys.modules:
        package = types.ModuleType("flatgauge")
        package.__path__ = [str(BINDINGS)]
        sys.modules["flatgauge"] = package
    return importlib.import_module(f"flatgauge.{name}")


def averaged(values: Any) -> dict[str, float]:
    """Mean of independent values and its standard error, whatever their size: squares of 1e-200 are 0."""
    values = np.asarray(values, float)
    unit = np.abs(values).max()
    if not (0 < unit < np.inf):
        return {"value": values.mean(), "std_error": 0.0}
    scaled = values / unit
    return {"value": unit * scaled.mean(), "std_error": unit * scaled.std(ddof=1) / len(values) ** 0.5}


def finite(value: float) -> Any:
    """A number as JSON has it: minus infinity is a string, and NaN goes out as null, which the gate names."""
    value = float(value)
    return "-inf" if value == -np.inf else value if np.isfinite(value) else None


def serve(answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Answers requests until stdin ends. What packages print goes to stderr; times go to the file SURVEY_TIMES."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    times = os.environ.get("SURVEY_TIMES")
    log = open(times, "a") if times else None
    for line in sys.stdin:
        request = json.loads(line)
        start = time.perf_counter()
        try:
            reply = answer(request)
        except Skip as reason:
            reply = {"skip": str(reason)}
        except Exception as error:  # noqa: BLE001: whatever the package raises is its answer
            reply = {
                "error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
                "traceback": traceback.format_exc(),
            }
        seconds = time.perf_counter() - start
        products = reply.pop("products", None)
        if log:
            kind = "skip" if "skip" in reply else "error" if "error" in reply else "answer"
            row = {"id": request["id"], "seconds": seconds, "kind": kind, "products": products}
            print(json.dumps(row), file=log, flush=True)
        if "skip" not in reply and "error" not in reply:
            reply = {key: finite(v) if isinstance(v, (float, np.floating)) else v for key, v in reply.items()}
        print(json.dumps({"id": request["id"], **reply}), file=out, flush=True)
