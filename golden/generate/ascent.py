"""Stochastic gradient ascent within a box, step for step: golden/flatness/ascent.json.

    pip install torch==2.15.0 numpy==2.4.6 safetensors==0.8.0
    python golden/generate/ascent.py

The ascent of the program published with Zhang et al. 2021 (github.com/sofuncheung/ICML_2021 at ad075da,
FCN/sharpness-generalization.py): plain steps up the mean loss of consecutive rows, the last mini-batch of an epoch what
is left of them; after each step the difference from the start is clipped to eps (|w| + 1), and the loss of all rows is
noted. The networks are those of golden/flatness, in float64; gradients are autograd's.
"""
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file

FOLDER = Path(__file__).parent.parent / "flatness"
NETWORKS = ["fcn_relu_bce_1", "fcn_relu_ce10_1", "fcn_erf_mse_1"]
SETTINGS = [
    {"eps": 1e-4, "rate": 1e-3, "batch": 32, "epochs": 100},  # the program's for fully connected networks
    {"eps": 1e-2, "rate": 0.3, "batch": 17, "epochs": 20},  # far enough to meet the box and the bends of the loss
]
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)


def climb(loss, theta, rows, eps, rate, batch, epochs):
    """The losses of all rows after each step, and the parameters at the end; loss(theta, rows) is a mean."""
    start = theta.detach().clone()
    box = eps * (start.abs() + 1)
    losses = []
    for _ in range(epochs):
        for first in range(0, rows, batch):
            leaf = theta.detach().clone().requires_grad_(True)
            (up,) = torch.autograd.grad(loss(leaf, slice(first, min(first + batch, rows))), leaf)
            theta = start + torch.clamp(theta + rate * up - start, min=-box, max=box)
            with torch.no_grad():
                losses.append(float(loss(theta, slice(0, rows))))
    return losses, theta


def sharpness(before, losses):
    """In percent; the start counts as well."""
    return 100 * (max([before, *losses]) - before) / (1 + before)


def problem(case):
    """Parameters, number of rows, and the mean loss of some rows at given parameters."""
    arrays = load_file(FOLDER / f"{case['name']}.safetensors")
    data = np.load(FOLDER / f"{case['name']}.npz")
    x, y = torch.tensor(data["x"]), torch.tensor(data["y"])
    layers = range(len(case["widths"]) - 1)
    names = [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]
    activation = {"relu": torch.relu, "tanh": torch.tanh, "erf": torch.erf}[case["activation"]]

    def loss(theta, rows):
        h, first = x[rows], 0
        for layer in layers:
            weight, bias = arrays[f"{layer}.weight"].shape, arrays[f"{layer}.bias"].shape[0]
            matrix = theta[first : first + weight[0] * weight[1]].reshape(weight)
            first += weight[0] * weight[1]
            h = h @ matrix.T + theta[first : first + bias]
            first += bias
            if layer < len(layers) - 1:
                h = activation(h)
        target = y[rows]
        if case["loss"] == "bce":
            return torch.nn.functional.binary_cross_entropy_with_logits(h[:, 0], target)
        if case["loss"] == "ce":
            return torch.nn.functional.cross_entropy(h, target.long())
        return ((h - target.reshape(h.shape)) ** 2).sum(1).mean()

    return torch.tensor(np.concatenate([arrays[name].ravel() for name in names])), len(x), loss


if __name__ == "__main__":
    known = {case["name"]: case for case in json.loads((FOLDER / "flatness.json").read_text())["cases"]}
    cases = []
    for name in NETWORKS:
        theta, rows, loss = problem(known[name])
        before = float(loss(theta, slice(0, rows)))
        for settings in SETTINGS:
            losses, end = climb(loss, theta, rows, **settings)
            at_bound = float((((end - theta).abs() / (settings["eps"] * (theta.abs() + 1))) > 1 - 1e-9).double().mean())
            value = sharpness(before, losses)
            print(f"{name:18} {rows} rows, {settings}: sharpness {value:.6g}, {at_bound:.1%} at the bound")
            cases.append({"name": name, **settings, "before": before, "sharpness": value, "losses": losses,
                          "end": end.tolist()})
    record = {"made_by": f"torch {torch.__version__} float64, golden/generate/ascent.py", "cases": cases}
    (FOLDER / "ascent.json").write_text(json.dumps(record, indent=None, separators=(",", ":")) + "\n")
