"""traceax at the gate."""

import functools

import jax
import lineax
import traceax
from adapter.jax_case import JaxCase
from adapter.protocol import Skip, averaged, cell, serve

MATVECS, REPLICATES = 12, 32


@functools.cache
def estimator(name: str, size: int, matvecs: int):
    """Compiled, for matrices of this size: (matrix, keys) to estimates and, where it gives them, standard errors."""
    work = {
        "hutchinson": traceax.HutchinsonEstimator,
        "hutch++": traceax.HutchPlusPlusEstimator,
        "xtrace": traceax.XTraceEstimator,
    }[name]()

    def one(matrix, key):
        value, more = work.estimate(key, lineax.MatrixLinearOperator(matrix), matvecs)
        return value, more.get("std.err", 0.0)

    return jax.jit(jax.vmap(one, (None, 0)))


def answer(request):
    case = JaxCase(request, 1000)
    name = cell().split(".")[-1]
    matvecs = MATVECS
    if name != "hutchinson":
        # Test vectors and as many or twice as many products, of which there are no more than parameters.
        matvecs = min(MATVECS, case.parameters // 3 * 3 if name == "hutch++" else case.parameters // 2 * 2)
        if matvecs < 3:
            raise Skip("fewer parameters than its test vectors")
    keys = jax.random.split(jax.random.PRNGKey(case.seed), REPLICATES)
    values, _ = estimator(name, case.parameters, matvecs)(case.hessian, keys)
    return {**averaged(values), "products": matvecs * REPLICATES}


serve(answer)
