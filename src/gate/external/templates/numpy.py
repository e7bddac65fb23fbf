"""An estimator for `flatgauge check`, in Python with numpy and scipy.

    flatgauge check --measure hessian_trace --command 'python this_file.py'
    flatgauge check --prior genz --command 'python this_file.py'

Requests come on stdin, one JSON object per line; an answer is one line with the request's id and a value (and a
std_error, if the value is a random estimate), a skip, or an error. Keep stdout for answers only: print anything
else to stderr. Replace `hessian_trace` or `log_prob` by your own code.
"""
import json
import struct
import sys

import numpy as np
from scipy.special import expit, log_ndtr, ndtr, ndtri


def read_network(path):
    """Tensors of a safetensors file: a length, a JSON header, then the bytes."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        content = file.read()
    tensors = {}
    for name, tensor in header.items():
        if name != "__metadata__":
            first, last = tensor["data_offsets"]
            kind = {"F64": "<f8", "F32": "<f4"}[tensor["dtype"]]
            tensors[name] = np.frombuffer(content[first:last], kind).reshape(tensor["shape"])
    return tensors


def hessian_trace(request):
    """tr H of a dense ReLU network with one logit and binary cross-entropy, through per-sample gradients."""
    kinds = [layer["type"] for layer in request["architecture"]["layers"]]
    if request["loss"] != "bce" or set(kinds) - {"dense", "relu"}:
        return {"skip": "only dense ReLU networks with bce"}
    tensors, data = read_network(request["net"]), np.load(request["data"])
    x = data["x"].reshape(len(data["x"]), -1)
    layers = kinds.count("dense")
    inputs, masks = [x], []
    for layer in range(layers):
        x = x @ tensors[f"{layer}.weight"].T + tensors[f"{layer}.bias"]
        if layer + 1 < layers:
            masks.append(x > 0)
            x = np.maximum(x, 0)
            inputs.append(x)
    # A piecewise linear network has tr H = tr G = mean of p (1 - p) |d logit / d theta|^2; 1 - p is
    # the sigmoid of the other sign, not a difference that is 0 from a logit of 37 on.
    norms, delta = np.zeros(len(x)), np.ones((len(x), 1))
    for layer in reversed(range(layers)):
        norms += (delta**2).sum(1) * (1 + (inputs[layer] ** 2).sum(1))
        if layer > 0:
            delta = (delta @ tensors[f"{layer}.weight"]) * masks[layer - 1]
    curvature = expit(x[:, 0]) * expit(-x[:, 0])
    return {"value": float(np.mean(curvature * norms))}


def log_prob(request):
    """log P(f) by sequential importance sampling (Geweke, Hajivassiliou, Keane)."""
    gram, y = np.load(request["gram"]), np.load(request["labels"]).ravel()
    n, samples = len(y), 20000
    if n > 30:
        return {"skip": "plain importance sampling is for few points"}
    if request["link"] == "probit":
        gram = gram + np.eye(n)
    std = np.sqrt(np.diag(gram))
    gram = gram / np.outer(std, std) * np.outer(y, y)
    twins = np.argwhere(np.abs(np.tril(gram, -1)) > 1 - 1e-12)
    if any(gram[i, j] < 0 for i, j in twins):
        return {"value": "-inf"}
    keep = [i for i in range(n) if i not in set(twins[:, 0])]
    # The order of the points and the sign of all labels must not matter for given random numbers.
    gram = gram[np.ix_(keep, keep)]
    keep = np.argsort([round(float(row), 9) for row in gram.sum(1)], kind="stable")
    lower = np.linalg.cholesky(gram[np.ix_(keep, keep)])
    rng = np.random.default_rng(request["seed"])
    z, log_weight = np.zeros((len(keep), samples)), np.zeros(samples)
    for i in range(len(keep)):
        bound = -(lower[i, :i] @ z[:i]) / lower[i, i]
        log_weight += log_ndtr(-bound)
        z[i] = -ndtri(np.maximum(rng.random(samples) * ndtr(-bound), 1e-300))
    top = log_weight.max()
    weight = np.exp(log_weight - top)
    error = weight.std(ddof=1) / np.sqrt(samples) / weight.mean()
    return {"value": float(top + np.log(weight.mean())), "std_error": float(error)}


for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = hessian_trace(request) if request["kind"] == "flatness" else log_prob(request)
    except Exception as error:  # noqa: BLE001: whatever went wrong belongs in the report
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps({"id": request["id"], **answer}), flush=True)
