"""The heads: all of them, the k best, or single ones.

A propensity is 1 / (1 + the sum over the other classes of exp(their logit − the positive class's logit)).
weights: float32 (panels, K − 1, H, COLUMNS), those differences; bias: the same without H. packed: float32
(tiles, H, ROWS), the last hidden layer. wide: (n, panels · (K − 1) · COLUMNS), or (0, 0) where there is none.
"""

from typing import Any

import numpy as np
from numba import types

from duckprop.kernels.compiling import (
    CSR,
    CUBE,
    DOUBLES,
    FLAGS2,
    FLOATS,
    FOUR,
    INTS,
    INTS_OUT,
    INTS_OUT2,
    MATRIX,
    ONE,
    OUT,
    OUT2,
    SIZE,
    ZERO,
    helper,
    jit,
)
from duckprop.kernels.functions import HIGHEST, entry, exp_plus
from duckprop.kernels.layers import LARGEST, store
from duckprop.kernels.simd import (
    COLUMNS,
    ROWS,
    copy_tile,
    keep_lowest,
    lanes_below,
    lowest_bit,
    multiply_add,
    prefetch_tile,
    product,
)

TILES = 8
"""How many tiles are scored before the next: 96 rows of 2,000 propensities still fit into the second-level cache."""
_LARGEST = np.float32(3e38)
"""No key is larger, so that infinity is left for what must not be chosen; seven classes would reach it."""


@helper
def _logits(packed: Any, weights: Any, bias: Any, wide: Any, start: Any, column: Any, tile: Any) -> None:
    """Set tile = bias + packed @ weights + wide's columns from ``column`` on, for the rows from ``start`` on."""
    product(packed, weights, bias, tile)
    for r in range(min(ROWS, wide.shape[0] - start)):
        for j in range(COLUMNS):
            tile[r, j] += wide[start + r, column + j]


@helper
def _keys(packed: Any, weights: Any, bias: Any, wide: Any, start: Any, panel: Any, tile: Any, keys: Any) -> None:
    """Set keys to what falls as the propensity rises: for K = 2 the other class's logit − the positive one's.

    Else that is the sum of exp(logit − the positive class's logit) over all classes.
    """
    others = weights.shape[1]
    if others == 1:
        _logits(packed, weights[panel, 0], bias[panel, 0], wide, start, panel * COLUMNS, keys)
        return
    keys[:] = ONE
    for other in range(others):
        _logits(
            packed, weights[panel, other], bias[panel, other], wide, start, (panel * others + other) * COLUMNS, tile
        )
        for r in range(ROWS):
            for j in range(COLUMNS):
                keys[r, j] = min(exp_plus(tile[r, j], keys[r, j]), _LARGEST)


@helper
def propensity(key: Any, others: Any) -> Any:
    """Return the propensity of a key."""
    return ONE / (exp_plus(key, ONE) if others == 1 else key)


@jit(types.void(CUBE, FOUR, CUBE, MATRIX, OUT2, OUT2, OUT2))
def score_rows(packed: Any, weights: Any, bias: Any, wide: Any, out: Any, tile: Any, keys: Any) -> None:
    """Compute all propensities: out (n, M)."""
    others, flat = weights.shape[1], keys.reshape(ROWS * COLUMNS)
    for first in range(0, packed.shape[0], TILES):
        for panel in range(weights.shape[0]):
            for t in range(first, min(first + TILES, packed.shape[0])):
                prefetch_tile(out, t * ROWS, panel * COLUMNS)
                _keys(packed[t], weights, bias, wide, t * ROWS, panel, tile, keys)
                if others == 1:
                    for i in range(flat.size):
                        flat[i] = ONE / exp_plus(flat[i], ONE)
                else:
                    for i in range(flat.size):
                        flat[i] = ONE / flat[i]
                store(keys, out, t * ROWS, panel * COLUMNS)


