"""PyHessian at the gate."""

import numpy as np
from adapter.protocol import Skip, averaged, cell, serve
from adapter.torch_case import TorchCase
from pyhessian import hessian

# Its stopping rule compares two consecutive values; this is well below the accuracy declared for it.
TOLERANCE, STEPS = 1e-7, 2000
QUADRATURES, PROBES = 32, 24


def answer(request):
    case = TorchCase(request)
    case.limit(1000)
    if cell().endswith("data_loader"):
        work = hessian(case.net, case.loss, dataloader=case.batches(), cuda=False)
    else:
        work = hessian(case.net, case.loss, data=(case.x, case.y), cuda=False)
    if request["measure"] == "hessian_trace":
        # As documented: the mean of what `trace` lists.
        if cell().endswith("stopping_rule"):
            values = work.trace()
        else:
            values = [work.trace(maxIter=1)[0] for _ in range(PROBES)]
        return {**averaged(values), "products": len(values)}
    if request["measure"] in ("hessian_max_eigenvalue", "hessian_spectral_norm"):
        (value,), _ = work.eigenvalues() if cell().endswith("defaults") else work.eigenvalues(maxIter=STEPS, tol=TOLERANCE)
        return {"value": abs(value) if request["measure"] == "hessian_spectral_norm" else value}
    if request["measure"] == "spectral_density":
        steps = min(100, case.parameters)
        nodes, weights = work.density(iter=steps, n_v=QUADRATURES)
        means = [np.dot(np.abs(n), w) for n, w in zip(nodes, weights)]
        return {**averaged(means), "products": steps * QUADRATURES}
    raise Skip(f"{request['measure']} is not offered")


serve(answer)
