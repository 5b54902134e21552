"""propensity_categories([model])."""

import pyarrow as pa

from duckprop.models import Models
from duckprop.udfs.udf import Udf, texts

_TYPE = pa.list_(pa.struct([("category_id", pa.int32()), ("category", pa.string()), ("base_rate", pa.float32())]))


def propensity_categories(models: Models, model: pa.Array) -> pa.Array:
    """Return for each of n rows the categories of its model, in head order, which is that of propensity_vector.

    base_rate: share of positive training rows, NULL where the model does not know it. Raises ModelError for the model.
    """
    names = texts(model, "model").to_pylist()
    known = {name: _categories(models, name) for name in set(names)}
    return pa.array([known[name] for name in names], _TYPE)


def _categories(models: Models, reference: str | None) -> list[dict[str, object]]:
    model = models.get(reference)
    rates = model.card.get("base_rates")
    if not isinstance(rates, list) or len(rates) != len(model.categories):
        rates = [None] * len(model.categories)
    pairs = enumerate(zip(model.categories, rates, strict=True))
    return [{"category_id": head, "category": name, "base_rate": rate} for head, (name, rate) in pairs]


UDF = Udf(
    "propensity_categories",
    ("model",),
    "STRUCT(category_id INTEGER, category VARCHAR, base_rate FLOAT)[]",
    propensity_categories,
    "SELECT category FROM propensity_categories('shop') ORDER BY base_rate DESC LIMIT 3",
)
