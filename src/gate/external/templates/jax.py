"""A flatness measure for `flatgauge check`, in Python with JAX.

    flatgauge check --measure hessian_trace --command 'python this_file.py'

Requests come on stdin, one JSON object per line; an answer is one line with the request's id and a value (and a
std_error, if the value is a random estimate), a skip, or an error. Keep stdout for answers only: print anything
else to stderr. Replace `measure` by your own code; all below it builds the network and its loss.
"""
import functools
import json
import os
import struct
import sys
import traceback

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

jax.config.update("jax_enable_x64", True)
# Classes up to which cross-entropy keeps the digits of its second derivatives at every margin; it takes as many steps.
MOST_CLASSES = 64


def measure(request, loss, theta, data):
    """Your estimator. `loss(theta, data)` is the mean loss, `theta` the network's own flat vector of parameters."""
    if len(theta) > 1000:
        return {"skip": f"{len(theta)} parameters are too many for a dense Hessian here"}
    hessian = compiled_hessian(loss)(theta, data)
    if request["measure"] == "hessian_trace":
        return {"value": float(jnp.trace(hessian))}
    if request["measure"] == "hessian_max_eigenvalue":
        return {"value": float(jnp.linalg.eigvalsh(hessian)[-1])}
    return {"skip": f"no {request['measure']} here"}


@functools.cache
def compiled_hessian(loss):
    """Compiled once per architecture and loss: operation by operation it would take minutes."""
    return jax.jit(jax.hessian(loss))


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
            values = np.frombuffer(content[first:last], kind).reshape(tensor["shape"])
            tensors[name] = jnp.array(values, dtype=dtype)
    return tensors


