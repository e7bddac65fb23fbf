"""SciPy: an orthant probability by `multivariate_normal.cdf`, to an absolute error of 1e-4.

What it is off by is measured before anything is timed: the standard deviation of log P over repeated calls, whose lattices are
shifted at random. It is left in target_std_error.npy, which is the standard error that ours is asked for.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy
from protocol import Prepared, load, serve
from scipy.stats import multivariate_normal

CALLS, ERROR = 16, 1e-4


def orthant(folder: Path, size: int) -> Prepared:
    gram, labels = load(folder, "gram"), load(folder, "labels")
    covariance = labels[:, None] * labels[None, :] * gram
    zero = np.zeros(size)

    def work() -> float:
        found = multivariate_normal.cdf(zero, mean=zero, cov=covariance, allow_singular=True, abseps=ERROR, releps=0.0)
        return float(found)

    error = float(np.std(np.log([work() for _ in range(CALLS)]), ddof=1))
    np.save(folder / "target_std_error.npy", np.array([error]))
    return work, lambda probability: (np.log(probability), {"std_error": error})


def main() -> None:
    np.random.seed(1)
    serve(f"SciPy {scipy.__version__}", {"orthant": orthant})


if __name__ == "__main__":
    main()
