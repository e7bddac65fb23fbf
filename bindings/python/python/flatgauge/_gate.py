"""The gate in process: what the extension module asks of Python, laws as items, and whole runs."""

from __future__ import annotations

import fnmatch
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from . import _flatgauge
from ._case import Case, KernelCase, PriorCase
from ._estimate import _as_estimate
from .errors import FlatgaugeError, Skipped

Estimator = Callable[[Any], Any]


def _shaped(inputs: Any, architecture: Mapping[str, Any]) -> Any:
    return inputs.reshape(len(inputs), *architecture["input"])


# What the library's own methods refuse with these words is no failure, here as in Rust.
_REFUSALS = {
    "FlatnessError": {"NotApplicable"},
    "PriorError": {"NotApplicable", "Collapsed", "FewPoints", "Singular", "NearlySingular", "Breakdown"},
    "KernelError": {"NotApplicable", "NoClosedForm", "NoReadout", "Rank", "Magnitude", "Variance", "Entry", "Overflow"},
}


def _asked(estimate: Estimator, case: Any) -> Any:
    __tracebackhide__ = True
    try:
        return estimate(case)
    except FlatgaugeError as error:
        if error.kind in _REFUSALS.get(type(error).__name__, ()):
            raise Skipped(str(error)) from error
        raise


def ask_measure(
    estimate: Estimator,
    *,
    measure: str,
    architecture: str,
    theta: Any,
    buffers: Any,
    inputs: Any,
    targets: Any,
    loss: str,
    loss_scale: float,
    options: str,
    dtype: str,
    seed: int,
) -> tuple[float, float | None, float]:
    __tracebackhide__ = True
    spec = json.loads(architecture)
    targets = targets if loss == "mse" else targets[:, 0]
    theta, buffers, inputs, targets = (array.astype(dtype, copy=False) for array in (theta, buffers, inputs, targets))
    inputs = _shaped(inputs, spec)
    case = Case(measure, spec, theta, buffers, inputs, targets, loss, loss_scale, json.loads(options), seed)
    answer = _as_estimate(_asked(estimate, case))
    return answer.value, answer.std_error, answer.error_bound


def ask_method(
    estimate: Estimator, *, method: str, gram: Any, labels: Any, link: str, seed: int
) -> tuple[float, float | None, float, float | None]:
    __tracebackhide__ = True
    answer = _as_estimate(_asked(estimate, PriorCase(gram, labels, link, method, seed)))
    return answer.value, answer.std_error, answer.error_bound, answer.bound


def ask_kernel(
    estimate: Estimator, *, architecture: str, inputs: Any, kind: str, samples: int, dtype: str, seed: int
) -> tuple[Any, Any | None]:
    __tracebackhide__ = True
    spec = json.loads(architecture)
    answer = _asked(estimate, KernelCase(spec, _shaped(inputs.astype(dtype, copy=False), spec), kind, samples, seed))
    matrix, std_error = answer if isinstance(answer, tuple) else (answer, None)
    return _matrix(matrix, "the Gram matrix"), None if std_error is None else _matrix(std_error, "the standard errors")


def _matrix(value: Any, what: str) -> Any:
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    array = np.asarray(value, dtype=np.float64)
    if array.ndim != 2:
        raise TypeError(f"{what} has shape {array.shape}, expected a matrix")
    return array


class LawBroken(AssertionError):
    """A law that does not hold; `outcome` has its numbers."""

    def __init__(self, message: str, outcome: Outcome) -> None:
        super().__init__(message)
        self.outcome = outcome


def _real(value: Any) -> float | None:
    return None if value is None else float(value)


@dataclass(frozen=True)
class Outcome:
    """What one law found on one case."""

    law: str
    estimator: str
    case: str
    verdict: str
    """``pass``, ``fail`` or ``skip``."""
    measured: float | None
    """The number found."""
    expected: float | None
    """The number that the law demands."""
    tolerance: float | None
    """The largest difference allowed."""
    reason: str
    """Why it failed or was skipped."""
    reproduce: str
    """What runs it alone."""

    @property
    def id(self) -> str:
        """``law/estimator/case``."""
        return f"{self.law}/{self.estimator}/{self.case}"

    @property
    def ratio(self) -> float | None:
        """Found over predicted, where both are finite and there is something to divide by."""
        if self.measured is None or not self.expected or not math.isfinite(self.expected):
            return None
        return self.measured / self.expected

    @classmethod
    def _of(cls, document: Mapping[str, Any]) -> Outcome:
        law, estimator, case, verdict = (document[name] for name in ("law", "estimator", "case", "verdict"))
        measured, expected, tolerance = (_real(document[name]) for name in ("measured", "expected", "tolerance"))
        reason, reproduce = document["reason"], document["reproduce"]
        return cls(law, estimator, case, verdict, measured, expected, tolerance, reason, reproduce)


