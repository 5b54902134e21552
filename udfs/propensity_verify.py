"""propensity_verify([model])."""

import pyarrow as pa

from duckprop.models import Models
from duckprop.udfs.udf import Udf, texts
from duckprop.verify import verify

_TYPE = pa.list_(
    pa.struct(
        [
            ("engine", pa.string()),
            ("rows", pa.int64()),
            ("max_abs_difference", pa.float64()),
            ("is_within_tolerance", pa.bool_()),
        ]
    )
)


def propensity_verify(models: Models, model: pa.Array) -> pa.Array:
    """Return for each of n rows how far the compiled engine is from MXNet on its model, a list of one row an engine.

    Both score the sample of customers that training left in the model, and 8,192 random ones: without features, with
    one, with few and with many, in batches of 1 to 2,048. rows: how many that were. max_abs_difference: of any
    propensity. is_within_tolerance: whether that is at most 1e-6, and the last hidden layers agree likewise.
    Raises ModelError for the model, UsageError where MXNet cannot be imported.
    """
    names = texts(model, "model").to_pylist()
    known = {name: _verified(models, name) for name in set(names)}
    return pa.array([known[name] for name in names], _TYPE)


def _verified(models: Models, reference: str | None) -> list[dict[str, object]]:
    found = verify(models.get(reference))
    return [{name: getattr(found, name) for name in (field.name for field in _TYPE.value_type)}]


UDF = Udf(
    "propensity_verify",
    ("model",),
    "STRUCT(engine VARCHAR, rows BIGINT, max_abs_difference DOUBLE, is_within_tolerance BOOLEAN)[]",
    propensity_verify,
    "FROM propensity_verify('shop')",
)
