"""propensity(features, category [, model])."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from duckprop.model import Model
from duckprop.models import Models
from duckprop.udfs.udf import Udf, by_model, distinct_of, features_of, mask_nulls, rows_of, texts


def propensity(models: Models, features: pa.Array, category: pa.Array, model: pa.Array) -> pa.Array:
    """Return each row's propensity for its category, float32 (n,) in [0, 1].

    features (n,): any accepted type. category (n,): text or ENUM, a constant or a column. NULL in either gives NULL.
    Raises DataError for a category that is not in the model or for bad features, ModelError for the model.
    """

    def score(chosen: Model, rows: NDArray[np.int64] | None) -> pa.Array:
        names, places = distinct_of(texts(rows_of(category, rows), "category"))
        heads, scorer = chosen.heads(names), models.scorer(chosen)
        batch = features_of(chosen, features, rows)
        is_null = batch.is_null | (places < 0)
        if len(heads) == 1:
            return mask_nulls(scorer.score(batch, heads)[:, 0], is_null)
        asked, propensities = np.flatnonzero(~is_null), np.zeros(len(batch), np.float32)
        propensities[asked] = scorer.pairs(batch, asked, heads[places[asked]])
        return mask_nulls(propensities, is_null)

    return by_model(models, model, score)


UDF = Udf(
    "propensity",
    ("features", "category", "model"),
    "FLOAT",
    propensity,
    "SELECT id, propensity(features, 'shoes') AS shoes FROM customers ORDER BY shoes DESC LIMIT 3",
)
