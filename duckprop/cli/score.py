"""duckprop score."""

from typing import Annotated, Any

import typer

from duckprop.cli.exits import interruptible
from duckprop.cli.options import AsJson, Database, Engine, FeaturesColumn, Id, Registry, names
from duckprop.cli.output import Format, write
from duckprop.cli.progress import waiting
from duckprop.errors import UsageError


def score(
    relation: Annotated[str, typer.Argument(help="What to score: a table, a Parquet path or glob, or a SELECT.")],
    output: Annotated[str, typer.Option("--output", "-o", help="FILE.parquet, or a table's name in --database.")],
    model: Annotated[str | None, typer.Option("--model", help="name, name@3, name@alias or a folder.")] = None,
    top: Annotated[int | None, typer.Option("--top", help="Only each customer's K best categories.")] = None,
    categories: Annotated[str | None, typer.Option("--categories", help="Only these, with commas.")] = None,
    long: Annotated[bool, typer.Option("--long", help="A row a customer and category (the default).")] = False,
    wide: Annotated[bool, typer.Option("--wide", help="A row a customer, propensities as a list.")] = False,
    ids: Id = "id",
    features_column: FeaturesColumn = "features",
    database: Database = None,
    registry: Registry = None,
    engine: Engine = "compiled",
    as_json: AsJson = False,
) -> None:
    """Write a propensity table. The target appears, or is replaced, in one step when all is done.

    Example: duckprop score customers --model retail@champion --top 5 --database shop.duckdb -o scores.parquet
    """
    import duckprop
    from duckprop.bulk import Order
    from duckprop.bulk import score as write_scores
    from duckprop.models import Models
    from duckprop.registry import Registry as Folder

    if long and wide:
        raise UsageError("both --long and --wide are given", "give one of them")
    if database is None and not output.lower().endswith(".parquet"):
        raise UsageError(
            f"a table '{output}' needs a database", "give --database FILE, or a file that ends in .parquet"
        )
    chosen = Models(Folder(registry), model).get(None)
    only = names(categories) if categories is not None else None
    order = Order(relation, names(ids), features_column, top, only, wide)
    target = str(database) if database else ":memory:"
    # others may go on reading the database while a file is written
    read_only: dict[str, Any] = {"read_only": True} if database and output.lower().endswith(".parquet") else {}
    with (
        duckprop.connect(target, registry=registry, engine=engine, **read_only) as con,
        interruptible(con),
        waiting(f"scoring with {chosen.reference}"),
    ):
        account = write_scores(con, order, chosen, output)
    columns = ("output", "model", "customers", "without_features", "rows")
    row = (output, chosen.reference, account.customers, account.without_features, account.rows)
    write(columns, [row], Format.JSON if as_json else Format.TABLE)
