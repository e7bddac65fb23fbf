"""The pytest plugin of flatgauge: one item for every law and case of `flatgauge.parametrize_with_laws`.

It stands outside the package, which is not imported until a test asks for laws.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from flatgauge._gate import Gate, Law, Spec

_GATES = pytest.StashKey["dict[tuple[str, int], Gate]"]()

_OPTIONS = {
    "tier": ("TIER", "quick", "how much is checked: quick or full"),
    "cases": ("N", "0", "also generate so many networks and Gram matrices, and shrink what fails"),
    "seed": ("N", "0", "seed of every drawn case"),
    "report": ("DIR", "", "write a report of every parametrised test into this folder"),
    "case": ("FILE", "", "run the laws on the cases of this file instead of all others"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("flatgauge", "laws of flatness measures and log P(f)")
    for name, (metavar, default, text) in _OPTIONS.items():
        shown = f" [default: {default}]" if default else ""
        group.addoption(f"--flatgauge-{name}", metavar=metavar, default=None, help=text + shown)
        parser.addini(f"flatgauge_{name}", f"{text}{shown}; the same as --flatgauge-{name}", default=default)


def _option(config: pytest.Config, name: str) -> str:
    given = config.getoption(f"--flatgauge-{name}")
    value = str(config.getini(f"flatgauge_{name}") if given is None else given)
    if name == "tier" and value not in ("quick", "full"):
        raise pytest.UsageError(f"--flatgauge-tier: it is {value!r}, expected quick or full")
    if name in ("cases", "seed") and not value.isdecimal():
        raise pytest.UsageError(f"--flatgauge-{name}: it is {value!r}, expected a number from 0")
    if name == "case" and value and not Path(value).is_file():
        raise pytest.UsageError(f"--flatgauge-case: there is no file {value!r}")
    return value


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "flatgauge_laws(spec): set by flatgauge.parametrize_with_laws")
    config.stash[_GATES] = {}
    for name in _OPTIONS:
        _option(config, name)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marks = list(metafunc.definition.iter_markers("flatgauge_laws"))
    if not marks:
        return
    if len(marks) > 1:
        raise pytest.UsageError(f"{metafunc.definition.nodeid}: parametrize_with_laws may come once")
    if "law" not in metafunc.fixturenames:
        raise pytest.UsageError(f"{metafunc.definition.nodeid}: it must take an argument called 'law'")
    spec: Spec = marks[0].args[0]
    laws = _gate(metafunc.config, metafunc.definition.nodeid, spec).laws()
    metafunc.parametrize("law", laws, ids=[law.id for law in laws])


def _gate(config: pytest.Config, nodeid: str, spec: Spec) -> Gate:
    """The gate of a test function: made once, so that its items share what they compute."""
    gates = config.stash[_GATES]
    if (nodeid, id(spec)) not in gates:
        gates[nodeid, id(spec)] = spec.gate(
            tier=_option(config, "tier"),
            seed=int(_option(config, "seed")),
            cases=int(_option(config, "cases")),
            case_file=_option(config, "case") or None,
            reproduce=f"pytest '{nodeid}[{{}}]'",
            folder=_case_folder(config, nodeid),
        )
    return gates[nodeid, id(spec)]


def _case_folder(config: pytest.Config, nodeid: str) -> Path:
    """Where the cases of failures are kept."""
    report = _option(config, "report")
    if report:
        return Path(report).absolute() / _slug(nodeid) / "cases"
    cache = getattr(config, "cache", None)
    root = Path(str(cache.mkdir("flatgauge"))) if cache is not None else config.rootpath / ".flatgauge"
    return root / _slug(nodeid)


def _slug(nodeid: str) -> str:
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    return re.sub(r"[^\w.-]+", "-", nodeid).strip("-") + (f"-{worker}" if worker else "")


def pytest_runtest_setup(item: pytest.Item) -> None:
    law: Law | Any = getattr(getattr(item, "callspec", None), "params", {}).get("law")
    if hasattr(law, "nodeid") and hasattr(law, "check"):
        law.nodeid = item.nodeid


def pytest_sessionfinish(session: pytest.Session) -> None:
    report = _option(session.config, "report")
    if not report:
        return
    for (nodeid, _), gate in session.config.stash.get(_GATES, {}).items():
        if gate.report().outcomes:
            gate.write_report(Path(report) / _slug(nodeid))
