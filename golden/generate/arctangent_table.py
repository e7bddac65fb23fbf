"""Remake src/numeric/arctangent_table.rs: a polynomial for the arctangent near 0.

    python golden/generate/arctangent_table.py > src/numeric/arctangent_table.rs

Needs mpmath 1.3. On |x| <= tan(pi / 8) the arctangent is x + x z P(z) with z = x^2; P interpolates
(arctan(x) / x - 1) / z at the Chebyshev nodes of [0, tan(pi / 8)^2] in 40 digits. The largest error found,
relative to the arctangent, is written into the header.
"""
import mpmath as mp

mp.mp.dps = 40
DEGREE = 12
TOP = mp.tan(mp.pi / 8) ** 2


def target(z):
    if z < mp.mpf(10) ** -12:
        return -mp.mpf(1) / 3 + z / 5
    x = mp.sqrt(z)
    return (mp.atan(x) / x - 1) / z


count = DEGREE + 1
nodes = [TOP / 2 * (1 + mp.cos(mp.pi * (mp.mpf(k) + mp.mpf(1) / 2) / count)) for k in range(count)]
# Newton's divided differences, then expansion into powers.
table = [target(z) for z in nodes]


def main():
    for order in range(1, count):
        for k in range(count - 1, order - 1, -1):
            table[k] = (table[k] - table[k - 1]) / (nodes[k] - nodes[k - order])
    power = [mp.mpf(0)]
    for k in range(count - 1, -1, -1):
        shifted = [mp.mpf(0)] + power
        for j, a in enumerate(power):
            shifted[j] -= nodes[k] * a
        shifted[0] += table[k]
        power = shifted
    power = power[:count]

    worst = mp.mpf(0)
    for step in range(1, 2001):
        z = TOP * step / 2000
        value = 1 + z * mp.polyval([mp.mpf(float(a)) for a in power[::-1]], z)
        worst = max(worst, abs(value / (mp.atan(mp.sqrt(z)) / mp.sqrt(z)) - 1))

    print("//! Made by `golden/generate/arctangent_table.py` (mpmath, 40 digits); do not edit.")
    print("//!")
    print(f"//! Largest relative error of the polynomial with these coefficients: {mp.nstr(worst, 3)}.")
    print()
    print("/// `P`, lowest power first: `arctan(x) = x + x z P(z)`, `z = x^2`, `|x| <= tan(pi / 8)`.")
    print("#[rustfmt::skip]")
    print(f"pub(super) const COEFFICIENTS: [f64; {count}] = [")
    for a in power:
        print(f"    {float(a)!r},")
    print("];")


if __name__ == "__main__":
    main()
