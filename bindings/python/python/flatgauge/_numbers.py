"""The numbers as a library: numpy in, numpy out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _flatgauge
from ._case import _split, layout
from ._estimate import Estimate
from .errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

Architecture = dict[str, Any]


def _info(document: str) -> dict[str, Any]:
    info: dict[str, Any] = json.loads(document)
    return info


def _floats(values: ArrayLike, dimensions: int, what: str) -> Array:
    """The values as float64; the same memory where they are float64 already."""
    array = np.asarray(_plain(values), dtype=np.float64)
    if array.ndim != dimensions:
        raise ValueError(f"{what} has shape {array.shape}, expected {dimensions} dimension(s)")
    return array


def _plain(values: Any) -> Any:
    """What numpy reads: tensors are taken off their device."""
    return values.detach().cpu().numpy() if hasattr(values, "detach") else values


def log_prob(
    K: ArrayLike,
    y: ArrayLike,
    method: str = "auto",
    link: str | None = "step",
    *,
    target_std_error: float | None = None,
    max_seconds: float | None = None,
    seed: int = 0,
    jitter: float = 0.0,
) -> Estimate:
    """log P(f) of labels under a Gram matrix, in nats.

    Parameters
    ----------
    K : (n, n)
        Covariance of the logits under the prior: symmetric, positive semi-definite. Read where it lies, if it is
        float64 and exactly symmetric.
    y : (n,)
        The labels, in {-1, +1} or {0, 1}.
    method
        See :func:`methods`. ``auto`` picks one for the step link.
    link
        ``step``: ``Pr[y_i g_i > 0 for all i]`` with ``g ~ N(0, K)``, the prior probability itself; ``probit``: the same
        with ``K + I``; ``logistic`` for ``laplace``; ``None``: the method's own.
    target_std_error, max_seconds
        Standard error to reach, in nats, and how long to try (stochastic methods).
    seed
        Seed of stochastic methods.
    jitter
        Multiply the diagonal by ``1 + jitter`` first. This is another problem, with another answer.

    Returns
    -------
    Estimate
        `value`, `std_error` (``None`` of deterministic methods), `bound` (a certain upper bound, where there is one),
        `info`.

    Raises
    ------
    PriorError
        A matrix that is none, a method that does not apply, no convergence.

    Examples
    --------
    Two inputs whose logits have correlation 1/2: both labels are +1 with probability 1/3.

    >>> import math, flatgauge
    >>> answer = flatgauge.log_prob([[2.0, 1.0], [1.0, 2.0]], [1, 1], method="exact")
    >>> round(math.exp(answer.value), 12)
    0.333333333333
    """
    gram, labels = _floats(K, 2, "K"), _floats(y, 1, "y")
    (value, std_error, bound, info), used = _flatgauge.log_prob(
        gram, labels, method, link, target_std_error, max_seconds, seed, jitter
    )
    return Estimate(value, std_error, bound=bound, info={**_info(info), "link": used, "method_asked": method})


class Posterior(NamedTuple):
    """log P(f|S) and what it is made of, in nats."""

    log_posterior: Estimate
    """log P(f|S) = log P(f) - log P(S)."""
    log_prob: Estimate
    """log P(f)."""
    log_prob_train: Estimate
    """log P(S), of the training labels alone."""
    pac_bayes_bound: float | None
    """With probability 1 - delta the error of a function drawn from the posterior is at most this."""


def log_prob_posterior(
    K: ArrayLike,
    y: ArrayLike,
    train: int,
    method: str = "auto",
    link: str | None = "step",
    *,
    delta: float = 0.05,
    target_std_error: float | None = None,
    max_seconds: float | None = None,
    seed: int = 0,
    jitter: float = 0.0,
) -> Posterior:
    """log P(f|S) of labels `y` of which the first `train` are the training set S; arguments as :func:`log_prob`.

    Examples
    --------
    >>> import flatgauge, numpy
    >>> posterior = flatgauge.log_prob_posterior(numpy.eye(3), [1, -1, 1], train=2, method="exact")
    >>> round(posterior.log_posterior.value, 12)  # log 1/2
    -0.69314718056
    """
    gram, labels = _floats(K, 2, "K"), _floats(y, 1, "y")
    function, training, posterior, _ = _flatgauge.log_prob_posterior(
        gram, labels, train, method, link, target_std_error, max_seconds, seed, jitter
    )
    log_posterior, whole, part = (
        Estimate(value, error, bound=bound, info=_info(info))
        for value, error, bound, info in (posterior, function, training)
    )
    return Posterior(log_posterior, whole, part, _flatgauge.pac_bayes_bound(part.value, train, delta))


class Kernel(NamedTuple):
    """A Gram matrix."""

    matrix: Array
    """n x n, exactly symmetric."""
    std_error: Array | None
    """Standard errors of its entries, if it is an average over sampled networks."""
    info: dict[str, Any]


def architecture(
    text: str | Path,
    *,
    activation: str | None = None,
    weight_std: float | None = None,
    bias_std: float | None = None,
) -> Architecture:
    """Reads an architecture: ``fcn:64-40-40-1``, a preset as ``resnet20:3x32x32-10``, or a TOML file.

    Examples
    --------
    >>> import flatgauge
    >>> [layer["type"] for layer in flatgauge.architecture("fcn:5-6-1", activation="tanh")["layers"]]
    ['dense', 'tanh', 'dense']
    """
    found: Architecture = json.loads(_flatgauge.read_architecture(str(text), activation, weight_std, bias_std))
    return found


def _architecture(arch: str | Path | Mapping[str, Any] | Any) -> Architecture:
    if isinstance(arch, (str, Path)):
        return architecture(arch)
    if isinstance(arch, Mapping):
        return dict(arch)
    from . import torch

    return torch.architecture(arch)


def _document(arch: Mapping[str, Any]) -> str:
    return json.dumps(arch)


def _rows(x: ArrayLike, arch: Mapping[str, Any]) -> Array:
    array = np.asarray(_plain(x), dtype=np.float64)
    if array.ndim < 2:
        raise ValueError(f"x has shape {array.shape}, expected n x {' x '.join(map(str, arch['input']))}")
    return array.reshape(len(array), -1)


def kernel(
    arch: str | Path | Mapping[str, Any],
    x: ArrayLike,
    kind: str = "nngp",
    *,
    method: str = "analytic",
    samples: int = 1000,
    seed: int = 0,
) -> Kernel:
    """The Gram matrix of an architecture's prior.

    Parameters
    ----------
    arch
        An architecture, a shorthand, or a file (see :func:`architecture`).
    x : (n, d) or (n, c, h, w)
        One row an input.
    kind
        ``nngp``, the covariance of the logits, or ``ntk``, the neural tangent kernel.
    method
        ``analytic`` (infinite width) or ``empirical`` (an average over sampled networks, with standard errors).
    samples, seed
        Networks to average over (``empirical``), and their seed.

    Examples
    --------
    >>> import flatgauge, numpy
    >>> flatgauge.kernel("fcn:3-10-1", numpy.eye(3)).matrix.shape
    (3, 3)
    """
    spec = _architecture(arch)
    matrix, std_error, info = _flatgauge.kernel_matrix(_document(spec), _rows(x, spec), kind, method, samples, seed)
    return Kernel(matrix, std_error, _info(info))


def _network(net: Any, arch: Any) -> tuple[Architecture, Array, Array]:
    """Architecture, parameters and statistics of a module, a state dict, a flat vector or a file."""
    if hasattr(net, "state_dict") and not isinstance(net, Mapping):
        from . import torch

        spec = torch.architecture(net) if arch is None else _architecture(arch)
        return spec, *torch.parameters(net, spec)
    if arch is None:
        raise TypeError("arch= is needed unless the network is a torch module")
    spec = _architecture(arch)
    if isinstance(net, (str, Path)):
        return spec, *_flatgauge.load_network(net, _document(spec))
    if isinstance(net, Mapping):
        return spec, *_flat(net, spec)
    return spec, _floats(net, 1, "the parameters"), _fresh_buffers(spec)


def _fresh_buffers(spec: Architecture) -> Array:
    rows = layout(spec)["buffers"]
    fills = [np.full(row["stop"] - row["start"], float(row["name"].endswith("running_var"))) for row in rows]
    return np.concatenate(fills) if fills else np.zeros(0)


def _flat(state: Mapping[str, Any], spec: Architecture) -> tuple[Array, Array]:
    """Flat vectors of a state dict, by the library's names or, where these are others, in order."""
    places = layout(spec)
    rows = places["tensors"] + places["buffers"]
    arrays = {name: np.asarray(_plain(values), dtype=np.float64) for name, values in state.items()}
    if any(row["name"] not in arrays for row in rows):
        # Another program's names: layers in order, each with its own tensors.
        kept = {name: array for name, array in arrays.items() if not name.endswith("num_batches_tracked")}
        prefixes = list(dict.fromkeys(name.rpartition(".")[0] for name in kept))
        numbers = {prefix: str(index) for index, prefix in enumerate(prefixes)}
        arrays = {f"{numbers[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": array for name, array in kept.items()}
    parts: list[list[Array]] = [[], []]
    for index, row in enumerate(rows):
        name, shape = row["name"], tuple(row["shape"])
        if name not in arrays:
            raise ModelError(f"tensor '{name}' of shape {shape} is missing; found {sorted(arrays)}", "Checkpoint")
        if arrays[name].shape != shape:
            raise ModelError(f"tensor '{name}' has shape {arrays[name].shape}, the architecture expects {shape}", "Checkpoint")
        parts[int(index >= len(places["tensors"]))].append(arrays[name].ravel())
    theta, buffers = (np.concatenate(part) if part else np.zeros(0) for part in parts)
    return theta, buffers


