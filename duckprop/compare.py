"""What changes when one model takes the place of another: both on the same customers, category by category."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import duckdb
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from duckprop.baseline import edges_of
from duckprop.cores import share
from duckprop.engine import Scorer
from duckprop.errors import DataError, ModelError, UsageError
from duckprop.features import feature_names, read_features
from duckprop.model import Model
from duckprop.relation import as_query, columns_of, identifier, require
from duckprop.sparse import SparseBatch, from_scipy
from duckprop.verify import sample_of

MOST_RANKED = 2**25
"""Propensities of each model that are kept for ranks, at most: 128 MiB."""
FIRST = 5
_ROWS = 2048
_ROWS_A_TIME = 256

Pair = tuple[SparseBatch, SparseBatch]


@dataclass(frozen=True)
class Shift:
    """How one category moves from model a to model b.

    category: None for all together: means over the categories, but the largest shift of any. mean_a, mean_b: mean
    propensities. mean_shift, max_shift: of the absolute differences. rank_correlation: Spearman's over the customers,
    ties at their mean rank; None where a model gives all customers the same. same_top_decile: share of a's best tenth
    that is in b's; ties go to the earlier row. psi: population stability index of b in the tenths of a, as
    ``propensity_drift`` has it. rank_changed: share of the customers in whose list the category has another place.
    """

    category: str | None
    mean_a: float
    mean_b: float
    mean_shift: float
    max_shift: float
    rank_correlation: float | None
    same_top_decile: float
    psi: float
    rank_changed: float


@dataclass(frozen=True)
class Comparison:
    """Two models on the same customers. categories: those that both have, the one with the largest mean shift first.

    rows: customers. ranked_rows: those that ranks, top tenths and psi are of; the same, or an even selection where all
    would take too much memory. same_first: share of these whose best category is the same; same_first_five: mean share
    of a's best five that are among b's. only_a, only_b: categories of one model alone, which take part in nothing.
    """

    a: str
    b: str
    rows: int
    ranked_rows: int
    overall: Shift
    categories: tuple[Shift, ...]
    same_first: float
    same_first_five: float
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]


def compare(
    con: duckdb.DuckDBPyConnection, models: tuple[Model, Model], relation: str, features: str = "features"
) -> Comparison:
    """Compare two models on the rows of a relation that have features. It is read twice: to count, then to score.

    Raises DataError for a relation without rows or with bad features, ModelError where the two read different features
    or have no category in common.
    """
    require(columns_of(con, relation, "the features relation"), [features], "the features relation")
    query = f"SELECT {identifier(features)} FROM ({as_query(relation)}) WHERE {identifier(features)} IS NOT NULL"
    rows = con.execute(f"SELECT count(*) FROM ({query})").fetchall()[0][0]
    if not rows:
        raise DataError("the features relation has no rows with features", "give one row a customer")
    return _compare(models, _read(con, query, models), rows)


def compare_on_sample(models: tuple[Model, Model]) -> Comparison:
    """Compare two models on the customers that training left in the first, or else in the second.

    Raises UsageError where neither has any, and ModelError as ``compare`` does.
    """
    for own, other in (models, models[::-1]):
        sample = sample_of(own)
        if sample is not None and len(sample):
            translated = _translated(sample, own, other)
            pair = (sample, translated) if own is models[0] else (translated, sample)
            return _compare(models, [pair], len(sample))
    names = " nor ".join(f"'{model.reference}'" for model in models)
    raise UsageError(f"neither {names} carries a sample of customers", "give some: --features REL")


def _read(con: duckdb.DuckDBPyConnection, query: str, models: tuple[Model, Model]) -> Iterator[Pair]:
    """Yield each batch of rows as each model reads it."""
    is_checked = False
    for chunk in con.sql(query).to_arrow_reader(_ROWS):
        column = chunk.column(0)
        named = feature_names(column) is not None
        if not named and not is_checked:
            _refuse_other_columns(*models)
        is_checked = is_checked or not named
        if named:
            a, b = (read_features(column, model.width, model.vocabulary) for model in models)
            yield a, b
        else:
            batch = read_features(column, models[0].width)
            yield batch, batch


def _refuse_other_columns(a: Model, b: Model) -> None:
    """Raise ModelError where a column's number does not mean the same feature to both."""
    names = [model.vocabulary.names if model.vocabulary else None for model in (a, b)]
    if (a.width, names[0]) == (b.width, names[1]):
        return
    said = [
        f"'{model.reference}' has {model.width} columns{'' if model.vocabulary else ' without names'}"
        for model in (a, b)
    ]
    if names[0] and names[1] and a.width == b.width:
        at = next(at for at in range(a.width) if names[0][at] != names[1][at])
        said[1] += f", and column {at} is '{names[1][at]}' and not '{names[0][at]}'"
    raise ModelError(
        f"the models read different features: {', '.join(said)}",
        "give rows whose features have names, which both models know" if all(names) else "compare models of one kind",
    )


