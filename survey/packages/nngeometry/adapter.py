"""NNGeometry at the gate."""

from adapter.protocol import Skip, cell, serve
from adapter.torch_case import TorchCase
from nngeometry.hessian import Hessian
from nngeometry.metrics import FIM
from nngeometry.object import PMatDense, PMatImplicit, PVector
from torch.utils.data import DataLoader, TensorDataset

VARIANTS = {"ce": "classif_logits", "bce": "classif_binary_logits", "mse": "regression"}


def answer(request):
    case = TorchCase(request)
    case.limit(1000)
    measure = request["measure"]
    case.without("residual")
    if measure == "fisher_rao":
        if cell().endswith("implicit"):
            case.without("batch_norm")
        loader = DataLoader(TensorDataset(case.x, case.y), batch_size=-(-2 * len(case.x) // 5))
        representation = PMatImplicit if cell().endswith("implicit") else PMatDense
        matrix = FIM(case.net, loader, representation, variant=VARIANTS[case.name])
        return {"value": float(matrix.vTMv(PVector.from_model(case.net)))}
    # Its Hessian is the sum over batches of what the function gives: one batch, and the gate's mean loss.
    loader = DataLoader(TensorDataset(case.x, case.y), batch_size=len(case.x))
    matrix = Hessian(case.net, loader, PMatDense, function=case.loss)
    if measure == "hessian_trace":
        return {"value": float(matrix.trace())}
    if measure == "hessian_frobenius":
        return {"value": float(matrix.frobenius_norm())}
    if measure in ("hessian_max_eigenvalue", "hessian_spectral_norm"):
        matrix.compute_eigendecomposition()
        values = matrix.get_eigendecomposition()[0]
        return {"value": float(values.abs().max() if measure == "hessian_spectral_norm" else values.max())}
    if measure == "filter_weighted_trace":
        theta = PVector.from_model(case.net).to_torch()
        return {"value": float(theta @ (matrix.get_diag() * theta))}
    raise Skip(f"{measure} is not offered")


serve(answer)
