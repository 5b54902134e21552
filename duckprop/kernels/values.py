"""What is done to single stored values: checked, and weighed for an explanation."""

from typing import Any

import numpy as np
from numba import types

from duckprop.kernels.compiling import (
    COLUMN_NUMBERS,
    CSR,
    DOUBLES2,
    DOUBLES_OUT,
    FLOATS,
    INTS,
    MATRIX,
    SIZE,
    jit,
)
from duckprop.kernels.functions import entry


@jit(types.boolean(INTS, COLUMN_NUMBERS, FLOATS, SIZE))
def is_canonical(indptr: Any, columns: Any, values: Any, width: Any) -> Any:
    """Whether columns lie in [0, width) and strictly increase in every row, and all values are finite."""
    bad = 0
    for at in range(columns.size):
        bad |= (columns[at] < 0) | (columns[at] >= width) | (not abs(values[at]) < np.float32(np.inf))
    if bad:
        return False
    for r in range(indptr.size - 1):
        for at in range(indptr[r] + 1, indptr[r + 1]):
            bad |= columns[at] <= columns[at - 1]
    return not bad


@jit(types.void(*CSR, MATRIX, DOUBLES2, DOUBLES2, *CSR, SIZE, INTS, INTS, DOUBLES_OUT))
def weigh_values(
    indptr: Any, indices: Any, values: Any, weight: Any, slopes: Any, shares: Any, wide_indptr: Any, wide_columns: Any,
    wide_values: Any, heads: Any, pair_rows: Any, pair_heads: Any, out: Any,
) -> None:  # fmt: skip
    """Set out = value · (its weights · slopes[i] + its wide weights · shares[i]), for the i-th pair's row's values.

    weight (F, H), slopes (pairs, H), shares (pairs, K − 1); wide as in ``score_pairs``. All sums are float64.
    """
    place = 0
    for i in range(pair_rows.size):
        for at in range(indptr[pair_rows[i]], indptr[pair_rows[i] + 1]):
            total = 0.0
            for unit in range(weight.shape[1]):
                total += np.float64(weight[indices[at], unit]) * slopes[i, unit]
            if wide_indptr.size:
                for other in range(shares.shape[1]):
                    column = other * heads + pair_heads[i]
                    weighed = entry(indices[at], column, wide_indptr, wide_columns, wide_values)
                    total += np.float64(weighed) * shares[i, other]
            out[place] = total * values[at]
            place += 1
