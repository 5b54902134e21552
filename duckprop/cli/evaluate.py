"""duckprop evaluate."""

from pathlib import Path
from typing import Annotated, Any

import typer

from duckprop.cli.options import Database, Engine, Features, FeaturesColumn, Id, Labels, Registry, names
from duckprop.cli.output import Format, print_json, write
from duckprop.cli.progress import say, waiting
from duckprop.errors import UsageError


def evaluate(
    model: Annotated[str, typer.Argument(help="name, name@3, name@alias or a folder.")],
    features: Features,
    labels: Labels,
    ids: Id = "id",
    features_column: FeaturesColumn = "features",
    report: Annotated[
        Path | None, typer.Option("--report", help="Write an HTML report with plots.", metavar="FILE")
    ] = None,
    database: Database = None,
    registry: Registry = None,
    engine: Engine = "compiled",
    as_json: Annotated[bool, typer.Option("--json", help="Print all metrics, by category too, as JSON.")] = False,
) -> None:
    """Compare a model's propensities with what customers did.

    Example: duckprop evaluate retail --features "FROM f WHERE split = 'test'" --labels purchases --database shop.duckdb
    """
    import duckprop
    from duckprop.dataset import Columns
    from duckprop.evaluation.model import evaluate_model
    from duckprop.model import load

    if report and not report.absolute().parent.is_dir():
        raise UsageError(f"there is no folder for {report}", "make it first, or give another --report FILE")
    chosen = load(model, registry)
    columns = Columns(names(ids), features_column)
    with (
        duckprop.connect(database or ":memory:", registry=registry, read_only=database is not None) as con,
        waiting("evaluating"),
    ):
        result = evaluate_model(con, chosen, features, labels, columns=columns, engine=engine)
    if as_json:
        print_json(
            {
                "model": chosen.reference,
                "overall": dict(result.evaluation.overall),
                "support": dict(result.evaluation.support),
                "categories": result.evaluation.rows(chosen.categories),
            }
        )
    else:
        write(("metric", "value"), _rows(result.evaluation), Format.TABLE)
    if seen := len(result.rows.where("train")):
        say(f"{seen:,} of these rows are of the split 'train': the model has seen them.")
    if result.rows.without_features:
        say(f"{result.rows.without_features:,} rows have no features and were left out.")
    if result.without_row:
        say(f"{result.without_row:,} labels have other ids than these rows, and were left out.")
    if result.unmatched:
        say(f"{result.unmatched:,} labels of these rows are in categories that the model lacks, and were left out.")
    if report:
        result.write_report(report, chosen, title=f"{chosen.reference}: evaluation")
        say(f"report: {report}")


def _rows(evaluation: Any) -> list[tuple[str, Any]]:
    values = [(name, None if value is None else round(value, 4)) for name, value in evaluation.overall.items()]
    return [*values, *evaluation.support.items()]
