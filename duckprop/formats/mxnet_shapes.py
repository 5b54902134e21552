"""MXNet's operators that only move columns about."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from duckprop.formats import forms
from duckprop.formats.mxnet_values import Node, RowNorm, Tensor, axis_of, columns_of, flat, tensor


def reshape(node: Node, inputs: Sequence[Any]) -> Any:
    """Regroup the columns of a row; 0 and -1 stand for the rows and for what is left."""
    found = inputs[0]
    if isinstance(found, np.ndarray):
        return found.reshape(node.numbers("shape") or [])
    if isinstance(found, RowNorm):
        return found
    value, shape = tensor(node, found, None), node.numbers("shape") or []
    node.require(reverse=False)
    head, *tail = shape or [0]
    if head not in (0, -1) or any(size < -1 or size == 0 for size in tail) or (head == tail.count(-1) * -1 == -1):
        raise node.refused(f"has the shape {tuple(shape)}")
    known = math.prod(size for size in tail if size > 0)
    if value.form.size % known or (-1 not in tail and known != value.form.size):
        raise node.refused(f"makes rows of shape {tuple(tail)} of {value.form.size} columns")
    return Tensor(value.form, tuple(size if size > 0 else value.form.size // known for size in tail))


def flatten(node: Node, inputs: Sequence[Any]) -> Tensor:
    """Return a row as plain columns."""
    return flat(tensor(node, inputs[0], None).form)


def expand_dims(node: Node, inputs: Sequence[Any]) -> Any:
    """Put an axis of size 1 into a row."""
    if isinstance(inputs[0], RowNorm):
        return inputs[0]
    value, axis = tensor(node, inputs[0], None), int(node.number("axis"))
    axis = axis if axis >= 0 else len(value.shape) + 2 + axis
    if axis < 1:
        raise node.refused("puts an axis before the rows")
    return Tensor(value.form, (*value.shape[: axis - 1], 1, *value.shape[axis - 1 :]))


def concat(node: Node, inputs: Sequence[Any]) -> Any:
    """Join rows along an axis."""
    values = [tensor(node, each, None) for each in inputs]
    axis = axis_of(node, values[0], "dim", 1)
    return _joined(node, values, axis)


def stack(node: Node, inputs: Sequence[Any]) -> Any:
    """Join rows along a new axis."""
    values = [expand_dims(node, [each]) for each in inputs]
    return _joined(node, values, axis_of(node, values[0], "axis", 0))


def _joined(node: Node, values: Sequence[Tensor], axis: int) -> Tensor:
    starts = np.cumsum([0, *(value.form.size for value in values)])
    try:
        order = np.concatenate([columns_of(v) + s for v, s in zip(values, starts, strict=False)], axis=axis)
    except ValueError:
        raise node.refused(f"joins rows of shapes {', '.join(str(value.shape) for value in values)}") from None
    form = forms.concat([value.form for value in values])
    is_in_order = np.array_equal(order.ravel(), np.arange(form.size))
    return Tensor(form if is_in_order else forms.take(form, order.ravel()), order.shape)


def split(node: Node, inputs: Sequence[Any]) -> list[Tensor]:
    """Return the equal parts of a row along an axis."""
    value = tensor(node, inputs[0], None)
    axis, count = axis_of(node, value, "axis", 1), int(node.number("num_outputs"))
    parts = np.split(columns_of(value), count, axis)
    if node.flag("squeeze_axis"):
        parts = [part.squeeze(axis) for part in parts]
    return [Tensor(forms.take(value.form, part.ravel()), part.shape) for part in parts]


def slice_axis(node: Node, inputs: Sequence[Any]) -> Tensor:
    """Return some columns of a row along an axis."""
    value = tensor(node, inputs[0], None)
    axis = axis_of(node, value, "axis", 0)
    end = node.settings.get("end", "None")
    wanted = slice(int(node.number("begin")), None if end == "None" else int(end))
    part = columns_of(value).take(range(*wanted.indices(value.shape[axis])), axis)
    return Tensor(forms.take(value.form, part.ravel()), part.shape)
