"""Features and labels from any relation that DuckDB reads → rows and outcomes in memory, in an order of their own.

The rows are kept sparse: 8 bytes a stored value. Their order is that of their ids, whatever order the relation has.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

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
from duckprop.sparse import SparseBatch, concatenate, offsets_of
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
    extra = [columns.split] if columns.split in there else []
    picked = ", ".join(map(identifier, [*columns.ids, *extra, columns.features]))
    parts: list[SparseBatch] = []
    keys: list[pa.Table] = []
    for chunk in con.sql(f"SELECT {picked} FROM ({as_query(relation)})").to_arrow_reader(_ROWS_PER_BATCH):
        table = pa.Table.from_batches([chunk])
        parts.append(read_features(table[columns.features], width, vocabulary))
        width = parts[-1].width if is_dense(table[columns.features].type) else width
        keys.append(table.drop_columns([columns.features]))
    if not parts or not sum(map(len, parts)):
        raise DataError("the features relation has no rows", "give one row a customer")
    return _in_id_order(pa.concat_tables(keys), concatenate(parts), columns, bool(extra))


def _in_id_order(keys: pa.Table, batch: SparseBatch, columns: Columns, has_split: bool) -> Rows:
    for name in columns.ids:
        if keys[name].null_count:
            raise DataError(f"id column '{name}' holds {keys[name].null_count} NULLs", "give every customer an id")
    order = pc.sort_indices(keys, [(name, "ascending") for name in columns.ids]).to_numpy()
    order = order[~batch.is_null[order]]
    ids = keys.select(columns.ids).take(order)
    _refuse_repeats(ids)
    split = np.asarray(keys[columns.split].take(order).to_pylist(), object) if has_split else None
    if split is not None and set(split) - set(SPLITS):
        wrong = next(iter(set(split) - set(SPLITS)))
        raise DataError(f"column '{columns.split}' holds {wrong!r}", f"it may hold {', '.join(SPLITS)}")
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


def names_in(con: duckdb.DuckDBPyConnection, relation: str, columns: Columns) -> Vocabulary | None:
    """Return the sorted distinct feature names of a relation's training rows, or None where columns are numbered."""
    there = columns_of(con, relation, "the features relation")
    require(there, [columns.features], "the features relation")
    only = f"WHERE {identifier(columns.split)} = 'train'" if columns.split in there else ""
    query = f"SELECT {identifier(columns.features)} FROM ({as_query(relation)}) {only}"
    seen: pa.Array | None = None
    for chunk in con.sql(query).to_arrow_reader(_ROWS_PER_BATCH):
        names = feature_names(chunk.column(0))
        if names is None:
            return None
        names = names.cast(pa.string())
        seen = names if seen is None else pa.concat_arrays([seen, names]).unique()
    return Vocabulary(sorted(seen.to_pylist())) if seen is not None and len(seen) else None


def read_outcomes(
    con: duckdb.DuckDBPyConnection,
    relation: str,
    columns: Columns,
    ids: pa.Table,
    *,
    categories: Sequence[str],
    classes: Sequence[str] = ("yes", "no"),
) -> tuple[Outcomes, int]:
    """Read labels for the rows of ``ids``: (ids, category) rows, or (ids, list of categories); with K > 2, a class too.

    Returns the outcomes, in the rows' order, and how many labels of these rows are in other categories.
    Raises DataError for a missing column, an unknown class, or a pair with two classes.
    """
    pairs = _label_query(con, relation, columns)
    rows = ids.append_column("_row", pa.array(np.arange(len(ids)), pa.int64()))
    heads = pa.table({"_name": list(categories), "_head": np.arange(len(categories), dtype=np.int32)})
    using = ", ".join(map(identifier, columns.ids))
    with _registered(con, _duckprop_rows=rows, _duckprop_heads=heads):
        table = con.sql(
            f"SELECT DISTINCT _row, _head, _class FROM ({pairs}) AS pairs JOIN _duckprop_rows USING ({using}) "
            "JOIN _duckprop_heads ON _name = _category ORDER BY _row, _head, _class"
        ).to_arrow_table()
        here = f"SELECT DISTINCT _row, _category FROM ({pairs}) AS pairs JOIN _duckprop_rows USING ({using})"
        total = con.execute(f"SELECT count(*) FROM ({here})").fetchall()[0][0]
    row, head = table["_row"].to_numpy(), table["_head"].to_numpy()
    label = _class_numbers(table["_class"], classes)
    repeated = np.flatnonzero((np.diff(row) == 0) & (np.diff(head) == 0))
    if len(repeated):
        raise DataError(
            f"category '{categories[head[repeated[0]]]}' has two classes for one id", "give one class a pair"
        )
    indptr = offsets_of(np.bincount(row, minlength=len(ids)))
    return Outcomes(indptr, head, label, tuple(categories), tuple(classes)), total - len(row)


@contextmanager
def _registered(con: duckdb.DuckDBPyConnection, **tables: pa.Table) -> Iterator[None]:
    """Make Arrow tables visible by name on this connection; a cursor would not see the caller's temporary tables."""
    for name, table in tables.items():
        con.register(name, table)
    try:
        yield
    finally:
        for name in tables:
            con.unregister(name)


def _label_query(con: duckdb.DuckDBPyConnection, relation: str, columns: Columns) -> str:
    """Return a query of (ids, _category VARCHAR, _class VARCHAR), lists unnested, NULL categories left out."""
    there = columns_of(con, relation, "the labels relation")
    require(there, [*columns.ids, columns.category], "the labels relation")
    category = identifier(columns.category)
    category = f"unnest({category})" if there[columns.category].endswith("]") else category
    label = f"{identifier(columns.label_class)}::VARCHAR" if columns.label_class in there else "NULL"
    ids = ", ".join(map(identifier, columns.ids))
    inner = f"SELECT {ids}, {category}::VARCHAR AS _category, {label} AS _class FROM ({as_query(relation)})"
    return f"SELECT * FROM ({inner}) WHERE _category IS NOT NULL"


def _class_numbers(column: pa.ChunkedArray, classes: Sequence[str]) -> NDArray[np.int8]:
    """Return class numbers; a pair without a class is in the positive class, 0."""
    names = column.cast(pa.string()).fill_null(classes[0])
    numbers = pc.index_in(names, pa.array(classes, pa.string()))
    if numbers.null_count:
        wrong = names.filter(numbers.is_null())[0].as_py()
        raise DataError(
            f"class '{wrong}' is not one of {', '.join(classes)}", "name all classes, the last for 'nothing'"
        )
    return numbers.to_numpy().astype(np.int8)


def frequent_categories(
    con: duckdb.DuckDBPyConnection, labels: str, columns: Columns, ids: pa.Table, *, at_least: int
) -> list[str]:
    """Return the categories with at least so many labelled rows among ``ids``, sorted. Raises DataError for none."""
    pairs = _label_query(con, labels, columns)
    using = ", ".join(map(identifier, columns.ids))
    with _registered(con, _duckprop_rows=ids):
        rows = con.execute(
            f"SELECT _category FROM (SELECT DISTINCT {using}, _category FROM ({pairs})) AS pairs "
            f"JOIN _duckprop_rows USING ({using}) GROUP BY _category HAVING count(*) >= {at_least:d} ORDER BY _category"
        ).fetchall()
    if not rows:
        raise DataError(
            f"no category has {at_least} labelled training rows",
            "check that features and labels have the same ids, or lower min_positives",
        )
    return [name for (name,) in rows]


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
