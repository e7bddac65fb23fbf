"""A case of the gate as a PyTorch module with data and loss, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from .protocol import Skip, bindings, split, tensors

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
bridge = bindings("torch")


def kinds(specs: list[dict[str, Any]]) -> set[str]:
    """Types of all layers, those within residual blocks included."""
    out = set()
    for spec in specs:
        out |= {spec["type"]} | kinds(spec.get("branch", [])) | kinds(spec.get("shortcut", []))
    return out


class Loss(nn.Module):
    """The gate's mean loss; its second derivatives keep their digits at every margin."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.function = bridge.loss(name)
        # Packages ask how a loss module reduces.
        self.reduction = "mean"

    def forward(self, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.function(logits, y)


class TwoLogits(nn.Module):
    """One logit z as the two logits (0, z) of a softmax: the same probabilities."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.net(x)
        return torch.cat([torch.zeros_like(z), z], 1)


class TorchCase:
    """``net``, ``x``, ``y`` and ``loss`` of a request, and its numbers as one flat vector."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.request, self.name = request, request["loss"]
        self.kinds = kinds(request["architecture"]["layers"])
        self.options, self.seed = request["options"], request["seed"]
        stored = tensors(request["net"])
        weights, statistics = split(stored)
        flat = [np.concatenate([stored[n].ravel() for n in names]) if names else np.zeros(0) for names in (weights, statistics)]
        self.net = bridge.module(request["architecture"], flat[0], flat[1] if len(flat[1]) else None)
        self.theta = torch.tensor(flat[0])
        for layer in self.net.modules():
            # "same" in numbers, which every package reads.
            if isinstance(layer, nn.Conv2d) and layer.padding == "same" and all(k % 2 for k in layer.kernel_size):
                layer.padding = tuple(k // 2 for k in layer.kernel_size)
        with np.load(request["data"]) as data:
            shape = request["architecture"]["input"]
            self.x = torch.tensor(np.asarray(data["x"], float).reshape(-1, *shape))
            y = np.asarray(data["y"], float)
        n = len(self.x)
        self.y = torch.tensor(y.reshape(n)).long() if self.name == "ce" else torch.tensor(y.reshape(n, -1))
        self.loss = Loss(self.name)
        torch.manual_seed(self.seed)
        np.random.seed(self.seed)

    @property
    def parameters(self) -> int:
        return len(self.theta)

    @property
    def outputs(self) -> int:
        return self.request["architecture"]["layers"][-1]["units"]

    def batches(self, size: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The data in batches of this size, or in three of which the last is smaller."""
        size = size or -(-2 * len(self.x) // 5)
        return list(zip(self.x.split(size), self.y.split(size)))

    def limit(self, most: int) -> None:
        """Declines networks beyond what a quick run has time for."""
        if self.parameters > most:
            raise Skip(f"{self.parameters} parameters: the survey asks for at most {most} here")

    def without(self, *unsupported: str) -> None:
        """Declines layers that the package does not support."""
        found = sorted(self.kinds & set(unsupported))
        if found:
            raise Skip(f"layer {', '.join(found)} is not supported by the package")

    def builtin_loss(self) -> tuple[nn.Module, float]:
        """PyTorch's own loss module, and what its value must be multiplied with to be the gate's."""
        if self.name == "bce":
            return nn.BCEWithLogitsLoss(), 1.0
        if self.name == "ce":
            return nn.CrossEntropyLoss(), 1.0
        return nn.MSELoss(), float(self.outputs)
