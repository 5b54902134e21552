"""A model against labelled rows of a database."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

from duckprop.dataset import Columns, Rows, read_rows
from duckprop.errors import DataError
from duckprop.evaluation.metrics import Evaluation, evaluate
from duckprop.evaluation.report import write_report
from duckprop.labels import count_labels, read_outcomes
from duckprop.model import Model


@dataclass(frozen=True)
class Judged:
    """evaluation: the metrics. outcomes: bool (n, N). propensities: float32 (n, N). rows: the n rows, in id order.

    unmatched: labels of these rows in categories that the model does not have.
    without_row: labels of other ids.
    """

    evaluation: Evaluation
    outcomes: NDArray[np.bool_]
    propensities: NDArray[np.float32]
    rows: Rows
    unmatched: int
    without_row: int

    def write_report(
        self, path: Path, model: Model, *, title: str, baselines: Mapping[str, Evaluation] | None = None
    ) -> Path:
        """Write the HTML report; see ``evaluation.report``."""
        return write_report(
            path,
            title=title,
            model_card=model.card,
            evaluation=self.evaluation,
            baselines=baselines or {},
            history=model.card.get("training", {}).get("history", []),
            categories=model.categories,
            outcomes=self.outcomes,
            propensities=self.propensities,
        )


def evaluate_model(
    con: duckdb.DuckDBPyConnection,
    model: Model,
    features: str,
    labels: str,
    *,
    columns: Columns | None = None,
    engine: str = "compiled",
    new: NDArray[np.bool_] | None = None,
) -> Judged:
    """Score the rows of a features relation and compare with a labels relation; see ``train`` for both.

    new: bool (n, N) in id order, the pairs not bought lately. Raises DataError for relations that do not fit.
    """
    columns = columns or Columns()
    rows = read_rows(con, features, columns, width=model.width, vocabulary=model.vocabulary)
    outcomes, unmatched = read_outcomes(
        con, labels, columns, rows.ids, categories=model.categories, classes=model.classes
    )
    _, without_row = count_labels(con, labels, columns, rows.ids)
    if not len(outcomes.category):
        raise DataError(
            f"none of the labels belongs to these rows and the model's categories ({without_row:,} have other ids)",
            "check that features and labels have the same ids, and which model it is",
        )
    happened = outcomes.positives(np.arange(len(rows.batch)))
    propensities = model.scorer(engine).score(rows.batch)
    return Judged(evaluate(happened, propensities, new=new), happened, propensities, rows, unmatched, without_row)
