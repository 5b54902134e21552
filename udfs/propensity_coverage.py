"""propensity_coverage(features [, model])."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from duckprop.model import Model
from duckprop.models import Models
from duckprop.udfs.udf import Udf, by_model, features_of, mask_nulls


def propensity_coverage(models: Models, features: pa.Array, model: pa.Array) -> pa.Array:
    """Return the share of each row's features that the model knows, float32 (n,) in [0, 1].

    Features by name may be unknown; columns by number are known or an error. NULL and empty features give NULL.
    """

    def share(chosen: Model, rows: NDArray[np.int64] | None) -> pa.Array:
        batch = features_of(chosen, features, rows)
        known = np.diff(batch.indptr)
        total = known + batch.unknown
        return mask_nulls((known / np.maximum(total, 1)).astype(np.float32), total == 0)

    return by_model(models, model, share)


UDF = Udf(
    "propensity_coverage",
    ("features", "model"),
    "FLOAT",
    propensity_coverage,
    "SELECT id, propensity_coverage(features) AS coverage FROM customers",
)
