"""Engines: a model made ready to score. SparseBatch in, float32 propensities out, the same numbers from each."""

from abc import ABC, abstractmethod
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from duckprop.errors import DataError
from duckprop.ranking import Best, best
from duckprop.sparse import SparseBatch, row_label

ENGINES = ("compiled", "mxnet")


class Scorer(ABC):
    """What every engine offers; safe to call from several threads at once.

    A NULL row is scored as an empty one: the caller masks it. Every method raises DataError where a row's values are so
    large that the network overflows.
    """

    width: int
    heads: int

    @abstractmethod
    def score(self, batch: SparseBatch, heads: NDArray[np.integer] | None = None) -> NDArray[np.float32]:
        """Return P(positive class) float32 (n, heads) in [0, 1], all heads or the listed ones, in that order.

        An empty batch gives (0, heads).
        """

    @abstractmethod
    def embed(self, batch: SparseBatch) -> NDArray[np.float32]:
        """Return the last hidden layer, float32 (n, H)."""

    def pairs(self, batch: SparseBatch, rows: NDArray[np.integer], heads: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return the propensities float32 (pairs,) of pairs of a row and a head, the same numbers as ``score``."""
        distinct, places = np.unique(heads, return_inverse=True)
        return self.score(batch, distinct)[rows, places]

    @abstractmethod
    def classes(self, batch: SparseBatch, rows: NDArray[np.integer], heads: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return the probabilities float32 (pairs, K) of all classes, for pairs of a row and a head.

        The positive class's are the very numbers of ``score``; a pair's add up to 1 but for float32's rounding.
        """

    def top(
        self,
        batch: SparseBatch,
        k: int,
        *,
        heads: NDArray[np.integer] | None = None,
        least: NDArray[np.float64] | None = None,
        banned: NDArray[np.bool_] | None = None,
    ) -> Best:
        """Return each row's k best heads.

        heads: increasing, the only ones to choose from. least: float64 (n,), the least propensity that counts.
        banned: bool (n, heads), not to be chosen.
        """
        scores = self.score(batch, heads)
        allowed = np.ones(scores.shape, bool) if banned is None else ~banned
        if least is not None:
            allowed &= scores >= least[:, None]
        found = best(scores, k, allowed)
        return found if heads is None else Best(np.asarray(heads)[found.heads], found.propensities, found.counts)


def row_squares(batch: SparseBatch) -> NDArray[np.float64]:
    """Return each row's sum of squares, float64 (n,).

    Raises DataError for a row where it is beyond float32: MXNet's own graph then takes the row for an empty one.
    """
    squares = batch.to_scipy()
    squares.data = squares.data.astype(np.float64) ** 2
    sums = squares @ np.ones(batch.width)
    with np.errstate(over="ignore"):
        refuse_overflow(sums.astype(np.float32), batch)
    return sums


def refuse_overflow(results: NDArray[Any], batch: SparseBatch) -> None:
    """Raise DataError that names the first row of a batch (n, …) with an infinite or undefined result."""
    if not np.isfinite(results).all():
        refuse_row(int(np.argwhere(~np.isfinite(results))[0, 0]), batch)


def refuse_row(row: int, batch: SparseBatch) -> NoReturn:
    """Raise DataError that names a row of a batch as one that overflows."""
    raise DataError(
        f"{row_label(row, batch.positions)}: its feature values are so large that the network overflows",
        "scale the features as they were in training; values up to 1e15 are safe",
    )
