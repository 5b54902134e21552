"""MXNet's operators, as they act on forms: one entry each, by the name in a graph's file."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from duckprop.errors import ModelError
from duckprop.formats import forms
from duckprop.formats.mxnet_activations import activation, activation_by_type, clip, gated, hard_sigmoid, leaky, power
from duckprop.formats.mxnet_rows import l2_normalization, normed, reciprocal, root, row_terms, total
from duckprop.formats.mxnet_shapes import concat, expand_dims, flatten, reshape, slice_axis, split, stack
from duckprop.formats.mxnet_values import (
    Node,
    Operator,
    Probabilities,
    RowNorm,
    Tensor,
    axis_of,
    flat,
    parameter,
    scaled,
    tensor,
)


def _dot(node: Node, inputs: Sequence[Any]) -> Tensor:
    node.require(transpose_a=False)
    weight = parameter(node, inputs[1])
    if weight.ndim != 2:
        raise node.refused(f"multiplies by a parameter of shape {weight.shape}")
    return flat(forms.matmul(tensor(node, inputs[0]).form, weight.T if node.flag("transpose_b") else weight))


def _fully_connected(node: Node, inputs: Sequence[Any]) -> Tensor:
    below, weight, *bias = inputs
    if len(bias) != (not node.flag("no_bias")):
        raise ModelError(f"{node} has {len(bias)} biases", "the file is damaged: write it again")
    value = tensor(node, below, None)
    if len(value.shape) > 1 and not node.flag("flatten", True):
        raise node.refused("is applied to each part of a row")
    form = forms.matmul(value.form, parameter(node, weight).T)
    return flat(forms.add_constant(form, parameter(node, bias[0])) if bias else form)


def _add(node: Node, inputs: Sequence[Any], sign: float = 1.0) -> Any:
    first, second = inputs
    if isinstance(first, np.ndarray) and isinstance(second, Tensor):
        return _add(node, (scaled(second, sign), first))
    one = tensor(node, first, None)
    if isinstance(second, np.ndarray):
        return replace(one, form=forms.add_constant(one.form, sign * _aligned(node, second, one)))
    other = tensor(node, second, None)
    if one.shape != other.shape:
        raise node.refused(f"adds rows of shape {one.shape} and {other.shape}")
    return replace(one, form=forms.add(one.form, scaled(other, sign).form))


def _aligned(node: Node, array: NDArray[Any], value: Tensor) -> NDArray[Any]:
    """Return a parameter as one number for each column of a row, as MXNet broadcasts it."""
    shape = array.shape[1:] if array.ndim > len(value.shape) and array.shape[0] == 1 else array.shape
    try:
        return np.broadcast_to(array.reshape(shape), value.shape).reshape(-1).astype(np.float64)
    except ValueError:
        raise node.refused(f"combines rows of shape {value.shape} with a parameter of shape {array.shape}") from None


def _add_many(node: Node, inputs: Sequence[Any]) -> Any:
    total = inputs[0]
    for other in inputs[1:]:
        total = _add(node, (total, other))
    return total


def _multiply(node: Node, inputs: Sequence[Any]) -> Tensor:
    first, second = inputs
    if isinstance(first, RowNorm | np.ndarray):
        first, second = second, first
    value = tensor(node, first, None)
    if isinstance(second, RowNorm):
        return normed(node, value, second, is_inverse=True)
    if isinstance(second, np.ndarray):
        return scaled(value, _aligned(node, second, value))
    return gated(node, value, tensor(node, second, None))


def _divide(node: Node, inputs: Sequence[Any]) -> Any:
    value = tensor(node, inputs[0], None)
    if isinstance(inputs[1], RowNorm):
        return normed(node, value, inputs[1], is_inverse=False)
    if isinstance(inputs[1], Tensor):
        return _shares(node, value, inputs[1])
    return scaled(value, 1 / _aligned(node, parameter(node, inputs[1]), value))


def _shares(node: Node, value: Tensor, total: Tensor) -> Probabilities:
    """Return sigmoids divided by their sum."""
    logits = forms.before(value.form, "sigmoid")
    every = forms.matmul(value.form, np.ones((value.form.size, 1)))
    if logits is None or total.shape != (1,) or forms.ratio(total.form, every) != 1:
        raise node.refused("divides units by each other")
    return Probabilities(replace(value, form=logits), is_softmax=False)


def _scalar(change: Callable[[Tensor, float], Tensor]) -> Operator:
    return lambda node, inputs: change(tensor(node, inputs[0], None), node.number("scalar"))


def _plus(value: Tensor, number: float) -> Tensor:
    return replace(value, form=forms.add_constant(value.form, number))


def _plus_scalar(node: Node, inputs: Sequence[Any]) -> Any:
    found = inputs[0]
    if isinstance(found, RowNorm):
        if found.stage != "sum":
            raise node.refused("adds to what is not the sum of a row")
        return replace(found, norm=(found.norm[0], found.norm[1] + node.number("scalar")))
    return _plus(tensor(node, found, None), node.number("scalar"))


def _batch_norm(node: Node, inputs: Sequence[Any]) -> Tensor:
    value = tensor(node, inputs[0], None)
    gamma, beta, mean, variance = (parameter(node, array).astype(np.float64) for array in inputs[1:])
    node.require(output_mean_var=False)
    if int(node.settings.get("axis", "1")) not in (1, *([-1] if len(value.shape) == 1 else [])) or len(value.shape) > 1:
        raise node.refused("does not norm hidden units")
    factor = 1 / np.sqrt(variance + node.number("eps", 0.001))
    if not node.flag("fix_gamma", True):
        factor = factor * gamma
    return replace(value, form=forms.add_constant(forms.multiply(value.form, factor), beta - mean * factor))


def _dropout(node: Node, inputs: Sequence[Any]) -> Any:
    if node.settings.get("mode", "training") != "training":
        raise node.refused("drops in scoring too")
    return inputs[0]


def _softmax(node: Node, inputs: Sequence[Any]) -> Probabilities:
    value = tensor(node, inputs[0], None)
    if node.flag("use_length") or node.settings.get("dtype", "None") not in ("None", "float32", "float64"):
        raise node.refused("has a length or a type of its own")
    if axis_of(node, value, "axis", -1) != len(value.shape) - 1:
        raise node.refused("does not go over the last axis")
    temperature = node.settings.get("temperature", "None")
    return Probabilities(value if temperature == "None" else scaled(value, 1 / float(temperature)))


def _softmax_output(node: Node, inputs: Sequence[Any]) -> Probabilities:
    value = tensor(node, inputs[0], None)
    node.require(multi_output=False)
    if len(value.shape) > 1 and not node.flag("preserve_shape"):
        raise node.refused("has preserve_shape = False")
    return Probabilities(value)


def _softmax_activation(node: Node, inputs: Sequence[Any]) -> Probabilities:
    value = tensor(node, inputs[0], None)
    if node.settings.get("mode", "instance") != "instance" or len(value.shape) > 1:
        raise node.refused("does not go over a row")
    return Probabilities(value)


def _same(node: Node, inputs: Sequence[Any]) -> Any:
    return inputs[0]


def _cast(node: Node, inputs: Sequence[Any]) -> Any:
    if node.settings.get("dtype") not in ("float16", "float32", "float64"):
        raise node.refused(f"makes {node.settings.get('dtype')} of them")
    return inputs[0]


OPERATORS: dict[str, Operator] = {
    **dict.fromkeys(("dot", "_sparse_dot"), _dot),
    "FullyConnected": _fully_connected,
    **dict.fromkeys(("broadcast_add", "broadcast_plus", "elemwise_add", "_plus", "_Plus", "_add"), _add),
    **dict.fromkeys(("add_n", "ElementWiseSum", "_sparse_add_n"), _add_many),
    **dict.fromkeys(
        ("broadcast_sub", "broadcast_minus", "elemwise_sub", "_sub", "_minus", "_Minus"),
        lambda node, inputs: _add(node, inputs, -1.0),
    ),
    **dict.fromkeys(("broadcast_mul", "elemwise_mul", "_mul", "_Mul", "_sparse_elemwise_mul"), _multiply),
    **dict.fromkeys(("broadcast_div", "elemwise_div", "_div", "_Div"), _divide),
    **dict.fromkeys(("_plus_scalar", "_PlusScalar"), _plus_scalar),
    **dict.fromkeys(("_minus_scalar", "_MinusScalar"), _scalar(lambda value, x: _plus(value, -x))),
    **dict.fromkeys(("_rminus_scalar", "_RMinusScalar"), _scalar(lambda value, x: _plus(scaled(value, -1.0), x))),
    **dict.fromkeys(("_mul_scalar", "_MulScalar"), _scalar(lambda value, x: scaled(value, float(x)))),
    **dict.fromkeys(("_div_scalar", "_DivScalar"), _scalar(lambda value, x: scaled(value, 1 / x))),
    **dict.fromkeys(("_power_scalar", "_PowerScalar"), power),
    "negative": lambda node, inputs: scaled(tensor(node, inputs[0], None), -1.0),
    "Activation": activation_by_type,
    **{name: activation(name) for name in ("relu", "sigmoid", "tanh", "softsign", "mish")},
    "LogisticRegressionOutput": activation("sigmoid"),
    "LeakyReLU": leaky,
    "clip": clip,
    "hard_sigmoid": hard_sigmoid,
    **dict.fromkeys(("BatchNorm", "BatchNorm_v1"), _batch_norm),
    "Dropout": _dropout,
    **dict.fromkeys(("Reshape", "reshape"), reshape),
    **dict.fromkeys(("Flatten", "flatten"), flatten),
    "expand_dims": expand_dims,
    **dict.fromkeys(("Concat", "concat"), concat),
    "stack": stack,
    **dict.fromkeys(("SliceChannel", "split"), split),
    "slice_axis": slice_axis,
    "softmax": _softmax,
    **dict.fromkeys(("SoftmaxOutput", "Softmax"), _softmax_output),
    "SoftmaxActivation": _softmax_activation,
    **dict.fromkeys(
        ("identity", "_copy", "BlockGrad", "stop_gradient", "make_loss", "MakeLoss", "cast_storage",
         "_identity_with_attr_like_rhs"),
        _same,
    ),
    **dict.fromkeys(("Cast", "cast", "amp_cast"), _cast),
    "L2Normalization": l2_normalization,
    **dict.fromkeys(("square", "_sparse_square"), row_terms(("l2", 0.0))),
    **dict.fromkeys(("abs", "_sparse_abs"), row_terms(("l1", 0.0))),
    **dict.fromkeys(("sum", "_sparse_sum", "sum_axis"), total),
    "rsqrt": root(is_inverse=True),
    "sqrt": root(is_inverse=False),
    "reciprocal": reciprocal,
}  # fmt: skip
