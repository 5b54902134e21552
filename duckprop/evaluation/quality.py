"""What a model's card keeps of an evaluation: small enough for thousands of categories.

On the card, under ``metrics`` and the window's name, beside overall, support and mean_propensity:

* ``per_category``: for each of QUANTITIES a list of one number a category, None where nothing supports it;
* ``intervals``: for each of INTERVALS its 95 % bounds, or None;
* ``reliability``: of up to 10 equal-count bins of all pairs the lists propensity, observed, pairs, low and high.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from duckprop.evaluation.curves import Z95, reliability
from duckprop.evaluation.influence import METRICS, influences
from duckprop.evaluation.metrics import BLOCK_CELLS, Evaluation
from duckprop.evaluation.ranking import Array

QUANTITIES = ("positives", "auc", "auc_error", "average_precision", "log_loss", "brier", "ece", "lift")
"""Of each category; auc_error is the standard error of the AUC, lift that of the likeliest tenth."""
INTERVALS = {
    "macro_auc": "auc",
    "macro_average_precision": "average_precision",
    "log_loss": "log_loss",
    "brier": "brier",
}
"""Means over categories, and of what: the macro ones over the categories counted, the others over all."""
BINS = 10
_DIGITS = 5
_MANY = 20_000
"""With more categories than this only positives, AUC and its error are kept: a card has at most 16 MiB."""


def recorded(evaluation: Evaluation, outcomes: Array, propensities: Array, customers: Array) -> dict[str, Any]:
    """Return what the card keeps of an evaluation beside its own figures, as JSON knows it.

    outcomes: bool (n, N), propensities: float32 (n, N), those that were evaluated. customers: int (n,), numbers from 0,
    whose row each is: the rows of one customer are not independent, so their errors are added up first.
    """
    found = {name: np.full(outcomes.shape[1], np.nan) for name in (*METRICS, "auc_error")}
    everyone = int(customers.max(initial=-1)) + 1
    sums = {mean: np.zeros(everyone) for mean in INTERVALS}
    chosen = {mean: _chosen(evaluation, mean) for mean in INTERVALS}
    for head, (bought, scores) in enumerate(_columns(outcomes, propensities)):
        for metric, value, influence in influences(bought, scores):
            if value is None or influence is None:
                continue
            found[metric][head] = value
            by_customer = np.bincount(customers, influence, everyone)
            if metric == "auc":
                found["auc_error"][head] = _error(by_customer)
            for mean in (mean for mean, of in INTERVALS.items() if of == metric and chosen[mean][head]):
                sums[mean] += by_customer
    found |= {name: evaluation.per_category[name] for name in ("positives", "lift")}
    kept = QUANTITIES if outcomes.shape[1] <= _MANY else QUANTITIES[:3]
    return {
        "intervals": {mean: _interval(found[of][chosen[mean]], sums[mean]) for mean, of in INTERVALS.items()},
        "per_category": {name: _short(found[name]) for name in kept},
        "reliability": {
            name: _short(values) for name, values in reliability(outcomes, propensities, BINS)._asdict().items()
        },
    }


def _chosen(evaluation: Evaluation, mean: str) -> Array:
    return evaluation.counted if mean.startswith("macro_") else np.ones(len(evaluation.counted), bool)


def _columns(outcomes: Array, propensities: Array) -> Iterator[tuple[Array, Array]]:
    """Yield outcomes (n,) and propensities (n,) of each category, transposed a block at a time."""
    width = max(1, BLOCK_CELLS // max(1, len(outcomes)))
    for start in range(0, outcomes.shape[1], width):
        blocks = [np.ascontiguousarray(part[:, start : start + width].T) for part in (outcomes, propensities)]
        yield from zip(*blocks, strict=True)


def _error(influence: Array) -> float:
    """Return the standard error that influences (n,) of independent customers make."""
    return float(np.sqrt(np.square(influence).sum()))


def _interval(values: Array, summed: Array) -> list[float] | None:
    """Return the 95 % bounds of the mean of values (m,), whose influences by customer add up to ``summed``."""
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    mean, reach = float(known.mean()), Z95 * _error(summed) / len(known)
    return _short(np.array([max(0.0, mean - reach), mean + reach]))


def _short(values: Array) -> list[Any]:
    """Return a list for JSON: whole numbers as they are, others to five digits, None for NaN."""
    if values.dtype.kind in "iu":
        return values.tolist()
    return [None if value != value else float(f"{value:.{_DIGITS}g}") for value in values.tolist()]
