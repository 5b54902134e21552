"""propensity_classes(features, category [, model])."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from duckprop.model import Model
from duckprop.models import Models
from duckprop.udfs.udf import Udf, by_model, distinct_of, features_of, maps, rows_of, texts


def propensity_classes(models: Models, features: pa.Array, category: pa.Array, model: pa.Array) -> pa.Array:
    """Return the probability of every class of each row's category, map<string, float32> (n,), adding up to 1.

    A model predicts two classes, such as yes and no, or more, such as often, once and no; their order is the model's,
    the same in every row. The positive class, see ``FROM propensity_model_info()``, has the very number that
    ``propensity(features, category)`` gives. features (n,): any accepted type. category (n,): text or ENUM, a constant
    or a column. NULL in either gives NULL; an empty customer has probabilities too.
    Raises DataError for a category that is not in the model or for bad features, ModelError for the model.
    """

    def score(chosen: Model, rows: NDArray[np.int64] | None) -> pa.Array:
        names, places = distinct_of(texts(rows_of(category, rows), "category"))
        heads, batch = chosen.heads(names), features_of(chosen, features, rows)
        is_null = batch.is_null | (places < 0)
        asked = np.flatnonzero(~is_null)
        found = models.scorer(chosen).classes(batch, asked, heads[places[asked]])
        lengths = np.where(is_null, 0, found.shape[1])
        keys = pa.array(chosen.classes).take(pa.array(np.tile(np.arange(found.shape[1]), len(asked))))
        return maps(lengths, is_null, keys, pa.array(found.ravel(), pa.float32()))

    return by_model(models, model, score)


UDF = Udf(
    "propensity_classes",
    ("features", "category", "model"),
    "MAP(VARCHAR, FLOAT)",
    propensity_classes,
    "SELECT id, propensity_classes(features, 'shoes') AS classes FROM customers",
)
