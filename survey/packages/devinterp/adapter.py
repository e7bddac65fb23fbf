"""devinterp at the gate."""

import math
import warnings

import numpy as np
from adapter.protocol import Skip, serve
from adapter.torch_case import TorchCase
from devinterp.optim.sgld import SGLD
from devinterp.slt.sampler import estimate_learning_coeff_with_summary
from torch.utils.data import DataLoader, TensorDataset

warnings.simplefilter("ignore")
CHAINS, DRAWS, BURN_IN = 8, 150, 100


def answer(request):
    case = TorchCase(request)
    case.limit(40)
    case.without("batch_norm")
    n = len(case.x)
    if n < 2:
        raise Skip("a single sample has no temperature 1 / log n")
    beta = case.options["inverse_temperature"] or 1 / math.log(n)
    found = estimate_learning_coeff_with_summary(
        case.net,
        DataLoader(TensorDataset(case.x, case.y), batch_size=n),
        evaluate=lambda model, data: case.loss(model(data[0]), data[1]),
        sampling_method=SGLD,
        optimizer_kwargs={"lr": 4e-4, "localization": case.options["localisation"], "nbeta": n * beta},
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
