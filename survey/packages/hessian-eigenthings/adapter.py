"""hessian-eigenthings at the gate."""

import torch
from adapter.protocol import Skip, averaged, cell, serve
from adapter.torch_case import TorchCase
from hessian_eigenthings import GGNOperator, HessianOperator, lanczos, spectral_density, supervised_loss, trace
from hessian_eigenthings.algorithms import deflated_power_iteration
from hessian_eigenthings.loss_fns import supervised_forward, supervised_loss_of_output

MATVECS, REPLICATES = 30, 32


def answer(request):
    case = TorchCase(request)
    variant = cell().split(".")[-1]
    case.limit(400 if variant == "data_loader" else 1000)
    data = case.batches() if variant == "data_loader" else [(case.x, case.y)]

    def share(output, y):
        """The package averages over batches: each counts by its part of the data."""
        return case.loss(output, y) * (len(y) * len(data) / len(case.y))

    hessian = HessianOperator(case.net, data, supervised_loss(share))
    measure = request["measure"]
    if measure == "hessian_trace":
        if variant == "data_loader":
            columns = [hessian.matvec(row)[i] for i, row in enumerate(torch.eye(case.parameters))]
            return {"value": float(sum(columns)), "products": case.parameters}
        method = "hutchinson" if variant == "hutchinson" else "hutch++"
        found = trace(hessian, num_matvecs=MATVECS, method=method, seed=case.seed)
        return {"value": found.estimate, "std_error": found.stderr, "products": MATVECS}
    if measure in ("hessian_max_eigenvalue", "hessian_spectral_norm"):
        which = "LA" if measure == "hessian_max_eigenvalue" else "LM"
        if variant == "defaults":
            if case.parameters < 11:
                raise Skip("`lanczos` asks for ten eigenvalues unless told otherwise, which this network has not")
            found = lanczos(hessian, seed=case.seed)
        elif variant == "power_iteration_defaults":
            found = deflated_power_iteration(hessian, k=1, seed=case.seed)
        elif variant == "power_iteration":
            found = deflated_power_iteration(hessian, k=1, max_iter=5000, tol=1e-6, seed=case.seed)
        else:
            found = lanczos(hessian, k=1, which=which, max_iter=case.parameters, reorthogonalize=True, seed=case.seed)
        value = float(found.eigenvalues[0])
        if not bool(torch.as_tensor(found.converged)[0]):
            raise Skip("not converged, as the package says itself (`converged`)")
        return {"value": abs(value) if measure == "hessian_spectral_norm" else value, "products": int(found.iterations)}
    if measure == "spectral_density":
        # The nodes of the quadrature themselves, which the smoothed density is made of.
        found = spectral_density(
            hessian, num_runs=REPLICATES, lanczos_steps=min(80, case.parameters), num_grid_points=2, seed=case.seed % 2**31
        )
        # Runs of fewer steps are filled up with NaN of weight 0.
        means = (found.raw_eigenvalues.abs().nan_to_num() * found.raw_weights).sum(1).numpy()
        return averaged(means)
    if measure == "fisher_rao":
        ggn = GGNOperator(case.net, data, supervised_forward, supervised_loss_of_output(case.loss))
        # The gate's Fisher matrix of mse is that of half the loss.
        return {"value": float(case.theta @ ggn.matvec(case.theta)) * (0.5 if case.name == "mse" else 1.0), "products": 1}
    raise Skip(f"{measure} is not offered")


serve(answer)
