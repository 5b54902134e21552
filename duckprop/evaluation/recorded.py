"""What a card says about quality, read back: cards of older versions, and imported ones, lack much or all of it."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from duckprop.evaluation.curves import Z95

SPLITS = ("train", "validation", "test")
MIN_SUPPORT = 5
_KEPT = {"base_rate": "positives", "auc": "auc", "average_precision": "average_precision", "log_loss": "log_loss"} | {
    "brier": "brier",
    "ece": "ece",
    "lift_at_10pct": "lift",
}
"""Metrics of a category, and what the card keeps for them."""


class Figure(NamedTuple):
    """One recorded metric. category: None for all of them. split: one of SPLITS.

    value, ci_low, ci_high: None where nothing supports or records it. support: positive pairs, n: rows, None where the
    card does not say. is_too_small: fewer of either kind than the model was judged with; None where support is.
    """

    category: str | None
    split: str
    metric: str
    value: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    support: int | None = None
    n: int | None = None
    is_too_small: bool | None = None


def figures(card: Mapping[str, Any]) -> Iterator[Figure]:
    """Yield what a card records, all categories together first, then each; what it does not record has no figure."""
    windows = [(split, of(card, "metrics", split)) for split in SPLITS]
    for split, window in windows:
        yield from overall(split, window)
    yield from _training(card)
    for split, window in windows:
        yield from _by_category(card, split, window)


def judged(card: Mapping[str, Any]) -> str | None:
    """Return the window that a model is best judged by: test, else validation, else None."""
    return next((split for split in reversed(SPLITS) if of(card, "metrics", split)), None)


def category_rows(card: Mapping[str, Any], split: str | None) -> list[dict[str, Any]]:
    """Return a dict a category, in head order: category, base_rate, and each figure of a window by its metric.

    ci_low, ci_high: of the AUC. support, n, is_too_small: as in Figure. None for what is not recorded.
    """
    names, rates = card["categories"], numbers(card, len(card["categories"]), "base_rates")
    rows = [{"category": name, "base_rate": rate} for name, rate in zip(names, rates, strict=True)]
    known = ("observed_rate", "mean_propensity", *_KEPT, "ci_low", "ci_high", "support", "n", "is_too_small")
    for row in rows:
        row |= {name: None for name in known if name not in row}
    if split is None:
        return rows
    for metric, found in _columns(card, split, of(card, "metrics", split)):
        for row, figure in zip(rows, found, strict=True):
            row["observed_rate" if metric == "base_rate" else metric] = figure.value
            row |= {"support": figure.support, "n": figure.n, "is_too_small": figure.is_too_small}
            if metric == "auc":
                row |= {"ci_low": figure.ci_low, "ci_high": figure.ci_high}
    return rows


def reliability(card: Mapping[str, Any], split: str) -> list[dict[str, float]]:
    """Return the bins of a window, lowest propensity first: propensity, observed, low, high, pairs; [] for none."""
    found = of(card, "metrics", split, "reliability")
    size = len(found["pairs"]) if isinstance(found.get("pairs"), list) else 0
    names = ("propensity", "observed", "low", "high", "pairs")
    columns = [numbers(found, size, name) for name in names]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    return [
        {name: value for name, value in row.items() if value is not None} for row in rows if None not in row.values()
    ]


def of(card: Mapping[str, Any], *path: str) -> dict[str, Any]:
    """Return the object at a path of a card, empty where there is none."""
    found: Any = card
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, dict) else {}


def number(value: Any) -> float | None:
    """Return a value that is a number, None for any other."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def numbers(card: Mapping[str, Any], size: int, name: str) -> list[float | None]:
    """Return the list of so many numbers that a card holds under a name; all None where it holds no such list."""
    found = card.get(name)
    return list(map(number, found)) if isinstance(found, list) and len(found) == size else [None] * size


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def overall(split: str, window: dict[str, Any]) -> Iterator[Figure]:
    """Yield the figures of all categories together in a window."""
    support, bounds = of(window, "support"), of(window, "intervals")
    values = of(window, "overall") | _means(window)
    counted = number(support.get("categories_counted"))
    for metric, value in values.items():
        of_new = metric.startswith("new_")
        yield Figure(
            None,
            split,
            metric,
            number(value),
            *_pair(bounds.get(metric)),
            support=_whole(support.get("new_positives" if of_new else "positives")),
            n=_whole(support.get("rows")),
            is_too_small=None if counted is None else not counted,
        )


