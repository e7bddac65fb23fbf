"""An estimator for `flatgauge check`, in Python with numpy and scipy.

    flatgauge check --measure hessian_trace --command 'python this_file.py'
    flatgauge check --prior genz --command 'python this_file.py'

Requests come on stdin, one JSON object per line; an answer is one line with the request's id and a value (and a
std_error, if the value is a random estimate), a skip, or an error. Keep stdout for answers only: print anything
else to stderr. Replace `measure` or `log_prob` by your own code; all below builds the network and its loss.
"""
import json
import os
import struct
import sys
import traceback

import numpy as np
from scipy.optimize import linprog
from scipy.special import erf, expit, log_ndtr, ndtr, ndtri, softmax


def measure(request, along, theta):
    """Your estimator. `along(directions)` gives the mean loss, its slopes and its curvatures d' H d along the rows d of
    `directions`, `theta` is the network's own vector of parameters."""
    if request["measure"] == "hessian_trace":
        rows = np.eye(len(theta), dtype=theta.dtype)
        blocks = [rows[first : first + 64] for first in range(0, len(rows), 64)]
        return {"value": float(sum(along(block)[2].sum() for block in blocks))}
    return {"skip": f"no {request['measure']} here"}


def log_prob(request):
    """log P(f) by sequential importance sampling (Geweke, Hajivassiliou, Keane), of singular matrices too."""
    gram, y = np.load(request["gram"]), np.load(request["labels"]).ravel()
    n, samples = len(y), 20000
    if n > 30:
        return {"skip": "plain importance sampling is for few points"}
    if request["link"] == "probit":
        gram = gram + np.eye(n)
    elif request["link"] != "step":
        return {"skip": f"no {request['link']} link here"}
    std = np.sqrt(np.diag(gram))
    gram = gram / np.outer(std, std) * np.outer(y, y)
    if not is_possible(gram):
        return {"value": "-inf"}
    # The order of the points and the sign of all labels must not matter for given random numbers.
    order = np.argsort([round(float(row), 9) for row in gram.sum(1)], kind="stable")
    gram = gram[np.ix_(order, order)]
    rng = np.random.default_rng(request["seed"])
    # Rows of Cholesky's factor; a point that depends on those before it adds no column, and is on its side or not.
    rows, z, log_weight, free = np.zeros((n, n)), np.zeros((n, samples)), np.zeros(samples), []
    for i in range(n):
        for k, j in enumerate(free):
            rows[i, k] = (gram[i, j] - rows[i, :k] @ rows[j, :k]) / rows[j, k]
        known, rest = len(free), gram[i, i] - rows[i] @ rows[i]
        mean = rows[i, :known] @ z[:known]
        if rest < SINGULAR:
            log_weight = np.where(mean > 0, log_weight, -np.inf)
            continue
        rows[i, known] = np.sqrt(rest)
        bound = -mean / rows[i, known]
        log_weight += log_ndtr(-bound)
        z[known] = -ndtri(np.maximum(rng.random(samples) * ndtr(-bound), 1e-300))
        free.append(i)
    top = log_weight.max()
    if top == -np.inf:
        return {"skip": f"none of {samples} samples has this function"}
    weight = np.exp(log_weight - top)
    error = weight.std(ddof=1) / np.sqrt(samples) / weight.mean()
    return {"value": float(top + np.log(weight.mean())), "std_error": float(error)}


# Share of a variance below which what is left of it is rounding.
SINGULAR = 1e-10


def is_possible(gram):
    """Whether some latent values in the range of the matrix are all positive: a linear programme."""
    values, vectors = np.linalg.eigh(gram)
    kept = values > SINGULAR * values[-1]
    if kept.all():
        return True
    factor = vectors[:, kept] * np.sqrt(values[kept])
    # The largest t with factor v >= t, for v in a box.
    limits = [(-1, 1)] * factor.shape[1] + [(None, 1)]
    found = linprog([0.0] * factor.shape[1] + [-1.0], np.c_[-factor, np.ones(len(factor))], np.zeros(len(factor)), bounds=limits)
    return -found.fun > 1e-9


def read_network(path, dtype):
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
            tensors[name] = np.frombuffer(content[first:last], kind).reshape(tensor["shape"]).astype(dtype)
    return tensors


