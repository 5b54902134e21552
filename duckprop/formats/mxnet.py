"""An MXNet checkpoint (symbol.json + params) → Network, without MXNet.

Any feed-forward graph whose operators stand in ``mxnet_ops``, from one sparse or dense input to softmax or sigmoid
outputs: one fused layer of heads, or a Group of them. Anything else is refused by its name: the MXNet engine scores it.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from duckprop.errors import ModelError, UsageError
from duckprop.formats import forms
from duckprop.formats.finite import check_finite
from duckprop.formats.forms import ENGINE, CannotFold
from duckprop.formats.lowering import heads_network, sigmoid_network
from duckprop.formats.mxnet_ops import OPERATORS
from duckprop.formats.mxnet_params import read_params
from duckprop.formats.mxnet_values import Node, Probabilities, RowNorm, Tensor
from duckprop.network import Network

_AGAIN = "copy or train the model again"
_DAMAGE = (KeyError, IndexError, ValueError, TypeError, AttributeError, RecursionError, SyntaxError, ArithmeticError)
_LARGEST = 2**28
"""Bytes of a graph: thousands of separate heads take a few million."""


def read_checkpoint(
    folder: Path, prefix: str = "model", epoch: int = 0, *, heads: int | None = None, output: str | None = None
) -> Network:
    """Return the Network in ``prefix-symbol.json`` and ``prefix-0000.params``.

    heads: the number of categories, which tells whether one softmax over K numbers is one category of K classes or K
    categories that exclude each other; None where the graph itself says. output: 'sigmoid' or 'softmax' for a graph
    that ends in plain logits.
    Raises ModelError for a file that is missing or damaged, CannotFold for what is not understood.
    """
    return read_with_classes(folder, prefix, epoch, heads=heads, output=output)[0]


def read_with_classes(
    folder: Path, prefix: str = "model", epoch: int = 0, *, heads: int | None = None, output: str | None = None
) -> tuple[Network, bool]:
    """Return what ``read_checkpoint`` does, and whether each category is a softmax over classes of its own.

    The network does not tell: that of a linear softmax over two classes holds only the difference of their logits.
    """
    path = folder / f"{prefix}-symbol.json"
    graph = read_graph(path)
    arrays = read_params(folder / f"{prefix}-{epoch:04d}.params")
    check_finite(arrays)
    try:
        return _network(_Walk(graph, arrays).outputs(), heads, output)
    except _DAMAGE as error:
        raise ModelError(f"{path} does not fit its parameters: {error!r}", _AGAIN) from None


def read_graph(path: Path) -> dict[str, Any]:
    """Return a symbol.json, parsed. Raises ModelError where it is missing, too large or not a graph."""
    try:
        if path.stat().st_size > _LARGEST:
            raise ModelError(f"{path} has {path.stat().st_size} bytes: too many for a graph", _AGAIN)
        graph = json.loads(path.read_text())
        if not graph["nodes"] or not graph["heads"]:
            raise ValueError("it has no outputs")
    except (OSError, *_DAMAGE) as error:
        raise ModelError(f"{path} is not a readable MXNet graph: {error}", _AGAIN) from None
    return graph


def input_of(graph: dict[str, Any], parameters: Sequence[str]) -> str:
    """Return the name of a graph's one input: the variable that is neither a parameter nor a label.

    Raises CannotFold where there are several.
    """
    nodes, known = graph["nodes"], set(parameters)
    labels = {node["inputs"][1][0] for node in nodes if node["op"].endswith("Output") and len(node["inputs"]) > 1}
    used = {at[0] for node in nodes for at in node["inputs"]}
    names = [
        node["name"]
        for number, node in enumerate(nodes)
        if node["op"] == "null" and node["name"] not in known and number in used - labels
    ]
    if len(names) != 1:
        listed = ", ".join(f"'{name}'" for name in names) or "none"
        raise CannotFold(f"where the network's one sparse input was expected, the graph takes {listed}", ENGINE)
    return str(names[0])


class _Walk:
    """Goes through a graph from its input to its outputs; nodes stand in that order in the file."""

    def __init__(self, graph: dict[str, Any], arrays: dict[str, Any]) -> None:
        self.graph, self.nodes, self.arrays = graph, graph["nodes"], arrays
        for number, node in enumerate(self.nodes):
            if any(not 0 <= at[0] < number for at in node["inputs"]):
                raise ValueError(f"node {number} takes its input from a later one")
        self.heads = [(int(at[0]), int(at[1])) for at in graph["heads"]]
        self.input = input_of(graph, list(arrays))
        self.values: dict[int, Any] = {}

    def outputs(self) -> list[Any]:
        """Return the graph's outputs."""
        needed = {number for number, _ in self.heads}
        for number in range(len(self.nodes) - 1, -1, -1):
            if number in needed:
                needed |= {at[0] for at in self.inputs_of(number)}
        for number in sorted(needed):
            self.values[number] = self.value(number)
        return [self.output(number, which) for number, which in self.heads]

    def inputs_of(self, number: int) -> list[Any]:
        """Return a node's inputs, without a label."""
        node = self.nodes[number]
        return node["inputs"][:1] if node["op"].endswith("Output") else node["inputs"]

    def output(self, number: int, which: int) -> Any:
        found = self.values[number]
        if isinstance(found, list):
            return found[which]
        if which:
            raise ValueError(f"node {number} is asked for another output than the first")
        return found

    def value(self, number: int) -> Any:
        raw = self.nodes[number]
        name = raw["name"]
        if raw["op"] == "null":
            if name == self.input:
                width = width_of(self.graph, self.arrays)
                return Tensor(forms.features(width), (width,))
            return self.arrays[name]
        node = Node(raw["op"], name, _settings(raw))
        if node.op not in OPERATORS:
            raise node.refused("is not one that duckprop folds")
        return OPERATORS[node.op](node, [self.output(at[0], at[1]) for at in self.inputs_of(number)])