def _means(window: dict[str, Any]) -> dict[str, float]:
    """Return the means over categories that ``overall`` has not."""
    found, least = of(window, "per_category"), of(window, "support").get("min_positives")
    size = len(found["positives"]) if isinstance(found.get("positives"), list) else 0
    positives, precision, brier = (numbers(found, size, name) for name in ("positives", "average_precision", "brier"))
    enough = [value for value, many in zip(precision, positives, strict=True) if (many or 0) >= (number(least) or 1)]
    means = {"macro_average_precision": enough, "brier": brier}
    known = {name: [value for value in values if value is not None] for name, values in means.items()}
    return {name: sum(values) / len(values) for name, values in known.items() if values}


def _pair(bounds: Any) -> tuple[float | None, float | None]:
    if not isinstance(bounds, list) or len(bounds) != 2:
        return None, None
    return number(bounds[0]), number(bounds[1])


def _training(card: Mapping[str, Any]) -> Iterator[Figure]:
    """Yield the base rates, which are of the training rows."""
    training, size = of(card, "training"), len(card["categories"])
    rows, least = _whole(training.get("rows")), _least(card)
    rates, positives = numbers(card, size, "base_rates"), numbers(training, size, "positives")
    for name, rate, many in zip(card["categories"], rates, positives, strict=True):
        if rate is not None:
            few = None if many is None or rows is None else min(many, rows - many) < least
            yield Figure(name, "train", "base_rate", rate, None, None, _whole(many), rows, few)


def _by_category(card: Mapping[str, Any], split: str, window: dict[str, Any]) -> Iterator[Figure]:
    for figures in zip(*(found for _, found in _columns(card, split, window)), strict=True):
        yield from figures


def _columns(card: Mapping[str, Any], split: str, window: dict[str, Any]) -> Iterator[tuple[str, list[Figure]]]:
    """Yield each metric that a window records by category, and its figures in head order."""
    names, found = card["categories"], of(window, "per_category")
    rows = _whole(of(window, "support").get("rows"))
    positives = numbers(found, len(names), "positives")
    least = _whole(of(window, "support").get("min_positives")) or MIN_SUPPORT
    small = [None if many is None or rows is None else min(many, rows - many) < least for many in positives]
    columns = {metric: numbers(found, len(names), kept) for metric, kept in _KEPT.items()}
    columns["base_rate"] = [None if many is None or not rows else many / rows for many in positives]
    columns["mean_propensity"] = numbers(window, len(names), "mean_propensity")
    errors = {"auc": numbers(found, len(names), "auc_error")}
    for metric, values in columns.items():
        if all(value is None for value in values):
            continue
        bounds = _bounds(values, errors.get(metric))
        cells = zip(names, values, bounds, positives, small, strict=True)
        yield (
            metric,
            [
                Figure(name, split, metric, value, low, high, _whole(many), rows, few)
                for name, value, (low, high), many, few in cells
            ],
        )


def _bounds(
    values: list[float | None], errors: list[float | None] | None
) -> list[tuple[float, float] | tuple[None, None]]:
    """Return 95 % bounds in [0, 1] from standard errors; (None, None) where there is none."""
    pairs = zip(values, errors or [None] * len(values), strict=True)
    return [
        (None, None) if value is None or error is None else (max(0, value - Z95 * error), min(1, value + Z95 * error))
        for value, error in pairs
    ]


def _least(card: Mapping[str, Any]) -> int:
    """Return how many positives the model was judged to need."""
    return _whole(of(card, "metrics", judged(card) or "", "support").get("min_positives")) or MIN_SUPPORT
