"""Networks a second in batched PyTorch: FCN 7-40-40-1 on all 128 inputs, on two threads, the best of several batches."""

import sys
import time

import torch


def rate(batch, seconds):
    inputs = (torch.arange(128)[:, None] >> torch.arange(6, -1, -1) & 1).to(torch.float32)
    start, networks = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        normal = lambda *shape: torch.randn(batch, *shape) / shape[0] ** 0.5
        hidden = torch.relu(inputs @ normal(7, 40))
        hidden = torch.relu(torch.bmm(hidden, normal(40, 40)))
        torch.bmm(hidden, normal(40, 1))[..., 0] > 0
        networks += batch
    return networks / (time.perf_counter() - start)


torch.set_num_threads(2)
seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
for batch in (256, 1024, 4096, 16384):
    print(f"batch {batch}: {rate(batch, seconds):.0f} networks/s")
