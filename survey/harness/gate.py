"""Runs of the gate, one per cell, and what they say."""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import environment
from .package import Cell, Package

# No run of a cell takes longer; one that does is a row that says so.
LONGEST_SECONDS = 1800
# Wait for one answer: on a machine that is busy with other work an import of PyTorch alone can take minutes.
PATIENCE = "600s"
LAW_KEYS = ("law", "estimator", "case", "verdict", "cause", "measured", "expected", "tolerance", "reason")


def flags(cell: Cell, known: str | None) -> list[str]:
    """The gate's flags of a cell, without the command."""
    out = [f"--{cell.kind}", cell.what]
    for flag in ("link", "accuracy"):
        if flag in cell.table:
            out += [f"--{flag}", str(cell.table[flag])]
    out += ["--timeout", cell.table.get("timeout", PATIENCE)]
    return [*out, "--known", known] if known else out


def command(package: Package, cell: Cell) -> str:
    return f"python3 survey/run.py --serve {package.name} {cell.id}"


def reproduce(package: Package, cell: Cell, only: str | None = None) -> str:
    """One line, from the root of the repository, that asks for a cell or one of its decisions."""
    line = ["flatgauge", "check", *flags(cell, None), "--command", command(package, cell)]
    return shlex.join([*line, "--only", only] if only else line)


def machine() -> dict[str, Any]:
    model = ""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    return {"processor": model, "cores": os.cpu_count(), "system": platform.system(), "python": platform.python_version()}


def scrubbed(text: str) -> str:
    """Without the folders of this machine."""
    for folder, name in ((str(environment.cache()), "CACHE"), (str(Path.home()), "~"), (str(Path.cwd()), ".")):
        text = text.replace(folder, name)
    return re.sub(r"/(?:tmp|work|root|home)/[^\s\"':|]*/", ".../", text)


def asked(package: Package, cell: Cell, arguments: Namespace, root: Path) -> tuple[dict[str, Any] | None, str, list[dict], float]:
    """The gate's report of one cell, or why there is none; times of the answers; seconds of the whole."""
    with tempfile.TemporaryDirectory() as scratch:
        known = None
        if cell.table.get("known"):
            known = os.path.join(scratch, "known.toml")
            Path(known).write_text("".join(f"{json.dumps(k)} = {json.dumps(v)}\n" for k, v in cell.table["known"].items()))
        times = Path(scratch) / "times"
        line = [arguments.flatgauge, "check", *flags(cell, known), "--command", command(package, cell)]
        line += ["--seed", str(arguments.seed), "--format", "json", "--quiet"]
        start = time.monotonic()
        process = subprocess.Popen(
            line, cwd=root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "SURVEY_TIMES": str(times)}, start_new_session=True,
        )
        try:
            out, err = process.communicate(timeout=LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGTERM)
            process.communicate()
            return None, f"the gate did not end within {LONGEST_SECONDS} seconds", [], time.monotonic() - start
        seconds = time.monotonic() - start
        rows = [json.loads(row) for row in times.read_text().splitlines()] if times.exists() else []
        try:
            return json.loads(out), "", rows, seconds
        except ValueError:
            return None, scrubbed((err.strip().splitlines() or ["it printed nothing"])[-1]), rows, seconds


def digits(report: dict[str, Any]) -> tuple[float | None, float | None]:
    """Fewest and median right digits: of the gate's scores, or of the decisions that compare with a definite value."""
    for score in report["scores"]:
        if score.get("fewest_digits") is not None:
            return score["fewest_digits"], score["median_digits"]
    return None, None


def verdict_of(cell: Cell, laws: list[dict[str, Any]]) -> dict[str, Any]:
    """The verdict on a cell, from the gate's decisions and from what the package's file says of its failures.

    Only this may change when package.toml does: decisions are those of the run.
    """
    fails = [row for row in laws if row["verdict"] == "fail" and row["law"] != "gate.known"]
    known = sum(row["cause"] == "known" for row in laws)
    defects: dict[str, list[str]] = {}
    unexplained = []
    kinds = set()
    for row in fails:
        name = f"{row['law']}/{row['estimator']}/{row['case']}"
        defect = cell.defect_of(row["law"], row["estimator"], row["case"])
        if cell.limit_of(name):
            known += 1
        elif defect:
            defects.setdefault(defect["title"], []).append(name)
            kinds.add(defect.get("kind", "defect"))
        else:
            unexplained.append(name)
    # Laws that hold for any number at all say nothing of this one.
    telling = [row for row in laws if row["verdict"] == "pass" and row["law"].split(".")[0] not in ("estimate", "protocol")]
    if unexplained:
        verdict = "under review"
    elif "defect" in kinds:
        verdict = "defect"
    elif kinds:
        verdict = sorted(kinds)[0]
    elif known:
        verdict = "holds within limits"
    else:
        verdict = "holds" if telling else "not judged"
    return {
        "verdict": verdict,
        "counts": {
            "pass": sum(row["verdict"] == "pass" for row in laws),
            "fail": sum(map(len, defects.values())) + len(unexplained),
            "known": known,
            "unsupported": sum(row["cause"] == "unsupported" for row in laws),
            "skip": sum(row["verdict"] == "skip" for row in laws),
        },
        "defects": defects,
        "unexplained": unexplained,
    }


