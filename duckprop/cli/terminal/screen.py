"""How results are shown: in which form, where to, and with how long they took."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from duckprop.cli.files import Counted
from duckprop.cli.output import SHOWN, Format, Row, write
from duckprop.cli.progress import say
from duckprop.cli.terminal import layout, paging
from duckprop.cli.terminal.mistakes import tell


@dataclass
class Screen:
    """The settings of a session, and printing by them. target: the file for results, None for the screen."""

    form: Format = Format.TABLE
    timing: bool = True
    expanded: bool = False
    pager: bool = True
    target: Path | None = None
    written: int = 0

    def next_file(self) -> Path:
        """Return the file for the next result: FILE.csv, then FILE-2.csv and so on, so that none replaces another."""
        assert self.target is not None
        self.written += 1
        number = "" if self.written == 1 else f"-{self.written}"
        return self.target.with_name(f"{self.target.stem}{number}{self.target.suffix}")

    def fetch(self, rows: Iterator[Row]) -> list[Row]:
        """Return the rows that must be there before anything can be printed."""
        return list(islice(rows, SHOWN + 1 if self.form is Format.TABLE else 1))

    def show(self, columns: tuple[str, ...], first: list[Row], rest: Iterator[Row], is_plan: bool) -> str:
        """Print a result and return how many rows there were, in words."""
        if is_plan:
            self.page([line for _, plan in first for line in str(plan).split("\n")])
            return ""
        if self.form is not Format.TABLE:
            counted = Counted(chain(first, rest))
            write(columns, counted, self.form)
            sys.stdout.flush()
            return amount(counted.count)
        self.show_table(columns, first[:SHOWN])
        if len(first) > SHOWN:
            return f"the first {SHOWN:,} rows; \\o FILE or \\format csv gives all"
        return amount(len(first))

    def show_table(self, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
        """Print rows that are all there, laid out for this screen."""
        width = shutil.get_terminal_size().columns
        if self.expanded:
            self.page(layout.records(columns, rows, width))
            return
        lines, left_out = layout.table(columns, rows, width)
        self.page(lines)
        if left_out:
            say(f"{left_out} of {len(columns)} columns do not fit: \\x on shows them all")

    def page(self, lines: list[str]) -> None:
        """Print lines, through the pager where they are many."""
        paging.show(lines, self.pager)

    def tell_time(self, seconds: float, what: str = "") -> None:
        """Say how long a statement took."""
        if self.timing:
            say(f"Run time: {seconds:.2f} s{', ' if what else ''}{what}")

    def tell(self, error: BaseException) -> None:
        """Say what went wrong."""
        tell(error)


def amount(count: int) -> str:
    """Return ``1 row`` or ``2,000 rows``."""
    return f"{count:,} row" + ("" if count == 1 else "s")
