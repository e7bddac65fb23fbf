"""A flatness measure for `flatgauge check`, in Python with PyTorch.

    flatgauge check --measure hessian_trace --command 'python this_file.py'

Requests come on stdin, one JSON object per line; an answer is one line with the request's id and a value (and a
std_error, if the value is a random estimate), a skip, or an error. Keep stdout for answers only: print anything
else to stderr. Replace `measure` by your own code; all below it builds the network and its loss.
"""
import json
import os
import struct
import sys
import traceback

import numpy as np
import torch

torch.set_default_dtype(torch.float64)
# Classes up to which cross-entropy keeps the digits of its second derivatives at every margin; it takes as many steps.
MOST_CLASSES = 64


def measure(request, loss, theta):
    """Your estimator. `loss` is a function of one flat vector of parameters, `theta` the network's own."""
    if len(theta) > 1000:
        return {"skip": f"{len(theta)} parameters are too many for a dense Hessian here"}
    hessian = torch.func.hessian(loss)(theta)
    if request["measure"] == "hessian_trace":
        return {"value": float(hessian.trace())}
    if request["measure"] == "hessian_max_eigenvalue":
        return {"value": float(torch.linalg.eigvalsh(hessian)[-1])}
    return {"skip": f"no {request['measure']} here"}


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
            tensors[name] = torch.tensor(values, dtype=dtype)
    return tensors


def zeros_around(padding, shape, kernel, stride):
    """Zeros left, right, above and below; "same" gives ceil(size / stride) outputs, the odd zero at the end."""
    if padding == "valid":
        return [0, 0, 0, 0]
    if padding == "same":
        totals = [max((-(-size // step) - 1) * step + width - size, 0) for size, width, step in zip(shape, kernel, stride)]
        before = [total // 2 for total in totals]
        return [before[1], totals[1] - before[1], before[0], totals[0] - before[0]]
    return [padding[1], padding[1], padding[0], padding[0]]


def forward(layers, tensors, x, layer=0):
    """Outputs of layers, and the number of the next layer that has parameters (a residual's branch before its shortcut)."""
    for spec in layers:
        kind = spec["type"]
        if kind == "dense":
            x = x.flatten(1) @ tensors[f"{layer}.weight"].T + tensors[f"{layer}.bias"]
            layer += 1
        elif kind == "conv":
            stride = spec["stride"]
            x = torch.nn.functional.pad(x, zeros_around(spec["padding"], x.shape[2:], spec["kernel"], stride))
            x = torch.nn.functional.conv2d(x, tensors[f"{layer}.weight"], tensors.get(f"{layer}.bias"), tuple(stride))
            layer += 1
        elif kind == "batch_norm":
            # In eval mode, as an affine map: the stored statistics are constants.
            across = (slice(None), *(None,) * (x.dim() - 2))
            mean, variance, weight, bias = (
                tensors[f"{layer}.{part}"][across] for part in ("running_mean", "running_var", "weight", "bias")
            )
            x = (x - mean) / torch.sqrt(variance + 1e-5) * weight + bias
            layer += 1
        elif kind in ("relu", "tanh", "erf"):
            x = {"relu": torch.relu, "tanh": torch.tanh, "erf": torch.erf}[kind](x)
        elif kind in ("avg_pool", "max_pool"):
            size, stride = tuple(spec["size"]), tuple(spec.get("stride") or spec["size"])
            if kind == "avg_pool":
                x = torch.nn.functional.avg_pool2d(x, size, stride)
            else:
                x = torch.nn.functional.max_pool2d(x, size, stride, tuple(spec.get("padding", (0, 0))))
        elif kind == "global_avg_pool":
            x = x.mean((2, 3))
        elif kind == "flatten":
            x = x.flatten(1)
        elif kind == "residual":
            branch, layer = forward(spec["branch"], tensors, x, layer)
            shortcut, layer = forward(spec.get("shortcut", []), tensors, x, layer)
            x = shortcut + branch
        else:
            raise ValueError(f"a layer of type {kind} is unknown here")
    return x, layer


def softplus(x):
    """log(1 + e^x) whose second derivative keeps its digits on either side, and is 1/4 at 0.

    PyTorch's losses differentiate to p - 1, which loses the digits of a confident network; its softplus is linear from
    20 on, and clamps have the derivative 1 where they begin, so that theirs is 0 at 0. Both arms of a `where` are
    differentiated: neither may overflow where it is not taken.
    """
    above = x > 0
    return torch.where(above, x, torch.zeros_like(x)) + torch.log1p(torch.exp(torch.where(above, -x, x)))


def log_sum_exp(x):
    """log sum_j e^(x_j) over columns, from the smallest up: its second derivatives are sums of positive terms, where
    p - p^2 cancels."""
    if x.shape[1] > MOST_CLASSES:
        return x.logsumexp(1)
    columns = x.sort(1).values.unbind(1)
    total = columns[0]
    for column in columns[1:]:
        total = column + softplus(total - column)
    return total


def mean_loss(name, out, y):
    """The mean loss of outputs (n x outputs): see `loss_formula` of a request."""
    if name == "bce":
        return softplus((1 - 2 * y.flatten()) * out[:, 0]).mean()
    if name == "ce":
        # All other classes against the label's own.
        labels = y.flatten().long()
        others = (labels[:, None] + torch.arange(1, out.shape[1])) % out.shape[1]
        return softplus(log_sum_exp(out.gather(1, others) - out.gather(1, labels[:, None]))).mean()
    return ((out - y.reshape(out.shape)) ** 2).sum(1).mean()


def loss_of(request):
    """The mean loss as a function of one flat vector of parameters, and the network's own vector."""
    # With --dtype float32 the numbers are those of float32, and so are the tolerances.
    dtype = getattr(torch, request["dtype"])
    stored, data = read_network(request["net"], dtype), np.load(request["data"])
    x, y = torch.tensor(data["x"], dtype=dtype), torch.tensor(data["y"], dtype=dtype)
    x = x.reshape(len(x), *request["architecture"]["input"])
    count = 1 + max((int(name.split(".")[0]) for name in stored), default=-1)
    names = [f"{layer}.{part}" for layer in range(count) for part in ("weight", "bias") if f"{layer}.{part}" in stored]
    shapes = [stored[name].shape for name in names]
    sizes = [shape.numel() for shape in shapes]

    def loss(theta):
        own = dict(zip(names, (part.reshape(shape) for part, shape in zip(theta.split(sizes), shapes))))
        out, _ = forward(request["architecture"]["layers"], {**stored, **own}, x)
        return mean_loss(request["loss"], out, y)

    return loss, torch.cat([stored[name].flatten() for name in names])


def answer(request):
    if request["kind"] != "flatness":
        return {"skip": f"no {request['kind']} requests here"}
    return measure(request, *loss_of(request))


# A gate that speaks protocol 1.0 says so, and is told who answers.
if "FLATGAUGE_PROTOCOL" in os.environ:
    hello = {"protocol": "1.0", "name": "torch example", "version": str(torch.__version__), "language": "python"}
    print(json.dumps(hello), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if request["kind"] in ("start", "stop"):
        continue
    try:
        said = answer(request)
    except Exception as error:  # noqa: BLE001 (whatever went wrong belongs in the report)
        said = {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
    print(json.dumps({"id": request["id"], **said}), flush=True)
