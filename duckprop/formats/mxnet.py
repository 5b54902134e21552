"""An MXNet checkpoint (symbol.json + params) → Network, without MXNet.

Understood: dot of a CSR input, an optional division of each row by its norm, bias, BatchNorm, activations,
FullyConnected hidden layers, Dropout (identity in scoring), and one FullyConnected of N·K outputs, to which a second
dot of the input may be added, reshaped to (N, K) under SoftmaxOutput.
Anything else is refused by its name: the MXNet engine scores it.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from duckprop.errors import ModelError
from duckprop.formats.mxnet_params import read_params
from duckprop.network import Layer, Network

Node = dict[str, Any]
Floats = NDArray[np.float32]
_DOT = ("dot", "_sparse_dot")
_ADD = ("broadcast_add", "broadcast_plus", "elemwise_add")
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

    def __init__(self, nodes: list[Node], arrays: dict[str, NDArray]) -> None:
        self.nodes, self.arrays = nodes, arrays
        self.layers: list[Layer] = []
        self.data: Node | None = None
        for number, node in enumerate(nodes):
            if any(not 0 <= at[0] < number for at in node["inputs"]):
                raise ValueError(f"node {number} takes its input from a later one")
            if any(at[1] for at in node["inputs"]):
                raise ValueError(f"node {number} takes another output than the first of its input")

    def inputs(self, node: Node) -> list[Node]:
        return [self.nodes[at[0]] for at in node["inputs"]]

    def array(self, node: Node) -> Floats:
        if node["op"] != "null":
            raise _refused(node, "where a parameter was expected")
        return self.arrays[node["name"]].astype(np.float32, copy=False)

    def network(self, output: Node) -> Network:
        reshape = self.inputs(_expect(output, "SoftmaxOutput"))[0]
        _require(output, preserve_shape="True", multi_output="False")
        logits = self.inputs(_expect(reshape, "Reshape", "reshape"))[0]
        _require(reshape, reverse="False")
        heads, classes = _numbers(_attributes(reshape)["shape"])[-2:]
        wide = None
        if logits["op"] in _ADD:
            logits, wide = sorted(self.inputs(logits), key=lambda node: node["op"] != "FullyConnected")
        below, weight, bias = self.dense(logits)
        first, epsilon = self.hidden(below)
        head_weight = weight.reshape(-1, heads, classes)
        straight = None if wide is None else self.wide(wide, epsilon)
        hidden = tuple(reversed(self.layers))
        return Network(first, hidden, head_weight, bias.reshape(heads, classes), epsilon, straight)

    def wide(self, node: Node, epsilon: float | None) -> sparse.csr_matrix:
        """Read the weights that lead straight to the logits, (F, N·K), zeros left out."""
        weight, found = self.product(node)
        if found != epsilon:
            raise _refused(node, "where rows scaled as those of the first layer were expected")
        return sparse.csr_matrix(weight)

    def hidden(self, node: Node) -> tuple[Layer, float | None]:
        """Collect the dense layers down to the sparse one; return that and its row epsilon."""
        node = self.without_dropout(node)
        activation, norm = "identity", None
        if node["op"] == "Activation":
            activation, node = _attributes(node)["act_type"], self.inputs(node)[0]
        elif node["op"] in ("relu", "sigmoid", "tanh"):
            activation, node = node["op"], self.inputs(node)[0]
        if node["op"] == "BatchNorm":
            node, norm = self.inputs(node)[0], self.norm(node)
        if node["op"] == "FullyConnected":
            below, weight, bias = self.dense(node)
            self.layers.append(Layer(*_normalized(weight, bias, norm), activation))
            return self.hidden(below)
        product, added = self.inputs(_expect(node, *_ADD))
        weight, epsilon = self.product(product)
        return Layer(*_normalized(weight, self.array(added).reshape(-1), norm), activation), epsilon

    def dense(self, node: Node) -> tuple[Node, Floats, Floats]:
        """Return a FullyConnected's input, weight (inputs, outputs) and bias, zeros where it has none."""
        below, weight, *bias = self.inputs(_expect(node, "FullyConnected"))
        matrix = self.array(weight).T
        if len(bias) != (not _is_set(node, "no_bias")):
            raise ValueError(f"operator 'FullyConnected' (node '{node['name']}') has {len(bias)} biases")
        return below, matrix, self.array(bias[0]) if bias else np.zeros(matrix.shape[1], np.float32)

    def product(self, node: Node) -> tuple[Floats, float | None]:
        """Return the weight of dot(data, weight), and the row epsilon where it is multiplied by the rows' scale."""
        epsilon, scaled = None, None
        if node["op"] == "broadcast_mul":
            node, scale = self.inputs(node)
            epsilon, scaled = self.row_epsilon(scale)
        data, weight = self.inputs(_expect(node, *_DOT))
        self.data = self.data or data
        if data["op"] != "null" or data is not self.data or (scaled is not None and scaled is not data):
            raise _refused(data, "where the network's one sparse input was expected")
        _require(node, transpose_a="False", transpose_b="False")
        return self.array(weight), epsilon

    def norm(self, node: Node) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return what BatchNorm multiplies its input by in scoring, and then adds."""
        gamma, beta, mean, variance = (self.array(at).astype(np.float64) for at in self.inputs(node)[1:])
        _require(node, output_mean_var="False")
        if int(_attributes(node).get("axis", "1")) not in (1, -1):
            raise ModelError(f"operator 'BatchNorm' (node '{node['name']}') does not norm hidden units", _REMEDY)
        factor = 1 / np.sqrt(variance + float(_attributes(node).get("eps", "0.001")))
        if not _is_set(node, "fix_gamma", "True"):
            factor *= gamma
        return factor, beta - mean * factor

    def row_epsilon(self, scale: Node) -> tuple[float, Node]:
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

    def without_dropout(self, node: Node) -> Node:
        while node["op"] == "Dropout":
            if _attributes(node).get("mode", "training") != "training":
                raise ModelError(f"operator 'Dropout' (node '{node['name']}') drops in scoring too", _REMEDY)
            node = self.inputs(node)[0]
        return node


def _normalized(weight: Floats, bias: Floats, norm: Any) -> tuple[Floats, Floats]:
    """Fold (factor, shift) of a BatchNorm, if any, into the layer before it, in float64, rounded once."""
    if norm is None:
        return weight, bias
    factor, shift = norm
    folded = np.empty(weight.shape, np.float32)
    np.multiply(weight, factor, out=folded, casting="same_kind")  # float64 in small pieces: the weight may be large
    return folded, (bias * factor + shift).astype(np.float32)


def _attributes(node: Node) -> dict[str, str]:
    return node.get("attrs") or node.get("attr") or node.get("param") or {}


def _is_set(node: Node, name: str, default: str = "False") -> bool:
    return _attributes(node).get(name, default) in ("True", "1")


def _require(node: Node, **settings: str) -> None:
    """Raise ModelError where a setting of an operator, 'False' unless it is given, changes what it computes."""
    for name, needed in settings.items():
        if _is_set(node, name) != (needed == "True"):
            found = _attributes(node).get(name, "False")
            raise ModelError(f"operator '{node['op']}' (node '{node['name']}') has {name} = {found}", _REMEDY)


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.strip("()[] ").split(",") if part.strip()]


def _expect(node: Node, *operators: str) -> Node:
    if node["op"] not in operators:
        raise _refused(node, f"where {operators[0]} was expected")
    return node


def _refused(node: Node, where: str) -> ModelError:
    return ModelError(f"operator '{node['op']}' (node '{node['name']}') stands {where}", _REMEDY)
