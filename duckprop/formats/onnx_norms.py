"""Row norms in an ONNX graph: a number a row that columns are divided by."""

from dataclasses import replace
from typing import Any

import numpy as np

from duckprop.formats.forms import Form, Norm, scale_rows
from duckprop.formats.onnx_call import Call
from duckprop.formats.onnx_values import Measure, Tensor, Value, of

_NOTHING = {"l1": 1e-30, "l2": 1e-24}
"""Stand for no epsilon at all: less than float32 adds to the sum of any row that is not empty."""
_SMALL = 1e-6
"""Above it, an epsilon beside a norm changes what it divides by more than a network here can follow."""
_KEPT = ("Identity", "Cast", "Reshape", "Unsqueeze", "Squeeze", "Expand", "Dropout")


def measured(call: Call) -> Value:
    """Return what an operator makes of a number a row."""
    first = call.value(0)
    if call.op in _KEPT and isinstance(first, Measure):
        return first
    if call.op in ("Sqrt", "Reciprocal", "Pow") and isinstance(first, Measure):
        return _power(call, first)
    if call.op == "Div" and isinstance(first, np.ndarray) and (first == 1).all():
        return _power(call, _measure(call, 1), -1.0)
    if call.op in ("Add", "Clip", "Max"):
        place = 0 if isinstance(first, Measure) else 1
        return _with_epsilon(call, _measure(call, place), call.constant(1 - place))
    raise call.refused("takes a number a row, which is understood only where columns are divided by it")


def _measure(call: Call, place: int) -> Measure:
    found = call.value(place)
    if not isinstance(found, Measure):
        raise call.refused("divides by columns")
    return found


def _power(call: Call, measure: Measure, exponent: float = 0.0) -> Measure:
    if not exponent:
        exponents = {"Sqrt": 0.5, "Reciprocal": -1.0}
        exponent = exponents[call.op] if call.op in exponents else float(call.constant(1).reshape(()))
    is_new_root = measure.kind == "l2" and not measure.is_root and not measure.is_inverse
    if exponent in (0.5, -0.5) and is_new_root:
        return replace(measure, is_root=True, is_inverse=exponent < 0)
    if exponent == -1 and not measure.is_inverse:
        return replace(measure, is_inverse=True)
    raise call.refused("makes something else than a norm of a row's features")


def _with_epsilon(call: Call, measure: Measure, bound: Any) -> Measure:
    """Return a norm with a small number added, or of at least that number: only empty rows tell the two apart."""
    epsilon = float(np.asarray(bound, np.float64).reshape(()))
    if measure.is_inverse or epsilon < 0:
        raise call.refused("changes a norm")
    if call.op == "Add" and not measure.is_root:
        return replace(measure, epsilon=measure.epsilon + epsilon)
    if epsilon > (_SMALL if measure.is_root or measure.kind != "l2" else _SMALL**2):
        raise call.refused(f"holds a row's norm at {epsilon:g} or more")
    if measure.is_root:
        epsilon = epsilon**2
    return replace(measure, epsilon=max(measure.epsilon, min(epsilon, _SMALL**2), _NOTHING[_kind(measure)]))


def _kind(measure: Measure) -> str:
    return "l2" if measure.kind == "l2" else "l1"


def scaled(call: Call, tensor: Tensor, measure: Measure) -> Tensor:
    """Return a tensor divided by a number a row. Raises CannotFold where that is not its features' norm."""
    if measure.kind == "sum":
        return _normalized(call, tensor, measure)
    if measure.of is not None and not is_features(measure.of.form, call.source.width):
        raise call.refused("divides by the norm of other columns than the features")
    if measure.kind == "l2" and not measure.is_root:
        raise call.refused("divides by a sum of squares, not by its root")
    norm: Norm = (measure.kind, measure.epsilon or _NOTHING[measure.kind])
    return of(scale_rows(tensor.form, norm), tensor.dims)


def _normalized(call: Call, tensor: Tensor, measure: Measure) -> Tensor:
    gate = tensor.base
    if measure.of is None or measure.of.base is not gate or gate.applied != "sigmoid" or measure.epsilon > _SMALL:
        raise call.refused("divides by a sum of columns, which no network here does")
    assert gate.below is not None
    return gate.below.reshaped(tensor.dims).apply("normalized", float(tensor.size))


def is_features(form: Form, width: int) -> bool:
    """Whether a form is all features as they are, in any order."""
    if len(form.terms) != 1 or form.size != width or form.shift.any():
        return False
    term = form.terms[0]
    is_plain = term.block.kind == "data" and term.block.norm is None and term.weight is None
    return is_plain and term.factors is not None and bool((np.abs(term.factors) == 1).all())


def reduced(call: Call) -> Value:
    """Return a row norm, or the sum of columns that a graph divides them by."""
    tensor, axes = call.tensor(), call.integers("axes", 1)
    rank = len(tensor.dims) + 1
    if len(tensor.dims) != 1 or axes is None or [call.axis(axis, rank) for axis in axes] != [1]:
        raise call.refused(f"reduces columns {tensor.dims} along {axes}")
    applied, below = tensor.base.applied, tensor.base.below
    if call.op == "ReduceSum" and applied in ("square", "abs") and tensor.is_plain:
        return Measure("l2" if applied == "square" else "l1", below)
    if call.op == "ReduceSum":
        return Measure("sum", tensor)
    if call.op not in ("ReduceL1", "ReduceL2", "ReduceSumSquare"):
        raise call.refused("is not understood")
    return Measure("l1" if call.op == "ReduceL1" else "l2", tensor, is_root=call.op == "ReduceL2")


def scaled_by_norm(call: Call) -> Value:
    """Return LpNormalization of the features."""
    tensor = call.tensor()
    order = int(call.number("p", 2))
    if order not in (1, 2) or call.axis(int(call.number("axis", -1)), len(tensor.dims) + 1) != len(tensor.dims):
        raise call.refused(f"scales rows by their norm {order}")
    return scaled(call, tensor, Measure("l1" if order == 1 else "l2", tensor, is_root=True))
