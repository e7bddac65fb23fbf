"""Remake golden/kernel/deep_erf.json: kernels of deep erf networks, to 60 digits.

    python golden/generate/kernel_deep_erf.py golden/kernel

Needs mpmath 1.3. The inputs: ordinary ones of different lengths, a copy that is nearly the first, one parallel and one
antipodal to it. Depth is the number of hidden layers. The recursion is that of Williams 1997 and Jacot et al. 2018 on
covariances, with digits enough for nearly parallel inputs.
"""
import json
import sys

import mpmath as mp

mp.mp.dps = 60
INPUTS = [
    [0.5, -1.25, 0.75, 2.0],
    [0.5 + 2.0**-30, -1.25, 0.75, 2.0],
    [1.0, -2.5, 1.5, 4.0],
    [-0.5, 1.25, -0.75, -2.0],
    [0.125, 0.375, -0.25, 0.0625],
    [1.5, 0.25, 1.0, -0.5],
    [-3.0, 0.5, 2.25, 1.125],
]
DEPTHS = [10, 30, 50, 100]


def dual(p, q, c):
    product = (1 + 2 * p) * (1 + 2 * q)
    return 2 / mp.pi * mp.asin(2 * c / mp.sqrt(product)), 4 / mp.pi / mp.sqrt(product - 4 * c * c)


def kernels(x, y, weight_std, bias_std):
    """NNGP and tangent kernel at every depth of DEPTHS."""
    weight, bias = mp.mpf(weight_std) ** 2, mp.mpf(bias_std) ** 2
    p, q, c = (weight * mp.fdot(a, b) / len(x) + bias for a, b in ((x, x), (y, y), (x, y)))
    tangent, found = c, []
    for depth in range(1, DEPTHS[-1] + 1):
        value, slope = dual(p, q, c)
        c = weight * value + bias
        tangent = weight * slope * tangent + c
        p, q = (weight * dual(v, v, v)[0] + bias for v in (p, q))
        if depth in DEPTHS:
            found.append((c, tangent))
    return found


rows = [[mp.mpf(v) for v in row] for row in INPUTS]
cases = []


def main():
    for weight_std in (0.7, 1.0, 1.1, 1.4142135623730951, 3.0):
        for bias_std in (0.0, 0.3):
            pairs = [[kernels(x, y, weight_std, bias_std) for y in rows] for x in rows]
            for index, depth in enumerate(DEPTHS):
                nngp, ntk = ([[float(pair[index][k]) for pair in row] for row in pairs] for k in (0, 1))
                cases.append({"depth": depth, "weight_std": weight_std, "bias_std": bias_std, "nngp": nngp, "ntk": ntk})
    out = {"made_by": f"mpmath {mp.__version__}, 60 digits", "inputs": INPUTS, "cases": cases}
    json.dump(out, open(f"{sys.argv[1]}/deep_erf.json", "w"), indent=None, separators=(",", ":"))


if __name__ == "__main__":
    main()
