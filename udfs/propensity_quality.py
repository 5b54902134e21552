"""propensity_quality([model])."""

import pyarrow as pa

from duckprop.evaluation.recorded import figures
from duckprop.models import Models
from duckprop.udfs.udf import Udf, tables, texts

_TYPE = pa.struct(
    [
        ("category", pa.string()),
        ("split", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("ci_low", pa.float64()),
        ("ci_high", pa.float64()),
        ("support", pa.int64()),
        ("n", pa.int64()),
        ("is_too_small", pa.bool_()),
    ]
)


def propensity_quality(models: Models, model: pa.Array) -> pa.Array:
    """Return for each of n rows the quality of its model as its card records it, a row a category, split and metric.

    category: NULL for the figures of all categories together, which come first: macro_… are means over the categories
    with enough positives. split: 'train' (base rates only: figures on rows that were learnt from flatter), 'validation'
    (it chose the epoch) and 'test'. metric, of a category: base_rate (share of positive rows of this split),
    mean_propensity, auc, average_precision, log_loss, brier, ece (expected calibration error) and lift_at_10pct.
    ci_low, ci_high: 95 % interval, where it is recorded: of AUCs and of some means. support: positive rows, for all
    categories positive pairs. n: rows. is_too_small: too few rows are positive, or not, for the figure to say much.
    What the card does not record has no row or is NULL: a model that was imported has no row at all, one of an earlier
    duckprop few. For figures on other rows see propensity_evaluate(). Raises ModelError for the model.
    """
    names = texts(model, "model").to_pylist()
    return tables(names, {name: _recorded(models, name) for name in set(names)}, _TYPE)


def _recorded(models: Models, reference: str | None) -> pa.StructArray:
    columns = zip(*figures(models.get(reference).card), strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _TYPE, strict=False)]
    return pa.StructArray.from_arrays(arrays, fields=list(_TYPE)) if arrays else pa.array([], _TYPE)


UDF = Udf(
    "propensity_quality",
    ("model",),
    "STRUCT(category VARCHAR, split VARCHAR, metric VARCHAR, value DOUBLE, ci_low DOUBLE, ci_high DOUBLE, "
    "support BIGINT, n BIGINT, is_too_small BOOLEAN)[]",
    propensity_quality,
    "SELECT category, value, support FROM propensity_quality('shop') WHERE metric = 'base_rate' ORDER BY value DESC",
)
