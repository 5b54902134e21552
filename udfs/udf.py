"""What a SQL function is, and what all of them share: model by row, features by row."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from duckprop.cores import Remembered
from duckprop.errors import DataError
from duckprop.features import read_features
from duckprop.layouts import is_column
from duckprop.model import Model
from duckprop.models import Models
from duckprop.sparse import SparseBatch, offsets_of, row_label


@dataclass(frozen=True)
class Udf:
    """A private, fixed-arity function: name, arguments, DuckDB result type, body(models, *columns) → Arrow array.

    example: a query with the public name, on a table customers(id, features) and a model of shop categories.
    """

    name: str
    arguments: tuple[str, ...]
    returns: str
    body: Callable[..., pa.Array]
    example: str

    @property
    def private_name(self) -> str:
        """The name under which it is registered; the public one is a macro."""
        return f"__duckprop_{self.name}"


def array_of(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return one contiguous array, dictionaries (ENUM) decoded."""
    array = one_chunk(column)
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def one_chunk(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return a column as one array, without a copy where it has one chunk, as DuckDB's have."""
    if isinstance(column, pa.ChunkedArray):
        return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return column


def texts(column: pa.Array, what: str) -> pa.Array:
    """Return a column as strings: names may come as ENUM, any type that reads as text, or an untyped NULL.

    Raises DataError, which calls the column ``what``, for a type that does not read as text.
    """
    array = array_of(column)
    if array.type == pa.string():
        return array
    try:
        return array.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise DataError(f"{what} cannot be of type {column.type}", "give a name as VARCHAR or ENUM") from None


def is_repeated(names: pa.Array, each: int = 1) -> bool:
    """Return whether strings (n · each,) are n times the same ``each`` ones, told by their bytes.

    A constant arrives once for every row of a batch: to compare bytes is cheaper than to encode strings.
    """
    if not len(names) or names.null_count or names.type != pa.string():
        return False
    _, starts, letters = names.buffers()
    offsets = np.frombuffer(starts, np.int32)[names.offset : names.offset + len(names) + 1]
    sizes = np.diff(offsets).reshape(-1, each)
    if (sizes != sizes[0]).any():
        return False
    text = np.frombuffer(letters or b"", np.uint8)[offsets[0] : offsets[-1]].reshape(len(sizes), -1)
    return bool((text == text[0]).all())


def distinct_of(names: pa.Array) -> tuple[list[str], NDArray[np.integer]]:
    """Return the distinct strings of an array (n,) and for each row which of them it is, −1 where it is NULL."""
    if is_repeated(names):
        return [names[0].as_py()], np.zeros(len(names), np.int64)
    encoded = names.dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)


def version_of(models: Models, references: pa.Array, moments: pa.Array) -> pa.Array:
    """Return for each reference (n,) the version that it means, strings (n,) such as 'name@3'; NULL is the default.

    moments (n,): when the transaction began, a timestamp in microseconds, the same in all rows. Raises ModelError.
    """
    if len(references) == 1:  # a constant, which is what nearly every query gives
        return pa.array([models.version_of(references[0].as_py(), moments[0].value)], pa.string())
    names, places = distinct_of(texts(references, "model"))
    asked = [*names, None] if not len(places) or (places < 0).any() else names
    moment = moments[0].value if len(moments) else 0
    versions = pa.array([models.version_of(name, moment) for name in asked], pa.string())
    return versions.take(pa.array(places % len(asked)))


def by_model(
    models: Models, references: pa.Array, score: Callable[[Model, NDArray[np.int64] | None], pa.Array]
) -> pa.Array:
    """Call ``score`` once for each model that a batch names, and put the results (n,) back into the rows' order.

    score(model, rows): rows is None where one model serves the whole batch, which is the usual case.
    """
    names, places = distinct_of(texts(references, "model"))
    groups = [rows for code in range(-1, len(names)) if len(rows := np.flatnonzero(places == code))]
    if len(groups) <= 1:
        return score(models.get(names[0] if names else None), None)
    parts = [score(models.get(None if places[rows[0]] < 0 else names[places[rows[0]]]), rows) for rows in groups]
    back = np.argsort(np.concatenate(groups))
    return pa.concat_arrays(parts).take(pa.array(back))


