"""The protocol: outputs compared first, then a warm-up and interleaved runs."""

from collections.abc import Callable, Sequence
from time import perf_counter, sleep
from typing import Any

import numpy as np

from duckprop.benchmarks.side import VECTOR, Side, WrongAnswer
from duckprop.benchmarks.sides import TRUSTED

TOLERANCE = 1e-6
"""Largest absolute difference of a propensity between two sides; a question may have its own."""
Tell = Callable[[str], None]
_PAUSE = 0.05
"""Seconds between two runs: the threads of OpenBLAS, OpenMP and ONNX Runtime spin on for a while after their work."""


def compare(sides: Sequence[Side], tolerance: float = TOLERANCE) -> tuple[Side | None, dict[str, float]]:
    """Compare all outputs with those of a side that has the most rows, on the rows that both have.

    Of several such sides the reference is one of TRUSTED, else the first. Returns it and the largest absolute
    difference of each other side by name. Raises WrongAnswer.
    """
    scoring = [side for side in sides if side.outputs]
    if not scoring:
        return None, {}
    ranks = {name: rank for rank, name in enumerate(TRUSTED, start=1)}
    reference = max(scoring, key=lambda side: (side.compared, ranks.get(side.name, 0)))
    largest = {side.name: 0.0 for side in scoring if side is not reference}
    for start in range(0, reference.compared, VECTOR):
        others = [side for side in scoring if side is not reference and side.compared > start]
        if not others:
            break
        expected = _outputs(reference, start, min(start + VECTOR, max(side.compared for side in others)))
        for side in others:
            stop = min(start + VECTOR, side.compared)
            got = _outputs(side, start, stop)
            names, wanted = (side.name, reference.name), expected[: stop - start]
            largest[side.name] = max(largest[side.name], _difference(got, wanted, names, start, tolerance=tolerance))
    return reference, largest


def _outputs(side: Side, start: int, stop: int) -> Any:
    assert side.outputs is not None
    return side.outputs(start, stop)


def _difference(got: Any, expected: Any, names: tuple[str, str], start: int, *, tolerance: float) -> float:
    remedy = f"nothing was timed: sides have to agree within {tolerance:g} first"
    if got.shape != expected.shape:
        raise WrongAnswer(f"{names[0]} returns {got.shape}, {names[1]} {expected.shape} numbers", remedy)
    distance = np.abs(got - expected)
    if not (distance <= tolerance).all():  # NaN too
        row, number = np.argwhere(~(distance <= tolerance))[0]
        raise WrongAnswer(
            f"{names[0]} differs from {names[1]} by {distance[row, number]:.3g} in row {start + row}, "
            f"number {number}: {got[row, number]} against {expected[row, number]}",
            remedy,
        )
    return float(distance.max(initial=0))


def time_sides(sides: Sequence[Side], repeats: int, tell: Tell = lambda text: None) -> dict[str, tuple[float, ...]]:
    """Return the seconds of each side's timed runs: one warm-up, then rounds, each begun by another side.

    A pause stands between two runs.
    """
    seconds: dict[str, list[float]] = {side.name: [] for side in sides}
    for number in range(repeats + 1):
        tell("warm-up" if number == 0 else f"run {number} of {repeats}")
        first = number % len(sides)
        for side in [*sides[first:], *sides[:first]]:
            sleep(_PAUSE)
            start = perf_counter()
            side.run()
            seconds[side.name].append(perf_counter() - start)
    return {name: tuple(runs[1:]) for name, runs in seconds.items()}
