"""PyTorch's activations on forms, by the parameters that aten gives them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from duckprop.formats import forms
from duckprop.formats.forms import CannotFold
from duckprop.formats.torch_values import LEAVE, Ending, Input, RowNorm, Tensor

_SELU = (1.6732632423543772, 1.0507009873554805)


def _units(activation: str, x: Any, a: Any = 0.0, b: Any = 0.0) -> Tensor:
    tensor = _tensor(x)
    return tensor.like(forms.activate(tensor.form, activation, a, b))


def _tensor(x: Any) -> Tensor:
    if isinstance(x, Input):
        return x.tensor()
    if not isinstance(x, Tensor):
        raise CannotFold(f"a tensor was expected, {type(x).__name__} came", LEAVE)
    return x.settled()


def _plain(activation: str) -> Callable[[Any], Tensor]:
    return lambda x: _units(activation, x)


def sigmoid(x: Any) -> Tensor:
    """The logistic function: of hidden units, or the network's end."""
    tensor = _tensor(x)
    return Tensor(tensor.form, tensor.dims, Ending("sigmoid"))


def softmax(x: Any, dim: int = -1, *_: Any) -> Tensor:
    """A softmax over the last dimension; only the network's end may be one."""
    tensor = _tensor(x)
    if not tensor.dims or dim not in (-1, len(tensor.dims)):
        raise CannotFold(f"it goes over dimension {dim} of (n, {tensor.dims})", "let it go over the last dimension")
    return Tensor(tensor.form, tensor.dims, Ending("softmax", tensor.dims[-1]))


def leaky_relu(x: Any, negative_slope: float = 0.01) -> Tensor:
    """A slope below 0."""
    return _units("leaky", x, negative_slope)


def prelu(x: Any, weight: Any) -> Tensor:
    """A learned slope below 0: one, or one for each column of the first dimension behind the rows."""
    tensor = _tensor(x)
    slopes = np.asarray(weight, np.float64).reshape(-1)
    if len(slopes) > 1:
        slopes = np.repeat(slopes, tensor.form.size // len(slopes))
    return _units("leaky", tensor, slopes)


def elu(x: Any, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Tensor:
    """Scale · (x above 0, alpha · (exp(x · input_scale) − 1) below)."""
    if input_scale != 1:
        raise CannotFold(f"its input is scaled by {input_scale}", LEAVE)
    return _units("elu", x, alpha, scale)


def celu(x: Any, alpha: float = 1.0) -> Tensor:
    """X above 0, alpha · (exp(x / alpha) − 1) below."""
    tensor = _tensor(x)
    return _units("elu", tensor.like(forms.multiply(tensor.form, 1 / alpha)), 1.0, alpha)


def gelu(x: Any, *, approximate: str = "none") -> Tensor:
    """GELU, exact or by tanh."""
    return _units({"none": "gelu", "tanh": "gelu_tanh"}[approximate], x)


def softplus(x: Any, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta · x)) / beta; above the threshold PyTorch takes x, which differs by exp(−20)."""
    if threshold < 15:
        raise CannotFold(f"its threshold is {threshold}, where log(1 + exp(x)) is not yet x", LEAVE)
    tensor = _tensor(x)
    units = _units("softrelu", tensor.like(forms.multiply(tensor.form, beta)))
    return units.like(forms.multiply(units.form, 1 / beta))


def log_sigmoid(x: Any) -> Tensor:
    """−log(1 + exp(−x))."""
    tensor = _tensor(x)
    units = _units("softrelu", tensor.like(forms.multiply(tensor.form, -1.0)))
    return units.like(forms.multiply(units.form, -1.0))


def hardtanh(x: Any, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """X within its limits."""
    return _units("clip", x, min_val, max_val)


def clamp(x: Any, min: Any = None, max: Any = None) -> Any:
    """X within limits, of which one may be missing; of a row's norm, F.normalize's least."""
    if isinstance(x, RowNorm) and max is None:
        return x.at_least(min)
    if any(isinstance(limit, np.ndarray) and limit.size > 1 for limit in (min, max)):
        raise CannotFold("its limits differ from column to column", LEAVE)
    if min is not None and max is not None:
        return hardtanh(x, float(min), float(max))
    sign, limit = (1.0, min) if max is None else (-1.0, max)
    tensor = _tensor(x)
    above = forms.add_constant(forms.multiply(tensor.form, sign), -sign * float(limit))
    units = forms.activate(above, "relu")
    return tensor.like(forms.multiply(forms.add_constant(units, sign * float(limit)), sign))


def hardsigmoid(x: Any) -> Tensor:
    """X / 6 + 1/2 within 0 and 1."""
    tensor = _tensor(x)
    return _units("clip", tensor.like(forms.add_constant(forms.multiply(tensor.form, 1 / 6), 0.5)), 0.0, 1.0)


OPERATORS: dict[str, Callable[..., Any]] = {
    "relu": _plain("relu"),
    "tanh": _plain("tanh"),
    "silu": lambda x: _units("silu", x, 1.0),
    "mish": _plain("mish"),
    "selu": lambda x: _units("elu", x, *_SELU),
    "relu6": lambda x: _units("clip", x, 0.0, 6.0),
    "sigmoid": sigmoid,
    "softmax": softmax,
    "_softmax": softmax,
    "leaky_relu": leaky_relu,
    "prelu": prelu,
    "_prelu_kernel": prelu,
    "elu": elu,
    "celu": celu,
    "gelu": gelu,
    "softplus": softplus,
    "log_sigmoid": log_sigmoid,
    "hardtanh": hardtanh,
    "hardsigmoid": hardsigmoid,
    "clamp": clamp,
    "clamp_min": lambda x, limit: clamp(x, limit),
    "clamp_max": lambda x, limit: clamp(x, None, limit),
}
"""Name → function."""
