"""exp, the activations and what else a row goes through, compiled into the kernels."""

import math
from typing import Any

import numpy as np

from duckprop.kernels.compiling import ONE, ZERO, helper
from duckprop.kernels.simd import multiply_add

# exp(x) = 2^n · e^r with n whole and |r| ≤ ln(2) / 2; e^r by the polynomial 1 + … of degree 5 that keeps the relative
# error smallest there, 9e-8 before rounding (found as a linear programme over 4,001 points)
_LOG2E, _LN2 = np.float32(1.44269504), np.float32(-0.69314718)
_ROUND = np.float32(12582912)  # 1.5 · 2^23: adding it rounds to a whole number, which the last bits then hold
_BITS_OF_ONE = np.int32(0x3F800000)
_LOWEST, HIGHEST = np.float32(-87), np.float32(87)
_P1, _P2, _P3 = np.float32(0.99999970), np.float32(0.49999145), np.float32(0.16667640)
_SQRT_HALF, _SQRT_2_PI = math.sqrt(0.5), math.sqrt(2 / math.pi)
_P4, _P5 = np.float32(0.041898388), np.float32(0.0082902303)


@helper
def exp_plus(x: Any, plus: Any) -> Any:
    """Return exp(x) + plus, in explicit multiply-adds: a vectorised loop and a single number then round alike."""
    x = min(max(x, _LOWEST), HIGHEST)
    shifted = multiply_add(x, _LOG2E, _ROUND)
    r = multiply_add(shifted - _ROUND, _LN2, x)
    p = multiply_add(multiply_add(multiply_add(_P5, r, _P4), r, _P3), r, _P2)
    power = np.int32((np.float32(shifted).view(np.int32) << np.int32(23)) + _BITS_OF_ONE).view(np.float32)
    return multiply_add(multiply_add(multiply_add(p, r, _P1), r, ONE), power, plus)


@helper
def _slowly(z: Any, code: Any, a: Any, b: Any) -> Any:
    """Return an activation for which float64 and the library's functions are fast enough."""
    x = np.float64(z)
    if code == 3:
        x = np.tanh(x)
    elif code == 4:
        x = max(x, 0.0) + np.log1p(np.exp(-abs(x)))
    elif code == 5:
        x = x / (1 + abs(x))
    elif code == 7:
        x = b * x if x > 0 else np.float64(b) * a * np.expm1(x)
    elif code == 9:
        x = x / (1 + np.exp(-a * x))
    elif code == 10:
        x = 0.5 * x * (1 + math.erf(x * _SQRT_HALF))
    elif code == 11:
        x = x / (1 + np.exp(-2 * _SQRT_2_PI * (x + 0.044715 * x * x * x)))
    elif code == 12:
        x = x * np.tanh(max(x, 0.0) + np.log1p(np.exp(-abs(x))))
    return np.float32(x)


@helper
def activate(sums: Any, bias: Any, runs: Any, parameters: Any) -> None:
    """Set sums = activation(sums + bias), one run of units after another.

    runs: int64 (runs, 3), a run's first unit, the one behind its last, and its activation's position in
    ``network.ACTIVATIONS``. parameters: (2, H), a and b of each unit.
    """
    for j in range(bias.size):
        sums[j] += bias[j]
    for run in range(runs.shape[0]):
        start, stop, code = runs[run, 0], runs[run, 1], runs[run, 2]
        if code == 1:
            for j in range(start, stop):
                sums[j] = max(sums[j], ZERO)
        elif code == 2:
            for j in range(start, stop):
                sums[j] = ONE / exp_plus(-sums[j], ONE)
        elif code == 6:
            for j in range(start, stop):
                sums[j] = sums[j] * (parameters[0, j] if sums[j] < ZERO else ONE)
        elif code == 8:
            for j in range(start, stop):
                sums[j] = min(max(sums[j], parameters[0, j]), parameters[1, j])
        elif code:
            for j in range(start, stop):
                sums[j] = _slowly(sums[j], code, parameters[0, j], parameters[1, j])


@helper
def largest(row: Any, size: Any) -> Any:
    """Return the largest size of a row's numbers, NaN taken for infinity."""
    largest = ZERO
    for j in range(size):
        x = abs(row[j])
        largest = max(largest, x if x == x else np.float32(np.inf))
    return largest


@helper
def entry(row: Any, column: Any, indptr: Any, columns: Any, values: Any) -> Any:
    """Return entry (row, column) of a sparse matrix whose columns increase within a row."""
    low, end = indptr[row], indptr[row + 1]
    high = end
    while low < high:
        middle = (low + high) // 2
        if columns[middle] < column:
            low = middle + 1
        else:
            high = middle
    return values[low] if low < end and columns[low] == column else ZERO
