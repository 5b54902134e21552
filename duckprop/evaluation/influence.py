"""How far a metric may be off by chance: the influence of every pair on it, of which the variance is made.

The influence of a pair is the metric's derivative with respect to the pair's weight, where all weights are 1. The
squares of the influences, added up over independent units, estimate the metric's variance: the infinitesimal jackknife
(Jaeckel 1972). For the AUC of one category it is DeLong's estimate (1988) with P and N instead of P − 1 and N − 1.
Pairs of one customer are not independent: their influences are added first.
"""

from collections.abc import Iterator

import numpy as np

from duckprop.evaluation.curves import ranked_reliability
from duckprop.evaluation.metrics import BINS, CLIP
from duckprop.evaluation.ranking import Array, Ranking

METRICS = ("auc", "average_precision", "log_loss", "brier", "ece")


def influences(bought: Array, scores: Array) -> Iterator[tuple[str, float | None, Array | None]]:
    """Yield (metric, its value, influence of each pair float64 (n,)) for each of METRICS, one after the other.

    bought: bool (n,). scores: floating (n,), in [0, 1]. Value and influence are None where nothing supports the metric:
    no pair at all, for ``auc`` no positive or no negative one, for ``average_precision`` no positive one. The ``ece``
    has 20 equal-count bins; its influences take the bins as given.
    """
    ranking, ties = Ranking(bought, scores), _Ties(bought, scores)
    yield "auc", ranking.auc(), _of_auc(bought, ties) if 0 < ties.positives < ties.size else None
    yield "average_precision", ranking.average_precision(), _of_precision(bought, ties) if ties.positives else None
    if not ties.size:
        yield from ((name, None, None) for name in METRICS[2:])
        return
    chance = np.clip(scores.astype(np.float64), CLIP, 1 - CLIP)
    yield "log_loss", *_of_mean(-np.log(np.where(bought, chance, 1 - chance)))
    yield "brier", *_of_mean(np.square(scores.astype(np.float64) - bought))
    error = ranked_reliability(ranking, BINS).calibration_error()
    yield "ece", error, _of_calibration(bought, scores, ties, float(error or 0))


class _Ties:
    """Groups of equal scores, ascending: for each, how many pairs and positives are below it and up to it."""

    def __init__(self, bought: Array, scores: Array) -> None:
        self.order = np.argsort(scores, kind="stable")
        ranked = scores[self.order]
        starts = np.flatnonzero(np.concatenate([np.ones(min(1, len(ranked)), bool), ranked[1:] != ranked[:-1]]))
        edges = np.append(starts, len(ranked))
        found = np.concatenate([np.zeros(1, np.int64), np.cumsum(bought[self.order])])[edges]
        self.size, self.positives = len(ranked), int(found[-1])
        self.below, self.upto = edges[:-1], edges[1:]
        self.found_below, self.found_upto = found[:-1], found[1:]

    def back(self, groups: Array) -> Array:
        """Return a value a group as a value a pair, in the pairs' own order."""
        values = np.empty(self.size, groups.dtype)
        values[self.order] = np.repeat(groups, self.upto - self.below)
        return values


def _of_mean(values: Array) -> tuple[float, Array]:
    mean = float(values.mean())
    return mean, (values - mean) / len(values)


def _of_auc(bought: Array, ties: _Ties) -> Array:
    positives, negatives = ties.positives, ties.size - ties.positives
    lost_below, lost_upto = ties.below - ties.found_below, ties.upto - ties.found_upto
    beaten = (lost_below + lost_upto) / (2 * negatives)  # share of negatives that a positive of the group beats
    beating = 1 - (ties.found_below + ties.found_upto) / (2 * positives)  # share of positives that beat a negative
    auc = float(((ties.found_upto - ties.found_below) * beaten).sum()) / positives
    return np.where(bought, ties.back((beaten - auc) / positives), ties.back((beating - auc) / negatives))


def _of_precision(bought: Array, ties: _Ties) -> Array:
    """A pair changes the precision at its own threshold and at every lower one."""
    asked, found = ties.size - ties.below, ties.positives - ties.found_below
    here, precision = ties.found_upto - ties.found_below, found / asked
    value = float((here * precision).sum()) / ties.positives
    more, fewer = np.cumsum(here / asked), np.cumsum(here * precision / asked)
    of_positive = ties.back((precision - value + more - fewer) / ties.positives)
    return np.where(bought, of_positive, ties.back(-fewer / ties.positives))


def _of_calibration(bought: Array, scores: Array, ties: _Ties, value: float) -> Array:
    """Within a bin the error is |Σ (score − outcome)|: linear where its sign is taken as given."""
    rates = ties.back((ties.found_upto - ties.found_below) / (ties.upto - ties.below))[ties.order]
    gaps = np.array_split(scores[ties.order] - rates, min(BINS, ties.size))  # the larger bins first, as in the metric
    signs = np.repeat([np.sign(part.sum(dtype=np.float64)) for part in gaps], [len(part) for part in gaps])
    # equal scores on both sides of a bin's edge have a share in both
    shared = ties.back(np.add.reduceat(signs, ties.below) / (ties.upto - ties.below))
    return (shared * (scores - bought.astype(np.float64)) - value) / ties.size
