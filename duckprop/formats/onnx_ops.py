"""ONNX operators on columns of rows: sums, products, activations."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from duckprop.formats.forms import Form, concat, matmul
from duckprop.formats.onnx_call import Call
from duckprop.formats.onnx_norms import reduced, scaled, scaled_by_norm
from duckprop.formats.onnx_shapes import keeps_numbers
from duckprop.formats.onnx_values import Measure, Tensor, Value, cubic, of, product, quotient

Array = NDArray[Any]
_LARGEST = float(np.finfo(np.float32).max)
_PARTS = 64
"""Most matrix products of one node."""


def _same(call: Call) -> Value:
    if call.op == "Dropout" and call.has(2) and call.constant(2).any():
        raise call.refused("drops in scoring too")
    if call.op == "Cast" and not keeps_numbers(call):
        raise call.refused(f"makes numbers of type {call.number('to', 0)} out of columns")
    return call.tensor()


def spread(call: Call, tensor: Tensor, values: Array) -> Array:
    """Return a constant as one number for each of a tensor's columns, float64 (m,)."""
    rank = len(tensor.dims)
    if values.ndim > rank and all(size == 1 for size in values.shape[: values.ndim - rank]):
        values = values.reshape(values.shape[values.ndim - rank :])
    try:
        found = np.broadcast_to(values.astype(np.float64), tensor.dims)
    except ValueError:
        raise call.refused(f"joins columns {tensor.dims} and a constant {values.shape}") from None
    return found.reshape(-1)


def _pair(call: Call) -> tuple[Tensor, Value, bool]:
    """Return the tensor, what it meets, and whether that stands first."""
    left, right = call.value(0), call.value(1)
    return (call.tensor(1), left, True) if not isinstance(left, Tensor) else (left, right, False)


def _sum(call: Call) -> Value:
    tensor, other, _ = _pair(call)
    if isinstance(other, Tensor):
        return _sum_of(call, tensor, other)
    if isinstance(other, np.ndarray):
        return tensor.plus(spread(call, tensor, other))
    raise call.refused("adds up what is no tensor of columns")


def _sum_of(call: Call, left: Tensor, right: Tensor) -> Tensor:
    if left.dims != right.dims:
        raise call.refused(f"adds columns {left.dims} to columns {right.dims}")
    if left.base is right.base:
        return replace(left, factor=left.factor + right.factor, shift=left.shift + right.shift)
    found = cubic(left, right)
    if found is not None:
        return found
    return of(Form(left.form.shift + right.form.shift, (*left.form.terms, *right.form.terms)), left.dims)


def _sum_all(call: Call) -> Value:
    total = call.value(0)
    for place in range(1, len(call.values)):
        total = _sum(replace(call, values=[total, call.value(place)]))
    return total


def _difference(call: Call) -> Value:
    if isinstance(call.value(1), Tensor):
        return _sum(replace(call, values=[call.value(0), call.tensor(1).times(-1.0)]))
    return call.tensor().plus(-spread(call, call.tensor(), call.constant(1)))


def _times(call: Call) -> Value:
    tensor, other, _ = _pair(call)
    if isinstance(other, np.ndarray):
        return tensor.times(spread(call, tensor, other))
    if isinstance(other, Measure) and other.is_inverse:
        return scaled(call, tensor, other)
    if isinstance(other, Tensor) and other.dims == tensor.dims:
        found = product(tensor, other)
        if found is not None:
            return found
    raise call.refused("multiplies columns with each other")


def _divided(call: Call) -> Value:
    tensor, other, is_second = _pair(call)
    if isinstance(other, np.ndarray) and not is_second:
        factors = spread(call, tensor, other)
        if not factors.all():
            raise call.refused("divides by 0")
        return tensor.times(1 / factors)
    if isinstance(other, Measure) and not other.is_inverse and not is_second:
        return scaled(call, tensor, other)
    if isinstance(other, Tensor) and other.dims == tensor.dims:
        found = quotient(tensor, other)
        if found is not None:
            return found
    raise call.refused("divides by columns")


def _squared(call: Call) -> Value:
    tensor, exponent = call.tensor(), call.constant(1)
    if exponent.size != 1 or float(exponent.reshape(-1)[0]) not in (1.0, 2.0, 3.0):
        raise call.refused("raises columns to a power")
    power = float(exponent.reshape(-1)[0])
    return tensor if power == 1 else tensor.apply("square" if power == 2 else "cube")


def _matrix(call: Call) -> Value:
    tensor, weight = call.tensor(), call.constant(1)
    if weight.ndim == 1:
        found = _product(call, tensor, weight[:, None])
        return found.reshaped(found.dims[:-1])
    if weight.ndim > 2 and all(size == 1 for size in weight.shape[:-2]):
        weight = weight.reshape(weight.shape[-2:])
    if weight.ndim != 2:
        raise call.refused(f"multiplies by a tensor of shape {weight.shape}")
    return _product(call, tensor, weight)


def _product(call: Call, tensor: Tensor, weight: Array) -> Tensor:
    weight = _floats(weight)
    if not tensor.dims or tensor.dims[-1] != weight.shape[0]:
        raise call.refused(f"multiplies columns {tensor.dims} by a matrix {weight.shape}")
    dims = (*tensor.dims[:-1], weight.shape[1])
    places = tensor.places().reshape(-1, weight.shape[0])
    if len(places) > _PARTS:
        raise call.refused(f"multiplies each of {len(places)} lists of columns by a matrix")
    return of(concat([matmul(tensor.columns(each).form, weight) for each in places]), dims)


def _floats(weight: Array) -> Array:
    """Return a weight in float32 or float64, in which the sums are exact enough."""
    return weight if weight.dtype in (np.float32, np.float64) else weight.astype(np.float32)


