"""The command line: parse, call, print. Results go to stdout, everything else to stderr."""

from typing import Annotated

import typer

import duckprop
from duckprop.cli.bench import bench
from duckprop.cli.compare import compare
from duckprop.cli.delete import delete
from duckprop.cli.demo import demo
from duckprop.cli.evaluate import evaluate
from duckprop.cli.exits import run
from duckprop.cli.export import export
from duckprop.cli.import_ import import_
from duckprop.cli.inspect import inspect
from duckprop.cli.models import models
from duckprop.cli.promote import promote
from duckprop.cli.rollback import rollback
from duckprop.cli.score import score
from duckprop.cli.sql import sql
from duckprop.cli.train import train
from duckprop.cli.verify import verify

app = typer.Typer(
    help="Propensity scores from sparse features, as SQL functions in DuckDB.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: duckprop demo",
)
_COMMANDS = (
    demo, train, import_, export, evaluate, score, sql,
    models, inspect, verify, compare, promote, rollback, delete, bench,
)  # fmt: skip
for command in _COMMANDS:
    app.command(command.__name__.rstrip("_"))(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"duckprop {duckprop.__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Propensity scores from sparse features, as SQL functions in DuckDB."""


def main() -> None:
    """Run the command line and leave the process with one of the codes of ``exits.Exit``."""
    run(app)
