"""The extension module: numpy arrays and JSON documents. Users want the package around it."""

from os import PathLike
from typing import Any, Callable, final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Gate",
    "corpus_networks",
    "golden_file",
    "golden_files",
    "kernel_matrix",
    "layout",
    "load_network",
    "log_prob",
    "log_prob_posterior",
    "logits",
    "main",
    "measured",
    "operator_dense",
    "operator_eigenvalues",
    "operator_spectrum",
    "operator_trace",
    "pac_bayes_bound",
    "read_architecture",
    "registry",
    "rescaled",
    "sample_network",
    "save_network",
    "version",
]

_Array = NDArray[np.float64]
_Path = str | PathLike[str]
_Answer = tuple[float, float | None, float | None, str]
_Probes = list[tuple[list[float], list[float]]]

@final
class Gate:
    def __new__(
        cls,
        subject: str,
        id: str,
        estimate: Callable[[Any], Any],
        exactness: str | None,
        offered: list[str] | None,
        dtype: str,
        tier: str,
        seed: int,
        cases: int,
        case_file: _Path | None,
        reproduce: str,
    ) -> Gate: ...
    def items(self) -> list[tuple[str, str, str]]: ...
    def run(self, index: int) -> tuple[str, BaseException | None]: ...
    def save_case(self, index: int, folder: _Path) -> tuple[_Path, str | None] | None: ...
    def report(self) -> tuple[str, str]: ...
    def write_report(self, folder: _Path) -> None: ...

def main(argv: list[str]) -> int: ...
def version() -> str: ...
def registry(what: str) -> str: ...
def golden_files() -> list[str]: ...
def golden_file(name: str) -> bytes | None: ...
def read_architecture(
    text: str, activation: str | None = None, weight_std: float | None = None, bias_std: float | None = None
) -> str: ...
def layout(architecture: str) -> str: ...
def sample_network(architecture: str, seed: int) -> tuple[_Array, _Array]: ...
def load_network(path: _Path, architecture: str) -> tuple[_Array, _Array]: ...
def save_network(path: _Path, architecture: str, theta: _Array, buffers: _Array) -> None: ...
def logits(architecture: str, theta: _Array, buffers: _Array, x: _Array) -> _Array: ...
def rescaled(
    architecture: str,
    theta: _Array,
    buffers: _Array,
    kind: str,
    seed: int,
    layer: int,
    alpha: float,
    low: float,
    high: float,
) -> tuple[_Array, _Array, str]: ...
def corpus_networks(full: bool, seed: int) -> list[tuple[str, str, _Array, _Array, _Array, _Array, str]]: ...
def log_prob(
    gram: _Array,
    labels: _Array,
    method: str,
    link: str | None,
    target_std_error: float | None,
    max_seconds: float | None,
    seed: int,
    jitter: float,
) -> tuple[_Answer, str]: ...
def log_prob_posterior(
    gram: _Array,
    labels: _Array,
    train: int,
    method: str,
    link: str | None,
    target_std_error: float | None,
    max_seconds: float | None,
    seed: int,
    jitter: float,
) -> tuple[_Answer, _Answer, _Answer, str]: ...
def pac_bayes_bound(log_prob_training: float, training_points: int, delta: float) -> float | None: ...
def kernel_matrix(
    architecture: str, x: _Array, kind: str, method: str, samples: int, seed: int
) -> tuple[_Array, _Array | None, str]: ...
def measured(
    architecture: str,
    theta: _Array,
    buffers: _Array,
    x: _Array,
    y: _Array,
    loss: str,
    measures: list[str],
    all: bool,
    options: str,
) -> tuple[list[tuple[str, _Answer]], list[tuple[str, str]], float]: ...
def operator_trace(
    dimension: int, products: Callable[[_Array], _Array], method: str, budget: int, seed: int
) -> tuple[float, float | None, str]: ...
def operator_eigenvalues(
    dimension: int,
    products: Callable[[_Array], _Array],
    end: str,
    count: int,
    tolerance: float,
    max_products: int,
    seed: int,
) -> tuple[_Array, _Array, _Array, int]: ...
def operator_spectrum(
    dimension: int, products: Callable[[_Array], _Array], probes: int, steps: int, seed: int
) -> tuple[_Probes, _Probes, int]: ...
def operator_dense(dimension: int, products: Callable[[_Array], _Array]) -> _Array: ...
