"""A flatness measure for `flatgauge check`, in Python with PyTorch.

    flatgauge check --measure hessian_trace --command 'python this_file.py'

Requests come on stdin, one JSON object per line; an answer is one line with the request's id and a value (and a
std_error, if the value is a random estimate), a skip, or an error. Keep stdout for answers only: print anything
else to stderr. Replace `measure` by your own code.
"""
import json
import struct
import sys

import numpy as np
import torch

torch.set_default_dtype(torch.float64)
ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "erf": torch.erf}


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
            values = np.frombuffer(content[first:last], kind).reshape(tensor["shape"])
            tensors[name] = torch.tensor(values, dtype=torch.float64)
    return tensors


def softplus(x):
    """log(1 + e^x) whose second derivative keeps its digits on either side.

    PyTorch's losses differentiate to p - 1, which loses the digits of a confident network; its softplus is linear
    from 20 on.
    """
    above = x + torch.log1p(torch.exp(-x.clamp(min=0)))
    return torch.where(x > 0, above, torch.log1p(torch.exp(x.clamp(max=0))))


def loss_function(request, network, names, x, y):
    """The mean loss as a function of one flat vector of parameters, with stored statistics in batch norms."""

    def loss(theta):
        tensors = dict(zip(names, (part.reshape(shape) for part, shape in zip(theta.split(sizes), shapes))))
        out, layer = x, 0
        for spec in request["architecture"]["layers"]:
            if spec["type"] == "dense":
                out = out @ tensors[f"{layer}.weight"].T + tensors[f"{layer}.bias"]
                layer += 1
            elif spec["type"] == "batch_norm":
                stored = (network[f"{layer}.running_mean"], network[f"{layer}.running_var"])
                out = torch.nn.functional.batch_norm(out, *stored, tensors[f"{layer}.weight"], tensors[f"{layer}.bias"])
                layer += 1
            elif spec["type"] == "flatten":
                out = out.flatten(1)
            else:
                out = ACTIVATIONS[spec["type"]](out)
        if request["loss"] == "bce":
            return softplus((1 - 2 * y) * out[:, 0]).mean()
        if request["loss"] == "ce":
            # All other classes against the label's own.
            against = out - out.gather(1, y.long()[:, None])
            own = torch.nn.functional.one_hot(y.long(), out.shape[1]).bool()
            return softplus(against.masked_fill(own, -torch.inf).logsumexp(1)).mean()
        return ((out - y.reshape(out.shape)) ** 2).sum(1).mean()

    shapes = [network[name].shape for name in names]
    sizes = [int(np.prod(shape)) for shape in shapes]
    return loss


def measure(request):
    """tr H from the dense Hessian."""
    kinds = {layer["type"] for layer in request["architecture"]["layers"]}
    if request["kind"] != "flatness" or kinds - {"dense", "batch_norm", "flatten", *ACTIVATIONS}:
        return {"skip": "only flatness of dense networks"}
    network, data = read_network(request["net"]), np.load(request["data"])
    x, y = torch.tensor(data["x"]), torch.tensor(data["y"])
    if request["architecture"]["layers"][0]["type"] == "dense":
        x = x.flatten(1)
    layers = len([name for name in network if name.endswith(".weight")])
    names = [f"{layer}.{part}" for layer in range(layers) for part in ("weight", "bias")]
    theta = torch.cat([network[name].flatten() for name in names])
    if len(theta) > 1000:
        return {"skip": f"{len(theta)} parameters are too many for a dense Hessian here"}
    loss = loss_function(request, network, names, x, y)
    hessian = torch.func.hessian(loss)(theta)
    if request["measure"] == "hessian_trace":
        return {"value": float(hessian.trace())}
    if request["measure"] == "hessian_max_eigenvalue":
        return {"value": float(torch.linalg.eigvalsh(hessian)[-1])}
    return {"skip": f"no {request['measure']} here"}


for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = measure(request)
    except Exception as error:  # noqa: BLE001: whatever went wrong belongs in the report
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps({"id": request["id"], **answer}), flush=True)
