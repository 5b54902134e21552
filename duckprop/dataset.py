"""Features and labels from any relation that DuckDB reads → rows and outcomes in memory, in an order of their own.

The rows are kept sparse: 8 bytes a stored value. Their order is that of their ids, whatever order the relation has.
"""

import hashlib
from dataclasses import dataclass, replace

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from duckprop.errors import DataError
from duckprop.features import feature_names, read_features
from duckprop.layouts import is_dense
from duckprop.outcomes import Outcomes
from duckprop.relation import as_query, columns_of, identifier, require
from duckprop.sparse import SparseBatch, concatenate
from duckprop.vocabulary import Vocabulary

_ROWS_PER_BATCH = 4096
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Columns:
    """Names of the columns: ids (one or several make a row's key), features, category, and optionally split, class."""

    ids: tuple[str, ...] = ("id",)
    features: str = "features"
    category: str = "category"
    split: str = "split"
    label_class: str = "class"


@dataclass(frozen=True)
class Rows:
    """Feature rows in id order. ids: table of n rows. split: object array (n,) of texts, or None without a column."""

    ids: pa.Table
    batch: SparseBatch
    split: NDArray[np.object_] | None
    without_features: int

    def where(self, split: str) -> NDArray[np.int64]:
        """Return the positions of the rows of one split; none without a split column."""
        return np.flatnonzero(self.split == split) if self.split is not None else np.zeros(0, np.int64)

    def unknown_share(self, index: NDArray[np.integer]) -> float:
        """Return the share of the features of some rows that the vocabulary lacks, in [0, 1]; 0 without features."""
        unknown, known = int(self.batch.unknown[index].sum()), int(np.diff(self.batch.indptr)[index].sum())
        return unknown / max(unknown + known, 1)


def read_rows(
    con: duckdb.DuckDBPyConnection,
    relation: str,
    columns: Columns,
    *,
    width: int | None = None,
    vocabulary: Vocabulary | None = None,
) -> Rows:
    """Read a features relation: id columns, features of any accepted type, optionally a split.

    Rows whose features are NULL are left out and counted. width None takes the largest column + 1.
    Raises DataError for a missing column, a NULL or repeated id, no rows, and for what ``read_features`` refuses.
    """
    there = columns_of(con, relation, "the features relation")
    require(there, [*columns.ids, columns.features], "the features relation")
    has_split = _has_split(con, relation, columns, there)
    extra = [f"{identifier(columns.split)}::VARCHAR AS {identifier(columns.split)}"] if has_split else []
    picked = ", ".join([*map(identifier, columns.ids), *extra, identifier(columns.features)])
    parts: list[SparseBatch] = []
    keys: list[pa.Table] = []
    for chunk in con.sql(f"SELECT {picked} FROM ({as_query(relation)})").to_arrow_reader(_ROWS_PER_BATCH):
        table = pa.Table.from_batches([chunk])
        parts.append(read_features(table[columns.features], width, vocabulary))
        width = parts[-1].width if is_dense(table[columns.features].type) else width
        keys.append(_decoded(table.drop_columns([columns.features])))
    if not parts or not sum(map(len, parts)):
        raise DataError("the features relation has no rows", "give one row a customer")
    return _in_id_order(pa.concat_tables(keys), concatenate(parts), columns, has_split)


def _decoded(keys: pa.Table) -> pa.Table:
    """Return keys that can be sorted: ENUM as text. Raises DataError for a type that is no key."""
    for at, field in enumerate(keys.schema):
        if pa.types.is_dictionary(field.type):
            keys = keys.set_column(at, field.name, keys[field.name].cast(pa.string()))
        elif pa.types.is_nested(field.type) or pa.types.is_floating(field.type):
            raise DataError(f"id column '{field.name}' is of type {field.type}", "give an integer, a text or a date")
    return keys


