"""propensity_explain(features, category [, k, model])."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from duckprop.model import Model
from duckprop.models import Models
from duckprop.sparse import SparseBatch
from duckprop.udfs.udf import Udf, by_model, counts_of, distinct_of, features_of, rows_of, structs, texts


def propensity_explain(
    models: Models, features: pa.Array, category: pa.Array, k: pa.Array, model: pa.Array
) -> pa.Array:
    """Return what each feature adds to each row's log-odds, list<struct<feature, value, contribution>> (n,).

    features (n,): any accepted type. category (n,): text or ENUM. k (n,): how many features at most, whole numbers from
    0; NULL for all. Largest magnitude first, then the lower column. Contributions may be below 0: such a feature makes
    the category less likely. All of them and the base, which is the log-odds of a customer without features,
    ``propensity([]::INTEGER[], category)``, add up to the customer's log-odds, ``ln(p / (1 - p))``. A model without
    feature names gives column numbers as text. NULL features or category give NULL; an empty customer has no reasons:
    an empty list. Raises DataError for a category that is not in the model, a negative k or bad features, ModelError
    for a model that cannot be folded.
    """

    def explain(chosen: Model, rows: NDArray[np.int64] | None) -> pa.Array:
        batch = features_of(chosen, features, rows)
        names, places = distinct_of(texts(rows_of(category, rows), "category"))
        heads = chosen.heads(names)
        most, is_all = counts_of(rows_of(k, rows), rows)
        is_null = batch.is_null | (places < 0)
        asked = np.flatnonzero(~is_null)
        contributions = chosen.explainer.contributions(batch, asked, heads[places[asked]])
        return _reasons(chosen, batch, contributions, np.where(is_all, batch.nnz, most), is_null)

    return by_model(models, model, explain)


def _reasons(
    model: Model,
    batch: SparseBatch,
    contributions: NDArray[np.float64],
    most: NDArray[np.int64],
    is_null: NDArray[np.bool_],
) -> pa.Array:
    """Sort the values of the rows that are not NULL, and keep the first ``most`` (n,) of each."""
    lengths = np.where(is_null, 0, np.diff(batch.indptr))
    owner = np.repeat(np.arange(len(batch)), lengths)
    source = np.flatnonzero(np.repeat(~is_null, np.diff(batch.indptr)))
    order = np.lexsort((batch.indices[source], -np.abs(contributions), owner))
    place = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    kept = order[place < most[owner]]
    columns = pa.array(batch.indices[source[kept]])
    fields = {
        "feature": columns.cast(pa.string()) if model.vocabulary is None else model.vocabulary.names_of(columns),
        "value": pa.array(batch.values[source[kept]], pa.float32()),
        "contribution": pa.array(contributions[kept].astype(np.float32) + np.float32(0)),  # no -0.0
    }
    return structs(np.minimum(lengths, most), is_null, fields)


UDF = Udf(
    "propensity_explain",
    ("features", "category", "k", "model"),
    "STRUCT(feature VARCHAR, value FLOAT, contribution FLOAT)[]",
    propensity_explain,
    "SELECT id, unnest(propensity_explain(features, 'shoes', 3), recursive := true) FROM customers",
)
