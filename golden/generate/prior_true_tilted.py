"""log P(f), step and probit, by minimax exponential tilting with resampling, in plain numpy.

numpy==2.4.6, scipy==1.17.1. Run from the repository's root: python golden/generate/prior_true_tilted.py [SECONDS [CASE ...]]

Shares no code and no guide with prior_true_guided.py. h = C z with C the Cholesky factor in the order of Gibson, Glasbey and
Elston 1994 (least probable next, given the expected values of those before); z_i is drawn from N(mu_i, 1) truncated to
h_i > 0, and weighted. The tilts mu are the minimax ones of Botev 2017. With C's rows divided by its diagonal, M = C C^T and
hazard w(t) = phi(t) / Phi(-t), both of his stationarity conditions together read t + (M - I) w(t) = 0, mu = (C - I)^T w;
Newton's method solves them. The value psi there bounds log P from above. Particles are resampled when their effective number
halves (Ridgway 2016). At a thousand points and the step link the runs of rare functions scatter too much to be averaged, and
are left out. With CASEs, only these are run and the file's other records are kept.
"""
import json
import sys
import time

import numpy as np
import scipy
from prior_cases import ROOT, cases
from scipy.special import log_ndtr, ndtri_exp

# Particles times points: the work of a run.
WORK = 10_000_000


def ordered_factor(matrix):
    matrix = matrix.copy()
    n = len(matrix)
    factor, expected = np.zeros((n, n)), np.zeros(n)
    rest_variance, rest_mean = np.diag(matrix).copy(), np.zeros(n)
    for i in range(n):
        ease = rest_mean[i:] / np.sqrt(rest_variance[i:])
        j = i + int(np.argmin(ease))
        for array in (matrix, factor, rest_variance, rest_mean):
            array[[i, j]] = array[[j, i]]
        matrix[:, [i, j]] = matrix[:, [j, i]]
        factor[i, i] = np.sqrt(rest_variance[i])
        factor[i + 1 :, i] = (matrix[i + 1 :, i] - factor[i + 1 :, :i] @ factor[i, :i]) / factor[i, i]
        bound = rest_mean[i] / factor[i, i]
        expected[i] = np.exp(-0.5 * bound**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(bound))
        rest_variance[i + 1 :] -= factor[i + 1 :, i] ** 2
        rest_mean[i + 1 :] += factor[i + 1 :, i] * expected[i]
    return factor


def hazard(t):
    return np.exp(-0.5 * t**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(-t))


def tilts(factor):
    """The tilts mu, and psi: an upper bound on log P."""
    n = len(factor)
    rest = factor @ factor.T - np.eye(n)
    def residual(t):
        return t + rest @ hazard(t)
    t = np.zeros(n)
    for _ in range(200):
        now = residual(t)
        if np.max(abs(now)) < 1e-10:
            break
        slope = hazard(t) * (hazard(t) - t)
        step = np.linalg.solve(np.eye(n) + rest * slope, -now)
        length = 1.0
        while np.linalg.norm(residual(t + length * step)) > np.linalg.norm(now) and length > 1e-6:
            length /= 2
        t = t + length * step
    assert np.max(abs(residual(t))) < 1e-6
    w = hazard(t)
    mu = (factor - np.eye(n)).T @ w
    x = mu + w
    return mu, float(np.sum(0.5 * mu**2 - x * mu + log_ndtr(-t)))


def simulate(factor, mu, random):
    n = len(factor)
    particles = WORK // n
    z, weight, total = np.zeros((n, particles)), np.zeros(particles), 0.0
    for i in range(n):
        bound = factor[i, :i] @ z[:i] + mu[i]
        mass = log_ndtr(bound)
        z[i] = mu[i] - ndtri_exp(mass + np.log(1 - random.random(particles)))
        weight += mass + 0.5 * mu[i] ** 2 - mu[i] * z[i]
        share = np.exp(weight - weight.max())
        if share.sum() ** 2 < 0.5 * particles * (share**2).sum() or i == n - 1:
            total += weight.max() + np.log(share.mean())
            points = (np.arange(particles) + random.random()) / particles
            parents = np.searchsorted(np.cumsum(share) / share.sum(), points)
            z[: i + 1] = z[: i + 1, np.minimum(parents, particles - 1)]
            weight[:] = 0
    return total


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20
    wanted, path = sys.argv[2:], ROOT / "sources" / "true_tilted.json"
    records = [r for r in json.loads(path.read_text())["records"] if r["case"] not in wanted] if wanted else []
    for number, (name, gram, labels) in enumerate(cases()):
        for link, unit in [("step", 0.0), ("probit", 1.0)]:
            hopeless = len(gram) >= 1000 and link == "step" and abs(labels.mean()) < 1
            if hopeless or (wanted and name not in wanted):
                continue
            matrix = gram + unit * np.eye(len(gram))
            scale = labels / np.sqrt(np.diag(matrix))
            factor = ordered_factor(matrix * np.outer(scale, scale))
            factor /= np.diag(factor)[:, None]
            mu, upper_bound = tilts(factor)
            random = np.random.Generator(np.random.PCG64([1000 + number, int(unit)]))
            started, runs = time.time(), []
            while len(runs) < 8 or (time.time() - started < seconds and len(runs) < 400):
                runs.append(simulate(factor, mu, random))
            runs = np.array(runs)
            share = np.exp(runs - runs.max())
            value = runs.max() + np.log(share.mean())
            error = share.std(ddof=1) / share.mean() / np.sqrt(len(runs))
            record = {"case": name, "link": link, "value": float(value), "std_error": float(error)}
            records.append(record | {"runs": len(runs), "upper_bound": upper_bound})
            print(records[-1], flush=True)
    program = f"numpy {np.__version__}, scipy {scipy.__version__}; golden/generate/prior_true_tilted.py"
    document = {"program": program, "particles_times_points": WORK, "records": records}
    path.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
