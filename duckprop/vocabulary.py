"""Feature name ↔ column number."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from duckprop.errors import DataError, ModelError
from duckprop.parquet import read_table
from duckprop.relation import first_line


class Vocabulary:
    """The names of a model's columns, in column order; frozen once made."""

    def __init__(self, names: Iterable[str | None]) -> None:
        """Take the name of column 0, 1, 2 … Raises DataError when a name is empty, missing or given twice."""
        self.names: tuple[str, ...] = tuple(names)  # type: ignore[arg-type]  # a None is refused below
        self._array: pa.Array | None = None
        self._column = {name: column for column, name in enumerate(self.names)}
        if len(self._column) != len(self.names):
            seen: set[str] = set()
            twice = next(name for name in self.names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
            raise DataError(f"feature name '{twice}' is given to two columns", "give every column its own name")
        if None in self._column or "" in self._column:
            raise DataError("a feature column has no name", "name every column from 0 to the last")

    def __len__(self) -> int:
        return len(self.names)

    def columns(self, names: pa.Array) -> NDArray[np.int64]:
        """Return the column int64 (n,) of each name in a string array (n,) without NULLs; -1 where it is unknown."""
        encoded = names.dictionary_encode()
        lookup = [self._column.get(name, -1) for name in encoded.dictionary.to_pylist()]
        return np.asarray(lookup, dtype=np.int64)[encoded.indices.to_numpy(zero_copy_only=False)]

    def names_of(self, columns: pa.Array) -> pa.Array:
        """Return the name of each column number (n,), as strings (n,)."""
        if self._array is None:
            self._array = pa.array(self.names, pa.string())
        return self._array.take(columns)

    def write(self, path: Path) -> None:
        """Write a Parquet file with one row a column: column INTEGER, feature VARCHAR."""
        numbers = pa.array(np.arange(len(self), dtype=np.int32))
        pq.write_table(pa.table({"column": numbers, "feature": pa.array(self.names, pa.string())}), path)

    @classmethod
    def read(cls, path: Path, data: bytes | None = None) -> "Vocabulary":
        """Read what ``write`` wrote; ``data``: the file's bytes, where they have been read and checked already.

        Raises ModelError where the columns are not exactly 0, 1, 2 … or the names are not distinct texts.
        """
        table = read_table(path, data, "vocabulary", texts=("feature",))
        if table.column_names != ["column", "feature"] or table["feature"].type != _NAMES:
            kinds = ", ".join(f"{field.name} {field.type}" for field in table.schema)
            raise ModelError(f"{path} is not a readable vocabulary: its columns are {kinds[:200]}", _AGAIN)
        if not np.array_equal(table["column"].to_numpy(), np.arange(len(table))):
            raise ModelError(f"{path}: its columns are not 0 to {len(table) - 1}", _AGAIN)
        try:
            return cls(_distinct(table["feature"]))
        except (DataError, ValueError) as error:
            raise ModelError(f"{path} is not a readable vocabulary: {first_line(error)}", _AGAIN) from None


def _distinct(names: pa.ChunkedArray) -> Iterator[str | None]:
    """Yield names that are kept as places in a dictionary. One long name at many places would fill the memory."""
    for chunk in names.chunks:
        places = chunk.indices.to_numpy(zero_copy_only=False)
        if len(np.unique(places)) != len(places):
            raise ValueError("a feature name is given to two columns")
        yield from chunk.dictionary_decode().to_pylist()  # ten times as fast as from the dictionary


_NAMES = pa.dictionary(pa.int32(), pa.string())
_AGAIN = "copy or train the model again"
