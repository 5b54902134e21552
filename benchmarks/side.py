"""One side of a comparison: a name, a callable over the same rows, and outputs to compare before it is timed."""

from collections.abc import Callable, Hashable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from duckprop.benchmarks.questions import Question
from duckprop.benchmarks.workload import Workload
from duckprop.cores import share
from duckprop.errors import DuckpropError

SQL, ENGINE = "SQL", "engine only"
"""The kinds of sides: rows in a DuckDB table → an aggregate; arrays → arrays."""
VECTOR = 2_048
"""Rows that DuckDB hands to a function at most."""
Array = NDArray[np.float32]
Key = TypeVar("Key", bound=Hashable)


class WrongAnswer(DuckpropError):
    """A side does not compute what it should: its time would mean nothing. Exit code 1, a check that failed."""

    exit_code = 1


class LeftOut(Exception):
    """A side cannot answer here. The text says why; an empty one: the question is none for this side."""


@dataclass(frozen=True)
class Side:
    """``run`` answers for rows 0 … rows − 1 once. ``outputs(start, stop)`` returns float32 (stop − start, numbers).

    outputs is None for a floor or limit, which computes nothing that could be compared. checked: for how many rows
    outputs may be asked; None: for those that are timed. note: what one has to know of it, such as its batch size.
    is_peer: another library, which is left out where its outputs are too far off; ours end the run.
    """

    name: str
    rows: int
    run: Callable[[], Any]
    outputs: Callable[[int, int], Array] | None = None
    kind: str = SQL
    note: str = ""
    checked: int | None = None
    is_peer: bool = False

    @property
    def compared(self) -> int:
        """For how many rows outputs may be asked."""
        return self.rows if self.checked is None else self.checked


@dataclass(frozen=True)
class Samples:
    """How many rows the slow sides are timed on: naive, MXNet in batches, and MXNet with N separate heads."""

    naive: int = 512
    batches: int = 8_192
    heads: int = 2_048


Opener = Callable[[Workload, Question, Samples], AbstractContextManager[Side]]
Answer = Callable[[int, int], Any]
"""Computes the answers for rows start (included) to stop (excluded)."""


def blocks(rows: int, size: int) -> Iterable[tuple[int, int]]:
    """Return where the blocks of ``size`` rows start and stop; the last may be shorter."""
    return [(start, min(start + size, rows)) for start in range(0, rows, size)]


def run_blocks(answer: Answer, rows: int, size: int) -> None:
    """Answer for all rows, block after block; the answers are dropped, as SQL does once they are added up."""
    for start, stop in blocks(rows, size):
        answer(start, stop)


def share_blocks(answer: Answer, rows: int, size: int) -> None:
    """Answer for all rows, a block on every core at a time."""
    todo = list(blocks(rows, size))
    share(lambda number: answer(*todo[number]), len(todo))


def joined(answer: Callable[[int, int], Array], size: int) -> Callable[[int, int], Array]:
    """Return ``outputs`` of a side that answers in blocks of ``size`` rows."""

    def outputs(start: int, stop: int) -> Array:
        parts = [np.array(answer(start + first, start + last)) for first, last in blocks(stop - start, size)]
        return np.concatenate(parts)

    return outputs


def quickest(attempts: dict[Key, Callable[[], Any]], repeats: int = 2) -> Key:
    """Return the key of the callable that takes the least time: a warm-up, then the median of a few runs."""
    seconds = {}
    for key, run in attempts.items():
        times = []
        for _ in range(repeats + 1):
            start = perf_counter()
            run()
            times.append(perf_counter() - start)
        seconds[key] = median(times[1:])
    return min(seconds, key=lambda key: seconds[key])
