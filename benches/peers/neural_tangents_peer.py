"""Neural Tangents: analytic NNGP matrices, compiled before they are timed, in float64."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)
import numpy as np  # noqa: E402
from neural_tangents import stax  # noqa: E402
from protocol import Prepared, load, projected, serve  # noqa: E402

DENSE = {"W_std": 2**0.5, "b_std": 1.0}
IMAGE = {"W_std": 2**0.5, "b_std": 0.5}
CONVOLUTION = (stax.Conv(1, (3, 3), padding="SAME", **IMAGE), stax.Relu())


def gram(layers: list, inputs: np.ndarray) -> Prepared:
    _, _, kernel = stax.serial(*layers)
    inputs = jax.numpy.asarray(inputs)
    compiled = jax.jit(lambda x: kernel(x, None, "nngp")).lower(inputs).compile()
    return lambda: compiled(inputs).block_until_ready(), lambda found: (projected(found), {})


def dense(folder: Path, _size: int) -> Prepared:
    return gram([stax.Dense(1, **DENSE), stax.Relu()] * 2 + [stax.Dense(1, **DENSE)], load(folder, "x"))


def convolutional(pooling: Callable) -> Callable[[Path, int], Prepared]:
    def prepare(folder: Path, _size: int) -> Prepared:
        images = load(folder, "x")
        side = round(images.shape[1] ** 0.5)
        layers = [*CONVOLUTION, *CONVOLUTION, pooling(), stax.Dense(1, **IMAGE)]
        return gram(layers, images.reshape(len(images), side, side, 1))

    return prepare


def main() -> None:
    works = {"dense": dense, "flatten": convolutional(stax.Flatten), "average": convolutional(stax.GlobalAvgPool)}
    serve(f"Neural Tangents {importlib.metadata.version('neural-tangents')}", works)


if __name__ == "__main__":
    main()