class Flatness(NamedTuple):
    """Measures of a network on data."""

    measures: dict[str, Estimate]
    """By id."""
    loss: float
    """The mean loss."""
    left_out: dict[str, str]
    """Measures that do not cover this network, with why, where all were asked for."""


def flatness(
    net: Any,
    arch: str | Path | Mapping[str, Any] | None = None,
    x: ArrayLike | None = None,
    y: ArrayLike | None = None,
    loss: str = "bce",
    measures: str | Sequence[str] = "all",
    *,
    seed: int = 0,
    **options: Any,
) -> Flatness:
    """Flatness measures of a network on data.

    Parameters
    ----------
    net
        A torch module, a state dict (tensors by name), a flat vector of parameters, or a safetensors file.
    arch
        Its architecture; of a torch module it is read off (:func:`flatgauge.torch.architecture`).
    x : (n, d) or (n, c, h, w)
        One row a sample.
    y : (n,) or (n, outputs)
        Labels 0 or 1 (``bce``), class indices (``ce``), numbers (``mse``).
    loss
        ``bce``, ``ce`` or ``mse``: a mean over samples; ``mse`` sums over outputs and has no factor 1/2.
    measures
        An id, several, or ``all`` (see :func:`measures`).
    seed, options
        Seed and settings of the measures, as ``box_radius=1e-4`` or ``trace="hutch++"``.

    Examples
    --------
    >>> import flatgauge, numpy
    >>> x, y = numpy.random.default_rng(0).normal(size=(8, 3)), [0, 1] * 4
    >>> net = flatgauge.sample_network("fcn:3-4-1", seed=1)
    >>> found = flatgauge.flatness(net, "fcn:3-4-1", x, y, "bce", ["hessian_trace", "fisher_rao"])
    >>> sorted(found.measures)
    ['fisher_rao', 'hessian_trace']
    """
    if x is None or y is None:
        raise TypeError("x and y are needed")
    spec, theta, buffers = _network(net, arch)
    targets = np.asarray(_plain(y), dtype=np.float64)
    targets = targets.reshape(len(targets), -1)
    asked = [measures] if isinstance(measures, str) else list(measures)
    settings = json.dumps({**{name: _setting(value) for name, value in options.items()}, "seed": seed})
    results, left_out, value = _flatgauge.measured(
        _document(spec), theta, buffers, _rows(x, spec), targets, loss, asked, "all" in asked, settings
    )
    found = {id: Estimate(value, error, info=_info(info)) for id, (value, error, _, info) in results}
    return Flatness(found, value, dict(left_out))


