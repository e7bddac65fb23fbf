"""The rows of the table: what is timed, beside whom, how answers must agree, what is wanted and what bounds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

# What products of matrices reach here, in operations a second: {"float64": ..., "float32": ...}.
Speed = dict[str, float]
# Diagnostics that ours answered with.
Info = dict[str, float]


@dataclass(frozen=True)
class Peer:
    """Another program: the package of the survey whose environment it runs in (None: PyTorch alone), and its script's work."""

    script: str
    work: str
    package: str | None


@dataclass(frozen=True)
class Agreement:
    """When two answers are one.

    `relative`: the largest difference of two entries is at most `bound` times the largest entry. `absolute`: at most `bound`.
    `errors`: at most `bound` standard errors, combined, as both state them. `shares`: the same for shares of networks.
    """

    how: str
    bound: float

    def __str__(self) -> str:
        text = {
            "relative": f"to {self.bound:g} of the largest entry",
            "absolute": f"to {self.bound:g} nats",
            "errors": f"within {self.bound:g} combined standard errors",
            "shares": f"the share of the commonest function within {self.bound:g} combined standard errors",
        }
        return text[self.how]


@dataclass(frozen=True)
class Wanted:
    """What ours is to reach: a multiple of the peer's speed, a time, a rate, a multiple of the floor."""

    ratio: float | None = None
    seconds: float | None = None
    rate: float | None = None
    floors: float | None = None


@dataclass(frozen=True)
class Floor:
    """Seconds below which the work cannot be done in the way in which it is done, from the machine's own products."""

    what: str
    seconds: Callable[[int, Speed, Info], float]


@dataclass(frozen=True)
class Growth:
    """Sizes of ours alone, and the exponent of the algorithm: time ~ size^exponent where its leading term rules."""

    sizes: tuple[int, ...]
    exponent: float
    why: str


@dataclass(frozen=True)
class Row:
    name: str
    title: str
    ours: str
    inputs: str
    size: int
    growth: Growth
    peer: Peer | None = None
    agreement: Agreement | None = None
    wanted: Wanted = field(default_factory=Wanted)
    floor: Floor | None = None
    threads: int | None = None
    repetitions: int = 3
    unit: str = "s"
    variable: str = "n"
    # The row whose answer of ours is what both sides are after.
    truth: str | None = None

    def amount(self, size: int) -> int:
        """Pieces of work that a rate counts."""
        return size if self.unit == "networks/s" else 1

    def wishes(self, result: dict[str, Any]) -> dict[str, bool | None]:
        """What is wanted, and whether it was reached; None where the peer or the floor is missing."""
        ours, wanted = result["ours"]["median"], self.wanted
        peer = (result.get("peer") or {}).get("median")
        floor = (result.get("floor") or {}).get("seconds")
        out: dict[str, bool | None] = {}
        if wanted.ratio:
            out[f"{wanted.ratio:g}x"] = None if peer is None else peer / ours >= wanted.ratio
        if wanted.seconds:
            out[f"{wanted.seconds:g} s"] = ours <= wanted.seconds
        if wanted.rate:
            out[f"{wanted.rate / 1e3:g} k/s"] = self.amount(self.size) / ours >= wanted.rate
        if wanted.floors:
            out[f"{wanted.floors:g} floors"] = None if floor is None else ours <= wanted.floors * floor
        return out


FEATURES, HIDDEN = 784, 40


def product_operations(n: int) -> float:
    """A Hessian-vector product: the tangent forward and the gradient of the weights back, in each layer; between the hidden
    layers the adjoint and its tangent go back too."""
    return 2 * n * (2 * FEATURES * HIDDEN + 4 * HIDDEN * HIDDEN)


def training_operations(n: int) -> float:
    """Forward, gradient of the weights, adjoint between the hidden layers; and forward once more for loss and accuracy."""
    return 2 * n * (3 * FEATURES * HIDDEN + 4 * HIDDEN * HIDDEN)


def products_floor(count: int) -> Floor:
    what = (
        "the products of one direction at dgemm speed" if count == 1 else f"the products of {count} directions at dgemm speed"
    )
    return Floor(what, lambda n, speed, _info: count * product_operations(n) / speed["float64"])


EIGENVALUE_FLOOR = Floor(
    "as many Hessian-vector products as ours took, at dgemm speed",
    lambda n, speed, info: info.get("products", 1) * product_operations(n) / speed["float64"],
)
# A factorisation is n^3 / 3 operations, the inverse from it 2 n^3 / 3 by symmetry.
EP_FLOOR = Floor(
    "n^3 operations, a factorisation and the inverse, in each of our iterations, at dgemm speed",
    lambda n, speed, info: info.get("iterations", 1) * n**3 / speed["float64"],
)

