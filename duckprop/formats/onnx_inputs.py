"""What an ONNX graph takes: features as columns, or as lists of ids, with or without values."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from duckprop.formats.forms import features, take
from duckprop.formats.onnx_csr import ENTRIES, is_csr, prelude
from duckprop.formats.onnx_file import OnnxFile
from duckprop.formats.onnx_values import Entries, Source, Tensor, Value, of
from duckprop.sparse import MAX_WIDTH

_FLOATS, _INTEGERS = (1, 10, 11), (6, 7)
_FEW = 2**20
"""Columns that cost little memory, whatever the file stores."""


@dataclass(frozen=True)
class Input:
    """One input: its name, whether it holds integers, and its sizes, 0 where one is not fixed. dtype: NumPy's name."""

    name: str
    is_integer: bool
    sizes: tuple[int, ...]
    dtype: str


def inputs_of(file: OnnxFile) -> list[Input]:
    """Return what must be fed. Raises ModelError for inputs of texts, or without a known number of dimensions."""
    stored = {tensor.name for tensor in file.graph.initializer}
    return [_input(file, each) for each in file.graph.input if each.name not in stored]


def _input(file: OnnxFile, info: Any) -> Input:
    kind = info.type.tensor_type
    if kind.elem_type not in (*_FLOATS, *_INTEGERS) or not kind.HasField("shape"):
        raise file.refused(f"input '{info.name}' is no tensor of numbers of known rank", "export it with float inputs")
    sizes = tuple(max(int(each.dim_value), 0) for each in kind.shape.dim)
    names = {1: "float32", 10: "float16", 11: "float64", 6: "int32", 7: "int64"}
    return Input(info.name, kind.elem_type in _INTEGERS, sizes, names[kind.elem_type])


def read_inputs(file: OnnxFile, width: int | None) -> tuple[Source, dict[str, Value], int]:
    """Return the source, the values of its inputs by name, and the number of rows where it is fixed, else 0.

    width: number of columns of the one input that does not say it. Raises ModelError where the inputs do not fit.
    """
    inputs = inputs_of(file)
    if is_csr(file.graph):
        source = Source("csr", names={name: name for name in ("indptr", "indices", "values")})
        entries = {name: _listed(name, "padded") for name in ENTRIES}
        made: dict[str, Value] = {name: np.zeros(0) for node in prelude() for name in node.output}
        return source, made | entries, 0
    if any(each.is_integer for each in inputs):
        return _lists(file, inputs)
    return _columns(file, inputs, width)


def _listed(name: str, layout: Any) -> Entries:
    return Entries("ids" if name == ENTRIES[0] else "values", layout, name)


def _lists(file: OnnxFile, inputs: list[Input]) -> tuple[Source, dict[str, Value], int]:
    ranks = {len(each.sizes) for each in inputs}
    if ranks not in ({1}, {2}):
        raise file.refused("its inputs are lists of ids and columns at once", "export it with one kind of input")
    layout: Any = "padded" if ranks == {2} else "flat"
    lengths = {each.sizes[-1] for each in inputs if layout == "padded"}
    rows = {each.sizes[0] for each in inputs if layout == "padded"} - {0}
    if len(lengths) > 1 or len(rows) > 1:
        raise file.refused(f"its ids and weights differ in size: {sorted(lengths)}", "export it with lists of one size")
    values: dict[str, Value] = {
        each.name: Entries("ids" if each.is_integer else "values", layout, each.name) for each in inputs
    }
    return Source(layout, length=next(iter(lengths), 0)), values, next(iter(rows), 0)


def _columns(file: OnnxFile, inputs: list[Input], width: int | None) -> tuple[Source, dict[str, Value], int]:
    if not inputs:
        raise file.refused("it has no inputs", "export it with its features as input")
    sizes = {each.name: _width(file, each, width if len(inputs) == 1 else None) for each in inputs}
    starts = np.cumsum([0, *sizes.values()])
    total = int(starts[-1])
    if total > min(MAX_WIDTH, max(_FEW, file.elements)):
        raise file.refused(f"it takes {total} columns, but has no weights for so many", "export it with its weights")
    every, values = features(total), {}
    names = {}
    for each, start in zip(inputs, starts.tolist(), strict=False):
        stop = start + sizes[each.name]
        dims = each.sizes[1:] if all(each.sizes[1:]) else (sizes[each.name],)
        values[each.name] = _part(every, (start, stop, total), dims)
        names[each.name] = (start, stop)
    batches = {each.sizes[0] for each in inputs} - {0}
    return Source("dense", total, names), dict(values), max(batches, default=0)


def _part(every: Any, bounds: tuple[int, int, int], dims: tuple[int, ...]) -> Tensor:
    start, stop, total = bounds
    return of(every if stop - start == total else take(every, np.arange(start, stop)), dims)


def _width(file: OnnxFile, each: Input, width: int | None) -> int:
    if len(each.sizes) < 2:
        raise file.refused(f"input '{each.name}' has {len(each.sizes)} dimensions", "export it with rows of columns")
    if all(each.sizes[1:]):
        return int(np.prod(each.sizes[1:], dtype=object))
    if width is None or len(each.sizes) > 2 or width < 1:
        fact = f"input '{each.name}' does not say how many columns it has"
        raise file.refused(fact, "state it (width), or export it with a fixed number")
    return width