def judged(package: Package, cell: Cell, report: dict[str, Any], times: list[dict], seconds: float) -> dict[str, Any]:
    """A cell of the table from the gate's report."""
    laws = [
        {**{key: row[key] for key in LAW_KEYS}, "reason": scrubbed(row["reason"])} | ({"z": row["z"]} if "z" in row else {})
        for row in report["laws"]
    ]
    answered = [row["seconds"] for row in times if row["kind"] == "answer"]
    products = [row["products"] for row in times if row.get("products")]
    fewest, median = digits(report)
    z = [score["largest_z"] for score in report["scores"] if score.get("largest_z") is not None]
    return {
        **verdict_of(cell, laws),
        "fewest_digits": fewest,
        "median_digits": median,
        "largest_z": max(z) if z else None,
        "false_alarms": report["false_alarms"],
        "answers": len(answered),
        "median_seconds": statistics.median(answered) if answered else None,
        "median_products": statistics.median(products) if products else None,
        "seconds": round(seconds, 1),
        "laws": laws,
    }


def cells(package: Package, arguments: Namespace, keep: Callable[[list], None] = lambda _: None) -> list[dict[str, Any]]:
    """Asks for every cell; `keep` is called with what there is after each."""
    root = package.folder.parents[2]
    out = []
    try:
        environment.make(package)
        trouble = None
    except environment.CannotInstall as reason:
        trouble = f"cannot be installed: {scrubbed(str(reason))}"
    for cell in package.cells:
        if arguments.cell and cell.id not in arguments.cell:
            continue
        entry: dict[str, Any] = {"id": cell.id, "kind": cell.kind, "what": cell.what, "column": cell.column}
        entry["line"] = reproduce(package, cell)
        if trouble:
            out.append({**entry, "verdict": "broken", "reason": trouble})
            continue
        report, reason, times, seconds = asked(package, cell, arguments, root)
        if report is None:
            out.append({**entry, "verdict": "broken", "reason": reason, "seconds": round(seconds, 1)})
        else:
            out.append({**entry, **judged(package, cell, report, times, seconds)})
        counts = out[-1].get("counts", {})
        print(f"{package.name} {cell.id}: {out[-1]['verdict']} {counts} {seconds:.0f} s", file=sys.stderr, flush=True)
        keep(out)
    return out


def answered(package: Package, arguments: Namespace, keep: Callable[[list], None] = lambda _: None) -> list[dict[str, Any]]:
    """The cells of a package, or of this repository's own estimators."""
    if package.table.get("own"):
        from . import own

        return own.cells(package, arguments)
    return cells(package, arguments, keep)


def written(result: dict[str, Any]) -> str:
    """JSON with one decision per line."""
    text = json.dumps({**result, "cells": None}, indent=1, ensure_ascii=False)
    rows = []
    for cell in result["cells"]:
        laws = cell.get("laws", [])
        head = json.dumps({key: value for key, value in cell.items() if key != "laws"}, ensure_ascii=False)
        body = ",\n".join(f"   {json.dumps(row, ensure_ascii=False)}" for row in laws)
        rows.append(f"  {head[:-1]}, \"laws\": [\n{body}\n  ]}}" if laws else f"  {head}")
    return text.replace('"cells": null', '"cells": [\n' + ",\n".join(rows) + "\n ]") + "\n"


def path(package: Package) -> Path:
    return package.folder.parents[1] / "results" / f"{package.name}.json"


def run(package: Package, arguments: Namespace) -> None:
    """Asks for every cell of a package and writes its results, after each cell as after the last."""
    file = path(package)
    version = subprocess.run([arguments.flatgauge, "--version"], capture_output=True, text=True).stdout.strip()
    before = json.loads(file.read_text())["cells"] if file.exists() else []
    try:
        installed = [] if package.table.get("own") else environment.versions(package)
    except environment.CannotInstall:
        installed = []

    def keep(found: list[dict[str, Any]]) -> None:
        order = [cell.id for cell in package.cells]
        fresh = {cell["id"]: cell for cell in found}
        both = found + [cell for cell in before if cell["id"] not in fresh and cell["id"] in order]
        both.sort(key=lambda cell: order.index(cell["id"]) if cell["id"] in order else 0)
        result = {
            "package": package.name,
            "version": package.table["version"],
            "flatgauge": version.split()[-1] if version else "",
            "tier": "quick",
            "seed": arguments.seed,
            "date": time.strftime("%Y-%m-%d"),
            "machine": machine(),
            "installed": installed,
            "cells": both,
        }
        file.parent.mkdir(exist_ok=True)
        file.write_text(written(result))

    keep(answered(package, arguments, keep))


def repeat(package: Package, arguments: Namespace) -> int:
    """Runs again and says which decisions are others than those on file."""
    before = {cell["id"]: cell for cell in json.loads(path(package).read_text())["cells"]}
    changed = 0

    def decisions(cell: dict[str, Any]) -> dict[tuple[str, str, str], str]:
        """A failure that has been declared since is the same decision, and whether a declaration is needed is none on the package."""
        return {
            (r["law"], r["estimator"], r["case"]): "fail" if r["cause"] == "known" else r["verdict"]
            for r in cell.get("laws", [])
            if r["law"] != "gate.known"
        }

    for cell in answered(package, arguments):
        if cell["id"] not in before:
            print(f"{package.name} {cell['id']}: nothing on file to compare with")
            continue
        if cell.get("reason") and not before[cell["id"]].get("reason"):
            changed += 1
            print(f"{package.name} {cell['id']}: no decisions, {cell['reason']}")
            continue
        old, new = decisions(before[cell["id"]]), decisions(cell)
        other = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        changed += len(other)
        print(f"{package.name} {cell['id']}: {len(new)} decisions, {len(other)} differ")
        for key in other:
            print(f"  {'/'.join(key)}: {old.get(key)} then, {new.get(key)} now")
    return changed
