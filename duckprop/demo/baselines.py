"""What needs no model, on the test window: the figures that the network has to beat."""

import duckdb
import numpy as np
from numpy.typing import NDArray

from duckprop.errors import DataError
from duckprop.evaluation.metrics import Evaluation, evaluate
from duckprop.evaluation.model import Judged

NAMES = {
    "popularity": "popularity",
    "last_28_days": "bought in the last 28 days",
    "personal_frequency": "personal frequency",
}


def not_bought_lately(con: duckdb.DuckDBPyConnection, categories: tuple[str, ...]) -> NDArray[np.bool_]:
    """Return which pairs of the test window were not bought in the 84 days before, bool (n, N), in household order."""
    return ~_matrix(con, "bought_last_84_days", categories)


def evaluate_baselines(
    con: duckdb.DuckDBPyConnection, judged: Judged, categories: tuple[str, ...], new: NDArray[np.bool_]
) -> dict[str, Evaluation]:
    """Return the evaluation of each baseline on the same rows and outcomes as the model's."""
    return {
        label: evaluate(judged.outcomes, _matrix(con, column, categories), new=new) for column, label in NAMES.items()
    }


def _matrix(con: duckdb.DuckDBPyConnection, column: str, categories: tuple[str, ...]) -> NDArray:
    names, values = con.execute(
        f"SELECT category, {column} FROM baselines ORDER BY household_id, category"
    ).fetchnumpy().values()  # fmt: skip
    if len(values) % len(categories) or tuple(names[: len(categories)]) != categories:
        raise DataError("the baselines do not cover the model's categories", "run the demo with --fresh")
    return np.asarray(values).reshape(-1, len(categories))
