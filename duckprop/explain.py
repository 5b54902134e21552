"""Why a propensity is what it is: the log-odds split up over the customer's features, exactly.

Along the straight line from the customer without features to this one, a hidden unit's output rises by its mean slope
times its input (Shrikumar et al. 2017, DeepLIFT's rescale rule). With one hidden layer that is the integrated gradient
(Sundararajan et al. 2017) in closed form; with more it is the rule layer by layer. More than two classes are split by
logarithmic means (Ang 2004, LMDI). Whatever the network, the contributions add up: nothing is left over.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from duckprop.compiled import CompiledScorer
from duckprop.sparse import SparseBatch

Array = NDArray[np.float64]


class Explainer:
    """Splits up log-odds in float64; the cost of a row grows with its stored values."""

    def __init__(self, scorer: CompiledScorer) -> None:
        self._scorer = scorer

    def contributions(self, batch: SparseBatch, rows: NDArray[np.integer], heads: NDArray[np.integer]) -> Array:
        """Return what every stored value of each pair's row adds to the log-odds of the pair's head.

        float64, the values of the first pair's row in their order, then those of the second's, and so on. They add up
        to the log-odds of the row less those of an empty one. Raises DataError where the network overflows.
        """
        pairs = {"rows": np.asarray(rows, np.int64), "heads": np.asarray(heads, np.int64)}
        self._scorer.pairs(batch, **pairs)  # refuses what overflows in float32, and mostly has been asked for before
        sums, scales = self._scorer.first_sums(batch)
        slopes, last = self._forward(sums.astype(np.float64)[rows])
        folded = self._scorer.folded
        weight, bias = (part[..., heads].astype(np.float64) for part in (folded.weight, folded.bias))
        shares = self._shares(last, weight, bias.T, self._wide(batch, scales, **pairs)) * scales[rows, None]
        gradient = np.einsum("hcp,pc->ph", weight, shares)
        for slope, layer in zip(slopes[:0:-1], reversed(self._scorer.hidden), strict=True):
            gradient = np.einsum("ph,gh->pg", gradient * slope, layer.weight)
        return self._scorer.weigh(batch, gradient * slopes[0], shares, **pairs)

    def _forward(self, inputs: Array) -> tuple[list[Array], Array]:
        """Return each layer's mean slopes (pairs, H), and the last layer's outputs; the empty row stands at the end."""
        inputs = np.vstack([inputs, np.zeros(inputs.shape[1])]) + self._scorer.bias
        outputs = _activate(inputs, self._scorer.activation)
        slopes = [_mean_slopes(inputs, outputs, self._scorer.activation)]
        for layer in self._scorer.hidden:
            inputs = np.einsum("ph,hg->pg", outputs, layer.weight) + layer.bias
            outputs = _activate(inputs, layer.activation)
            slopes.append(_mean_slopes(inputs, outputs, layer.activation))
        return slopes, outputs

    def _shares(self, last: Array, weight: Array, bias: Array, wide: Array) -> Array:
        """Return how much the log-odds rise where a difference of logits rises by 1, (pairs, K − 1): −1 for K = 2."""
        others = weight.shape[1]
        if others == 1:
            return np.full((weight.shape[2], 1), -1.0)
        empty = np.einsum("h,hcp->pc", last[-1], weight) + bias
        here = np.einsum("ph,hcp->pc", last[:-1], weight) + bias + wide
        means = _logarithmic_means(softmax(here, axis=1), softmax(empty, axis=1))
        return -means / means.sum(axis=1, keepdims=True)

    def _wide(
        self, batch: SparseBatch, scales: NDArray[np.float32], *, rows: NDArray[np.int64], heads: NDArray[np.int64]
    ) -> Array:
        """Return what the wide path adds to the differences of logits, (pairs, K − 1)."""
        wide, others = self._scorer.folded.wide, self._scorer.folded.weight.shape[1]
        if wide is None or others == 1:
            return np.zeros((len(rows), others))
        columns = np.arange(others) * self._scorer.heads + heads[:, None]
        return (batch.to_scipy() @ wide).toarray()[rows[:, None], columns] * scales[rows, None]


def _activate(x: Array, activation: str) -> Array:
    match activation:
        case "relu":
            return np.maximum(x, 0)
        case "sigmoid":
            return expit(x)
        case "tanh":
            return np.tanh(x)
        case "softrelu":
            return np.logaddexp(x, 0)
    return x


def _mean_slopes(inputs: Array, outputs: Array, activation: str) -> Array:
    """Return (output − the empty row's) / (input − the empty row's); where both are equal, the slope there."""
    rise, run = outputs[:-1] - outputs[-1], inputs[:-1] - inputs[-1]
    step = 1e-6
    local = (_activate(inputs[-1] + step, activation) - _activate(inputs[-1] - step, activation)) / (2 * step)
    return np.where(np.abs(run) > 1e-9, rise / np.where(run == 0, 1, run), local)


def _logarithmic_means(a: Array, b: Array) -> Array:
    """Return (a − b) / (ln a − ln b), a where both are equal; both are positive."""
    a, b = np.maximum(a, 1e-300), np.maximum(b, 1e-300)
    ratio = np.log(a) - np.log(b)
    return np.where(np.abs(ratio) < 1e-9, (a + b) / 2, (a - b) / np.where(ratio == 0, 1, ratio))