def width_of(graph: dict[str, Any], arrays: dict[str, Any]) -> int:
    """Return the number of features, read from the first matrix that the input is multiplied by.

    Raises CannotFold where there is none, or where columns are chosen or joined before: it then has another number.
    """
    nodes, name = graph["nodes"], input_of(graph, list(arrays))
    made = {number for number, node in enumerate(nodes) if node["op"] == "null" and node["name"] == name}
    for number, node in enumerate(nodes):
        before = [at[0] for at in node["inputs"]]
        if not made & set(before):
            continue
        if node["op"] in _MOVES:
            raise CannotFold(f"operator '{node['op']}' (node '{node['name']}') chooses or joins features", ENGINE)
        if node["op"] in ("dot", "_sparse_dot", "FullyConnected"):
            weight = arrays[nodes[_parameter_under(nodes, before[1])]["name"]]
            is_columns = node["op"] == "FullyConnected" or _is_transposed(node)
            return int(weight.shape[1 if is_columns else 0])
        made.add(number)
    raise CannotFold("the graph has no layer of weights", ENGINE)


_MOVES = {
    "slice", "crop", "slice_axis", "slice_like", "SliceChannel", "split", "_split_v2", "take", "pick", "gather_nd",
    "Concat", "concat", "stack", "tile", "repeat", "Pad", "pad", "one_hot", "topk", "sort", "reverse", "flip",
    "Embedding",
}  # fmt: skip
"""What makes columns of features that are not all of them, each in its place."""
_CASTS = ("Cast", "cast", "amp_cast", "cast_storage", "identity", "_copy", "BlockGrad", "stop_gradient")


def _parameter_under(nodes: list[dict[str, Any]], number: int) -> int:
    """Return the node whose array a weight is, cast or not."""
    while nodes[number]["op"] in _CASTS:
        number = nodes[number]["inputs"][0][0]
    return number


def _is_transposed(node: dict[str, Any]) -> bool:
    return _settings(node).get("transpose_b", "False") in ("True", "1")


def _settings(node: dict[str, Any]) -> dict[str, str]:
    """Return an operator's settings; files before MXNet 1.0 say attr or param."""
    return dict(node.get("attrs") or node.get("attr") or node.get("param") or {})


def _network(outputs: list[Any], heads: int | None, output: str | None) -> tuple[Network, bool]:
    """Return the network of a graph's outputs, each a softmax or sigmoids, or logits that ``output`` speaks of.

    And whether its heads have classes: see ``read_with_classes``.
    """
    if any(isinstance(found, RowNorm) or not isinstance(found, Tensor | Probabilities) for found in outputs):
        raise CannotFold("the graph gives out what are no propensities", ENGINE)
    if all(isinstance(found, Tensor) for found in outputs):
        form = forms.concat([found.form for found in outputs])
        logits = forms.before(form, "sigmoid")
        if logits is not None:
            return sigmoid_network(logits), False
        if output is None and (names := _activations_of(form)):
            raise CannotFold(f"the graph ends in what is made of its {names} units one by one", ENGINE)
        if output == "sigmoid":
            return sigmoid_network(form), False
        if output != "softmax":
            raise UsageError(
                "the graph ends in plain logits, no sigmoid or softmax behind them",
                "say which belongs there: --output sigmoid, or --output softmax",
            )
        outputs = [Probabilities(found) for found in outputs]
    if not all(isinstance(found, Probabilities) for found in outputs):
        raise CannotFold("some outputs of the graph are a softmax, others are not", ENGINE)
    return _softmax_network(outputs, heads)


def _activations_of(form: forms.Form) -> str:
    """Return the names of the activations whose units a form takes as they are: they may be propensities already."""
    found = {term.block.activation for term in form.terms if term.weight is None and term.block.kind == "units"}
    return ", ".join(sorted(found - {"identity"}))


def _softmax_network(outputs: list[Probabilities], heads: int | None) -> tuple[Network, bool]:
    if len({(found.logits.shape[-1], found.is_softmax) for found in outputs}) != 1:
        sizes = sorted({found.logits.shape[-1] for found in outputs})
        raise CannotFold(f"heads have different numbers of classes: {sizes}", ENGINE)
    form, classes = forms.concat([found.logits.form for found in outputs]), outputs[0].logits.shape[-1]
    is_one = form.size == classes
    if not outputs[0].is_softmax:
        if not is_one:
            raise CannotFold("sigmoids are divided by the sum of some of them", ENGINE)
        return sigmoid_network(form, "normalized"), False
    if classes == 1:
        raise ModelError("a softmax over one number is always 1", "leave out the softmax, or write a sigmoid")
    if is_one and heads not in (None, 1):
        return (sigmoid_network(form, "softmax") if classes == heads else _mismatch(classes, heads)), False
    return heads_network(form, form.size // classes, classes), True


def _mismatch(classes: int, heads: int | None) -> Network:
    raise UsageError(
        f"the graph's one softmax goes over {classes} numbers, {heads} categories are named",
        f"name {classes} categories, one for each number, or one category of {classes} classes",
    )
