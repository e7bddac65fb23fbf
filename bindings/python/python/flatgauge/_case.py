"""Cases: what an estimator is asked about."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _flatgauge

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@lru_cache(maxsize=256)
def _layout_of(document: str) -> dict[str, Any]:
    layout: dict[str, Any] = json.loads(_flatgauge.layout(document))
    return layout


def layout(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """Names, shapes and places of an architecture's tensors in its flat vectors."""
    return _layout_of(json.dumps(architecture, sort_keys=True))


def _split(vector: Array, rows: list[dict[str, Any]]) -> dict[str, Array]:
    return {row["name"]: vector[row["start"] : row["stop"]].reshape(row["shape"]) for row in rows}


@dataclass(frozen=True, eq=False)
class Case:
    """A network, data and a loss, on which a flatness measure is asked for.

    Attributes
    ----------
    measure : str
        Which measure (its id).
    architecture : dict
        Input shape and layers, as in architecture files.
    theta : (P,) float64
        The parameters, tensor after tensor (weight before bias, in forward order).
    buffers : (B,) float64
        Stored means and variances of batch norms; empty without them.
    inputs : (n, d) or (n, c, h, w) float64
        One row a sample, in the architecture's input shape.
    targets : (n,) or (n, outputs) float64
        Labels 0 or 1 (``bce``), class indices (``ce``), numbers (``mse``).
    loss : str
        ``bce``, ``ce`` or ``mse``: a mean over samples; ``mse`` sums over outputs and has no factor 1/2.
    loss_scale : float
        Factor on the loss; 1 unless a law asks for another.
    options : dict
        Settings of the measure by their full names (``box_radius``, ``eigenvalue_count``, ...).
    seed : int
        Where all random numbers must come from.

    Arrays are float32 for an estimator that is said to compute so (``dtype="float32"``).
    """

    measure: str
    architecture: dict[str, Any]
    theta: Array
    buffers: Array
    inputs: Array
    targets: Array
    loss: str
    loss_scale: float = 1.0
    options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0

    @property
    def parameters(self) -> dict[str, Array]:
        """The parameters by name (``0.weight``, ``0.bias``, ...) in PyTorch's shapes; views of `theta`."""
        return _split(self.theta, layout(self.architecture)["tensors"])

    @property
    def state_dict(self) -> dict[str, Array]:
        """Parameters and the statistics of batch norms by name."""
        return {**self.parameters, **_split(self.buffers, layout(self.architecture)["buffers"])}

    @cached_property
    def logits(self) -> Array:
        """What the network says of `inputs` (n x outputs), by the library itself."""
        flat = self.inputs.reshape(len(self.inputs), -1)
        numbers = [np.asarray(array, dtype=np.float64) for array in (self.theta, self.buffers, flat)]
        return _flatgauge.logits(json.dumps(self.architecture), *numbers)

    def with_seed(self, seed: int) -> Case:
        """The same case under another seed."""
        return replace(self, seed=seed)

    def torch(self) -> tuple[Any, Callable[[Any, Any], Any], Any, Any]:
        """The case in PyTorch: ``net, loss, x, y``.

        `net` is a module in the dtype of the case (float64 unless asked otherwise) and eval mode, with the parameters in the order of `theta`; ``loss(net(x), y)`` is
        the mean loss (times `loss_scale`), twice differentiable without loss of digits at any margin. Batch norms use
        their stored statistics.
        """
        from . import torch as bridge

        net = bridge.module(self.architecture, self.theta, self.buffers)
        x, y = bridge.tensor(self.inputs), bridge.tensor(self.targets)
        return net.to(x.dtype), bridge.loss(self.loss, self.loss_scale), x, y

    def jax(self) -> tuple[Callable[[Any, Any], Any], dict[str, Any], Callable[[Any, Any], Any], Any, Any]:
        """The case in JAX: ``apply, params, loss, x, y``.

        ``apply(params, x)`` gives the logits, `params` is a dictionary by name, ``loss(logits, y)`` the mean loss (times
        `loss_scale`). All in the dtype of the case, float64 unless asked otherwise (``jax_enable_x64`` is switched on).
        """
        from . import jax as bridge

        return bridge.functions(self)


@dataclass(frozen=True, eq=False)
class PriorCase:
    """A Gram matrix and labels, of which log P(f) is asked for.

    Attributes
    ----------
    gram : (n, n) float64
        Covariance of the logits under the prior.
    labels : (n,) int8
        +1 or -1.
    link : str
        ``step``: ``Pr[y_i g_i > 0 for all i]``; ``probit``: the same with unit noise on every ``g_i``.
    seed : int
        Where all random numbers must come from.
    """

    gram: Array
    labels: NDArray[np.int8]
    link: str
    method: str = ""
    seed: int = 0

    def with_seed(self, seed: int) -> PriorCase:
        """The same case under another seed."""
        return replace(self, seed=seed)


@dataclass(frozen=True, eq=False)
class KernelCase:
    """An architecture and inputs, of which a Gram matrix is asked for.

    Attributes
    ----------
    architecture : dict
        Input shape, layers, `weight_std` and `bias_std`.
    inputs : (n, d) or (n, c, h, w) float64
        One row an input.
    kind : str
        ``nngp`` or ``ntk``.
    samples : int
        Networks to average over, for methods that sample.
    seed : int
        Where all random numbers must come from.
    """

    architecture: dict[str, Any]
    inputs: Array
    kind: str
    samples: int = 1000
    seed: int = 0

    def with_seed(self, seed: int) -> KernelCase:
        """The same case under another seed."""
        return replace(self, seed=seed)