def _setting(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def sample_network(arch: str | Path | Mapping[str, Any], seed: int = 0) -> dict[str, Array]:
    """A network drawn from the prior: weights ``N(0, weight_std^2 / fan_in)``, biases ``N(0, bias_std^2)``."""
    spec = _architecture(arch)
    theta, buffers = _flatgauge.sample_network(_document(spec), seed)
    return _named(spec, theta, buffers)


def load_network(path: str | Path, arch: str | Path | Mapping[str, Any]) -> dict[str, Array]:
    """Tensors of a safetensors file by name."""
    spec = _architecture(arch)
    return _named(spec, *_flatgauge.load_network(path, _document(spec)))


def save_network(path: str | Path, net: Any, arch: str | Path | Mapping[str, Any] | None = None) -> None:
    """Writes a network as safetensors, as the program `flatgauge` reads it."""
    spec, theta, buffers = _network(net, arch)
    _flatgauge.save_network(path, _document(spec), theta, buffers)


def logits(net: Any, arch: str | Path | Mapping[str, Any] | None, x: ArrayLike) -> Array:
    """Logits (n x outputs) of a network; arguments as :func:`flatness`."""
    spec, theta, buffers = _network(net, arch)
    return _flatgauge.logits(_document(spec), theta, buffers, _rows(x, spec))


def _named(spec: Architecture, theta: Array, buffers: Array) -> dict[str, Array]:
    places = layout(spec)
    return {**_split(theta, places["tensors"]), **_split(buffers, places["buffers"])}


def rescale(
    net: Any,
    arch: str | Path | Mapping[str, Any] | None = None,
    *,
    layer: int | None = None,
    alpha: float | None = None,
    neurons: tuple[float, float] | None = None,
    permute: bool = False,
    kind: str | None = None,
    seed: int = 0,
) -> dict[str, Array]:
    """Another network with the same function.

    Parameters
    ----------
    net, arch
        As :func:`flatness`.
    layer, alpha
        Divide this layer by `alpha` and multiply the next by it.
    neurons
        Smallest and largest factor by which each hidden unit is scaled.
    permute
        Permute the hidden units of each layer.
    kind
        Draw a map of this kind (see :func:`rescalings`).
    seed
        Seed of what is drawn.

    Returns
    -------
    dict
        Tensors by name (``0.weight``, ...).

    Examples
    --------
    >>> import flatgauge, numpy
    >>> net = flatgauge.sample_network("fcn:3-4-1")
    >>> other = flatgauge.rescale(net, "fcn:3-4-1", layer=0, alpha=4.0)
    >>> bool(numpy.allclose(other["1.weight"], 4.0 * net["1.weight"]))
    True
    """
    asked = [layer is not None, neurons is not None, permute, kind is not None]
    if sum(asked) != 1:
        raise TypeError("expected exactly one of layer= (with alpha=), neurons=, permute=True and kind=")
    if (layer is None) != (alpha is None):
        raise TypeError("layer= and alpha= go together")
    spec, theta, buffers = _network(net, arch)
    low, high = neurons or (0.1, 10.0)
    name = "layer" if layer is not None else "neurons" if neurons is not None else "permute" if permute else str(kind)
    theta, buffers, _ = _flatgauge.rescaled(
        _document(spec), theta, buffers, name, seed, layer or 0, 1.0 if alpha is None else alpha, low, high
    )
    return _named(spec, theta, buffers)


@dataclass(frozen=True)
class Entry:
    """An entry of a registry."""

    id: str
    summary: str
    details: dict[str, Any]


def _registry(what: str) -> list[Entry]:
    entries = json.loads(_flatgauge.registry(what))
    return [Entry(entry.pop("id"), entry.pop("statement", None) or entry.pop("summary"), entry) for entry in entries]


def laws() -> list[Entry]:
    """The law book: id, statement, and on which cases a law holds.

    Examples
    --------
    >>> import flatgauge
    >>> "prior.scale" in [law.id for law in flatgauge.laws()]
    True
    """
    return _registry("laws")


def measures() -> list[Entry]:
    """The flatness measures."""
    return _registry("measures")


def methods() -> list[Entry]:
    """The methods for log P(f)."""
    return _registry("methods")


def kernels() -> list[Entry]:
    """The methods for Gram matrices."""
    return _registry("kernels")


def rescalings() -> list[Entry]:
    """The kinds of rescaling."""
    return _registry("rescalings")
