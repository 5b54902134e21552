"""What a tensor of an ONNX graph stands for while the graph is read: columns of every row, not numbers."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from duckprop.formats.forms import CannotFold, Form, activate, add_constant, concat, multiply, take

Array = NDArray[Any]
BATCH = 0x0B_A7C4_0001_0003
"""Stands for the number of rows in a shape that the graph computes; no real size is as large."""
EXPORT = "export the model without it, up to its logits or probabilities"


@dataclass(frozen=True, eq=False)
class Base:
    """Columns that are computed once: a form, or an activation of a tensor, made only where it is used itself.

    applied: what was computed, with ``below`` its input and ``parameters`` a and b. Names beyond ACTIVATIONS ('erf',
    'square', 'cube', 'cubic', 'abs') are parts of larger patterns; 'softmax' and 'normalized' end a graph.
    """

    size: int
    given: Form | None = None
    applied: str = ""
    below: "Tensor | None" = None
    parameters: tuple[Any, Any] = (0.0, 0.0)

    @cached_property
    def form(self) -> Form:
        """The columns as a form."""
        if self.given is not None:
            return self.given
        assert self.below is not None
        return activate(self.below.form, self.applied, *self.parameters)


@dataclass(frozen=True, eq=False)
class Tensor:
    """Columns of every row: base · factor + shift, (n, *dims). factor, shift: float64 (m,), m the product of dims."""

    base: Base
    dims: tuple[int, ...]
    factor: Array
    shift: Array

    @property
    def size(self) -> int:
        """Number of columns m."""
        return self.base.size

    @property
    def is_plain(self) -> bool:
        """Whether it is its base as it is."""
        return bool((self.factor == 1).all() and not self.shift.any())

    @cached_property
    def form(self) -> Form:
        """The columns as a form."""
        if self.is_plain:
            return self.base.form
        return add_constant(multiply(self.base.form, self.factor), self.shift)

    def times(self, values: Any) -> "Tensor":
        """Return it multiplied by numbers, one or m."""
        return replace(self, factor=self.factor * values, shift=self.shift * values)

    def plus(self, values: Any) -> "Tensor":
        """Return it with numbers added, one or m."""
        return replace(self, shift=self.shift + values)

    def reshaped(self, dims: tuple[int, ...]) -> "Tensor":
        """Return it under other dims of the same product."""
        return replace(self, dims=dims)

    def columns(self, places: Array) -> "Tensor":
        """Return the columns at ``places`` in that array's shape, each at most once."""
        flat = places.reshape(-1)
        if len(flat) == self.size and np.array_equal(flat, np.arange(self.size)):
            return self.reshaped(places.shape)
        return of(take(self.form, flat), places.shape)

    def apply(self, name: str, a: Any = 0.0, b: Any = 0.0) -> "Tensor":
        """Return an activation of it, with its parameters."""
        return whole(Base(self.size, None, name, self, (a, b)), self.dims)

    def places(self) -> Array:
        """Return the columns' numbers in the shape of dims."""
        return np.arange(self.size).reshape(self.dims)


def whole(base: Base, dims: tuple[int, ...]) -> Tensor:
    """Return a base as it is."""
    return Tensor(base, dims, np.ones(base.size), np.zeros(base.size))


def of(form: Form, dims: tuple[int, ...]) -> Tensor:
    """Return a form's columns as a tensor."""
    return whole(Base(form.size, form), dims)


def joined(tensors: list[Tensor], axis: int) -> Tensor:
    """Return tensors joined along an axis of their dims, 0 the first after the rows."""
    starts = np.cumsum([0, *(each.size for each in tensors)])
    places = [each.places() + start for each, start in zip(tensors, starts, strict=False)]
    order = np.concatenate(places, axis)
    return of(concat([each.form for each in tensors]), (int(starts[-1]),)).columns(order)


@dataclass
class Source:
    """The graph's inputs. width: number of feature columns F, 0 until a graph that takes lists shows its table.

    layout: 'dense' (n, F); 'padded' ids (n, L); 'flat' ids and offsets; 'csr', as duckprop writes it. names: of the
    inputs by their part, 'ids', 'weights' and 'offsets', or of the dense ones with their first and last column.
    is_counted: features have no values but how often they are there. has_last: the offsets end with the number of ids.
    length: L, where it is fixed, else 0.
    """

    layout: Literal["dense", "padded", "flat", "csr"]
    width: int = 0
    names: dict[str, Any] = field(default_factory=dict)
    is_counted: bool | None = None
    has_last: bool = False
    length: int = 0


@dataclass(frozen=True, eq=False)
class Entries:
    """What a row's stored features are made of, in a graph that takes them as lists.

    kind: their ids, their values, or where rows end. layout: 'padded' (n, L), or 'flat', all rows' one after another.
    name: of the input. power: the values as they are, squared, or without their sign. axis: where an axis of size 1 was
    put in, 0 for nowhere.
    """

    kind: Literal["ids", "values", "ends"]
    layout: Literal["padded", "flat"]
    name: str
    power: Literal["", "square", "abs"] = ""
    axis: int = 0


@dataclass(frozen=True, eq=False)
class Gathered:
    """Every stored feature's row of a table (F, H), (n, L, H); ``is_flat``: of a table (F,), (n, L)."""

    table: Array
    ids: Entries
    is_weighted: bool = False
    is_flat: bool = False


