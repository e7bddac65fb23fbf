"""Fixed points of expectation propagation in plain numpy, for golden/prior.

numpy==2.4.6, scipy==1.17.1. Run from the repository's root: python golden/generate/prior_ep_numpy.py

Textbook form (Rasmussen and Williams 2006, algorithm 3.5, all sites at once, half steps): full posterior
covariance from a Cholesky factor, cavities by subtraction, until no site parameter moves by 1e-10 of its size.
"""
import json
import pathlib

import numpy as np
import scipy
from scipy.special import log_ndtr

ROOT = pathlib.Path(__file__).resolve().parents[1] / "prior"


def expectation_propagation(gram, labels, noise, damping=0.5):
    n = len(gram)
    prior = gram * np.outer(labels, labels) + noise * np.eye(n)
    tau, nu = np.zeros(n), np.zeros(n)
    for _ in range(20000):
        root = np.sqrt(tau)
        lower = np.linalg.cholesky(np.eye(n) + root[:, None] * prior * root)
        half = scipy.linalg.solve_triangular(lower, root[:, None] * prior, lower=True)
        posterior = prior - half.T @ half
        mean, variance = posterior @ nu, np.diag(posterior)
        cavity_variance = 1 / (1 / variance - tau)
        cavity_mean = cavity_variance * (mean / variance - nu)
        z = cavity_mean / np.sqrt(cavity_variance)
        log_z = np.sum(
            log_ndtr(z)
            + 0.5 * np.log1p(tau * cavity_variance)
            + 0.5 * (cavity_mean**2 / cavity_variance - mean**2 / variance + nu * mean)
        ) - np.sum(np.log(np.diag(lower)))
        hazard = np.exp(-0.5 * z**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(z))
        tilted_variance = cavity_variance * (1 - hazard * (hazard + z))
        tilted_mean = cavity_mean + np.sqrt(cavity_variance) * hazard
        new_tau = 1 / tilted_variance - 1 / cavity_variance
        new_nu = tilted_mean / tilted_variance - cavity_mean / cavity_variance
        moved = max(np.max(abs(new_tau - tau) / (1 + tau)), np.max(abs(new_nu - nu) / (1 + abs(nu))))
        tau, nu = tau + damping * (new_tau - tau), nu + damping * (new_nu - nu)
        if moved < 1e-10:
            return float(log_z)
    raise RuntimeError("no convergence")


records = []


def main():
    for path in sorted(ROOT.glob("*.gram.npy")):
        case = path.name.removesuffix(".gram.npy")
        gram, labels = np.load(path), np.load(ROOT / f"{case}.labels.npy").astype(float)
        for link, noise in [("probit", 1.0), ("step", 0.0)]:
            records.append({"case": case, "link": link, "value": expectation_propagation(gram, labels, noise)})
            print(records[-1])

    program = f"numpy {np.__version__}, scipy {scipy.__version__}; golden/generate/prior_ep_numpy.py"
    (ROOT / "sources" / "ep_numpy.json").write_text(json.dumps({"program": program, "records": records}, indent=1) + "\n")


if __name__ == "__main__":
    main()
