"""GPy at the gate."""

import numpy as np
from adapter.prior_case import read
from adapter.protocol import cell, serve
from GPy.inference.latent_function_inference.expectation_propagation import EP
from GPy.inference.latent_function_inference.laplace import Laplace
from GPy.kern import Fixed
from GPy.likelihoods import Bernoulli
from GPy.likelihoods.link_functions import Heaviside, Probit
from paramz import ObsAr


def answer(request):
    gram, labels, link = read(request)
    n = len(labels)
    likelihood = Bernoulli(gp_link=Heaviside() if link == "step" else Probit())
    targets = ObsAr(((labels + 1) / 2)[:, None])
    kernel = Fixed(1, gram)
    x = np.arange(n, dtype=float)[:, None]
    if "laplace" in cell():
        method = Laplace()
    else:
        parallel = "parallel" in cell()
        # Undamped, all sites at once swing for thousands of sweeps.
        method = EP(epsilon=1e-20, max_iters=1000, parallel_updates=parallel, delta=0.5 if parallel else 1.0)
    _, log_marginal, _ = method.inference(kernel, x, likelihood, targets)
    return {"value": float(np.squeeze(log_marginal))}


serve(answer)
