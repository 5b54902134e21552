"""Every import proves itself: the same rows through the source's own framework, our engine, and MXNet."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
from scipy import sparse

from duckprop import mxnet_compat
from duckprop.engine import Scorer
from duckprop.errors import ModelError, UsageError
from duckprop.formats.artefact import Artefact
from duckprop.mxnet_engine import MXNetScorer
from duckprop.sparse import SparseBatch, from_scipy
from duckprop.verify import KINDS, random_rows

ROWS = 1000
_ROUNDED = 3e-5
"""Rounding of float32 alone can come to this where sums are large."""


def sample_rows(width: int, is_counts: bool, seed: int = 1) -> SparseBatch:
    """Return ROWS rows: a tenth empty, a tenth of one feature, the others of few or many, half of them ones only."""
    random = np.random.default_rng(seed)
    sizes = {"empty": ROWS // 10, "single": ROWS // 10, "few": ROWS // 2, "many": ROWS * 3 // 10}
    rows = sparse.vstack([random_rows(random, kind, sizes[kind], width).to_scipy() for kind in KINDS]).tocsr()
    is_ones = np.repeat(np.arange(ROWS) % 2 == 0, np.diff(rows.indptr))
    if is_counts:
        rows.data = np.minimum(np.ceil(np.abs(rows.data)), 3).astype(np.float32)
    rows.data[is_ones] = 1
    norms = np.sqrt(np.bincount(np.repeat(np.arange(ROWS), np.diff(rows.indptr)), rows.data.astype(float) ** 2, ROWS))
    if not is_counts:  # rows of many ones go far beyond what a network was trained on
        rows.data /= np.repeat(np.maximum(norms / 10, 1), np.diff(rows.indptr)).astype(np.float32)
    return from_scipy(rows)


def compare_with_source(artefact: Artefact, scorer: Scorer, tolerance: float | None) -> dict[str, Any]:
    """Return what the card records of the comparison. Raises ModelError where the propensities are too far apart."""
    limit = artefact.tolerance if tolerance is None else tolerance
    if artefact.reference is None:
        return {"against": None, "why": artefact.unverified}
    batch = sample_rows(scorer.width, artefact.notes.get("values") == "counts")
    found = scorer.score(batch).astype(np.float64)
    expected = np.asarray(artefact.reference(batch.to_scipy()), np.float64)
    if expected.shape != found.shape:
        raise ModelError(f"{artefact.framework} gives {expected.shape} propensities, the import {found.shape}", _DEFECT)
    worst = float(np.abs(found - expected).max(initial=0.0))
    if not worst <= limit:
        row, head = np.unravel_index(int(np.abs(found - expected).argmax()), found.shape)
        raise ModelError(
            f"on {ROWS} rows the imported model is up to {worst:.1e} from {artefact.framework} (row {row}, category "
            f"{head}: {found[row, head]:.7f}, not {expected[row, head]:.7f}); the tolerance is {limit}",
            "nothing was published; " + (_ROUNDING if worst <= _ROUNDED else _DEFECT),
        )
    rows = batch.to_scipy()
    seconds = _seconds({"source": lambda: artefact.reference(rows), "duckprop": lambda: scorer.score(batch)})  # type: ignore[misc]
    return {
        "against": artefact.framework,
        "rows": ROWS,
        "max_abs_difference": worst,
        "tolerance": limit,
        "rows_per_second": {name: round(ROWS / each) for name, each in seconds.items()},
    }


def check_probabilities(scorer: Scorer) -> None:
    """Raise ModelError where a graph that is taken as it is gives no probabilities, or a category's do not add up to 1.

    Comparing such a graph with itself cannot show that its outputs are logits, or stand in another order.
    """
    batch = sample_rows(scorer.width, is_counts=False)
    found = scorer.score(batch)
    low, high = float(found.min()), float(found.max())
    if not (low >= -_SLACK and high <= 1 + _SLACK):
        raise ModelError(
            f"the graph gives numbers from {low:.3g} to {high:.3g}, which are no probabilities",
            "say what belongs behind them: --output sigmoid, or --output softmax",
        )
    some = np.repeat(np.arange(0, ROWS, 10), scorer.heads)
    heads = np.tile(np.arange(scorer.heads), len(some) // scorer.heads)
    sums = scorer.classes(batch, some, heads).sum(axis=1)
    worst = int(np.abs(sums - 1).argmax())
    if not abs(sums[worst] - 1) <= _SLACK:
        raise ModelError(
            f"the classes of category {heads[worst]} add up to {sums[worst]:.3g}, not to 1",
            "let the graph give (rows, categories, classes), or one output (rows, classes) a category, and no others",
        )


_SLACK = 1e-2
"""How far from 1 probabilities may add up where they are computed in float16."""


def _seconds(sides: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median seconds of each side, run in turn; both have run once before."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(3):
        for name, run in sides.items():
            began = perf_counter()
            run()
            found[name].append(perf_counter() - began)
    return {name: float(np.median(each)) for name, each in found.items()}


def compare_with_mxnet(prefix: str, scorer: Scorer, shape: tuple[int, int], positive: int) -> dict[str, Any]:
    """Return how far the engine is from MXNet on the files that the bundle holds, and whether embeddings agree."""
    try:
        mxnet_compat.load()
    except UsageError as error:
        return {"why": error.fact}
    reference = MXNetScorer(prefix, scorer.width, shape, positive)
    batch = sample_rows(scorer.width, is_counts=False)
    worst = float(np.abs(scorer.score(batch) - reference.score(batch)).max(initial=0.0))
    return {"rows": ROWS, "max_abs_difference": worst, "embedding": _embeds_alike(scorer, reference, batch)}


def _embeds_alike(scorer: Scorer, reference: Scorer, batch: SparseBatch) -> bool:
    try:
        found, expected = scorer.embed(batch), reference.embed(batch)
    except ModelError:
        return False
    return found.shape == expected.shape and bool(np.allclose(found, expected, rtol=1e-4, atol=1e-5))


_DEFECT = "report this as a defect of duckprop"
_ROUNDING = "rounding of large sums in float32 can come to that: accept it with --tolerance 1e-4"
