"""Writes the inputs of a row as .npy files, the same for both sides: `python inputs.py KIND DIR SIZE`.

`python inputs.py speed` prints what this machine's products of matrices reach in numpy, in floating-point operations a second.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

SEED = 1
FEATURES = 784
DIGITS = Path(__file__).resolve().parents[2] / "fixtures" / "digits.npz"

# Variances of weights (times the fan-in) and biases.
WEIGHT_VARIANCE, BIAS_VARIANCE = 2.0, 1.0


def images(size: int) -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng([SEED, size]).random((size, FEATURES))}


def network(size: int, block: int) -> dict[str, np.ndarray]:
    """Images with random labels, a network 784-40-40-1 from the prior, directions."""
    draws = np.random.default_rng([SEED, size, block])
    tensors = []
    for fan_in, units in ((FEATURES, 40), (40, 40), (40, 1)):
        tensors.append(draws.standard_normal(fan_in * units) * (WEIGHT_VARIANCE / fan_in) ** 0.5)
        tensors.append(draws.standard_normal(units) * BIAS_VARIANCE**0.5)
    theta = np.concatenate(tensors)
    return {
        **images(size),
        "y": draws.integers(0, 2, size).astype(float),
        "theta": theta,
        "directions": draws.standard_normal((block, len(theta))),
    }


def nngp(x: np.ndarray) -> np.ndarray:
    """Two hidden layers of ReLUs, by the formula of Cho and Saul (2009)."""
    gram = WEIGHT_VARIANCE * x @ x.T / x.shape[1] + BIAS_VARIANCE
    for _ in range(2):
        scale = np.sqrt(np.diag(gram))
        cosine = np.clip(gram / np.outer(scale, scale), -1.0, 1.0)
        np.fill_diagonal(cosine, 1.0)
        angle = np.arccos(cosine)
        mean = np.outer(scale, scale) * (np.sin(angle) + (np.pi - angle) * cosine) / (2 * np.pi)
        gram = WEIGHT_VARIANCE * mean + BIAS_VARIANCE
    return (gram + gram.T) / 2


def digits(size: int, constant: bool) -> dict[str, np.ndarray]:
    """The NNGP matrix of the first handwritten digits, labelled by digit >= 5, or all alike."""
    archive = np.load(DIGITS)
    x = archive["x"].reshape(len(archive["x"]), -1)[:size].astype(float) / 16.0
    labels = np.where((archive["y"].ravel()[:size] >= 5) | constant, 1.0, -1.0)
    return {"gram": nngp(x), "labels": labels}


KINDS = {
    "images": images,
    "network": lambda size: network(size, 1),
    "network_16": lambda size: network(size, 16),
    "digits": lambda size: digits(size, False),
    "constant_digits": lambda size: digits(size, True),
    "none": lambda size: {},
}


def speed(size: int = 1536, repetitions: int = 7) -> dict[str, float]:
    """2 n^3 over the best time of a product of n x n matrices."""
    found = {}
    for name, dtype in (("float64", np.float64), ("float32", np.float32)):
        a, b = (np.random.default_rng(seed).random((size, size)).astype(dtype) for seed in (1, 2))
        times = []
        for _ in range(repetitions):
            start = time.perf_counter()
            a @ b
            times.append(time.perf_counter() - start)
        found[name] = 2 * size**3 / min(times)
    return found


def main() -> None:
    if sys.argv[1] == "speed":
        print(json.dumps(speed()))
        return
    kind, folder, size = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    for name, array in KINDS[kind](size).items():
        np.save(folder / f"{name}.npy", np.ascontiguousarray(array))


if __name__ == "__main__":
    main()
