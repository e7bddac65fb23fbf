"""Certified log P(f), step link, of matrices of low rank and nearly so, to 40 digits: golden/prior/rank.json.

mpmath 1.3.0. Nothing here is shared with the crate: cones of rank 3 are polygons whose corners are found among all pairs of
planes and whose area is Girard's sum of angles; three points are Sheppard's arcsines; one factor is an integral of mpmath.

Kinds:
  integer rank R   K = F F^T of small integers, exact in float64; the cone of the integer rows, in rational arithmetic.
  rounded rank R   K = F F^T rounded to float64; the cone of F. `tolerance` is what one rounding of every entry may do to it.
  planar plus      three points, a plane plus d I, as stored; the arcsines of the stored matrix.
  near pair        three points, two at a small angle, as stored.
  pair             two points at a correlation near +-1, as stored.
  equicorrelated   n points at a correlation near 1, as stored.

Usage: python3 prior_rank.py rank.json
"""

import json
import random
import sys
from fractions import Fraction

from mpmath import mp, mpf

mp.dps = 60
UNIT = mpf(2) ** -53
TOLERANCE = mpf("1e-12")
generator = random.Random(20240117)
records = []


def record(kind, matrix, labels, probability, tolerance=TOLERANCE):
    value = mp.log(probability) if probability > 0 else None
    records.append(
        {
            "kind": kind,
            "matrix": [[float(x) for x in row] for row in matrix],
            "labels": labels,
            "value": None if value is None else float(value),
            "digits": "-inf" if value is None else mp.nstr(value, 40),
            "tolerance": float(tolerance),
        }
    )


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def cross(a, b):
    return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]


def real(a):
    return [mpf(x.numerator) / x.denominator if isinstance(x, Fraction) else mpf(x) for x in a]


def length(a):
    return mp.sqrt(dot(a, a))


def angle(a, b):
    """Angle between two vectors, by half-angle sines: no loss near 0 and pi."""
    a, b = [[x / length(v) for x in v] for v in (real(a), real(b))]
    return 2 * mp.atan2(length([x - y for x, y in zip(a, b)]), length([x + y for x, y in zip(a, b)]))


def planar(rows):
    """Share of the plane with all v . z > 0, and the perimeter over the area."""
    rays = [ray for v in rows for ray in ([-v[1], v[0]], [v[1], -v[0]]) if all(dot(w, ray) >= 0 for w in rows)]
    if not rays:
        return mpf(0), mpf(0)
    widest, a, b = max(((angle(a, b), a, b) for a in rays for b in rays), key=lambda t: t[0])
    # Two rays of the same direction, or one alone: no interior.
    inside = [x / length(real(a)) + y / length(real(b)) for x, y in zip(real(a), real(b))]
    if not all(dot(real(v), inside) > mpf(10) ** -40 for v in rows):
        return mpf(0), mpf(0)
    return widest / (2 * mp.pi), 2 / widest


def spatial(rows):
    """Share of the sphere with all v . z > 0, and the perimeter over the area of the polygon."""
    corners = []
    for i, v in enumerate(rows):
        for w in rows[:i]:
            for sign in (1, -1):
                ray = [sign * x for x in cross(v, w)]
                if any(x != 0 for x in ray) and all(dot(u, ray) >= 0 for u in rows):
                    ray = [x / length(real(ray)) for x in real(ray)]
                    if all(length([x - y for x, y in zip(ray, other)]) > mpf(10) ** -40 for other in corners):
                        corners.append(ray)
    if len(corners) < 3:
        return mpf(0), mpf(0)
    centre = [sum(c[k] for c in corners) for k in range(3)]
    if not all(dot(real(v), centre) > mpf(10) ** -40 for v in rows):
        return mpf(0), mpf(0)
    first = cross(centre, corners[0])
    second = cross(centre, first)
    corners.sort(key=lambda c: mp.atan2(dot(c, second) / length(second), dot(c, first) / length(first)))
    m = len(corners)
    area = -(m - 2) * mp.pi
    perimeter = mpf(0)
    for k in range(m):
        before, here, after = corners[k - 1], corners[k], corners[(k + 1) % m]
        area += angle(cross(here, before), cross(here, after))
        perimeter += angle(here, after)
    return area / (4 * mp.pi), perimeter / area


SHARE = {2: planar, 3: spatial}


def labels_for(rows, rank, likely):
    """Labels of a random function of the prior, or random ones."""
    z = [generator.randint(-1000, 1000) for _ in range(rank)]
    if likely and all(dot(v, z) != 0 for v in rows):
        return [1 if dot(v, z) > 0 else -1 for v in rows]
    return [generator.choice((-1, 1)) for _ in rows]


def smallest_direction(rows, rank):
    """Smallest singular value of the matrix of unit rows."""
    units = [[x / length(real(v)) for x in real(v)] for v in rows]
    square = mp.matrix(rank, rank)
    for i in range(rank):
        for j in range(rank):
            square[i, j] = sum(u[i] * u[j] for u in units)
    return mp.sqrt(min(mp.eigsy(square, eigvals_only=True)))


def independent(a, b):
    return dot(a, a) * dot(b, b) != dot(a, b) ** 2


