"""Remake the values of golden/flatness/flatness.json with PyTorch.

    pip install torch==2.15.0 numpy==2.4.6 safetensors==0.8.0
    python golden/generate/flatness.py          # compare with the file
    python golden/generate/flatness.py --write  # replace the values

Networks (NAME.safetensors) and data (NAME.npz) are inputs and stay as they are: small networks trained to
low loss on random data. Every value is computed in float64 from the dense Hessian that
torch.func.hessian gives, or from the dense Jacobian of the logits (Gauss-Newton); the sharpness by stochastic
gradient ascent is that of ascent.py, in its first setting.
"""
import json
import sys
from pathlib import Path

import numpy as np
import torch
from ascent import SETTINGS, climb, sharpness
from safetensors.numpy import load_file

FOLDER = Path(__file__).parent.parent / "flatness"
torch.set_default_dtype(torch.float64)
LARGEST = 50  # eigenvalues in the log-product
ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "erf": torch.erf}


def forward(case, tensors, x):
    activation = ACTIVATIONS[case["activation"]]
    if case["arch"] == "cnn":
        for layer in ("0", "1"):
            weight, bias = tensors[layer + ".weight"], tensors[layer + ".bias"]
            x = activation(torch.nn.functional.conv2d(x, weight, bias, padding="same"))
        return torch.nn.functional.linear(x.flatten(1), tensors["2.weight"], tensors["2.bias"])
    layers = len(case["widths"]) - 1
    for layer in range(layers):
        x = torch.nn.functional.linear(x, tensors[f"{layer}.weight"], tensors[f"{layer}.bias"])
        if layer + 1 < layers:
            x = activation(x)
    return x


def loss_of(case, logits, y):
    if case["loss"] == "bce":
        return torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 0], y)
    if case["loss"] == "ce":
        return torch.nn.functional.cross_entropy(logits, y.long())
    return ((logits - y.reshape(logits.shape)) ** 2).sum(1).mean()


def curvature(case, theta, shapes, x, y):
    def unflatten(flat):
        tensors, first = {}, 0
        for name, shape in shapes.items():
            size = int(np.prod(shape))
            tensors[name] = flat[first : first + size].reshape(shape)
            first += size
        return tensors

    def logits(flat):
        return forward(case, unflatten(flat), x)

    def loss(flat):
        return loss_of(case, logits(flat), y)

    hessian = torch.func.hessian(loss)(theta)
    jacobian = torch.func.jacrev(logits)(theta)
    out = logits(theta).detach()
    n, k = out.shape
    if case["loss"] == "bce":
        p = torch.sigmoid(out[:, 0])
        middle = (p * (1 - p)).reshape(n, 1, 1)
    elif case["loss"] == "ce":
        p = torch.softmax(out, 1)
        middle = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    else:
        middle = 2 * torch.eye(k).expand(n, k, k)
    gauss_newton = torch.einsum("nap,nab,nbq->pq", jacobian, middle, jacobian) / n
    return out, loss(theta), torch.func.grad(loss)(theta), hessian, gauss_newton


def log_product(hessian):
    largest = torch.linalg.eigvalsh(hessian).flip(0)[:LARGEST]
    assert largest[-1] > 1e-10 * largest[0], f"{largest[-1]} is not certainly positive"
    return float(largest.log().sum())


def ascended(case, theta, shapes, x, y):
    def loss(flat, rows):
        parts = torch.split(flat, [int(np.prod(shape)) for shape in shapes.values()])
        tensors = {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts)}
        return loss_of(case, forward(case, tensors, x[rows]), y[rows])

    before = float(loss(theta, slice(0, len(x))))
    return sharpness(before, climb(loss, theta, len(x), **SETTINGS[0])[0])


