"""devinterp at the gate."""

import math
import warnings

import numpy as np
import torch
from adapter.protocol import Skip, serve
from adapter.torch_case import TorchCase
from devinterp.optim.sgld import SGLD
from devinterp.slt.sampler import estimate_learning_coeff_with_summary
from torch.utils.data import DataLoader, TensorDataset

warnings.simplefilter("ignore")
CHAINS, DRAWS, BURN_IN, STEP = 8, 150, 100, 8e-4
# Chains that look at the curvatures ahead.
PROBES = 4


def curvatures(case):
    """Eigenvalues of the Hessian where the parameters are, ascending."""
    parameters = list(case.net.parameters())
    gradient = torch.autograd.grad(case.loss(case.net(case.x), case.y), parameters, create_graph=True, materialize_grads=True)
    rows = [
        torch.cat([row.reshape(-1) for row in torch.autograd.grad(one, parameters, retain_graph=True, materialize_grads=True)])
        for one in torch.cat([part.reshape(-1) for part in gradient])
    ]
    matrix = torch.stack(rows)
    if not bool(torch.isfinite(matrix).all()):
        raise Skip("the Hessian is not finite: no step is short enough")
    return torch.linalg.eigvalsh(matrix)


def potential_curvatures(case, n_beta):
    """Least and greatest curvature of the potential that short chains of the same steps meet: at the parameters, along every
    step, and where the chains end."""
    parameters = list(case.net.parameters())
    localisation = case.options["localisation"]
    generator = torch.Generator().manual_seed(case.seed % 2**31)

    def put(theta):
        with torch.no_grad():
            torch.nn.utils.vector_to_parameters(theta, parameters)

    def slope(theta):
        put(theta)
        gradient = torch.autograd.grad(case.loss(case.net(case.x), case.y), parameters, materialize_grads=True)
        return n_beta * torch.cat([part.reshape(-1) for part in gradient]) + localisation * (theta - case.theta)

    ends, along = [curvatures(case)[[0, -1]]], [0.0]
    for _ in range(PROBES):
        theta = case.theta
        here = slope(theta)
        for _ in range(BURN_IN):
            step = STEP**0.5 * torch.randn(len(theta), generator=generator) - STEP / 2 * here
            there = slope(theta + step)
            along.append(float((there - here).norm() / step.norm()))
            theta, here = theta + step, there
        ends.append(curvatures(case)[[0, -1]])
    put(case.theta)
    ends = localisation + n_beta * torch.stack(ends)
    return float(ends[:, 0].min()), max(float(ends[:, 1].max()), *along)


def vouch(case, n_beta):
    """Declines where the step would be too long for the accuracy that is declared, or the chains too short.

    Along a direction of curvature h of the potential, steps of length e have a variance too large by e h / (4 - e h), and
    forget a share of 1 - e h / 2 of where they are.
    """
    least, greatest = potential_curvatures(case, n_beta)
    step = STEP * greatest
    if step > 4 or step / (4 - step) > 0.083:
        raise Skip(f"steps of {STEP} are too long for a curvature of {greatest:.3g}: the caller chooses shorter ones")
    memory = 1 - STEP * least / 2
    if memory >= 1 or memory**BURN_IN / (1 - memory) / DRAWS > 0.0085:
        raise Skip(f"chains of {BURN_IN + DRAWS} steps do not settle at a curvature of {least:.3g}: the caller asks for more")


def answer(request):
    case = TorchCase(request)
    case.limit(50)
    case.without("batch_norm")
    n = len(case.x)
    if n < 2:
        raise Skip("a single sample has no temperature 1 / log n")
    beta = case.options["inverse_temperature"] or 1 / math.log(n)
    vouch(case, n * beta)
    found = estimate_learning_coeff_with_summary(
        case.net,
        DataLoader(TensorDataset(case.x, case.y), batch_size=n),
        evaluate=lambda model, data: case.loss(model(data[0]), data[1]),
        sampling_method=SGLD,
        optimizer_kwargs={"lr": STEP, "localization": case.options["localisation"], "nbeta": n * beta},
        num_chains=CHAINS,
        num_draws=DRAWS,
        num_burnin_steps=BURN_IN,
        init_loss=float(case.loss(case.net(case.x), case.y)),
        seed=case.seed % 2**31,
        verbose=False,
    )
    chains = np.array([found[f"llc-chain/{i}"] for i in range(CHAINS)], float)
    return {"value": float(found["llc/mean"]), "std_error": float(chains.std(ddof=1) / CHAINS**0.5), "products": CHAINS * (DRAWS + BURN_IN)}


serve(answer)
