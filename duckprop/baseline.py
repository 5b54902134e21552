"""How a model's propensities were distributed when it was trained: what later ones are compared with to see drift."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from duckprop.bundle import BASELINE, read_file
from duckprop.errors import ModelError
from duckprop.parquet import read_table

BINS = 10
_SCHEMA = pa.schema([("category_id", pa.int32()), ("bin", pa.int32()), ("upper", pa.float32()), ("n", pa.int64())])


def baseline_of(propensities: NDArray[np.float32]) -> pa.Table:
    """Return the distribution of propensities (n, N), n > 0: for each category up to BINS bins of equal population.

    Columns: category_id INTEGER, bin INTEGER from 1, upper FLOAT, n BIGINT. A bin holds what is above the upper edge
    of the bin before and at most its own. Edges are propensities themselves, those at each tenth of their order; equal
    ones make one bin. The last edge is infinity; where the largest propensity is an edge too, that bin is empty.
    """
    heads = propensities.shape[1]
    columns: list[tuple[NDArray[Any], ...]] = []
    for head in range(heads):
        ordered = np.sort(propensities[:, head])
        edges = edges_of(ordered)
        counts = np.diff(np.searchsorted(ordered, edges, side="right"), prepend=0)
        columns.append((np.full(len(edges), head), np.arange(1, len(edges) + 1), edges, counts))
    return pa.table([np.concatenate(parts) for parts in zip(*columns, strict=True)], names=_SCHEMA.names).cast(_SCHEMA)


def edges_of(ordered: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the upper edges, rising to infinity, of up to BINS bins of propensities (n,) in rising order, n > 0."""
    places = -(-len(ordered) * np.arange(1, BINS) // BINS) - 1  # in whole numbers: 0.1 * 3 is not 0.3
    return np.append(np.unique(ordered[places]), np.float32(np.inf))


def write_baseline(folder: Path, propensities: NDArray[np.float32]) -> None:
    """Write the distribution of propensities (n, N) into a bundle's folder."""
    pq.write_table(baseline_of(propensities), folder / BASELINE)


def read_baseline(folder: Path, card: dict[str, Any], reference: str) -> pa.Table:
    """Return what ``write_baseline`` wrote, categories in head order and bins rising.

    Raises ModelError where the bundle has no baseline, or one that does not fit its card.
    """
    if BASELINE not in card["files"]:
        raise ModelError(
            f"model '{reference}' carries no baseline: it was trained before models had one, or elsewhere",
            "give propensity_drift a relation of earlier propensities as its baseline, or train the model again",
        )
    path, categories = folder / BASELINE, len(card["categories"])
    table = read_table(path, read_file(folder, card, BASELINE), "baseline", most=BINS * categories)
    fault = _fault(table, categories)
    if fault:
        raise ModelError(f"{path} is no baseline of this model: {fault}", _AGAIN)
    return table


def _fault(table: pa.Table, categories: int) -> str | None:
    """Return what is wrong with a baseline, or None."""
    if table.schema != _SCHEMA:
        return f"its columns are {', '.join(f'{field.name} {field.type}' for field in table.schema)}"
    if any(column.null_count for column in table.columns):
        return "it has NULLs"
    ids, bins, uppers, counts = (column.to_numpy() for column in table.columns)
    is_first = np.append(True, ids[1:] != ids[:-1])[: len(ids)]
    starts = np.flatnonzero(is_first)
    if not np.array_equal(ids[starts], np.arange(categories)):
        return f"its categories are not 0 to {categories - 1}, each once"
    if not np.array_equal(bins, np.arange(len(bins)) - starts[ids] + 1):
        return "the bins of a category are not numbered from 1"
    is_last = np.roll(is_first, -1)
    if not (np.isposinf(uppers) == is_last).all() or not (uppers[1:] > uppers[:-1])[~is_first[1:]].all():
        return "the edges of a category do not rise to infinity"
    if (counts < 0).any():
        return f"it counts {counts.min()} propensities in a bin"
    return None


_AGAIN = "copy the model again from where it was published, or train it again"
