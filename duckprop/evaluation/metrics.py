"""How good propensities are: discrimination, calibration and the quality of short lists, with the support of each.

A pair is one row (a customer at a cut-off) and one category; its outcome is 1 if the customer bought in the category
within the outcome window. A metric over nothing is None (SQL NULL), never 0.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from duckprop.errors import DataError, UsageError
from duckprop.evaluation.curves import Reliability, cumulative_gain, ranked_reliability, reliability
from duckprop.evaluation.inputs import checked
from duckprop.evaluation.ranking import Array, Ranking

__all__ = ["Evaluation", "Reliability", "cumulative_gain", "evaluate", "reliability"]

CLIP = 1e-6
BINS = 20  # of the calibration error
BLOCK_CELLS = 1 << 22  # temporaries stay at a few dozen MB whatever the size of the evaluation


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Metrics of one model on one evaluation window.

    ``overall`` maps a metric to its value, or None where nothing supports it:

    * ``macro_auc``: mean AUC over the categories counted (at least ``min_positives`` buyers and one non-buyer);
      ``micro_auc``: AUC over all pairs at once; ``new_macro_auc``: macro AUC over the ``new`` pairs only;
    * ``log_loss``: mean over all pairs, in nats, propensities clipped to [1e-6, 1 − 1e-6];
    * ``p_at_1_active``, ``p_at_5_active``, ``p_at_5_all``: share of a row's 1 or 5 most likely categories that it
      bought, averaged over the active rows (at least one outcome) or all; ties go to the lower category id; None with
      fewer categories than that;
    * ``lift_at_10pct``: mean over the categories counted of (rate among the 10 % most likely rows, rounded down) ÷
      (rate among all), the expected value over random breaking of ties; None with fewer than 10 rows;
    * ``ece``: expected calibration error, mean |propensity − observed rate| over 20 equal-count bins of all pairs.

    ``support`` holds the counts behind them. ``per_category`` maps ``n``, ``positives``, ``new_positives`` (int64),
    ``base_rate``, ``mean_propensity``, ``auc``, ``average_precision``, ``log_loss``, ``lift`` and ``new_auc``
    (float64) to arrays of one value a category; there, NaN stands for NULL (``rows`` turns it into None).
    """

    overall: Mapping[str, float | None]
    support: Mapping[str, int]
    per_category: Mapping[str, Array]

    @property
    def counted(self) -> Array:
        """Bool, one a category: whether it has the support to enter the means over categories."""
        return _counted(self.per_category, self.support["min_positives"])

    def rows(self, categories: Sequence[str]) -> list[dict[str, Any]]:
        """One dict a category, its name under ``category``, None where a metric has no support; for tables and JSON.

        ``categories``: N names in column order; DataError for another number of them.
        """
        known = len(self.per_category["n"])
        if len(categories) != known:
            raise DataError(
                f"{len(categories)} category names for {known} evaluated categories",
                "Give the names in the order of the columns that were evaluated.",
            )
        columns = {name: values.tolist() for name, values in self.per_category.items()}
        cells = ({name: _or_none(values[i]) for name, values in columns.items()} for i in range(known))
        return [{"category": category} | row for category, row in zip(categories, cells, strict=True)]


def evaluate(outcomes: Any, propensities: Any, *, new: Any = None, min_positives: int = 5) -> Evaluation:
    """Judge propensities against what happened.

    ``outcomes``: (n, N) bool or 0/1 array, or SciPy sparse matrix of 0/1. ``propensities``: (n, N) floating, in
    [0, 1]. ``new``: (n, N) mask of the pairs not bought lately, as ``outcomes``; without it the cross-sell metrics are
    None. No rows or no categories give None for every metric and zero support. Peak memory beside the arguments: one
    sorted copy of ``propensities`` and a few bytes a pair. Raises DataError for unequal shapes, outcomes other than
    0/1, NaN, or propensities outside [0, 1]; UsageError for ``min_positives`` below 1.
    """
    if min_positives < 1:
        raise UsageError(f"min_positives is {min_positives}", "Use at least 1: an AUC needs a buyer.")
    bought, scores, mask = checked(outcomes, propensities, new)
    if scores.ndim != 2:
        raise DataError(
            f"propensities have {scores.ndim} dimensions", "Give one row per customer, a column per category."
        )
    columns = _per_category(bought, scores, mask)
    support = _support(bought, mask, columns, min_positives)
    return Evaluation(_overall(bought, scores, columns, min_positives), support, columns)


