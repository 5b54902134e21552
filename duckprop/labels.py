"""Labels from any relation that DuckDB reads → the outcomes of given rows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from duckprop.dataset import Columns
from duckprop.errors import DataError
from duckprop.outcomes import Outcomes
from duckprop.relation import as_query, columns_of, first_line, identifier, literal, require
from duckprop.sparse import offsets_of


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


def count_labels(con: duckdb.DuckDBPyConnection, relation: str, columns: Columns, ids: pa.Table) -> tuple[int, int]:
    """Return how many labelled pairs a relation holds, and how many of them belong to none of the rows of ``ids``."""
    pairs = _label_query(con, relation, columns)
    using = ", ".join(map(identifier, columns.ids))
    with _registered(con, _duckprop_rows=ids):
        total, here = con.execute(
            f"WITH pairs AS MATERIALIZED (SELECT DISTINCT {using}, _category FROM ({pairs})) "
            f"SELECT count(*), (SELECT count(*) FROM pairs JOIN _duckprop_rows USING ({using})) FROM pairs"
        ).fetchall()[0]
    return total, total - here


@contextmanager
def _registered(con: duckdb.DuckDBPyConnection, **tables: pa.Table) -> Iterator[None]:
    """Make Arrow tables visible by name on this connection; a cursor would not see the caller's temporary tables."""
    for name, table in tables.items():
        con.register(name, table)
    try:
        yield
    except duckdb.ConversionException as error:
        fact = f"the ids of features and labels do not fit together: {first_line(error)}"
        raise DataError(fact, "give them the same type in both") from None
    finally:
        for name in tables:
            con.unregister(name)


def _label_query(con: duckdb.DuckDBPyConnection, relation: str, columns: Columns) -> str:
    """Return a query of (ids, _category VARCHAR, _class VARCHAR), lists unnested, NULL categories left out."""
    there = columns_of(con, relation, "the labels relation")
    require(there, [*columns.ids, columns.category], "the labels relation")
    category = identifier(columns.category)
    category = f"unnest({category})" if there[columns.category].endswith("]") else category
    # without a class column every pair is positive; in one, NULL is an error, not a purchase
    label = f"coalesce({identifier(columns.label_class)}::VARCHAR, '')" if columns.label_class in there else "NULL"
    ids = ", ".join(map(identifier, columns.ids))
    inner = f"SELECT {ids}, {category}::VARCHAR AS _category, {label} AS _class FROM ({as_query(relation)})"
    return f"SELECT * FROM ({inner}) WHERE _category IS NOT NULL"


def _class_numbers(column: pa.ChunkedArray, classes: Sequence[str]) -> NDArray[np.int8]:
    """Return class numbers; a pair without a class column is in the positive class, 0."""
    names = column.cast(pa.string()).fill_null(classes[0])
    numbers = pc.index_in(names, pa.array(classes, pa.string()))
    if numbers.null_count:
        wrong = names.filter(numbers.is_null())[0].as_py() or "NULL"
        raise DataError(
            f"class '{wrong}' is not one of {', '.join(classes)}", "name all classes, the last for 'nothing'"
        )
    return numbers.to_numpy().astype(np.int8)


def frequent_categories(
    con: duckdb.DuckDBPyConnection,
    labels: str,
    columns: Columns,
    ids: pa.Table,
    *,
    at_least: int,
    positive: str = "yes",
) -> list[str]:
    """Return the categories with at least so many rows of ``ids`` in the positive class, sorted. DataError for none."""
    pairs = _label_query(con, labels, columns)
    using = ", ".join(map(identifier, columns.ids))
    with _registered(con, _duckprop_rows=ids):
        rows = con.execute(
            f"SELECT _category FROM (SELECT DISTINCT {using}, _category FROM ({pairs}) "
            f"WHERE _class IS NULL OR _class = {literal(positive)}) AS pairs "
            f"JOIN _duckprop_rows USING ({using}) GROUP BY _category HAVING count(*) >= {at_least:d} ORDER BY _category"
        ).fetchall()
    if not rows:
        raise DataError(
            f"no category has {at_least} labelled training rows",
            "check that features and labels have the same ids, or lower min_positives (--min-positives)",
        )
    return [name for (name,) in rows]