@dataclass(frozen=True, eq=False)
class Measure:
    """A number a row: the sum of absolute values ('l1'), of squares ('l2'), or of columns ('sum').

    is_root: the root of the squares' sum. of: the tensor whose columns are summed; None for the features that a row
    stores. epsilon: added to the sum. is_inverse: it is 1 divided by that.
    """

    kind: Literal["l1", "l2", "sum"]
    of: Tensor | None
    epsilon: float = 0.0
    is_root: bool = False
    is_inverse: bool = False


Value = Array | Tensor | Entries | Gathered | Measure


def product(left: Tensor, right: Tensor) -> Tensor | None:
    """Return the product of two tensors where it is an activation written in parts, else None."""
    if _same(left, right):
        return left.apply("square")
    for x, gate in ((left, right), (right, left)):
        if gate.base.applied == "square" and gate.is_plain and _same(gate.base.below, x):
            return x.apply("cube")
        found = _GATES.get(gate.base.applied, _no_gate)(x, gate)
        if found is not None:
            return found.reshaped(left.dims)
    return None


def quotient(x: Tensor, other: Tensor) -> Tensor | None:
    """Return x / (1 + |r · x|), which is softsign, or None for any other quotient."""
    below = other.base.below
    if other.base.applied != "abs" or below is None or (other.factor != 1).any() or (other.shift != 1).any():
        return None
    ratio = _ratio(below, x)
    return None if ratio is None else x.times(np.abs(ratio)).apply("softsign").times(1 / np.abs(ratio))


def cubic(left: Tensor, right: Tensor) -> Tensor | None:
    """Return x + c · x³, a part of GELU by tanh, where one of the two is a cube of the other; else None."""
    for x, cube in ((left, right), (right, left)):
        if cube.base.applied == "cube" and not cube.shift.any() and _same(cube.base.below, x):
            return x.apply("cubic", cube.factor)
    return None


def _same(first: Tensor | None, second: Tensor) -> bool:
    if first is None or first.base is not second.base:
        return False
    return np.array_equal(first.factor, second.factor) and np.array_equal(first.shift, second.shift)


def _ratio(part: Tensor, x: Tensor) -> Array | None:
    """Return r (m,) where part = r · x, else None."""
    if part.base is not x.base or not x.factor.all():
        return None
    ratio = part.factor / x.factor
    return ratio if ratio.all() and np.allclose(part.shift, ratio * x.shift, rtol=1e-6, atol=1e-12) else None


def _no_gate(x: Tensor, gate: Tensor) -> Tensor | None:
    return None


def _silu(x: Tensor, gate: Tensor) -> Tensor | None:
    """Return c · x · sigmoid(a · x)."""
    assert gate.base.below is not None
    ratio = _ratio(gate.base.below, x)
    if ratio is None or gate.shift.any():
        return None
    return x.apply("silu", ratio).times(gate.factor)


def _gelu(x: Tensor, gate: Tensor) -> Tensor | None:
    """Return c · x · (1 + erf(r · x)): with s = √2 · r, 2 · c / s · GELU(s · x)."""
    assert gate.base.below is not None
    ratio = _ratio(gate.base.below, x)
    if ratio is None or not np.allclose(gate.shift, gate.factor, rtol=1e-6):
        return None
    scale = _near_one(np.sqrt(2) * ratio)
    return x.times(scale).apply("gelu").times(2 * gate.factor / scale)


def _near_one(values: Array) -> Array:
    """Return 1 where the graph's rounded constants make almost 1."""
    return np.where(np.abs(values - 1) < 1e-6, 1.0, values)


def _tanh(x: Tensor, gate: Tensor) -> Tensor | None:
    below = gate.base.below
    assert below is not None
    if below.base.applied == "softrelu" and below.is_plain and not gate.shift.any():
        inner = below.base.below
        ratio = None if inner is None else _ratio(x, inner)
        return None if ratio is None or inner is None else inner.apply("mish").times(gate.factor * ratio)
    if below.base.applied == "cubic" and not below.shift.any() and np.allclose(gate.shift, gate.factor, rtol=1e-6):
        return _gelu_tanh(x, gate, below)
    return None


def _gelu_tanh(x: Tensor, gate: Tensor, below: Tensor) -> Tensor | None:
    """Return c · x · (1 + tanh(q · (w + d · w³))): with z = q / √(2/π) · w, where d is 0.044715 of its square."""
    inner = below.base.below
    assert inner is not None
    scale = _near_one(below.factor / np.sqrt(2 / np.pi))
    ratio = _ratio(x, inner)
    if ratio is None or not np.allclose(below.base.parameters[0], 0.044715 * scale**2, rtol=1e-5):
        return None
    return inner.times(scale).apply("gelu_tanh").times(2 * gate.factor * ratio / scale)


_GATES = {"sigmoid": _silu, "erf": _gelu, "tanh": _tanh}


def cannot(node: Any, why: str) -> CannotFold:
    """Return the error that names an operator and its node."""
    name = node.name or (node.output[0] if node.output else "")
    return CannotFold(f"operator '{node.op_type}' (node '{name}') {why}", EXPORT)
