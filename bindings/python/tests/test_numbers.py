"""The numbers as a library."""

from __future__ import annotations

import json
import math
import pickle
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import numpy as np
import pytest

import flatgauge
from signals import takes_ctrl_c

COMMAND = str(Path(sysconfig.get_path("scripts")) / "flatgauge")


def test_log_prob_is_what_the_program_says(tmp_path):
    case = flatgauge.golden("prior/mnist_true_60_1")
    K, y = case.arrays["gram"], case.arrays["labels"]
    np.save(tmp_path / "K.npy", K)
    np.save(tmp_path / "y.npy", y)
    for method in ("ep", "ep-importance"):
        answer = flatgauge.log_prob(K, y, method, seed=3)
        run = [COMMAND, "prior", "--gram", "K.npy", "--labels", "y.npy", "--method", method, "--seed", "3", "--format", "json"]
        document = json.loads(subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True).stdout)
        assert (answer.value, answer.std_error) == (document["log_prob"], document["std_error"])
    certified = case.value("ep", "step")
    assert flatgauge.log_prob(K, y, "ep").value == pytest.approx(certified.value, abs=1e-9)
    assert case.provenance[0]["program"]


def test_layouts_and_types_of_arrays_make_no_difference():
    K = flatgauge.golden("prior/mnist_true_20_1").arrays["gram"]
    y = np.where(np.arange(len(K)) % 2, 1, -1)
    expected = flatgauge.log_prob(K, y, "ep").value
    for other in (np.asfortranarray(K), np.repeat(np.repeat(K, 2, 0), 2, 1)[::2, ::2], K.tolist(), K[::-1, ::-1][::-1, ::-1]):
        assert flatgauge.log_prob(other, y, "ep").value == expected
    assert flatgauge.log_prob(K, (y + 1) // 2, "ep").value == expected
    untouched = K.copy()
    assert np.array_equal(K, untouched)


def peak_beyond_the_matrix(n: int) -> float:
    """What log P(f) by Laplace's method needs at its peak beyond K, in matrices of that size."""
    peak = Path("/proc/self/clear_refs")
    if not peak.exists():
        pytest.skip("peak memory is read from /proc, which is not here")
    distance = np.subtract.outer(np.arange(n), np.arange(n)) / 3.0
    K = np.exp(-0.5 * distance**2) + 0.1 * np.eye(n)
    y = np.where(np.arange(n) % 3 == 0, 1.0, -1.0)
    flatgauge.log_prob(K[:10, :10], y[:10], "laplace", "logistic")
    peak.write_text("5")
    before = peak_memory()
    flatgauge.log_prob(K, y, "laplace", "logistic")
    return (peak_memory() - before) / K.nbytes


def peak_memory() -> int:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


def test_the_matrix_is_not_copied():
    # Signed matrix and factor; a copy of K made it 3.1.
    assert peak_beyond_the_matrix(2500) < 2.5


def test_a_matrix_symmetric_to_rounding_is_the_one_of_its_lower_triangle():
    K = flatgauge.golden("prior/mnist_true_20_1").arrays["gram"].copy()
    y = flatgauge.golden("prior/mnist_true_20_1").arrays["labels"]
    expected = flatgauge.log_prob(K, y, "ep").value
    upper = np.triu_indices(len(K), 1)
    K[upper] *= 1.0 + 1e-15
    given = K.copy()
    assert flatgauge.log_prob(K, y, "ep").value == expected
    assert np.array_equal(K, given)


def test_errors_are_typed():
    with pytest.raises(flatgauge.PriorError, match="not symmetric") as caught:
        flatgauge.log_prob([[1.0, 0.5], [0.2, 1.0]], [1, 1])
    assert caught.value.kind == "NotSymmetric" and isinstance(caught.value, (ValueError, flatgauge.FlatgaugeError))
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.kind) == (str(caught.value), "NotSymmetric")
    with pytest.raises(flatgauge.PriorError, match="labels") as caught:
        flatgauge.log_prob(np.eye(3), [1, 1])
    assert caught.value.kind == "LabelCount"
    with pytest.raises(ValueError, match="expected one of ep"):
        flatgauge.log_prob(np.eye(2), [1, 1], "magic")
    with pytest.raises(flatgauge.ModelError, match="widht"):
        flatgauge.kernel({"input": [3], "layers": [{"type": "dense", "widht": 1}]}, np.eye(3))
    with pytest.raises(flatgauge.KernelError) as caught:
        flatgauge.kernel("fcn:4-1", np.eye(3))
    assert caught.value.kind == "Inputs"
    with pytest.raises(flatgauge.RescaleError):
        flatgauge.rescale(flatgauge.sample_network("fcn:3-4-1"), "fcn:3-4-1", layer=0, alpha=-1.0)


def test_the_posterior():
    K = 0.5 * np.eye(4) + 0.5
    whole = flatgauge.log_prob_posterior(K, [1, 1, 1, 1], train=3, method="exact")
    # n points of correlation 1/2: 1 / (n + 1).
    assert whole.log_prob.value == pytest.approx(math.log(1 / 5)) and whole.log_prob_train.value == pytest.approx(math.log(1 / 4))
    assert whole.log_posterior.value == pytest.approx(math.log(4 / 5)) and 0 < whole.pac_bayes_bound <= 1


def test_kernels():
    x = np.random.default_rng(0).normal(size=(6, 3))
    analytic = flatgauge.kernel("fcn:3-64-1", x)
    assert analytic.std_error is None and np.array_equal(analytic.matrix, analytic.matrix.T)
    empirical = flatgauge.kernel("fcn:3-64-1", x, method="empirical", samples=400)
    assert np.all(np.abs(empirical.matrix - analytic.matrix) < 6 * empirical.std_error)
    assert not np.allclose(flatgauge.kernel("fcn:3-64-1", x, "ntk").matrix, analytic.matrix)


