"""A Network → an ONNX file that ONNX Runtime runs on compressed sparse rows.

Inputs: ``indptr`` int64 (n + 1,), ``indices`` int64 (nnz,), ``values`` float32 (nnz,): the three arrays of a SciPy
csr_matrix. Output: ``propensity`` float32 (n, N). The rows are padded inside the graph, to the longest of a call: hand
over rows of like length, a few hundred at a time.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import duckprop
from duckprop.errors import UsageError
from duckprop.formats.onnx_csr import ENTRIES, INPUTS, prelude
from duckprop.formats.onnx_file import library
from duckprop.formats.onnx_nodes import OPSET, Array, Graph
from duckprop.network import Network
from duckprop.temporary import replacing

OUTPUT = "propensity"
FEATURES = "features"
"""Input of the dense form, float32 (n, F)."""
_INLINE = 2**31 - 2**24
"""Bytes of weights in the file itself: Protocol Buffers holds less than 2 GiB."""
_SMALL = 1024
"""Bytes up to which a tensor stays in the file: constants that decide what a node does."""
_MOST_WIDE = 2**33
"""Bytes of a wide path, which ONNX has only dense weights for."""


def write(
    network: Network,
    positive: int,
    path: Path,
    *,
    categories: Sequence[str],
    reference: str = "",
    dense: bool = False,
    inline: int = _INLINE,
) -> None:
    """Write a network's propensities as an ONNX file, whole or not at all.

    positive: the class whose probability is the propensity. categories: N names. reference: of the model. dense: take
    rows as columns (n, F) instead. inline: bytes of weights above which they go to a file beside it, ``path`` with
    ``.data`` behind it. All but ``path`` and ``dense`` ends up in the file's metadata, where ``read`` finds the names.
    Raises UsageError where onnx is not installed, the names do not fit, or the file cannot be written.
    """
    path = Path(path)
    if len(categories) != network.heads:
        fact = f"{len(categories)} categories are named, the model has {network.heads}"
        raise UsageError(fact, f"name {network.heads} categories")
    if not 0 <= positive < network.classes or (network.link != "heads" and positive):
        fact = f"class {positive} of {network.classes} is to be the propensity"
        raise UsageError(fact, f"give a number from 0 to {network.classes - 1 if network.link == 'heads' else 0}")
    graph = Graph([] if dense else prelude())
    _Writer(network, graph, dense).propensities(positive)
    _save(path, _model(graph, network, dense), graph, inline=inline, facts=_facts(categories, positive, reference))


def _facts(categories: Sequence[str], positive: int, reference: str) -> dict[str, str]:
    return {
        "duckprop.version": duckprop.__version__,
        "duckprop.model": reference,
        "duckprop.positive": str(positive),
        "duckprop.categories": json.dumps(list(categories), ensure_ascii=False),
    }


class _Writer:
    def __init__(self, network: Network, graph: Graph, dense: bool) -> None:
        self.network, self.graph, self.dense = network, graph, dense
        self.column = "" if dense else graph.add("Unsqueeze", ENTRIES[1], [1], name="row_values_as_matrix")
        self.norm = self._norm()

    def propensities(self, positive: int) -> None:
        network, graph = self.network, self.graph
        units = graph.activated(network.first, graph.add("Add", self._first(), network.first.bias))
        for number, layer in enumerate(network.hidden, start=2):
            weight = graph.stored(layer.weight, f"weight_{number}")
            units = graph.activated(layer, graph.add("Gemm", units, weight, layer.bias))
        weights, bias, wide = self._ends(positive)
        logits = graph.add("Gemm", units, graph.stored(weights, "head_weight"), graph.stored(bias, "head_bias"))
        if wide is not None:
            logits = graph.add("Add", logits, self._scaled(self._product(wide, "wide_weight")))
        self._linked(logits, positive)

    def _ends(self, positive: int) -> tuple[Array, Array, Array | None]:
        """Return what leads to one logit a category, or to K where the heads have more than 2 classes."""
        network, shape = self.network, (self.network.heads, self.network.classes)
        wide = None
        if network.wide is not None:
            columns = network.wide.shape[1] // (1 if network.classes > 2 else 2)
            if network.width * columns * 4 > _MOST_WIDE:
                fact = f"the wide path of {network.width} x {columns} weights takes more than {_MOST_WIDE >> 30} GiB"
                raise UsageError(fact + " in ONNX, which has no sparse weights", "export the model to MXNet files")
            wide = network.wide.tocsc()
        if network.classes > 2:
            flat = network.head_weight.reshape(len(network.head_weight), -1)
            return flat, network.head_bias.reshape(-1), None if wide is None else wide.toarray()
        sides = (positive, 1 - positive)

        def difference(array: Any) -> Any:
            return array[..., sides[0]] - array[..., sides[1]]

        if wide is not None:
            wide = (wide[:, sides[0] :: shape[1]] - wide[:, sides[1] :: shape[1]]).toarray()
        return difference(network.head_weight), difference(network.head_bias), wide

    def _linked(self, logits: str, positive: int) -> None:
        graph, network = self.graph, self.network
        if network.link == "softmax":
            graph.add("Softmax", logits, axis=1, name=OUTPUT)
        elif network.link == "normalized":
            each = graph.add("Sigmoid", logits)
            graph.add("Div", each, graph.add("ReduceSum", each, [1], keepdims=1), name=OUTPUT)
        elif network.classes == 2:
            graph.add("Sigmoid", logits, name=OUTPUT)
        else:
            cube = graph.add("Reshape", logits, [0, network.heads, network.classes])
            graph.add("Gather", graph.add("Softmax", cube, axis=2), np.array(positive), axis=2, name=OUTPUT)

    def _first(self) -> str:
        sums = self._product(self.network.first.weight, "weight_1")
        if self.network.start is not None:
            sums = self.graph.add("Add", sums, self.network.start)
        return self._scaled(sums)

    def _product(self, weight: Array, name: str) -> str:
        """Add rows @ weight: each row's values times the looked-up lines."""
        name, graph = self.graph.stored(weight, name), self.graph
        if self.dense:
            return graph.add("MatMul", FEATURES, name)
        lines = graph.add("Gather", name, ENTRIES[0])
        return graph.add("Squeeze", graph.add("MatMul", self.column, lines), [1])

    def _norm(self) -> str:
        """Add what a row is divided by, (n, 1), or return an empty string."""
        network, graph = self.network, self.graph
        if network.row_epsilon is None:
            return ""
        values = FEATURES if self.dense else ENTRIES[1]
        if network.row_norm == "l1":
            return graph.add("Add", graph.add("ReduceL1", values, axes=[1], keepdims=1), network.row_epsilon)
        squares = graph.add("ReduceSumSquare", values, axes=[1], keepdims=1)
        return graph.add("Sqrt", graph.add("Add", squares, network.row_epsilon))

    def _scaled(self, sums: str) -> str:
        return self.graph.add("Div", sums, self.norm) if self.norm else sums


