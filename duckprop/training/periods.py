"""When the rows of each window are from, as far as the features relation says: for the card."""

from collections.abc import Mapping
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from duckprop.dataset import Columns, Rows
from duckprop.relation import as_query, columns_of, identifier


def windows(
    con: duckdb.DuckDBPyConnection,
    relation: str,
    columns: Columns,
    rows: Rows,
    *,
    parts: Mapping[str, NDArray[np.integer]],
) -> dict[str, dict[str, Any]]:
    """Return for each window, given as positions of rows, their number and customers, and their first and last date.

    The dates are those of the first id column that holds dates, else of the relation's only date column beside ids and
    features, whose dates of the whole relation then stand for windows that the seed draws. first, last: text as DuckDB
    writes it; without such a column they and date_column are not there.
    """
    about = {name: _counts(rows, index) for name, index in parts.items() if len(index)}
    for name in rows.ids.column_names:
        if pa.types.is_temporal(rows.ids[name].type):
            for window, index in parts.items():
                if window in about:
                    about[window] |= _between(name, *_extremes(rows.ids[name].take(pa.array(index))))
            return about
    for split, found in _beside(con, relation, columns).items():
        for window in about if split is None else [split]:
            if window in about:
                about[window] |= found
    return about


def _counts(rows: Rows, index: NDArray[np.integer]) -> dict[str, Any]:
    customers = rows.ids.column(0).take(pa.array(index))
    return {"rows": len(index), "customers": pc.count_distinct(customers).as_py()}


def _extremes(column: pa.ChunkedArray) -> tuple[Any, Any]:
    found = pc.min_max(column).as_py()
    return found["min"], found["max"]


def _between(name: str, first: Any, last: Any) -> dict[str, Any]:
    return {} if first is None else {"date_column": name, "first": str(first), "last": str(last)}


def _beside(con: duckdb.DuckDBPyConnection, relation: str, columns: Columns) -> dict[str | None, dict[str, Any]]:
    """Return first and last date by split, under None without a split, of the only date column that is no id."""
    there = columns_of(con, relation, "the features relation")
    is_date = {name: kind.startswith(("DATE", "TIMESTAMP")) and not kind.endswith("]") for name, kind in there.items()}
    dates = [name for name in there if is_date[name]]
    if len(dates) != 1:
        return {}
    split = f"{identifier(columns.split)}::VARCHAR" if columns.split in there else "NULL"
    name = identifier(dates[0])
    found = con.execute(
        f"SELECT {split}, min({name})::VARCHAR, max({name})::VARCHAR FROM ({as_query(relation)}) GROUP BY 1"
    ).fetchall()
    return {window: _between(dates[0], first, last) for window, first, last in found}
