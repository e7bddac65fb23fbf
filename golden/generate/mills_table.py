"""Remake src/numeric/mills_table.rs: piecewise polynomials for the Mills ratio of the standard normal.

    python golden/generate/mills_table.py > src/numeric/mills_table.rs

Needs mpmath 1.3. With t = SCALE / (SCALE + x) in (0, 1], the function (SCALE + x) M(x),
M(x) = (1 - Phi(x)) / phi(x), is smooth on the whole half line x >= 0 and tends to 1 as x grows.
Each of INTERVALS equal pieces of (0, 1] holds the polynomial, in u in [-1, 1], that interpolates it
at the Chebyshev nodes in 40 digits. The largest relative error found is written into the header.

HALF_LINE is one polynomial for all x >= 0, of more terms, for vectors: in u = 2 HALF_LINE_SCALE / (HALF_LINE_SCALE + x) - 1.
"""
import mpmath as mp

mp.mp.dps = 40
SCALE = 4
INTERVALS = 32
DEGREE = 7
HALF_LINE_SCALE = 6
HALF_LINE_DEGREE = 24


def mills(x):
    """(1 - Phi(x)) / phi(x), by the complementary error function, or its asymptotic series far out."""
    if x < 60:
        with mp.workdps(60 + int(float(x * x) / 4)):
            return mp.erfc(x / mp.sqrt(2)) / 2 / mp.npdf(x)
    total = term = mp.mpf(1)
    k = 1
    while abs(term) > mp.mpf(10) ** -38:
        term *= -(2 * k - 1) / (x * x)
        total += term
        k += 1
    return total / x


def scaled(t, scale=SCALE):
    if t == 0:
        return mp.mpf(1)
    x = scale / t - scale
    return (scale + x) * mills(x)


def piece(index):
    middle, half = (mp.mpf(index) + mp.mpf(1) / 2) / INTERVALS, mp.mpf(1) / 2 / INTERVALS
    return polynomial(lambda u: scaled(middle + half * u), DEGREE)


def polynomial(function, degree):
    """Coefficients of the interpolating polynomial on [-1, 1], and its largest relative error at 21 points."""
    count = degree + 1
    angles = [mp.pi * (mp.mpf(k) + mp.mpf(1) / 2) / count for k in range(count)]
    nodes = [mp.cos(a) for a in angles]
    values = [function(u) for u in nodes]
    chebyshev = [2 * sum(v * mp.cos(j * a) for v, a in zip(values, angles)) / count for j in range(count)]
    chebyshev[0] /= 2
    # Chebyshev to monomial coefficients.
    previous, current = [mp.mpf(1)], [mp.mpf(0), mp.mpf(1)]
    power = [chebyshev[0]] + [mp.mpf(0)] * degree
    for j in range(1, count):
        for k, a in enumerate(current):
            power[k] += chebyshev[j] * a
        following = [mp.mpf(0)] + [2 * a for a in current]
        for k, a in enumerate(previous):
            following[k] -= a
        previous, current = current, following
    error = 0
    for step in range(21):
        u = mp.mpf(step) / 10 - 1
        true = function(u)
        error = max(error, abs(mp.polyval(power[::-1], u) / true - 1))
    return power, error


pieces = [piece(i) for i in range(INTERVALS)]
worst = max(e for _, e in pieces)
half_line, half_line_error = polynomial(lambda u: scaled((1 + u) / 2, HALF_LINE_SCALE), HALF_LINE_DEGREE)


def main():
    print("//! Made by `golden/generate/mills_table.py` (mpmath, 40 digits); do not edit.")
    print("//!")
    errors = (mp.nstr(worst, 3), mp.nstr(half_line_error, 3))
    print("//! Largest relative error of the exact polynomials: {}, of the one for the whole half line {}.".format(*errors))
    print()
    print(f"pub(super) const SCALE: f64 = {SCALE}.0;")
    print(f"pub(super) const INTERVALS: usize = {INTERVALS};")
    print()
    print("/// Row i: the coefficients, lowest power first, of the polynomial in u in [-1, 1] on t in [i, i + 1] / INTERVALS.")
    print("#[rustfmt::skip]")
    print(f"pub(super) const COEFFICIENTS: [[f64; {DEGREE + 1}]; INTERVALS] = [")
    for power, _ in pieces:
        print("    [" + ", ".join(repr(float(a)) for a in power) + "],")
    print("];")
    print()
    print(f"pub(super) const HALF_LINE_SCALE: f64 = {HALF_LINE_SCALE}.0;")
    print()
    print("/// The coefficients, lowest power first, of the polynomial in u in [-1, 1] for every x.")
    print("#[rustfmt::skip]")
    print(f"pub(super) const HALF_LINE: [f64; {HALF_LINE_DEGREE + 1}] = [")
    for first in range(0, HALF_LINE_DEGREE + 1, 5):
        print("    " + ", ".join(repr(float(a)) for a in half_line[first:first + 5]) + ",")
    print("];")


if __name__ == "__main__":
    main()
