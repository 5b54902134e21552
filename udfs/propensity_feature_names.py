"""propensity_feature_names([model])."""

import numpy as np
import pyarrow as pa

from duckprop.models import Models
from duckprop.udfs.udf import Udf, tables, texts

_TYPE = pa.struct([("column", pa.int32()), ("feature", pa.string())])


def propensity_feature_names(models: Models, model: pa.Array) -> pa.Array:
    """Return for each of n rows the feature columns of its model, from 0 to the last.

    column: its number in features such as ``[3]`` and ``'3:1.0'``. feature: its name in features such as
    ``['item 3']``; NULL in all rows where the model knows its columns by number alone, so that a join on column finds
    every column of every model. Raises ModelError for the model.
    """
    names = texts(model, "model").to_pylist()
    return tables(names, {name: _features(models, name) for name in set(names)}, _TYPE)


def _features(models: Models, reference: str | None) -> pa.StructArray:
    model = models.get(reference)
    columns = pa.array(np.arange(model.width, dtype=np.int32))
    vocabulary = model.vocabulary
    features = pa.nulls(model.width, pa.string()) if vocabulary is None else vocabulary.names_of(columns)
    return pa.StructArray.from_arrays([columns, features], fields=list(_TYPE))


UDF = Udf(
    "propensity_feature_names",
    ("model",),
    'STRUCT("column" INTEGER, feature VARCHAR)[]',
    propensity_feature_names,
    "SELECT feature FROM propensity_feature_names('shop') WHERE \"column\" = 3",
)