class Jet:
    """A value with its first and second derivative along each of several directions: exact, without differences.

    `value` has the shape of the thing itself, `first` and `second` one more axis in front, that of the directions.
    """

    def __init__(self, value, first, second):
        self.value, self.first, self.second = value, first, second

    def linear(self, function):
        """A linear map, applied to arrays of any number of axes in front."""
        return Jet(function(self.value), function(self.first), function(self.second))

    def apply(self, value, slope, curvature):
        """An elementwise function with its derivatives at `self.value`."""
        return Jet(value, slope * self.first, slope * self.second + curvature * self.first**2)

    def __add__(self, other):
        return Jet(self.value + other.value, self.first + other.first, self.second + other.second)

    def product(self, other, multiply):
        """A bilinear map of two jets: the product rule."""
        one, two = self, other
        return Jet(
            multiply(one.value, two.value),
            multiply(one.first, two.value) + multiply(one.value, two.first),
            multiply(one.second, two.value) + 2 * multiply(one.first, two.first) + multiply(one.value, two.second),
        )


def windows(x, size, stride):
    """Windows of the last two axes: (..., rows, columns, height, width)."""
    out = np.lib.stride_tricks.sliding_window_view(x, tuple(size), (-2, -1))
    return out[..., :: stride[0], :: stride[1], :, :]


