"""Fixed points of expectation propagation by GPy, for golden/prior.

GPy==1.13.2, numpy<2, scipy<1.12, matplotlib (its import needs it).
Run from the repository's root: python golden/generate/prior_ep_gpy.py

Probit: GPy's EP for Gaussian-process classification (Bernoulli likelihood, probit link), sequential updates,
run to epsilon 1e-12; its default 1e-6 stops 2e-5 short of the fixed point on `mnist_const_100_1`.

Step: GPy's own step likelihood raises NameError. But EP with the probit link on a matrix A has the fixed point of
EP with the step link on A + I, and the step link does not feel a factor c: so EP-step on K is EP-probit on
c K - I, which is positive semi-definite for c >= 1 / (smallest eigenvalue of K). The factor is 1.5 times that.
"""
import json
import pathlib

import GPy
import numpy as np
import scipy
from GPy.inference.latent_function_inference.expectation_propagation import EP
from paramz import ObsAr

ROOT = pathlib.Path(__file__).resolve().parents[1] / "prior"


def gpy_ep(gram, labels):
    n = len(gram)
    inference = EP(epsilon=1e-12, parallel_updates=False, max_iters=5000)
    targets = ObsAr((labels > 0).astype(float).reshape(-1, 1))
    positions = np.arange(n, dtype=float)[:, None]
    _, log_z, _ = inference.inference(
        GPy.kern.Fixed(n, gram), positions, GPy.likelihoods.Bernoulli(), targets, K=gram
    )
    return float(log_z)


records = []


def main():
    for path in sorted(ROOT.glob("*.gram.npy")):
        case = path.name.removesuffix(".gram.npy")
        gram, labels = np.load(path), np.load(ROOT / f"{case}.labels.npy")
        records.append({"case": case, "link": "probit", "value": gpy_ep(gram, labels)})
        factor = 1.5 / np.linalg.eigvalsh(gram)[0]
        records.append({"case": case, "link": "step", "value": gpy_ep(factor * gram - np.eye(len(gram)), labels)})
        print(records[-2:])

    program = f"GPy {GPy.__version__}, numpy {np.__version__}, scipy {scipy.__version__}; golden/generate/prior_ep_gpy.py"
    (ROOT / "sources" / "ep_gpy.json").write_text(json.dumps({"program": program, "records": records}, indent=1) + "\n")


if __name__ == "__main__":
    main()
