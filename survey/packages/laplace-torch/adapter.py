"""laplace-torch at the gate."""

import math

import torch
from adapter.protocol import Skip, cell, serve
from adapter.torch_case import TorchCase, TwoLogits
from laplace import Laplace
from laplace.curvature import AsdlGGN, AsdlHessian, BackPackGGN, CurvlinopsGGN, CurvlinopsHessian
from torch.utils.data import DataLoader, TensorDataset


BACKENDS = {"fisher_rao.backpack": BackPackGGN, "fisher_rao.asdl": AsdlGGN, "hessian_trace.asdl": AsdlHessian}


def answer(request):
    case = TorchCase(request)
    case.limit(1000)
    measure = request["measure"]
    net, y = (TwoLogits(case.net), case.y[:, 0].long()) if case.name == "bce" else (case.net, case.y)
    likelihood = "regression" if case.name == "mse" else "classification"
    # Its matrix is that of the summed negative log-likelihood: for mse of half the squared error.
    scale = (2.0 if case.name == "mse" else 1.0) / len(case.x)
    shift = case.options["log_det_shift"]
    backend = BACKENDS.get(cell(), CurvlinopsGGN if measure == "fisher_rao" else CurvlinopsHessian)
    work = Laplace(
        net, likelihood, subset_of_weights="all", hessian_structure="full", backend=backend, prior_precision=shift / scale
    )
    work.fit(DataLoader(TensorDataset(case.x, y), batch_size=-(-2 * len(case.x) // 5)))
    if measure == "hessian_log_det":
        determinant = work.log_det_posterior_precision
        return {"value": case.parameters * math.log(scale) + float(determinant)}
    matrix = work._H_factor * work.H
    if measure == "hessian_trace":
        return {"value": scale * float(matrix.trace())}
    if measure == "fisher_rao":
        return {"value": float(case.theta @ matrix @ case.theta) / len(case.x)}
    if measure == "hessian_max_eigenvalue":
        return {"value": scale * float(torch.linalg.eigvalsh(matrix)[-1])}
    raise Skip(f"{measure} is not offered in {cell()}")


serve(answer)
