"""duckprop compare."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from duckprop.cli.exits import interruptible
from duckprop.cli.options import AsJson, Database, FeaturesColumn, Registry
from duckprop.cli.output import print_json, write
from duckprop.cli.progress import say, waiting
from duckprop.errors import UsageError

if TYPE_CHECKING:
    from duckprop.compare import Comparison, Shift


def compare(
    a: Annotated[str, typer.Argument(help="name, name@3, name@alias or a folder.")],
    b: Annotated[str, typer.Argument(help="The model that would take its place.")],
    features: Annotated[
        str | None,
        typer.Option("--features", help="Customers: a table, a Parquet path or glob, or a SELECT.", metavar="REL"),
    ] = None,
    features_column: FeaturesColumn = "features",
    database: Database = None,
    registry: Registry = None,
    as_json: AsJson = False,
) -> None:
    """Score the same customers with two models: what moves, by category. Without --features, a model's own sample.

    Example: duckprop compare retail@champion retail@challenger --features customers --database shop.duckdb
    """
    import duckprop
    from duckprop import compare as comparing
    from duckprop.model import load

    if database is not None and features is None:
        raise UsageError("--database is given without --features", "name the table: --features customers")
    models = load(a, registry), load(b, registry)
    with (
        duckprop.connect(database or ":memory:", registry=registry, read_only=database is not None) as con,
        interruptible(con),
        waiting(f"comparing {models[0].reference} and {models[1].reference}"),
    ):
        if features is None:
            found = comparing.compare_on_sample(models)
        else:
            found = comparing.compare(con, models, features, features_column)
    if as_json:
        print_json(asdict(found))
    else:
        write(_COLUMNS, [_row(shift) for shift in (found.overall, *found.categories)])
    _tell(found)


_COLUMNS = (
    "category",
    "mean_a",
    "mean_b",
    "mean_shift",
    "max_shift",
    "rank_correlation",
    "same_top_decile",
    "psi",
    "rank_changed",
)


def _row(shift: "Shift") -> list[object]:
    named = asdict(shift)
    values = [None if value is None else round(value, 4) for value in list(named.values())[1:]]
    return ["(all)" if shift.category is None else shift.category, *values]


def _tell(found: "Comparison") -> None:
    """Say to stderr what is of customers and not of categories."""
    selected = f"; ranks, top deciles and psi on {found.ranked_rows:,}" if found.ranked_rows < found.rows else ""
    say(f"a is {found.a}, b is {found.b}, on {found.rows:,} customers{selected}.")
    say(
        f"The best category is the same for {found.same_first:.1%} of the customers; of a's best five, "
        f"{found.same_first_five:.1%} are among b's."
    )
    for reference, only in ((found.a, found.only_a), (found.b, found.only_b)):
        if only:
            more = f" and {len(only) - 10} more" if len(only) > 10 else ""
            say(f"Only {reference} has {', '.join(only[:10])}{more}.")
