"""Networks a second in batched PyTorch: FCN 7-40-40-1 on all 128 inputs, on two threads, for several batches.

First the whole job, which is what `flatgauge sample` does and benches/sample.rs times: draw, evaluate, pack the labels,
count distinct functions. Then drawing and evaluating alone. float32, and ties are left to rounding.
"""

import collections
import sys
import time

import numpy as np
import torch


def labels(inputs, batch):
    def normal(*shape):
        return torch.randn(batch, *shape) / shape[0] ** 0.5
    hidden = torch.relu(inputs @ normal(7, 40))
    hidden = torch.relu(torch.bmm(hidden, normal(40, 40)))
    return torch.bmm(hidden, normal(40, 1))[..., 0] > 0


def rate(batch, seconds, counted):
    inputs = (torch.arange(128)[:, None] >> torch.arange(6, -1, -1) & 1).to(torch.float32)
    counts = collections.Counter()
    start, networks = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        signs = labels(inputs, batch)
        if counted:
            packed = np.packbits(signs.numpy(), axis=1)
            counts.update(packed.view("V16")[:, 0].tolist())
        networks += batch
    return networks / (time.perf_counter() - start)


torch.set_num_threads(2)


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    for counted in (True, False):
        for batch in (64, 256, 1024, 4096, 16384):
            what = "drawn, evaluated, counted" if counted else "drawn, evaluated"
            print(f"batch {batch}, {what}: {rate(batch, seconds, counted):.0f} networks/s")


if __name__ == "__main__":
    main()
