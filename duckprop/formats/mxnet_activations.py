"""MXNet's activations, those that a graph multiplies together itself too."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from duckprop.formats import forms
from duckprop.formats.forms import Form
from duckprop.formats.mxnet_values import Node, Operator, Tensor, parameter, tensor

_ELU_SELU = (1.6732632423543772, 1.0507009873554805)


def gated(node: Node, one: Tensor, other: Tensor) -> Tensor:
    """Return x · gate(x) where that is an activation of its own; nothing else is folded."""
    for x, gate in ((one, other), (other, one)):
        if found := _gate(x.form, gate.form):
            return replace(x, form=forms.activate(x.form, *found))
    raise node.refused("multiplies units with each other")


def _gate(x: Form, gate: Form) -> tuple[str, float] | tuple[str] | None:
    """Return the activation that x times a gate is, with its parameter: silu, gelu_tanh or mish; else None."""
    if (inner := forms.before(gate, "tanh")) is not None:
        soft = forms.before(inner, "softrelu")
        return ("mish",) if soft is not None and forms.ratio(soft, x) == 1 else None
    inner = forms.before(gate, "sigmoid")
    if inner is None:
        return None
    if (slope := forms.ratio(inner, x)) is not None:
        return "silu", slope
    cubes = [term for term in inner.terms if term.block.activation == "cube"]
    rest = replace(inner, terms=tuple(term for term in inner.terms if term not in cubes))
    if len(cubes) != 1 or cubes[0].block.form is None or forms.ratio(cubes[0].block.form, x) != 1:
        return None
    every = np.arange(x.size)
    if cubes[0].factors is None or not all(np.array_equal(at, every) for at in (cubes[0].places, cubes[0].sources)):
        return None
    wanted = 2 * math.sqrt(2 / math.pi)
    is_near = np.allclose([forms.ratio(rest, x) or 0, *(cubes[0].factors / 0.044715)], wanted, rtol=1e-5)
    return ("gelu_tanh",) if is_near else None


def power(node: Node, inputs: Sequence[Any]) -> Tensor:
    """Return units that only stand for x³: what _gate makes of them is known, nothing else."""
    value = tensor(node, inputs[0], None)
    if node.number("scalar") != 3:
        raise node.refused("raises units to a power")
    return replace(value, form=forms.activate(value.form, "cube"))


def activation(name: str, a: float = 0.0, b: float = 0.0) -> Operator:
    """Return the operator that applies one activation."""

    def apply(node: Node, inputs: Sequence[Any]) -> Tensor:
        value = tensor(node, inputs[0], None)
        return replace(value, form=forms.activate(value.form, name, a, b))

    return apply


_KNOWN = {name: name for name in ("relu", "sigmoid", "tanh", "softrelu", "softsign", "mish")}


def activation_by_type(node: Node, inputs: Sequence[Any]) -> Tensor:
    """Apply the activation that the settings name."""
    kind = node.settings.get("act_type", "")
    if kind not in _KNOWN:
        raise node.refused(f"has the activation '{kind}'")
    return activation(kind)(node, inputs)


def leaky(node: Node, inputs: Sequence[Any]) -> Tensor:
    """Apply LeakyReLU of any kind; the parameter of prelu is one slope a unit."""
    value, kind = tensor(node, inputs[0], None), node.settings.get("act_type", "leaky")
    slope = node.number("slope", 0.25)
    match kind:
        case "leaky":
            return activation("leaky", slope)(node, inputs)
        case "rrelu":  # in scoring: the mean of its bounds
            mean = (node.number("lower_bound", 0.125) + node.number("upper_bound", 0.334)) / 2
            return activation("leaky", mean)(node, inputs)
        case "prelu":
            slopes = parameter(node, inputs[1]).reshape(-1).astype(np.float64)
            return replace(value, form=forms.activate(value.form, "leaky", slopes))
        case "elu":
            return activation("elu", slope, 1.0)(node, inputs)
        case "selu":
            return activation("elu", *_ELU_SELU)(node, inputs)
        case "gelu":
            return activation("gelu")(node, inputs)
    raise node.refused(f"has the activation '{kind}'")


def clip(node: Node, inputs: Sequence[Any]) -> Tensor:
    """Apply clip."""
    low, high = (min(max(node.number(name), -3e38), 3e38) for name in ("a_min", "a_max"))
    return activation("clip", low, high)(node, inputs)


def hard_sigmoid(node: Node, inputs: Sequence[Any]) -> Tensor:
    """Apply hard_sigmoid, a clip of an affine form."""
    value = tensor(node, inputs[0], None)
    inner = forms.add_constant(forms.multiply(value.form, node.number("alpha", 0.2)), node.number("beta", 0.5))
    return replace(value, form=forms.activate(inner, "clip", 0.0, 1.0))
