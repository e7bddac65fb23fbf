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


def curvatures(case):
    """Eigenvalues of the Hessian, ascending."""
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


def vouch(case, n_beta):
    """Declines where the step would be too long for the accuracy that is declared, or the chains too short.

    Along a direction of curvature h of the potential, steps of length e have a variance too large by e h / (4 - e h), and
    forget a share of 1 - e h / 2 of where they are.
    """
    ends = case.options["localisation"] + n_beta * curvatures(case)[[0, -1]]
    step = STEP * float(ends[1])
    if step / (4 - step) > 0.083 or step > 4:
        raise Skip(f"steps of {STEP} are too long for a curvature of {float(ends[1]):.3g}: the caller chooses shorter ones")
    memory = 1 - STEP * float(ends[0]) / 2
    if memory >= 1 or memory**BURN_IN / (1 - memory) / DRAWS > 0.0085:
        raise Skip(f"chains of {BURN_IN + DRAWS} steps do not settle at a curvature of {float(ends[0]):.3g}: the caller asks for more")


def answer(request):
    case = TorchCase(request)
    case.limit(40)
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
