"""The k best categories of each customer."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Best:
    """heads: int64 (n, k), best first. propensities: float32 (n, k). counts: int64 (n,), how many of each row count."""

    heads: NDArray[np.int64]
    propensities: NDArray[np.float32]
    counts: NDArray[np.int64]


def best(propensities: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None) -> Best:
    """Return the min(k, N) best heads of each row; equal propensities go to the lower head.

    propensities: float32 (n, N) in [0, 1]. allowed: bool (n, N), which heads may be chosen. k = 0 or nothing allowed
    gives none.
    """
    rows, heads = propensities.shape
    k = min(k, heads)
    if k == 0:
        return Best(np.zeros((rows, 0), np.int64), np.zeros((rows, 0), np.float32), np.zeros(rows, np.int64))
    allowed = np.ones(propensities.shape, bool) if allowed is None else allowed
    # for numbers that are not negative, a float's bits are ordered as the float is; + 1 keeps 0.0 above 'not allowed'
    rank = (propensities + np.float32(0)).view(np.uint32).astype(np.uint64) + np.uint64(1)
    tie = np.arange(heads - 1, -1, -1, dtype=np.uint64)
    key = np.where(allowed, (rank << np.uint64(31)) | tie, np.uint64(0))
    chosen = np.argpartition(key, heads - k, axis=1)[:, heads - k :]
    order = np.argsort(np.take_along_axis(key, chosen, axis=1), axis=1)[:, ::-1]
    chosen = np.take_along_axis(chosen, order, axis=1)
    return Best(chosen, np.take_along_axis(propensities, chosen, axis=1), np.minimum(allowed.sum(axis=1), k))


def best_of_pairs(
    propensities: NDArray[np.float32], rows: NDArray[np.integer], heads: NDArray[np.integer], count: int
) -> Best:
    """Rank pairs of a row and a head, each once, within each of ``count`` rows; k is the longest row's length."""
    order = np.lexsort((heads, -propensities, rows))
    rows = rows[order]
    counts = np.bincount(rows, minlength=count)
    places = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = (count, int(counts.max(initial=0)))
    found = Best(np.zeros(shape, np.int64), np.zeros(shape, np.float32), counts)
    found.heads[rows, places], found.propensities[rows, places] = heads[order], propensities[order]
    return found
