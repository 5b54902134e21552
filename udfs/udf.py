"""What a SQL function is, and what all of them share: model by row, features by row."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from duckprop.errors import DataError
from duckprop.features import read_features
from duckprop.model import Model
from duckprop.models import Models
from duckprop.sparse import SparseBatch


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
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def texts(column: pa.Array, what: str) -> pa.Array:
    """Return a column as strings: names may come as ENUM, any type that reads as text, or an untyped NULL.

    Raises DataError, which calls the column ``what``, for a type that does not read as text.
    """
    try:
        return array_of(column).cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise DataError(f"{what} cannot be of type {column.type}", "give a name as VARCHAR or ENUM") from None


def by_model(
    models: Models, references: pa.Array, score: Callable[[Model, NDArray[np.int64] | None], pa.Array]
) -> pa.Array:
    """Call ``score`` once for each model that a batch names, and put the results (n,) back into the rows' order.

    score(model, rows): rows is None where one model serves the whole batch, which is the usual case.
    """
    names = texts(references, "model")
    distinct = names.unique()
    if len(distinct) <= 1:
        return score(models.get(distinct[0].as_py() if len(distinct) else None), None)
    encoded = np.asarray(names.dictionary_encode(null_encoding="encode").indices)
    groups = [np.flatnonzero(encoded == code) for code in range(len(distinct))]
    parts = [score(models.get(names[int(rows[0])].as_py()), rows) for rows in groups]
    back = np.argsort(np.concatenate(groups))
    return pa.concat_arrays(parts).take(pa.array(back))


def rows_of(column: pa.Array | pa.ChunkedArray, rows: NDArray[np.int64] | None) -> pa.Array:
    """Return the listed rows of a column, or all of them for None."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return array if rows is None else array.take(pa.array(rows))


def features_of(model: Model, features: pa.Array, rows: NDArray[np.int64] | None) -> SparseBatch:
    """Read the listed rows of a features column for a model."""
    column = rows_of(features, rows)
    return read_features(column, model.width, model.vocabulary if _is_named(column.type) else None, rows)


def _is_named(kind: pa.DataType) -> bool:
    """The vocabulary is read from disk only when names come in."""
    return "string" in str(kind)


def mask_nulls(values: NDArray[np.float32], is_null: NDArray[np.bool_]) -> pa.Array:
    """Return float32 values (n,) as Arrow, NULL where ``is_null``."""
    return pa.array(values, pa.float32(), mask=is_null)
