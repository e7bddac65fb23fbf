"""PyTorch modules as architectures, and architectures as modules.

`architecture` reads a module, `module` makes one; ``case.torch()`` is made of these. Needs PyTorch (``flatgauge[torch]``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from .errors import UnsupportedLayer

__all__ = ["Erf", "Residual", "architecture", "loss", "module", "parameters", "tensor"]

BATCH_NORM_EPSILON = 1e-5
# Classes up to which cross-entropy keeps the digits of its second derivatives at every margin; it takes so many steps.
MOST_CLASSES = 64


class Erf(nn.Module):
    """The Gauss error function."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.erf(x)


class Residual(nn.Module):
    """``shortcut(x) + branch(x)``."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.branch, self.shortcut = branch, shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        branch = self.branch(x)
        total: torch.Tensor = self.shortcut(x) + branch
        return total


def tensor(array: Any) -> torch.Tensor:
    """A tensor with numbers of its own: in float32 of an array in float32, else in float64."""
    values = np.asarray(array)
    return torch.tensor(values, dtype=torch.float32 if values.dtype == np.float32 else torch.float64)


# Architecture to module.


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after, for an output of ``ceil(size / stride)``: the odd one at the end."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _pooled(shape: Sequence[int], size: Sequence[int], stride: Sequence[int], zeros: Sequence[int]) -> list[int]:
    return [shape[0], *((shape[axis + 1] + 2 * zeros[axis] - size[axis]) // stride[axis] + 1 for axis in (0, 1))]


def _layers(specs: Sequence[Mapping[str, Any]], shape: list[int]) -> tuple[list[nn.Module], list[int]]:
    """Modules of layers, and the shape behind them."""
    modules: list[nn.Module] = []
    for spec in specs:
        kind = spec["type"]
        if kind == "dense":
            if len(shape) > 1:
                modules.append(nn.Flatten())
            modules.append(nn.Linear(int(np.prod(shape)), spec["units"], dtype=torch.float64))
            shape = [spec["units"]]
        elif kind == "conv":
            kernel, stride, padding = spec["kernel"], spec.get("stride", [1, 1]), spec["padding"]
            zeros: Any = 0 if padding == "valid" else padding
            if padding == "same" and stride == [1, 1]:
                shape = [spec["channels"], *shape[1:]]
            elif padding == "same":
                (top, bottom), (left, right) = (same_padding(shape[axis + 1], kernel[axis], stride[axis]) for axis in (0, 1))
                modules.append(nn.ZeroPad2d((left, right, top, bottom)))
                zeros, shape = 0, [spec["channels"], *(-(-shape[axis + 1] // stride[axis]) for axis in (0, 1))]
            else:
                shape = [spec["channels"], *_pooled(shape, kernel, stride, zeros or [0, 0])[1:]]
            zeros = zeros if isinstance(zeros, (int, str)) else tuple(zeros)
            bias = spec.get("bias", True)
            modules.append(
                nn.LazyConv2d(spec["channels"], tuple(kernel), tuple(stride), zeros, bias=bias, dtype=torch.float64)
            )
        elif kind in ("relu", "tanh", "erf"):
            modules.append({"relu": nn.ReLU, "tanh": nn.Tanh, "erf": Erf}[kind]())
        elif kind == "avg_pool":
            size = spec["size"]
            stride = spec.get("stride") or size
            modules.append(nn.AvgPool2d(tuple(size), tuple(stride)))
            shape = _pooled(shape, size, stride, [0, 0])
        elif kind == "max_pool":
            size, zeros = spec["size"], spec.get("padding", [0, 0])
            stride = spec.get("stride") or size
            modules.append(nn.MaxPool2d(tuple(size), tuple(stride), tuple(zeros)))
            shape = _pooled(shape, size, stride, zeros)
        elif kind == "global_avg_pool":
            modules += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
            shape = shape[:1]
        elif kind == "flatten":
            modules.append(nn.Flatten())
            shape = [int(np.prod(shape))]
        elif kind == "batch_norm":
            norm = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
            modules.append(norm(shape[0], eps=BATCH_NORM_EPSILON, dtype=torch.float64))
        elif kind == "residual":
            branch, behind = _layers(spec["branch"], shape)
            shortcut, _ = _layers(spec.get("shortcut", []), shape)
            modules.append(Residual(nn.Sequential(*branch), nn.Sequential(*shortcut) if shortcut else nn.Identity()))
            shape = behind
        else:
            raise UnsupportedLayer(f"a layer of type '{kind}' is unknown here", kind)
    return modules, shape


def module(
    architecture: Mapping[str, Any], theta: Any | None = None, buffers: Any | None = None
) -> nn.Module:
    """The module of an architecture, in float64 and eval mode.

    Parameters
    ----------
    theta, buffers
        Flat parameters and statistics; PyTorch's own initial ones unless given.
    """
    modules, _ = _layers(architecture["layers"], list(architecture["input"]))
    net = nn.Sequential(*modules)
    # Convolutions learn their input channels from a first batch.
    net.eval()
    with torch.no_grad():
        net(torch.zeros(1, *architecture["input"], dtype=torch.float64))
    setattr(net, "input_shape", tuple(architecture["input"]))
    for vector, what in ((theta, _weights), (buffers, _statistics)):
        if vector is None:
            continue
        first = 0
        values = tensor(vector)
        with torch.no_grad():
            for target in what(_read(net)):
                target.copy_(values[first : first + target.numel()].reshape(target.shape))
                first += target.numel()
        if first != values.numel():
            raise ValueError(f"{values.numel()} numbers were given, the architecture has {first}")
    return net


def softplus(x: torch.Tensor) -> torch.Tensor:
    """``log(1 + e^x)`` whose second derivative keeps its digits on either side, and at 0.

    PyTorch's own is linear from 20 on; clamps have another derivative at 0.
    """
    above = x > 0
    return torch.where(above, x, torch.zeros_like(x)) + torch.log1p(torch.exp(torch.where(above, -x, x)))


def log_sum_exp(x: torch.Tensor) -> torch.Tensor:
    """``log sum_j e^(x_j)`` over columns, whose second derivative keeps its digits where one of them has all but a little.

    From the smallest up, ``x + softplus(smaller - x)``: its second derivatives are sums of positive terms, where ``p - p^2``
    cancels.
    """
    if x.shape[1] > MOST_CLASSES:
        return x.logsumexp(1)
    columns = x.sort(1, descending=True).values.unbind(1)
    total = columns[-1]
    for column in reversed(columns[:-1]):
        total = column + softplus(total - column)
    return total


def loss(name: str, scale: float = 1.0) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """The mean loss of logits (n x outputs) and targets.

    ``bce``: labels 0 or 1 (n); ``ce``: class indices (n); ``mse``: numbers (n x outputs), summed over outputs without a
    factor 1/2. PyTorch's own losses have the same values, but lose digits of second derivatives at large margins.
    """

    def bce(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return scale * softplus((1 - 2 * y.reshape(-1)) * logits[:, 0]).mean()

    def ce(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        labels = y.reshape(-1).long()
        # All other classes against the label's own.
        others = (labels[:, None] + torch.arange(1, logits.shape[1])) % logits.shape[1]
        against = logits.gather(1, others) - logits.gather(1, labels[:, None])
        return scale * softplus(log_sum_exp(against)).mean()

    def mse(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return scale * ((logits - y.reshape(logits.shape)) ** 2).sum(1).mean()

    return {"bce": bce, "ce": ce, "mse": mse}[name]


# Module to architecture.


class _Layer(NamedTuple):
    """A layer read off a module, and where its numbers stand."""

    spec: dict[str, Any]
    source: nn.Module | None = None
    inner: tuple[list[_Layer], list[_Layer]] | None = None


def _flattened(layers: Sequence[_Layer]) -> list[_Layer]:
    """All layers in the order in which parameters are numbered: a residual's branch before its shortcut."""
    out = []
    for layer in layers:
        if layer.inner is None:
            out.append(layer)
        else:
            out += _flattened(layer.inner[0]) + _flattened(layer.inner[1])
    return out


