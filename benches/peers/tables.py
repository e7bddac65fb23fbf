"""Results as Markdown, and their place in the README."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from rows import ROWS, Row

MARKS = {"times": ("<!-- peers:begin -->", "<!-- peers:end -->"), "growth": ("<!-- growth:begin -->", "<!-- growth:end -->")}
COMMAND = "python3 benches/peers/run.py"


def digits(value: float, unit: str) -> str:
    """Three digits: 4.12 ms, 1.30 s, 0.356 ms."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}"
    places = max(0, 2 - math.floor(math.log10(abs(value) * (1 + 1e-9))))
    return f"{value:.{places}f} {unit}"


def time(seconds: float) -> str:
    return digits(seconds, "s") if seconds >= 1 else digits(seconds * 1e3, "ms")


def quantity(row: Row, seconds: float) -> str:
    """A time, or a rate where the row counts pieces of work."""
    return digits(row.amount(row.size) / seconds / 1e3, "k/s") if row.unit != "s" else time(seconds)


def memory(side: dict[str, Any] | None) -> str:
    return f"{side['peak_bytes'] / 2**20:.0f}" if side and side.get("peak_bytes") else "-"


def wishes(row: Row, result: dict[str, Any]) -> str:
    if not result["ours"].get("median"):
        return "-"
    marks = {True: " (reached)", False: " (missed)", None: ""}
    return ", ".join(f"{wish}{marks[met]}" for wish, met in row.wishes(result).items()) or "-"


def cells(row: Row, result: dict[str, Any]) -> list[str]:
    ours, peer, floor = result["ours"], result.get("peer"), result.get("floor")
    mine, theirs = ours.get("median"), (peer or {}).get("median")
    floors = f"{quantity(row, floor['seconds'])}: {floor['what']}" if floor else "-"
    if floor and mine:
        floors += f" ({mine / floor['seconds']:.1f} times)"
    return [
        row.title,
        (peer.get("program") or peer["name"]) if peer else "-",
        quantity(row, theirs) if theirs else (peer.get("failed") or "-") if peer else "-",
        quantity(row, mine) if mine else ours.get("failed", "-"),
        f"{theirs / mine:.3g}x" if theirs and mine else "-",
        wishes(row, result),
        floors,
        f"{memory(peer)} / {memory(ours)}",
    ]


def table(head: list[str], body: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in line) + " |" for line in lines)


def heading(results: list[dict[str, Any]]) -> str:
    """Dates and machines; there are several where rows were kept from an earlier run."""
    dates = sorted({result["date"] for result in results})
    machines = []
    for result in results:
        machine = result["machine"]
        features = ", ".join(machine["features"]) or "no feature that is looked for"
        text = f"{machine['cpu']} ({features}), {machine['threads']} threads, {machine['system']}"
        machines += [text] if text not in machines else []
    return f"{' to '.join(dict.fromkeys([dates[0], dates[-1]]))}; {'; '.join(machines)}"


def known(results: dict[str, Any]) -> list[tuple[Row, dict[str, Any]]]:
    return [(row, results[row.name]) for row in ROWS if row.name in results]


def errors(row: Row, results: dict[str, Any]) -> list[str]:
    """How far the numbers of both sides are from that of the row that is more precise, of its size."""
    truth = results.get(row.truth or "", {}).get("ours", {}).get("answer")
    sides = [(name, results[row.name].get(name) or {}) for name in ("peer", "ours")]
    off = [f"{name} {abs(side['answer'][0] / truth[0] - 1):.1g}" for name, side in sides if truth and "answer" in side]
    return [f"relative errors: {', '.join(off)}"] if off else []


def times(results: dict[str, Any]) -> str:
    there = known(results)
    head = ["work", "peer", "peer's", "ours", "ratio", "wanted", "floor", "peak MiB, peer / ours"]
    text = [heading([result for _, result in there]) + ".", "", table(head, [cells(row, result) for row, result in there])]
    notes = [f"{row.title}: {note}" for row, result in there for note in (*result.get("notes", []), *errors(row, results))]
    if notes:
        text += ["", *(f"- {note}." for note in notes)]
    return "\n".join(text)


def growth(results: dict[str, Any]) -> str:
    there = known(results)
    head = ["work", "size: time", "exponent found", "of the algorithm"]
    body = []
    for row, result in there:
        measured = ", ".join(f"{row.variable}={size}: {time(seconds)}" for size, seconds in result.get("times", []))
        found = f"{result['exponent']:.2f}" if "exponent" in result else result.get("failed", "-")
        body.append([row.title, measured or "-", found, f"{row.growth.exponent:g} ({row.growth.why})"])
    return "\n".join([heading([result for _, result in there]) + ".", "", table(head, body)])


def splice(path: Path, what: str, text: str) -> None:
    begin, end = MARKS[what]
    before, found, rest = path.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"{path.name} lacks the comments {begin} and {end}")
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}")