PYTORCH_PRODUCTS = Peer("torch_peer.py", "hessian_products", None)
SAME_PRODUCT = Agreement("relative", 1e-10)
# A Gaussian leaves 6.5 standard errors with probability 8e-11.
STATISTICAL = 6.5
GPY_EP = Peer("gpy_peer.py", "ep", "gpy")
IN_N = "rows of X in each product"

EIGENVALUE = Row(
    name="eigenvalue",
    title="largest Hessian eigenvalue, ours to a relative residual of 3e-2, the peer (float32) until it changes by 1e-3 of itself",
    ours="eigenvalue",
    inputs="network",
    size=500,
    growth=Growth((500, 1000, 2000, 4000), 1.0, "rows of X in each product; how many products depends on the spectrum"),
    peer=Peer("pyhessian_peer.py", "eigenvalue", "pyhessian"),
    # Ten times the tolerance of the peer's power iteration.
    agreement=Agreement("relative", 1e-2),
    wanted=Wanted(ratio=2.0),
    floor=EIGENVALUE_FLOOR,
    truth="eigenvalue-precise",
)

ROWS = [
    Row(
        name="hvp",
        title="Hessian-vector product, 784-40-40-1, n=500, float64, graph kept",
        ours="hessian_product",
        inputs="network",
        size=500,
        growth=Growth((500, 1000, 2000, 4000), 1.0, IN_N),
        peer=PYTORCH_PRODUCTS,
        agreement=SAME_PRODUCT,
        wanted=Wanted(ratio=3.0, floors=1.5),
        floor=products_floor(1),
    ),
    Row(
        name="hvp16",
        title="block of 16 products, by `vmap`, float64",
        ours="hessian_products_16",
        inputs="network_16",
        size=500,
        growth=Growth((500, 1000, 2000, 4000), 1.0, IN_N),
        peer=PYTORCH_PRODUCTS,
        agreement=SAME_PRODUCT,
        wanted=Wanted(ratio=2.5, floors=1.5),
        floor=products_floor(16),
    ),
    Row(
        name="hvp16-operator",
        title="block of 16 products, by an operator, float64",
        ours="hessian_products_16",
        inputs="network_16",
        size=500,
        growth=Growth((), 1.0, IN_N),
        peer=Peer("curvlinops_peer.py", "hessian_products", "curvlinops"),
        agreement=SAME_PRODUCT,
        wanted=Wanted(ratio=2.5, floors=1.5),
        floor=products_floor(16),
    ),
    EIGENVALUE,
    replace(
        EIGENVALUE,
        name="eigenvalue-1e-6",
        title="the same, ours to a relative residual of 1e-3",
        ours="eigenvalue_1e-3",
        growth=Growth((), 1.0, IN_N),
        wanted=Wanted(ratio=1.0),
    ),
    replace(
        EIGENVALUE,
        name="eigenvalue-precise",
        title="the same, ours to the default residual of 1e-10",
        ours="eigenvalue_precise",
        growth=Growth((), 1.0, IN_N),
        wanted=Wanted(ratio=1.0),
        truth=None,
    ),
    Row(
        name="trace",
        title="Hessian trace: exact, beside 100 Hutchinson products (peer float32)",
        ours="trace",
        inputs="network",
        size=500,
        growth=Growth((500, 1000, 2000, 4000), 1.0, "rows of X in one pass"),
        peer=Peer("pyhessian_peer.py", "trace", "pyhessian"),
        agreement=Agreement("errors", STATISTICAL),
        floor=Floor(
            "forward and gradient, two products of X, at dgemm speed",
            lambda n, speed, _info: 4 * n * FEATURES * HIDDEN / speed["float64"],
        ),
    ),
    Row(
        name="nngp",
        title="NNGP matrix, two hidden layers, n=1000, d=784",
        ours="nngp_dense",
        inputs="images",
        size=1000,
        growth=Growth((500, 1000, 2000, 4000), 2.0, "n^2 d"),
        peer=Peer("neural_tangents_peer.py", "dense", "neural-tangents"),
        agreement=Agreement("relative", 1e-10),
        wanted=Wanted(ratio=6.0, floors=1.5),
        floor=Floor("X X^T by symmetry at dgemm speed", lambda n, speed, _info: n**2 * FEATURES / speed["float64"]),
    ),
    Row(
        name="nngp-flatten",
        title="NNGP matrix, two 3x3 convolutions, flattened, 28x28, n=100",
        ours="nngp_flatten",
        inputs="images",
        size=100,
        growth=Growth((50, 100, 200, 400), 2.0, "n^2 h w"),
        peer=Peer("neural_tangents_peer.py", "flatten", "neural-tangents"),
        agreement=Agreement("relative", 1e-10),
        wanted=Wanted(ratio=8.0),
    ),
    Row(
        name="nngp-average",
        title="the same with global average pooling, n=20",
        ours="nngp_average",
        inputs="images",
        size=20,
        growth=Growth((5, 10, 20, 40), 2.0, "n^2 (h w)^2"),
        peer=Peer("neural_tangents_peer.py", "average", "neural-tangents"),
        agreement=Agreement("relative", 1e-10),
        wanted=Wanted(ratio=20.0),
        repetitions=2,
    ),
    Row(
        name="ep-probit",
        title="log P(f) by EP, probit link, 1000 digits",
        ours="ep_probit",
        inputs="digits",
        size=1000,
        growth=Growth((250, 500, 1000, 1700), 3.0, "n^3 an iteration"),
        peer=GPY_EP,
        agreement=Agreement("absolute", 1e-3),
        wanted=Wanted(ratio=6.0),
        floor=EP_FLOOR,
    ),
    Row(
        name="ep-step",
        title="log P(f) by EP, step link, 1000 digits",
        ours="ep_step",
        inputs="digits",
        size=1000,
        growth=Growth((250, 500, 1000, 1700), 3.0, "n^3 an iteration"),
        wanted=Wanted(seconds=0.3),
        floor=EP_FLOOR,
    ),
    Row(
        name="smc",
        title="log P(f) by `smc`, step link, default effort, 1000 digits",
        ours="smc",
        inputs="digits",
        size=1000,
        growth=Growth((250, 500, 1000, 1700), 3.0, "n^3 an iteration of EP, then n^2 per particle"),
        wanted=Wanted(seconds=1.5),
    ),
    Row(
        name="orthant",
        title="log P(f) of 20 digits with one label, to the standard error of the peer's own answers",
        ours="genz",
        inputs="constant_digits",
        size=20,
        growth=Growth((10, 20, 40, 80), 2.0, "n^2 per lattice point, at the default effort"),
        peer=Peer("scipy_peer.py", "orthant", "scipy"),
        agreement=Agreement("errors", STATISTICAL),
    ),
    Row(
        name="sampling",
        title="networks 7-40-40-1 on all 128 inputs, drawn, evaluated, counted",
        ours="sampling",
        inputs="none",
        size=1 << 18,
        growth=Growth((1 << 16, 1 << 17, 1 << 18, 1 << 19), 1.0, "networks"),
        peer=Peer("torch_peer.py", "sampling", None),
        agreement=Agreement("shares", STATISTICAL),
        wanted=Wanted(rate=250e3),
        floor=Floor(
            "the float32 products alone, at sgemm speed; ours multiply integers where the machine can",
            lambda networks, speed, _info: networks * 2 * 128 * (7 * 40 + 40 * 40 + 40) / speed["float32"],
        ),
        unit="networks/s",
        variable="networks",
    ),
    Row(
        name="epoch",
        title="training epoch, SGD, batch 32, 784-40-40-1, n=500, one thread (peer float32)",
        ours="epoch",
        inputs="network",
        size=500,
        growth=Growth((500, 1000, 2000, 4000), 1.0, "rows of X in each product"),
        peer=Peer("torch_peer.py", "epoch", None),
        # Parameters of some 0.1 are rounded to 1e-8 in float32, and the step is some 0.1 long.
        agreement=Agreement("relative", 1e-5),
        wanted=Wanted(ratio=8.0),
        floor=Floor(
            "the products at the dgemm speed of one thread",
            lambda n, speed, _info: training_operations(n) / speed["float64"],
        ),
        threads=1,
    ),
    Row(
        name="splitting",
        title="log P(f) by `splitting`, step link, 150 digits, to a standard error of 0.05",
        ours="splitting",
        inputs="digits",
        size=150,
        growth=Growth(
            (20, 40, 80), 2.5, "n^2 per particle and level, and levels in proportion to the root of n"
        ),
        wanted=Wanted(seconds=20.0),
        repetitions=1,
    ),
]
