"""duckprop train."""

import contextlib
import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from duckprop.cli.options import AsJson, Database, Features, FeaturesColumn, Id, Labels, Registry, names
from duckprop.cli.output import Format, write
from duckprop.cli.progress import say, training
from duckprop.errors import UsageError


def train(
    features: Features,
    labels: Labels,
    name: Annotated[str, typer.Option("--name", help="Name to publish the model under.")],
    ids: Id = "id",
    features_column: FeaturesColumn = "features",
    vocabulary: Annotated[
        str | None, typer.Option("--vocabulary", help="Names of numbered features: (column, feature).", metavar="REL")
    ] = None,
    classes: Annotated[str, typer.Option("--classes", help="Positive class first, 'nothing' last.")] = "yes,no",
    outcome: Annotated[str | None, typer.Option("--outcome", help="What the labels mean, for the model card.")] = None,
    min_positives: Annotated[int, typer.Option("--min-positives", help="Leave rarer categories out.")] = 20,
    hidden: Annotated[str, typer.Option("--hidden", help="Units of each hidden layer, with commas.")] = "256",
    dropout: Annotated[float, typer.Option("--dropout", help="Share of hidden units left out in training.")] = 0.3,
    learning_rate: Annotated[float, typer.Option("--learning-rate", help="AdaGrad's step size.")] = 0.05,
    batch: Annotated[int, typer.Option("--batch", help="Rows a step.")] = 256,
    epochs: Annotated[int, typer.Option("--epochs", help="Passes over the data, at most.")] = 12,
    patience: Annotated[int, typer.Option("--patience", help="Epochs without progress before stopping.")] = 2,
    seed: Annotated[int, typer.Option("--seed", help="Same seed and data: same network.")] = 1,
    database: Database = None,
    registry: Registry = None,
    as_json: AsJson = False,
) -> None:
    """Train a network, evaluate it and publish it. After an interruption, the same command goes on where it was.

    Example: duckprop train --features features.parquet --labels purchases.parquet --id customer --name retail
    """
    import duckprop
    from duckprop.dataset import Columns
    from duckprop.registry import Registry as Models
    from duckprop.training import Settings
    from duckprop.training import train as run

    settings = Settings(_sizes(hidden), dropout, learning_rate, batch, epochs, patience, seed)
    models = Models(registry)
    models.check_name(name)
    with (
        _alone(models.root / ".training" / name) as work,
        duckprop.connect(database or ":memory:", registry=registry, read_only=database is not None) as con,
        training() as report,
    ):
        model = run(
            features,
            labels,
            con=con,
            columns=Columns(names(ids), features_column),
            settings=settings,
            vocabulary=vocabulary,
            classes=names(classes),
            min_positives=min_positives,
            outcome=outcome,
            folder=work,
            report=report,
        )
        published = model.publish(name, registry)
    _say_left_out(model.card, min_positives)
    say(f"published {published.reference} in {published.folder}")
    rows = [(window, *_figures(found)) for window, found in model.card["metrics"].items()]
    write(("window", "rows", "macro_auc", "log_loss", "p_at_5"), rows, Format.JSON if as_json else Format.TABLE)


def _say_left_out(card: dict, min_positives: int) -> None:
    training = card["training"]
    reasons = {
        "rows_without_features": "rows have no features",
        "labels_without_row": f"of {training['labels']:,} labels have an id that no feature row has",
        "labels_of_other_categories": f"labels are in categories with fewer than {min_positives} training rows",
    }
    for key, reason in reasons.items():
        if training[key]:
            say(f"left out: {training[key]:,} {reason}")
    for window, share in card["features"]["out_of_vocabulary"].items():
        if share:
            say(f"left out: {share:.2%} of the features of the {window} rows: they are not in the vocabulary")


def _figures(found: dict) -> list[object]:
    overall = found["overall"]
    values = [overall[metric] for metric in ("macro_auc", "log_loss", "p_at_5_active")]
    return [found["support"]["rows"], *(None if value is None else round(value, 4) for value in values)]


def _sizes(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in names(text))
    except ValueError:
        raise UsageError(
            f"--hidden is '{text}'", "give whole numbers with commas between them: 256 or 256,128"
        ) from None


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[Path]:
    """Yield a work folder that no other training uses meanwhile; it is removed when the block ends well."""
    folder.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"another training of '{folder.name}' is running", "wait for it, or take another name"
            ) from None
        yield folder
        shutil.rmtree(folder)
