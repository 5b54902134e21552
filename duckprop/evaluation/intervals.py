"""Metrics of every category and of all together, each with its support and a 95 % interval."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from duckprop.errors import DataError
from duckprop.evaluation.curves import Z95
from duckprop.evaluation.influence import METRICS, influences
from duckprop.evaluation.ranking import Array


class Figure(NamedTuple):
    """One metric. category: None for all of them. value, ci_low, ci_high: None where nothing supports it.

    support: responders, as pairs of a customer and a category. is_too_small: they, or those who did not respond, are
    fewer than asked for, so that the figure says little.
    """

    category: str | None
    metric: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    support: int
    is_too_small: bool


class Column(NamedTuple):
    """What is known of one category: customers int (n,), numbers from 0; propensities floating, acted bool (n,)."""

    category: str
    customers: Array
    propensities: Array
    acted: Array


_NOTHING = Column("", np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, bool))


class Support(NamedTuple):
    """How many acted, and whether they, or those who did not, are too few."""

    positives: int
    is_too_small: bool

    @classmethod
    def of(cls, acted: Array, least: int) -> "Support":
        """Count them."""
        positives = int(acted.sum())
        return cls(positives, min(positives, len(acted) - positives) < least)


def figures(columns: Sequence[Column], customers: int, min_support: int = 5) -> Iterator[Figure]:
    """Yield METRICS of each category, then ``micro_``… of all pairs, and ``macro_``…, the mean over categories.

    customers: how many there are in all columns together. Only categories with at least min_support responders enter
    a mean. Raises DataError for a customer that a category holds twice, and for a min_support below 1.
    """
    if min_support < 1:
        raise DataError(f"min_support is {min_support}", "give a whole number from 1")
    sums = {metric: np.zeros(customers) for metric in METRICS}
    values: dict[str, list[float]] = {metric: [] for metric in METRICS}
    counted = 0
    for column in columns:
        _refuse_twice(column)
        support = Support.of(column.acted, min_support)
        is_counted = support.positives >= min_support
        counted += support.positives if is_counted else 0
        for metric, value, influence in influences(column.acted, column.propensities):
            yield _figure((column.category, metric), value, influence, support)
            if is_counted and value is not None and influence is not None:
                values[metric].append(value)
                sums[metric][column.customers] += influence
    yield from _micro(columns, customers, min_support)
    for metric in METRICS:
        number = len(values[metric])
        mean = float(np.mean(values[metric])) if number else None
        bounds = _bounds(metric, mean, sums[metric] / number if number else None)
        yield Figure(None, f"macro_{metric}", mean, *bounds, counted, not number)


def _micro(columns: Sequence[Column], customers: int, min_support: int) -> Iterator[Figure]:
    parts = zip(*(column[1:] for column in columns or [_NOTHING]), strict=True)
    who, scores, acted = (np.concatenate(part) for part in parts)
    support = Support.of(acted, min_support)
    for metric, value, influence in influences(acted, scores):
        by_customer = None if influence is None else np.bincount(who, influence, customers)
        yield _figure((None, f"micro_{metric}"), value, by_customer, support)


def _figure(name: tuple[str | None, str], value: float | None, influence: Array | None, support: Support) -> Figure:
    return Figure(*name, value, *_bounds(name[1], value, influence), support.positives, support.is_too_small)


def _bounds(metric: str, value: float | None, influence: Array | None) -> tuple[float | None, float | None]:
    """Return value ± 1.96 standard errors, inside of what the metric can be; None without a value."""
    if value is None or influence is None:
        return None, None
    reach = Z95 * float(np.sqrt(np.square(influence).sum()))
    return max(0.0, value - reach), value + reach if metric.endswith("log_loss") else min(1.0, value + reach)


def _refuse_twice(column: Column) -> None:
    times = np.bincount(column.customers)
    if len(times) and times.max() > 1:
        raise DataError(
            f"category '{column.category}' holds a customer {times.max()} times",
            "give each customer and category once, such as with SELECT DISTINCT or a GROUP BY",
        )
