"""The rows of this repository's own estimators: one run of `flatgauge verify`, by estimator."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from argparse import Namespace
from typing import Any

from .gate import judged
from .package import Cell, Package


def listed(program: str, what: str) -> list[str]:
    """Ids of `flatgauge list`."""
    out = subprocess.run([program, "list", what, "--format", "json"], capture_output=True, text=True).stdout
    return [row["id"] for row in json.loads(out)]


def cells(package: Package, arguments: Namespace) -> list[dict[str, Any]]:
    program = arguments.flatgauge
    start = time.monotonic()
    line = [program, "verify", "--seed", str(arguments.seed), "--format", "json", "--quiet"]
    report = json.loads(subprocess.run(line, capture_output=True, text=True).stdout)
    seconds = time.monotonic() - start
    measures, methods = listed(program, "measures"), listed(program, "priors")
    tables: dict[str, dict[str, str]] = {name: {"measure": name} for name in measures}
    tables |= {f"{name}-{link}": {"prior": name, "link": link} for name in methods for link in ("step", "probit", "logistic")}
    out = []
    for estimator, table in tables.items():
        rows = [row for row in report["laws"] if row["estimator"] == estimator]
        if not rows:
            continue
        cell = Cell(table)
        part = {
            "laws": rows,
            "scores": [score for score in report["scores"] if score["estimator"] == estimator],
            "false_alarms": report["false_alarms"],
        }
        entry = {"id": cell.id, "kind": cell.kind, "what": cell.what, "column": cell.column}
        entry["line"] = f"flatgauge verify --only {estimator}"
        found = judged(package, cell, part, [], seconds)
        # One run for all: its time belongs to no one of them.
        out.append({**entry, **found, "seconds": None})
    print(f"{package.name}: {len(out)} estimators, {seconds:.0f} s", file=sys.stderr)
    return out
