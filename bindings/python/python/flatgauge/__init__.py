"""Reference and conformance suite for flatness measures and log P(f) of neural networks.

- :func:`parametrize_with_laws` holds an estimator to the law book, one pytest item for every law and case;
  :func:`check` does so without pytest.
- :func:`log_prob`, :func:`kernel`, :func:`flatness`, :func:`rescale` compute the numbers, :func:`golden` has certified ones.
- :func:`operator` measures any symmetric operator given by its products.
- :mod:`flatgauge.torch` reads PyTorch modules; the program `flatgauge` is part of the package.
"""

import importlib as _importlib
from typing import TYPE_CHECKING as _TYPE_CHECKING

from . import errors
from ._case import Case, KernelCase, PriorCase
from ._estimate import Estimate, replicates
from ._flatgauge import version as _version
from ._gate import Law, LawBroken, Outcome, Report, check, parametrize_with_laws
from ._golden import Golden, golden
from ._numbers import (
    Entry,
    Flatness,
    Kernel,
    Posterior,
    architecture,
    flatness,
    kernel,
    kernels,
    laws,
    load_network,
    log_prob,
    log_prob_posterior,
    logits,
    measures,
    methods,
    rescale,
    rescalings,
    sample_network,
    save_network,
)
from ._operator import Operator, Spectrum, operator
from .errors import (
    FlatgaugeError,
    FlatnessError,
    KernelError,
    ModelError,
    OperatorError,
    PriorError,
    RescaleError,
    Skipped,
    UnsupportedLayer,
    skip,
)

if _TYPE_CHECKING:
    from . import jax, torch

__version__ = _version()


def __getattr__(name: str) -> object:
    """The bridges to PyTorch and JAX, which are imported when they are asked for."""
    if name in ("torch", "jax"):
        return _importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "Case",
    "Entry",
    "Estimate",
    "FlatgaugeError",
    "Flatness",
    "FlatnessError",
    "Golden",
    "Kernel",
    "KernelCase",
    "KernelError",
    "Law",
    "LawBroken",
    "ModelError",
    "Operator",
    "OperatorError",
    "Outcome",
    "Posterior",
    "PriorCase",
    "PriorError",
    "Report",
    "RescaleError",
    "Skipped",
    "Spectrum",
    "UnsupportedLayer",
    "architecture",
    "check",
    "errors",
    "flatness",
    "golden",
    "jax",
    "kernel",
    "kernels",
    "laws",
    "load_network",
    "log_prob",
    "log_prob_posterior",
    "logits",
    "measures",
    "methods",
    "operator",
    "parametrize_with_laws",
    "replicates",
    "rescale",
    "rescalings",
    "sample_network",
    "save_network",
    "skip",
    "torch",
]
