"""propensity(features, category [, model])."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from duckprop.model import Model
from duckprop.models import Models
from duckprop.udfs.udf import Udf, by_model, features_of, mask_nulls, rows_of, texts


def propensity(models: Models, features: pa.Array, category: pa.Array, model: pa.Array) -> pa.Array:
    """Return each row's propensity for its category, float32 (n,) in [0, 1].

    features (n,): any accepted type. category (n,): text or ENUM, a constant or a column. NULL in either gives NULL.
    Raises DataError for a category that is not in the model or for bad features, ModelError for the model.
    """

    def score(chosen: Model, rows: NDArray[np.int64] | None) -> pa.Array:
        names = texts(rows_of(category, rows), "category").dictionary_encode()
        heads = chosen.heads(names.dictionary.to_pylist())
        batch = features_of(chosen, features, rows)
        is_null = batch.is_null | names.is_null().to_numpy(zero_copy_only=False)
        column = names.indices.fill_null(0).to_numpy(zero_copy_only=False)
        return mask_nulls(_pick(models.scorer(chosen).score(batch, heads), column), is_null)

    return by_model(models, model, score)


def _pick(scores: NDArray[np.float32], column: NDArray[Any]) -> NDArray[np.float32]:
    if scores.shape[1] == 0:  # every category is NULL
        return np.zeros(len(scores), np.float32)
    return scores[np.arange(len(scores)), column]


UDF = Udf(
    "propensity",
    ("features", "category", "model"),
    "FLOAT",
    propensity,
    "SELECT id, propensity(features, 'shoes') AS shoes FROM customers ORDER BY shoes DESC LIMIT 3",
)
