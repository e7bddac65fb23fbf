"""Measures of any symmetric operator that is known by its products."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _flatgauge
from ._estimate import Estimate
from .errors import OperatorError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The density of eigenvalues by stochastic Lanczos quadrature.

    Attributes
    ----------
    nodes, weights : (m,)
        The density is ``sum_k weights[k] delta(t - nodes[k])``; the weights sum to 1.
    products : int
        Operator products it took.
    """

    dimension: int
    probes: tuple[tuple[Array, Array], ...]
    halved: tuple[tuple[Array, Array], ...]
    products: int

    @property
    def nodes(self) -> Array:
        return np.concatenate([nodes for nodes, _ in self.probes])

    @property
    def weights(self) -> Array:
        return np.concatenate([weights for _, weights in self.probes]) / len(self.probes)

    def density(self, points: Any, width: float) -> Array:
        """The density at `points`, every node widened to a Gaussian of standard deviation `width`."""
        distances = (np.asarray(points, dtype=np.float64)[:, None] - self.nodes) / width
        kernel = np.exp(-0.5 * distances**2) / (width * math.sqrt(2.0 * math.pi))
        return np.asarray(kernel @ self.weights, dtype=np.float64)

    def trace_of(self, function: Callable[[Array], Array]) -> Estimate:
        """``tr f(A)`` for an elementwise `function` of eigenvalues, with the standard error between probes.

        `info` holds ``change_from_half_the_steps``: how far the second half of the Lanczos steps moved it, which is the
        size of what more steps would change.
        """
        values = self._values(self.probes, function)
        halved = self._values(self.halved, function)
        error = float(np.std(values, ddof=1) / math.sqrt(len(values)))
        change = float(np.mean(values) - np.mean(halved))
        info = {"products": self.products, "probes": len(values), "change_from_half_the_steps": change}
        return Estimate(float(np.mean(values)), error, info=info)

    def _values(self, probes: tuple[tuple[Array, Array], ...], function: Callable[[Array], Array]) -> Array:
        return np.array([self.dimension * float(weights @ np.asarray(function(nodes))) for nodes, weights in probes])


class Operator:
    """A symmetric linear map known by its products. See :func:`operator`."""

    def __init__(self, n: int, products: Callable[[Array], Array], dtype: str) -> None:
        self.n, self.dtype = n, dtype
        self._products = products

    def __repr__(self) -> str:
        return f"Operator({self.n} x {self.n}, {self.dtype})"

    def trace(self, method: str = "hutch++", products: int = 256, seed: int = 0) -> Estimate:
        """The trace.

        Parameters
        ----------
        method
            ``hutchinson`` (Hutchinson 1990), ``hutch++`` (Meyer et al. 2021), ``xtrace`` (Epperly et al. 2024): all
            unbiased, with an honest standard error. The last two give the trace itself once `products` reaches `n`.
        products
            Operator products to spend.
        """
        value, std_error, info = _flatgauge.operator_trace(self.n, self._products, method, products, seed)
        return Estimate(value, std_error, info=json.loads(info))

    def eigenvalues(
        self,
        count: int = 1,
        end: str = "largest",
        *,
        tolerance: float | None = None,
        max_products: int = 20_000,
        seed: int = 0,
    ) -> Array:
        """The `count` outermost eigenvalues, with their multiplicities, from the end inward (Lanczos with restarts).

        Parameters
        ----------
        end
            ``largest``, ``smallest`` (most negative) or ``magnitude``: the largest eigenvalue is not the one of largest
            magnitude where the operator has a large negative one.
        tolerance
            Residual accepted, relative to the eigenvalue: 1e-10, in float32 1e-4.
        """
        return self.eigenpairs(count, end, tolerance=tolerance, max_products=max_products, seed=seed)[0]

    def eigenpairs(
        self,
        count: int = 1,
        end: str = "largest",
        *,
        tolerance: float | None = None,
        max_products: int = 20_000,
        seed: int = 0,
    ) -> tuple[Array, Array, Array]:
        """As :meth:`eigenvalues`: eigenvalues, eigenvectors (one a column), and residuals ``|A x - value x|``."""
        if tolerance is None:
            tolerance = 1e-10 if self.dtype == "float64" else 1e-4
        values, residuals, vectors, _ = _flatgauge.operator_eigenvalues(
            self.n, self._products, end, count, tolerance, max_products, seed
        )
        return values, vectors.T, residuals

    def spectral_density(self, probes: int = 8, steps: int = 64, seed: int = 0) -> Spectrum:
        """The density of eigenvalues: `probes` random vectors, `steps` Lanczos steps each (Ubaru et al. 2017)."""
        own, halved, products = _flatgauge.operator_spectrum(self.n, self._products, probes, steps, seed)
        arrays = [tuple((np.array(nodes), np.array(weights)) for nodes, weights in part) for part in (own, halved)]
        return Spectrum(self.n, arrays[0], arrays[1], products)

    def log_det(self, shift: float = 0.0, probes: int = 16, steps: int = 64, seed: int = 0) -> Estimate:
        """``log det(A + shift I)`` in nats, by stochastic Lanczos quadrature.

        Raises
        ------
        OperatorError
            If a Ritz value shows that ``A + shift I`` is not positive definite.
        """
        spectrum = self.spectral_density(probes, steps, seed)
        lowest = float(spectrum.nodes.min())
        if not lowest + shift > 0.0:
            raise OperatorError(
                f"a Ritz value is {lowest:g}: with the shift {shift:g} the operator is not positive definite",
                "NotPositiveDefinite",
            )
        return spectrum.trace_of(lambda nodes: np.log(nodes + shift))

    def dense(self) -> Array:
        """The matrix, by a product with each basis vector."""
        return _flatgauge.operator_dense(self.n, self._products)


