"""curvlinops: a block of products by its operator, in float64."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import numpy as np
import torch
from curvlinops import HessianLinearOperator
from protocol import Prepared, load, sampled, serve
from torch_case import network


def hessian_products(folder: Path, _size: int) -> Prepared:
    net, x, y = network(folder, torch.float64)
    loss = torch.nn.BCEWithLogitsLoss()
    operator = HessianLinearOperator(net, loss, list(net.parameters()), [(x, y)], check_deterministic=False)
    columns = torch.tensor(load(folder, "directions")).T.contiguous()

    def work() -> torch.Tensor:
        return operator @ columns

    def answer(products: torch.Tensor) -> tuple[np.ndarray, dict[str, float]]:
        return sampled(products.detach().T), {}

    work()
    return work, answer


def main() -> None:
    serve(f"curvlinops {importlib.metadata.version('curvlinops-for-pytorch')}", {"hessian_products": hessian_products})


if __name__ == "__main__":
    main()
