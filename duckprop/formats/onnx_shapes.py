"""ONNX operators that only move columns, on constants and on columns of rows alike; and arithmetic on constants."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from duckprop.formats.onnx_call import Call
from duckprop.formats.onnx_values import BATCH, Tensor, joined

Array = NDArray[Any]
_MOST = 2**24
"""Elements of what a graph computes out of constants, or of columns side by side, where it stores few numbers."""
_FLOATS = {1: np.float32, 10: np.float16, 11: np.float64}
_TYPES = {**_FLOATS, 2: np.uint8, 3: np.int8, 6: np.int32, 7: np.int64, 9: np.bool_}


def moved(call: Call) -> Any:
    """Return what an operator that only moves columns gives, for a tensor or a constant."""
    source = call.value(0)
    if isinstance(source, np.ndarray):
        made = _MOVES[call.op](call, source)
        return made if isinstance(made, tuple) else np.asarray(made)
    tensor = call.tensor()
    found = _MOVES[call.op](call, tensor.places()[None])
    results = found if isinstance(found, tuple) else (found,)
    if any(len(each) != 1 or each.ndim < 1 for each in results):
        raise call.refused("moves rows, not columns")
    columns = tuple(tensor.columns(each[0]) for each in results)
    return columns if isinstance(found, tuple) else columns[0]


def concatenated(call: Call) -> Any:
    """Return Concat of tensors, or of constants."""
    values = [call.value(place) for place in range(len(call.values))]
    axis = int(call.number("axis", 0))
    constants = [each for each in values if isinstance(each, np.ndarray)]
    if len(constants) == len(values):
        return _small(call, sum(each.size for each in constants), lambda: np.concatenate(constants, axis))
    tensors = [call.tensor(place) for place in range(len(values))]
    _small(call, sum(each.size for each in tensors), lambda: np.zeros(0))
    axis = call.axis(axis, 1 + len(tensors[0].dims))
    if axis == 0:
        raise call.refused("puts rows below each other")
    if any(_others(each, axis) != _others(tensors[0], axis) for each in tensors):
        raise call.refused(f"joins columns of {[each.dims for each in tensors]}")
    return joined(tensors, axis - 1)


def _others(tensor: Tensor, axis: int) -> tuple[int, ...]:
    return (*tensor.dims[: axis - 1], -1, *tensor.dims[axis:])


def shape(call: Call) -> Array:
    """Return Shape's constant; BATCH stands for the number of rows."""
    source = call.value(0)
    found = source.shape if isinstance(source, np.ndarray) else (BATCH, *call.tensor().dims)
    return np.array(found, np.int64)[call.number("start", 0) : call.number("end", len(found))]


def folded(call: Call) -> Array:
    """Return an operator of constants alone. Raises CannotFold for one that is not known, or too large a result."""
    if call.op == "Constant":
        return _constant(call)
    if call.op not in _ARITHMETIC:
        raise call.refused("is not understood")
    inputs = [call.constant(place) for place in range(len(call.values))]
    count = math.prod(np.broadcast_shapes(*(each.shape for each in inputs))) if len(inputs) > 1 else 0
    with np.errstate(all="ignore"):
        return np.asarray(_small(call, count, lambda: _ARITHMETIC[call.op](*inputs)))


def cast(call: Call) -> Array:
    """Return Cast of a constant."""
    kind = call.number("to", 1)
    if kind not in _TYPES:
        raise call.refused(f"makes numbers of the unknown type {kind}")
    return call.constant(0).astype(_TYPES[kind])


def keeps_numbers(call: Call) -> bool:
    """Whether a Cast is to another type of floats."""
    return call.number("to", 1) in _FLOATS


def filled(call: Call) -> Array:
    """Return ConstantOfShape."""
    sizes = [int(each) for each in call.constant(0).reshape(-1)]
    value = call.file.array(call.attributes["value"]) if "value" in call.attributes else np.zeros(1, np.float32)
    return _small(call, math.prod(sizes), lambda: np.full(sizes, value.reshape(-1)[0]))


def _constant(call: Call) -> Array:
    ((name, value),) = call.attributes.items() or (("", None),)
    if name == "value":
        return call.file.array(value)
    if name in ("value_float", "value_floats"):
        return np.array(value, np.float32)
    if name in ("value_int", "value_ints"):
        return np.array(value, np.int64)
    raise call.refused(f"holds '{name}', which is not read")


def _small(call: Call, count: int, compute: Callable[[], Array]) -> Array:
    if not 0 <= count <= max(_MOST, 4 * call.file.elements):
        raise call.refused(f"makes {count} numbers out of those that the file holds")
    return compute()


def _reshaped(call: Call, array: Array) -> Array:
    wanted = [int(each) for each in call.constant(1).reshape(-1)]
    if isinstance(call.values[0], Tensor):
        if not wanted or wanted[0] not in (BATCH, call.batch, -1, 0):
            raise call.refused("puts several rows together")
        wanted[0] = 1
    sizes = [array.shape[place] if each == 0 and place < array.ndim else each for place, each in enumerate(wanted)]
    known = math.prod(each for each in sizes if each != -1)
    fits = known == array.size if -1 not in sizes else known > 0 and array.size % known == 0
    if sizes.count(-1) > 1 or not fits:
        raise call.refused(f"makes the shape {wanted} out of {array.shape}")
    return array.reshape(sizes)


