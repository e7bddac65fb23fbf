"""Orthant probabilities with a closed form or a one-dimensional integral, for golden/prior.

mpmath==1.3.0. Run from the repository's root: python golden/generate/prior_closed_form.py

- n = 2: 1/4 + asin(rho) / (2 pi) (Sheppard 1899); n = 3: 1/8 + (sum of asin) / (4 pi).
- one factor, R_ij = l_i l_j: int phi(z) prod Phi(l_i z / sqrt(1 - l_i^2)) dz; equal loadings give the
  equicorrelated matrix, and rho = 1/2 gives 1 / (n + 1), which the integral is held to below.
40 digits, and the integral is done twice, in pieces and shifted pieces, agreeing to 1e-25.
"""
import json
import pathlib

import mpmath as mp

mp.mp.dps = 40
ROOT = pathlib.Path(__file__).resolve().parents[1] / "prior"


def log_phi(x):
    return mp.log(mp.erfc(-x / mp.sqrt(2)) / 2)


def one_factor(loadings):
    slopes = [x / mp.sqrt(1 - x * x) for x in loadings]
    distinct = {s: slopes.count(s) for s in slopes}

    def log_f(z):
        return -z * z / 2 - mp.log(2 * mp.pi) / 2 + sum(c * log_phi(s * z) for s, c in distinct.items())

    grid = [mp.mpf(k) / 20 for k in range(-800, 801)]
    mode = max(grid, key=log_f)
    peak = log_f(mode)

    def f(z):
        return mp.exp(log_f(z) - peak)

    results = []
    for offset in (0, mp.mpf(3) / 16):
        ends = [mode + offset + mp.mpf(k) / 4 for k in range(-64, 65)]
        results.append(peak + mp.log(mp.quad(f, ends)))
    assert abs(results[0] - results[1]) < mp.mpf(10) ** -25, results
    return results[0]


def number(x):
    return float(mp.nstr(x, 20))


records = []


def main():
    for n, rho in [(1, "0.3"), (2, "0.3"), (2, "-0.999999"), (3, "-0.2"), (3, "-0.49"), (3, "0.7"), (5, "0.5"), (20, "0.5"),
                   (100, "0.5"), (1000, "0.5"), (50, "0.9"), (200, "0.99"), (300, "0.1"), (1000, "0.02"), (1000, "0.999")]:
        rho_exact = mp.mpf(float(rho))  # the double the tests will see
        if n == 1:
            value = mp.log(mp.mpf(1) / 2)
        elif n == 2:
            value = mp.log(mp.mpf(1) / 4 + mp.asin(rho_exact) / (2 * mp.pi))
        elif n == 3:
            value = mp.log(mp.mpf(1) / 8 + 3 * mp.asin(rho_exact) / (4 * mp.pi))
        else:
            value = one_factor([mp.sqrt(rho_exact)] * n)
        if rho == "0.5":
            assert abs(value + mp.log(n + 1)) < mp.mpf(10) ** -25
        records.append({"form": "equicorrelated", "n": n, "rho": float(rho), "value": number(value)})
        print(records[-1], flush=True)

    for r in [(0.5, -0.3, 0.2), (-0.6, -0.5, -0.1), (0.9, 0.8, 0.95), (-0.55, -0.55, -0.39)]:
        value = mp.log(mp.mpf(1) / 8 + sum(mp.asin(mp.mpf(x)) for x in r) / (4 * mp.pi))
        records.append({"form": "three points", "r12": r[0], "r13": r[1], "r23": r[2], "value": number(value)})

    for loadings in [[0.3, -0.9, 0.5, -0.2, 0.95], [0.1 * k for k in range(-9, 10) if k], [0.99, -0.99, 0.98, -0.97, 0.5, 0.4]]:
        value = one_factor([mp.mpf(x) for x in loadings])
        records.append({"form": "one factor", "loadings": loadings, "value": number(value)})
        print(records[-1], flush=True)

    program = f"mpmath {mp.__version__}, 40 digits; golden/generate/prior_closed_form.py"
    text = json.dumps({"program": program, "records": records}, indent=1) + "\n"
    (ROOT / "sources" / "closed_form_mpmath.json").write_text(text)


if __name__ == "__main__":
    main()
