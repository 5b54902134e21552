"""Outcomes and propensities as evaluation accepts them, checked once."""

from typing import Any

import numpy as np
import scipy.sparse

from duckprop.errors import DataError
from duckprop.evaluation.ranking import Array


def checked(outcomes: Any, propensities: Any, new: Any = None) -> tuple[Array, Array, Array | None]:
    """Return outcomes (bool), propensities (floating, not copied if floating already) and the ``new`` mask (bool).

    DataError for unequal shapes, outcomes or masks other than 0/1, NaN, or propensities outside [0, 1].
    """
    scores = _scores(propensities)
    bought = _flags(outcomes, "outcomes", scores.shape)
    return bought, scores, None if new is None else _flags(new, "new", scores.shape)


def _scores(propensities: Any) -> Array:
    scores = np.asarray(propensities)
    if scores.dtype.kind not in "fiub":
        raise DataError(f"propensities have the type {scores.dtype}", "Give a float32 array.")
    if scores.dtype.kind != "f":
        scores = scores.astype(np.float32)
    # Minimum and maximum carry NaN along and need no temporary array.
    if scores.size and not (scores.min() >= 0 and scores.max() <= 1):
        wrong = _first(~((scores >= 0) & (scores <= 1)))
        raise DataError(
            f"the propensity {_place(wrong)} is {float(scores[wrong]):g}",
            "Propensities lie in [0, 1]; turn logits into probabilities and look for NaN in the features.",
        )
    return scores


def _flags(values: Any, what: str, shape: tuple[int, ...]) -> Array:
    if values.shape != shape if scipy.sparse.issparse(values) else np.shape(values) != shape:
        raise DataError(
            f"{what}: {_size(np.shape(values))}, propensities: {_size(shape)}",
            "Give both one row per customer and one column per category, in the same order.",
        )
    # toarray() adds up the duplicates of a pair, so they show as 2 below.
    array = values.toarray() if scipy.sparse.issparse(values) else np.asarray(values)
    if array.dtype == bool:
        return array
    flags = array == 1
    wrong = ~(flags | (array == 0))
    if wrong.any():
        where = _first(wrong)
        raise DataError(f"{what}: the value {_place(where)} is {array[where]}", "Give 0 or 1, or booleans.")
    return flags


def _first(wrong: Array) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(wrong.argmax()), wrong.shape))


def _place(where: tuple[int, ...]) -> str:
    return "in " + ", ".join(f"{name} {i}" for name, i in zip(("row", "category"), where, strict=False))


def _size(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or "a single value"
