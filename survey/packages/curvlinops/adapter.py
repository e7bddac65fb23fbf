"""curvlinops at the gate."""

import numpy as np
import torch
from adapter.protocol import Skip, averaged, cell, serve
from adapter.torch_case import TorchCase
from curvlinops import FisherMCLinearOperator, GGNLinearOperator, HessianLinearOperator
from scipy.sparse.linalg import eigsh

MATVECS, REPLICATES, SAMPLES = 15, 32, 16


def replicated(draw):
    return averaged([float(draw()) for _ in range(REPLICATES)])


def dense(operator, size):
    """The matrix, from products with the identity."""
    return (operator @ torch.eye(size)).detach()


def answer(request):
    case = TorchCase(request)
    measure, variant = request["measure"], cell().split(".")[-1]
    case.limit(400 if variant == "dense" else 1000)
    parameters = list(case.net.parameters())
    data = case.batches()

    def hessian(data=data):
        return HessianLinearOperator(case.net, case.loss, parameters, data, check_deterministic=False)

    whole = [(case.x, case.y)]
    if measure == "hessian_trace":
        if variant == "dense":
            return {"value": float(dense(hessian(), case.parameters).trace()), "products": case.parameters}
        from curvlinops import hutchinson_trace, hutchpp_trace, xtrace

        # The estimators take matrices too, and fewer products than there are parameters.
        operator = dense(hessian(whole), case.parameters)
        matvecs = min(MATVECS, case.parameters - 1)
        if variant == "xtrace":
            matvecs = 2 * min(MATVECS // 2, case.parameters // 4)
            if matvecs < 2:
                raise Skip("fewer parameters than its test vectors")
            draw = lambda: xtrace(operator, matvecs)  # noqa: E731
        elif variant == "hutchpp":
            matvecs = matvecs // 3 * 3
            if matvecs < 3:
                raise Skip("fewer parameters than its test vectors")
            draw = lambda: hutchpp_trace(operator, matvecs)  # noqa: E731
        else:
            draw = lambda: hutchinson_trace(operator, matvecs)  # noqa: E731
        return {**replicated(draw), "products": matvecs * REPLICATES}
    if measure == "hessian_frobenius":
        from curvlinops import hutchinson_squared_fro

        operator = dense(hessian(whole), case.parameters)
        matvecs = min(MATVECS, case.parameters - 1)
        found = replicated(lambda: hutchinson_squared_fro(operator, matvecs))
        root = found["value"] ** 0.5
        error = found["std_error"] / (2 * root) if root > 0 else 0.0
        # The root of a mean is low by about its variance over eight cubes of it.
        return {"value": root + error**2 / (2 * root) if root > 0 else 0.0, "std_error": error}
    if measure in ("hessian_max_eigenvalue", "hessian_spectral_norm"):
        if case.parameters < 4:
            raise Skip("scipy's eigsh has no products for so small a matrix")
        which = "LA" if measure == "hessian_max_eigenvalue" else "LM"
        operator = hessian().to_scipy()
        value = float(eigsh(operator, k=1, which=which, return_eigenvectors=False, v0=np.random.randn(case.parameters))[0])
        return {"value": abs(value) if measure == "hessian_spectral_norm" else value}
    if measure == "filter_weighted_trace":
        if variant == "xdiag":
            from curvlinops import xdiag

            matvecs = 2 * min(MATVECS // 2, case.parameters // 4)
            if matvecs < 2:
                raise Skip("fewer parameters than its test vectors")
            operator = dense(hessian(whole), case.parameters)
            return replicated(lambda: (case.theta * xdiag(operator, matvecs)) @ case.theta)
        diagonal = dense(hessian(), case.parameters).diagonal()
        return {"value": float((case.theta * diagonal) @ case.theta), "products": case.parameters}
    if measure == "fisher_rao":
        if variant == "monte_carlo":
            loss, factor = case.builtin_loss()
            loss.reduction = "mean"

            def draw():
                operator = FisherMCLinearOperator(
                    case.net,
                    loss,
                    parameters,
                    data,
                    mc_samples=SAMPLES,
                    seed=int(np.random.randint(2**31)),
                    check_deterministic=False,
                )
                return case.theta @ (operator @ case.theta).detach() * convention(case, factor)

            return {**replicated(draw), "products": REPLICATES}
        operator = GGNLinearOperator(case.net, case.loss, parameters, data)
        value = float(case.theta @ (operator @ case.theta).detach())
        # The gate's Fisher matrix of mse is that of half the loss.
        return {"value": value * (0.5 if case.name == "mse" else 1.0), "products": 1}
    raise Skip(f"{measure} is not offered")


def convention(case, factor):
    """From the package's Fisher matrix of PyTorch's mean loss to the gate's.

    MSELoss(reduction='mean') divides by the outputs too; the gate's mse has no factor 1/2, but its Fisher matrix is that of
    half the loss.
    """
    return factor * 0.5 if case.name == "mse" else 1.0


serve(answer)
