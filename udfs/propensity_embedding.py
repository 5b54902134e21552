"""propensity_embedding(features [, model])."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from duckprop.model import Model
from duckprop.models import Models
from duckprop.udfs.udf import Udf, by_model, features_of, vectors


def propensity_embedding(models: Models, features: pa.Array, model: pa.Array) -> pa.Array:
    """Return each row's last hidden layer, list<float32> (n,): customers near each other in it have like propensities.

    NULL features give NULL. Raises DataError for bad features, ModelError for the model.
    """

    def embed(chosen: Model, rows: NDArray[np.int64] | None) -> pa.Array:
        batch = features_of(chosen, features, rows)
        return vectors(models.scorer(chosen).embed(batch), batch.is_null)

    return by_model(models, model, embed)


UDF = Udf(
    "propensity_embedding",
    ("features", "model"),
    "FLOAT[]",
    propensity_embedding,
    "SELECT id, propensity_embedding(features) AS embedding FROM customers",
)
