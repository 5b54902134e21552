"""A feed-forward network with a sparse first layer and many heads, as frozen arrays."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from duckprop.errors import ModelError

ACTIVATIONS = (
    "identity",
    "relu",
    "sigmoid",
    "tanh",
    "softrelu",
    "softsign",
    "leaky",
    "elu",
    "clip",
    "silu",
    "gelu",
    "gelu_tanh",
    "mish",
)
"""Named as MXNet names them, where it has them; the kernels know them by their position.

With a unit's parameters a and b: leaky is a·z for z < 0, elu b·a·(exp(z) − 1) for z < 0 and b·z above, clip lies in
[a, b], silu is z·sigmoid(a·z), gelu 0.5·z·(1 + erf(z / √2)), gelu_tanh its approximation by tanh.
"""

LINKS = ("heads", "softmax", "normalized")
"""What turns logits into propensities: a softmax over each category's own classes; one softmax over all categories,
which exclude each other; or a sigmoid a category, divided by their sum. The last two have the logits of class 0 alone:
class 1's weights are 0."""


@dataclass(frozen=True)
class Layer:
    """activation(x @ weight + bias). weight: float32 (inputs, outputs). bias: float32 (outputs,).

    activation: one for all units, or (activation, number of units) for one run of units after another.
    parameters: float32 (2, outputs), a and b of every unit; None where no activation has any.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    activation: str | tuple[tuple[str, int], ...] = "relu"
    parameters: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        units = len(self.bias)
        if self.weight.ndim != 2 or self.bias.shape != (self.weight.shape[1],):
            raise ModelError(f"a layer's weight {self.weight.shape} and bias {self.bias.shape} do not fit", _DAMAGED)
        for name, _ in self.runs:
            if name not in ACTIVATIONS:
                raise ModelError(f"activation '{name}' is not known", f"known are {', '.join(ACTIVATIONS)}")
        fits = self.parameters is None or self.parameters.shape == (2, units)
        if sum(count for _, count in self.runs) != units or not fits:
            raise ModelError(f"a layer of {units} units has activations for another number of them", _DAMAGED)

    @property
    def runs(self) -> tuple[tuple[str, int], ...]:
        """The activations as (name, number of units), in the units' order."""
        return ((self.activation, len(self.bias)),) if isinstance(self.activation, str) else self.activation


@dataclass(frozen=True)
class Network:
    """Sparse customers (n, F) → class probabilities (n, N, K): one softmax over K classes for each of N categories.

    first: the sparse layer, weight (F, H). hidden: further layers. head_weight: float32 (inputs, N, K), head_bias:
    (N, K). row_epsilon: where it is not None, a row x counts, inside the network, as x / sqrt(sum(x²) + row_epsilon)
    for row_norm 'l2', as x / (sum(|x|) + row_epsilon) for 'l1'. start: None, or float32 (H,) that the sparse layer adds
    to a row's sums before they are scaled so.
    wide: None, or a sparse matrix float32 (F, N·K) of weights that lead from the features straight to the logits.
    link: one of LINKS.
    """

    first: Layer
    hidden: tuple[Layer, ...]
    head_weight: NDArray[np.float32]
    head_bias: NDArray[np.float32]
    row_epsilon: float | None = None
    wide: sparse.csr_matrix | None = None
    row_norm: Literal["l2", "l1"] = "l2"
    start: NDArray[np.float32] | None = None
    link: str = "heads"

    def __post_init__(self) -> None:
        sizes = [self.first.weight.shape[1], *(layer.weight.shape[1] for layer in self.hidden)]
        inputs = [*(layer.weight.shape[0] for layer in self.hidden), self.head_weight.shape[0]]
        if sizes != inputs or self.head_weight.shape[1:] != self.head_bias.shape or self.classes < 2:
            raise ModelError(f"the layers' sizes do not follow on each other: {sizes} into {inputs}", _DAMAGED)
        if self.wide is not None and self.wide.shape != (self.width, self.heads * self.classes):
            raise ModelError(f"the wide path {self.wide.shape} does not fit the network", _DAMAGED)
        if self.start is not None and self.start.shape != (sizes[0],):
            raise ModelError(f"what is added before rows are scaled {self.start.shape} does not fit", _DAMAGED)
        if self.link not in LINKS or (self.link != "heads" and self.classes != 2):
            raise ModelError(f"link '{self.link}' with {self.classes} classes is not known", _DAMAGED)
        for array in self._arrays():
            if not np.isfinite(array).all():
                raise ModelError("the network holds NaN or infinite weights", "train it again with a lower rate")

    def _arrays(self) -> list[NDArray[np.float32]]:
        layers = [array for layer in (self.first, *self.hidden) for array in (layer.weight, layer.bias)]
        parameters = [layer.parameters for layer in (self.first, *self.hidden)]
        wide = None if self.wide is None else self.wide.data
        optional = [array for array in (wide, self.start, *parameters) if array is not None]
        return [self.head_weight, self.head_bias, *layers, *optional]

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
