"""matfree at the gate."""

import functools

import jax
import jax.numpy as jnp
from adapter.jax_case import JaxCase
from adapter.protocol import Skip, averaged, cell, serve
from matfree import decomp, eig, funm, stochtrace

PROBES, REPLICATES, VECTORS = 64, 32, 6


@functools.cache
def estimator(what: str, size: int, steps: int):
    """A compiled estimator of a matrix of this size: (matrix, key) to (mean, standard error)."""
    like = jnp.ones(size)
    # Signs can lie in a smaller invariant subspace than vectors of all directions.
    sampler = (stochtrace.sampler_sphere if cell().endswith("distinct") else stochtrace.sampler_signs)(like, num=PROBES)
    if what == "xtrace":
        few = stochtrace.sampler_normal(like, num=max(2, min(16, size // 2)))
        estimate = stochtrace.estimator_leave_one_out_mean_and_sem(stochtrace.leave_one_out_xtrace(), few)
    else:
        integrand = {
            "hutchinson": lambda: stochtrace.monte_carlo_trace(),
            "diagonal": lambda: stochtrace.monte_carlo_diagonal(),
            "frobenius": lambda: stochtrace.monte_carlo_frobeniusnorm_squared(),
            "absolute": lambda: funm.monte_carlo_funm_sym(funm.dense_funm_sym_eigh(jnp.abs), decomp.tridiag_sym(steps)),
            "logdet": lambda: funm.monte_carlo_funm_sym_logdet(decomp.tridiag_sym(steps)),
        }[what]()
        estimate = stochtrace.estimator_monte_carlo_mean_and_sem(integrand, sampler)
    return jax.jit(lambda matrix, key: estimate(lambda v: matrix @ v, key))


@functools.cache
def diagonals(size: int):
    """Compiled: (matrix, keys) to one estimate of the diagonal per key."""
    sampler = stochtrace.sampler_signs(jnp.ones(size), num=8)
    estimate = stochtrace.estimator_monte_carlo(stochtrace.monte_carlo_diagonal(), sampler)
    return jax.jit(jax.vmap(lambda matrix, key: estimate(lambda v: matrix @ v, key), (None, 0)))


@functools.cache
def xtraces(size: int, vectors: int):
    """Compiled: (matrix, keys) to one estimate of the trace per key."""
    sampler = stochtrace.sampler_normal(jnp.ones(size), num=vectors)
    estimate = stochtrace.estimator_leave_one_out(stochtrace.leave_one_out_xtrace(), sampler)
    return jax.jit(jax.vmap(lambda matrix, key: estimate(lambda v: matrix @ v, key), (None, 0)))


@functools.cache
def eigenvalues(size: int, steps: int):
    """Compiled: (matrix, first vector) to the eigenvalues that so many steps find."""
    find = eig.eigh_partial(decomp.tridiag_sym(steps))
    return jax.jit(lambda matrix, first: find(lambda v: matrix @ v, first)[0])


def distinct(matrix) -> int:
    """How many eigenvalues differ: the longest that a Krylov space can be."""
    found = jnp.linalg.eigvalsh(matrix)
    return 1 + int((jnp.diff(found) > 1e-10 * jnp.abs(found).max()).sum())


def answer(request):
    measure = request["measure"]
    # As many Lanczos steps as parameters take minutes beyond that.
    case = JaxCase(request, 1000 if measure in ("hessian_trace", "hessian_frobenius", "filter_weighted_trace") else 400)
    key, size = jax.random.PRNGKey(case.seed), case.parameters
    matrix = case.hessian
    if measure == "hessian_log_det":
        matrix = matrix + case.options["log_det_shift"] * jnp.eye(size)
    steps = distinct(matrix) if cell().endswith("distinct") else size
    if measure == "hessian_trace" and cell().endswith("xtrace_repeated"):
        # From half as many test vectors as parameters on, the package has the matrix itself.
        vectors = min(VECTORS, (size - 1) // 2)
        if vectors < 2:
            raise Skip("fewer parameters than its test vectors")
        found = xtraces(size, vectors)(case.hessian, jax.random.split(key, REPLICATES))
        return {**averaged(found), "products": 2 * vectors * REPLICATES}
    if measure == "hessian_trace" and cell().endswith("xtrace"):
        if size < 4:
            raise Skip("fewer parameters than its test vectors")
        mean, error = estimator("xtrace", size, 0)(case.hessian, key)
    elif measure == "hessian_trace":
        mean, error = estimator("hutchinson", size, 0)(case.hessian, key)
    elif measure == "hessian_frobenius":
        square, error = estimator("frobenius", size, 0)(case.hessian, key)
        root = float(square) ** 0.5
        error = float(error) / (2 * root) if root > 0 else 0.0
        mean = root + error**2 / (2 * root) if root > 0 else 0.0
    elif measure == "spectral_density":
        total, error = estimator("absolute", size, steps)(matrix, key)
        mean, error = total / size, error / size
    elif measure in ("hessian_max_eigenvalue", "hessian_spectral_norm"):
        values = eigenvalues(size, steps)(matrix, jax.random.normal(key, (size,)))
        values = jnp.abs(values) if measure == "hessian_spectral_norm" else values
        return {"value": float(values.max()), "products": steps}
    elif measure == "filter_weighted_trace":
        found = diagonals(size)(case.hessian, jax.random.split(key, REPLICATES))
        return {**averaged((found * case.theta) @ case.theta), "products": 8 * REPLICATES}
    elif measure == "hessian_log_det":
        mean, error = estimator("logdet", size, steps)(matrix, key)
    else:
        raise Skip(f"{measure} is not offered")
    return {"value": float(mean), "std_error": float(error)}


serve(answer)
