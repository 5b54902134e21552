"""How each Arrow type lays sparse rows out: one reader a type, from an array without NULLs to lengths, keys, values."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from duckprop.errors import DataError
from duckprop.libsvm import parse
from duckprop.sparse import offsets_of, row_label, row_name

ACCEPTED = (
    "STRUCT(indices INT[], values FLOAT[]), MAP(INTEGER or VARCHAR, number), STRUCT(feature, value)[], INTEGER[], "
    "VARCHAR[], FLOAT[], DOUBLE[], FLOAT[n], Spark's vector struct, or LibSVM text"
)


@dataclass(frozen=True)
class RawRows:
    """Non-NULL rows on the way in: lengths (n,), keys (names or columns) and values (nnz,); None is 1.0 each.

    width: the number of columns that the rows themselves declare, where they do.
    """

    lengths: NDArray[np.integer]
    keys: Any
    values: Any
    width: int | None = None


_Reader = Callable[[pa.Array, int | None, Any], RawRows]


def reader_of(kind: pa.DataType) -> _Reader:
    """Return the reader of a feature column's type. Raises DataError that lists what is accepted."""
    if pa.types.is_struct(kind):
        return _struct_reader(kind)
    if pa.types.is_map(kind):
        return _read_map
    if is_list(kind):
        item = kind.value_type
        if pa.types.is_struct(item) and item.num_fields == 2:
            return _read_pairs
        if is_dense(kind):
            return _read_dense
        if is_column(item) or is_text(item) or pa.types.is_null(item):
            return _read_present
    if is_text(kind):
        return lambda array, _, rows: RawRows(*parse(array, rows))
    if pa.types.is_null(kind):
        return lambda array, _width, _rows: RawRows(np.zeros(0, np.int64), np.zeros(0, np.int64), None)
    raise DataError(f"features cannot be of type {kind}", f"give {ACCEPTED}")


def _struct_reader(kind: pa.StructType) -> _Reader:
    fields = [kind.field(at).name.lower() for at in range(kind.num_fields)]
    if sorted(fields) == ["indices", "values"]:
        return _read_struct
    if sorted(fields) == ["indices", "size", "type", "values"]:
        return _read_vector_udt
    raise DataError(f"features cannot be a struct of the fields {', '.join(fields)}", f"give {ACCEPTED}")


def _read_struct(array: pa.StructArray, _width: int | None, rows: Any) -> RawRows:
    columns, values = _list_field(array, "indices"), _list_field(array, "values")
    return RawRows(_equal_lengths(columns, values, rows), _items(columns), _items(values))


def _read_vector_udt(array: pa.StructArray, width: int | None, rows: Any) -> RawRows:
    """Spark ML's vector: type 0 is sparse, type 1 a dense row whose size and indices are NULL."""
    kinds, sizes = _whole_field(array, "type"), _whole_field(array, "size")
    columns, values = _list_field(array, "indices"), _list_field(array, "values")
    _refuse_kinds(kinds, rows)
    dense, lengths = kinds == 1, _lengths(values)
    sizes = np.where(dense, lengths, sizes)
    width = int(sizes[0]) if width is None and len(sizes) else width
    _refuse_sizes(sizes, width, rows)
    sparse_rows, named = pa.array(~dense), _named_rows(rows, len(dense))[~dense]
    columns = columns.filter(sparse_rows)
    counts = _equal_lengths(columns, values.filter(sparse_rows), named)
    in_dense = np.repeat(dense, lengths)
    keys = np.empty(len(in_dense), np.int64)
    keys[in_dense] = np.tile(np.arange(width or 0), int(dense.sum()))
    keys[~in_dense] = _whole_items(columns, counts, named)
    return RawRows(lengths, keys, _items(values), width)


def _read_map(array: pa.MapArray, _width: int | None, _rows: Any) -> RawRows:
    first, last = array.offsets[0].as_py(), array.offsets[len(array)].as_py()
    return RawRows(np.diff(array.offsets.to_numpy()), array.keys[first:last], array.items[first:last])


def _read_pairs(array: pa.Array, _width: int | None, rows: Any) -> RawRows:
    pairs = array.flatten()
    refuse_nulls(pairs, offsets_of(_lengths(array)), rows, "pair")
    return RawRows(_lengths(array), *pairs.flatten())


def _read_present(array: pa.Array, _width: int | None, _rows: Any) -> RawRows:
    return RawRows(_lengths(array), array.flatten(), None)


def _read_dense(array: pa.Array, width: int | None, rows: Any) -> RawRows:
    lengths = np.full(len(array), array.type.list_size) if pa.types.is_fixed_size_list(array.type) else _lengths(array)
    width = int(lengths[0]) if width is None and len(lengths) else width
    _refuse_sizes(lengths, width, rows)
    return RawRows(lengths, np.tile(np.arange(width or 0, dtype=np.int32), len(array)), array.flatten(), width)


