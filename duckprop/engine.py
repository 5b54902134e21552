"""Engines: a model made ready to score. SparseBatch in, float32 propensities out, the same numbers from each."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from duckprop.errors import DataError
from duckprop.network import Layer, Network
from duckprop.sparse import SparseBatch, row_label

ENGINES = ("compiled", "mxnet")
_BLOCK = 512


class Scorer(Protocol):
    """What every engine offers; safe to call from several threads at once."""

    width: int
    heads: int

    def score(self, batch: SparseBatch, heads: NDArray[np.integer] | None = None) -> NDArray[np.float32]:
        """Return P(positive class) float32 (n, heads) in [0, 1], all heads or the listed ones, in that order.

        An empty batch gives (0, heads). A NULL row is scored as an empty one: the caller masks it.
        Raises DataError where a row is so large that the network overflows.
        """
        ...


class CompiledScorer:
    """The folded network on SciPy's and NumPy's compiled loops; needs no MXNet.

    A head of two classes becomes one sigmoid of the difference of its logits. Behind the sparse layer everything is
    float64, rounded once at the end: BLAS adds in another order for another batch size, and in float32 that shows.
    """

    def __init__(self, network: Network, positive: int = 0) -> None:
        """Fold a network; ``positive`` is the class whose probability is the propensity."""
        self.width, self.heads = network.width, network.heads
        self._first, self._epsilon = network.first, network.row_epsilon
        self._hidden = [(_as_float64(layer.weight), _as_float64(layer.bias), layer) for layer in network.hidden]
        self._positive, self._pairs = positive, network.classes == 2
        weight, bias = _as_float64(network.head_weight), _as_float64(network.head_bias)
        if self._pairs:
            weight = weight[:, :, positive] - weight[:, :, 1 - positive]
            bias = bias[:, positive] - bias[:, 1 - positive]
        self._weight, self._bias = weight, bias

    def score(self, batch: SparseBatch, heads: NDArray[np.integer] | None = None) -> NDArray[np.float32]:
        """See Scorer."""
        weight, bias = self._weight, self._bias
        if heads is not None:
            weight, bias = weight[:, heads], bias[heads]
        out = np.empty((len(batch), len(bias)), np.float32)
        for start in range(0, len(batch), _BLOCK):
            block = batch.rows(start, min(start + _BLOCK, len(batch)))
            out[start : start + _BLOCK] = self._propensities(self._last_hidden(block), weight, bias)
        return out

    def _last_hidden(self, block: SparseBatch) -> NDArray[np.float64]:
        with np.errstate(over="ignore", invalid="ignore"):
            sums = block.to_scipy() @ self._first.weight
            if self._epsilon is not None:
                sums *= row_scales(block, self._epsilon)[:, None]
            hidden = activate(sums + self._first.bias, self._first).astype(np.float64)
        refuse_overflow(hidden, block)
        for weight, bias, layer in self._hidden:
            hidden = activate(hidden @ weight + bias, layer)
        return hidden

    def _propensities(self, hidden: Any, weight: Any, bias: Any) -> NDArray[np.float32]:
        if self._pairs:
            return _sigmoid((hidden @ weight + bias).astype(np.float32))
        logits = np.tensordot(hidden, weight, axes=1) + bias
        return softmax(logits, axis=2)[:, :, self._positive].astype(np.float32)


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 1 / (1 + exp(−x)), in place; NumPy's float32 exp is several times faster than a float64 sigmoid."""
    with np.errstate(over="ignore"):  # exp is infinite below −88: the propensity is 0
        np.exp(np.negative(logits, out=logits), out=logits)
    logits += 1
    return np.reciprocal(logits, out=logits)


def _as_float64(array: NDArray[np.float32]) -> NDArray[np.float64]:
    return array.astype(np.float64)


def activate(x: NDArray[Any], layer: Layer) -> NDArray[Any]:
    """Apply a layer's activation, named as MXNet names it."""
    match layer.activation:
        case "relu":
            return np.maximum(x, 0)
        case "sigmoid":
            return expit(x)
        case "tanh":
            return np.tanh(x)
        case "softrelu":
            return np.logaddexp(x, 0)
    return x


def row_scales(batch: SparseBatch, epsilon: float) -> NDArray[np.float32]:
    """Return 1 / sqrt(sum of squares + epsilon) of each row, float32 (n,). Raises what ``row_squares`` does."""
    return (1 / np.sqrt(row_squares(batch) + epsilon)).astype(np.float32)


def row_squares(batch: SparseBatch) -> NDArray[np.float64]:
    """Return each row's sum of squares, float64 (n,).

    Raises DataError for a row where it is beyond float32: MXNet's own graph then takes the row for an empty one.
    """
    squares = batch.to_scipy()
    squares.data = squares.data.astype(np.float64) ** 2
    sums = squares @ np.ones(batch.width)
    with np.errstate(over="ignore"):
        refuse_overflow(sums.astype(np.float32), batch)
    return sums


def refuse_overflow(results: NDArray[Any], batch: SparseBatch) -> None:
    """Raise DataError that names the first row of a batch (n, …) with an infinite or undefined result."""
    if not np.isfinite(results).all():
        at = int(np.argwhere(~np.isfinite(results))[0, 0])
        raise DataError(
            f"{row_label(at, batch.positions)}: its feature values are so large that the network overflows",
            "scale the features as they were in training; values up to 1e15 are safe",
        )