@helper
def _with_margin(key: Any, others: Any) -> Any:
    """Return what no key exceeds whose propensity may round to that of ``key`` or to more: many do at both ends."""
    if others == 1 and key > HIGHEST - ONE:
        return _LARGEST
    least = np.float64(propensity(key, others)) * (1 - 1e-6)
    bound = np.log((1 - least) / least) if others == 1 else 1 / least
    return min(np.float32(bound), _LARGEST)


@helper
def _worth_a_look(lowest: Any, row: Any, k: Any, keys: Any, others: Any) -> Any:
    """Return a key that at least k heads of a row do not exceed: the k-th of the lowest of COLUMNS groups of heads."""
    if k > COLUMNS:
        return _LARGEST
    for group in range(COLUMNS):
        key = lowest[row, group]
        if group >= k and not key < keys[k - 1]:
            continue
        place = min(group, k - 1)
        while place > 0 and keys[place - 1] > key:
            keys[place] = keys[place - 1]
            place -= 1
        keys[place] = key
    return _with_margin(keys[k - 1], others)


@helper
def _fill(
    packed: Any, weights: Any, bias: Any, wide: Any, first: Any, banned: Any, heads: Any, tile: Any, keys: Any,
    rows: Any, lowest: Any,
) -> None:  # fmt: skip
    """Set rows = the keys of TILES tiles from the ``first`` on, infinite where banned, and their groups' lowest."""
    lowest[:] = np.float32(np.inf)
    for panel in range(weights.shape[0]):
        column = panel * COLUMNS
        for t in range(first, min(first + TILES, packed.shape[0])):
            _keys(packed[t], weights, bias, wide, t * ROWS, panel, tile, keys)
            for r in range(min(ROWS, banned.shape[0] - t * ROWS)):
                for j in range(min(COLUMNS, heads - column)):
                    if banned[t * ROWS + r, column + j]:
                        keys[r, j] = np.float32(np.inf)
            for r in range(ROWS):
                for j in range(heads - column, COLUMNS):
                    keys[r, j] = np.float32(np.inf)
            keep_lowest(keys, lowest, (t - first) * ROWS)
            copy_tile(keys, rows, (t - first) * ROWS, column)


@jit(types.void(CUBE, FOUR, CUBE, MATRIX, FLOATS, DOUBLES, FLAGS2, INTS_OUT2, OUT2, INTS_OUT, SIZE, OUT2, OUT2, OUT2,
                OUT2, OUT))  # fmt: skip
def top_rows(
    packed: Any, weights: Any, bias: Any, wide: Any, limits: Any, least: Any, banned: Any, best: Any,
    propensities: Any, counts: Any, heads: Any, tile: Any, keys: Any, rows: Any, lowest: Any, winners: Any,
) -> None:  # fmt: skip
    """Find the k best heads of each row, best first; equal propensities go to the lower head.

    Only keys that may win are turned into propensities. limits: (n,), keys that none above can reach least (n,).
    banned: bool (n, heads), or (0, 0). best, propensities: (n, k), of which counts (n,) are filled. To compute in:
    tile, keys: (ROWS, COLUMNS); rows: (TILES · ROWS, panels · COLUMNS); lowest: (TILES · ROWS, COLUMNS); winners: (k,).
    """
    others, k = weights.shape[1], best.shape[1]
    for first in range(0, packed.shape[0], TILES):
        _fill(packed, weights, bias, wide, first, banned, heads, tile, keys, rows, lowest)
        start = first * ROWS
        for row in range(start, min(start + TILES * ROWS, counts.size)):
            limit = min(_worth_a_look(lowest, row - start, k, winners, others), min(limits[row], _LARGEST))
            count = 0
            for column in range(0, rows.shape[1], COLUMNS):
                hits = lanes_below(rows, row - start, column, limit)
                while hits:
                    j = lowest_bit(hits)
                    hits &= hits - 1
                    key = rows[row - start, column + j]
                    p = propensity(key, others)
                    if p < least[row] or (count == k and p <= propensities[row, k - 1]):
                        continue
                    place = min(count, k - 1)
                    while place > 0 and propensities[row, place - 1] < p:
                        best[row, place] = best[row, place - 1]
                        propensities[row, place] = propensities[row, place - 1]
                        winners[place] = winners[place - 1]
                        place -= 1
                    best[row, place], propensities[row, place], winners[place] = column + j, p, key
                    count = min(count + 1, k)
                    if count == k > COLUMNS:
                        limit = min(limit, _with_margin(winners[k - 1], others))
            counts[row] = count


