"""GPy's time for expectation propagation with the probit link (parallel updates), in seconds, and its log Z.

    python ep_gpy.py K.npy y.npy
    flatgauge prior --gram K.npy --labels y.npy --method ep --link probit

Needs GPy==1.13.2 "numpy<2" "scipy<1.12" matplotlib.
"""

import sys
import time

import GPy
import numpy as np
from GPy.inference.latent_function_inference.expectation_propagation import EP
from paramz import ObsAr


def main():
    gram = np.load(sys.argv[1])
    labels = ObsAr((np.load(sys.argv[2]).reshape(-1, 1) > 0).astype(float))
    likelihood = GPy.likelihoods.Bernoulli(gp_link=GPy.likelihoods.link_functions.Probit())
    points = np.arange(len(gram), dtype=float).reshape(-1, 1)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        _, log_z, _ = EP(parallel_updates=True).inference(
            GPy.kern.Fixed(len(gram), gram), points, likelihood, labels, K=gram
        )
        seconds.append(time.perf_counter() - start)
    print(f"{np.median(seconds):.4f}, log Z {float(log_z):.7f}")


if __name__ == "__main__":
    main()
