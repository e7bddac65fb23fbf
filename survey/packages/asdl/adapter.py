"""ASDL (asdfghjkl on the package index) at the gate."""

from adapter.protocol import Skip, cell, serve
from adapter.torch_case import TorchCase, TwoLogits
from asdl.fisher import FisherConfig, get_fisher_maker
from asdl.hessian import HessianConfig, HessianMaker
from asdl.matrices import FISHER_EXACT, SHAPE_DIAG, SHAPE_FULL


def answer(request):
    case = TorchCase(request)
    case.limit(1000)
    measure, variant = request["measure"], cell().split(".")[-1]
    if measure == "fisher_rao":
        return fisher_rao(case)
    shape = SHAPE_DIAG if variant == "diagonal" or measure == "filter_weighted_trace" else SHAPE_FULL
    maker = HessianMaker(case.net, HessianConfig(hessian_shapes=[shape]))
    # Batches as its own users add them up: each with its share of the data, all accumulated.
    batches = case.batches() if variant == "batches" else [(case.x, case.y)]
    for index, (x, y) in enumerate(batches):
        output = maker.setup_model_call(case.net, x)
        maker.setup_loss_call(case.loss, output, y)
        if measure not in ("hessian_max_eigenvalue", "hessian_spectral_norm"):
            maker.forward_and_backward(scale=len(x) / len(case.x), accumulate=index > 0)
    if measure == "hessian_trace" and shape == SHAPE_FULL:
        return {"value": float(case.net.hessian.data.trace())}
    if measure in ("hessian_max_eigenvalue", "hessian_spectral_norm"):
        values, _ = maker.hessian_eig(top_n=1, max_iters=5000, tol=1e-9)
        value = float(values[0])
        return {"value": abs(value) if measure == "hessian_spectral_norm" else value}
    if measure in ("hessian_trace", "filter_weighted_trace"):
        total = 0.0
        for module in case.net.modules():
            if hasattr(module, "hessian"):
                for name in ("weight", "bias"):
                    diagonal = getattr(module.hessian.diag, name)
                    if diagonal is not None:
                        value = getattr(module, name).detach()
                        total += float((value * diagonal * value).sum() if measure == "filter_weighted_trace" else diagonal.sum())
        return {"value": total}
    raise Skip(f"{measure} is not offered")


def fisher_rao(case):
    net = TwoLogits(case.net) if case.name == "bce" else case.net
    loss_type = "mse" if case.name == "mse" else "cross_entropy"
    config = FisherConfig(FISHER_EXACT, [SHAPE_FULL], loss_type=loss_type, data_size=len(case.x))
    maker = get_fisher_maker(net, config)
    maker.setup_model_call(net, case.x)
    maker.forward_and_backward()
    matrix = net.fisher.data
    return {"value": float(case.theta @ matrix @ case.theta)}


serve(answer)
