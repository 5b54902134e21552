"""A result of a query as a file: CSV, JSON, Markdown or Parquet, told by its suffix; whole, or not at all."""

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duckprop.cli.output import Format, Row, write
from duckprop.cli.statements import Result, gives_rows, run
from duckprop.errors import UsageError
from duckprop.temporary import replacing

if TYPE_CHECKING:
    import duckdb

_TEXTS = {".csv": Format.CSV, ".json": Format.JSON, ".md": Format.MARKDOWN, ".markdown": Format.MARKDOWN}
_SUFFIXES = (".parquet", *_TEXTS)


def text_form(path: Path) -> Format | None:
    """Return the form that a file's suffix stands for, None for Parquet. Raises UsageError for another suffix."""
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise UsageError(
            f"the suffix of {path.name} does not say what to write",
            "end the name in .csv, .json, .md or .parquet",
        )
    return _TEXTS.get(suffix)


def save(con: "duckdb.DuckDBPyConnection", statement: "duckdb.Statement", path: Path) -> int:
    """Run a statement and write its rows to a file; return how many. The old file is there until the new one is whole.

    Nothing is held in memory: DuckDB writes Parquet itself, and the other forms go out row by row.
    """
    form = text_form(path)
    with replacing(path) as temporary:
        if form is None and gives_rows(statement):
            con.sql(statement.query).write_parquet(str(temporary))
            return _rows_in(temporary)
        if form is None:
            return _write_arrow(con, statement, path, temporary)
        with run(con, statement) as result, temporary.open("w", encoding="utf-8", newline="") as out:
            _require_rows(result, path)
            counted = Counted(result.rows)
            write(result.columns, counted, form, out)
            return counted.count


def save_only(con: "duckdb.DuckDBPyConnection", text: str, path: Path) -> int:
    """Run statements of which the last gives the rows that go to a file; return how many rows these are.

    Raises UsageError, before anything is run, where another one gives rows too: they would be lost.
    """
    text_form(path)
    *before, last = con.extract_statements(text)
    if any(map(gives_rows, before)):
        raise UsageError("several queries give rows, and there is one --output", "run them one by one")
    for statement in before:
        with run(con, statement):
            pass
    return save(con, last, path)


class Counted:
    """Rows, and how many of them have been read."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = rows
        self.count = 0

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows once."""
        for row in self._rows:
            self.count += 1
            yield row


def _rows_in(path: Path) -> int:
    import pyarrow.parquet

    return int(pyarrow.parquet.read_metadata(path).num_rows)


def _write_arrow(con: "duckdb.DuckDBPyConnection", statement: "duckdb.Statement", path: Path, temporary: Path) -> int:
    """INSERT … RETURNING and the like: a relation would run them twice."""
    import pyarrow.parquet

    done = con.execute(statement)
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # a relation would be faster
        table: Any = done.to_arrow_table()
    if table.column_names in (["Count"], ["Success"]):
        raise _no_rows(path)
    pyarrow.parquet.write_table(table, temporary)
    return int(table.num_rows)


def _require_rows(result: Result, path: Path) -> None:
    if not result.columns:
        raise _no_rows(path)


def _no_rows(path: Path) -> UsageError:
    return UsageError(f"the statement gives no rows for {path.name}", "give a SELECT, or leave the file out")