def values(case):
    arrays = load_file(FOLDER / f"{case['name']}.safetensors")
    layers = sorted({int(name.split(".")[0]) for name in arrays if name[0].isdigit()})
    names = [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]
    shapes = {name: arrays[name].shape for name in names}
    theta = torch.tensor(np.concatenate([arrays[name].ravel() for name in names]))
    data = np.load(FOLDER / f"{case['name']}.npz")
    x, y = torch.tensor(data["x"]), torch.tensor(data["y"])
    logits, loss, gradient, hessian, gauss_newton = curvature(case, theta, shapes, x, y)
    eigenvalues = torch.linalg.eigvalsh(hessian)
    shift = case["log_det_shift"]
    blocks, first = {}, 0
    for index, shape in enumerate(shapes.values()):
        size = int(np.prod(shape))
        blocks[str(index)] = float(hessian.diagonal()[first : first + size].sum())
        first += size
    last = shapes[names[-2]]
    start = len(theta) - last[0] - last[0] * last[1]
    block = hessian[start : start + last[0] * last[1], start : start + last[0] * last[1]]
    block = block.reshape(last[0], last[1], last[0], last[1])
    weight = theta[start : start + last[0] * last[1]].reshape(last)
    fisher = gauss_newton / 2 if case["loss"] == "mse" else gauss_newton
    probe = torch.tensor(arrays["probe_vector"])
    assert torch.allclose(hessian @ probe, torch.tensor(arrays["hessian_probe"]), rtol=1e-10, atol=1e-12)
    result = {
        "loss_value": float(loss),
        "gradient_norm": float(gradient.norm()),
        "outputs_first5": logits[:5].tolist(),
        "hessian_trace": float(hessian.trace()),
        "hessian_frobenius": float(hessian.norm()),
        "hessian_max_eigenvalue": float(eigenvalues[-1]),
        "hessian_min_eigenvalue": float(eigenvalues[0]),
        "hessian_spectral_norm": float(eigenvalues.abs().max()),
        "hessian_top10": eigenvalues.flip(0)[:10].tolist(),
        "log_det_shifted": float((eigenvalues + shift).log().sum()),
        "hessian_log_product": log_product(hessian),
        "keskar_sharpness_sgd": ascended(case, theta, shapes, x, y),
        "ggn_trace": float(gauss_newton.trace()),
        "ggn_max_eigenvalue": float(torch.linalg.eigvalsh(gauss_newton)[-1]),
        "ggn_frobenius": float(gauss_newton.norm()),
        "fisher_rao": float(theta @ fisher @ theta),
        "block_traces": blocks,
        "relative_flatness_output_layer": float(torch.einsum("ai,bi,ajbj->", weight, weight, block)),
        "filter_weighted_trace": float((theta**2 * hessian.diagonal()).sum()),
    }
    if case["rescaled_alpha"]:
        alpha, scaled, first = case["rescaled_alpha"], theta.clone(), 0
        for name, shape in shapes.items():
            size = int(np.prod(shape))
            if name.startswith("0."):
                scaled[first : first + size] /= alpha
            elif name == "1.weight":
                scaled[first : first + size] *= alpha
            first += size
        _, _, _, hessian, _ = curvature(case, scaled, shapes, x, y)
        result["rescaled_hessian_trace"] = float(hessian.trace())
        result["rescaled_hessian_max_eigenvalue"] = float(torch.linalg.eigvalsh(hessian)[-1])
        result["rescaled_hessian_frobenius"] = float(hessian.norm())
        result["rescaled_hessian_log_product"] = log_product(hessian)
        result["rescaled_keskar_sharpness_sgd"] = ascended(case, scaled, shapes, x, y)
    return result


def difference(old, new):
    if isinstance(new, dict):
        return max(difference(old[key], new[key]) for key in new)
    if isinstance(new, list):
        return max(difference(a, b) for a, b in zip(old, new))
    return abs(old - new) / max(abs(new), 1e-300)


def main():
    record = json.loads((FOLDER / "flatness.json").read_text())
    for case in record["cases"]:
        new = values(case)
        for key, value in new.items():
            print(f"{case['name']:18} {key:32} {difference(case[key], value):.1e}" if key in case else f"{key}: new, {value}")
        case.update(new)
    if "--write" in sys.argv:
        record["made_by"] = f"torch {torch.__version__} float64, dense Hessian by torch.func.hessian"
        (FOLDER / "flatness.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
