"""propensities(features, categories [, model])."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from duckprop.model import Model
from duckprop.models import Models
from duckprop.udfs.lists import heads_of
from duckprop.udfs.udf import Udf, by_model, features_of, maps, rows_of


def propensities(models: Models, features: pa.Array, categories: pa.Array, model: pa.Array) -> pa.Array:
    """Return each row's propensities for its categories, map<string, float32> (n,), in the order of the list.

    features (n,): any accepted type. categories (n,): lists of names, a constant or a column; NULL elements are passed
    over, a name given twice counts once, an empty list gives an empty map. NULL features or a NULL list give NULL.
    Raises DataError for a category that is not in the model or for bad features, ModelError for the model.
    """

    def score(chosen: Model, rows: NDArray[np.int64] | None) -> pa.Array:
        batch, scorer = features_of(chosen, features, rows), models.scorer(chosen)
        lists = heads_of(chosen, rows_of(categories, rows), "categories")
        is_null = batch.is_null | lists.is_null
        asked = np.flatnonzero(~is_null)
        if lists.same is not None:
            found, heads = scorer.score(batch, lists.same)[asked].ravel(), np.tile(lists.same, len(asked))
            lengths = np.where(is_null, 0, len(lists.same))
        else:
            kept = ~is_null[lists.rows]
            heads = lists.heads[kept]
            found = scorer.pairs(batch, lists.rows[kept], heads)
            lengths = np.bincount(lists.rows[kept], minlength=len(batch))
        names = chosen.category_names.take(pa.array(heads))
        return maps(lengths, is_null, names, pa.array(found, pa.float32()))

    return by_model(models, model, score)


UDF = Udf(
    "propensities",
    ("features", "categories", "model"),
    "MAP(VARCHAR, FLOAT)",
    propensities,
    "SELECT id, propensities(features, ['shoes', 'toys']) AS both FROM customers",
)
