"""Remake golden/kernel/edge_rows.json: kernels of the first rows of the fully connected cases, to 40 digits.

    python golden/generate/kernel_edge_rows.py golden/kernel

Needs mpmath 1.3 and numpy. Rows 1 to 4 repeat row 0, exactly and nearly, or are parallel or antipodal to it.
There the tangent kernel depends on an angle that float64 arithmetic on covariances (neural-tangents, and so
NAME.ntk.npy) knows to half its digits only: those values are off by up to 2e-8, and these replace them.
"""
import json
import sys

import mpmath as mp
import numpy as np

mp.mp.dps = 40
ROWS = 8


def relu(p, q, c):
    sine = mp.sqrt(max(p * q - c * c, mp.mpf(0)))
    slope = (mp.pi - mp.atan2(sine, c)) / (2 * mp.pi)
    return sine / (2 * mp.pi) + slope * c, slope


def erf(p, q, c):
    product = (1 + 2 * p) * (1 + 2 * q)
    return 2 / mp.pi * mp.asin(2 * c / mp.sqrt(product)), 4 / mp.pi / mp.sqrt(product - 4 * c * c)


def kernels(x, y, record):
    weight, bias = mp.mpf(record["weight_std"]) ** 2, mp.mpf(record["bias_std"]) ** 2
    dual = {"relu": relu, "erf": erf}[record["activation"]]
    p, q, c = (weight * mp.fdot(a, b) / len(x) + bias for a, b in ((x, x), (y, y), (x, y)))
    tangent = c
    for _ in range(record["depth"]):
        value, slope = dual(p, q, c)
        c = weight * value + bias
        tangent = weight * slope * tangent + c
        p, q = (weight * dual(v, v, v)[0] + bias for v in (p, q))
    return c, tangent


def main():
    folder = sys.argv[1]
    out = {"made_by": f"mpmath {mp.__version__}, 40 digits", "cases": []}
    for record in json.load(open(f"{folder}/kernel.json"))["cases"]:
        if record["arch"] != "fcn":
            continue
        x = [[mp.mpf(float(v)) for v in row] for row in np.load(f"{folder}/{record['name']}.x.npy")[:ROWS]]
        pairs = [[kernels(a, b, record) for b in x] for a in x]
        nngp, ntk = ([[float(pair[k]) for pair in row] for row in pairs] for k in (0, 1))
        out["cases"].append({"name": record["name"], "nngp": nngp, "ntk": ntk})
    json.dump(out, open(f"{folder}/edge_rows.json", "w"), indent=1)


if __name__ == "__main__":
    main()