def _gemm(call: Call) -> Value:
    if call.number("transA", 0):
        raise call.refused("exchanges rows and columns")
    weight = call.constant(1)
    if weight.ndim != 2 or len(call.tensor().dims) != 1:
        raise call.refused(f"multiplies columns {call.tensor().dims} by {weight.shape}")
    found = _product(call, call.tensor(), weight.T if call.number("transB", 0) else weight)
    found = found if call.number("alpha", 1.0) == 1 else found.times(call.number("alpha", 1.0))
    if not call.has(2):
        return found
    beta, added = call.number("beta", 1.0), call.value(2)
    added = added.astype(np.float64) * beta if isinstance(added, np.ndarray) else call.tensor(2).times(beta)
    return _sum(replace(call, values=[found, added]))


def _batch_norm(call: Call) -> Value:
    tensor = call.tensor()
    if call.number("training_mode", 0) or not tensor.dims:
        raise call.refused("is in training mode")
    gamma, beta, mean, variance = (call.constant(place).astype(np.float64) for place in range(1, 5))
    factor = gamma / np.sqrt(variance + call.number("epsilon", 1e-5))
    shape = (-1, *(1,) * (len(tensor.dims) - 1))
    both = (factor.reshape(shape), (beta - mean * factor).reshape(shape))
    return tensor.times(spread(call, tensor, both[0])).plus(spread(call, tensor, both[1]))


def _softmax(call: Call) -> Value:
    tensor = call.tensor()
    rank = len(tensor.dims) + 1
    default = -1 if call.file.opset >= 13 else 1
    axis = call.axis(int(call.number("axis", default)), rank)
    if axis == 0:
        raise call.refused("is over rows")
    if call.file.opset < 13:  # all axes from this one on count as one
        tensor = tensor.reshaped((*tensor.dims[: axis - 1], int(np.prod(tensor.dims[axis - 1 :]))))
    if axis != len(tensor.dims):
        order = np.moveaxis(tensor.places(), axis - 1, -1)
        found = tensor.columns(order).apply("softmax", float(order.shape[-1]))
        return found.columns(np.moveaxis(found.places(), -1, axis - 1))
    return tensor.apply("softmax", float(tensor.dims[-1])).reshaped(call.tensor().dims)


def _bounds(call: Call) -> Value:
    low: Any = None
    high: Any = None
    if call.op == "Clip":
        tensor = call.tensor()
        low, high = (float(call.constant(place).reshape(())) if call.has(place) else None for place in (1, 2))
    else:
        tensor, other, _ = _pair(call)
        if len(call.values) != 2 or not isinstance(other, np.ndarray):
            raise call.refused("compares columns with each other")
        bound = spread(call, tensor, other)
        low, high = (bound, None) if call.op == "Max" else (None, bound)
    if high is None and not np.any(low):
        return tensor if low is None else tensor.apply("relu")
    low, high = -_LARGEST if low is None else low, _LARGEST if high is None else high
    return tensor.apply("clip", np.clip(low, -_LARGEST, _LARGEST), np.clip(high, -_LARGEST, _LARGEST))


def _hard_sigmoid(call: Call) -> Value:
    inner = call.tensor().times(call.number("alpha", 0.2)).plus(call.number("beta", 0.5))
    return inner.apply("clip", 0.0, 1.0)


def _gelu(call: Call) -> Value:
    return call.tensor().apply("gelu_tanh" if call.number("approximate", b"none") == b"tanh" else "gelu")


def _prelu(call: Call) -> Value:
    return call.tensor().apply("leaky", spread(call, call.tensor(), call.constant(1)))


def _celu(call: Call) -> Value:
    alpha = call.number("alpha", 1.0)
    return call.tensor().times(1 / alpha).apply("elu", 1.0, alpha)


def _plain(name: str) -> Callable[[Call], Value]:
    return lambda call: call.tensor().apply(name)


OPERATORS: dict[str, Callable[[Call], Any]] = {
    **dict.fromkeys(("Identity", "Dropout", "Cast"), _same),
    "Add": _sum,
    "Sum": _sum_all,
    "Sub": _difference,
    "Mul": _times,
    "Div": _divided,
    "Neg": lambda call: call.tensor().times(-1.0),
    "Pow": _squared,
    "Abs": _plain("abs"),
    "MatMul": _matrix,
    "Gemm": _gemm,
    "BatchNormalization": _batch_norm,
    "Softmax": _softmax,
    **dict.fromkeys(("Clip", "Min", "Max"), _bounds),
    "Relu": _plain("relu"),
    "Sigmoid": _plain("sigmoid"),
    "Tanh": _plain("tanh"),
    "Softplus": _plain("softrelu"),
    "Softsign": _plain("softsign"),
    "Erf": _plain("erf"),
    "Mish": _plain("mish"),
    "Gelu": _gelu,
    "Swish": lambda call: call.tensor().apply("silu", call.number("alpha", 1.0)),
    "QuickGelu": lambda call: call.tensor().apply("silu", call.number("alpha", 1.702)),
    "LeakyRelu": lambda call: call.tensor().apply("leaky", call.number("alpha", 0.01)),
    "PRelu": _prelu,
    "Elu": lambda call: call.tensor().apply("elu", call.number("alpha", 1.0), 1.0),
    "Selu": lambda call: call.tensor().apply(
        "elu", call.number("alpha", 1.67326319217681884765625), call.number("gamma", 1.05070102214813232421875)
    ),
    "Celu": _celu,
    "HardSigmoid": _hard_sigmoid,
    **dict.fromkeys(("ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceMean"), reduced),
    "LpNormalization": scaled_by_norm,
}
