"""Numbers with their standard errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Estimate:
    """A number, and how sure it is.

    Parameters
    ----------
    value
        The number; ``-inf`` where that is the answer (log P of an impossible function, in nats).
    std_error
        Its standard error; ``None`` of a deterministic method.
    rel_error, abs_error
        A bound on the error of an approximate method, relative or absolute, which it vouches for beside rounding and
        `std_error`: it is judged at that accuracy. A bound so loose that 0 would pass decides nothing.
    bound
        A certain upper bound on log P(f), where the method has one.
    info
        What happened on the way.

    Examples
    --------
    >>> Estimate(8.31, 0.02)
    Estimate(8.31 +- 0.02)
    >>> float(Estimate(8.31))
    8.31
    """

    value: float
    std_error: float | None = None
    rel_error: float | None = None
    abs_error: float | None = None
    bound: float | None = None
    info: dict[str, Any] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        for name in ("rel_error", "abs_error"):
            bound = getattr(self, name)
            if bound is not None and not (float(bound) >= 0 and math.isfinite(float(bound))):
                raise ValueError(f"{name} is {bound!r}, expected a finite number from 0")

    def __float__(self) -> float:
        return float(self.value)

    @property
    def error_bound(self) -> float:
        """The absolute error that is vouched for; 0 where none is declared."""
        size = abs(self.value) if math.isfinite(self.value) else 0.0
        return float(self.abs_error or 0.0) + float(self.rel_error or 0.0) * size

    def __iter__(self) -> Iterator[float | None]:
        """Unpacks as ``value, std_error = estimate``."""
        return iter((self.value, self.std_error))

    def __repr__(self) -> str:
        error = "" if self.std_error is None else f" +- {self.std_error:.6g}"
        return f"Estimate({self.value:.10g}{error})"


def _number(value: Any, what: str) -> float:
    """A float of a number, a numpy scalar, a tensor or array of one entry."""
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        kind = type(value).__name__
        raise TypeError(f"{what} is {value!r} ({kind}), expected a number or an array of one entry") from error


def _as_estimate(answer: Any) -> Estimate:
    """Reads what an estimator returned."""
    if answer is None:
        raise TypeError("the estimator returned None, expected a number, flatgauge.Estimate or flatgauge.skip(...)")
    if isinstance(answer, Estimate):
        value = _number(answer.value, "the value")
        std_error = None if answer.std_error is None else _number(answer.std_error, "the standard error")
        bound = None if answer.bound is None else _number(answer.bound, "the bound")
        return replace(answer, value=value, std_error=std_error, bound=bound)
    if isinstance(answer, tuple) and len(answer) == 2:
        value, std_error = answer
        return Estimate(
            _number(value, "the value"), None if std_error is None else _number(std_error, "the standard error")
        )
    return Estimate(_number(answer, "the answer"))


def replicates(count: int) -> Callable[[Callable[[Any], Any]], Callable[[Any], Estimate]]:
    """Makes an estimator without a standard error into one that has it: its mean over seeds.

    The estimator is called `count` times with seeds derived from the case's own (:meth:`Case.with_seed`), and must draw
    all its random numbers from ``case.seed``.

    Parameters
    ----------
    count
        Runs, at least 2. The standard error has a relative error of about ``1 / sqrt(2 count)``.

    Examples
    --------
    >>> @replicates(32)
    ... def my_trace(case):
    ...     return 1.0
    """
    if count < 2:
        raise ValueError(f"{count} replicates have no standard error, expected at least 2")

    def of(estimate: Callable[[Any], Any]) -> Callable[[Any], Estimate]:
        def mean(case: Any) -> Estimate:
            values = [_as_estimate(estimate(case.with_seed(_seed(case.seed, index)))).value for index in range(count)]
            middle = math.fsum(values) / count
            if not math.isfinite(middle):
                return Estimate(middle)
            variance = math.fsum((value - middle) ** 2 for value in values) / (count - 1)
            return Estimate(middle, math.sqrt(variance / count), info={"replicates": count})

        mean.__name__ = getattr(estimate, "__name__", "replicated")
        mean.__doc__ = estimate.__doc__
        return mean

    return of


def _seed(seed: int, index: int) -> int:
    """A seed of 63 bits that depends on both (SplitMix64, Steele, Lea and Flood 2014), so that neighbours share nothing."""
    mask = (1 << 64) - 1
    state = (seed * 0xD1B54A32D192ED03 + (index + 1) * 0x9E3779B97F4A7C15) & mask
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
    return (state ^ (state >> 31)) >> 1
