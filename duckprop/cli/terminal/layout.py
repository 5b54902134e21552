"""Rows → lines that fit a terminal: an aligned table, or a line a column and a block a record."""

import textwrap
from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size

from duckprop.cli.output import Row, is_number, text_of

_BETWEEN = " │ "
_LEAST = 10
"""No column is made narrower than this to let another one in; then columns are left out."""


def table(columns: Sequence[str], rows: Sequence[Row], width: int) -> tuple[list[str], int]:
    """Return the lines of a table and how many columns it leaves out; no line is wider than ``width`` cells."""
    cells = [list(columns), *([_one_line(value) for value in row] for row in rows)]
    wanted = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    kept, widths = fit(wanted, width)
    to_right = [all(is_number(row[at]) for row in rows) and bool(rows) for at in range(len(columns))]
    body = [_line([line[at] for at in kept], widths, [to_right[at] for at in kept]) for line in cells]
    body.insert(1, "─┼─".join("─" * one for one in widths))
    left_out = len(columns) - len(kept)
    if left_out:
        full = sum(widths) + len(_BETWEEN) * (len(widths) - 1)
        body = [set_cell_size(line, full) + ("─┼──" if at == 1 else " │ …") for at, line in enumerate(body)]
    return body, left_out


def fit(wanted: Sequence[int], width: int) -> tuple[list[int], list[int]]:
    """Return which columns are shown and how wide they are: the widest give way first, then the last are left out."""
    kept = list(range(len(wanted)))
    while True:
        room = width - len(_BETWEEN) * (len(kept) - 1) - (4 if len(kept) < len(wanted) else 0)
        widths = [wanted[at] for at in kept]
        if len(kept) == 1 or sum(min(one, _LEAST) for one in widths) <= room:
            return kept, _narrowed(widths, max(room, 1))
        kept.pop()


def _narrowed(widths: list[int], room: int) -> list[int]:
    """Return the widths with the widest ones cut to one limit, so that all fit into the room."""
    limit, left = 0, room
    for rest, one in zip(range(len(widths), 0, -1), sorted(widths), strict=True):
        limit = left // rest
        if one > limit:
            break
        left -= one
        limit = one
    spare = iter([1] * max(room - sum(min(one, limit) for one in widths), 0))
    return [one if one <= limit else limit + next(spare, 0) for one in widths]


def _line(texts: Sequence[str], widths: Sequence[int], to_right: Sequence[bool]) -> str:
    parts = [_cell(text, width, right) for text, width, right in zip(texts, widths, to_right, strict=True)]
    return _BETWEEN.join(parts).rstrip()


def _cell(text: str, width: int, to_right: bool) -> str:
    if cell_len(text) > width:
        return set_cell_size(text, width - 1) + "…"
    blanks = " " * (width - cell_len(text))
    return blanks + text if to_right else text + blanks


def _one_line(value: object) -> str:
    return " ".join(text_of(value).split("\n")).replace("\t", " ")


def records(columns: Sequence[str], rows: Sequence[Row], width: int) -> list[str]:
    """Return a block of lines for each row, a column a line; long values go on below, so that all is shown."""
    widest = min(max(map(cell_len, columns), default=0), max(width // 3, 1))
    lines: list[str] = []
    for number, row in enumerate(rows, 1):
        title = f"─ {number} "
        lines.append(title + "─" * max(min(width, 60) - len(title), 0))
        for column, value in zip(columns, row, strict=True):
            begin = _cell(column, widest, False)
            for part in _wrapped(text_of(value), max(width - widest - len(_BETWEEN), 10)):
                lines.append((begin + _BETWEEN + part).rstrip())
                begin = " " * widest
    return lines


def _wrapped(text: str, width: int) -> list[str]:
    found = [part for line in text.split("\n") for part in textwrap.wrap(line, width)]
    return found or [""]