def rows_of(column: pa.Array | pa.ChunkedArray, rows: NDArray[np.int64] | None) -> pa.Array:
    """Return the listed rows of a column, or all of them for None."""
    array = one_chunk(column)
    return array if rows is None else array.take(pa.array(rows))


REMEMBERED = 2**21
"""Stored values of a batch that is kept, at most: 16 MiB."""
_recent: Remembered[tuple[tuple[Any, ...], pa.Array, SparseBatch]] = Remembered()


def features_of(model: Model, features: pa.Array, rows: NDArray[np.int64] | None) -> SparseBatch:
    """Read the listed rows of a features column for a model; the same column again gives the same batch."""
    column = rows_of(features, rows)
    vocabulary = model.vocabulary if _is_named(column.type) else None
    if rows is not None:
        return read_features(column, model.width, vocabulary, rows)
    key = model.width, vocabulary, column.type, len(column), column.offset, _beginnings(column)
    last = _recent.get()
    if last is not None and last[0] == key and last[1].equals(column):
        return last[2]
    batch = read_features(column, model.width, vocabulary, None)
    if batch.nnz <= REMEMBERED:
        _recent.put((key, column, batch))
    return batch


def _beginnings(column: pa.Array) -> tuple[bytes | None, ...]:
    """Return what tells most columns apart: ``equals`` lets another thread run, and waits until it may go on."""
    return tuple(None if part is None else part[:64].to_pybytes() for part in column.buffers())


def _is_named(kind: pa.DataType) -> bool:
    """The vocabulary is read from disk only when names come in."""
    return "string" in str(kind)


def counts_of(k: pa.Array, rows: NDArray[np.int64] | None) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return k as int64, 0 where NULL, and where it is NULL."""
    if not (is_column(k.type) or pa.types.is_null(k.type)):
        raise DataError(f"k is of type {k.type}", "give a whole number, such as 5")
    try:
        counts = k.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        raise DataError("a k does not fit into 64 bits", "give a whole number, such as 5") from None
    if (counts < 0).any():
        at = int(np.flatnonzero(counts < 0)[0])
        raise DataError(f"{row_label(at, rows)}: k is {counts[at]}", "give a whole number from 0")
    return counts, k.is_null().to_numpy(zero_copy_only=False)


def mask_nulls(values: NDArray[np.float32], is_null: NDArray[np.bool_]) -> pa.Array:
    """Return float32 values (n,) as Arrow, NULL where ``is_null``."""
    return pa.array(values, pa.float32(), mask=is_null if is_null.any() else None)


def vectors(values: NDArray[np.float32], is_null: NDArray[np.bool_]) -> pa.Array:
    """Return float32 values (n, m) as list<float32> (n,), NULL where ``is_null``, without a copy."""
    offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    return pa.ListArray.from_arrays(offsets, pa.array(values.ravel()), mask=pa.array(is_null))


def structs(lengths: NDArray[np.integer], is_null: NDArray[np.bool_], fields: dict[str, pa.Array]) -> pa.Array:
    """Return list<struct> (n,), the fields' first ``lengths[0]`` elements in the first row and so on."""
    offsets = pa.array(offsets_of(lengths).astype(np.int32))
    elements = pa.StructArray.from_arrays(list(fields.values()), names=list(fields))
    return pa.ListArray.from_arrays(offsets, elements, mask=pa.array(is_null))


def tables(names: list[str | None], known: dict[str | None, pa.StructArray], kind: pa.StructType) -> pa.Array:
    """Return list<struct> (n,): for each of n names the rows known of it. kind: of a row."""
    lengths = np.asarray([len(known[name]) for name in names], np.int64)
    rows = pa.concat_arrays([pa.array([], kind), *(known[name] for name in names)])
    return pa.ListArray.from_arrays(pa.array(offsets_of(lengths).astype(np.int32)), rows)


def maps(lengths: NDArray[np.integer], is_null: NDArray[np.bool_], keys: pa.Array, items: pa.Array) -> pa.Array:
    """Return map (n,), the first ``lengths[0]`` keys and items in the first row and so on."""
    offsets = pa.array(offsets_of(lengths).astype(np.int32))
    return pa.MapArray.from_arrays(offsets, keys, items, mask=pa.array(is_null))
