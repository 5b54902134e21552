"""propensity_vector(features [, model])."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from duckprop.model import Model
from duckprop.models import Models
from duckprop.udfs.udf import Udf, by_model, features_of, vectors


def propensity_vector(models: Models, features: pa.Array, model: pa.Array) -> pa.Array:
    """Return each row's propensities for all categories, list<float32> (n,), in the order of propensity_categories().

    NULL features give NULL. Raises DataError for bad features, ModelError for the model.
    """

    def score(chosen: Model, rows: NDArray[np.int64] | None) -> pa.Array:
        batch = features_of(chosen, features, rows)
        return vectors(models.scorer(chosen).score(batch), batch.is_null)

    return by_model(models, model, score)


UDF = Udf(
    "propensity_vector",
    ("features", "model"),
    "FLOAT[]",
    propensity_vector,
    "SELECT id, propensity_vector(features) AS propensities FROM customers",
)