def _translated(sample: SparseBatch, own: Model, other: Model) -> SparseBatch:
    """Return one model's rows in the columns of another, by the features' names; what the other lacks is left out."""
    if own.vocabulary is None or other.vocabulary is None:
        _refuse_other_columns(own, other)
        return sample
    matrix = sample.to_scipy().tocoo()
    column = other.vocabulary.columns(own.vocabulary.names_of(np.arange(own.width)))[matrix.col]
    known = column >= 0
    parts = matrix.data[known], (matrix.row[known], column[known])
    return from_scipy(sparse.csr_matrix(parts, (len(sample), other.width), dtype=np.float32))


class _Sums(NamedTuple):
    """Over all rows, float64 (m,) for m categories: propensities of each model, and their absolute differences."""

    a: NDArray[np.float64]
    b: NDArray[np.float64]
    apart: NDArray[np.float64]
    most: NDArray[np.float64]


def _compare(models: tuple[Model, Model], pairs: Iterable[Pair], rows: int) -> Comparison:
    a, b = models
    also = set(b.categories)
    common = [category for category in a.categories if category in also]
    if not common:
        raise ModelError(
            f"'{a.reference}' and '{b.reference}' have no category in common",
            f"see FROM propensity_categories('{a.reference}')",
        )
    heads, shared = (a.heads(common), b.heads(common)), set(common)
    sums, kept = _score((a.scorer(), b.scorer()), heads, pairs, rows)
    found = _columns(*kept)
    changed, same_first, same_five = _lists(*kept)
    shifts = [
        Shift(name, float(a_sum), float(b_sum), float(apart), float(most), correlation, top, psi, places)
        for name, a_sum, b_sum, apart, most, (correlation, top, psi), places in zip(
            common, sums.a / rows, sums.b / rows, sums.apart / rows, sums.most, found, changed, strict=True
        )
    ]
    return Comparison(
        a.reference,
        b.reference,
        rows,
        kept[0].shape[1],
        _overall(shifts),
        tuple(sorted(shifts, key=lambda shift: -shift.mean_shift)),
        same_first,
        same_five,
        tuple(category for category in a.categories if category not in shared),
        tuple(category for category in b.categories if category not in shared),
    )


