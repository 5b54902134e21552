"""ONNX graphs that take a row as lists of feature ids and values: lookups in a table, and their sums."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from duckprop.formats.forms import features, matmul, scale_rows
from duckprop.formats.onnx_call import Call
from duckprop.formats.onnx_shapes import keeps_numbers
from duckprop.formats.onnx_values import BATCH, Entries, Gathered, Measure, Tensor, Value, of

_EMPTY = 1e-12
"""Added to the number of a row's features, so that the mean of none is 0."""


def listed(call: Call) -> Value:
    """Return what an operator makes of lists. Raises CannotFold for anything but weighted sums of a table's rows."""
    first = call.value(0)
    if call.op in ("Identity", "Dropout") or (call.op == "Cast" and _is_cast_kept(call, first)):
        return first
    if call.op == "Shape":
        return np.array([BATCH, BATCH], np.int64)[: 1 if isinstance(first, Entries) and first.layout == "flat" else 2]
    if call.op in ("Concat", "Slice") and isinstance(first, Entries) and first.layout == "flat":
        return replace(first, kind="ends") if call.op == "Slice" else _ends(call, first)
    handler = _HANDLERS.get(call.op)
    if handler is None:
        raise call.refused("takes lists of features, which is understood only where a table's rows are summed up")
    return handler(call)


def _is_cast_kept(call: Call, first: Value) -> bool:
    is_ids = isinstance(first, Entries) and first.kind != "values"
    return call.number("to", 0) in (6, 7) if is_ids else keeps_numbers(call)


def _ends(call: Call, first: Entries) -> Entries:
    if len(call.values) != 2 or not isinstance(call.value(1), np.ndarray):
        raise call.refused("joins lists")
    return replace(first, kind="ends")


def _entries(call: Call, place: int, kind: str) -> Entries:
    found = call.value(place)
    if not isinstance(found, Entries) or found.kind != kind:
        raise call.refused(f"takes input {place} that is not the features' {kind}")
    return found


def _looked_up(call: Call) -> Gathered:
    table, ids = call.constant(0), _entries(call, 1, "ids")
    if table.ndim not in (1, 2) or call.number("axis", 0) != 0 or table.dtype.kind != "f" or ids.axis:
        raise call.refused(f"looks ids up in a tensor {table.shape}")
    _is_as_wide(call, len(table))
    call.source.names.setdefault("ids", ids.name)
    if call.source.names["ids"] != ids.name:
        raise call.refused("looks up a second list of ids; a network here has one")
    return Gathered(table.reshape(len(table), -1), ids, is_flat=table.ndim == 1)


def _is_as_wide(call: Call, width: int) -> None:
    if call.source.width not in (0, width):
        raise call.refused(f"has a table of {width} rows, where another has {call.source.width}")
    call.source.width = width


def _with_axis(call: Call) -> Value:
    values, axes = _entries(call, 0, "values"), call.integers("axes", 1) or []
    if values.axis or values.layout != "padded" or axes not in ([1], [2], [-1], [-2]):
        raise call.refused(f"puts in axes {axes}")
    return replace(values, axis=axes[0] % 3)


def _weighted(call: Call) -> Value:
    left, right = call.value(0), call.value(1)
    if left is right and isinstance(left, Entries):
        return _powered(call, _entries(call, 0, "values"), "square")
    rows, values = (left, right) if isinstance(left, Gathered) else (right, left)
    if not isinstance(rows, Gathered) or rows.is_weighted or not isinstance(values, Entries):
        raise call.refused("multiplies lists")
    if values.kind != "values" or values.power or values.axis != (0 if rows.is_flat else 2):
        raise call.refused("multiplies looked-up rows by something else than their values")
    return replace(rows, is_weighted=_uses(call, values))


def _powered(call: Call, values: Entries, power: Any) -> Entries:
    if values.power or values.axis:
        raise call.refused("changes the features' values")
    return replace(values, power=power)


def _power(call: Call) -> Value:
    values = _entries(call, 0, "values")
    if call.op == "Pow" and float(call.constant(1).reshape(())) != 2:
        raise call.refused("raises the features' values to a power")
    return _powered(call, values, "abs" if call.op == "Abs" else "square")


def _uses(call: Call, values: Entries) -> bool:
    _counts(call, False)
    call.source.names.setdefault("weights", values.name)
    return True


def _counts(call: Call, is_counted: bool) -> None:
    if call.source.is_counted not in (None, is_counted):
        raise call.refused("sums up features both with and without their values")
    call.source.is_counted = is_counted


def _summed(call: Call) -> Value:
    found, axes = call.value(0), call.integers("axes", 1)
    rank = 3 if isinstance(found, Gathered) and not found.is_flat else 2
    if axes is None or [call.axis(axis, rank) for axis in axes] != [1]:
        raise call.refused(f"sums up lists along {axes}")
    is_kept = bool(call.number("keepdims", 1))
    if isinstance(found, Gathered):
        return _bag(call, found, is_kept)
    values = _entries(call, 0, "values")
    if values.axis:
        raise call.refused("sums up the features' values")
    _uses(call, values)
    if call.op == "ReduceSum" and values.power:
        return Measure("l2" if values.power == "square" else "l1", None)
    if call.op in ("ReduceL1", "ReduceL2", "ReduceSumSquare") and not values.power:
        return Measure("l1" if call.op == "ReduceL1" else "l2", None, is_root=call.op == "ReduceL2")
    if call.op == "ReduceSum" and call.source.width:
        return of(matmul(features(call.source.width), np.ones((call.source.width, 1))), (1,) if is_kept else ())
    raise call.refused("sums up the features' values")


def _bag(call: Call, rows: Gathered, is_kept: bool) -> Tensor:
    if call.op not in ("ReduceSum", "ReduceMean") or (call.op == "ReduceMean" and rows.is_weighted):
        raise call.refused("reduces looked-up rows to something else than their sum or mean")
    _counts(call, not rows.is_weighted)
    dims = (*((1,) if is_kept else ()), *(() if rows.is_flat else (rows.table.shape[1],)))
    return bag(call, rows.table, call.op == "ReduceMean").reshaped(dims)


def bag(call: Call, table: NDArray[Any], is_mean: bool) -> Tensor:
    """Return the sum or mean of a row's lines of a table (F, H), times their values."""
    weight = table if table.dtype in (np.float32, np.float64) else table.astype(np.float32)
    total = matmul(features(len(table)), weight)
    if is_mean and call.source.length:
        return of(total, (table.shape[1],)).times(1 / call.source.length)
    return of(scale_rows(total, ("l1", _EMPTY)) if is_mean else total, (table.shape[1],))


def _multiplied(call: Call) -> Value:
    """Return (n, 1, L) values @ (n, L, H) looked-up rows."""
    values, rows = _entries(call, 0, "values"), call.value(1)
    if not isinstance(rows, Gathered) or rows.is_flat or rows.is_weighted or values.power or values.axis != 1:
        raise call.refused("multiplies lists")
    _uses(call, values)
    return bag(call, rows.table, False).reshaped((1, rows.table.shape[1]))


_HANDLERS = {
    "Gather": _looked_up,
    "Unsqueeze": _with_axis,
    "Mul": _weighted,
    "MatMul": _multiplied,
    **dict.fromkeys(("Pow", "Abs"), _power),
    **dict.fromkeys(("ReduceSum", "ReduceMean", "ReduceL1", "ReduceL2", "ReduceSumSquare"), _summed),
}