def _model(graph: Graph, network: Network, dense: bool) -> Any:
    """Return the model without its weights."""
    helper = library().helper
    inputs = [helper.make_tensor_value_info(name, kind, [size]) for name, kind, size in INPUTS]
    if dense:
        inputs = [helper.make_tensor_value_info(FEATURES, 1, ["n", network.width])]
    output = helper.make_tensor_value_info(OUTPUT, 1, ["n", network.heads])
    made = helper.make_graph(graph.nodes, "duckprop", inputs, [output])
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(
        made, opset_imports=opsets, ir_version=8, producer_name="duckprop", producer_version=duckprop.__version__
    )


def _save(path: Path, model: Any, graph: Graph, *, inline: int, facts: dict[str, str]) -> None:
    library().helper.set_model_props(model, facts)
    is_beside = sum(array.nbytes for array in graph.arrays.values()) > inline
    data = path.with_name(path.name + ".data")
    try:
        if not is_beside:
            model.graph.initializer.extend(_tensor(name, array) for name, array in graph.arrays.items())
            with replacing(path) as temporary:
                temporary.write_bytes(model.SerializeToString())
            data.unlink(missing_ok=True)
            return
        with replacing(data) as beside, replacing(path) as temporary:
            with beside.open("wb") as file:
                model.graph.initializer.extend(
                    _tensor(name, array) if array.nbytes <= _SMALL else _beside(name, array, file, data.name)
                    for name, array in graph.arrays.items()
                )
            temporary.write_bytes(model.SerializeToString())
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}", "write somewhere else") from None


def _tensor(name: str, array: Array) -> Any:
    return library().numpy_helper.from_array(array, name)


def _beside(name: str, array: Array, file: Any, location: str) -> Any:
    """Write an array to the file beside the model, and return the tensor that points there."""
    onnx = library()
    kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
    tensor = onnx.TensorProto(name=name, data_type=kind, dims=array.shape, data_location=1)
    place = {"location": location, "offset": str(file.tell()), "length": str(array.nbytes)}
    for key, value in place.items():
        tensor.external_data.add(key=key, value=value)
    array.tofile(file)
    return tensor
