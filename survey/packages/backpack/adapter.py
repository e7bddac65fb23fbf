"""BackPACK at the gate."""

import torch
from adapter.protocol import Skip, cell, serve
from adapter.torch_case import TorchCase
from backpack import backpack, extend
from backpack.extensions import DiagHessian
from backpack.hessianfree.ggnvp import ggn_vector_product
from backpack.hessianfree.hvp import hessian_vector_product


def answer(request):
    case = TorchCase(request)
    case.limit(1000)
    measure = request["measure"]
    parameters = list(case.net.parameters())
    if measure == "fisher_rao":
        output = case.net(case.x)
        vector = [p.detach().clone() for p in parameters]
        product = ggn_vector_product(case.loss(output, case.y), output, case.net, vector)
        value = sum(float((a * b).sum()) for a, b in zip(vector, product))
        # The gate's Fisher matrix of mse is that of half the loss.
        return {"value": value * (0.5 if case.name == "mse" else 1.0), "products": 1}
    if measure not in ("hessian_trace", "filter_weighted_trace", "layer_normalised_trace"):
        raise Skip(f"{measure} is not offered")
    if cell().endswith("products"):
        value = case.loss(case.net(case.x), case.y)
        gradients = torch.autograd.grad(value, parameters, create_graph=True, materialize_grads=True)
        trace = 0.0
        for p in parameters:
            for i in range(p.numel()):
                unit = [torch.zeros_like(q) for q in parameters]
                unit[next(k for k, q in enumerate(parameters) if q is p)].view(-1)[i] = 1.0
                column = hessian_vector_product(value, parameters, unit, grad_params=gradients)
                trace += sum(float((a * b).sum()) for a, b in zip(unit, column))
        return {"value": trace, "products": case.parameters}
    case.without("residual", "erf", "batch_norm")
    loss, factor = case.builtin_loss()
    loss, net = extend(loss), extend(case.net)
    value = loss(net(case.x), case.y)
    with backpack(DiagHessian()):
        value.backward()
    if measure == "hessian_trace":
        return {"value": factor * sum(float(p.diag_h.sum()) for p in parameters)}
    if measure == "filter_weighted_trace":
        return {"value": factor * sum(float((p.detach() * p.diag_h * p.detach()).sum()) for p in parameters)}
    weights = [p for p in parameters if p.dim() > 1]
    # In units of the largest weight, and twice the length: its square may leave f64 where the product does not.
    units = [float(p.detach().abs().max()) or 1.0 for p in weights]
    lengths = [unit * float(torch.linalg.vector_norm(p.detach() / unit)) for unit, p in zip(units, weights)]
    return {"value": factor * sum(length * float(p.diag_h.sum()) * length for length, p in zip(lengths, weights))}


serve(answer)