def three(matrix, labels):
    """1/8 + sum of arcsines / 4 pi, of the stored matrix; None if it is not positive definite."""
    k = [[mpf(x) * labels[i] * labels[j] for j, x in enumerate(row)] for i, row in enumerate(matrix)]
    r = {(i, j): k[i][j] / mp.sqrt(k[i][i] * k[j][j]) for i in range(3) for j in range(i)}
    if mp.det(mp.matrix(k)) <= 0:
        return None
    return mpf(1) / 8 + sum(mp.asin(x) for x in r.values()) / (4 * mp.pi)


def signs(bits):
    return [1 if bits >> i & 1 else -1 for i in range(3)]


def main():
    for n in (2, 3, 5, 8, 12):
        row = [generator.choice((-1, 1)) * generator.randint(1, 9) for _ in range(n)]
        for likely in (True, False):
            labels = [1 if x > 0 else -1 for x in row] if likely else [generator.choice((-1, 1)) for _ in row]
            fits = len({y * (1 if x > 0 else -1) for x, y in zip(row, labels)}) == 1
            record("integer rank 1", [[a * b for b in row] for a in row], labels, mpf(1) / 2 if fits else mpf(0))

    for rank, count in ((2, 35), (3, 45)):
        made = 0
        while made < count:
            n = generator.randint(rank + 1, 12)
            rows = [[generator.randint(-6, 6) for _ in range(rank)] for _ in range(n)]
            if any(not any(v) for v in rows) or any(not independent(v, w) for i, v in enumerate(rows) for w in rows[:i]):
                continue
            if smallest_direction(rows, rank) < mpf("1e-6"):
                continue
            labels = labels_for(rows, rank, made % 3 != 0)
            signed = [[Fraction(y * x) for x in v] for v, y in zip(rows, labels)]
            share, _ = SHARE[rank](signed)
            record(f"integer rank {rank}", [[dot(v, w) for w in rows] for v in rows], labels, share)
            made += 1

    for rank, count in ((2, 25), (3, 25)):
        made = 0
        while made < count:
            n = generator.randint(rank + 1, 12)
            rows = [[generator.gauss(0, 1) for _ in range(rank)] for _ in range(n)]
            exact = [[Fraction(x) for x in v] for v in rows]
            labels = labels_for(exact, rank, made % 3 != 0)
            signed = [[mpf(y * x) for x in v] for v, y in zip(rows, labels)]
            share, over_area = SHARE[rank](signed)
            tolerance = 8 * n * UNIT / smallest_direction(exact, rank) * max(over_area, 1)
            record(f"rounded rank {rank}", [[float(dot(v, w)) for w in exact] for v in exact], labels, share, tolerance)
            made += 1

    made = 0
    while made < 30:
        delta = 10.0 ** -(6 + made % 10)
        angles = [mpf(generator.uniform(0, 6.28)) for _ in range(3)]
        matrix = [[float(mp.cos(a - b) + (delta if i == j else 0)) for j, b in enumerate(angles)] for i, a in enumerate(angles)]
        labels = signs(generator.randint(0, 7))
        share = three(matrix, labels)
        if share is not None:
            record("planar plus", matrix, labels, share)
            made += 1

    made = 0
    while made < 15:
        t = mpf(10) ** -(4 + made % 4)
        turn, far = generator.uniform(0, 6.28), mpf(generator.uniform(0.4, 2.5))
        v = [[1, 0, 0], [mp.cos(t), mp.sin(t), 0], [mp.cos(far), mp.sin(far) * mp.cos(turn), mp.sin(far) * mp.sin(turn)]]
        matrix = [[float(dot(a, b)) for b in v] for a in v]
        labels = signs(generator.randint(0, 7))
        share = three(matrix, labels)
        if share is not None and mp.det(mp.matrix(matrix)) > mpf("1e-15"):
            record("near pair", matrix, labels, share)
            made += 1

    for gap in (1e-13, 1e-14, 1e-15, 2.0**-52, 2.0**-53):
        for sign in (1, -1):
            rho = sign * (1.0 - gap)
            labels = [1, -sign]
            share = mp.atan2(mp.sqrt((1 - mpf(rho)) * (1 + mpf(rho))), mpf(abs(rho))) / (2 * mp.pi)
            record("pair", [[1.0, rho], [rho, 1.0]], labels, share)

    for n, positives in ((4, 1), (5, 1), (5, 2), (8, 3), (12, 5)):
        for gap in (1e-12, 2.0**-52):
            rho = mpf(1.0 - gap)
            slope = mp.sqrt(rho / (1 - rho))

            def integrand(t):
                # z = t / slope: both kinds of factor turn over at t of order 1.
                return mp.npdf(t / slope) / slope * mp.ncdf(t) ** positives * mp.ncdf(-t) ** (n - positives)

            share = mp.quad(integrand, [-40, -8, -4, -2, -1, 0, 1, 2, 4, 8, 40])
            labels = [1] * positives + [-1] * (n - positives)
            matrix = [[1.0 if i == j else 1.0 - gap for j in range(n)] for i in range(n)]
            record("equicorrelated", matrix, labels, share)

    made_by = "mpmath 1.3.0, 60 digits; golden/generate/prior_rank.py"
    document = {"units": "nats", "link": "step", "made_by": made_by, "cases": records}
    with open(sys.argv[1], "w") as file:
        json.dump(document, file, separators=(",", ":"))
        file.write("\n")
    kinds = {}
    for r in records:
        kinds.setdefault(r["kind"], [0, 0])[r["value"] is None] += 1
    print(len(records), kinds)


if __name__ == "__main__":
    main()
