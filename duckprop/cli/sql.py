"""duckprop sql."""

import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from duckprop.cli.exits import interruptible
from duckprop.cli.options import Database, Engine, Registry
from duckprop.cli.output import Format, rows_of, write
from duckprop.cli.progress import say
from duckprop.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import duckdb

    from duckprop.cli.output import Row

_SHOWN = 1000


def sql(
    file: Annotated[Path | None, typer.Argument(help="File with SQL; '-' or none: standard input.")] = None,
    command: Annotated[str | None, typer.Option("-c", help="SQL to run.", metavar="QUERY")] = None,
    database: Database = None,
    form: Annotated[Format, typer.Option("--format", help="How results are printed.")] = Format.TABLE,
    read_only: Annotated[bool, typer.Option("--read-only", help="Open the database without writing to it.")] = False,
    registry: Registry = None,
    model: Annotated[str | None, typer.Option("--model", help="Default model: name, name@3 or name@alias.")] = None,
    engine: Engine = "compiled",
) -> None:
    """Run SQL with the propensity functions registered. The first error stops it.

    Example: duckprop sql --database shop.duckdb -c "SELECT id, propensity(features, 'shoes') FROM customers"
    """
    import duckprop

    text = _text(file, command)
    if read_only and (database is None or not database.exists()):
        raise UsageError("--read-only needs a database that exists", "name it: --database shop.duckdb")
    if not text.strip():
        raise UsageError("there is no SQL to run", 'give -c "SELECT …", a file, or SQL on standard input')
    if database is not None and not database.exists():
        say(f"{database} is a new database")
    options: dict[str, Any] = {"read_only": True} if read_only else {}
    with duckprop.connect(
        str(database or ":memory:"), model=model, registry=registry, engine=engine, **options
    ) as con, interruptible(con):  # fmt: skip
        run_statements(con, text, form)


def _text(file: Path | None, command: str | None) -> str:
    if command is not None and file is not None:
        raise UsageError("both -c and a file are given", "give one of them")
    if command is not None:
        return command
    if file is not None and str(file) != "-":
        try:
            return file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise DataError(f"{file} is not UTF-8 text", "save it as UTF-8") from None
    if sys.stdin.isatty():
        raise UsageError("there is no SQL to run", 'give -c "SELECT …", a file, or SQL on standard input')
    return sys.stdin.read()


def run_statements(con: "duckdb.DuckDBPyConnection", text: str, form: Format = Format.TABLE) -> None:
    """Run one statement after the other; print the rows of those that return any, and how many the others changed."""
    from duckdb import ExpectedResultType

    printed = False
    for statement in con.extract_statements(text):
        if statement.expected_result_type == [ExpectedResultType.QUERY_RESULT]:
            reader = con.sql(statement.query).to_arrow_reader(2048)
            columns, rows = reader.schema.names, rows_of(reader)
        else:  # a relation would run it a second time when it is fetched
            result = con.execute(statement)
            columns, rows = [name for name, *_ in result.description], result.fetchall()
            if columns in (["Count"], ["Success"]):
                for changed in rows if columns == ["Count"] else []:
                    say(f"{changed[0]:,} rows")
                continue
        if printed:
            print()
        printed = True
        _print_rows(columns, rows, form)
        sys.stdout.flush()  # the next statement may take long


def _print_rows(columns: "Sequence[str]", rows: "Iterable[Row]", form: Format) -> None:
    if form is not Format.TABLE:
        write(columns, rows, form)
        return
    shown = list(islice(rows, _SHOWN + 1))
    if columns == ["explain_key", "explain_value"]:
        print(*(plan for _, plan in shown), sep="\n")
        return
    write(columns, shown[:_SHOWN])
    if len(shown) > _SHOWN:
        say(f"Only the first {_SHOWN:,} rows are shown; --format csv prints them all.")
