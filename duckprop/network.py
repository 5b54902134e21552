"""A feed-forward network with a sparse first layer and many softmax heads, as frozen arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from duckprop.errors import ModelError

ACTIVATIONS = ("identity", "relu", "sigmoid", "tanh", "softrelu")
"""Named as MXNet names them; the kernels know them by their position."""


@dataclass(frozen=True)
class Layer:
    """activation(x @ weight + bias). weight: float32 (inputs, outputs). bias: float32 (outputs,)."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    activation: str = "relu"

    def __post_init__(self) -> None:
        if self.weight.ndim != 2 or self.bias.shape != (self.weight.shape[1],):
            raise ModelError(f"a layer's weight {self.weight.shape} and bias {self.bias.shape} do not fit", _DAMAGED)
        if self.activation not in ACTIVATIONS:
            raise ModelError(f"activation '{self.activation}' is not known", f"known are {', '.join(ACTIVATIONS)}")


@dataclass(frozen=True)
class Network:
    """Sparse customers (n, F) → class probabilities (n, N, K): one softmax over K classes for each of N categories.

    first: the sparse layer, weight (F, H). hidden: further layers. head_weight: float32 (inputs, N, K), head_bias:
    (N, K). row_epsilon: where it is not None, a row x counts as x / sqrt(sum(x²) + row_epsilon), inside the network.
    wide: None, or a sparse matrix float32 (F, N·K) of weights that lead from the features straight to the logits.
    """

    first: Layer
    hidden: tuple[Layer, ...]
    head_weight: NDArray[np.float32]
    head_bias: NDArray[np.float32]
    row_epsilon: float | None = None
    wide: sparse.csr_matrix | None = None

    def __post_init__(self) -> None:
        sizes = [self.first.weight.shape[1], *(layer.weight.shape[1] for layer in self.hidden)]
        inputs = [*(layer.weight.shape[0] for layer in self.hidden), self.head_weight.shape[0]]
        if sizes != inputs or self.head_weight.shape[1:] != self.head_bias.shape or self.classes < 2:
            raise ModelError(f"the layers' sizes do not follow on each other: {sizes} into {inputs}", _DAMAGED)
        if self.wide is not None and self.wide.shape != (self.width, self.heads * self.classes):
            raise ModelError(f"the wide path {self.wide.shape} does not fit the network", _DAMAGED)
        wide = () if self.wide is None else (self.wide.data,)
        for array in (self.head_weight, self.head_bias, *self._layer_arrays(), *wide):
            if not np.isfinite(array).all():
                raise ModelError("the network holds NaN or infinite weights", "train it again with a lower rate")

    def _layer_arrays(self) -> list[NDArray[np.float32]]:
        return [array for layer in (self.first, *self.hidden) for array in (layer.weight, layer.bias)]

    @property
    def width(self) -> int:
        """Number of feature columns F."""
        return self.first.weight.shape[0]

    @property
    def heads(self) -> int:
        """Number of categories N."""
        return self.head_bias.shape[0]

    @property
    def classes(self) -> int:
        """Number of classes K of every head."""
        return self.head_bias.shape[-1]


_DAMAGED = "the model's files are damaged or not a feed-forward network; copy or train it again"
