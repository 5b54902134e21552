"""Results on stdout: as an aligned table, CSV, JSON or Markdown; floats as short as their own precision allows."""

import csv
import json
import sys
import textwrap
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, TextIO

import numpy as np
import pyarrow as pa

Row = Sequence[Any]
SHOWN = 1000
"""Rows of a table that are shown; the other forms and files take them all."""


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    MARKDOWN = "markdown"


def write(columns: Sequence[str], rows: Iterable[Row], form: Format = Format.TABLE, out: TextIO | None = None) -> None:
    """Write rows to a text stream, stdout where none is given. NULL is empty in CSV, null in JSON.

    A table is laid out at once, the other forms go out row by row: a result of any size needs no memory.
    In JSON the second of two columns of one name gets its position, counted from 0, behind it.
    """
    out = out or sys.stdout
    match form:
        case Format.CSV:
            writer = csv.writer(out, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows([text_of(value, "") for value in row] for row in rows)
        case Format.JSON:
            _write_json(columns, rows, out)
        case Format.MARKDOWN:
            _write_markdown(columns, rows, out)
        case Format.TABLE:
            _write_table(columns, rows, out)


def print_json(value: Any) -> None:
    """Print a value as JSON; dates as texts, infinity and NaN as null."""
    print(json.dumps(_finite(value), indent=1, ensure_ascii=False, default=str))


def _write_json(columns: Sequence[str], rows: Iterable[Row], out: TextIO) -> None:
    """As ``print_json`` writes a list of records, but one after the other."""
    keys = [name if columns.index(name) == at else f"{name}_{at}" for at, name in enumerate(columns)]
    between = "["
    for row in rows:
        record = json.dumps(_finite(dict(zip(keys, row, strict=True))), indent=1, ensure_ascii=False, default=str)
        out.write(between + "\n" + textwrap.indent(record, " "))
        between = ","
    out.write("[]\n" if between == "[" else "\n]\n")


def rows_of(batches: Iterable[pa.RecordBatch]) -> Iterable[Row]:
    """Yield rows of Arrow batches as Python values; 32-bit floats become the shortest number that reads the same."""
    for batch in batches:
        kinds = [pa.timestamp("us", kind.tz) if pa.types.is_timestamp(kind) else kind for kind in batch.schema.types]
        batch = batch.cast(pa.schema(list(zip(batch.schema.names, kinds, strict=True))), safe=False)
        columns = [[plain(value, column.type) for value in column.to_pylist()] for column in batch.columns]
        yield from zip(*columns, strict=True)


def plain(value: Any, kind: pa.DataType) -> Any:
    """Return a value of an Arrow type as it should be shown: 0.1, not 0.10000000149011612."""
    if value is None:
        return None
    if pa.types.is_float32(kind) or pa.types.is_float16(kind):
        return float(str(np.float32(value)))
    if pa.types.is_map(kind):
        return {_key(key): plain(item, kind.item_type) for key, item in value}
    if pa.types.is_struct(kind):
        return {kind.field(at).name: plain(value[kind.field(at).name], kind.field(at).type) for at in range(len(kind))}
    if pa.types.is_interval(kind):
        return f"{value.months} months {value.days} days {value.nanoseconds / 1e9:g} seconds"
    if isinstance(value, list):
        return [plain(item, kind.value_type) for item in value]
    return value


def _key(key: Any) -> str:
    return key if isinstance(key, str) else str(key)


def text_of(value: Any, null: str = "NULL") -> str:
    """Return a value as the text of a cell; lists and structs as JSON."""
    match value:
        case None:
            return null
        case bool():
            return str(value).lower()
        case str() | int() | float() | Decimal() | date() | datetime() | time() | timedelta():
            return str(value)
        case list() | dict():
            return json.dumps(_finite(value), ensure_ascii=False, default=str)
    return str(value)


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    if isinstance(value, Decimal):
        value = int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float) and not np.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def _write_table(columns: Sequence[str], rows: Iterable[Row], out: TextIO) -> None:
    from rich.cells import cell_len  # names may hold wide characters

    body = [list(row) for row in rows]
    cells = [[text_of(value).replace("\n", " ") for value in row] for row in body]
    widths = [max(map(cell_len, column)) for column in zip(columns, *cells, strict=True)]
    to_right = [all(map(is_number, column)) for column in zip(*body, strict=True)] or [False] * len(widths)

    def line(texts: Sequence[str]) -> str:
        blanks = [" " * (width - cell_len(text)) for text, width in zip(texts, widths, strict=True)]
        parts = zip(texts, blanks, to_right, strict=True)
        return " │ ".join(blank + text if right else text + blank for text, blank, right in parts).rstrip()

    print(line(columns), "─┼─".join("─" * width for width in widths), *map(line, cells), sep="\n", file=out)


def is_number(value: Any) -> bool:
    """Return whether a value is set to the right in its column; NULL goes with both."""
    return value is None or (isinstance(value, int | float | Decimal) and not isinstance(value, bool))


def _write_markdown(columns: Sequence[str], rows: Iterable[Row], out: TextIO) -> None:
    for row in [columns, ["---"] * len(columns), *rows]:
        cells = [text_of(value).replace("|", "\\|").replace("\n", " ") for value in row]
        print("| " + " | ".join(cells) + " |", file=out)
