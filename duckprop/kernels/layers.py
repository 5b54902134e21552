"""The layers: sparse rows to hidden units, hidden units to hidden units, and the wide path."""

from typing import Any

import numpy as np
from numba import types

from duckprop.kernels.compiling import (
    COLUMN_NUMBERS,
    CSR,
    CUBE,
    FLOATS,
    INTS2,
    MATRIX,
    ONE,
    OUT,
    OUT2,
    OUT3,
    SIZE,
    ZERO,
    helper,
    jit,
)
from duckprop.kernels.functions import activate, largest
from duckprop.kernels.simd import COLUMNS, ROWS, copy_tile, prefetch, product

LARGEST = np.float32(1e37)
"""What the wide path may add to a logit at most."""
_AHEAD = 16
"""How many stored values ahead a weight row is asked for: memory is the limit of the first layer."""


@helper
def _pack(row: Any, r: Any, packed: Any) -> None:
    for j in range(row.size):
        packed[r // ROWS, j, r % ROWS] = row[j]


@helper
def _pack_nothing(first: Any, packed: Any) -> None:
    for r in range(first, packed.shape[0] * ROWS):
        for j in range(packed.shape[1]):
            packed[r // ROWS, j, r % ROWS] = ZERO


@helper
def _sizes(values: Any, start: Any, stop: Any) -> Any:
    total: Any = 0.0
    for at in range(start, stop):
        total += abs(np.float64(values[at]))
    return total


@jit(SIZE(*CSR, MATRIX, SIZE, types.float64, SIZE, FLOATS, FLOATS, INTS2, MATRIX, types.float32, OUT, OUT, OUT3))
def sparse_rows(
    indptr: Any, indices: Any, values: Any, weight: Any, start: Any, epsilon: Any, norm: Any, before: Any, bias: Any,
    runs: Any, parameters: Any, limit: Any, sums: Any, scales: Any, packed: Any,
) -> Any:  # fmt: skip
    """Set packed = activation(scale · (before + rows from ``start`` on @ weight) + bias), in tiles (tiles, H, ROWS).

    Values are multiplied and added one after another, as MXNet does: the same bits. weight: (F, H). before: (H,), or
    (0,) for nothing. runs, parameters: see ``activate``. sums: (H,), to compute in. scales (n,): 1 for epsilon < 0;
    else of each row 1 / sqrt(sum of squares + epsilon), and for norm 1 it is 1 / (sum of sizes + epsilon).
    Returns the first row with squares that float32 cannot hold or a number beyond ±limit or NaN, else −1.
    """
    width = weight.shape[1]
    for r in range(scales.size):
        sums[:] = ZERO
        squares = 0.0
        place, end = indptr[start + r], indptr[start + r + 1]
        while place + 4 <= end:
            for ahead in range(place + _AHEAD, min(place + _AHEAD + 4, indices.size)):
                for j in range(0, width, 16):
                    prefetch(weight, np.int64(indices[ahead]), j)
            v0, v1, v2, v3 = values[place], values[place + 1], values[place + 2], values[place + 3]
            w0, w1 = weight[indices[place]], weight[indices[place + 1]]
            w2, w3 = weight[indices[place + 2]], weight[indices[place + 3]]
            for j in range(width):
                sums[j] = (((sums[j] + v0 * w0[j]) + v1 * w1[j]) + v2 * w2[j]) + v3 * w3[j]
            squares += (np.float64(v0) * v0 + np.float64(v1) * v1) + (np.float64(v2) * v2 + np.float64(v3) * v3)
            place += 4
        while place < end:
            v0 = values[place]
            w0 = weight[indices[place]]
            for j in range(width):
                sums[j] += v0 * w0[j]
            squares += np.float64(v0) * v0
            place += 1
        scales[r] = ONE
        if epsilon >= 0:
            if not squares < 3.4e38:
                return start + r
            scales[r] = np.float32(1 / np.sqrt(squares + epsilon))
            if norm == 1:
                scales[r] = np.float32(1 / (_sizes(values, indptr[start + r], end) + epsilon))
            for j in range(before.size):
                sums[j] += before[j]
            for j in range(width):
                sums[j] *= scales[r]
        activate(sums, bias, runs, parameters)
        if not largest(sums, width) <= limit:
            return start + r
        _pack(sums, r, packed)
    _pack_nothing(scales.size, packed)
    return np.int64(-1)


@jit(SIZE(OUT2, FLOATS, INTS2, MATRIX, types.float32, OUT3))
def activate_rows(sums: Any, bias: Any, runs: Any, parameters: Any, limit: Any, packed: Any) -> Any:
    """Set packed = activation(sums + bias) of a hidden layer, in tiles as above; sums (n, H) change.

    Returns the first row with a number beyond ±limit or NaN, else −1.
    """
    for r in range(sums.shape[0]):
        activate(sums[r], bias, runs, parameters)
        if not largest(sums[r], bias.size) <= limit:
            return np.int64(r)
        _pack(sums[r], r, packed)
    _pack_nothing(sums.shape[0], packed)
    return np.int64(-1)


@helper
def store(tile: Any, out: Any, row: Any, column: Any) -> None:
    """Write what of a tile lies inside of out."""
    if row + ROWS <= out.shape[0] and column + COLUMNS <= out.shape[1]:
        copy_tile(tile, out, row, column)
        return
    for r in range(min(ROWS, out.shape[0] - row)):
        for j in range(min(COLUMNS, out.shape[1] - column)):
            out[row + r, column + j] = tile[r, j]


@jit(types.void(CUBE, CUBE, FLOATS, OUT2, OUT2))
def dense_rows(packed: Any, weights: Any, zeros: Any, out: Any, tile: Any) -> None:
    """Set out (n, M) = the rows of packed (tiles, H, ROWS) @ weights, given as panels (panels, H, COLUMNS)."""
    for panel in range(weights.shape[0]):
        for t in range(packed.shape[0]):
            product(packed[t], weights[panel], zeros, tile)
            store(tile, out, t * ROWS, panel * COLUMNS)


@jit(SIZE(*CSR, SIZE, FLOATS, *CSR, COLUMN_NUMBERS, OUT2))
def wide_rows(
    indptr: Any, indices: Any, values: Any, start: Any, scales: Any,
    wide_indptr: Any, wide_columns: Any, wide_values: Any, places: Any, out: Any,
) -> Any:  # fmt: skip
    """Set out[r] = row start + r @ wide, scaled: only the columns that ``places`` gives a place in out, −1 for none.

    Returns the first row with a number beyond ±1e37 or NaN, else −1.
    """
    for r in range(scales.size):
        out[r] = ZERO
        for at in range(indptr[start + r], indptr[start + r + 1]):
            column = indices[at]
            for w in range(wide_indptr[column], wide_indptr[column + 1]):
                place = places[wide_columns[w]]
                if place >= 0:
                    out[r, place] += values[at] * wide_values[w]
        for j in range(out.shape[1]):
            out[r, j] *= scales[r]
        if not largest(out[r], out.shape[1]) <= LARGEST:
            return np.int64(r)
    return np.int64(-1)
