"""What goes along the edges of an MXNet graph, and the nodes that it goes through."""

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from duckprop.formats import forms
from duckprop.formats.forms import ENGINE, CannotFold, Form, Norm


@dataclass(frozen=True)
class Node:
    """One operator of a graph: its name in the operators' table, its own name, and its settings as text."""

    op: str
    name: str
    settings: dict[str, str]

    def __str__(self) -> str:
        return f"operator '{self.op}' (node '{self.name}')"

    def refused(self, why: str) -> CannotFold:
        """Return the error that names the operator and says why it cannot be folded."""
        return CannotFold(f"{self} {why}", ENGINE)

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a setting that is True or False."""
        return self.settings.get(name, str(default)) in ("True", "1", "true")

    def number(self, name: str, default: float = 0.0) -> float:
        """Return a setting that is a number."""
        return float(self.settings.get(name, default))

    def numbers(self, name: str) -> list[int] | None:
        """Return a setting that is a tuple of whole numbers or one of them, None where it is not given."""
        text = self.settings.get(name, "None")
        found = ast.literal_eval(text) if len(text) < 10_000 else "too long"
        if found is None or found == ():
            return None
        return [int(part) for part in (found if isinstance(found, tuple | list) else [found])]

    def require(self, **settings: bool) -> None:
        """Raise CannotFold where a setting, False unless it is given, is not what folding needs."""
        for name, needed in settings.items():
            if self.flag(name) != needed:
                raise self.refused(f"has {name} = {self.settings.get(name, 'False')}")


@dataclass(frozen=True)
class Tensor:
    """A form, and the shape of a row: (m,) for a plain one. ``sizes`` are the features' columns that it is made of."""

    form: Form
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Probabilities:
    """A softmax over the last axis of a row's logits; or, where it is not one, their sigmoids divided by their sum."""

    logits: Tensor
    is_softmax: bool = True


@dataclass(frozen=True)
class RowNorm:
    """On the way to what divides a row: its features' squares or sizes, their sum, and 1 / norm, or the norm."""

    stage: str
    norm: Norm
    is_inverse: bool = False


Value = Tensor | Probabilities | RowNorm | NDArray[Any] | sparse.csr_matrix


Operator = Callable[[Node, Sequence[Any]], Any]


def tensor(node: Node, value: Any, dimensions: int | None = 1) -> Tensor:
    """Return a value as a tensor of units. Raises CannotFold for anything else, or for another number of axes."""
    if not isinstance(value, Tensor):
        raise node.refused(f"takes {_what(value)}, where the network's units were expected")
    if dimensions is not None and len(value.shape) != dimensions:
        raise node.refused(f"takes rows of shape {value.shape}")
    return value


def _what(value: Any) -> str:
    return {Probabilities: "probabilities", RowNorm: "the norm of the rows"}.get(type(value), "a parameter")


def parameter(node: Node, value: Any) -> Any:
    """Return a value as a parameter's array. Raises CannotFold for anything else."""
    if not isinstance(value, np.ndarray) and not sparse.issparse(value):
        raise node.refused("takes what is computed, where a parameter was expected")
    return value


def flat(form: Form) -> Tensor:
    """Return a form as plain columns."""
    return Tensor(form, (form.size,))


def columns_of(value: Tensor) -> NDArray[np.int64]:
    """Return the numbers of a row's columns, in the row's shape."""
    return np.arange(value.form.size).reshape(value.shape)


def axis_of(node: Node, value: Tensor, name: str, default: int) -> int:
    """Return a setting that is an axis behind the rows', counted from 0 there."""
    axis = int(node.number(name, default))
    axis = axis - 1 if axis > 0 else len(value.shape) + axis if axis < 0 else -1
    if not 0 <= axis < len(value.shape):
        raise node.refused(f"works along axis {node.settings.get(name, default)}")
    return axis


def scaled(value: Tensor, factor: Any) -> Tensor:
    """Return a tensor times a number, or one number a column."""
    return (
        value if isinstance(factor, float) and factor == 1 else replace(value, form=forms.multiply(value.form, factor))
    )
