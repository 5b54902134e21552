"""Progress on stderr: a bar with rate and remaining time on a terminal, a line an epoch elsewhere."""

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from duckprop.training.settings import Progress as Training
    from duckprop.training.settings import Report


def say(text: str) -> None:
    """Print a line of information to stderr."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def training() -> "Iterator[Report]":
    """Yield what ``train`` reports to."""
    console = Console(stderr=True)
    told: int | None = None

    def tell_epochs(now: "Training") -> None:
        nonlocal told
        if told is None:
            told = len(now.history)
            if told:
                console.print(f"going on after epoch {told}", highlight=False)
        for past in now.history[told:]:
            console.print(
                f"epoch {past.epoch}: log loss {past.train_log_loss:.4f} in training, "
                f"{past.validation_log_loss:.4f} in validation, {past.seconds:.1f} s",
                highlight=False,
            )
        told = len(now.history)

    if not console.is_terminal:
        yield tell_epochs
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        bar = bars.add_task("training", total=None, rate="")

        def report(now: "Training") -> None:
            tell_epochs(now)
            before = now.rows_in_epoch * (now.epoch - 1)
            bars.update(
                bar,
                description=f"epoch {now.epoch} of at most {now.epochs}",
                total=now.rows_in_epoch * now.epochs,
                completed=before + now.rows_done,
                rate=f"{bars.tasks[0].speed or 0:,.0f} rows/s",
            )

        yield report


@contextlib.contextmanager
def waiting(text: str) -> Iterator[None]:
    """Show on a terminal that something is going on, and for how long."""
    console = Console(stderr=True)
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console, transient=True,
        disable=not console.is_terminal,
    ) as bars:  # fmt: skip
        bars.add_task(text, total=None)
        yield
