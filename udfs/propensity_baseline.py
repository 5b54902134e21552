"""propensity_baseline([model])."""

import pyarrow as pa

from duckprop.models import Models
from duckprop.udfs.udf import Udf, tables, texts

_TYPE = pa.struct([("category", pa.string()), ("bin", pa.int32()), ("upper", pa.float32()), ("n", pa.int64())])


def propensity_baseline(models: Models, model: pa.Array) -> pa.Array:
    """Return for each of n rows how its model's propensities were distributed on the customers that validated it.

    These customers were not trained on. Each category has ten bins of about as many customers each, categories in the
    order of propensity_categories(), bins rising from 1. A bin holds the propensities above the upper edge of the bin
    before and at most its own, ``upper``; the last one's is infinity. Customers with equal propensities are never
    torn apart: then there are fewer bins, or larger ones, and the last one is empty where the tie is at the top.
    n: how many customers; the n of a category add up to all of them.
    Raises ModelError for the model, and where it carries no baseline: one trained by an earlier duckprop, or imported.
    """
    names = texts(model, "model").to_pylist()
    return tables(names, {name: _bins(models, name) for name in set(names)}, _TYPE)


def _bins(models: Models, reference: str | None) -> pa.StructArray:
    model = models.get(reference)
    found = model.baseline.combine_chunks()
    category_id, *others = (column.chunk(0) for column in found.columns)
    return pa.StructArray.from_arrays([model.category_names.take(category_id), *others], fields=list(_TYPE))


UDF = Udf(
    "propensity_baseline",
    ("model",),
    "STRUCT(category VARCHAR, bin INTEGER, upper FLOAT, n BIGINT)[]",
    propensity_baseline,
    "SELECT bin, upper, n FROM propensity_baseline('shop') WHERE category = 'shoes'",
)
