"""PyHessian, in float32 as it is used: the first eigenvalue, and a hundred products of its trace."""

from __future__ import annotations

import importlib.metadata
import math
from pathlib import Path

import numpy as np
import torch
from protocol import Prepared, serve
from pyhessian import hessian
from torch_case import network

PROBES = 100


def started(folder: Path) -> tuple[torch.nn.Module, torch.nn.Module, tuple[torch.Tensor, torch.Tensor]]:
    net, x, y = network(folder, torch.float32)
    return net, torch.nn.BCEWithLogitsLoss(), (x, y)


def clean(net: torch.nn.Module) -> None:
    """The constructor adds to gradients that are there, with their graph."""
    for parameter in net.parameters():
        parameter.grad = None


def eigenvalue(folder: Path, _size: int) -> Prepared:
    """Power iteration at the defaults, 100 steps and 1e-3 between two of them; the graph is built within the time."""
    net, loss, data = started(folder)

    def work() -> float:
        clean(net)
        (value,), _ = hessian(net, loss, data=data, cuda=False).eigenvalues()
        return value

    work()
    return work, lambda value: (value, {})


def trace(folder: Path, _size: int) -> Prepared:
    """All of the products. A tolerance of 0 would still stop it where the mean so far is negative: the sign is kept in what is
    compared with it."""
    net, loss, data = started(folder)

    def work() -> list[float]:
        clean(net)
        return hessian(net, loss, data=data, cuda=False).trace(maxIter=PROBES, tol=-math.inf)

    def answer(values: list[float]) -> tuple[float, dict[str, float]]:
        return float(np.mean(values)), {
            "std_error": float(np.std(values, ddof=1) / len(values) ** 0.5),
            "products": len(values),
        }

    work()
    return work, answer


def main() -> None:
    torch.manual_seed(1)
    serve(f"PyHessian {importlib.metadata.version('pyhessian')}", {"eigenvalue": eigenvalue, "trace": trace})


if __name__ == "__main__":
    main()
