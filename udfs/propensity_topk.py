"""propensity_topk(features, k [, categories, exclude, min_propensity, model])."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from duckprop.engine import Scorer
from duckprop.errors import DataError
from duckprop.layouts import is_number
from duckprop.model import Model
from duckprop.models import Models
from duckprop.ranking import Best, best_of_pairs
from duckprop.sparse import SparseBatch, row_label
from duckprop.udfs.lists import Lists, heads_of
from duckprop.udfs.udf import Udf, by_model, counts_of, features_of, rows_of, structs


def propensity_topk(
    models: Models,
    features: pa.Array,
    k: pa.Array,
    categories: pa.Array,
    exclude: pa.Array,
    min_propensity: pa.Array,
    model: pa.Array,
) -> pa.Array:
    """Return each row's k best categories, list<struct<category, propensity, rank>> (n,), best first.

    k (n,): whole numbers from 0. categories, exclude (n,): lists of names, the only ones, or the ones not to choose
    from; NULL means all, or none; NULL elements are passed over. min_propensity (n,): floats in [0, 1]; NULL for none.
    Ties go to the lower category id. NULL features or k give NULL. Fewer than k remain where no more are allowed.
    Raises DataError for a negative k, a threshold outside [0, 1], a category that is not in the model, bad features.
    """

    def choose(chosen: Model, rows: NDArray[np.int64] | None) -> pa.Array:
        batch = features_of(chosen, features, rows)
        counts, no_count = counts_of(rows_of(k, rows), rows)
        least = _thresholds(rows_of(min_propensity, rows), rows)
        only = heads_of(chosen, rows_of(categories, rows), "categories")
        never = heads_of(chosen, rows_of(exclude, rows), "exclude")
        scorer, most = models.scorer(chosen), int(counts.max(initial=0))
        if only.differ and not only.is_null.any():
            found = _among_lists(scorer, batch, only, never, least)
        else:
            found = _among_heads(scorer, batch, most, only, never, least)
        return _structs(chosen, found, np.where(batch.is_null | no_count, 0, counts), batch.is_null | no_count)

    return by_model(models, model, choose)


def _among_heads(
    scorer: Scorer, batch: SparseBatch, k: int, only: Lists, never: Lists, least: NDArray[np.float64]
) -> Best:
    """Choose from the same heads for every row; what is allowed to single rows alone is looked up for each of them."""
    heads = np.arange(scorer.heads) if only.same is None else np.unique(only.same)
    if never.same is not None:
        heads = np.setdiff1d(heads, never.same)
    banned = np.zeros((len(batch), len(heads)), bool) if only.differ or never.differ else None
    if only.differ and banned is not None:
        banned |= ~only.table(scorer.heads)[:, heads] & ~only.is_null[:, None]
    if never.differ and banned is not None:
        banned |= never.table(scorer.heads)[:, heads]
    chosen = None if len(heads) == scorer.heads else heads
    return scorer.top(batch, k, heads=chosen, least=least if least.any() else None, banned=banned)


def _among_lists(scorer: Scorer, batch: SparseBatch, only: Lists, never: Lists, least: NDArray[np.float64]) -> Best:
    """Choose from each row's own list: only these pairs of a row and a head are computed."""
    banned = never.table(scorer.heads)
    allowed = ~banned[only.rows, only.heads]
    rows, heads = only.rows[allowed], only.heads[allowed]
    propensities = scorer.pairs(batch, rows, heads)
    reached = propensities >= least[rows]
    return best_of_pairs(propensities[reached], rows[reached], heads[reached], len(batch))


def _thresholds(least: pa.Array, rows: NDArray[np.int64] | None) -> NDArray[np.float64]:
    """NULL is 0, which every propensity reaches; a DECIMAL counts as FLOAT, as DuckDB compares the two."""
    if not (is_number(least.type) or pa.types.is_null(least.type)):
        raise DataError(f"min_propensity is of type {least.type}", "give a number in [0, 1]")
    values = least.cast(pa.float64()).fill_null(0).to_numpy(zero_copy_only=False)
    wrong = np.flatnonzero(~((values >= 0) & (values <= 1)))
    if len(wrong):
        raise DataError(f"{row_label(int(wrong[0]), rows)}: min_propensity is {values[wrong[0]]}", "give one in [0, 1]")
    return values.astype(np.float32).astype(np.float64) if pa.types.is_decimal(least.type) else values


def _structs(model: Model, best: Best, counts: NDArray[np.int64], is_null: NDArray[np.bool_]) -> pa.Array:
    """Return the first ``counts`` of each row's best heads as list<struct>, NULL where ``is_null``."""
    kept = np.arange(best.heads.shape[1]) < np.minimum(best.counts, counts)[:, None]
    rows, places = np.nonzero(kept)
    fields = {
        "category": model.category_names.take(pa.array(best.heads[rows, places])),
        "propensity": pa.array(best.propensities[rows, places], pa.float32()),
        "rank": pa.array((places + 1).astype(np.int32)),
    }
    return structs(kept.sum(axis=1), is_null, fields)


UDF = Udf(
    "propensity_topk",
    ("features", "k", "categories", "exclude", "min_propensity", "model"),
    "STRUCT(category VARCHAR, propensity FLOAT, rank INTEGER)[]",
    propensity_topk,
    "SELECT id, unnest(propensity_topk(features, 2, exclude := ['toys']), recursive := true) FROM customers",
)
