"""How an MXNet graph scales the rows of features by their norm."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from duckprop.formats import forms
from duckprop.formats.forms import Norm
from duckprop.formats.mxnet_values import Node, Operator, RowNorm, Tensor, tensor


def normed(node: Node, value: Tensor, norm: RowNorm, is_inverse: bool) -> Tensor:
    """Return rows of features divided by their norm."""
    is_norm = norm.stage == "norm" or (norm.stage, norm.norm[0]) == ("sum", "l1")
    if not is_norm or norm.is_inverse != is_inverse:
        raise node.refused("does not divide the rows by their norm")
    return replace(value, form=forms.scale_rows(value.form, norm.norm))


def l2_normalization(node: Node, inputs: Sequence[Any]) -> Tensor:
    """Divide rows by the root of their sum of squares."""
    value = tensor(node, inputs[0])
    if node.settings.get("mode", "instance") != "instance" or not forms.is_features(value.form):
        raise node.refused("does not go over a row of features")
    return replace(value, form=forms.scale_rows(value.form, ("l2", node.number("eps", 1e-10))))


def row_terms(norm: Norm) -> Operator:
    """Return the operator that begins a row's norm: its squares, or sizes."""

    def begin(node: Node, inputs: Sequence[Any]) -> RowNorm:
        if not forms.is_features(tensor(node, inputs[0]).form):
            raise node.refused("stands where the network's one sparse input was expected")
        return RowNorm("terms", norm)

    return begin


def total(node: Node, inputs: Sequence[Any]) -> Any:
    """Add up a row: on the way to its norm, or to what its sigmoids are divided by."""
    node.require(exclude=False)
    if node.numbers("axis") not in ([1], [-1]):
        raise node.refused("does not add up rows")
    found = inputs[0]
    if isinstance(found, RowNorm) and found.stage == "terms":
        return replace(found, stage="sum")
    form = tensor(node, found).form
    return Tensor(forms.matmul(form, np.ones((form.size, 1))), (1,) if node.flag("keepdims") else ())


def root(is_inverse: bool) -> Operator:
    """Return the operator that makes a norm, or 1 / norm, of a row's sum of squares."""

    def apply(node: Node, inputs: Sequence[Any]) -> RowNorm:
        found = inputs[0]
        if not isinstance(found, RowNorm) or found.stage != "sum" or found.norm[0] != "l2":
            raise node.refused("is not of a row's sum of squares")
        return replace(found, stage="norm", is_inverse=is_inverse)

    return apply


def reciprocal(node: Node, inputs: Sequence[Any]) -> RowNorm:
    """Return 1 / norm for a norm, and the other way round."""
    found = inputs[0]
    if not isinstance(found, RowNorm) or (found.stage, found.norm[0]) not in (("norm", "l2"), ("sum", "l1")):
        raise node.refused("is not of a row's norm")
    return replace(found, stage="norm", is_inverse=not found.is_inverse)
