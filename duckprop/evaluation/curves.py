"""The numbers behind the plots: reliability (are the propensities true?) and cumulative gain (is the order good?)."""

from typing import Any, NamedTuple

import numpy as np

from duckprop.errors import UsageError
from duckprop.evaluation.inputs import checked
from duckprop.evaluation.ranking import Array, Ranking

Z95 = 1.959963984540054


class Reliability(NamedTuple):
    """Equal-count bins of propensity, lowest first; all arrays float64 but ``pairs`` (int64), rates in [0, 1].

    ``low`` and ``high`` are 95 % Wilson bounds (1927) of ``observed``. They take pairs for independent; the pairs of
    one customer are not quite, so the truth is a little wider.
    """

    propensity: Array
    observed: Array
    pairs: Array
    low: Array
    high: Array

    def calibration_error(self) -> float | None:
        """Mean over all pairs of |observed − propensity| of their bin, in [0, 1]; None without pairs."""
        if not len(self.pairs):
            return None
        return float(np.average(np.abs(self.observed - self.propensity), weights=self.pairs))


def reliability(outcomes: Any, propensities: Any, bins: int = 20) -> Reliability:
    """Observed rate against mean propensity in ``bins`` equal-count bins of all pairs, of any equal shapes.

    Pairs of equal propensity on both sides of a bin's edge share their outcomes evenly. Fewer pairs than bins: one bin
    a pair; no pairs: empty arrays. DataError as in ``metrics.evaluate``; UsageError for ``bins`` below 1.
    """
    bought, scores, _ = checked(outcomes, propensities)
    return ranked_reliability(Ranking(bought, scores), bins)


def ranked_reliability(ranking: Ranking, bins: int) -> Reliability:
    """As :func:`reliability`, of pairs sorted already."""
    if bins < 1:
        raise UsageError(f"{bins} bins were asked for", "Use at least 1.")
    bins = min(bins, ranking.size)
    if not bins:
        return Reliability(np.zeros(0), np.zeros(0), np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
    size, extra = divmod(ranking.size, bins)
    edges = np.arange(bins + 1) * size + np.minimum(np.arange(bins + 1), extra)
    count = np.diff(edges)
    # Not add.reduceat: it would turn all scores into float64 at once.
    propensity = np.array([part.mean(dtype=np.float64) for part in np.split(ranking.scores, edges[1:-1])])
    observed = np.diff(ranking.positives_below(edges)) / count
    return Reliability(propensity, observed, count, *_wilson(observed, count))


def cumulative_gain(outcomes: Any, propensities: Any, points: int = 100) -> tuple[Array, Array] | None:
    """Share of customers contacted, most likely first, and share of one category's buyers among them.

    ``outcomes`` and ``propensities``: (n,), one category. Returns two float64 arrays from 0 to 1 of ``points`` + 1
    values (n + 1 where n is smaller), ties broken evenly; None without a buyer. DataError as in ``metrics.evaluate``.
    """
    bought, scores, _ = checked(outcomes, propensities)
    ranking = Ranking(bought, scores)
    if not ranking.positives:
        return None
    steps = min(points, ranking.size)
    depths = np.arange(steps + 1) * ranking.size // steps
    return depths / ranking.size, ranking.positives_above(depths) / ranking.positives


def _wilson(rate: Array, count: Array) -> tuple[Array, Array]:
    spread = Z95 * np.sqrt(rate * (1 - rate) / count + Z95**2 / (4 * count**2))
    middle, scale = rate + Z95**2 / (2 * count), 1 + Z95**2 / count
    return np.clip((middle - spread) / scale, 0, 1), np.clip((middle + spread) / scale, 0, 1)
