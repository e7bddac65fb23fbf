"""A case of the gate as a JAX function of one flat vector of parameters, in float64."""

from __future__ import annotations

import json
import os
from typing import Any

# Compiling takes most of the time of small cases: without optimisation it takes less, and the numbers are the same to rounding.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")

import jax  # noqa: E402
import numpy as np  # noqa: E402

jax.config.update("jax_enable_x64", True)
if os.environ.get("SURVEY_COMPILED"):
    # Cells of one package, and packages, ask for the same Hessians: each is compiled once.
    jax.config.update("jax_compilation_cache_dir", os.environ["SURVEY_COMPILED"])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
import jax.numpy as jnp  # noqa: E402

from .jax_network import loss as losses  # noqa: E402
from .jax_network import run  # noqa: E402
from .protocol import Skip, split, tensors  # noqa: E402

# Compiled Hessians by architecture, loss and shapes: rescaled networks share one.
compiled: dict[str, Any] = {}


class JaxCase:
    """The dense Hessian of a request, for packages that are given products with a matrix."""

    def __init__(self, request: dict[str, Any], most: int) -> None:
        self.options, self.seed = request["options"], request["seed"]
        stored = tensors(request["net"])
        weights, statistics = split(stored)
        self.theta = jnp.asarray(np.concatenate([stored[n].ravel() for n in weights]))
        self.parameters = len(self.theta)
        if self.parameters > most:
            raise Skip(f"{self.parameters} parameters: the survey asks for at most {most} here")
        kept = {n: jnp.asarray(stored[n]) for n in statistics}
        with np.load(request["data"]) as data:
            x = jnp.asarray(np.asarray(data["x"], float).reshape(-1, *request["architecture"]["input"]))
            y = jnp.asarray(np.asarray(data["y"], float))
        layers = request["architecture"]["layers"]
        key = json.dumps([layers, request["loss"], x.shape, y.shape], sort_keys=True)
        if key not in compiled:
            function = losses(request["loss"])
            shapes = [stored[n].shape for n in weights]
            starts = np.cumsum([0] + [stored[n].size for n in weights])

            def loss(theta: Any, kept: Any, x: Any, y: Any) -> Any:
                own = {n: theta[a:b].reshape(s) for n, a, b, s in zip(weights, starts, starts[1:], shapes)}
                return function(run(layers, {**kept, **own}, x, 0)[0], y)

            compiled[key] = jax.jit(jax.hessian(loss))
        self.hessian = compiled[key](self.theta, kept, x, y)