def operator(
    n: int | Any, hvp: Callable[[Any], Any] | None = None, *, block: bool = False, dtype: str = "float64"
) -> Operator:
    """Any symmetric operator: the Hessian of a model on any device, a matrix, a scipy ``LinearOperator``.

    Parameters
    ----------
    n
        Length of the vectors it acts on; or an object with `shape` and ``@`` (a matrix, a ``LinearOperator``), which
        stands for both arguments.
    hvp
        ``hvp(v) -> A v``: takes a numpy vector (n,) and gives an array, or a tensor, of the same shape.
    block
        Whether it takes vectors by blocks: ``hvp(V)`` for ``V`` of shape (k, n), one vector a row.
    dtype
        ``float64``, or ``float32``: what `hvp` computes in, and is handed.

    Examples
    --------
    >>> import flatgauge, numpy
    >>> A = flatgauge.operator(3, lambda v: numpy.array([3.0, 1.0, -5.0]) * v)
    >>> A.trace().value, A.eigenvalues(1, "largest").round(9), A.eigenvalues(1, "magnitude").round(9)
    (-1.0, array([3.]), array([-5.]))
    """
    if dtype not in ("float64", "float32"):
        raise ValueError(f"dtype is {dtype!r}, expected float64 or float32")
    if hvp is None:
        matrix: Any = n
        if len(matrix.shape) != 2 or matrix.shape[0] != matrix.shape[1]:
            raise ValueError(f"the operator has shape {matrix.shape}, expected n x n")
        return operator(matrix.shape[0], lambda vectors: (matrix @ vectors.T).T, block=True, dtype=dtype)

    def products(vectors: Array) -> Array:
        given = vectors.astype(dtype, copy=False)
        if block:
            return _images(hvp(given), vectors.shape)
        return np.stack([_images(hvp(vector), vector.shape) for vector in given])

    return Operator(int(n), products, dtype)


def _images(image: Any, shape: tuple[int, ...]) -> Array:
    if hasattr(image, "detach"):
        image = image.detach().cpu().numpy()
    array = np.asarray(image, dtype=np.float64)
    if array.shape != shape:
        raise ValueError(f"hvp gave an array of shape {array.shape}, expected {shape}")
    return array
