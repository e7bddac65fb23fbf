"""PyTorch modules as architectures and back."""

from __future__ import annotations

import numpy as np
import pytest

import flatgauge
from flatgauge import _flatgauge

torch = pytest.importorskip("torch", reason="PyTorch is not installed (pip install flatgauge[torch])", exc_type=ImportError)
from torch import nn  # noqa: E402

CORPUS = _flatgauge.corpus_networks(True, 0)

IMAGES = {
    "lenet": "lenet:1x28x28-10",
    "resnet20": "resnet20:3x16x16-4",
    "conv": {
        "input": [2, 7, 6],
        "layers": [
            {"type": "conv", "channels": 3, "kernel": [3, 2], "stride": [2, 1], "padding": "same"},
            {"type": "erf"},
            {"type": "conv", "channels": 4, "kernel": [2, 2], "padding": [1, 0], "bias": False},
            {"type": "batch_norm"},
            {"type": "tanh"},
            {"type": "max_pool", "size": [2, 2], "stride": [1, 2], "padding": [1, 1]},
            {"type": "avg_pool", "size": [2, 1]},
            {"type": "flatten"},
            {"type": "dense", "units": 5},
            {"type": "residual", "branch": [{"type": "relu"}, {"type": "dense", "units": 5}]},
            {"type": "dense", "units": 2},
        ],
    },
}


def case_of(architecture, seed=0):
    spec = flatgauge.architecture(architecture) if isinstance(architecture, str) else architecture
    theta, buffers = _flatgauge.sample_network(flatgauge._numbers._document(spec), seed)
    rng = np.random.default_rng(seed)
    buffers = np.where(buffers == 1.0, rng.uniform(0.5, 2.0, buffers.shape), rng.normal(size=buffers.shape))
    x = rng.normal(size=(4, *spec["input"]))
    return flatgauge.Case("", spec, theta, buffers, x, np.zeros(4), "bce")


def of_corpus(row):
    import json

    name, architecture, theta, buffers, inputs, targets, loss = row
    spec = json.loads(architecture)
    return flatgauge.Case("", spec, theta, buffers, inputs.reshape(-1, *spec["input"]), targets, loss)


def plain(layers):
    """Without what is left to its default."""
    defaults = {"stride": [[1, 1], None], "bias": [True], "padding": [[0, 0]], "shortcut": [[]]}
    out = []
    for layer in layers:
        layer = {key: plain(value) if key in ("branch", "shortcut") else value for key, value in layer.items()}
        if layer["type"] == "conv" and layer["padding"] == [0, 0]:
            layer["padding"] = "valid"
        out.append({key: value for key, value in layer.items() if value not in defaults.get(key, [])})
    return out


@pytest.mark.parametrize("case", [*map(of_corpus, CORPUS), *map(case_of, IMAGES.values())], ids=[*(row[0] for row in CORPUS), *IMAGES])
def test_round_trip(case):
    net, _, x, _ = case.torch()
    expected = case.logits
    scale = np.abs(expected).max()
    with torch.no_grad():
        found = net(x).numpy()
    assert np.abs(found - expected).max() <= 1e-12 * max(scale, 1e-300)
    again = flatgauge.torch.architecture(net)
    assert plain(again["layers"]) == plain(case.architecture["layers"]) and again["input"] == list(case.architecture["input"])
    theta, buffers = flatgauge.torch.parameters(net, again)
    assert np.array_equal(theta, case.theta) and np.array_equal(buffers, case.buffers)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.norm, self.b, self.out = nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        x = torch.flatten(x, 1)
        x = x + self.b(torch.relu(self.norm(self.a(x))))
        return self.out(torch.tanh(x))


def test_modules_of_ones_own_are_read():
    net = Block().double().eval()
    spec = flatgauge.torch.architecture(net)
    assert [layer["type"] for layer in spec["layers"]] == ["residual", "tanh", "dense"]
    x, y = torch.randn(8, 6, dtype=torch.float64), torch.arange(8) % 3
    assert np.allclose(flatgauge.logits(net, None, x), net(x).detach().numpy(), rtol=1e-12)
    found = flatgauge.flatness(net, None, x, y, "ce", "hessian_trace").measures["hessian_trace"].value
    theta = torch.nn.utils.parameters_to_vector(net.parameters())
    shapes = {name: value.shape for name, value in net.named_parameters()}

    def loss(flat):
        parts = flat.split([shape.numel() for shape in shapes.values()])
        named = {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts)}
        return nn.functional.cross_entropy(torch.func.functional_call(net, named, x), y)

    assert found == pytest.approx(torch.func.hessian(loss)(theta).trace().item(), rel=1e-10)


