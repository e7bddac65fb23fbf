"""Remake the Gram matrices of golden/kernel with neural-tangents, in float64.

    pip install neural-tangents==0.6.5 jax==0.4.30 jaxlib==0.4.30 "numpy<2" "scipy<1.13" tf2jax==0.3.6
    python golden/generate/kernel.py          # compare with the files
    python golden/generate/kernel.py --write  # replace them

Inputs (NAME.x.npy; images as n, height, width, channel) stay as they are. Weights N(0, weight_std^2 / fan_in),
biases N(0, bias_std^2), NTK parametrisation.
"""
import json
import sys
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)
import numpy as np  # noqa: E402
from neural_tangents import stax  # noqa: E402

FOLDER = Path(__file__).parent.parent / "kernel"


def network(case):
    std = {"W_std": case["weight_std"], "b_std": case["bias_std"], "parameterization": "ntk"}
    dense = stax.Dense(1, **std)
    conv = stax.Conv(1, (3, 3), padding="SAME", **std)
    relu = stax.Relu()
    if case["arch"] == "fcn":
        # stax.Erf is erf(x) with a = b = 1, c = 0.
        activation = relu if case["activation"] == "relu" else stax.Erf()
        layers = []
        for _ in range(case["depth"]):
            layers += [stax.Dense(1, **std), activation]
        return stax.serial(*layers, dense)
    if case["name"].startswith("cnn_flatten"):
        return stax.serial(conv, relu, conv, relu, stax.Flatten(), dense)
    if case["name"].startswith("cnn_gap"):
        return stax.serial(conv, relu, conv, relu, stax.GlobalAvgPool(), dense)
    if case["name"].startswith("cnn_avgpool"):
        pool = stax.AvgPool((2, 2), strides=(2, 2))
        return stax.serial(conv, relu, pool, conv, relu, stax.Flatten(), dense)
    branch = stax.serial(relu, conv, relu, conv)
    block = stax.serial(stax.FanOut(2), stax.parallel(branch, stax.Identity()), stax.FanInSum())
    return stax.serial(conv, block, relu, stax.GlobalAvgPool(), dense)


def main():
    for case in json.loads((FOLDER / "kernel.json").read_text())["cases"]:
        x = np.load(FOLDER / f"{case['name']}.x.npy")
        kernel_fn = network(case)[2]
        for kind in ("nngp", "ntk"):
            new = np.asarray(kernel_fn(x, x, kind))
            path = FOLDER / f"{case['name']}.{kind}.npy"
            old = np.load(path)
            scale = np.sqrt(np.outer(np.diag(new), np.diag(new)))
            print(f"{case['name']:16} {kind:5} {np.max(np.abs(old - new) / scale):.1e}")
            if "--write" in sys.argv:
                np.save(path, new)


if __name__ == "__main__":
    main()
