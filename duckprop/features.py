"""Arrow feature columns → SparseBatch: every column type that SQL may hand over, with one set of rules.

Accepted, decided by the Arrow type alone: struct(indices, values); struct(type, size, indices, values), Spark ML's
VectorUDT; map(column or name → number); list of struct(column or name, number), fields by position; list of columns or
names, each worth 1.0; list or fixed-size list of floats, a dense row; LibSVM text ``3:1.0 17:0.5``, zero-based.
"""

from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from duckprop.errors import DataError
from duckprop.layouts import is_column, is_dense, is_list, is_text, reader_of, refuse_nulls
from duckprop.sparse import SparseBatch, build, finite_float32, offsets_of
from duckprop.vocabulary import Vocabulary


def read_features(
    column: pa.Array | pa.ChunkedArray,
    width: int | None,
    vocabulary: Vocabulary | None = None,
    positions: NDArray[np.integer] | None = None,
) -> SparseBatch:
    """Return the SparseBatch of an Arrow column of n rows, sharing its memory where the layout allows.

    width: the model's number of columns; None (in training only) takes the largest column + 1.
    positions (n,): the rows' places in their batch, to name in errors, where not 0 … n − 1.
    NULL rows become empty rows marked in ``is_null``. Raises DataError for a type or value that no rule covers.
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    array = _blank_structs_to_null(_decoded(array))
    if array.null_count:
        valid = array.is_valid().to_numpy(zero_copy_only=False)
        rows = np.flatnonzero(valid)
        named = rows if positions is None else positions[rows]
        batch = _spread(_read_valid(array.filter(pa.array(valid)), width, vocabulary, named), rows, len(array))
    else:
        batch = _read_valid(array, width, vocabulary, positions)
    return batch if positions is None else replace(batch, positions=positions)


def feature_names(column: pa.Array | pa.ChunkedArray) -> pa.Array | None:
    """Return the distinct names in a column whose features are named, or None where they are column numbers."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    array = array.filter(array.is_valid())
    kind = array.type
    if pa.types.is_map(kind) or (is_list(kind) and not is_dense(kind)):
        names = _decoded(reader_of(kind)(array, None, None).keys)
        if isinstance(names, pa.Array) and is_text(names.type):
            return names.unique().drop_null()
    return None


def _read_valid(
    array: pa.Array, width: int | None, vocabulary: Vocabulary | None, rows: NDArray[np.integer] | None
) -> SparseBatch:
    raw = reader_of(array.type)(array, width, rows)
    indptr = offsets_of(raw.lengths)
    values = _numbers(raw.values, indptr, rows, len(raw.keys))
    keys = _decoded(raw.keys)
    if isinstance(keys, pa.Array) and is_text(keys.type):
        return _named(indptr, keys, values, width=width, vocabulary=vocabulary, rows=rows)
    return build(indptr, _columns(keys, indptr, rows), values, raw.width if width is None else width, rows=rows)


def _named(
    indptr: NDArray[np.integer],
    names: pa.Array,
    values: NDArray[np.floating],
    *,
    width: int | None,
    vocabulary: Vocabulary | None,
    rows: NDArray[np.integer] | None,
) -> SparseBatch:
    """Look names up; what the vocabulary does not hold is left out and counted."""
    if vocabulary is None:
        raise DataError(
            "the features are given by name, and this model has no feature names",
            f"give column numbers from 0 to {(width or 1) - 1}, or a model published with its vocabulary",
        )
    refuse_nulls(names, indptr, rows, "name")
    values = finite_float32(indptr, values, rows)
    columns = vocabulary.columns(names)
    known = columns >= 0
    count = len(indptr) - 1
    owner = np.repeat(np.arange(count), np.diff(indptr))
    batch = build(
        offsets_of(np.bincount(owner[known], minlength=count)), columns[known], values[known], width, rows=rows
    )
    batch.unknown[:] = _distinct(owner[~known], names.filter(pa.array(~known)), count)
    return batch


def _distinct(owner: NDArray[np.integer], names: pa.Array, count: int) -> NDArray[np.int64]:
    """Return how many different names each of ``count`` rows owns: a feature given twice is one feature."""
    encoded = names.dictionary_encode()
    each = max(len(encoded.dictionary), 1)
    pairs = np.unique(owner * each + encoded.indices.to_numpy(zero_copy_only=False))
    return np.bincount(pairs // each, minlength=count)


def _spread(batch: SparseBatch, rows: NDArray[np.integer], count: int) -> SparseBatch:
    """Put the non-NULL rows back to their positions among ``count`` rows."""
    lengths = np.zeros(count, np.int64)
    lengths[rows] = np.diff(batch.indptr)
    is_null = np.ones(count, bool)
    is_null[rows] = False
    unknown = np.zeros(count, np.int64)
    unknown[rows] = batch.unknown
    return SparseBatch(offsets_of(lengths), batch.indices, batch.values, batch.width, is_null, unknown)


def _blank_structs_to_null(array: pa.Array) -> pa.Array:
    """Treat a struct whose fields are all NULL as NULL, as joins and Parquet readers produce it."""
    if not (pa.types.is_struct(array.type) and array.type.num_fields and len(array)):
        return array
    fields = array.flatten()
    if not all(field.null_count for field in fields):
        return array
    blank = reduce(pc.and_, (field.is_null() for field in fields))
    return pc.if_else(blank, pa.scalar(None, array.type), array)


def _decoded(keys: Any) -> Any:
    """Return dictionaries (ENUM) and string views, which Arrow can hardly compute with, as what they stand for."""
    if not isinstance(keys, pa.Array):
        return keys
    if pa.types.is_dictionary(keys.type):
        return _decoded(keys.dictionary_decode())
    return keys.cast(pa.string()) if pa.types.is_string_view(keys.type) else keys


def _columns(keys: Any, indptr: NDArray[np.integer], rows: Any) -> NDArray[np.integer]:
    if isinstance(keys, np.ndarray):
        return keys
    if pa.types.is_null(keys.type) and not len(keys):
        return np.zeros(0, np.int64)
    if not is_column(keys.type) and not pa.types.is_null(keys.type):
        raise DataError(f"feature columns cannot be of type {keys.type}", "give integers, or names as VARCHAR")
    refuse_nulls(keys, indptr, rows, "column")
    if pa.types.is_decimal(keys.type):  # HUGEINT arrives so
        try:
            keys = keys.cast(pa.int64())
        except pa.ArrowInvalid:
            raise DataError("a feature column does not fit into 64 bits", "number the features from 0") from None
    return keys.to_numpy(zero_copy_only=False)


def _numbers(values: Any, indptr: NDArray[np.integer], rows: Any, count: int) -> NDArray[np.floating]:
    if values is None:
        return np.ones(count, np.float32)
    if isinstance(values, np.ndarray):
        return values
    if pa.types.is_null(values.type) and not len(values):
        return np.zeros(0, np.float32)
    refuse_nulls(values, indptr, rows, "value")
    if pa.types.is_decimal(values.type) or pa.types.is_boolean(values.type):
        values = values.cast(pa.float64())
    if not (pa.types.is_floating(values.type) or pa.types.is_integer(values.type)):
        raise DataError(f"feature values cannot be of type {values.type}", "give FLOAT, DOUBLE, DECIMAL or an integer")
    return values.to_numpy(zero_copy_only=False)
