"""The k best categories of each customer."""

import numpy as np
from numpy.typing import NDArray


def top(
    propensities: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return heads int64 (n, min(k, N)), best first, and how many of each row count, int64 (n,).

    propensities: float32 (n, N) in [0, 1]. allowed: bool (n, N), which heads may be chosen. Equal propensities go
    to the lower head; k = 0 or nothing allowed gives none.
    """
    rows, heads = propensities.shape
    k = min(k, heads)
    allowed = np.ones(propensities.shape, bool) if allowed is None else allowed
    # for numbers that are not negative, a float's bits are ordered as the float is; + 1 keeps 0.0 above 'not allowed'
    rank = (propensities + np.float32(0)).view(np.uint32).astype(np.uint64) + np.uint64(1)
    tie = np.arange(heads - 1, -1, -1, dtype=np.uint64)
    key = np.where(allowed, (rank << np.uint64(31)) | tie, np.uint64(0))
    if k == 0:
        return np.zeros((rows, 0), np.int64), np.zeros(rows, np.int64)
    best = np.argpartition(key, heads - k, axis=1)[:, heads - k :]
    order = np.argsort(np.take_along_axis(key, best, axis=1), axis=1)[:, ::-1]
    return np.take_along_axis(best, order, axis=1), np.minimum(allowed.sum(axis=1), k)
