"""log P(f), step and probit, by sequential Monte Carlo guided by expectation propagation, in plain numpy.

numpy==2.4.6, scipy==1.17.1. Run from the repository's root: python golden/generate/prior_true_guided.py [SECONDS]

h ~ N(0, R) must be positive in every coordinate. With Gaussian sites t_i from expectation propagation and the Gaussian
q(h) = N(h; 0, R) prod t_i / Z, log P = log Z + log E[prod 1(h_i > 0) / t_i(h_i)] under q. Coordinates are drawn one after
another: h_i from q's conditional without its own site, truncated to h_i > 0; the weight is the mass of that truncated
conditional over its mass with the site. Particles are resampled when their effective number halves. The standard error is
that of the mean of independent runs. Functions that EP puts above log P = -6 are left to prior_true_counting.py: their
posteriors are far from Gaussian, with tails so much heavier than q's that these weights have no variance.
"""
import json
import sys
import time

import numpy as np
import scipy
from prior_cases import ROOT, cases
from scipy.special import log_ndtr, ndtri_exp

PARTICLES = 4000


COMMON = -6


def sites(prior):
    n = len(prior)
    tau, nu = np.zeros(n), np.zeros(n)
    for _ in range(400):
        root = np.sqrt(tau)
        lower = np.linalg.cholesky(np.eye(n) + root[:, None] * prior * root)
        half = scipy.linalg.solve_triangular(lower, root[:, None] * prior, lower=True)
        variance = np.diag(prior) - np.sum(half**2, axis=0)
        mean = prior @ nu - half.T @ (half @ nu)
        cavity_variance = 1 / (1 / variance - tau)
        cavity_mean = cavity_variance * (mean / variance - nu)
        z = cavity_mean / np.sqrt(cavity_variance)
        hazard = np.exp(-0.5 * z**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(z))
        tilted_variance = cavity_variance * (1 - hazard * (hazard + z))
        tilted_mean = cavity_mean + np.sqrt(cavity_variance) * hazard
        new_tau = np.maximum(1 / tilted_variance - 1 / cavity_variance, 0)
        new_nu = tilted_mean / tilted_variance - cavity_mean / cavity_variance
        moved = np.max(abs(new_tau - tau) / (1 + tau))
        if moved < 1e-4:
            break
        tau, nu = tau + 0.3 * (new_tau - tau), nu + 0.3 * (new_nu - nu)
    log_z = np.sum(
        log_ndtr(z)
        + 0.5 * np.log1p(tau * cavity_variance)
        + 0.5 * (cavity_mean**2 / cavity_variance - mean**2 / variance + nu * mean)
    ) - np.sum(np.log(np.diag(lower)))
    return tau, nu, mean / np.sqrt(variance), log_z


class Guide:
    def __init__(self, prior):
        tau, nu, ease, self.ep_log_z = sites(prior)
        order = np.argsort(ease)
        prior, self.tau, self.nu = prior[np.ix_(order, order)], tau[order], nu[order]
        n = len(prior)
        root = np.sqrt(self.tau)
        lower = np.linalg.cholesky(np.eye(n) + root[:, None] * prior * root)
        half = scipy.linalg.solve_triangular(lower, root[:, None] * prior, lower=True)
        covariance = prior - half.T @ half
        self.mean = covariance @ self.nu
        self.factor = np.linalg.cholesky(covariance)
        self.log_z = -np.sum(np.log(np.diag(lower))) + 0.5 * self.nu @ self.mean

    def run(self, random):
        n = len(self.mean)
        noise, weight, total = np.zeros((n, PARTICLES)), np.zeros(PARTICLES), self.log_z
        for i in range(n):
            mean = self.mean[i] + self.factor[i, :i] @ noise[:i]
            deviation = self.factor[i, i]
            precision = 1 / deviation**2 - self.tau[i]
            shift = mean / deviation**2 - self.nu[i]
            free_mean, free_deviation = shift / precision, 1 / np.sqrt(precision)
            mass = log_ndtr(free_mean / free_deviation)
            # exp(-tau h^2 / 2 + nu h) integrated over the free conditional.
            with_site = 0.5 * np.log(precision * deviation**2) + 0.5 * (mean**2 / deviation**2 - shift * free_mean)
            # h > 0 by inversion in the upper tail.
            uniform = np.log(1 - random.random(PARTICLES))
            value = free_mean - free_deviation * ndtri_exp(uniform + mass)
            noise[i] = (value - mean) / deviation
            weight += mass - with_site
            largest = weight.max()
            share = np.exp(weight - largest)
            if share.sum() ** 2 < 0.5 * PARTICLES * (share**2).sum() or i == n - 1:
                total += largest + np.log(share.mean())
                points = (np.arange(PARTICLES) + random.random()) / PARTICLES
                parents = np.searchsorted(np.cumsum(share) / share.sum(), points)
                noise[: i + 1] = noise[: i + 1, np.minimum(parents, PARTICLES - 1)]
                weight[:] = 0
        return total


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20
    records = []
    for number, (name, gram, labels) in enumerate(cases()):
        for link, unit in [("step", 0.0), ("probit", 1.0)]:
            matrix = gram + unit * np.eye(len(gram))
            scale = labels / np.sqrt(np.diag(matrix))
            guide = Guide(matrix * np.outer(scale, scale))
            if guide.ep_log_z > COMMON:
                continue
            random = np.random.Generator(np.random.PCG64([number, int(unit)]))
            started, runs = time.time(), []
            while len(runs) < 16 or (time.time() - started < seconds and len(runs) < 400):
                runs.append(guide.run(random))
            runs = np.array(runs)
            share = np.exp(runs - runs.max())
            value = runs.max() + np.log(share.mean())
            error = share.std(ddof=1) / share.mean() / np.sqrt(len(runs))
            records.append({"case": name, "link": link, "value": float(value), "std_error": float(error), "runs": len(runs)})
            print(records[-1], flush=True)
    program = f"numpy {np.__version__}, scipy {scipy.__version__}; golden/generate/prior_true_guided.py"
    document = {"program": program, "particles": PARTICLES, "records": records}
    (ROOT / "sources" / "true_guided.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
