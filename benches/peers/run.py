"""Times other programs and this one in turn, on the same inputs, and prints what came out as Markdown.

    python3 benches/peers/run.py                          # every row
    python3 benches/peers/run.py hvp nngp                 # these
    python3 benches/peers/run.py --growth                 # and time against size, of ours
    python3 benches/peers/run.py --growth --readme --json benches/peers.json

Peers run in the virtual environments of the survey (survey/harness/environment.py has the pins and makes what is missing);
answers are compared before anything is timed. Needs Python 3.11 and cargo, nothing else. benches/README.md says what the rows
mean.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import machine
import tables
from process import Failed, Side
from rows import ROWS, Agreement, Row

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SURVEY = ROOT / "survey"
sys.path.insert(0, str(SURVEY))

from harness import environment  # noqa: E402
from harness.package import Package  # noqa: E402

# A turn of short work is asked for as often as fills this many seconds, so that caches and clocks are warm for most of it.
TURN = 0.5
# Threads of a pool wait actively for a while after their work; the other side begins once they sleep.
SETTLE = 0.05
MOST_TURNS = 25
# A fit of an exponent takes the best of this many, or one where the work takes longer than SLOW seconds: what else runs on the
# machine would bend it.
FITTED, SLOW = 5, 10.0


def interpreter(package: str | None) -> str:
    """The Python of a package of the survey; of PyTorch alone, that of the base that several packages stand on."""
    if package is not None:
        return environment.make(Package.read(SURVEY / "packages" / package))
    folder = environment.build("base-torch", "3.11", environment.BASES["torch"], None)
    return str(folder / "bin" / "python")


def built() -> str:
    """Our side, `benches/peers.rs`, built by cargo."""
    command = [os.environ.get("CARGO", "cargo"), "bench", "--bench", "peers", "--no-run", "--message-format=json"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(done.returncode)
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("target", {}).get("name") == "peers" and message.get("executable"):
            return message["executable"]
    raise SystemExit("cargo named no program for the bench 'peers'")


class Bench:
    """What all rows share."""

    def __init__(self, program: str, seconds: float, limit: float) -> None:
        self.program, self.seconds, self.limit = program, seconds, limit
        self.speeds: dict[int, dict[str, float]] = {}
        self.machine = machine.describe()
        self.date = datetime.date.today().isoformat()

    def threads(self, row: Row) -> int:
        return row.threads or machine.threads()

    def write_inputs(self, kind: str, folder: Path, size: int) -> None:
        done = subprocess.run(
            [interpreter("scipy"), str(HERE / "inputs.py"), kind, str(folder), str(size)],
            stderr=subprocess.PIPE,
            text=True,
        )
        if done.returncode:
            raise Failed((done.stderr.strip().splitlines() or ["the inputs cannot be written"])[-1])

    def speed(self, threads: int) -> dict[str, float]:
        """What products of matrices reach on this many threads."""
        if threads not in self.speeds:
            command = [interpreter("scipy"), str(HERE / "inputs.py"), "speed"]
            variables = {**os.environ, **machine.limited(threads)}
            self.speeds[threads] = json.loads(subprocess.run(command, env=variables, capture_output=True, check=True).stdout)
        return self.speeds[threads]

    def ours(self, row: Row, folder: Path, size: int) -> Side:
        command = [self.program, "--serve", row.ours, str(folder), "--size", str(size)]
        return Side(command, machine.limited(self.threads(row)), folder / "ours.log", self.limit)

    def peer(self, row: Row, folder: Path) -> Side:
        assert row.peer is not None
        try:
            python = interpreter(row.peer.package)
        except environment.CannotInstall as error:
            raise Failed(f"cannot be installed: {error}") from error
        command = [python, str(HERE / row.peer.script), row.peer.work, str(folder), str(row.size)]
        return Side(command, machine.limited(self.threads(row)), folder / "peer.log", self.limit)

    def time(self, row: Row) -> dict[str, Any]:
        """A row of the table."""
        result: dict[str, Any] = {"date": self.date, "machine": self.machine, "notes": [], "ours": {}}
        with tempfile.TemporaryDirectory(prefix="flatgauge-peers-") as name:
            folder = Path(name)
            try:
                self.write_inputs(row.inputs, folder, row.size)
            except (Failed, environment.CannotInstall) as error:
                result["ours"]["failed"] = f"no inputs: {error}"
                return result
            sides: dict[str, Side] = {}
            # The peer first: it may leave files for ours.
            for name in ("peer", "ours") if row.peer else ("ours",):
                result[name] = {"name": row.peer.package or "PyTorch"} if name == "peer" else {}
                try:
                    sides[name] = self.peer(row, folder) if name == "peer" else self.ours(row, folder, row.size)
                    result[name]["program"] = sides[name].program
                except Failed as error:
                    result[name]["failed"] = f"failed: {error}"
            try:
                self.turns(row, sides, result)
            finally:
                for name, side in sides.items():
                    result[name]["peak_bytes"] = side.close()
        self.floor(row, result)
        return result

    def turns(self, row: Row, sides: dict[str, Side], result: dict[str, Any]) -> None:
        """Answers, then times: ours, peer, ours, peer."""
        firsts: dict[str, dict[str, Any]] = {}
        order = ("ours", "peer")

        def ask(name: str, requests: int) -> list[dict[str, Any]]:
            try:
                return sides[name].ask(requests)
            except Failed as error:
                result[name]["failed"] = f"failed: {error}"
                result[name]["peak_bytes"] = sides.pop(name).close()
                return []

        for name in order:
            if name in sides and (answers := ask(name, 1)):
                firsts[name] = answers[0]
                result[name] |= {"answer": answers[0]["answer"][:4], "info": answers[0]["info"]}
        if len(firsts) == 2 and row.agreement:
            apart, met = compare(row.agreement, firsts["ours"], firsts["peer"])
            result["agreement"] = {"asked": str(row.agreement), "found": apart, "met": met}
            if not met:
                result["notes"].append(
                    f"the answers do not agree ({apart}; asked: {row.agreement}), so that nothing was timed"
                )
                return
            if row.agreement.how == "errors":
                errors = (f"{name} {firsts[name]['info'].get('std_error') or 0:.2g}" for name in ("peer", "ours"))
                result["notes"].append(f"standard errors: {', '.join(errors)} (0 is exact)")
        first = {name: answer["seconds"] for name, answer in firsts.items()}
        # What is slow has no use for a warm-up: its first answer counts.
        slow = sum(first.values()) * row.repetitions > self.seconds
        times = {name: [taken(row, answer)] if slow else [] for name, answer in firsts.items()}
        bursts = {name: min(1000, max(1, math.ceil(TURN / seconds))) for name, seconds in first.items()}
        begun, turn = time.monotonic(), 1 if slow else 0
        while turn < row.repetitions or (turn < MOST_TURNS and time.monotonic() - begun < self.seconds):
            for name in order:
                if name in sides and name in times:
                    time.sleep(SETTLE)
                    answers = ask(name, bursts[name])
                    times[name] += [taken(row, answer) for answer in answers[1 if bursts[name] > 1 else 0 :]]
            turn += 1
        for name, seconds in times.items():
            if seconds and "failed" not in result[name]:
                result[name] |= {"median": statistics.median(seconds), "seconds": seconds}

    def floor(self, row: Row, result: dict[str, Any]) -> None:
        if row.floor and "median" in result["ours"]:
            try:
                seconds = row.floor.seconds(row.size, self.speed(self.threads(row)), result["ours"]["info"])
            except (environment.CannotInstall, subprocess.CalledProcessError) as error:
                result["notes"].append(f"no floor: {error}")
                return
            result["floor"] = {"what": row.floor.what, "seconds": seconds, "speed": self.speed(self.threads(row))}

    def grow(self, row: Row) -> dict[str, Any]:
        """Time of ours against size."""
        result: dict[str, Any] = {"date": self.date, "machine": self.machine, "times": []}
        try:
            for size in row.growth.sizes:
                with tempfile.TemporaryDirectory(prefix="flatgauge-peers-") as name:
                    self.write_inputs(row.inputs, Path(name), size)
                    side = self.ours(row, Path(name), size)
                    try:
                        seconds = [side.ask()[0]["seconds"]]
                        if seconds[0] < SLOW:
                            seconds += [answer["seconds"] for answer in side.ask(FITTED - 1)]
                    finally:
                        side.close()
                result["times"].append((size, min(seconds)))
        except (Failed, environment.CannotInstall) as error:
            result["failed"] = f"failed: {error}"
        if len(result["times"]) >= 3:
            result["exponent"] = fitted(result["times"])
        return result


def taken(row: Row, answer: dict[str, Any]) -> float:
    """The seconds of an answer; where a row counts networks, of as many as the row says: a slow side draws fewer."""
    return answer["seconds"] * row.amount(row.size) / answer["info"]["networks"] if row.unit != "s" else answer["seconds"]


def compare(agreement: Agreement, ours: dict[str, Any], peer: dict[str, Any]) -> tuple[str, bool]:
    """How far two answers are apart, and whether that is near enough."""
    a, b = ours["answer"], peer["answer"]
    if len(a) != len(b) or not a:
        return f"{len(a)} numbers and {len(b)}", False
    if not all(map(math.isfinite, [*a, *b])):
        return "not all finite", False
    difference = max(abs(x - y) for x, y in zip(a, b))
    if agreement.how == "absolute":
        return f"{difference:.2e} apart", difference <= agreement.bound
    if agreement.how == "relative":
        apart = difference / (max(map(abs, b)) or 1.0)
        return f"{apart:.2e} apart", apart <= agreement.bound
    if agreement.how == "errors":
        error = math.hypot(*(side["info"].get("std_error") or 0.0 for side in (ours, peer)))
    else:
        share = (a[0] + b[0]) / 2
        error = math.sqrt(share * (1 - share) * sum(1 / side["info"]["networks"] for side in (ours, peer)))
    if not error > 0:
        return "no standard error", False
    return f"{difference / error:.2f} standard errors apart", difference <= agreement.bound * error


def written(results: dict[str, dict[str, Any]]) -> str:
    """JSON with a row per line: there may be hundreds of times in one."""
    parts = []
    for what, rows in results.items():
        lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items())
        parts.append(f" {json.dumps(what)}: {{\n{lines}\n }}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def fitted(times: list[tuple[int, float]]) -> float:
    """The slope of log time against log size, by least squares."""
    points = [(math.log(size), math.log(seconds)) for size, seconds in times]
    x, y = (statistics.fmean(values) for values in zip(*points))
    return sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"all unless given: {', '.join(row.name for row in ROWS)}")
    parser.add_argument("--growth", action="store_true", help="time of ours against size too, with the exponent fitted")
    parser.add_argument("--growth-only", action="store_true", help="that and no peer")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the results; rows that are not run are kept from FILE"
    )
    parser.add_argument("--readme", action="store_true", help="put the tables into README.md")
    parser.add_argument("--seconds", type=float, default=5.0, help="for the turns of a row that is not slow (default: 5)")
    parser.add_argument("--limit", type=float, default=1200.0, help="most seconds for one answer (default: 1200)")
    parser.add_argument("--program", help="our side, if cargo is not to build it (benches/peers.rs)")
    arguments = parser.parse_args()
    names = [row.name for row in ROWS]
    unknown = [name for name in arguments.rows if name not in names]
    if unknown:
        parser.error(f"no row '{unknown[0]}', expected some of {', '.join(names)}")
    results: dict[str, Any] = {"times": {}, "growth": {}}
    if arguments.json and arguments.json.exists():
        results |= json.loads(arguments.json.read_text())
    if arguments.readme and arguments.rows and not results["times"]:
        parser.error("--readme of some rows needs --json FILE with the others")
    bench = Bench(arguments.program or built(), arguments.seconds, arguments.limit)
    rows = [row for row in ROWS if not arguments.rows or row.name in arguments.rows]

    def keep(what: str, row: Row, result: dict[str, Any]) -> None:
        """Written after each row: a run that is broken off loses nothing."""
        results[what][row.name] = result
        if arguments.json:
            arguments.json.write_text(written(results))

    for row in rows if not arguments.growth_only else []:
        print(f"{row.name}: {row.title}", file=sys.stderr)
        keep("times", row, bench.time(row))
        agreement = results["times"][row.name].get("agreement")
        if agreement:
            print(f"    answers {agreement['found']}, asked: {agreement['asked']}", file=sys.stderr)
    for row in rows if arguments.growth or arguments.growth_only else []:
        if row.growth.sizes:
            print(f"{row.name}: growth over {row.growth.sizes}", file=sys.stderr)
            keep("growth", row, bench.grow(row))
    run = [row.name for row in rows]
    shown = {what: {name: result for name, result in kept.items() if name in run} for what, kept in results.items()}
    for what, render in (("times", tables.times), ("growth", tables.growth)):
        if shown[what]:
            print(f"{render(shown[what])}\n")
        if arguments.readme and results[what]:
            tables.splice(ROOT / "README.md", what, render(results[what]))
    bad = [name for name, result in shown["times"].items() if "median" not in result["ours"]]
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
