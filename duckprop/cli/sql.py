"""duckprop sql."""

import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from duckprop.cli import statements
from duckprop.cli.exits import interruptible
from duckprop.cli.files import save_only, text_form
from duckprop.cli.options import Database, Engine, Registry
from duckprop.cli.output import SHOWN, Format, write
from duckprop.cli.progress import say
from duckprop.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

_NO_SQL = ("there is no SQL to run", 'give -c "SELECT …", a file, or SQL on standard input')


def sql(
    file: Annotated[Path | None, typer.Argument(help="File with SQL; '-': standard input.")] = None,
    command: Annotated[str | None, typer.Option("-c", help="SQL to run.", metavar="QUERY")] = None,
    database: Database = None,
    form: Annotated[Format, typer.Option("--format", help="How results are printed.")] = Format.TABLE,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File for the result: .csv, .json, .md or .parquet.", metavar="FILE"),
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Open the database without writing to it.")] = False,
    registry: Registry = None,
    model: Annotated[str | None, typer.Option("--model", help="Default model: name, name@3 or name@alias.")] = None,
    engine: Engine = "compiled",
    ide: Annotated[bool, typer.Option("--ide", help="Open Harlequin with everything registered.")] = False,
) -> None:
    """Run SQL with the propensity functions registered. The first error stops it.

    Without SQL it is a terminal with completion, history and help.

    Example: duckprop sql --database shop.duckdb -c "SELECT id, propensity(features, 'shoes') FROM customers"
    """
    import duckprop

    if read_only and (database is None or not database.exists()):
        raise UsageError("--read-only needs a database that exists", "name it: --database shop.duckdb")
    chosen: dict[str, Any] = {"model": model, "registry": registry, "engine": engine}
    if ide:
        _open_ide([file, command, output], database, {**chosen, "read_only": read_only})
        return
    is_terminal = file is None and command is None and sys.stdin.isatty() and sys.stdout.isatty()
    _check_output(output, form, is_terminal)
    text = "" if is_terminal else _text(file, command)
    if database is not None and not database.exists():
        say(f"{database} is a new database")
    access: dict[str, Any] = {"read_only": True} if read_only else {}
    with duckprop.connect(str(database or ":memory:"), **chosen, **access) as con:
        if is_terminal:
            from duckprop.cli.terminal.session import open_terminal

            open_terminal(con, _label(database, read_only), form)
            return
        with interruptible(con):
            save_only(con, text, output) if output else run_statements(con, text, form)


def _label(database: Path | None, read_only: bool) -> str:
    return f"{database.name if database else 'in memory'}{' (read-only)' if read_only else ''}"


def _check_output(output: Path | None, form: Format, is_terminal: bool) -> None:
    if output is None:
        return
    if is_terminal:
        raise UsageError("--output needs SQL to run", "give -c or a file, or type \\o FILE in the terminal")
    if form not in (Format.TABLE, text_form(output)):
        raise UsageError(f"--format {form} is not what {output.name} is", "leave --format out: the suffix decides")


def _open_ide(others: "Sequence[Any]", database: Path | None, options: dict[str, Any]) -> None:
    if any(other is not None for other in others):
        raise UsageError("--ide takes no SQL and no --output", "type the SQL in Harlequin, or leave --ide out")
    try:
        from duckprop.integrations.harlequin import open_ide
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("harlequin"):
            raise
        raise UsageError("Harlequin is not installed", "pip install 'duckprop[ide]'") from None
    open_ide(database, **options)


def _text(file: Path | None, command: str | None) -> str:
    if command is not None and file is not None:
        raise UsageError("both -c and a file are given", "give one of them")
    if command is None and (file is None or str(file) == "-"):
        if file is None and sys.stdin.isatty():
            raise UsageError(*_NO_SQL)
        command = sys.stdin.read()
    if file is not None and file.suffix in (".duckdb", ".db", ".ddb"):
        raise UsageError(f"{file} is a database, not a file with SQL", f"open it with --database {file}")
    try:
        text = file.read_text(encoding="utf-8") if command is None and file else command or ""
    except UnicodeDecodeError:
        raise DataError(f"{file} is not UTF-8 text", "save it as UTF-8") from None
    if not text.strip():
        raise UsageError(*_NO_SQL)
    return text


def run_statements(con: "duckdb.DuckDBPyConnection", text: str, form: Format = Format.TABLE) -> None:
    """Run one statement after the other; print the rows of those that return any, and how many the others changed."""
    printed = False
    for statement in con.extract_statements(text):
        with statements.run(con, statement) as result:
            if result.columns:
                if printed:
                    print()
                printed = True
                _print_rows(result, form)
                sys.stdout.flush()  # the next statement may take long
            elif result.changed is not None:
                say(f"{result.changed:,} rows")


def _print_rows(result: statements.Result, form: Format) -> None:
    if form is not Format.TABLE:
        write(result.columns, result.rows, form)
        return
    shown = list(islice(result.rows, SHOWN + 1))
    if result.is_plan:
        print(*(plan for _, plan in shown), sep="\n")
        return
    write(result.columns, shown[:SHOWN])
    if len(shown) > SHOWN:
        say(f"Only the first {SHOWN:,} rows are shown; --format csv prints them all.")
