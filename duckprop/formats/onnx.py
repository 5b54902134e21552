"""An ONNX file → Network: its graph is read, not run.

Understood: features as columns (n, F), or as lists of ids with or without values, looked up in a table and summed;
then any graph of matrix products, sums, activations, norms of rows and moves of columns. Anything else is refused by
the operator's and the node's name.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from duckprop.errors import ModelError, UsageError
from duckprop.formats.artefact import Artefact
from duckprop.formats.finite import check_finite
from duckprop.formats.forms import CannotFold, concat
from duckprop.formats.onnx_bags import listed
from duckprop.formats.onnx_call import Call
from duckprop.formats.onnx_file import OnnxFile
from duckprop.formats.onnx_inputs import inputs_of, read_inputs
from duckprop.formats.onnx_loops import embedding_bag
from duckprop.formats.onnx_ml import ML_OPERATORS, label_names
from duckprop.formats.onnx_norms import measured
from duckprop.formats.onnx_ops import OPERATORS
from duckprop.formats.onnx_outputs import Reading, Wanted, check_units, read_outputs
from duckprop.formats.onnx_run import Runner, runs_here
from duckprop.formats.onnx_shapes import MOVES, cast, concatenated, filled, folded, moved, shape
from duckprop.formats.onnx_values import Entries, Gathered, Measure, Tensor, Value

_COUNTED = "the graph takes ids without values: a feature counts as often as it is there"
_HALF = 1e-3


def read(
    path: Path,
    *,
    categories: tuple[str, ...] | None = None,
    positive_column: int | None = None,
    output: str | None = None,
    outputs: Sequence[str] | None = None,
    padding: int | None = None,
    width: int | None = None,
) -> Artefact:
    """Read an ONNX file.

    categories: N names. positive_column: the class that counts, of heads of several. output: 'sigmoid' or 'softmax',
    for a graph that ends with logits. outputs: the names of those to read, where the graph has further ones; None: all
    that hold floats. padding: the id that fills up lists without values. width: of an input that does not state it.
    Raises ModelError for a damaged file, CannotFold for a graph that no network can follow, UsageError where the
    caller must say more.
    """
    file = OnnxFile(Path(path))
    try:
        named = categories or _own_names(file)
        wanted = Wanted(len(named) if named else None, positive_column, output)
        return _read(file, wanted, (outputs, padding, width))
    except (KeyError, IndexError, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise file.refused(f"it does not fit together: {type(error).__name__}: {error}") from None
    except MemoryError:
        raise ModelError(f"{path} does not fit into memory", "use a machine with more of it") from None


def _read(file: OnnxFile, wanted: Wanted, options: tuple[Sequence[str] | None, int | None, int | None]) -> Artefact:
    chosen, padding, width = options
    walk = _Walk(file, width)
    names = _outputs(file, chosen)
    tensors = [walk.output(name) for name in names]
    last = tensors[0].dims[-1] if tensors[0].dims else 1
    columns = concat([each.form for each in tensors])
    check_units(columns, walk.source.width, file.elements)
    reading = read_outputs(columns, last, wanted)
    _check_padding(walk, padding)
    runner = Runner(file, walk.source, inputs_of(file), names, reading.finish, walk.batch, padding)
    return _artefact(walk, reading, runner)


def _artefact(walk: "_Walk", reading: Reading, runner: Runner) -> Artefact:
    file, can_run = walk.file, runs_here()
    notes: dict[str, Any] = {"input": walk.source.layout, "opset": file.opset, "outputs": list(runner.outputs)}
    if walk.source.is_counted:
        notes |= {"values": "counts", "note": _COUNTED}
    if walk.source.layout == "dense" and len(walk.source.names) > 1:
        notes["columns"] = {name: list(bounds) for name, bounds in walk.source.names.items()}
    producer = f"{file.model.producer_name} {file.model.producer_version}".strip()
    return Artefact(
        source="onnx",
        framework=producer or "onnx",
        network=reading.network,
        positive=reading.positive,
        categories=walk.labels if len(walk.labels) == reading.network.heads else None,
        reference=runner if can_run else None,
        unverified="" if can_run else "onnxruntime is not installed: pip install 'duckprop[onnx]'",
        tolerance=_HALF if file.is_half or walk.is_half else 1e-6,
        notes=notes,
    )


def _own_names(file: OnnxFile) -> tuple[str, ...]:
    """Return the categories that duckprop wrote into a file's metadata, () for any other file."""
    found = [each.value for each in file.model.metadata_props if each.key == "duckprop.categories"]
    names = json.loads(found[0]) if found else []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise file.refused("its metadata names categories that are no texts")
    return tuple(names)