def is_list(kind: pa.DataType) -> bool:
    """Whether the type is any of Arrow's lists, maps excluded."""
    names = ("list", "large_list", "fixed_size_list", "list_view", "large_list_view")
    return any(getattr(pa.types, f"is_{name}")(kind) for name in names)


def is_text(kind: pa.DataType) -> bool:
    """Whether the type holds strings, dictionary-encoded ones (ENUM) included."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def is_column(kind: pa.DataType) -> bool:
    """Whether the type can hold column numbers: integers, and HUGEINT, which arrives as a decimal of scale 0."""
    return pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0)


def is_number(kind: pa.DataType) -> bool:
    """Whether the type holds numbers of any kind."""
    return is_column(kind) or _is_real(kind)


def _is_real(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or (pa.types.is_decimal(kind) and kind.scale > 0)


def _field(array: pa.StructArray, name: str) -> pa.Array:
    at = next(at for at in range(array.type.num_fields) if array.type.field(at).name.lower() == name)
    return array.flatten()[at]


def _list_field(array: pa.StructArray, name: str) -> pa.Array:
    field = _field(array, name)
    if not (is_list(field.type) or pa.types.is_null(field.type)):
        raise DataError(f"the struct's {name} cannot be of type {field.type}", f"give {ACCEPTED}")
    return field


def _whole_field(array: pa.StructArray, name: str) -> NDArray[np.int64]:
    """Return a struct's whole-number field, int64 (n,), -1 where it is NULL."""
    field = _field(array, name)
    if not (pa.types.is_integer(field.type) or pa.types.is_null(field.type)):
        raise DataError(f"the vector's {name} cannot be of type {field.type}", f"give {ACCEPTED}")
    return field.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)


def _whole_items(lists: pa.Array, counts: NDArray[np.int64], rows: Any) -> NDArray[np.integer]:
    items = _items(lists)
    if not (pa.types.is_integer(items.type) or pa.types.is_null(items.type)):
        raise DataError(f"the vector's indices cannot be of type {lists.type}", f"give {ACCEPTED}")
    refuse_nulls(items, offsets_of(counts), rows, "column")
    return items.to_numpy(zero_copy_only=False)


def _items(lists: pa.Array) -> pa.Array:
    return lists[:0] if pa.types.is_null(lists.type) else lists.flatten()


def _lengths(lists: pa.Array) -> NDArray[np.int64]:
    if pa.types.is_null(lists.type):  # an untyped NULL in every row
        return np.zeros(len(lists), np.int64)
    return pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)


def refuse_nulls(array: pa.Array, indptr: NDArray[np.integer], rows: Any, what: str) -> None:
    """Raise DataError that names the row and the position of the first NULL among a batch's elements (nnz,)."""
    if not array.null_count:
        return
    at = int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0])
    position = at - int(indptr[np.searchsorted(indptr, at, "right") - 1])
    raise DataError(
        f"{row_name(indptr, at, rows)}: feature {what} number {position} (the first is 0) is NULL",
        "leave the feature out, or give it a value; a customer without any features is an empty list",
    )


def _named_rows(rows: Any, count: int) -> NDArray[np.integer]:
    return np.arange(count) if rows is None else rows


def _equal_lengths(columns: pa.Array, values: pa.Array, rows: Any) -> NDArray[np.int64]:
    lengths, others = _lengths(columns), _lengths(values)
    if not np.array_equal(lengths, others):
        at = int(np.flatnonzero(lengths != others)[0])
        raise DataError(
            f"{row_label(at, rows)}: {lengths[at]} indices but {others[at]} values",
            "give two lists of the same length",
        )
    return lengths


def _refuse_kinds(kinds: NDArray[np.int64], rows: Any) -> None:
    wrong = np.flatnonzero((kinds != 0) & (kinds != 1))
    if len(wrong):
        at = int(wrong[0])
        raise DataError(
            f"{row_label(at, rows)}: a vector of type {_or_null(kinds[at])}",
            "type 0 is a sparse vector, type 1 a dense one",
        )


def _or_null(number: int) -> str:
    return "NULL" if number == -1 else str(number)


def _refuse_sizes(sizes: NDArray[np.integer], width: int | None, rows: Any) -> None:
    wrong = np.flatnonzero(sizes != width)
    if len(wrong):
        at = int(wrong[0])
        raise DataError(
            f"{row_label(at, rows)}: a vector of length {_or_null(sizes[at])}, and the model has {width} columns",
            "give dense rows of exactly the model's width, or a sparse type",
        )


def is_dense(column_type: pa.DataType) -> bool:
    """Whether the type is a dense row: its length is the width, and cannot be learnt from one row's columns."""
    return is_list(column_type) and _is_real(column_type.value_type)