def _flattened(call: Call, array: Array) -> Array:
    axis = call.axis(int(call.number("axis", 1)), array.ndim + 1)
    return array.reshape(math.prod(array.shape[:axis]), -1)


def _squeezed(call: Call, array: Array) -> Array:
    axes = call.integers("axes", 1)
    is_tensor = isinstance(call.values[0], Tensor)
    if axes is None:
        axes = [place for place, size in enumerate(array.shape) if size == 1 and not (place == 0 and is_tensor)]
    axes = [call.axis(axis, array.ndim) for axis in axes]
    if any(array.shape[axis] != 1 for axis in axes) or (is_tensor and 0 in axes):
        raise call.refused(f"leaves out axes {axes} of {array.shape}")
    return np.squeeze(array, tuple(axes))


def _unsqueezed(call: Call, array: Array) -> Array:
    axes = call.integers("axes", 1) or []
    rank = array.ndim + len(axes)
    found = sorted(call.axis(axis, rank) for axis in axes)
    if rank > 8 or len(set(found)) < len(found) or (isinstance(call.values[0], Tensor) and 0 in found):
        raise call.refused(f"puts in axes {axes}")
    return np.expand_dims(array, tuple(found))


def _transposed(call: Call, array: Array) -> Array:
    order = call.number("perm", list(reversed(range(array.ndim))))
    if sorted(order) != list(range(array.ndim)) or (isinstance(call.values[0], Tensor) and order[0] != 0):
        raise call.refused(f"exchanges axes {order}")
    return np.transpose(array, order)


def _column_axis(call: Call, axis: int, array: Array) -> int:
    found = call.axis(axis, array.ndim)
    if found == 0 and isinstance(call.values[0], Tensor):
        raise call.refused("picks rows, not columns")
    return found


def _picked(call: Call, array: Array) -> Array:
    axis = _column_axis(call, int(call.number("axis", 0)), array)
    places = call.constant(1)
    size = array.shape[axis]
    if places.dtype.kind not in "iu" or (places.size and not (-size <= places.min() and places.max() < size)):
        raise call.refused(f"picks beyond {size} columns")
    is_tensor = isinstance(call.values[0], Tensor)
    if is_tensor and len(np.unique(places % size)) < places.size:
        raise call.refused("picks a column twice")
    count = array.size // max(size, 1) * places.size
    return _small(call, count, lambda: np.take(array, places, axis))


def _sliced(call: Call, array: Array) -> Array:
    starts, stops = call.integers("starts", 1) or [], call.integers("ends", 2) or []
    axes = call.integers("axes", 3) or list(range(len(starts)))
    steps = call.integers("steps", 4) or [1] * len(starts)
    if not len(starts) == len(stops) == len(axes) == len(steps) or 0 in steps:
        raise call.refused(f"takes from {starts} to {stops} along {axes}")
    for axis, start, stop, step in zip(axes, starts, stops, steps, strict=True):
        place = call.axis(axis, array.ndim)
        is_whole = (start, step) == (0, 1) and stop >= 2**31 - 1
        if place == 0 and isinstance(call.values[0], Tensor) and not is_whole:
            raise call.refused("picks rows, not columns")
        last = None if step < 0 and stop < -array.shape[place] else stop
        array = array[(slice(None),) * place + (slice(start, last, step),)]
    return array


def _split(call: Call, array: Array) -> tuple[Array, ...]:
    axis = _column_axis(call, int(call.number("axis", 0)), array)
    sizes = call.integers("split", 1)
    size, parts = array.shape[axis], len(call.node.output)
    if sizes is None:
        each = -(-size // parts)
        sizes = [max(0, min(each, size - place * each)) for place in range(parts)]
    if sum(sizes) != size or len(sizes) != parts or min(sizes) < 0:
        raise call.refused(f"splits {size} columns into {sizes}")
    return tuple(np.split(array, np.cumsum(sizes)[:-1], axis))


def _cut_range(start: Array, stop: Array, step: Array) -> Array:
    count = -(-(int(stop) - int(start)) // int(step))
    if count > _MOST:
        raise ValueError(f"a range of {count}")
    return np.arange(start, stop, step)


def _power(base: Array, exponent: Array) -> Array:
    return np.power(base, exponent.astype(base.dtype))


def _divide(left: Array, right: Array) -> Array:
    return left // right if left.dtype.kind in "iu" and right.dtype.kind in "iu" else left / right


_ARITHMETIC: dict[str, Callable[..., Any]] = {
    "Identity": lambda x: x,
    "Dropout": lambda x, *_: x,
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": _divide,
    "Neg": np.negative,
    "Sqrt": np.sqrt,
    "Exp": np.exp,
    "Log": np.log,
    "Abs": np.abs,
    "Reciprocal": np.reciprocal,
    "Pow": _power,
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Tanh": np.tanh,
    "Relu": lambda x: np.maximum(x, 0),
    "Range": _cut_range,
}
_MOVES: dict[str, Callable[[Call, Array], Any]] = {
    "Reshape": _reshaped,
    "Flatten": _flattened,
    "Squeeze": _squeezed,
    "Unsqueeze": _unsqueezed,
    "Transpose": _transposed,
    "Gather": _picked,
    "Slice": _sliced,
    "Split": _split,
}
MOVES: Sequence[str] = tuple(_MOVES)
