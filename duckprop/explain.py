"""Why a propensity is what it is: the log-odds split up over the customer's features, exactly.

Along the straight line from the customer without features to this one, a hidden unit's output rises by its mean slope
times its input (Shrikumar et al. 2017, DeepLIFT's rescale rule). With one hidden layer that is the integrated gradient
(Sundararajan et al. 2017) in closed form; with more it is the rule layer by layer. More than two classes are split by
logarithmic means (Ang 2004, LMDI). Whatever the network, the contributions add up: nothing is left over.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, expit, softmax

from duckprop.compiled import CompiledScorer
from duckprop.errors import ModelError
from duckprop.fold import Units, units
from duckprop.network import ACTIVATIONS
from duckprop.sparse import SparseBatch

Array = NDArray[np.float64]


class Explainer:
    """Splits up log-odds in float64; the cost of a row grows with its stored values."""

    def __init__(self, scorer: CompiledScorer) -> None:
        """Raises ModelError for a network whose log-odds are no sum over a customer's features."""
        if scorer.link != "heads" or len(scorer.before):
            what = "scales a constant with the rows" if scorer.link == "heads" else "links its categories to each other"
            raise ModelError(f"a network that {what} cannot be explained", "score it; propensity_explain is not for it")
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
        inputs = np.vstack([inputs, np.zeros(inputs.shape[1])]) + self._scorer.units.bias
        outputs = _activate(inputs, self._scorer.units)
        slopes = [_mean_slopes(inputs, outputs, self._scorer.units)]
        for layer in self._scorer.hidden:
            inputs = np.einsum("ph,hg->pg", outputs, layer.weight) + layer.bias
            outputs = _activate(inputs, units(layer))
            slopes.append(_mean_slopes(inputs, outputs, units(layer)))
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


def _activate(x: Array, units: Units) -> Array:
    out = x.copy()
    for start, stop, code in units.runs.tolist():
        a, b = units.parameters[:, start:stop].astype(np.float64)
        out[..., start:stop] = _ACTIVATE[ACTIVATIONS[code]](x[..., start:stop], a, b)
    return out


_ACTIVATE: dict[str, Callable[[Array, Array, Array], Array]] = {
    "identity": lambda x, a, b: x,
    "relu": lambda x, a, b: np.maximum(x, 0),
    "sigmoid": lambda x, a, b: expit(x),
    "tanh": lambda x, a, b: np.tanh(x),
    "softrelu": lambda x, a, b: np.logaddexp(x, 0),
    "softsign": lambda x, a, b: x / (1 + np.abs(x)),
    "leaky": lambda x, a, b: np.where(x < 0, a * x, x),
    "elu": lambda x, a, b: b * np.where(x < 0, a * np.expm1(np.minimum(x, 0)), x),
    "clip": lambda x, a, b: np.clip(x, a, b),
    "silu": lambda x, a, b: x * expit(a * x),
    "gelu": lambda x, a, b: 0.5 * x * (1 + erf(x / np.sqrt(2))),
    "gelu_tanh": lambda x, a, b: x * expit(2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)),
    "mish": lambda x, a, b: x * np.tanh(np.logaddexp(x, 0)),
}


def _mean_slopes(inputs: Array, outputs: Array, units: Units) -> Array:
    """Return (output − the empty row's) / (input − the empty row's); where both are equal, the slope there."""
    rise, run = outputs[:-1] - outputs[-1], inputs[:-1] - inputs[-1]
    step = 1e-6
    local = (_activate(inputs[-1] + step, units) - _activate(inputs[-1] - step, units)) / (2 * step)
    return np.where(np.abs(run) > 1e-9, rise / np.where(run == 0, 1, run), local)


def _logarithmic_means(a: Array, b: Array) -> Array:
    """Return (a − b) / (ln a − ln b), a where both are equal; both are positive."""
    a, b = np.maximum(a, 1e-300), np.maximum(b, 1e-300)
    ratio = np.log(a) - np.log(b)
    return np.where(np.abs(ratio) < 1e-9, (a + b) / 2, (a - b) / np.where(ratio == 0, 1, ratio))
