"""While a query runs: how far it has come, on stderr, once it takes longer than a moment."""

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    import duckdb

_PATIENCE = 1.0
"""Seconds that a query may take before anything is shown."""


def prepare(con: "duckdb.DuckDBPyConnection") -> None:
    """Let DuckDB count how far a query has come, without printing it itself."""
    con.execute("SET enable_progress_bar = true; SET enable_progress_bar_print = false")


@contextlib.contextmanager
def watched(con: "duckdb.DuckDBPyConnection") -> Iterator[None]:
    """Show a bar for as long as the block lasts, on a terminal; it leaves nothing behind."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(con, console, done), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _watch(con: "duckdb.DuckDBPyConnection", console: Console, done: threading.Event) -> None:
    if done.wait(_PATIENCE):
        return
    advice = TextColumn("Ctrl-C stops it")
    columns = (TextColumn("running"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), advice)
    with Progress(*columns, console=console, transient=True) as bars:
        bar = bars.add_task("", total=None)
        while not done.wait(0.1):
            with contextlib.suppress(Exception):  # the query may have ended meanwhile
                share = con.query_progress()
                if share >= 0:  # DuckDB does not know it for every query
                    bars.update(bar, completed=share, total=100)