def _of_source(layers: Sequence[_Layer], names: Sequence[str]) -> list[torch.Tensor]:
    sources = [layer.source for layer in _flattened(layers) if layer.source is not None]
    found = [getattr(source, name, None) for source in sources for name in names]
    return [value for value in found if value is not None]


def _weights(layers: Sequence[_Layer]) -> list[torch.Tensor]:
    return _of_source(layers, ("weight", "bias"))


def _statistics(layers: Sequence[_Layer]) -> list[torch.Tensor]:
    return _of_source(layers, ("running_mean", "running_var"))


def architecture(
    net: nn.Module,
    input: Sequence[int] | None = None,
    *,
    weight_std: float = 2.0**0.5,
    bias_std: float = 1.0,
) -> dict[str, Any]:
    """The architecture of a module, read through ``torch.fx``.

    Covers `Sequential`, `Linear`, `Conv2d`, ReLU, Tanh and erf (as modules or functions), `AvgPool2d`, `MaxPool2d`,
    ``AdaptiveAvgPool2d(1)`` with a flatten, `Flatten`, `BatchNorm1d` and `BatchNorm2d` in eval mode, dropout in eval mode,
    and sums of two paths as residual blocks.

    Parameters
    ----------
    net
        The module.
    input
        Shape of one input, as ``(3, 32, 32)``; taken from the first `Linear` unless given.
    weight_std, bias_std
        The prior over parameters, of which a module says nothing.

    Raises
    ------
    UnsupportedLayer
        Names what no architecture expresses, and where it stands.
    """
    layers = _read(net)
    shape = input if input is not None else getattr(net, "input_shape", None)
    specs = [layer.spec for layer in layers]
    if shape is None:
        first = next((layer for layer in _flattened(layers) if layer.source is not None), None)
        if first is None or not isinstance(first.source, nn.Linear):
            raise TypeError("the first layer with parameters is no Linear: say the shape of one input, as input=(3, 32, 32)")
        shape = (first.source.in_features,)
    if len(shape) == 1 and specs and specs[0]["type"] == "flatten":
        specs = specs[1:]
    return {"input": list(shape), "weight_std": weight_std, "bias_std": bias_std, "layers": specs}