@dataclass(frozen=True)
class Spec:
    """What :func:`parametrize_with_laws` was told; options of the command line fill what is left open."""

    subject: str
    id: str
    estimate: Estimator
    known: Mapping[str, str]
    tier: str | None = None
    seed: int | None = None
    cases: int | None = None
    exactness: str | None = None
    offered: Sequence[str] | None = None
    dtype: str = "float64"

    def gate(
        self,
        *,
        tier: str = "quick",
        seed: int = 0,
        cases: int = 0,
        case_file: str | Path | None = None,
        reproduce: str = "",
        folder: Path | None = None,
    ) -> Gate:
        """The gate of the estimator: its own settings first."""
        tier = self.tier or tier
        seed = seed if self.seed is None else self.seed
        cases = cases if self.cases is None else self.cases
        return Gate(self, tier, seed, cases, None if case_file is None else Path(case_file), reproduce, folder)


class Gate:
    """The checks that one estimator owes, kept alive so that they share what they compute."""

    def __init__(
        self,
        spec: Spec,
        tier: str,
        seed: int,
        cases: int,
        case_file: Path | None = None,
        reproduce: str = "",
        folder: Path | None = None,
    ) -> None:
        self.spec, self.tier, self.seed, self.cases, self.folder = spec, tier, seed, cases, folder
        offered = None if spec.offered is None else list(spec.offered)
        self._gate = _flatgauge.Gate(
            spec.subject,
            spec.id,
            spec.estimate,
            spec.exactness,
            offered,
            spec.dtype,
            tier,
            seed,
            cases,
            case_file,
            reproduce,
        )
        self._statements = {entry["id"]: entry["statement"] for entry in json.loads(_flatgauge.registry("laws"))}
        self._raised: dict[int, BaseException] = {}

    def laws(self) -> list[Law]:
        """One item for every law and case, in the order of the law book."""
        return [Law(self, index, *names) for index, names in enumerate(self._gate.items())]

    def known(self, id: str) -> str | None:
        """Why this check is known to fail, if it is."""
        pattern = self.pattern(id)
        return None if pattern is None else self.spec.known[pattern]

    def pattern(self, id: str) -> str | None:
        """The first pattern of known failures that this check matches."""
        return next((pattern for pattern in self.spec.known if fnmatch.fnmatchcase(id, pattern)), None)

    def is_healed(self, pattern: str) -> bool:
        """Whether nothing that a pattern of known failures matches fails any more; what was not run yet is run."""
        matched = [law for law in self.laws() if law.case != "all" and self.pattern(law.id) == pattern]
        return not any(law.outcome().verdict == "fail" for law in matched)

    def _run(self, index: int) -> tuple[Outcome, BaseException | None]:
        document, raised = self._gate.run(index)
        if raised is not None:
            self._raised[index] = raised
        return Outcome._of(json.loads(document)), self._raised.get(index)

    def report(self) -> Report:
        """What was found of all that was run so far."""
        document, text = self._gate.report()
        return Report._of(json.loads(document), text)

    def write_report(self, folder: str | Path) -> None:
        """Writes the report of all that was run so far: text, JSON, JUnit XML, Markdown, a page."""
        self._gate.write_report(Path(folder))


