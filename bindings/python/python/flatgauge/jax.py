"""Architectures as JAX functions; ``case.jax()`` is made of these. Needs JAX (``flatgauge[jax]``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ._case import Case, layout

__all__ = ["functions", "loss"]

BATCH_NORM_EPSILON = 1e-5
MOST_CLASSES = 64


def _padding(padding: Any, shape: Sequence[int], kernel: Sequence[int], stride: Sequence[int]) -> list[tuple[int, int]]:
    if padding == "valid":
        return [(0, 0), (0, 0)]
    if padding == "same":
        totals = [
            max((-(-size // step) - 1) * step + width - size, 0) for size, width, step in zip(shape, kernel, stride)
        ]
        return [(total // 2, total - total // 2) for total in totals]
    return [(zeros, zeros) for zeros in padding]


def _run(
    specs: Sequence[Mapping[str, Any]], tensors: Mapping[str, Any], x: Any, layer: int
) -> tuple[Any, int]:
    for spec in specs:
        kind = spec["type"]
        if kind == "dense":
            x = x.reshape(len(x), -1) @ tensors[f"{layer}.weight"].T + tensors[f"{layer}.bias"]
            layer += 1
        elif kind == "conv":
            stride = spec.get("stride", [1, 1])
            padding = _padding(spec["padding"], x.shape[2:], spec["kernel"], stride)
            x = lax.conv_general_dilated(x, tensors[f"{layer}.weight"], stride, padding)
            if spec.get("bias", True):
                x = x + tensors[f"{layer}.bias"][:, None, None]
            layer += 1
        elif kind == "batch_norm":
            across = (slice(None), *(None,) * (x.ndim - 2))
            mean, variance, weight, bias = (
                tensors[f"{layer}.{name}"][across] for name in ("running_mean", "running_var", "weight", "bias")
            )
            x = (x - mean) / jnp.sqrt(variance + BATCH_NORM_EPSILON) * weight + bias
            layer += 1
        elif kind in ("relu", "tanh", "erf"):
            x = {"relu": jax.nn.relu, "tanh": jnp.tanh, "erf": jax.scipy.special.erf}[kind](x)
        elif kind in ("avg_pool", "max_pool"):
            size, zeros = spec["size"], spec.get("padding", [0, 0])
            stride = spec.get("stride") or size
            padding = [(0, 0), (0, 0), *((zero, zero) for zero in zeros)]
            start, step = (0.0, lax.add) if kind == "avg_pool" else (-jnp.inf, lax.max)
            x = lax.reduce_window(x, start, step, (1, 1, *size), (1, 1, *stride), padding)
            if kind == "avg_pool":
                x = x / (size[0] * size[1])
        elif kind == "global_avg_pool":
            x = x.mean((2, 3))
        elif kind == "flatten":
            x = x.reshape(len(x), -1)
        elif kind == "residual":
            branch, layer = _run(spec["branch"], tensors, x, layer)
            shortcut, layer = _run(spec.get("shortcut", []), tensors, x, layer)
            x = shortcut + branch
        else:
            raise ValueError(f"a layer of type '{kind}' is unknown here")
    return x, layer


def softplus(x: Any) -> Any:
    """``log(1 + e^x)`` whose second derivative keeps its digits on either side, and at 0."""
    above = x > 0
    return jnp.where(above, x, 0.0) + jnp.log1p(jnp.exp(jnp.where(above, -x, x)))


def log_sum_exp(x: Any) -> Any:
    """``log sum_j e^(x_j)`` over columns, as :func:`flatgauge.torch.log_sum_exp`."""
    if x.shape[1] > MOST_CLASSES:
        return jax.scipy.special.logsumexp(x, axis=1)
    columns = jnp.sort(x, axis=1)
    total = columns[:, 0]
    for index in range(1, x.shape[1]):
        total = columns[:, index] + softplus(total - columns[:, index])
    return total


def loss(name: str, scale: float = 1.0) -> Callable[[Any, Any], Any]:
    """The mean loss of logits (n x outputs) and targets, as :func:`flatgauge.torch.loss`."""

    def bce(logits: Any, y: Any) -> Any:
        return scale * softplus((1 - 2 * y.reshape(-1)) * logits[:, 0]).mean()

    def ce(logits: Any, y: Any) -> Any:
        labels = y.reshape(-1).astype(int)
        others = (labels[:, None] + jnp.arange(1, logits.shape[1])) % logits.shape[1]
        against = jnp.take_along_axis(logits, others, 1) - jnp.take_along_axis(logits, labels[:, None], 1)
        return scale * softplus(log_sum_exp(against)).mean()

    def mse(logits: Any, y: Any) -> Any:
        return scale * ((logits - y.reshape(logits.shape)) ** 2).sum(1).mean()

    return {"bce": bce, "ce": ce, "mse": mse}[name]


def functions(case: Case) -> tuple[Callable[[Any, Any], Any], dict[str, Any], Callable[[Any, Any], Any], Any, Any]:
    """``apply, params, loss, x, y`` of a case, in its dtype."""
    jax.config.update("jax_enable_x64", True)
    rows = layout(case.architecture)["buffers"]
    stored = {row["name"]: jnp.array(case.buffers[row["start"] : row["stop"]].reshape(row["shape"])) for row in rows}

    def apply(params: Mapping[str, Any], x: Any) -> Any:
        return _run(case.architecture["layers"], {**stored, **params}, x, 0)[0]

    params = {name: jnp.array(value) for name, value in case.parameters.items()}
    x, y = jnp.array(np.asarray(case.inputs)), jnp.array(np.asarray(case.targets))
    return apply, params, loss(case.loss, case.loss_scale), x, y