def parameters(net: nn.Module, architecture: Mapping[str, Any]) -> tuple[Any, Any]:
    """Flat parameters and statistics of a module, in the order of its architecture."""
    layers = _read(net)
    vectors = []
    for tensors in (_weights(layers), _statistics(layers)):
        parts = [part.detach().cpu().double().reshape(-1).numpy() for part in tensors]
        vectors.append(np.concatenate(parts) if parts else np.zeros(0))
    return vectors[0], vectors[1]


def _pair(value: Any) -> list[int]:
    return [int(value), int(value)] if isinstance(value, int) else [int(part) for part in value]


_RELU = (torch.relu, nn.functional.relu, "relu", torch.relu_)
_TANH = (torch.tanh, nn.functional.tanh, "tanh")
_ERF = (torch.erf, torch.special.erf, "erf")
_FLATTEN = (torch.flatten, "flatten")
_VIEW = (torch.reshape, "view", "reshape")
_MEAN = (torch.mean, "mean")


class _Reader:
    def __init__(self, net: nn.Module) -> None:
        try:
            self.graph = torch.fx.symbolic_trace(net).graph
        except Exception as error:
            raise UnsupportedLayer(f"torch.fx cannot trace {type(net).__name__}: {error}", type(net).__name__) from error
        self.modules = dict(net.named_modules())
        self.used: set[str] = set()
        inputs = [node for node in self.graph.nodes if node.op == "placeholder"]
        outputs = [node for node in self.graph.nodes if node.op == "output"]
        if len(inputs) != 1 or not isinstance(outputs[0].args[0], torch.fx.Node):
            raise UnsupportedLayer(f"{type(net).__name__} does not take one tensor and give one", type(net).__name__)
        self.input, self.output = inputs[0], outputs[0].args[0]
        self.order = {node: index for index, node in enumerate(self.graph.nodes)}
        self.dominators = self._dominators()

    def layers(self) -> list[_Layer]:
        return _merged(self._chain(self.output, self.input))

    def _inputs(self, node: Any) -> list[Any]:
        """The tensors a node is made of: sizes of a tensor are none."""
        if node.op == "call_method" and node.target in ("size", "dim"):
            return []
        return [node for node in node.all_input_nodes if self._inputs(node) or node is self.input]

    def _dominators(self) -> dict[Any, Any]:
        """The last node through which everything on the way to a node goes."""
        dominators = {self.input: self.input}
        for node in self.graph.nodes:
            known = [source for source in self._inputs(node) if source in dominators] if node is not self.input else []
            if not known:
                continue
            meet = known[0]
            for other in known[1:]:
                while meet is not other:
                    if self.order[meet] < self.order[other]:
                        other = dominators[other]
                    else:
                        meet = dominators[meet]
            dominators[node] = meet
        return dominators

    def _chain(self, node: Any, stop: Any) -> list[_Layer]:
        """The layers from `stop` (without it) to `node` (with it)."""
        layers: list[_Layer] = []
        while node is not stop:
            sources = self._inputs(node)
            if not sources or node not in self.dominators:
                raise self._unsupported(node, "it does not come from the input")
            if len(sources) == 1 and len([arg for arg in node.args if arg is sources[0]]) > 1:
                raise self._unsupported(node, "it takes one tensor twice")
            if len(sources) == 1:
                layers = self._layer(node) + layers
                node = sources[0]
                continue
            if str(getattr(node.target, "__name__", node.target)) not in ("add", "iadd", "add_") or len(sources) != 2:
                raise self._unsupported(node, "of several paths only sums of two are known")
            if node.kwargs:
                raise self._unsupported(node, "a sum with factors")
            meet = self.dominators[node]
            first, second = (_merged(self._chain(source, meet)) for source in sources)
            later_first = self.order[sources[0]] > self.order[sources[1]]
            # The shortcut is the shorter path; of two of one length, the one that is computed last.
            if (len(first), later_first) < (len(second), not later_first) or (len(first) == len(second) and later_first):
                first, second = second, first
            spec: dict[str, Any] = {"type": "residual", "branch": [layer.spec for layer in first]}
            if second:
                spec["shortcut"] = [layer.spec for layer in second]
            layers = [_Layer(spec, None, (first, second)), *layers]
            node = meet
        return layers

    def _unsupported(self, node: Any, why: str) -> UnsupportedLayer:
        if node.op == "call_module":
            kind, place = type(self.modules[node.target]).__name__, f"module '{node.target}'"
        else:
            kind = str(getattr(node.target, "__name__", node.target))
            place = f"step '{node.name}'"
        return UnsupportedLayer(f"{place} ({kind}) cannot be expressed: {why}", kind)

    def _layer(self, node: Any) -> list[_Layer]:
        if node.op == "call_module":
            return self._module(node, self.modules[node.target])
        target = node.target
        if target in _RELU:
            return [_Layer({"type": "relu"})]
        if target in _TANH:
            return [_Layer({"type": "tanh"})]
        if target in _ERF:
            return [_Layer({"type": "erf"})]
        rest = [arg for arg in node.args if not isinstance(arg, torch.fx.Node)]
        if target in _FLATTEN and (node.kwargs.get("start_dim") or (rest or [0])[0]) == 1 and len(rest) < 2:
            return [_Layer({"type": "flatten"})]
        if target in _VIEW and rest in ([-1], [(-1,)]) or target in _VIEW and len(rest) == 2 and rest[1] == -1:
            return [_Layer({"type": "flatten"})]
        axes = node.kwargs.get("dim", rest[0] if rest else None)
        if target in _MEAN and isinstance(axes, (list, tuple)) and sorted(axes) in ([2, 3], [-2, -1]):
            if not (node.kwargs.get("keepdim") or len(rest) > 1):
                return [_Layer({"type": "global_avg_pool"})]
        if target in (nn.functional.dropout,) and not node.kwargs.get("training", True):
            return []
        raise self._unsupported(node, "there is no such layer")

    def _module(self, node: Any, source: nn.Module) -> list[_Layer]:
        def refuse(condition: bool, why: str) -> None:
            if condition:
                raise self._unsupported(node, why)

        if next(source.parameters(), None) is not None:
            refuse(node.target in self.used, "its parameters are used twice")
            self.used.add(node.target)
        if isinstance(source, nn.Linear):
            refuse(source.bias is None, "a dense layer has biases")
            return [_Layer({"type": "dense", "units": source.out_features}, source)]
        if isinstance(source, nn.Conv2d):
            refuse(source.groups != 1, f"groups={source.groups}")
            refuse(_pair(source.dilation) != [1, 1], f"dilation={source.dilation}")
            refuse(source.padding_mode != "zeros", f"padding_mode={source.padding_mode!r}")
            padding: Any = source.padding
            if not isinstance(padding, str):
                padding = _pair(padding)
                padding = "valid" if padding == [0, 0] else padding
            spec: dict[str, Any] = {
                "type": "conv",
                "channels": source.out_channels,
                "kernel": _pair(source.kernel_size),
                "stride": _pair(source.stride),
                "padding": padding,
            }
            if source.bias is None:
                spec["bias"] = False
            return [_Layer(spec, source)]
        if isinstance(source, nn.modules.batchnorm._BatchNorm):
            refuse(isinstance(source, nn.BatchNorm3d), "three-dimensional inputs")
            refuse(source.training, "in train mode a sample's logits depend on the batch: call eval() first")
            refuse(not source.affine, "affine=False")
            refuse(source.running_mean is None, "track_running_stats=False")
            refuse(source.eps != BATCH_NORM_EPSILON, f"eps={source.eps}, expected {BATCH_NORM_EPSILON}")
            return [_Layer({"type": "batch_norm"}, source)]
        if isinstance(source, nn.ReLU):
            return [_Layer({"type": "relu"})]
        if isinstance(source, nn.Tanh):
            return [_Layer({"type": "tanh"})]
        if isinstance(source, nn.Identity):
            return []
        if isinstance(source, (nn.Dropout, nn.Dropout2d, nn.AlphaDropout)):
            refuse(source.training and source.p > 0, "it is random in train mode: call eval() first")
            return []
        if isinstance(source, nn.Flatten):
            refuse(source.start_dim != 1 or source.end_dim != -1, "it does not flatten all but the samples")
            return [_Layer({"type": "flatten"})]
        if isinstance(source, nn.AvgPool2d):
            refuse(_pair(source.padding) != [0, 0], f"padding={source.padding}")
            refuse(source.ceil_mode or source.divisor_override is not None, "ceil_mode or divisor_override")
            size = _pair(source.kernel_size)
            return [_Layer(_pool("avg_pool", size, _pair(source.stride)))]
        if isinstance(source, nn.MaxPool2d):
            refuse(source.ceil_mode or source.return_indices, "ceil_mode or return_indices")
            refuse(_pair(source.dilation) != [1, 1], f"dilation={source.dilation}")
            spec = _pool("max_pool", _pair(source.kernel_size), _pair(source.stride))
            if _pair(source.padding) != [0, 0]:
                spec["padding"] = _pair(source.padding)
            return [_Layer(spec)]
        if isinstance(source, nn.AdaptiveAvgPool2d):
            refuse(source.output_size not in (1, (1, 1)), f"output_size={source.output_size}, expected 1")
            return [_Layer({"type": "global_avg_pool", "flattened": False})]
        if isinstance(source, nn.ZeroPad2d):
            left, right, top, bottom = source.padding
            return [_Layer({"type": "zero_pad", "zeros": [top, bottom, left, right]})]
        raise self._unsupported(node, "there is no such layer")


