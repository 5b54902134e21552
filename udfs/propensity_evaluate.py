"""propensity_evaluate(scored, outcomes [, min_support]): the figures that sorting gives."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from duckprop.evaluation.intervals import Column, figures
from duckprop.models import Models
from duckprop.udfs.udf import Udf, array_of, one_chunk

_TYPE = pa.list_(
    pa.struct(
        [
            ("category", pa.string()),
            ("metric", pa.string()),
            ("value", pa.float64()),
            ("ci_low", pa.float64()),
            ("ci_high", pa.float64()),
            ("support", pa.int64()),
            ("is_too_small", pa.bool_()),
        ]
    )
)


def propensity_evaluate(
    models: Models, categories: pa.Array, customers: pa.Array, propensities: pa.Array, acted: pa.Array, least: pa.Array
) -> pa.Array:
    """Return for each of n evaluations its metrics, list<struct> (n,).

    categories (n,): lists of names. customers (n,): for each of them a list of whole numbers from 0; propensities and
    acted (n,): lists of as many floats and booleans. NULL lists are an evaluation of nothing. least (n,): min_support.
    Raises DataError for a customer that a category holds twice, and for a min_support below 1.
    """
    columns = [one_chunk(part) for part in (categories, customers, propensities, acted)]
    asked = array_of(least).to_pylist()
    return pa.array([_evaluated([column[row] for column in columns], few) for row, few in enumerate(asked)], _TYPE)


def _evaluated(row: list[pa.Scalar], least: int) -> list[dict[str, object]]:
    if not row[0].is_valid:
        return [each._asdict() for each in figures([], 0, least)]
    names = row[0].as_py()
    lists = [[part.values for part in column] for column in row[1:]]
    columns = [
        Column(name, who.to_numpy(), _floats(scores), acted.to_numpy(zero_copy_only=False))
        for name, who, scores, acted in zip(names, *lists, strict=True)
    ]
    known = 1 + max(int(column.customers.max()) for column in columns)
    return [each._asdict() for each in figures(columns, known, least)]


def _floats(scores: pa.Array) -> NDArray[np.floating]:
    """32 bits stay 32 bits: there are many of them."""
    return (scores if pa.types.is_floating(scores.type) else scores.cast(pa.float64())).to_numpy()


UDF = Udf(
    "propensity_evaluate",
    ("categories", "customers", "propensities", "acted", "min_support"),
    "STRUCT(category VARCHAR, metric VARCHAR, value DOUBLE, ci_low DOUBLE, ci_high DOUBLE, support BIGINT, "
    "is_too_small BOOLEAN)[]",
    propensity_evaluate,
    "FROM propensity_evaluate('propensities', 'outcomes') WHERE category IS NULL",
)
