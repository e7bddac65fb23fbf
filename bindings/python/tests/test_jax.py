"""Cases in JAX."""

from __future__ import annotations

import numpy as np
import pytest

import flatgauge

jax = pytest.importorskip("jax", reason="JAX is not installed (pip install flatgauge[jax])", exc_type=ImportError)


def cases():
    from flatgauge import _flatgauge

    names = ("fcn-4-5-3-relu-ce-0", "fcn-4-4-4-4-2-relu-mse-0", "fcn-4-5-4-1-tanh-bce-0", "fcn-4-5-2-erf-mse-0")
    names += ("fcn-4-5-4-1-relu-bce-batch-norm", "ce-three-classes-saturated")
    rows = [row for row in _flatgauge.corpus_networks(False, 0) if row[0] in names]
    import json

    made = {}
    for name, architecture, theta, buffers, inputs, targets, loss in rows:
        spec = json.loads(architecture)
        targets = targets if loss == "mse" else targets[:, 0]
        made[name] = flatgauge.Case("", spec, theta, buffers, inputs.reshape(-1, *spec["input"]), targets, loss)
    for name, text in {"lenet": "lenet:1x28x28-10", "resnet20": "resnet20:3x8x8-4"}.items():
        spec = flatgauge.architecture(text)
        theta, buffers = _flatgauge.sample_network(json.dumps(spec), 0)
        x = np.random.default_rng(0).normal(size=(3, *spec["input"]))
        made[name] = flatgauge.Case("", spec, theta, buffers, x, np.zeros(3), "ce")
    return made


CASES = cases()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_logits_are_the_librarys(case):
    apply, params, _, x, _ = case.jax()
    expected = case.logits
    assert np.abs(np.asarray(apply(params, x)) - expected).max() <= 1e-12 * max(np.abs(expected).max(), 1e-300)


def trace(case):
    apply, params, loss, x, y = case.jax()
    flat, unravel = jax.flatten_util.ravel_pytree(params)
    return jax.numpy.trace(jax.hessian(lambda theta: loss(apply(unravel(theta), x), y))(flat))


def test_the_dense_trace_keeps_its_definition():
    import jax.flatten_util

    for name in ("fcn-4-5-3-relu-ce-0", "fcn-4-5-2-erf-mse-0", "ce-three-classes-saturated", "parameters-at-zero"):
        report = flatgauge.check(measure="hessian_trace", estimate=trace, only=f"curvature.definition/hessian_trace/{name}")
        assert report.verdict == "pass", report
