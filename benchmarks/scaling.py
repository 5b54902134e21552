"""How the cost grows: with customers, features, non-zeros, hidden units, categories, k and threads, one at a time."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from duckprop.benchmarks.protocol import Tell, compare, time_sides
from duckprop.benchmarks.questions import Question, questions
from duckprop.benchmarks.side import VECTOR, Samples
from duckprop.benchmarks.sides import COMPILED, FUSED, SIDES
from duckprop.benchmarks.workload import Sizes, Workload, synthetic
from duckprop.cores import cores, set_cores

IN_SQL = "engine compiled"
_REPEATS, _SAMPLES = 3, Samples(batches=8_192)
_MXNET_LIMIT = 20_000_000
"""MXNet takes part where a point has at most so many answers: it would need minutes for more."""


@dataclass(frozen=True)
class Point:
    """One measurement of a side: size of the dimension, rows, and the seconds of the runs."""

    side: str
    size: int
    rows: int
    seconds: tuple[float, ...]

    @property
    def rows_per_second(self) -> float:
        """Rows by the median run."""
        return self.rows / median(self.seconds)


@dataclass(frozen=True)
class Curve:
    """What one dimension does; ``base``: the sizes of all others."""

    dimension: str
    base: Sizes
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Plan:
    """The base shape, and the sizes to try in each dimension; threads: None for 1, 2, 4 … all that there are."""

    base: Sizes
    customers: tuple[int, ...]
    features: tuple[int, ...]
    nonzeros: tuple[int, ...]
    hidden: tuple[int, ...]
    categories: tuple[int, ...]
    k: tuple[int, ...]
    threads: tuple[int, ...] | None = None


PLAN = Plan(
    base=Sizes(rows=16_384, width=50_000, nonzeros=60, hidden=(128,), categories=1_000),
    customers=(100, 1_000, 10_000, 100_000, 300_000),
    features=(1_000, 10_000, 50_000, 200_000, 500_000),
    nonzeros=(4, 16, 60, 250, 1_000),
    hidden=(16, 32, 64, 128, 256, 512),
    categories=(1, 10, 100, 1_000, 4_000),
    k=(1, 5, 10, 50, 100, 200),
)
"""What ``--full`` measures."""
QUICK = Plan(
    base=Sizes(rows=4_096, width=5_000, nonzeros=20, hidden=(32,), categories=100),
    customers=(100, 1_000, 10_000),
    features=(1_000, 5_000, 20_000),
    nonzeros=(4, 20, 100),
    hidden=(16, 32, 128),
    categories=(1, 10, 100, 1_000),
    k=(1, 10, 100),
)
_FIELDS = {"customers": "rows", "features": "width", "nonzeros": "nonzeros", "categories": "categories"}


def curves(plan: Plan, seed: int, tell: Tell = lambda text: None) -> tuple[Curve, ...]:
    """Measure every dimension of a plan, on random models and rows."""
    found = []
    for dimension in ("customers", "features", "nonzeros", "hidden", "categories"):
        points: list[Point] = []
        for size in getattr(plan, dimension):
            tell(f"curves: {dimension}, {size:,}")
            value: dict[str, Any] = {"hidden": (size,)} if dimension == "hidden" else {_FIELDS[dimension]: size}
            with _workload(replace(plan.base, **value), seed) as workload:
                points += _measure(workload, questions(workload.model)[0], size, _names(workload))
        found.append(Curve(dimension, plan.base, tuple(points)))
    with _workload(plan.base, seed) as workload:
        found.append(_over_k(workload, plan, tell))
        found.append(_over_threads(workload, plan, tell))
    return tuple(found)


def _names(workload: Workload) -> list[str]:
    answers = min(len(workload.batch), _SAMPLES.batches) * len(workload.model.categories)
    return [COMPILED, IN_SQL, *([FUSED] if answers <= _MXNET_LIMIT else [])]


def _over_k(workload: Workload, plan: Plan, tell: Tell) -> Curve:
    points: list[Point] = []
    top = questions(workload.model)[1]
    for k in (k for k in plan.k if k <= len(workload.model.categories)):
        tell(f"curves: k, {k}")
        question = replace(top, engine=f"propensity_topk(features, {k})", k=k)
        points += _measure(workload, question, k, _names(workload))
    return Curve("k", plan.base, tuple(points))


def _over_threads(workload: Workload, plan: Plan, tell: Tell) -> Curve:
    most = cores()
    sizes = plan.threads or tuple(sorted({2**power for power in range(most.bit_length()) if 2**power <= most} | {most}))
    points: list[Point] = []
    try:
        for size in sizes:
            tell(f"curves: threads, {size}")
            set_cores(size)
            points += _measure(workload, questions(workload.model)[0], size, [COMPILED, IN_SQL])
    finally:
        set_cores(None)
    return Curve("threads", plan.base, tuple(points))


@contextmanager
def _workload(sizes: Sizes, seed: int) -> Iterator[Workload]:
    with tempfile.TemporaryDirectory(prefix="duckprop-bench-") as folder:
        yield synthetic(Path(folder, "model"), sizes, seed)


def _measure(workload: Workload, question: Question, size: int, names: list[str]) -> list[Point]:
    """Compare the sides on the first rows of a workload, then time them by the protocol."""
    with ExitStack() as stack:
        sides = [stack.enter_context(SIDES[name](workload, question, _SAMPLES)) for name in names]
        compare([replace(side, checked=min(side.rows, VECTOR)) for side in sides], question.tolerance)
        seconds = time_sides(sides, _REPEATS)
    return [Point(side.name, size, side.rows, seconds[side.name]) for side in sides]
