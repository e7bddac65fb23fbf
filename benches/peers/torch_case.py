"""The network of a folder as a PyTorch module."""

from __future__ import annotations

from pathlib import Path

import torch
from protocol import load


def network(folder: Path, dtype: torch.dtype) -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    """d-40-40-1 at the parameters of theta.npy (weight before bias, layer after layer), its inputs and its labels."""
    x, y, theta = (torch.tensor(load(folder, name)).to(dtype) for name in ("x", "y", "theta"))
    layers = [
        torch.nn.Linear(x.shape[1], 40),
        torch.nn.ReLU(),
        torch.nn.Linear(40, 40),
        torch.nn.ReLU(),
        torch.nn.Linear(40, 1),
    ]
    net = torch.nn.Sequential(*layers).to(dtype)
    torch.nn.utils.vector_to_parameters(theta, net.parameters())
    return net, x, y[:, None]


def flat(tensors: object) -> torch.Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])
