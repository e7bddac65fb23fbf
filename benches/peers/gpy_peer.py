"""GPy: expectation propagation with the probit link, all sites at once, at its defaults."""

from __future__ import annotations

from pathlib import Path

import GPy
import numpy as np
from GPy.inference.latent_function_inference.expectation_propagation import EP
from paramz import ObsAr
from protocol import Prepared, load, serve


def ep(folder: Path, size: int) -> Prepared:
    gram = load(folder, "gram")
    labels = ObsAr((load(folder, "labels")[:, None] > 0).astype(float))
    likelihood = GPy.likelihoods.Bernoulli(gp_link=GPy.likelihoods.link_functions.Probit())
    points = np.arange(size, dtype=float)[:, None]
    kernel = GPy.kern.Fixed(size, gram)

    def work() -> float:
        _, log_z, _ = EP(parallel_updates=True).inference(kernel, points, likelihood, labels, K=gram)
        return float(np.squeeze(log_z))

    return work, lambda log_z: (log_z, {})


def main() -> None:
    serve(f"GPy {GPy.__version__}", {"ep": ep})


if __name__ == "__main__":
    main()