@helper
def _other_classes(out: Any, i: Any, positive: Any) -> None:
    """Turn differences of logits into the probabilities of the classes that are not positive, in row i of out.

    The largest logit is subtracted first, as any softmax does: two classes far above the positive one stay apart.
    """
    highest = ZERO
    for number in range(out.shape[1]):
        if number != positive:
            highest = max(highest, out[i, number])
    total = exp_plus(-highest, ZERO)
    for number in range(out.shape[1]):
        if number != positive:
            out[i, number] = exp_plus(out[i, number] - highest, ZERO)
            total += out[i, number]
    for number in range(out.shape[1]):
        if number != positive:
            out[i, number] /= total


@jit(SIZE(*CSR, FLOATS, CUBE, FOUR, CUBE, *CSR, SIZE, SIZE, INTS, INTS, OUT2))
def score_pairs(
    indptr: Any, indices: Any, values: Any, scales: Any, packed: Any, weights: Any, bias: Any, wide_indptr: Any,
    wide_columns: Any, wide_values: Any, heads: Any, positive: Any, pair_rows: Any, pair_heads: Any, out: Any,
) -> Any:  # fmt: skip
    """Compute the propensity of each pair of a row and a head: the same bits as ``score_rows``.

    out: (pairs, K) for the probabilities of all classes, the propensity in column ``positive``; or (pairs, 1) for the
    propensity alone, ``positive`` then being 0.
    wide_indptr: (F + 1,), or (0,) where there is none; column c of head h is c · heads + h.
    Returns the first row to which the wide path adds a number beyond ±1e37 or NaN, else −1.
    """
    others, is_whole = weights.shape[1], out.shape[1] > 1
    for i in range(out.shape[0]):
        row, panel, lane = pair_rows[i], pair_heads[i] // COLUMNS, pair_heads[i] % COLUMNS
        key = ONE
        for other in range(others):
            logit = bias[panel, other, lane]
            for unit in range(packed.shape[1]):
                logit = multiply_add(packed[row // ROWS, unit, row % ROWS], weights[panel, other, unit, lane], logit)
            if wide_indptr.size:
                column = other * heads + pair_heads[i]
                total = ZERO
                for at in range(indptr[row], indptr[row + 1]):
                    total += values[at] * entry(indices[at], column, wide_indptr, wide_columns, wide_values)
                total *= scales[row]
                if not abs(total) <= LARGEST:
                    return row
                logit += total
            key = logit if others == 1 else min(exp_plus(logit, key), _LARGEST)
            if is_whole:
                out[i, other + (other >= positive)] = logit
        if is_whole:
            _other_classes(out, i, positive)
        out[i, positive] = propensity(key, others)
    return np.int64(-1)


@jit(types.void(MATRIX, FLOATS, MATRIX, SIZE, OUT2))
def link_rows(sums: Any, bias: Any, wide: Any, is_softmax: Any, out: Any) -> None:
    """Set out (n, N) = one softmax over all categories, or a sigmoid of each divided by their sum.

    sums (n, N), bias (N,) and wide (n, at least N), or (0, 0): what adds up to 0 − the category's logit.
    """
    for r in range(out.shape[0]):
        lowest = np.float32(np.inf)
        for j in range(out.shape[1]):
            key = sums[r, j] + bias[j]
            if wide.shape[0]:
                key += wide[r, j]
            out[r, j] = key
            lowest = min(lowest, key)
        total: Any = 0.0
        for j in range(out.shape[1]):
            if is_softmax:
                out[r, j] = exp_plus(lowest - out[r, j], ZERO)
            else:
                out[r, j] = ONE / exp_plus(out[r, j], ONE)
            total += np.float64(out[r, j])
        for j in range(out.shape[1]):
            out[r, j] = np.float32(np.float64(out[r, j]) / total)
