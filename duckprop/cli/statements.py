"""One SQL statement after the other, each with what it gives: rows that stream in, or a number of changed rows."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from duckprop.cli.output import Row, rows_of

if TYPE_CHECKING:
    import duckdb

_COUNTS = (["Count"], ["Success"])


@dataclass(frozen=True)
class Result:
    """columns and rows, which can be read once; or, where there are no columns, how many rows were changed, if any."""

    columns: tuple[str, ...]
    rows: Iterable[Row]
    changed: int | None = None

    @property
    def is_plan(self) -> bool:
        """Whether this is what EXPLAIN gives: texts of many lines."""
        return self.columns == ("explain_key", "explain_value")


@contextlib.contextmanager
def run(con: "duckdb.DuckDBPyConnection", statement: "duckdb.Statement") -> Iterator[Result]:
    """Run a statement and yield its result, which streams as long as the block lasts and holds the connection."""
    if gives_rows(statement):
        reader = con.sql(statement.query).to_arrow_reader(2048)
        rows = rows_of(reader)
        try:
            yield Result(tuple(reader.schema.names), rows)
        finally:
            reader.close()  # the connection takes no other statement while a result of it is open
        return
    done = con.execute(statement)  # a relation would run it a second time when it is fetched
    columns, found = [name for name, *_ in done.description], done.fetchall()
    if columns in _COUNTS:
        yield Result((), (), found[0][0] if columns == ["Count"] and found else None)
    else:
        yield Result(tuple(columns), found)


def gives_rows(statement: "duckdb.Statement") -> bool:
    """Return whether a statement only reads: what it gives is rows, whatever happens."""
    from duckdb import ExpectedResultType

    return bool(statement.expected_result_type == [ExpectedResultType.QUERY_RESULT])
