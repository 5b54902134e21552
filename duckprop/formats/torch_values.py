"""What PyTorch's operators work on while a graph is read: inputs, tensors as forms, and sizes that rows decide."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from duckprop.errors import ModelError
from duckprop.formats import forms
from duckprop.formats.forms import CannotFold, Form


class Symbol:
    """A number that depends on the rows that are scored: how many there are, or how many features they have."""

    def __init__(self, text: str) -> None:
        self.text = text


ROWS = Symbol("the number of rows")
FEATURES = Symbol("the number of columns of the input")
ENTRIES = Symbol("the number of features of all rows")


@dataclass
class Sources:
    """What a graph's inputs turned out to be.

    width: number of features F. bag: the positions of (indices, offsets, per_sample_weights or None), or None for one
    dense input. has_last: the offsets end with the number of indices. is_counted: a feature counts as often as it is
    listed, its value is not looked at. is_sparse: the dense input comes as a sparse tensor. dtype: of the first layer's
    weight, which PyTorch asks of the values too.
    """

    width: int | None = None
    bag: tuple[int, int, int | None] | None = None
    dense: int | None = None
    has_last: bool = False
    is_sparse: bool = False
    dtype: str = "float32"
    is_counted: bool = False
    form: Form | None = None

    def features(self, width: int) -> Form:
        """Return the features' form, the same one each time. Raises ModelError for another number of them."""
        if self.width not in (None, width):
            raise ModelError(f"one layer takes {self.width} features, another {width}", _ONE_INPUT)
        self.width = width
        self.form = forms.features(width) if self.form is None else self.form
        return self.form


@dataclass(eq=False)
class Input:
    """One input of the graph; norm: F.normalize of it. width: its columns, where the file says how many.

    is_alone: the graph has no other. is_cast: the graph itself changes its type.
    """

    position: int
    sources: Sources
    is_alone: bool = False
    width: int | None = None
    norm: forms.Norm | None = None
    is_cast: bool = False

    def meets(self, weight: NDArray[Any]) -> None:
        """Note the type of the first layer's weight, unless the graph brings the values to it."""
        if weight.dtype.kind == "f" and not self.is_cast:
            self.sources.dtype = weight.dtype.name

    def tensor(self, width: int | None = None) -> "Tensor":
        """Return the input as dense rows of ``width`` features. Raises CannotFold where nobody knows how many."""
        width = self.width if width is None else width
        if width is None:
            raise CannotFold("the input is changed before a layer tells how many features it has", _FIRST)
        if self.sources.bag is not None or self.sources.dense not in (None, self.position):
            raise CannotFold("the network has a second input beside its features", _ONE_INPUT)
        self.sources.dense = self.position
        form = self.sources.features(width)
        return Tensor(form if self.norm is None else forms.scale_rows(form, self.norm), (width,))


@dataclass(frozen=True)
class Ending:
    """kind: 'sigmoid', or 'softmax' over groups of ``classes`` columns, of each of which ``positive`` alone is left."""

    kind: str
    classes: int = 1
    positive: int | None = None


@dataclass(eq=False)
class Tensor:
    """A tensor (n, *dims): one column of a form for each element of a row.

    ending: the last activation, not yet in the form, since the network's end is written in another way. is_shared: some
    other tensor may look at the same memory. May change in place, as PyTorch's do.
    """

    form: Form
    dims: tuple[int, ...]
    ending: Ending | None = None
    is_shared: bool = False

    def settled(self) -> "Tensor":
        """Return the tensor with its ending made into units. Raises CannotFold for a softmax."""
        if self.ending is None:
            return self
        if self.ending.kind == "softmax":
            raise CannotFold("a softmax stands in the middle of the network", LEAVE)
        return Tensor(forms.activate(self.form, "sigmoid"), self.dims)

    def like(self, form: Form) -> "Tensor":
        """Return a tensor of the same shape."""
        return Tensor(form, self.dims)

    def view(self, form: Form, dims: tuple[int, ...], ending: Ending | None) -> "Tensor":
        """Return a tensor that looks at this one's memory."""
        self.is_shared = True
        return Tensor(form, dims, ending, is_shared=True)

    def index(self) -> NDArray[np.int64]:
        """Return the columns' numbers in the tensor's shape."""
        return np.arange(self.form.size).reshape(self.dims)


@dataclass(frozen=True, eq=False)
class RowNorm:
    """The norm of each row of the features, (n, 1), before they are divided by it."""

    source: Input | Tensor
    order: int
    epsilon: float = 0.0

    def at_least(self, epsilon: float) -> "RowNorm":
        """Return max(norm, epsilon)."""
        return replace(self, epsilon=float(epsilon))

    @property
    def norm(self) -> forms.Norm:
        """As a network scales rows: max(‖x‖, ε) is sqrt(x·x + ε²) but for rows as small as ε."""
        return ("l2", max(self.epsilon**2, 1e-30)) if self.order == 2 else ("l1", max(self.epsilon, 1e-30))


@dataclass(frozen=True, eq=False)
class Magnitude:
    """|x| + added, which softsign divides by."""

    source: Tensor
    added: float = 0.0


@dataclass
class Outputs:
    """The tensors that a graph returns, in order, and what its inputs are."""

    tensors: list[Tensor]
    sources: Sources


LEAVE = "leave it out of the model's forward, or train a network of linear layers and known activations"
_FIRST = "begin with Linear or EmbeddingBag, or export with torch.export, which says how wide the input is"
_ONE_INPUT = "give a network with one bag of features (indices, offsets, weights) or one dense input"