def _overall(bought: Array, scores: Array, columns: Mapping[str, Array], least: int) -> dict[str, float | None]:
    counted, new_counted = _counted(columns, least), _new_counted(columns, least)
    everything = Ranking(bought, scores)
    active = bought.any(axis=1)
    first, fifth = _precision(bought, scores, 1), _precision(bought, scores, 5)
    return {
        "macro_auc": _mean(columns["auc"][counted]),
        "micro_auc": everything.auc(),
        "new_macro_auc": _mean(columns["new_auc"][new_counted]),
        "log_loss": _mean(columns["log_loss"]),
        "ece": ranked_reliability(everything, BINS).calibration_error(),
        "p_at_1_active": _mean(first[active]),
        "p_at_5_active": _mean(fifth[active]),
        "p_at_5_all": _mean(fifth),
        "lift_at_10pct": _mean(columns["lift"][counted]),
    }


def _support(bought: Array, new: Array | None, columns: Mapping[str, Array], least: int) -> dict[str, int]:
    support = {
        "rows": bought.shape[0],
        "active_rows": bought.any(axis=1).sum(),
        "categories": bought.shape[1],
        "categories_counted": _counted(columns, least).sum(),
        "pairs": bought.size,
        "positives": columns["positives"].sum(),
        "new_pairs": 0 if new is None else new.sum(),
        "new_positives": columns["new_positives"].sum(),
        "new_categories_counted": _new_counted(columns, least).sum(),
        "min_positives": least,
    }
    return {name: int(value) for name, value in support.items()}


def _counted(columns: Mapping[str, Array], least: int) -> Array:
    return (columns["positives"] >= least) & ~np.isnan(columns["auc"])


def _new_counted(columns: Mapping[str, Array], least: int) -> Array:
    return (columns["new_positives"] >= least) & ~np.isnan(columns["new_auc"])


def _per_category(bought: Array, scores: Array, new: Array | None) -> dict[str, Array]:
    # One all-NaN row first, so that no categories still give every column; dropped at the end.
    rows = [_category(np.zeros(0, bool), np.zeros(0, np.float32), None)]
    rows += [_category(*column) for column in _columns(bought, scores, new)]
    whole = ("n", "positives", "new_positives")
    return {
        name: np.array([row[name] for row in rows[1:]], np.int64 if name in whole else np.float64) for name in rows[0]
    }


def _category(bought: Array, scores: Array, new: Array | None) -> dict[str, float | None]:
    ranking = Ranking(bought, scores)
    fresh = Ranking(bought[new], scores[new]) if new is not None else Ranking(bought[:0], scores[:0])
    return {
        "n": ranking.size,
        "positives": ranking.positives,
        "base_rate": _mean(bought),
        "mean_propensity": _mean(scores),
        "auc": ranking.auc(),
        "average_precision": ranking.average_precision(),
        "log_loss": _log_loss(bought, scores),
        "lift": ranking.lift(),
        "new_positives": fresh.positives,
        "new_auc": fresh.auc(),
    }


def _columns(bought: Array, scores: Array, new: Array | None) -> Iterator[tuple[Array, Array, Array | None]]:
    # Transposed a block at a time: a column of a row-major matrix would touch one cache line a row.
    width = max(1, BLOCK_CELLS // max(1, len(scores)))
    for start in range(0, scores.shape[1], width):
        part = slice(start, start + width)
        blocks = [np.ascontiguousarray(matrix[:, part].T) for matrix in (bought, scores)]
        masks = [None] * len(blocks[0]) if new is None else np.ascontiguousarray(new[:, part].T)
        yield from zip(*blocks, masks, strict=True)


def _log_loss(bought: Array, scores: Array) -> float | None:
    chance = np.clip(scores.astype(np.float64), CLIP, 1 - CLIP)
    return _mean(-np.log(np.where(bought, chance, 1 - chance)))


def _precision(bought: Array, scores: Array, k: int) -> Array:
    """Share of each row's ``k`` most likely categories that it bought, (n,) float64; NaN with fewer categories."""
    rows, width = scores.shape
    if width < k:
        return np.full(rows, np.nan)
    step = max(1, BLOCK_CELLS // width)
    parts = [_found(bought[i : i + step], scores[i : i + step], k) for i in range(0, rows, step)]
    return np.concatenate([np.zeros(0), *parts]) / k


def _found(bought: Array, scores: Array, k: int) -> Array:
    edge = np.partition(scores, -k, axis=1)[:, -k, None]
    above, level = scores > edge, scores == edge
    # The places left after those above the edge go to the tied categories of the lowest ids.
    left = k - above.sum(axis=1, keepdims=True)
    chosen = above | (level & (np.cumsum(level, axis=1, dtype=np.int32) <= left))
    return (chosen & bought).sum(axis=1)


def _mean(values: Array) -> float | None:
    kept = values[~np.isnan(values)]
    return float(kept.mean(dtype=np.float64)) if len(kept) else None


def _or_none(value: float) -> float | None:
    return value if value == value else None
