"""One sorted copy of the propensities answers every question about their order, ties included.

Equal propensities carry no order, so every answer is the expected value over all ways of breaking the ties: midranks
for the area under the curve (Hanley & McNeil 1982), an even share of a tied group's buyers for depths that cut
through the group. The result never depends on the order of the rows.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Ranking:
    """Propensities in ascending order, with the propensities of the buyers beside them.

    ``outcomes`` (bool) and ``propensities`` (floating) have the same shape; both are read as one flat list. Memory:
    one sorted copy of ``propensities`` in its own dtype, and one of the buyers' share of it.
    """

    def __init__(self, outcomes: Array, propensities: Array) -> None:
        self.scores = np.sort(propensities, axis=None)
        self.bought = np.sort(propensities[outcomes], axis=None)
        self.size = len(self.scores)
        self.positives = len(self.bought)

    def auc(self) -> float | None:
        """Chance in [0, 1] that a random buyer is ranked above a random non-buyer, a tie counting one half.

        None without a buyer or without a non-buyer.
        """
        negatives = self.size - self.positives
        if not self.positives or not negatives:
            return None
        below = np.searchsorted(self.scores, self.bought, "left").sum(dtype=np.int64)
        not_above = np.searchsorted(self.scores, self.bought, "right").sum(dtype=np.int64)
        # Whole numbers up to the one division; buyers against buyers contribute positives² to the sum.
        return (int(below) + int(not_above) - self.positives**2) / (2 * self.positives * negatives)

    def average_precision(self) -> float | None:
        """Mean, over the buyers, of the precision of "everyone at least as likely as this one"; None without a buyer.

        Equals scikit-learn's ``average_precision_score``: a tied group is one threshold.
        """
        if not self.positives:
            return None
        found = self.positives - np.searchsorted(self.bought, self.bought, "left")
        asked = self.size - np.searchsorted(self.scores, self.bought, "left")
        return float(np.mean(found / asked))

    def positives_below(self, depths: Array) -> Array:
        """Expected number of buyers (float64) among the ``depths`` (int, 0 … size) least likely pairs.

        All zeros for an empty ranking.
        """
        if not self.size:
            return np.zeros(len(depths))
        edge = self.scores[np.minimum(depths, self.size - 1)]
        first, last = np.searchsorted(self.scores, edge, "left"), np.searchsorted(self.scores, edge, "right")
        fewer, more = np.searchsorted(self.bought, edge, "left"), np.searchsorted(self.bought, edge, "right")
        return fewer + (depths - first) / (last - first) * (more - fewer)

    def positives_above(self, depths: Array) -> Array:
        """Expected number of buyers (float64) among the ``depths`` (int, 0 … size) most likely pairs."""
        return self.positives - self.positives_below(self.size - depths)

    def lift(self, share: float = 0.1) -> float | None:
        """How many times more buyers the most likely ``share`` of the pairs holds than a random ``share`` would.

        The depth is rounded down. None without a buyer, or where the share is less than one whole pair.
        """
        depth = int(self.size * share + 1e-9)
        if not self.positives or not depth:
            return None
        found = float(self.positives_above(np.array([depth]))[0])
        return (found / depth) / (self.positives / self.size)
