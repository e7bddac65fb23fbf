"""PyTorch: products with a graph that is kept, an epoch of training, networks from the prior in batches."""

from __future__ import annotations

import collections
from pathlib import Path

import numpy as np
import torch
from protocol import Prepared, load, sampled, serve
from torch_case import flat, network

LOSS = torch.nn.functional.binary_cross_entropy_with_logits

# The fastest of 64, 256, 1024, 4096 and 16384 where it was tried.
BATCH = 256


def hessian_products(folder: Path, _size: int) -> Prepared:
    """The graph of the gradient is built once; a block of directions goes through it by `vmap`."""
    net, x, y = network(folder, torch.float64)
    parameters = list(net.parameters())
    gradient = torch.autograd.grad(LOSS(net(x), y), parameters, create_graph=True)
    directions = torch.tensor(load(folder, "directions"))
    block = len(directions) > 1
    rows = directions if block else directions[0]
    sizes = [parameter.numel() for parameter in parameters]
    parts = [part.reshape(rows.shape[:-1] + p.shape) for part, p in zip(rows.split(sizes, dim=-1), parameters)]

    def work() -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(gradient, parameters, parts, retain_graph=True, is_grads_batched=block)

    def answer(products: tuple[torch.Tensor, ...]) -> tuple[np.ndarray, dict[str, float]]:
        if block:
            return sampled(torch.cat([product.reshape(len(directions), -1) for product in products], dim=1)), {}
        return sampled(flat(products)), {}

    work()
    return work, answer


def epoch(folder: Path, _size: int) -> Prepared:
    """Plain SGD in float32, PyTorch's default; each request trains the first epoch, and looks at loss and errors after it."""
    net, x, y = network(folder, torch.float32)
    loss = torch.nn.BCEWithLogitsLoss()
    # Without momentum it keeps nothing from one step to the next.
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    start = flat(net.parameters()).detach().clone()

    loss(net(x), y).backward()
    optimizer.step()
    moved = sampled(flat(net.parameters()).detach() - start)

    def work() -> float:
        # A copy of 0.1 MB, a thousandth of the time.
        torch.nn.utils.vector_to_parameters(start.clone(), net.parameters())
        order = torch.randperm(len(x))
        for first in range(0, len(x), 32):
            rows = order[first : first + 32]
            optimizer.zero_grad()
            loss(net(x[rows]), y[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            logits = net(x)
            ((logits > 0) == (y > 0)).all()
            return float(loss(logits, y))

    return work, lambda found: (moved, {"loss": found})


def sampling(_folder: Path, size: int) -> Prepared:
    """Draw, evaluate, pack the labels, count: float32, ties left to rounding. A quarter of the networks: rates are compared."""
    inputs = (torch.arange(128)[:, None] >> torch.arange(6, -1, -1) & 1).to(torch.float32)

    def labels() -> torch.Tensor:
        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(BATCH, *shape) / shape[0] ** 0.5

        hidden = torch.relu(inputs @ normal(7, 40))
        hidden = torch.relu(torch.bmm(hidden, normal(40, 40)))
        return torch.bmm(hidden, normal(40, 1))[..., 0] > 0

    def work() -> collections.Counter[bytes]:
        counts: collections.Counter[bytes] = collections.Counter()
        for _ in range(0, size // 4, BATCH):
            counts.update(np.packbits(labels().numpy(), axis=1).view("V16")[:, 0].tolist())
        return counts

    def answer(counts: collections.Counter[bytes]) -> tuple[float, dict[str, float]]:
        return counts[bytes(16)] / counts.total(), {"networks": counts.total(), "functions": len(counts)}

    labels()
    return work, answer


def main() -> None:
    torch.manual_seed(1)
    works = {"hessian_products": hessian_products, "epoch": epoch, "sampling": sampling}
    serve(f"PyTorch {torch.__version__.split('+')[0]}", works)


if __name__ == "__main__":
    main()
