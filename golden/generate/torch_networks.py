"""Remake golden/network: a residual network with batch norm, as PyTorch saves and evaluates it.

    python golden/generate/torch_networks.py golden/network

Needs torch 2.15 and safetensors 0.8. Parameters are drawn in float32 and saved as such; everything else
is computed in float64 from them. The extra `num_batches_tracked` tensors stay in the file on purpose.
"""
import json
import sys

import torch
from safetensors.torch import save_file
from torch import nn


def conv(inputs, outputs, kernel, stride=1, bias=False):
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=bias)


class Block(nn.Module):
    """Children are registered branch first: the order in which layers are numbered."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.branch = nn.Sequential(
            conv(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs), nn.ReLU(),
            conv(outputs, outputs, 3), nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x):
        return self.branch(x) + self.shortcut(x)


def flat(tensors):
    return torch.cat([t.reshape(-1) for t in tensors]).tolist()


def derivatives(net, x, y, parameters, probe):
    logits = net(x)
    loss = nn.functional.cross_entropy(logits, y)
    gradient = torch.autograd.grad(loss, parameters, create_graph=True)
    product = torch.autograd.grad(sum((g * v).sum() for g, v in zip(gradient, probe)), parameters)
    return {
        "logits": logits.tolist(), "loss": loss.item(), "gradient": flat(gradient), "hessian_probe": flat(product),
    }


def main():
    torch.manual_seed(20)
    folder = sys.argv[1]
    net = nn.Sequential(
        conv(2, 4, 3, 2), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
        Block(4, 6, 2), nn.ReLU(), conv(6, 5, 3, 1, True), nn.Tanh(), nn.AvgPool2d((1, 2), (1, 1)),
        nn.Flatten(), nn.Linear(10, 3),
    )
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2.0)
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0.0, 0.3)

    # Number the modules that hold parameters, in forward order.
    names, renamed = {}, {}
    for key, value in net.state_dict().items():
        module, tensor = key.rsplit(".", 1)
        renamed[f"{names.setdefault(module, len(names))}.{tensor}"] = value
    save_file(renamed, f"{folder}/residual.safetensors")

    net.double()
    x = torch.randn(9, 2, 13, 12, dtype=torch.float64)
    y = torch.randint(0, 3, (9,))
    parameters = list(net.parameters())
    probe = [torch.randn_like(p) for p in parameters]

    net.eval()
    record = {
        "made_by": f"PyTorch {torch.__version__}, float64 from float32 parameters",
        "inputs": x.reshape(9, -1).tolist(), "labels": y.tolist(), "probe": flat(probe),
        "eval": derivatives(net, x, y, parameters, probe),
    }
    net.train()
    record["train"] = derivatives(net, x, y, parameters, probe)
    stored = [b for n, b in net.named_buffers() if "num_batches" not in n]
    record["train"]["buffers_after"] = flat(stored)
    with open(f"{folder}/residual.json", "w") as file:
        json.dump(record, file)


if __name__ == "__main__":
    main()
