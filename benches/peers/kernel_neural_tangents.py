"""neural-tangents' time (jit, float64) for what benches/gp_kernel.rs times, and for convolutional kernels, in seconds.

Needs neural-tangents==0.6.5 jax==0.4.30 jaxlib==0.4.30 "numpy<2" "scipy<1.13" tf2jax==0.3.6. The convolutional ones beside it:

    flatgauge kernel --arch conv.toml --inputs x.npy --out k.npy

where conv.toml has two convolutions of 3 x 3 with padding "same" and ReLUs, flattened (n = 100) or globally averaged (n = 20),
on inputs of 1 x 28 x 28.
"""

import time

import jax
import numpy as np

jax.config.update("jax_enable_x64", True)
from neural_tangents import stax  # noqa: E402

DENSE = dict(W_std=2**0.5, b_std=1.0)
IMAGE = dict(W_std=2**0.5, b_std=0.5)


def median(name, layers, inputs, runs):
    _, _, kernel = stax.serial(*layers)
    gram = jax.jit(lambda x: kernel(x, None, "nngp"))
    inputs = jax.numpy.asarray(inputs)
    gram(inputs).block_until_ready()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        gram(inputs).block_until_ready()
        seconds.append(time.perf_counter() - start)
    print(f"{name}: {np.median(seconds):.4f}", flush=True)


draws = np.random.default_rng(0)
dense = [stax.Dense(1, **DENSE), stax.Relu()] * 2 + [stax.Dense(1, **DENSE)]


def main():
    for n in (500, 1000):
        median(f"fcn depth 2, n={n}, d=784", dense, draws.random((n, 784)), 9)
    images = [stax.Conv(1, (3, 3), padding="SAME", **IMAGE), stax.Relu()] * 2
    median("flattened, n=100", images + [stax.Flatten(), stax.Dense(1, **IMAGE)], draws.random((100, 28, 28, 1)), 5)
    median("global average, n=20", images + [stax.GlobalAvgPool(), stax.Dense(1, **IMAGE)], draws.random((20, 28, 28, 1)), 2)


if __name__ == "__main__":
    main()
