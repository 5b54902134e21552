"""From a features and a labels relation to a model's bundle."""

import hashlib
import json
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from duckprop.dataset import SPLITS, Columns, Rows, fingerprint_of, learnable, names_in, read_rows
from duckprop.errors import DataError, UsageError
from duckprop.labels import count_labels, frequent_categories, read_outcomes
from duckprop.model import Model
from duckprop.outcomes import Outcomes
from duckprop.relation import as_query, columns_of, require
from duckprop.training.bundle import make_bundle
from duckprop.training.loop import Trainer
from duckprop.training.periods import windows
from duckprop.training.settings import Report, Settings
from duckprop.vocabulary import Vocabulary

_HELD_OUT = 0.1


def train(  # noqa: PLR0913  # keywords, one for each thing that a scientist may set
    features: str,
    labels: str,
    *,
    con: duckdb.DuckDBPyConnection | None = None,
    columns: Columns | None = None,
    settings: Settings | None = None,
    vocabulary: str | None = None,
    classes: Sequence[str] = ("yes", "no"),
    min_positives: int = 20,
    outcome: str | None = None,
    folder: str | Path | None = None,
    report: Report | None = None,
) -> Model:
    """Train a network and return it as a Model, not yet published.

    features: relation of ids, features and, if it has one, a split ('train', 'validation', 'test'); without it, or
    without rows to validate on, every tenth customer (first id), chosen by the seed, validates.
    labels: relation of (ids, category), or (ids, list of categories). Both are a table, a Parquet path or a SELECT.
    vocabulary: relation (column, feature) that names the columns; without it, named features are those of the training
    rows. classes: the positive class first, 'nothing' last; with more than two, labels need a class column.
    min_positives: labelled training rows below which a category is left out. outcome: what the labels mean, for the
    card.
    folder: where checkpoints and the bundle go; the same call with the same folder resumes after any interruption and
    ends with the same network as without it. Without a folder, a temporary one that goes with the Model: publish it.
    Raises DataError, UsageError or ModelError that say what to change.
    """
    columns, settings = _checked(columns, settings, classes)
    con = duckdb.connect() if con is None else con
    names = names_of(con, vocabulary) if vocabulary else names_in(con, features, columns)
    rows = read_rows(con, features, columns, width=len(names) if names else None, vocabulary=names)
    training, validation = split_rows(rows, settings.seed)
    if names and not vocabulary:
        rows, names = learnable(rows, names, training)
    training_ids = rows.ids.take(pa.array(training))
    categories = frequent_categories(con, labels, columns, training_ids, at_least=min_positives, positive=classes[0])
    outcomes, other = read_outcomes(con, labels, columns, rows.ids, categories=categories, classes=classes)
    pairs, without_row = count_labels(con, labels, columns, rows.ids)
    parts = (training, validation)
    splits = dict(zip(SPLITS, (*parts, rows.where("test")), strict=True))
    periods = windows(con, features, columns, rows, parts=splits)
    data = fingerprint_of(rows, outcomes)
    temporary = None if folder else tempfile.mkdtemp(prefix="duckprop-")
    home = Path(folder or str(temporary))
    home.mkdir(parents=True, exist_ok=True)
    trainer = _trainer(rows, outcomes, parts, settings=settings, folder=home, data=data)
    trainer.run(report)
    left_out = {"labels": pairs, "labels_without_row": without_row, "labels_of_other_categories": other}
    about = {
        "outcome": outcome,
        "windows": periods,
        "fingerprint": data,
        "settings": settings.as_dict(),
        "left_out": left_out,
    }
    model = make_bundle(trainer, rows, about, home / "bundle", names=names)
    if temporary:
        weakref.finalize(model, shutil.rmtree, temporary, ignore_errors=True)
    return model


def _checked(columns: Columns | None, settings: Settings | None, classes: Sequence[str]) -> tuple[Columns, Settings]:
    """Return columns and settings, filled in. Raises UsageError for what is neither, and for fewer than two classes."""
    for name, value, kind in (("columns", columns, Columns), ("settings", settings, Settings)):
        if not isinstance(value, kind | None):
            raise UsageError(f"{name} is of type {type(value).__name__}", f"give duckprop.{kind.__name__}(…)")
    if isinstance(classes, str) or len(set(classes)) != len(classes) or not 2 <= len(classes) <= 127 or "" in classes:
        raise UsageError(f"classes are {classes!r}", "give 2 to 127 different names, the last one for 'nothing'")
    return columns or Columns(), settings or Settings()


def _trainer(
    rows: Rows,
    outcomes: Outcomes,
    parts: tuple[NDArray[np.int64], NDArray[np.int64]],
    *,
    settings: Settings,
    folder: Path,
    data: str,
) -> Trainer:
    training, validation = parts
    key = json.dumps([data, settings.as_dict(), training.tolist(), validation.tolist()])
    return Trainer(
        rows.batch,
        outcomes,
        train=training,
        validation=validation,
        settings=settings,
        folder=folder,
        fingerprint=hashlib.sha256(key.encode()).hexdigest(),
    )


def names_of(con: duckdb.DuckDBPyConnection, relation: str) -> Vocabulary:
    """Read a vocabulary relation (column, feature). Raises DataError where the columns are not exactly 0, 1, 2 …"""
    there = columns_of(con, relation, "the vocabulary relation")
    require(there, ["column", "feature"], "the vocabulary relation")
    rows = con.execute(f'SELECT "column", feature FROM ({as_query(relation)}) ORDER BY 1').fetchall()
    if [column for column, _ in rows] != list(range(len(rows))) or not rows:
        raise DataError("the vocabulary's columns are not 0, 1, 2 … without a gap", "number the features from 0")
    return Vocabulary(str(name) if name is not None else "" for _, name in rows)


def split_rows(rows: Rows, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the positions of training and validation rows. Raises DataError when there are too few of either.

    A tenth that is drawn is one of the customers, whom the first id tells apart: all rows of one are on the same side.
    """
    training = rows.where("train") if rows.split is not None else np.arange(len(rows.batch))
    validation = rows.where("validation")
    if not len(validation):
        customers = rows.ids.column(0).take(pa.array(training)).combine_chunks().dictionary_encode()
        order = np.random.default_rng(seed).permutation(len(customers.dictionary))
        held_out = np.isin(np.asarray(customers.indices), order[: int(len(order) * _HELD_OUT)])
        validation, training = training[held_out], training[~held_out]
    if not len(training) or not len(validation):
        raise DataError(
            f"{len(training)} training and {len(validation)} validation rows are too few",
            "give more rows, or a column split with 'train' and 'validation'",
        )
    return training, validation
