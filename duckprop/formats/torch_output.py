"""What a PyTorch graph returns → Network, and how the same numbers come out of PyTorch itself."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from duckprop.errors import UsageError
from duckprop.formats import forms
from duckprop.formats.forms import CannotFold
from duckprop.formats.lowering import heads_network, sigmoid_network
from duckprop.formats.torch_values import LEAVE, Ending, Outputs, Tensor
from duckprop.network import Network

Finish = Callable[[NDArray[np.floating]], NDArray[np.floating]]


@dataclass(frozen=True)
class Reading:
    """A network, the class that counts, and what makes propensities (n, N) of the graph's own columns (n, m)."""

    network: Network
    positive: int
    finish: Finish


@dataclass(frozen=True)
class Wanted:
    """What the caller says: how many categories, which column counts, and what logits are."""

    categories: int | None
    positive: int | None
    output: str | None


def read_outputs(outputs: Outputs, wanted: Wanted) -> Reading:
    """Return what the outputs are: sigmoids, heads of classes, or one softmax over the categories.

    Raises UsageError where the caller must say more, or says something else than the graph; CannotFold for outputs of
    different kinds.
    """
    if wanted.output not in (None, "sigmoid", "softmax"):
        raise UsageError(f"output '{wanted.output}' is not known", "give --output sigmoid or --output softmax")
    tensors = outputs.tensors
    endings = {tensor.ending for tensor in tensors}
    if len(endings) > 1:
        raise CannotFold("the model's outputs end in different ways", LEAVE)
    ending = endings.pop()
    if ending is None and wanted.output is None:
        raise UsageError(
            "the model ends with logits: it does not say what makes propensities of them",
            "give --output sigmoid (one yes or no a category) or --output softmax (classes that exclude each other)",
        )
    if ending is not None and wanted.output not in (None, ending.kind):
        raise UsageError(f"output '{wanted.output}' is asked for, the model ends with {ending.kind}", "leave it out")
    logits = tensors[0].form if len(tensors) == 1 else forms.concat([tensor.form for tensor in tensors])
    if (wanted.output or (ending and ending.kind)) == "sigmoid":
        return _sigmoid(logits, ending, wanted)
    return _softmax(logits, _classes(tensors, ending, wanted), ending, wanted)


def _sigmoid(logits: forms.Form, ending: Ending | None, wanted: Wanted) -> Reading:
    _agree(logits.size, wanted)
    if wanted.positive not in (None, 0):
        raise UsageError("a sigmoid has one column a category", "leave --positive-column out")
    return Reading(sigmoid_network(logits), 0, expit if ending is None else lambda columns: columns)


def _classes(tensors: list[Tensor], ending: Ending | None, wanted: Wanted) -> int:
    """Return the number of classes of a head, 0 where one softmax goes over all categories."""
    classes = tensors[0].dims[-1] if ending is None and tensors[0].dims else ending.classes if ending else 1
    is_one = sum(tensor.form.size for tensor in tensors) == classes
    if not is_one or wanted.categories == 1 or (ending is not None and ending.positive is not None):
        return classes
    if wanted.categories is None and wanted.positive is not None:
        return classes
    if wanted.categories is None and classes == 2:
        raise UsageError(
            "the model ends with one softmax over 2 columns: two categories, or one with a yes and a no",
            "name the categories, or give --positive-column 0 or 1",
        )
    return 0


def _softmax(logits: forms.Form, classes: int, ending: Ending | None, wanted: Wanted) -> Reading:
    if classes == 0:
        _agree(logits.size, wanted)
        if wanted.positive is not None:
            raise UsageError(
                "one softmax goes over all categories: no column counts alone", "leave --positive-column out"
            )
        finish: Finish = (lambda columns: softmax(columns, axis=1)) if ending is None else lambda columns: columns
        return Reading(sigmoid_network(logits, "softmax"), 0, finish)
    heads = logits.size // classes
    _agree(heads, wanted)
    if ending is not None and ending.positive is not None:
        if wanted.positive not in (None, ending.positive):
            fact = f"column {wanted.positive} is to count, the model itself returns column {ending.positive}"
            raise UsageError(fact, "leave --positive-column out")
        return Reading(heads_network(logits, heads, classes), ending.positive, lambda columns: columns)
    positive = wanted.positive
    if positive is None or not 0 <= positive < classes:
        raise UsageError(
            f"the model gives {classes} classes a category: which one is the propensity is not said in it",
            f"give --positive-column 0 to {classes - 1}" if classes > 2 else "give --positive-column 0 or 1",
        )

    def finish_heads(columns: NDArray[np.floating]) -> NDArray[np.floating]:
        cube = columns.reshape(len(columns), heads, classes)
        return (cube if ending is not None else softmax(cube, axis=2))[..., positive]

    return Reading(heads_network(logits, heads, classes), positive, finish_heads)


def _agree(count: int, wanted: Wanted) -> None:
    if wanted.categories not in (None, count):
        raise UsageError(f"{wanted.categories} categories are named, the model has {count}", f"name {count} categories")
