"""An MXNet checkpoint (symbol.json + params) → Network, without MXNet.

Understood: dot of a CSR input, an optional division of each row by its norm, bias, activations, FullyConnected hidden
layers, Dropout (identity in scoring), and one FullyConnected of N·K outputs reshaped to (N, K) under SoftmaxOutput.
Anything else is refused by its name: the MXNet engine scores it.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from duckprop.errors import ModelError
from duckprop.formats.mxnet_params import read_params
from duckprop.network import Layer, Network

_DOT = ("dot", "_sparse_dot")
_REMEDY = "score it with engine='mxnet', which runs the graph as it is"


def read_checkpoint(folder: Path, prefix: str = "model", epoch: int = 0) -> Network:
    """Return the Network in ``prefix-symbol.json`` and ``prefix-0000.params``.

    Raises ModelError for a file that is missing or damaged, and for an operator or layout that is not understood.
    """
    path = folder / f"{prefix}-symbol.json"
    try:
        graph = json.loads(path.read_text())
        nodes, (head,) = graph["nodes"], graph["heads"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"{path} is not a readable MXNet graph: {error}", "copy or train the model again") from None
    arrays = read_params(folder / f"{prefix}-{epoch:04d}.params")
    try:
        return _Folder(nodes, arrays).network(nodes[head[0]])
    except (KeyError, IndexError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path} does not fit its parameters: {error!r}", "copy or train the model again") from None


class _Folder:
    """Walks a graph from its output to its input."""

    def __init__(self, nodes: list[dict[str, Any]], arrays: dict[str, NDArray]) -> None:
        self.nodes, self.arrays = nodes, arrays
        self.layers: list[Layer] = []
        for number, node in enumerate(nodes):
            if any(not 0 <= at[0] < number for at in node["inputs"]):
                raise ValueError(f"node {number} takes its input from a later one")

    def inputs(self, node: dict[str, Any]) -> list[dict[str, Any]]:
        return [self.nodes[at[0]] for at in node["inputs"]]

    def array(self, node: dict[str, Any]) -> NDArray[np.float32]:
        if node["op"] != "null":
            raise _refused(node, "where a parameter was expected")
        return self.arrays[node["name"]].astype(np.float32, copy=False)

    def network(self, output: dict[str, Any]) -> Network:
        reshape = self.inputs(_expect(output, "SoftmaxOutput"))[0]
        _require(output, preserve_shape="True", multi_output="False")
        dense = self.inputs(_expect(reshape, "Reshape", "reshape"))[0]
        below, weight, bias = self.inputs(_expect(dense, "FullyConnected"))
        _require(dense, no_bias="False")
        _require(reshape, reverse="False")
        heads, classes = _numbers(_attributes(reshape)["shape"])[-2:]
        first, epsilon = self.hidden(below)
        head_weight = self.array(weight).T.reshape(-1, heads, classes)
        hidden = tuple(reversed(self.layers))
        return Network(first, hidden, head_weight, self.array(bias).reshape(heads, classes), epsilon)

    def hidden(self, node: dict[str, Any]) -> tuple[Layer, float | None]:
        """Collect the dense layers down to the sparse one; return that and its row epsilon."""
        node = self.without_dropout(node)
        activation = "identity"
        if node["op"] == "Activation":
            activation, node = _attributes(node)["act_type"], self.inputs(node)[0]
        elif node["op"] in ("relu", "sigmoid", "tanh"):
            activation, node = node["op"], self.inputs(node)[0]
        if node["op"] == "FullyConnected":
            _require(node, no_bias="False")
            below, weight, bias = self.inputs(node)
            self.layers.append(Layer(self.array(weight).T, self.array(bias), activation))
            return self.hidden(below)
        product, bias = self.inputs(_expect(node, "broadcast_add", "broadcast_plus", "elemwise_add"))
        epsilon, scaled = None, None
        if product["op"] == "broadcast_mul":
            product, scale = self.inputs(product)
            epsilon, scaled = self.row_epsilon(scale)
        data, weight = self.inputs(_expect(product, *_DOT))
        if data["op"] != "null" or (scaled is not None and scaled is not data):
            raise _refused(data, "where the network's one sparse input was expected")
        _require(product, transpose_a="False", transpose_b="False")
        return Layer(self.array(weight), self.array(bias).reshape(-1), activation), epsilon

    def row_epsilon(self, scale: dict[str, Any]) -> tuple[float, dict[str, Any]]:
        """Read epsilon and data out of rsqrt(reshape(sum(square(data), axis=1)) + epsilon)."""
        plus = self.inputs(_expect(scale, "rsqrt"))[0]
        reshape = self.inputs(_expect(plus, "_plus_scalar"))[0]
        total = self.inputs(_expect(reshape, "Reshape", "reshape"))[0]
        square = self.inputs(_expect(total, "sum", "_sparse_sum"))[0]
        data = self.inputs(_expect(square, "square", "_sparse_square"))[0]
        if _numbers(_attributes(total).get("axis", "")) != [1]:
            raise ModelError(f"operator 'sum' (node '{total['name']}') does not add up rows", _REMEDY)
        _require(total, exclude="False")
        return float(_attributes(plus)["scalar"]), data

    def without_dropout(self, node: dict[str, Any]) -> dict[str, Any]:
        while node["op"] == "Dropout":
            if _attributes(node).get("mode", "training") != "training":
                raise ModelError(f"operator 'Dropout' (node '{node['name']}') drops in scoring too", _REMEDY)
            node = self.inputs(node)[0]
        return node


def _attributes(node: dict[str, Any]) -> dict[str, str]:
    return node.get("attrs") or node.get("attr") or node.get("param") or {}


def _require(node: dict[str, Any], **settings: str) -> None:
    """Raise ModelError where a setting of an operator, 'False' unless it is given, changes what it computes."""
    for name, needed in settings.items():
        found = _attributes(node).get(name, "False")
        if (found in ("True", "1")) != (needed == "True"):
            raise ModelError(f"operator '{node['op']}' (node '{node['name']}') has {name} = {found}", _REMEDY)


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.strip("()[] ").split(",") if part.strip()]


def _expect(node: dict[str, Any], *operators: str) -> dict[str, Any]:
    if node["op"] not in operators:
        raise _refused(node, f"where {operators[0]} was expected")
    return node


def _refused(node: dict[str, Any], where: str) -> ModelError:
    return ModelError(f"operator '{node['op']}' (node '{node['name']}') stands {where}", _REMEDY)