def zeros_around(padding, shape, kernel, stride):
    """Zeros before and after rows and columns; "same" gives ceil(size / stride) outputs, the odd zero at the end."""
    if padding == "valid":
        return [(0, 0), (0, 0)]
    if padding == "same":
        totals = [max((-(-size // step) - 1) * step + width - size, 0) for size, width, step in zip(shape, kernel, stride)]
        return [(total // 2, total - total // 2) for total in totals]
    return [(zeros, zeros) for zeros in padding]


def max_pool(x, spec):
    """Maxima as a tree of `maximum` over shifted views, which has derivatives of every order; rows and columns around the
    image are never picked."""
    (height, width), zeros = spec["size"], spec.get("padding", (0, 0))
    down, right = spec.get("stride") or spec["size"]
    x = jnp.pad(x, [(0, 0), (0, 0), *((zero, zero) for zero in zeros)], constant_values=-jnp.inf)
    rows, columns = ((size - window) // step + 1 for size, window, step in zip(x.shape[2:], (height, width), (down, right)))
    views = [
        x[:, :, i : i + (rows - 1) * down + 1 : down, k : k + (columns - 1) * right + 1 : right]
        for i in range(height)
        for k in range(width)
    ]
    best = views[0]
    for view in views[1:]:
        best = jnp.where(view > best, view, best)
    return best


def forward(layers, tensors, x, layer=0):
    """Outputs of layers, and the number of the next layer that has parameters (a residual's branch before its shortcut)."""
    for spec in layers:
        kind = spec["type"]
        if kind == "dense":
            x = x.reshape(len(x), -1) @ tensors[f"{layer}.weight"].T + tensors[f"{layer}.bias"]
            layer += 1
        elif kind == "conv":
            stride = spec["stride"]
            zeros = zeros_around(spec["padding"], x.shape[2:], spec["kernel"], stride)
            x = lax.conv_general_dilated(x, tensors[f"{layer}.weight"], stride, zeros)
            if f"{layer}.bias" in tensors:
                x = x + tensors[f"{layer}.bias"][:, None, None]
            layer += 1
        elif kind == "batch_norm":
            # In eval mode: the stored statistics are constants.
            across = (slice(None), *(None,) * (x.ndim - 2))
            mean, variance, weight, bias = (
                tensors[f"{layer}.{part}"][across] for part in ("running_mean", "running_var", "weight", "bias")
            )
            x = (x - mean) / jnp.sqrt(variance + 1e-5) * weight + bias
            layer += 1
        elif kind in ("relu", "tanh", "erf"):
            x = {"relu": jax.nn.relu, "tanh": jnp.tanh, "erf": jax.scipy.special.erf}[kind](x)
        elif kind == "avg_pool":
            size = spec["size"]
            stride = spec.get("stride") or size
            x = lax.reduce_window(x, 0.0, lax.add, (1, 1, *size), (1, 1, *stride), "VALID") / (size[0] * size[1])
        elif kind == "max_pool":
            x = max_pool(x, spec)
        elif kind == "global_avg_pool":
            x = x.mean((2, 3))
        elif kind == "flatten":
            x = x.reshape(len(x), -1)
        elif kind == "residual":
            branch, layer = forward(spec["branch"], tensors, x, layer)
            shortcut, layer = forward(spec.get("shortcut", []), tensors, x, layer)
            x = shortcut + branch
        else:
            raise ValueError(f"a layer of type {kind} is unknown here")
    return x, layer


def softplus(x):
    """log(1 + e^x) whose second derivative keeps its digits on either side, and is 1/4 at 0.

    Both arms of a `where` are differentiated: neither may overflow where it is not taken.
    """
    above = x > 0
    return jnp.where(above, x, 0.0) + jnp.log1p(jnp.exp(jnp.where(above, -x, x)))


def log_sum_exp(x):
    """log sum_j e^(x_j) over columns, from the smallest up: its second derivatives are sums of positive terms, where
    p - p^2 cancels."""
    if x.shape[1] > MOST_CLASSES:
        return jax.scipy.special.logsumexp(x, axis=1)
    columns = jnp.sort(x, axis=1)
    total = columns[:, 0]
    for index in range(1, x.shape[1]):
        total = columns[:, index] + softplus(total - columns[:, index])
    return total


def mean_loss(name, out, y):
    """The mean loss of outputs (n x outputs): see `loss_formula` of a request."""
    if name == "bce":
        return softplus((1 - 2 * y.reshape(-1)) * out[:, 0]).mean()
    if name == "ce":
        # All other classes against the label's own.
        labels = y.reshape(-1).astype(int)
        others = (labels[:, None] + jnp.arange(1, out.shape[1])) % out.shape[1]
        against = jnp.take_along_axis(out, others, 1) - jnp.take_along_axis(out, labels[:, None], 1)
        return softplus(log_sum_exp(against)).mean()
    return ((out - y.reshape(out.shape)) ** 2).sum(1).mean()


@functools.cache
def loss_of(layers, name, names, shapes):
    """The mean loss as a function of one flat vector of parameters and the data; the same one for the same network, so that
    it is compiled once."""
    specs, ends = json.loads(layers), np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]

    def loss(theta, data):
        stored, x, y = data
        own = dict(zip(names, (part.reshape(shape) for part, shape in zip(jnp.split(theta, ends), shapes))))
        return mean_loss(name, forward(specs, {**stored, **own}, x)[0], y)

    return loss


def answer(request):
    if request["kind"] != "flatness":
        return {"skip": f"no {request['kind']} requests here"}
    # With --dtype float32 the numbers are those of float32, and so are the tolerances.
    dtype, architecture = request["dtype"], request["architecture"]
    stored, data = read_network(request["net"], dtype), np.load(request["data"])
    x, y = jnp.array(data["x"], dtype=dtype), jnp.array(data["y"], dtype=dtype)
    count = 1 + max((int(name.split(".")[0]) for name in stored), default=-1)
    parameters = (f"{layer}.{part}" for layer in range(count) for part in ("weight", "bias"))
    names = tuple(name for name in parameters if name in stored)
    loss = loss_of(json.dumps(architecture["layers"]), request["loss"], names, tuple(stored[name].shape for name in names))
    theta = jnp.concatenate([stored[name].ravel() for name in names])
    return measure(request, loss, theta, (stored, x.reshape(len(x), *architecture["input"]), y))


# A gate that speaks protocol 1.0 says so, and is told who answers.
if "FLATGAUGE_PROTOCOL" in os.environ:
    print(json.dumps({"protocol": "1.0", "name": "JAX example", "version": jax.__version__, "language": "python"}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if request["kind"] in ("start", "stop"):
        continue
    try:
        said = answer(request)
    except Exception as error:  # noqa: BLE001 (whatever went wrong belongs in the report)
        said = {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
    print(json.dumps({"id": request["id"], **said}), flush=True)