def _pool(kind: str, size: list[int], stride: list[int]) -> dict[str, Any]:
    return {"type": kind, "size": size, **({} if stride == size else {"stride": stride})}


def _merged(layers: Sequence[_Layer]) -> list[_Layer]:
    """Layers that PyTorch writes as two: zeros before a convolution, a global pool and its flatten."""
    out: list[_Layer] = []
    for layer in layers:
        before = out[-1].spec if out else {}
        if before.get("type") == "zero_pad":
            top, bottom, left, right = before["zeros"]
            spec = layer.spec
            if spec["type"] != "conv" or spec["padding"] != "valid":
                raise UnsupportedLayer("zeros are expressed before a convolution without padding only", "ZeroPad2d")
            if top == bottom and left == right:
                padding: Any = [top, left]
            elif 0 <= bottom - top <= 1 and 0 <= right - left <= 1:
                # An odd zero at the end is what "same" adds; whether as many as it does, the shapes behind will say.
                padding = "same"
            else:
                raise UnsupportedLayer(f"zeros {before['zeros']} (top, bottom, left, right)", "ZeroPad2d")
            out[-1] = layer._replace(spec={**spec, "padding": padding})
        elif before.get("flattened") is False:
            out[-1] = out[-1]._replace(spec={"type": "global_avg_pool"})
            if layer.spec["type"] != "flatten":
                raise UnsupportedLayer("a global average without a flatten behind it", "AdaptiveAvgPool2d")
        else:
            out.append(layer)
    if out and (out[-1].spec.get("flattened") is False or out[-1].spec["type"] == "zero_pad"):
        raise UnsupportedLayer("a global average without a flatten, or zeros without a convolution, at the end", "")
    return out


def _read(net: nn.Module) -> list[_Layer]:
    return _Reader(net).layers()