def _outputs(file: OnnxFile, chosen: Sequence[str] | None) -> list[str]:
    """Return the outputs to read: those asked for, or all that hold floats."""
    stated = {each.name: each.type for each in file.graph.output}
    if chosen is not None:
        missing = [name for name in chosen if name not in stated]
        if missing or not chosen:
            fact = f"output {', '.join(map(repr, missing)) or 'none'} is asked for; {file.path} has"
            raise UsageError(f"{fact} {', '.join(stated)}", "name others")
        return list(chosen)
    found = [name for name, kind in stated.items() if kind.tensor_type.elem_type in (0, 1, 10, 11)]
    if not found:
        raise file.refused("none of its outputs holds floats", "export it with its probabilities")
    return found


def _check_padding(walk: "_Walk", padding: int | None) -> None:
    if padding is None:
        return
    if not walk.source.is_counted or not 0 <= padding < walk.source.width:
        raise UsageError(f"id {padding} is to fill up rows, which the graph does not need", "leave it out")
    tables = [table for table in walk.tables if table[padding].any()]
    if tables:
        raise UsageError(f"id {padding} is to fill up rows, but its line in the table is not 0", "name another id")


class _Walk:
    """Goes through a graph from its inputs to its outputs."""

    def __init__(self, file: OnnxFile, width: int | None) -> None:
        self.file = file
        self.labels = _own_names(file)
        self.is_half = False
        stored = file.initializers()
        self.source, seeds, self.batch = read_inputs(file, width)
        self.known: dict[str, Value | None] = {**stored, **seeds}
        check_finite({name: value for name, value in self.known.items() if isinstance(value, np.ndarray)})
        self.makers = {name: node for node in file.graph.node for name in node.output if name}

    @property
    def tables(self) -> list[Any]:
        """The tables that ids are looked up in."""
        found = [self.known.get(node.input[0]) for node in self.makers.values() if node.op_type == "Gather"]
        return [each for each in found if isinstance(each, np.ndarray) and len(each) == self.source.width]

    def output(self, name: str) -> Tensor:
        """Return a graph's output. Raises CannotFold where it is no columns."""
        for node in self._needed(name):
            self._step(node)
        found = self.known.get(name)
        if not isinstance(found, Tensor):
            raise CannotFold(f"output '{name}' of the graph is no tensor of columns", "name other outputs")
        return found

    def _needed(self, name: str) -> list[Any]:
        """Return the nodes that an output needs and that are not done, in the graph's order."""
        waiting, found = [name], set()
        while waiting:
            node = self.makers.get(each := waiting.pop())
            if each in self.known or node is None or id(node) in found:
                continue
            found.add(id(node))
            inner = [graph for attribute in node.attribute if (graph := attribute.g).node]
            waiting += [*node.input, *(name for graph in inner for each in graph.node for name in each.input)]
        return [node for node in self.file.graph.node if id(node) in found]

    def _step(self, node: Any) -> None:
        missing = [name for name in node.input if name and name not in self.known]
        if missing:
            fact = f"node '{node.name or node.op_type}' takes '{missing[0]}', which nothing before it makes"
            raise self.file.refused(fact)
        values = [self.known[name] if name else None for name in node.input]
        call = Call(self.file, node, values, self.source, self.batch)
        found = self._result(call)
        results = found if isinstance(found, tuple) else (found,)
        self.known.update(zip([name for name in node.output if name], results, strict=False))
        self.is_half = self.is_half or (call.op == "Cast" and call.number("to", 1) == 10)
        if call.op in ("LinearClassifier", "ZipMap"):
            self.labels = label_names(call)

    def _result(self, call: Call) -> Any:
        kinds = {type(value) for value in call.values if value is not None}
        if call.op == "Loop":
            known = {name: value for name, value in self.known.items() if value is not None}
            return embedding_bag(call, known)
        if kinds & {Entries, Gathered}:
            return listed(call)
        if Measure in kinds and Tensor not in kinds:
            return measured(call)
        if call.op in MOVES:
            return moved(call)
        if call.op in _ANY:
            return _ANY[call.op](call)
        if Tensor not in kinds:
            return _CONSTANTS.get(call.op, folded)(call)
        operators = ML_OPERATORS if call.node.domain == "ai.onnx.ml" else OPERATORS
        if call.op not in operators:
            raise call.refused("is not understood")
        return operators[call.op](call)


_ANY = {"Concat": concatenated, "Shape": shape}
_CONSTANTS = {"Cast": cast, "ConstantOfShape": filled}
