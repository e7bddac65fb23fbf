"""Exceptions: one class for every room of the library, and `kind` for what it was."""

from __future__ import annotations

import re
from typing import NoReturn


class FlatgaugeError(Exception):
    """Anything that the library refuses or cannot do.

    `kind` names the case (``NotSymmetric``, ``NotConverged``, ``NotApplicable``, ...), as the library's own type does.
    """

    def __init__(self, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind

    def __reduce__(self) -> tuple[type[FlatgaugeError], tuple[str, str]]:
        return type(self), (str(self), self.kind)


class PriorError(FlatgaugeError, ValueError):
    """Of log P(f): a matrix or labels that are none, a method that does not apply, no convergence."""


class FlatnessError(FlatgaugeError, ValueError):
    """Of a flatness measure: an option out of range, a network it does not cover, no convergence."""


class KernelError(FlatgaugeError, ValueError):
    """Of a Gram matrix: a layer without closed form, inputs of another size."""


class ModelError(FlatgaugeError, ValueError):
    """Of an architecture or a network: shapes that do not fit, a file that is none."""


class RescaleError(FlatgaugeError, ValueError):
    """Of a rescaling that would change the function."""


class OperatorError(FlatgaugeError, ArithmeticError):
    """Of an estimator on an operator: products that are not finite, no convergence."""


class UnsupportedLayer(FlatgaugeError, TypeError):
    """A module that no architecture expresses: `kind` is its class, and the message says where it stands and why."""


class Skipped(Exception):
    """Raised by :func:`flatgauge.skip`: the estimator does not cover this case."""


def skip(reason: str) -> NoReturn:
    """Says that the estimator does not cover this case: the item is skipped, with the reason.

    Parameters
    ----------
    reason
        One sentence, as ``"only dense layers"``.
    """
    raise Skipped(reason)


def _make(name: str, kind: str, message: str) -> FlatgaugeError:
    """The exception of a typed error of the library."""
    # Flags of the program have no place in a message of the library.
    message = re.sub(r"--([a-z]+)-?([a-z]*)", lambda match: "_".join(filter(None, match.groups())), message)
    classes = {
        known.__name__: known for known in (PriorError, FlatnessError, KernelError, ModelError, RescaleError, OperatorError)
    }
    return classes[name](message, kind)