def zeros_around(padding, shape, kernel, stride):
    """Zeros before and after rows and columns; "same" gives ceil(size / stride) outputs, the odd zero at the end."""
    if padding == "valid":
        return [(0, 0), (0, 0)]
    if padding == "same":
        totals = [max((-(-size // step) - 1) * step + width - size, 0) for size, width, step in zip(shape, kernel, stride)]
        return [(total // 2, total - total // 2) for total in totals]
    return [(zeros, zeros) for zeros in padding]


def padded(x, zeros, value=0.0):
    return np.pad(x, [(0, 0)] * (x.ndim - 2) + list(zeros), constant_values=value)


def flat(x, axes):
    """All but the first axes as one."""
    return x.reshape(*x.shape[:axes], -1)


def max_pool(jet, spec):
    """The derivatives are those of the entry that is picked."""
    size, zeros = spec["size"], [(zero, zero) for zero in spec.get("padding", (0, 0))]
    stride = spec.get("stride") or size
    values = windows(padded(jet.value, zeros, -np.inf), size, stride)
    values = flat(values, values.ndim - 2)
    best = values.argmax(-1)[..., None]

    def picked(x):
        entries = windows(padded(x, zeros), size, stride)
        entries = flat(entries, entries.ndim - 2)
        return np.take_along_axis(entries, np.broadcast_to(best, (*entries.shape[:-1], 1)), -1)[..., 0]

    return Jet(picked(jet.value), picked(jet.first), picked(jet.second))


def constant(value, like):
    zeros = np.zeros((len(like), *value.shape), value.dtype)
    return Jet(value, zeros, zeros)


def forward(layers, tensors, x, layer=0):
    """Outputs of layers, and the number of the next layer that has parameters (a residual's branch before its shortcut).

    `x` and `tensors` are jets; x.value is n x features or n x channels x height x width.
    """
    for spec in layers:
        kind = spec["type"]
        if kind == "dense":
            x = Jet(flat(x.value, 1), flat(x.first, 2), flat(x.second, 2))
            x = x.product(tensors[f"{layer}.weight"], lambda a, w: a @ np.swapaxes(w, -1, -2))
            x += tensors[f"{layer}.bias"].linear(lambda b: b[..., None, :])
            layer += 1
        elif kind == "conv":
            stride = spec["stride"]
            zeros = zeros_around(spec["padding"], x.value.shape[2:], spec["kernel"], stride)
            x = x.linear(lambda a: windows(padded(a, zeros), spec["kernel"], stride))
            # a: ... n c rows columns h w; w: ... o c h w
            x = x.product(tensors[f"{layer}.weight"], lambda a, w: np.einsum("...ncijhw,...ochw->...noij", a, w))
            if f"{layer}.bias" in tensors:
                x += tensors[f"{layer}.bias"].linear(lambda b: b[..., None, :, None, None])
            layer += 1
        elif kind == "batch_norm":
            # In eval mode: the stored statistics are constants.
            across = (..., None, slice(None), *(None,) * (x.value.ndim - 2))
            mean, variance = (tensors[f"{layer}.{part}"].value[across] for part in ("running_mean", "running_var"))
            x = Jet(x.value - mean, x.first, x.second).linear(lambda a: a / np.sqrt(variance + 1e-5))
            x = x.product(tensors[f"{layer}.weight"].linear(lambda w: w[across]), np.multiply)
            x += tensors[f"{layer}.bias"].linear(lambda b: b[across])
            layer += 1
        elif kind == "relu":
            x = x.apply(np.maximum(x.value, 0), (x.value > 0).astype(x.value.dtype), 0.0)
        elif kind == "tanh":
            value = np.tanh(x.value)
            # 1 - tanh^2 loses its digits where it is small; 1 / cosh^2 does not.
            slope = 1 / np.cosh(np.clip(x.value, -350, 350)) ** 2
            x = x.apply(value, slope, -2 * value * slope)
        elif kind == "erf":
            slope = 2 / np.sqrt(np.pi) * np.exp(-(x.value**2))
            x = x.apply(erf(x.value), slope, -2 * x.value * slope)
        elif kind == "avg_pool":
            x = x.linear(lambda a: windows(a, spec["size"], spec.get("stride") or spec["size"]).mean((-2, -1)))
        elif kind == "max_pool":
            x = max_pool(x, spec)
        elif kind == "global_avg_pool":
            x = x.linear(lambda a: a.mean((-2, -1)))
        elif kind == "flatten":
            x = Jet(flat(x.value, 1), flat(x.first, 2), flat(x.second, 2))
        elif kind == "residual":
            branch, layer = forward(spec["branch"], tensors, x, layer)
            shortcut, layer = forward(spec.get("shortcut", []), tensors, x, layer)
            x = shortcut + branch
        else:
            raise ValueError(f"a layer of type {kind} is unknown here")
    return x, layer


def softplus(x):
    """log(1 + e^x); 1 - p is the sigmoid of the other sign, not a difference that is 0 from 37 on."""
    return x.apply(np.logaddexp(0, x.value), expit(x.value), expit(x.value) * expit(-x.value))


def log_sum_exp(x):
    """log sum_j e^(x_j) over the last axis; the variance is a sum of squares, so that nothing cancels."""
    top = x.value.max(-1, keepdims=True)
    share = softmax(x.value, -1)
    mean = (share * x.first).sum(-1)
    spread = (share * (x.first - mean[..., None]) ** 2).sum(-1)
    value = top[..., 0] + np.log(np.exp(x.value - top).sum(-1))
    return Jet(value, mean, (share * x.second).sum(-1) + spread)


def sample_losses(name, out, y):
    """The loss of each sample: see `loss_formula` of a request."""
    if name == "bce":
        sign = (1 - 2 * y.ravel()).astype(out.value.dtype)
        return softplus(out.linear(lambda z: sign * z[..., 0]))
    if name == "ce":
        # All other classes against the label's own.
        labels, classes = y.ravel().astype(int), out.value.shape[1]
        rows = np.arange(len(labels))[:, None]
        others = (labels[:, None] + np.arange(1, classes)) % classes
        return softplus(log_sum_exp(out.linear(lambda z: z[..., rows, others] - z[..., rows, labels[:, None]])))
    off = Jet(out.value - y.reshape(out.value.shape).astype(out.value.dtype), out.first, out.second)
    return off.apply(off.value**2, 2 * off.value, 2.0).linear(lambda z: z.sum(-1))


def loss_of(request):
    """Loss, slopes and curvatures along directions as a function, and the network's own vector of parameters."""
    # With --dtype float32 the numbers are those of float32, and so are the tolerances.
    dtype = request["dtype"]
    stored, data = read_network(request["net"], dtype), np.load(request["data"])
    x = data["x"].astype(dtype).reshape(len(data["x"]), *request["architecture"]["input"])
    count = 1 + max((int(name.split(".")[0]) for name in stored), default=-1)
    names = [f"{layer}.{part}" for layer in range(count) for part in ("weight", "bias") if f"{layer}.{part}" in stored]

    def along(directions):
        tensors, first = {name: constant(value, directions) for name, value in stored.items()}, 0
        for name in names:
            value = stored[name]
            part = directions[:, first : first + value.size].reshape(len(directions), *value.shape)
            tensors[name] = Jet(value, part, np.zeros_like(part))
            first += value.size
        out, _ = forward(request["architecture"]["layers"], tensors, constant(x, directions))
        loss = sample_losses(request["loss"], out, data["y"])
        return loss.value.mean(), loss.first.mean(-1), loss.second.mean(-1)

    return along, np.concatenate([stored[name].ravel() for name in names])


def answer(request):
    if request["kind"] == "flatness":
        return measure(request, *loss_of(request))
    if request["kind"] == "prior":
        return log_prob(request)
    return {"skip": f"no {request['kind']} requests here"}


# A gate that speaks protocol 1.0 says so, and is told who answers.
if "FLATGAUGE_PROTOCOL" in os.environ:
    print(json.dumps({"protocol": "1.0", "name": "numpy example", "version": np.__version__, "language": "python"}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if request["kind"] in ("start", "stop"):
        continue
    try:
        said = answer(request)
    except Exception as error:  # noqa: BLE001 (whatever went wrong belongs in the report)
        said = {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
    print(json.dumps({"id": request["id"], **said}), flush=True)
