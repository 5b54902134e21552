"""duckprop demo."""

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from duckprop.cli.output import write
from duckprop.cli.progress import say, training
from duckprop.cli.sql import run_statements
from duckprop.errors import UsageError

if TYPE_CHECKING:
    from duckprop.evaluation.metrics import Evaluation

_METRICS = ("macro_auc", "micro_auc", "log_loss", "p_at_5_active", "ece", "new_macro_auc")


def demo(
    folder: Annotated[Path, typer.Option("--folder", help="Where everything goes.")] = Path("duckprop-demo"),
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of the data package's Parquet files, if you have them.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin again: remove what an earlier run left.")] = False,
) -> None:
    """Show the main job on the public Complete Journey retail data: train, evaluate, publish, score in SQL.

    Example: duckprop demo
    """
    began = time.monotonic()
    if fresh:
        _remove(folder)
    from duckprop.demo.run import Demo, queries
    from duckprop.training.settings import Settings

    run = Demo(folder, lambda text: say(f"  {text}"), data)
    _headline("1. Data: features and outcomes of 2,469 households, in SQL")
    run.prepare()
    _headline("2. Training: one MXNet network for 276 product categories")
    model = run.train(Settings(), training())
    print(f"{model.reference} in {run.registry}")
    _headline("3. Evaluation: purchases of the next 28 days, on a window that training never saw")
    _print_evaluations(run.judge(model))
    print(f"\nReport with plots: {folder / 'report.html'}")
    _headline("4. SQL: what an analyst would type")
    with run.connect() as con:
        for title, query in queries():
            print(f"\n-- {title}\n{query}\n", flush=True)
            run_statements(con, query)
    _print_next(run.database, run.registry, time.monotonic() - began)


def _headline(text: str) -> None:
    print(f"\n== {text}", flush=True)


def _print_evaluations(evaluations: "dict[str, Evaluation]") -> None:
    rows = [
        (name, *(None if (value := found.overall[metric]) is None else round(value, 4) for metric in _METRICS))
        for name, found in evaluations.items()
    ]
    write(("", *_METRICS), rows)


def _print_next(database: Path, registry: Path, seconds: float) -> None:
    print(f"\nDone in {seconds:.0f} s. What to type next:\n")
    print(f"export DUCKPROP_HOME={registry}")
    print("duckprop models")
    print(f"duckprop sql --database {database} -c \"SELECT household_id, propensity(features, 'CHEESE') AS cheese")
    print('  FROM customers ORDER BY cheese DESC LIMIT 10"')
    print(f"duckprop score customers --id household_id --top 5 --database {database} -o scores.parquet")


def _remove(folder: Path) -> None:
    """Remove only what the demo itself made."""
    if folder.is_dir() and not (folder / "journey.duckdb").exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not a demo's folder", "give another one with --folder")
    for name in ("package", "models", "training"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for path in (*folder.glob("journey.duckdb*"), folder / "trained.json", folder / "report.html"):
        path.unlink(missing_ok=True)
