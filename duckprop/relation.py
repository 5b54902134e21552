"""What a user may name as data: a table, a Parquet path or glob, or a SELECT."""

import re
from pathlib import Path
from typing import Any

import duckdb

from duckprop.errors import DataError, UsageError, did_you_mean

_COMMENT = r"--[^\n]*(\n|$)|(?>/\*.*?\*/)"
_WORD = "select|with|from|values|table|pivot|unpivot|describe|show"  # values.parquet is a file all the same
_QUERY = re.compile(rf"(\s|{_COMMENT})*(\(|({_WORD})(?=[\s(*\"']|$))", re.IGNORECASE | re.DOTALL)
_FILE = re.compile(r"\.(parquet|pq|csv|json|ndjson)(\.gz)?$|[*?\[]", re.IGNORECASE)


def as_query(relation: str) -> str:
    """Return REL as a query that can stand in parentheses after FROM; the text of a SELECT is taken as it is."""
    text = relation.strip().rstrip(";").strip()
    if not text:
        raise UsageError("the relation is empty", "give a table, a Parquet path or glob, or a SELECT")
    if _QUERY.match(text):
        return f"{text}\n" if "--" in text else text
    if "/" in text and Path(text).is_dir():
        return f"FROM {literal(text.rstrip('/') + '/**/*.parquet')}"
    if _FILE.search(text) and not text.startswith('"'):
        return f"FROM {literal(text)}"
    return f"FROM {'.'.join(identifier(part) for part in _parts(text))}"


def columns_of(con: duckdb.DuckDBPyConnection, relation: str, what: str) -> dict[str, str]:
    """Return column name → DuckDB type of a relation; ``what`` says in errors what it was given as.

    Raises DataError where DuckDB cannot find or read it.
    """
    try:
        rows = con.execute(f"DESCRIBE ({as_query(relation)})").fetchall()
    except duckdb.Error as error:
        raise DataError(
            f"{what} cannot be read: {first_line(error)}", "give a table, a Parquet path or a SELECT"
        ) from None
    return {name: kind for name, kind, *_ in rows}


def require(columns: dict[str, str], names: list[str], what: str) -> None:
    """Raise DataError for the first name that is not a column, with the closest one."""
    for name in names:
        if name not in columns:
            raise DataError(
                f"{what} has no column '{name}'{did_you_mean(name, list(columns))}", f"it has {', '.join(columns)}"
            )


def identifier(name: str) -> str:
    """Quote a name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """Quote a text for SQL."""
    return "'" + value.replace("'", "''") + "'"


def first_line(error: Any) -> str:
    """Return the first line of an error's text."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _parts(text: str) -> list[str]:
    if '"' not in text:
        return text.split(".")
    return [bare or quoted.replace('""', '"') for quoted, bare in re.findall(r'"((?:[^"]|"")*)"|([^".]+)', text)]