class Law:
    """One law on one case, for one estimator: what a test holds in its hand."""

    def __init__(self, gate: Gate, index: int, law: str, estimator: str, case: str) -> None:
        self._gate, self._index = gate, index
        self.law, self.estimator, self.case = law, estimator, case
        self.nodeid: str | None = None

    @property
    def id(self) -> str:
        """``law/estimator/case``: stable, and what patterns are matched with."""
        return f"{self.law}/{self.estimator}/{self.case}"

    @property
    def statement(self) -> str:
        """The law in one sentence."""
        return str(self._gate._statements[self.law])

    @property
    def known(self) -> str | None:
        """Why it is known to fail, if it is."""
        return self._gate.known(self.id)

    def __repr__(self) -> str:
        return self.id

    def outcome(self) -> Outcome:
        """Runs the check (once) and says what was found; raises nothing of the estimator's but what ends the run."""
        return self._gate._run(self._index)[0]

    def check(self) -> None:
        """Runs the check, and raises unless the law holds.

        A law that does not hold is an ``AssertionError`` with the law, the numbers, the case as a file and the line that
        runs it alone. What the estimator raised is raised as it is. A case that the estimator does not cover is a skip.
        A known failure is an expected one; a pattern of known failures of which nothing fails any more is an error.
        """
        __tracebackhide__ = True
        outcome, raised = self._gate._run(self._index)
        known = self.known
        if outcome.verdict == "skip":
            _pytest_says("skip", outcome.reason)
            return
        if outcome.verdict == "pass":
            pattern = self._gate.pattern(self.id)
            if pattern is not None and self._gate.is_healed(pattern):
                raise LawBroken(
                    f"{pattern!r} is known to fail ({known}), and nothing of it fails any more: it is healed. Take it out "
                    "of known=.",
                    outcome,
                )
            return
        if known is not None:
            _pytest_says("xfail", f"{known}: {outcome.reason}")
            return
        message = self._message(outcome)
        if raised is not None:
            if sys.version_info >= (3, 11):
                raised.add_note(message)
            raise raised
        raise LawBroken(message, outcome)

    def _message(self, outcome: Outcome) -> str:
        lines = [f"{self.estimator} breaks {self.law} on {self.case}", f"  law:       {self.statement}"]
        if outcome.expected is not None:
            lines.append(f"  predicted: {outcome.expected!r}")
        if outcome.measured is not None:
            lines.append(f"  found:     {outcome.measured!r}")
        if outcome.ratio is not None:
            lines.append(f"  ratio:     {outcome.ratio:.10g}")
        if outcome.tolerance is not None:
            lines.append(f"  allowed:   {outcome.tolerance:.3g}")
        lines.append(f"  why:       {outcome.reason}")
        saved = None
        if self._gate.folder is not None:
            saved = self._gate._gate.save_case(self._index, self._gate.folder)
        if saved is not None:
            path, smallest = saved
            lines.append(f"  case:      {path}" + (f" ({smallest})" if smallest else ""))
        alone = self._alone()
        if alone:
            lines.append(f"  alone:     {alone}")
        return "\n".join(lines)

    def _alone(self) -> str:
        if self.nodeid is None:
            return f"flatgauge.check(..., tier={self._gate.tier!r}, seed={self._gate.seed}, only={self.id!r})"
        words = [f"pytest '{self.nodeid}'"]
        spec = self._gate.spec
        if spec.tier is None and self._gate.tier != "quick":
            words.append(f"--flatgauge-tier {self._gate.tier}")
        if spec.seed is None and self._gate.seed != 0:
            words.append(f"--flatgauge-seed {self._gate.seed}")
        if spec.cases is None and self._gate.cases != 0:
            words.append(f"--flatgauge-cases {self._gate.cases}")
        return " ".join(words)


def _pytest_says(how: str, reason: str) -> None:
    """Ends the item as pytest does."""
    __tracebackhide__ = True
    import pytest

    getattr(pytest, how)(reason)


@dataclass(frozen=True)
class Report:
    """What a whole run found."""

    verdict: str
    """``pass`` iff something was verified, and nothing failed but what is known to."""
    outcomes: list[Outcome]
    counts: dict[str, int]
    seed: int
    known: dict[str, str] = field(default_factory=dict)
    """Failures that were expected, by ``law/estimator/case``, with why."""
    healed: list[str] = field(default_factory=list)
    """Patterns of known failures of which nothing fails any more: an alarm."""
    _text: str = ""

    @classmethod
    def _of(cls, document: Mapping[str, Any], text: str) -> Report:
        outcomes = [Outcome._of(row) for row in document["laws"]]
        return cls(document["verdict"], outcomes, document["counts"], document["seed"], _text=text)

    @property
    def failures(self) -> list[Outcome]:
        """What failed and is not known to."""
        return [outcome for outcome in self.outcomes if outcome.verdict == "fail" and outcome.id not in self.known]

    def __iter__(self) -> Iterator[Outcome]:
        return iter(self.outcomes)

    def __str__(self) -> str:
        return self._text


def _spec(
    measure: str | None,
    method: str | None,
    kernel: str | None,
    estimate: Estimator,
    known: Mapping[str, str] | None,
    tier: str | None,
    seed: int | None,
    cases: int | None,
    exactness: str | None,
    links: Sequence[str] | None,
    kinds: Sequence[str] | None,
    dtype: str,
) -> Spec:
    given = {"measure": measure, "method": method, "kernel": kernel}
    named = [(subject, id) for subject, id in given.items() if id is not None]
    if len(named) != 1:
        raise TypeError(f"expected exactly one of measure=, method= and kernel=, found {len(named)}")
    if not callable(estimate):
        raise TypeError(f"estimate={estimate!r} cannot be called, expected a function of a case")
    (subject, id), offered = named[0], kinds if kernel is not None else links
    return Spec(subject, id, estimate, dict(known or {}), tier, seed, cases, exactness, offered, dtype)


