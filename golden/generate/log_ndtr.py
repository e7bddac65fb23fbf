"""Remake golden/normal/log_ndtr.json: log Phi(z) and phi(z) / Phi(z) with mpmath 1.3.

    python golden/generate/log_ndtr.py          # compare with the file
    python golden/generate/log_ndtr.py --write  # replace it

The arguments are those of the file. The working precision grows with |z|, so that nothing cancels; beyond
|z| = 1e5 the asymptotic series is used (Abramowitz and Stegun 7.1.23).
"""
import json
import sys
from pathlib import Path

import mpmath as mp

PATH = Path(__file__).parent.parent / "normal" / "log_ndtr.json"


def values(z):
    z = mp.mpf(z)
    if z < -100000:
        x = -z
        tail = 1 - 1 / x**2 + 3 / x**4
        return -x * x / 2 - mp.log(x * mp.sqrt(2 * mp.pi)) + mp.log(tail), x / tail
    with mp.workdps(60 + int(min(z * z / 4, 700))):
        phi = mp.erfc(-z / mp.sqrt(2)) / 2
        if phi > 0.5:
            complement = mp.erfc(z / mp.sqrt(2)) / 2
            return mp.log1p(-complement), mp.npdf(z) / (1 - complement)
        if z < -50:
            # erfc underflows no mpmath number, but the ratio is what is wanted.
            fraction = mp.mpf(0)
            for k in range(4000, 0, -1):
                fraction = k / (-z + fraction)
            hazard = -z + fraction
            return mp.log(mp.npdf(z)) - mp.log(hazard), hazard
        return mp.log(phi), mp.npdf(z) / phi


def main():
    record = json.loads(PATH.read_text())
    worst = 0
    for row in record["rows"]:
        log_ndtr, hazard = values(row["z"])
        for key, value in (("log_ndtr", log_ndtr), ("hazard", hazard)):
            if abs(value) > 1e-300:  # smaller ones underflow in the file
                worst = max(worst, abs(mp.mpf(row[key]) / value - 1))
            row[key] = float(value)
    print("largest relative difference from the file:", mp.nstr(worst, 3))
    if "--write" in sys.argv:
        PATH.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
