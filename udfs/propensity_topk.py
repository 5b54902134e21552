"""propensity_topk(features, k [, categories, exclude, min_propensity, model])."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from duckprop.errors import DataError
from duckprop.layouts import is_column, is_list, is_number
from duckprop.model import Model
from duckprop.models import Models
from duckprop.ranking import top
from duckprop.sparse import offsets_of, row_label
from duckprop.udfs.udf import Udf, by_model, features_of, rows_of, texts


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
        counts, no_count = _counts(rows_of(k, rows), rows)
        least = _thresholds(rows_of(min_propensity, rows), rows)
        scores = models.scorer(chosen).score(batch)
        allowed = scores >= least[:, None]
        only, never = rows_of(categories, rows), rows_of(exclude, rows)
        if only.null_count < len(only):
            allowed &= _listed(chosen, only, "categories") | only.is_null().to_numpy(zero_copy_only=False)[:, None]
        if never.null_count < len(never):
            allowed &= ~_listed(chosen, never, "exclude")
        order, found = top(scores, int(counts.max(initial=0)), allowed)
        return _structs(chosen, scores, order, np.minimum(found, counts), batch.is_null | no_count)

    return by_model(models, model, choose)


def _counts(k: pa.Array, rows: NDArray[np.int64] | None) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return k as int64, 0 where NULL, and where it is NULL."""
    if not (is_column(k.type) or pa.types.is_null(k.type)):
        raise DataError(f"k is of type {k.type}", "give a whole number, such as 5")
    try:
        counts = k.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        raise DataError("a k does not fit into 64 bits", "give a whole number, such as 5") from None
    if (counts < 0).any():
        at = int(np.flatnonzero(counts < 0)[0])
        raise DataError(f"{row_label(at, rows)}: k is {counts[at]}", "give a whole number from 0")
    return counts, k.is_null().to_numpy(zero_copy_only=False)


def _thresholds(least: pa.Array, rows: NDArray[np.int64] | None) -> NDArray[np.float64]:
    """NULL is 0, which every propensity reaches; a DECIMAL counts as FLOAT, as DuckDB compares the two."""
    if not (is_number(least.type) or pa.types.is_null(least.type)):
        raise DataError(f"min_propensity is of type {least.type}", "give a number in [0, 1]")
    values = least.cast(pa.float64()).fill_null(0).to_numpy(zero_copy_only=False)
    wrong = np.flatnonzero(~((values >= 0) & (values <= 1)))
    if len(wrong):
        raise DataError(f"{row_label(int(wrong[0]), rows)}: min_propensity is {values[wrong[0]]}", "give one in [0, 1]")
    return values.astype(np.float32) if pa.types.is_decimal(least.type) else values


def _listed(model: Model, lists: pa.Array, argument: str) -> NDArray[np.bool_]:
    """Return which heads each row's list names, bool (n, N)."""
    if not is_list(lists.type):
        raise DataError(
            f"{argument} is of type {lists.type}", f"give a list of names: {argument} := ['{model.categories[0]}']"
        )
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False)
    owner = np.repeat(np.arange(len(lists)), lengths)
    names = texts(lists.flatten(), f"an element of {argument}")
    given = names.is_valid().to_numpy(zero_copy_only=False)
    encoded = names.drop_null().dictionary_encode()
    heads = model.heads(encoded.dictionary.to_pylist())[encoded.indices.to_numpy(zero_copy_only=False)]
    listed = np.zeros((len(lists), len(model.categories)), bool)
    listed[owner[given], heads] = True
    return listed


def _structs(
    model: Model,
    scores: NDArray[np.float32],
    order: NDArray[np.int64],
    counts: NDArray[np.int64],
    is_null: NDArray[np.bool_],
) -> pa.Array:
    kept = np.arange(order.shape[1]) < np.where(is_null, 0, counts)[:, None]
    rows, places = np.nonzero(kept)
    heads = order[rows, places]
    fields = {
        "category": pa.array(model.categories, pa.string()).take(pa.array(heads)),
        "propensity": pa.array(scores[rows, heads], pa.float32()),
        "rank": pa.array((places + 1).astype(np.int32)),
    }
    structs = pa.StructArray.from_arrays(list(fields.values()), names=list(fields))
    offsets = offsets_of(kept.sum(axis=1)).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), structs, mask=pa.array(is_null))


UDF = Udf(
    "propensity_topk",
    ("features", "k", "categories", "exclude", "min_propensity", "model"),
    "STRUCT(category VARCHAR, propensity FLOAT, rank INTEGER)[]",
    propensity_topk,
    "SELECT id, unnest(propensity_topk(features, 2, exclude := ['toys']), recursive := true) FROM customers",
)