def _in_id_order(keys: pa.Table, batch: SparseBatch, columns: Columns, has_split: bool) -> Rows:
    for name in columns.ids:
        if keys[name].null_count:
            raise DataError(f"id column '{name}' holds {keys[name].null_count} NULLs", "give every customer an id")
    order = pc.sort_indices(keys, [(name, "ascending") for name in columns.ids]).to_numpy()
    order = order[~batch.is_null[order]]
    ids = keys.select(columns.ids).take(order)
    _refuse_repeats(ids)
    split = np.asarray(keys[columns.split].take(order).to_pylist(), object) if has_split else None
    return Rows(ids, batch.take(order), split, int(batch.is_null.sum()))


def _refuse_repeats(ids: pa.Table) -> None:
    """Neighbours in order are compared column by column."""
    same = np.ones(max(len(ids) - 1, 0), bool)
    for column in ids.combine_chunks().columns:
        same &= pc.equal(column[1:], column[:-1]).to_numpy().astype(bool)
    if same.any():
        row = ids.slice(int(np.flatnonzero(same)[0]), 1).to_pylist()[0]
        text = ", ".join(f"{name} = {value}" for name, value in row.items())
        raise DataError(
            f"two feature rows have the id {text}",
            "give one row an id, or name all columns that make it one: --id customer,as_of",
        )


def _has_split(con: duckdb.DuckDBPyConnection, relation: str, columns: Columns, there: dict[str, str]) -> bool:
    """Return whether there is a split column. Raises DataError for a value of it that is no split, or no 'train'."""
    if columns.split not in there:
        return False
    name = identifier(columns.split)
    found = con.execute(
        f"SELECT DISTINCT {name}::VARCHAR FROM ({as_query(relation)}) ORDER BY 1 NULLS FIRST"
    ).fetchall()
    wrong = [value for (value,) in found if value not in SPLITS]
    if wrong:
        raise DataError(f"column '{columns.split}' holds {wrong[0]!r}", f"it may hold {', '.join(SPLITS)}")
    return True


def names_in(con: duckdb.DuckDBPyConnection, relation: str, columns: Columns) -> Vocabulary | None:
    """Return the sorted distinct feature names of a relation's training rows, or None where columns are numbered."""
    there = columns_of(con, relation, "the features relation")
    require(there, [columns.features], "the features relation")
    only = f"WHERE {identifier(columns.split)} = 'train'" if _has_split(con, relation, columns, there) else ""
    query = f"SELECT {identifier(columns.features)} FROM ({as_query(relation)}) {only}"
    seen: pa.Array | None = None
    for chunk in con.sql(query).to_arrow_reader(_ROWS_PER_BATCH):
        names = feature_names(chunk.column(0))
        if names is None:
            return None
        names = names.cast(pa.string())
        seen = names if seen is None else pa.concat_arrays([seen, names]).unique()
    return Vocabulary(sorted(seen.to_pylist())) if seen is not None and len(seen) else None


def learnable(rows: Rows, names: Vocabulary, training: NDArray[np.integer]) -> tuple[Rows, Vocabulary]:
    """Leave out the columns that no training row has: only rows held out for validation brought their names in."""
    columns = np.unique(rows.batch.take(training).indices)
    if len(columns) in (0, len(names)):
        return rows, names
    return replace(rows, batch=rows.batch.only(columns)), Vocabulary(names.names[column] for column in columns)


def fingerprint_of(rows: Rows, outcomes: Outcomes) -> str:
    """Return a SHA-256 over ids, features, width, splits and labels, the same in any order of the rows."""
    digest = hashlib.sha256(str(rows.batch.width).encode())
    for column in rows.ids.columns:
        digest.update("\n".join(map(str, column.to_pylist())).encode())
    digest.update("\n".join(map(str, [] if rows.split is None else rows.split)).encode())
    for array in (rows.batch.indptr, rows.batch.indices, rows.batch.values, outcomes.indptr, outcomes.category):
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update(outcomes.label.tobytes())
    digest.update("\n".join([*outcomes.categories, *outcomes.classes]).encode())
    return digest.hexdigest()
