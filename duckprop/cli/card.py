"""A described model in the terminal: headings and colours there, plain lines where it is piped."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from duckprop.inspection import words
from duckprop.inspection.describe import picture
from duckprop.inspection.drawing import as_text

_WIDEST, _LABEL = 120, 18


def print_card(about: dict[str, Any]) -> None:
    """Print the card of a described model to stdout, at most as wide as the terminal."""
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=False)
    console.width = min(console.width, _WIDEST)
    with console.capture() as printed:
        for part in _parts(about, console.width):
            console.print(part)
    print(*(line.rstrip() for line in printed.get().splitlines()), sep="\n")


def _parts(about: dict[str, Any], width: int) -> Iterator[Any]:
    yield Text(about["model"], "bold")
    yield _facts(words.overview(about))
    yield _title("Network")
    boxes = picture(about)
    if boxes:
        yield Padding(Text(as_text(boxes, width - 2), no_wrap=True), (0, 0, 1, 1))
    yield _facts(words.network(about))
    yield _title("Quality")
    yield _table(words.metric_rows(about)) or _facts([("metrics", words.MISSING)])
    yield _title("Calibration")
    yield _table(words.calibration(about)) or _facts([("calibration", words.MISSING)])
    yield _title("Categories")
    yield _facts(words.categories(about))
    yield from _best_and_worst(about["categories"], width)
    yield _title("Features")
    yield _facts(words.features(about))
    yield _title("Training")
    yield _facts(words.training(about))
    yield _title("Provenance and trust")
    yield _facts(words.provenance(about))
    yield _table(_files(about))


def _title(text: str) -> Any:
    return Padding(Rule(text, align="left", characters="─", style="dim"), (1, 0, 0, 0))


def _facts(facts: Iterable[words.Fact]) -> Table:
    grid = Table.grid(padding=(0, 1, 0, 1))
    grid.add_column(style="dim", min_width=_LABEL, no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts:
        grid.add_row(Text(name), Text(value))
    return grid


def _table(rows: Iterable[Sequence[str]]) -> Table | None:
    """Return a table of a head and rows, the first column to the left, the others to the right; None without rows."""
    head, *body = list(rows) or [[]]
    if not body:
        return None
    table = Table(box=None, padding=(0, 1), header_style="dim", pad_edge=True)
    for number, name in enumerate(head):
        table.add_column(Text(name), justify="right" if number else "left", overflow="fold")
    for row in body:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return table


def _best_and_worst(categories: dict[str, Any], width: int) -> Iterator[Any]:
    """Yield the tables of the best and the worst categories; without AUCs there are none."""
    kept = [number for number, name in enumerate(words.CATEGORY) if width >= 100 or name != "mean propensity"]
    for what in ("best", "worst"):
        rows = [words.category_cells(row) for row in categories[what]]
        if rows:
            head = [f"{what} by AUC", *words.CATEGORY[1:]]
            yield _table([[row[number] for number in kept] for row in [head, *rows]])


def _files(about: dict[str, Any]) -> Iterator[list[Any]]:
    yield ["file", "size", "SHA-256", "checked"]
    for file in about["files"]:
        verdict = Text("OK", "green") if file["is_intact"] else Text("DAMAGED", "bold red")
        yield [file["name"], words.size(file["bytes"]), words.short(file["sha256"]), verdict]
