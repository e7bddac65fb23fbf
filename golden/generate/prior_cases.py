"""The matrices and labels on which log P(f) is certified: shared by the prior_*.py programs, which estimate alone.

Seven of them are files in golden/prior (MNIST images). The others are made here from fixtures/digits.npz, so that no
matrix of a thousand points has to be stored: the first n images, their inputs divided by 16, and the NNGP kernel of a
dense ReLU network 64-w-w-1 with weight variance 2 and bias variance 1 (arc-cosine formula, Cho and Saul 2009).
"""
import pathlib

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1] / "prior"
SIZES = [20, 100, 300, 1000]
FUNCTIONS = ["constant", "zero", "large", "random"]


def kernel(inputs):
    product = 1 + 2 * inputs @ inputs.T / inputs.shape[1]
    for _ in range(2):
        scale = np.sqrt(np.diag(product))
        unit = product / scale[:, None] / scale
        np.fill_diagonal(unit, 1)
        angle = np.arccos(np.clip(unit, -1, 1))
        dual = (np.sin(angle) + (np.pi - angle) * unit) / (2 * np.pi)
        product = 1 + 2 * dual * scale[:, None] * scale
    return product


def digits():
    images = np.load(ROOT.parents[1] / "fixtures" / "digits.npz")
    inputs, digit = images["x"].reshape(len(images["x"]), -1).astype(float) / 16, images["y"].astype(int)
    # The pseudorandom labels: bit 16 of a linear congruential sequence (Numerical Recipes' constants), from state 1.
    state, random = 1, []
    for _ in digit:
        state = (1664525 * state + 1013904223) % 2**32
        random.append(state >> 16 & 1)
    return inputs, {
        "constant": np.ones(len(digit), bool),
        "zero": digit == 0,
        "large": digit >= 5,
        "random": np.array(random, bool),
    }


def cases():
    for path in sorted(ROOT.glob("*.gram.npy")):
        name = path.name.removesuffix(".gram.npy")
        yield name, np.load(path), np.load(ROOT / f"{name}.labels.npy").astype(float)
    inputs, functions = digits()
    whole = kernel(inputs[: max(SIZES)])
    for function in FUNCTIONS:
        for n in SIZES:
            labels = np.where(functions[function][:n], 1.0, -1.0)
            yield f"digits_{function}_{n}", whole[:n, :n], labels