def _score(
    scorers: tuple[Scorer, Scorer], heads: tuple[NDArray[np.int64], NDArray[np.int64]], pairs: Iterable[Pair], rows: int
) -> tuple[_Sums, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Return sums over all rows, and both models' propensities (m, s) of the s rows that are ranked."""
    step = max(1, -(-rows * len(heads[0]) // MOST_RANKED))
    sums, first = _Sums(*np.zeros((4, len(heads[0])))), 0
    kept = tuple(np.empty((len(of), -(-rows // step)), np.float32) for of in heads)
    for batches in pairs:
        found = [scorer.score(batch, of) for scorer, batch, of in zip(scorers, batches, heads, strict=True)]
        apart = np.abs(found[0] - found[1])
        _refuse_more(first + len(apart), rows)
        for total, part in zip(sums[:3], (*found, apart), strict=True):
            total += part.sum(axis=0, dtype=np.float64)
        np.maximum(sums.most, apart.max(axis=0, initial=0), out=sums.most)
        for ranked, part in zip(kept, found, strict=True):
            ranked[:, -(-first // step) : -(-(first + len(part)) // step)] = part[-first % step :: step].T
        first += len(apart)
    _refuse_more(rows, first)
    return sums, (kept[0], kept[1])


def _refuse_more(found: int, expected: int) -> None:
    if found > expected:
        raise DataError("the features relation changed while it was read", "give one that stays as it is")


def _columns(a: NDArray[np.float32], b: NDArray[np.float32]) -> list[tuple[float | None, float, float]]:
    """Return rank correlation, same top decile and psi of each category; a, b: (m, s)."""
    found: list[tuple[float | None, float, float]] = [(None, 0.0, 0.0)] * len(a)

    def work(at: int) -> None:
        orders = [_order(model[at]) for model in (a, b)]
        ordered = [model[at][order] for model, order in zip((a, b), orders, strict=True)]
        ranks = [_ranks(values, order) for values, order in zip(ordered, orders, strict=True)]
        tops = [_order(-model[at])[: -(-a.shape[1] // 10)] for model in (a, b)]
        same = len(np.intersect1d(tops[0], tops[1], assume_unique=True)) / len(tops[0])
        found[at] = _correlation(*ranks), same, _stability(*ordered)

    share(work, len(a))
    return found


def _order(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the positions of numbers (…, n), the lowest number first, ties as they are: a stable argsort, but faster.

    Bits of floats are in the floats' order, those of negative ones in the reverse.
    """
    bits = (values + np.float32(0)).view(np.int32).astype(np.int64)  # + 0: there is one zero
    keys = np.where(bits < 0, -(bits & 0x7FFFFFFF), bits) << 32 | np.arange(values.shape[-1])
    keys.sort(axis=-1)
    return keys & 0xFFFFFFFF


def _ranks(ordered: NDArray[np.float32], order: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the rank of each number, equal ones at the mean of theirs."""
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    ends = np.append(starts[1:], len(ordered))
    ranks = np.empty(len(ordered))
    ranks[order] = np.repeat((starts + ends - 1) / 2, ends - starts)
    return ranks


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float | None:
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(np.clip(a @ b / scale, -1, 1)) if scale else None


def _stability(baseline: NDArray[np.float32], now: NDArray[np.float32]) -> float:
    """Return the population stability index of ordered propensities; half a customer is added to each bin."""
    edges = edges_of(baseline)
    counts = [np.diff(np.searchsorted(values, edges, side="right"), prepend=0) + 0.5 for values in (now, baseline)]
    shares = [count / count.sum() for count in counts]
    return float(((shares[0] - shares[1]) * np.log(shares[0] / shares[1])).sum())


def _lists(a: NDArray[np.float32], b: NDArray[np.float32]) -> tuple[list[float], float, float]:
    """Return how often each category has another place in a customer's list, and how often the first are the same.

    a, b: (m, s). Ties go to the category that model a has first.
    """
    size, rows = a.shape
    first = min(FIRST, size)
    starts = range(0, rows, _ROWS_A_TIME)
    parts: list[tuple[NDArray[np.int64], int, int]] = [(np.zeros(0, np.int64), 0, 0)] * len(starts)

    def work(at: int) -> None:
        block = slice(starts[at], starts[at] + _ROWS_A_TIME)
        orders = [_order(-model[:, block].T) for model in (a, b)]
        places = [np.empty_like(order) for order in orders]
        for place, order in zip(places, orders, strict=True):
            np.put_along_axis(place, order, np.arange(size)[None, :], axis=1)
        same = (orders[0][:, :first, None] == orders[1][:, None, :first]).sum()
        parts[at] = (places[0] != places[1]).sum(axis=0), int((orders[0][:, 0] == orders[1][:, 0]).sum()), int(same)

    share(work, len(starts))
    changed = np.sum([part[0] for part in parts], axis=0) / rows
    return changed.tolist(), sum(part[1] for part in parts) / rows, sum(part[2] for part in parts) / rows / first


def _overall(shifts: list[Shift]) -> Shift:
    def mean(name: str) -> float:
        return float(np.mean([getattr(shift, name) for shift in shifts]))

    known = [shift.rank_correlation for shift in shifts if shift.rank_correlation is not None]
    return Shift(
        None,
        mean("mean_a"),
        mean("mean_b"),
        mean("mean_shift"),
        max(shift.max_shift for shift in shifts),
        float(np.mean(known)) if known else None,
        mean("same_top_decile"),
        mean("psi"),
        mean("rank_changed"),
    )