def parametrize_with_laws(
    *,
    estimate: Estimator,
    measure: str | None = None,
    method: str | None = None,
    kernel: str | None = None,
    known: Mapping[str, str] | None = None,
    tier: str | None = None,
    seed: int | None = None,
    cases: int | None = None,
    exactness: str | None = None,
    links: Sequence[str] | None = None,
    kinds: Sequence[str] | None = None,
    dtype: str = "float64",
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Makes a test of every law and case that the estimator owes.

    The test function takes `law` and calls ``law.check()``. Items are called ``law/estimator/case``.

    Parameters
    ----------
    estimate
        The estimator: a function of a :class:`Case` (`measure`), :class:`PriorCase` (`method`) or :class:`KernelCase`
        (`kernel`). Of the first two it returns a number, ``(value, std_error)``, an :class:`Estimate`, or calls
        :func:`skip`; of the last a matrix, or ``(matrix, std_errors)``.
    measure, method, kernel
        What it claims to be: the id of a flatness measure, of a method for log P(f) (or a name of its own, with
        `exactness`), or a name for a method for kernels.
    known
        Failures that are known: pattern of ``law/estimator/case`` to the reason, or to where it is tracked. Strict: a
        pattern of which nothing fails any more is an error.
    tier, seed, cases
        ``quick`` or ``full``; seed of drawn cases; how many cases to generate and shrink. What is left open is taken from
        ``--flatgauge-tier``, ``--flatgauge-seed``, ``--flatgauge-cases`` or the ini file.
    exactness, links
        Of a method: ``exact``, ``unbiased`` or ``approximate``, and the links it offers.
    kinds
        Of a kernel: ``nngp``, ``ntk`` or both.
    dtype
        Of a measure or kernel: ``float32`` if the estimator computes so. Its cases are numbers of that format, rescalings
        have powers of two for factors, and tolerances are those of the format; without it, single precision is an error.

    Examples
    --------
    >>> import flatgauge, math
    >>> @flatgauge.parametrize_with_laws(measure="parameter_norm", estimate=lambda case: math.hypot(*case.theta))
    ... def test_norm(law):
    ...     law.check()
    """
    spec = _spec(measure, method, kernel, estimate, known, tier, seed, cases, exactness, links, kinds, dtype)

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        import pytest

        decorated: Callable[..., Any] = pytest.mark.flatgauge_laws(spec)(function)
        return decorated

    return decorate


def check(
    *,
    estimate: Estimator,
    measure: str | None = None,
    method: str | None = None,
    kernel: str | None = None,
    known: Mapping[str, str] | None = None,
    tier: str = "quick",
    seed: int = 0,
    cases: int = 0,
    case_file: str | Path | None = None,
    only: str = "",
    exactness: str | None = None,
    links: Sequence[str] | None = None,
    kinds: Sequence[str] | None = None,
    dtype: str = "float64",
    report: str | Path | None = None,
) -> Report:
    """Holds an estimator to all its laws at once, without pytest; arguments as :func:`parametrize_with_laws`.

    Parameters
    ----------
    only
        Run only what has this in its ``law/estimator/case``.
    case_file
        Run the laws on the cases of this file instead of all others, as on the smallest case of a failure.
    report
        Write the report into this folder: text, JSON, JUnit XML, Markdown, a page.

    Examples
    --------
    >>> import flatgauge, math
    >>> flatgauge.check(measure="parameter_norm", estimate=lambda case: math.hypot(*case.theta)).verdict
    'pass'
    >>> flatgauge.check(measure="parameter_norm", estimate=lambda case: 1.01 * math.hypot(*case.theta)).verdict
    'fail'
    """
    spec = _spec(measure, method, kernel, estimate, known, tier, seed, cases, exactness, links, kinds, dtype)
    gate = spec.gate(case_file=case_file)
    laws = [law for law in gate.laws() if law.case != "all" and only in law.id]
    if not laws:
        raise ValueError(f"only={only!r}: no check's law/estimator/case contains it")
    for law in laws:
        law.outcome()
    if not only:
        # Whether a law was verified at all: what noise left undecided on every case is decided on averages.
        for law in gate.laws():
            if law.case == "all":
                law.outcome()
    if report is not None:
        gate.write_report(report)
    found = gate.report()
    matches = {outcome.id: gate.known(outcome.id) for outcome in found.outcomes}
    expected = {o.id: why for o in found.outcomes if o.verdict == "fail" and (why := matches[o.id]) is not None}
    failing = {gate.pattern(o.id) for o in found.outcomes if o.verdict == "fail"}
    asked = {gate.pattern(o.id) for o in found.outcomes}
    healed = [pattern for pattern in spec.known if pattern in asked and pattern not in failing]
    verdict = found.verdict
    if expected or healed:
        held = any(outcome.verdict == "pass" for outcome in found.outcomes)
        unexpected = found.counts["fail"] > len(expected)
        verdict = "pass" if held and not healed and not unexpected else "fail"
    return Report(verdict, found.outcomes, found.counts, found.seed, expected, healed, found._text)
