"""The five Python twins of the faulty zoo (tests/faulty/twins.py), in process: the same verdicts, decision by decision."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import types
from pathlib import Path

import pytest

import flatgauge

COMMAND = str(Path(sysconfig.get_path("scripts")) / "flatgauge")

SCRIPT = Path(__file__).parents[3] / "tests" / "faulty" / "twins.py"


def zoo() -> types.ModuleType:
    """Functions of the twins' script, without the loop at its end that answers requests."""
    source = SCRIPT.read_text().split("\nname, faulty = sys.argv")[0]
    module = types.ModuleType("twins")
    exec(compile(source, str(SCRIPT), "exec"), module.__dict__)
    return module


TWINS = zoo()


def trace(case: flatgauge.Case, name: str, faulty: bool) -> float:
    kinds = [layer["type"] for layer in case.architecture["layers"]]
    if case.loss != "bce" or set(kinds) - {"dense", "relu"}:
        flatgauge.skip("only dense ReLU networks with bce")
    p = case.parameters
    weights = [p[f"{layer}.weight"].tolist() for layer in range(kinds.count("dense"))]
    if name == "trace_remembered_from_before" and faulty:
        weights = [TWINS.unit(weight) for weight in weights]
    biases = [p[f"{layer}.bias"].tolist() for layer in range(kinds.count("dense"))]
    traces = [TWINS.trace_of_sample(weights, biases, x) for x in case.inputs.tolist()]
    if name == "trace_mean_of_unequal_batches" and faulty:
        batches = [traces[i : i + 5] for i in range(0, len(traces), 5)]
        return sum(sum(batch) / len(batch) for batch in batches) / len(batches)
    return sum(traces) / (1 if name == "trace_of_the_summed_loss" and faulty else len(traces))


def log_prob(case: flatgauge.PriorCase, name: str, faulty: bool) -> float:
    # The twin reads files: it is handed arrays in their place.
    request = {"gram": case.gram, "labels": case.labels, "link": case.link}
    TWINS.open = lambda array, mode: Given(array)
    TWINS.npy, TWINS.rows = lambda array: (array.shape, array.tolist()), lambda shape, values: [list(row) for row in values]
    answer = TWINS.log_prob(request, name, faulty)
    return flatgauge.skip(answer["skip"]) if "skip" in answer else float(answer["value"])


class Given:
    def __init__(self, array):
        self.array = array

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def read(self):
        return self.array


ANIMALS = [
    ("trace_mean_of_unequal_batches", "measure", "hessian_trace", trace),
    ("trace_of_the_summed_loss", "measure", "hessian_trace", trace),
    ("trace_remembered_from_before", "measure", "hessian_trace", trace),
    ("probit_read_as_step", "method", "exact", log_prob),
    ("bits_for_nats", "method", "exact", log_prob),
]


@pytest.mark.parametrize("kind", ["sound", "faulty"])
@pytest.mark.parametrize(("name", "subject", "id", "estimate"), ANIMALS, ids=[animal[0] for animal in ANIMALS])
def test_verdicts_are_those_of_check(name, subject, id, estimate, kind):
    report = flatgauge.check(**{subject: id}, estimate=lambda case: estimate(case, name, kind == "faulty"))
    assert report.verdict == {"sound": "pass", "faulty": "fail"}[kind], report

    command = f"{sys.executable} '{SCRIPT}' {name} {kind}"
    flag = {"measure": "--measure", "method": "--prior"}[subject]
    run = [COMMAND, "check", flag, id, "--format", "json", "--command", command]
    document = json.loads(subprocess.run(run, capture_output=True, text=True).stdout)
    # A callable has no stream of answers.
    rows = [row for row in document["laws"] if row["law"] != "protocol.answers"]
    of_command = {(row["law"], row["estimator"], row["case"]): row["verdict"] for row in rows}
    in_process = {(row.law, row.estimator, row.case): row.verdict for row in report.outcomes}
    unasked = {(row["law"], row["estimator"], row["case"]) for row in rows if row["reason"].startswith("not asked")}
    # The command of one animal divides by zero at a dead network, and says no more; a callable is asked on.
    assert bool(unasked) == (name == "trace_remembered_from_before" and kind == "faulty")
    if not unasked:
        assert in_process == of_command
        return
    decided = {key: verdict for key, verdict in of_command.items() if key not in unasked and key[2] != "all"}
    assert len(decided) > 20 and decided == {key: in_process[key] for key in decided}