def test_flatness_takes_networks_in_every_form(tmp_path):
    arch, rng = flatgauge.architecture("fcn:3-5-4-2"), np.random.default_rng(1)
    x, y = rng.normal(size=(10, 3)), rng.normal(size=(10, 2))
    net = flatgauge.sample_network(arch, seed=2)
    flat = np.concatenate([values.ravel() for values in net.values()])
    flatgauge.save_network(tmp_path / "n.safetensors", net, arch)
    others = {f"layers.{2 * int(name[0])}{name[1:]}": values for name, values in net.items()}
    traces = {
        flatgauge.flatness(form, arch, x, y, "mse", "hessian_trace").measures["hessian_trace"].value
        for form in (net, flat, tmp_path / "n.safetensors", others)
    }
    assert len(traces) == 1
    every = flatgauge.flatness(net, arch, x, y, "mse", product_budget=64, chain_length=60)
    assert set(every.measures) | set(every.left_out) == {measure.id for measure in flatgauge.measures()}
    rescaled = flatgauge.rescale(net, arch, layer=0, alpha=5.9)
    assert np.allclose(flatgauge.logits(rescaled, arch, x), flatgauge.logits(net, arch, x), rtol=1e-12)
    moved = flatgauge.flatness(rescaled, arch, x, y, "mse", "hessian_trace").measures["hessian_trace"].value
    assert abs(moved - traces.pop()) > 1.0
    with pytest.raises(ValueError, match="options"):
        flatgauge.flatness(net, arch, x, y, "mse", "hessian_trace", box_radios=1.0)


def test_registries():
    assert {"prior.scale", "curvature.definition"} <= {law.id for law in flatgauge.laws()}
    assert {"ep", "auto"} <= {method.id for method in flatgauge.methods()}
    assert flatgauge.kernels() and flatgauge.rescalings() and flatgauge.__version__


def test_ctrl_c_ends_long_work():
    script = (
        "import flatgauge, numpy as np\n"
        "K = np.eye(400) + 1.0\n"
        "print('asked', flush=True)\n"
        "try:\n"
        "    flatgauge.log_prob(K, [1, -1] * 200, 'splitting', target_std_error=1e-9)\n"
        "except KeyboardInterrupt:\n"
        "    print('ended', flush=True)\n"
    )
    run = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, preexec_fn=takes_ctrl_c)
    assert run.stdout.readline() == "asked\n"
    time.sleep(1.0)
    run.send_signal(signal.SIGINT)
    started = time.monotonic()
    assert run.stdout.readline() == "ended\n" and time.monotonic() - started < 5
    run.kill()
    run.wait()


def test_operators():
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(60, 60)))[0]
    spectrum = np.linspace(0.5, 10.0, 60)
    A = (basis * spectrum) @ basis.T
    for op in (flatgauge.operator(A), flatgauge.operator(60, lambda v: A @ v), flatgauge.operator(60, lambda V: V @ A, block=True)):
        for method in ("hutchinson", "hutch++", "xtrace"):
            found = op.trace(method, products=48)
            # 7 standard errors of a few groups' scatter.
            assert abs(found.value - spectrum.sum()) < 7 * found.std_error, (method, found)
        assert op.trace("hutch++", products=100).value == pytest.approx(spectrum.sum(), rel=1e-12)
        assert np.allclose(op.eigenvalues(3), spectrum[::-1][:3], rtol=1e-9)
        assert np.allclose(op.eigenvalues(2, "smallest"), spectrum[:2], rtol=1e-9)
        found = op.log_det(shift=0.1, probes=30)
        assert abs(found.value - np.log(spectrum + 0.1).sum()) < 6 * found.std_error
        assert np.allclose(op.dense(), A, atol=1e-12)
    density = flatgauge.operator(A).spectral_density()
    assert density.weights.sum() == pytest.approx(1.0)
    grid = np.linspace(-5, 16, 2000)
    assert np.trapezoid(density.density(grid, 0.3), grid) == pytest.approx(1.0, abs=1e-6)
    values, vectors, residuals = flatgauge.operator(A).eigenpairs(2)
    assert np.allclose(A @ vectors, values * vectors, atol=1e-8) and (residuals < 1e-8).all()


def test_operators_in_float32():
    A = np.diag(np.linspace(1.0, 5.0, 200)).astype(np.float32)
    seen = set()

    def hvp(v):
        seen.add(v.dtype)
        return A @ v

    op = flatgauge.operator(200, hvp, dtype="float32")
    assert op.eigenvalues(1)[0] == pytest.approx(5.0, rel=1e-4)
    found = op.trace(products=60)
    assert abs(found.value - 600.0) < 7 * found.std_error + 0.01 and seen == {np.dtype(np.float32)}


def test_operators_that_fail_say_so():
    def broken(v):
        raise RuntimeError("out of memory on the device")

    with pytest.raises(RuntimeError, match="out of memory"):
        flatgauge.operator(5, broken).trace()
    with pytest.raises(flatgauge.OperatorError):
        flatgauge.operator(50, lambda v: v * np.nan).trace()
    with pytest.raises(flatgauge.OperatorError, match="not positive definite"):
        flatgauge.operator(-np.eye(5)).log_det()
    with pytest.raises(ValueError, match="shape"):
        flatgauge.operator(5, lambda v: v[:3]).trace()