def test_a_convolution_needs_the_size_of_images():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
    with pytest.raises(TypeError, match="input="):
        flatgauge.torch.architecture(net)
    spec = flatgauge.torch.architecture(net, (3, 8, 8))
    assert [layer["type"] for layer in spec["layers"]] == ["conv", "relu", "global_avg_pool", "dense"]
    with torch.no_grad():
        x = torch.randn(2, 3, 8, 8)
        assert np.allclose(flatgauge.logits(net, spec, x), net(x).numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "word"),
    [
        (nn.Linear(4, 4, bias=False), "module '0' .Linear. cannot be expressed: a dense layer has biases"),
        (nn.LayerNorm(4), "LayerNorm"),
        (nn.GELU(), "GELU"),
        (nn.BatchNorm1d(4), "train mode"),
        (nn.BatchNorm1d(4, eps=1e-3).eval(), "eps=0.001"),
        (nn.Conv2d(4, 4, 3, groups=2), "groups=2"),
        (nn.Conv2d(4, 4, 3, dilation=2), "dilation"),
        (nn.Dropout(0.5), "train mode"),
        (nn.MaxPool2d(2, ceil_mode=True), "ceil_mode"),
        (nn.AvgPool2d(3, padding=1), "padding=1"),
    ],
)
def test_what_cannot_be_expressed_is_named(layer, word):
    with pytest.raises(flatgauge.UnsupportedLayer, match=word):
        flatgauge.torch.architecture(nn.Sequential(layer, nn.Linear(4, 1)))


def test_parameters_used_twice_are_refused():
    shared = nn.Linear(4, 4)
    with pytest.raises(flatgauge.UnsupportedLayer, match="used twice"):
        flatgauge.torch.architecture(nn.Sequential(shared, nn.ReLU(), shared))


def trace(case, factor=1.0):
    net, loss, x, y = case.torch()
    names = dict(net.named_parameters())
    sizes = [value.numel() for value in names.values()]
    if sum(sizes) > 1000:
        flatgauge.skip("a dense Hessian of more than 1000 parameters")

    def of(theta):
        named = {name: part.reshape(value.shape) for (name, value), part in zip(names.items(), theta.split(sizes))}
        return loss(torch.func.functional_call(net, named, x), y)

    theta = torch.cat([value.detach().reshape(-1) for value in names.values()])
    return factor * torch.func.hessian(of)(theta).trace()


@flatgauge.parametrize_with_laws(measure="hessian_trace", estimate=trace)
def test_the_dense_trace_keeps_every_law(law):
    law.check()


def test_single_precision_is_judged_as_such():
    def in_float32(case):
        assert next(case.torch()[0].parameters()).dtype == torch.float32
        return trace(case)

    report = flatgauge.check(measure="hessian_trace", estimate=in_float32, dtype="float32")
    assert report.verdict == "pass", report
    wrong = flatgauge.check(measure="hessian_trace", estimate=lambda case: trace(case, 1.03), dtype="float32")
    assert wrong.verdict == "fail"


def test_a_trace_that_is_one_percent_off_is_caught():
    report = flatgauge.check(measure="hessian_trace", estimate=lambda case: trace(case, 1.01), only="definition")
    fcn = [outcome for outcome in report.failures if outcome.case.startswith("fcn")]
    assert report.verdict == "fail" and len(fcn) > 5 and all(abs(outcome.ratio - 1.01) < 1e-6 for outcome in fcn)


def test_an_operator_on_a_module():
    case = of_corpus(CORPUS[0])
    net, loss, x, y = case.torch()
    parameters = list(net.parameters())

    def hvp(v):
        parts = torch.split(torch.as_tensor(v), [p.numel() for p in parameters])
        gradients = torch.autograd.grad(loss(net(x), y), parameters, create_graph=True)
        along = sum((g.reshape(-1) * part).sum() for g, part in zip(gradients, parts))
        return torch.cat([h.reshape(-1) for h in torch.autograd.grad(along, parameters)])

    op = flatgauge.operator(len(case.theta), hvp)
    found = flatgauge.flatness(case.theta, case.architecture, case.inputs, case.targets, case.loss, "hessian_trace")
    assert op.trace(products=200).value == pytest.approx(found.measures["hessian_trace"].value, rel=1e-9)
