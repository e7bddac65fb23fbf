"""Remake golden/kernel/edge_images.json: kernels of convolutional networks on edge cases, to 40 digits.

    python golden/generate/kernel_edge_images.py > golden/kernel/edge_images.json

Needs mpmath 1.3. Inputs are 2 x 3 x 3 images; image 1 repeats image 0, 2 is image 0 times 1 + 1e-9, 3 is three
times it, 4 its negative, 5 differs from it by 1e-9 in one pixel, 6 is unrelated, 7 is zero.
Layers are plain loops over positions; see the functions' names.
"""
import json
import random

import mpmath as mp

mp.mp.dps = 40
C, H, W = 2, 3, 3


def images():
    """The inputs, the same at every run."""
    random.seed(3)
    base = [random.uniform(-1, 1) for _ in range(C * H * W)]
    other = [random.uniform(-1, 1) for _ in base]
    bumped = list(base)
    bumped[4] += 1e-9
    return [base, base, [v * (1 + 1e-9) for v in base], [3 * v for v in base], [-v for v in base], bumped, other,
            [0.0] * len(base)]


class Kernel:
    """Covariance c and tangent kernel t of one pair, by positions; variances of both."""

    def __init__(self, plane, c, t, p, q):
        self.plane, self.c, self.t, self.p, self.q = plane, c, t, p, q


def positions(plane):
    return [(y, x) for y in range(plane[0]) for x in range(plane[1])]


def data(x, y):
    def at(v, a):
        return [mp.mpf(v[(ch * H + a[0]) * W + a[1]]) for ch in range(C)]
    def full(u, v):
        return {(a, b): mp.fdot(at(u, a), at(v, b)) / C for a in positions((H, W)) for b in positions((H, W))}
    zero = {(a, b): mp.mpf(0) for a in positions((H, W)) for b in positions((H, W))}
    return Kernel((H, W), full(x, y), zero, full(x, x), full(y, y))


def conv(weight, bias, stride):
    """3 x 3, padding 'same'."""
    def apply(k):
        plane = tuple(-(-size // stride) for size in k.plane)
        before = [((plane[i] - 1) * stride + 3 - k.plane[i]) // 2 if (plane[i] - 1) * stride + 3 > k.plane[i] else 0
                  for i in (0, 1)]

        def total(f, a, b):
            out = mp.mpf(0)
            for i in range(3):
                for j in range(3):
                    u = (a[0] * stride + i - before[0], a[1] * stride + j - before[1])
                    v = (b[0] * stride + i - before[0], b[1] * stride + j - before[1])
                    if (u, v) in f:
                        out += f[u, v]
            return out * weight / 9

        grid = [(a, b) for a in positions(plane) for b in positions(plane)]
        c, p, q = ({ab: total(f, *ab) + bias for ab in grid} for f in (k.c, k.p, k.q))
        return Kernel(plane, c, {ab: total(k.t, *ab) + c[ab] for ab in grid}, p, q)
    return apply


def relu(k):
    def dual(p, q, c):
        if p == 0 or q == 0:
            return mp.mpf(0), mp.mpf(1) / 4
        sine = mp.sqrt(max(p * q - c * c, mp.mpf(0)))
        slope = (mp.pi - mp.atan2(sine, c)) / (2 * mp.pi)
        return sine / (2 * mp.pi) + slope * c, slope
    both = {(a, b): dual(k.p[a, a], k.q[b, b], c) for (a, b), c in k.c.items()}
    def own(f):
        return {(a, b): dual(f[a, a], f[b, b], c)[0] for (a, b), c in f.items()}
    return Kernel(k.plane, {ab: v[0] for ab, v in both.items()}, {ab: k.t[ab] * both[ab][1] for ab in k.t},
                  own(k.p), own(k.q))


def head(pairs, weight, bias):
    """Mean over the given pairs of positions, then a dense layer; ends the network."""
    def apply(k):
        chosen = pairs(k.plane)
        c, t = (sum(f[ab] for ab in chosen) / len(chosen) for f in (k.c, k.t))
        return weight * c + bias, weight * t + weight * c + bias
    return apply


def flatten(plane):
    return [(a, a) for a in positions(plane)]
def average(plane):
    return [(a, b) for a in positions(plane) for b in positions(plane)]


def block(weight, bias):
    def apply(k):
        through = conv(weight, bias, 1)(relu(k))
        def add(f, g):
            return {ab: f[ab] + g[ab] for ab in f}
        return Kernel(k.plane, add(k.c, through.c), add(k.t, through.t), add(k.p, through.p), add(k.q, through.q))
    return apply


NETWORKS = {
    "flatten": lambda w, b: [conv(w, b, 1), relu, conv(w, b, 1), relu, head(flatten, w, b)],
    "strided_average": lambda w, b: [conv(w, b, 1), relu, conv(w, b, 2), relu, head(average, w, b)],
    "residual_flatten": lambda w, b: [conv(w, b, 1), block(w, b), relu, head(flatten, w, b)],
}


def main():
    inputs = images()
    out = {"made_by": f"mpmath {mp.__version__}, 40 digits", "inputs": inputs, "cases": []}
    for name, build in NETWORKS.items():
        for weight_std, bias_std in ((1.5, 0.5), (1.25, 0.0)):
            layers = build(mp.mpf(weight_std) ** 2, mp.mpf(bias_std) ** 2)
            table = []
            for i, x in enumerate(inputs):
                row = []
                for y in inputs[: i + 1]:
                    k = data(x, y)
                    for layer in layers:
                        k = layer(k)
                    row.append([float(v) for v in k])
                table.append(row)
            def full(which):
                return [[table[max(i, j)][min(i, j)][which] for j in range(len(inputs))] for i in range(len(inputs))]
            out["cases"].append({"name": name, "weight_std": weight_std, "bias_std": bias_std, "nngp": full(0), "ntk": full(1)})
    print(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
