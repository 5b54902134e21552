"""A Network folded for the kernels: K classes become K − 1 differences of logits, weights become panels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from duckprop.kernels.simd import COLUMNS, panels
from duckprop.network import ACTIVATIONS, Layer, Network

_LARGEST = 1e37


@dataclass(frozen=True)
class Heads:
    """M heads ready for ``kernels``: P(positive) = 1 / (1 + the sum over the other classes of exp(their logit − its)).

    weights: float32 (panels, K − 1, H, COLUMNS). bias: the same without H. places: int32 ((K − 1)·N,), where the wide
    path's columns stand among these heads', −1 for nowhere.
    """

    count: int
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    places: NDArray[np.int32]

    @property
    def columns(self) -> int:
        """Number of logits a row has here, padding included."""
        return self.bias.size


@dataclass(frozen=True)
class Folded:
    """What the heads of a network are taken from. weight: float32 (H, K − 1, N). bias: (K − 1, N).

    wide: the weights straight from the features, CSR (F, (K − 1)·N), column c·N + n for difference c of head n.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    wide: sparse.csr_matrix | None

    def heads(self, chosen: NDArray[np.integer] | None = None) -> Heads:
        """Return all heads, or the chosen ones, which are distinct, in their order."""
        _, others, count = self.weight.shape
        numbers = np.arange(count) if chosen is None else chosen
        weights = np.stack([panels(self.weight[:, other, numbers]) for other in range(others)], axis=1)
        bias = np.stack([panels(self.bias[None, other, numbers]) for other in range(others)], axis=1)[:, :, 0]
        places = np.full((others, count), -1, np.int32)
        panel, lane = np.divmod(np.arange(len(numbers)), COLUMNS)
        places[:, numbers] = (panel * others + np.arange(others)[:, None]) * COLUMNS + lane
        return Heads(len(numbers), aligned(weights), np.ascontiguousarray(bias), places.ravel())


def fold(network: Network, positive: int) -> Folded:
    """Subtract the positive class's weights from the other classes', in float64, rounded once."""
    others = [number for number in range(network.classes) if number != positive]

    def difference(array: Any) -> NDArray[np.float32]:
        wide = array.astype(np.float64)
        folded = wide[..., others] - wide[..., positive : positive + 1]
        return np.ascontiguousarray(np.moveaxis(folded, -1, -2).astype(np.float32))

    wide = None if network.wide is None else _fold_wide(network, positive, others)
    return Folded(difference(network.head_weight), difference(network.head_bias), wide)


def _fold_wide(network: Network, positive: int, others: list[int]) -> sparse.csr_matrix:
    by_column = sparse.csc_matrix(network.wide, dtype=np.float64)
    classes = network.classes
    parts = [by_column[:, other::classes] - by_column[:, positive::classes] for other in others]
    folded = sparse.csr_matrix(sparse.hstack(parts), dtype=np.float32)
    folded.sum_duplicates()
    return folded


@dataclass(frozen=True)
class Units:
    """A layer's bias float32 (H,) and activations, as ``kernels`` take them: see ``activate`` there."""

    bias: NDArray[np.float32]
    runs: NDArray[np.int64]
    parameters: NDArray[np.float32]

    @property
    def count(self) -> int:
        """Number of units H."""
        return len(self.bias)


def units(layer: Layer) -> Units:
    """Return a layer's units ready for ``kernels``."""
    ends = np.cumsum([0, *(count for _, count in layer.runs)])
    codes = [ACTIVATIONS.index(name) for name, _ in layer.runs]
    parameters = np.zeros((2, len(layer.bias)), np.float32) if layer.parameters is None else layer.parameters
    runs = np.column_stack([ends[:-1], ends[1:], codes]).astype(np.int64)
    return Units(np.ascontiguousarray(layer.bias), np.ascontiguousarray(runs), np.ascontiguousarray(parameters))


@dataclass(frozen=True)
class Dense:
    """A hidden layer behind the sparse one: panels of its weight, and what its numbers must stay below."""

    weights: NDArray[np.float32]
    units: Units
    limit: float


def dense(layer: Layer, limit: float) -> Dense:
    """Return a hidden layer ready for ``kernels``; see ``limits``."""
    return Dense(panels(layer.weight), units(layer), limit)


def limits(network: Network, folded: Folded) -> list[float]:
    """Return for the sparse and each hidden layer what its outputs may be at most for the next sums not to overflow."""
    following: list[Any] = [layer.weight for layer in network.hidden]
    following.append(folded.weight.reshape(len(folded.weight), -1))
    sums = [np.abs(weight.astype(np.float64)).sum(axis=0).max(initial=1) for weight in following]
    return [float(_LARGEST / total) for total in sums]


def aligned(array: NDArray[Any]) -> NDArray[Any]:
    """Return a C-contiguous copy that begins on a cache line: a row of 16 floats then never lies across two."""
    buffer = np.empty(array.nbytes + 64, np.uint8)
    start = -buffer.ctypes.data % 64
    copy = buffer[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy
