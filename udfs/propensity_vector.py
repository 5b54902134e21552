"""propensity_vector(features [, model])."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from duckprop.errors import DataError
from duckprop.model import Model
from duckprop.models import Models
from duckprop.udfs.lists import heads_of
from duckprop.udfs.udf import Udf, by_model, features_of, rows_of, vectors


def propensity_vector(models: Models, features: pa.Array, categories: pa.Array, model: pa.Array) -> pa.Array:
    """Return each row's propensities for all categories, list<float32> (n,), in the order of propensity_categories().

    NULL features give NULL. Raises DataError for bad features, ModelError for the model.
    """  # categories: not public; propensity_scores() asks for some, the same for all rows, each once, in their order

    def score(chosen: Model, rows: NDArray[np.int64] | None) -> pa.Array:
        asked = heads_of(chosen, rows_of(categories, rows), "categories")
        if asked.differ:
            raise DataError("categories differ from row to row", "give one list for the whole query")
        batch = features_of(chosen, features, rows)
        return vectors(models.scorer(chosen).score(batch, asked.same), batch.is_null)

    return by_model(models, model, score)


UDF = Udf(
    "propensity_vector",
    ("features", "categories", "model"),
    "FLOAT[]",
    propensity_vector,
    "SELECT id, propensity_vector(features) AS propensities FROM customers",
)
