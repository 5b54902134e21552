"""The protocol: outputs compared first, a warm-up, interleaved runs, medians; all raw numbers are kept."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from duckprop.benchmarks.machine import load_average, machine
from duckprop.benchmarks.memory import Cold, in_own_process
from duckprop.benchmarks.sides import SIDES, VECTOR, Opener, Question, Side, WrongAnswer, questions
from duckprop.benchmarks.workload import Workload
from duckprop.errors import UsageError

TOLERANCE = 1e-6
"""Largest absolute difference of a propensity between two sides."""
NAIVE, BATCHES = "naive row UDF", "engine mxnet"
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """repeats: timed runs a side. sample: rows of the naive side. cold: also one run a side in its own process."""

    repeats: int = 5
    sample: int = 512
    cold: bool = True


@dataclass(frozen=True)
class Timing:
    """One side's runs, in seconds. difference: largest to the reference; None for the reference itself and floors."""

    side: str
    rows: int
    seconds: tuple[float, ...]
    difference: float | None = None
    is_reference: bool = False
    cold: Cold | None = None

    @property
    def median_s(self) -> float:
        """Median of the runs."""
        return median(self.seconds)

    @property
    def rows_per_second(self) -> float:
        """Rows by the median run."""
        return self.rows / self.median_s


@dataclass(frozen=True)
class Answer:
    """The timings of one question."""

    question: str
    timings: tuple[Timing, ...]

    def ratio(self, timing: Timing, to: str = NAIVE) -> float | None:
        """Return how many times another side's rows a second a side does, both by their medians; None without it."""
        base = [other for other in self.timings if other.side == to]
        return timing.rows_per_second / base[0].rows_per_second if base else None


@dataclass(frozen=True)
class Report:
    """Everything of one run; see report.py for its forms."""

    created: str
    machine: dict[str, Any]
    workload: dict[str, Any]
    settings: Settings
    answers: tuple[Answer, ...]
    load_after: float | None = field(default_factory=load_average)


def run(
    workload: Workload, settings: Settings, tell: Tell = lambda text: None, sides: dict[str, Opener] | None = None
) -> Report:
    """Measure every question on every side.

    Raises UsageError for fewer than one run, WrongAnswer where a side's outputs differ: nothing of it is timed then.
    """
    if settings.repeats < 1 or settings.sample < 1:
        raise UsageError("fewer than one run or row is asked for", "give --repeats 5 or more")
    created, about = datetime.now(UTC).isoformat(timespec="seconds"), machine()
    cold = in_own_process(workload, settings.sample, tell) if settings.cold and sides is None else {}
    answers: list[Answer] = []
    for question in questions(workload.model):
        with ExitStack() as stack:
            tell(f"{question.name}: opening the sides")
            opened = {
                name: stack.enter_context(opener(workload, question, settings.sample))
                for name, opener in (sides or SIDES).items()
            }
            answers.append(_answer(question, opened, settings, tell=tell, cold=cold if not answers else {}))
    return Report(created, about, workload.describe(), settings, tuple(answers))


def _answer(
    question: Question, opened: dict[str, Side], settings: Settings, *, tell: Tell, cold: dict[str, Cold]
) -> Answer:
    sides = list(opened.values())
    tell(f"{question.name}: comparing the outputs")
    reference, differences = compare(sides)
    seconds = time_sides(sides, settings.repeats, lambda text: tell(f"{question.name}: {text}"))
    timings = [
        Timing(side.name, side.rows, seconds[side.name], differences.get(side.name), side is reference, cold.get(name))
        for name, side in opened.items()
    ]
    return Answer(question.name, tuple(timings))


def compare(sides: Sequence[Side]) -> tuple[Side | None, dict[str, float]]:
    """Compare all outputs with those of the first side that has the most rows, on the rows that both have.

    Returns that reference and the largest absolute difference of each other side by name. Raises WrongAnswer.
    """
    scoring = [side for side in sides if side.outputs]
    if not scoring:
        return None, {}
    reference = max(scoring, key=lambda side: side.rows)
    others = [side for side in scoring if side is not reference]
    return reference, {side.name: _difference(side, reference) for side in others}


def _difference(side: Side, reference: Side) -> float:
    largest = 0.0
    rows = min(side.rows, reference.rows)
    assert side.outputs is not None
    assert reference.outputs is not None
    for start in range(0, rows, VECTOR):
        stop = min(start + VECTOR, rows)
        got, expected = side.outputs(start, stop), reference.outputs(start, stop)
        if got.shape != expected.shape:
            raise WrongAnswer(f"{side.name} returns {got.shape}, {reference.name} {expected.shape} numbers", _REMEDY)
        distance = np.abs(got - expected)
        if not (distance <= TOLERANCE).all():  # NaN too
            row, number = np.argwhere(~(distance <= TOLERANCE))[0]
            raise WrongAnswer(
                f"{side.name} differs from {reference.name} by {distance[row, number]:.3g} in row {start + row}, "
                f"number {number}: {got[row, number]} against {expected[row, number]}",
                _REMEDY,
            )
        largest = max(largest, float(distance.max(initial=0)))
    return largest


_REMEDY = f"nothing was timed: sides have to agree within {TOLERANCE:g} first"


def time_sides(sides: Sequence[Side], repeats: int, tell: Tell = lambda text: None) -> dict[str, tuple[float, ...]]:
    """Return the seconds of each side's timed runs: one warm-up, then rounds, each begun by another side."""
    seconds: dict[str, list[float]] = {side.name: [] for side in sides}
    for number in range(repeats + 1):
        tell("warm-up" if number == 0 else f"run {number} of {repeats}")
        first = number % len(sides)
        for side in [*sides[first:], *sides[:first]]:
            start = perf_counter()
            side.run()
            seconds[side.name].append(perf_counter() - start)
    return {name: tuple(runs[1:]) for name, runs in seconds.items()}
