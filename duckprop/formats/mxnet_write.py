"""A Network → MXNet's own files, without MXNet: ``mx.model.load_checkpoint`` reads them, and so do we."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from duckprop.errors import ModelError
from duckprop.formats.mxnet_params_write import write_params
from duckprop.network import Layer, Network

_MOST = 2**31
"""Elements of an array in MXNet 1.9.1."""
_SELU = np.array([[1.6732632423543772], [1.0507009873554805]], np.float32)
_GELU = 2 * np.sqrt(2 / np.pi)
_CSR = "2"


def write_checkpoint(network: Network, folder: Path, prefix: str, positive: int = 0) -> None:
    """Write ``prefix-symbol.json`` and ``prefix-0000.params`` into a folder.

    The graph takes 'data', CSR (B, F). It gives (B, N, K) probabilities of classes; or, where the logits of all classes
    but the positive one, class 0, are 0, the (B, N) propensities.
    Raises ModelError where a weight is too large for MXNet, or an activation has no operator there.
    """
    graph = _Graph()
    graph.head = _outputs(graph, network, positive)
    (folder / f"{prefix}-symbol.json").write_text(graph.as_json(), encoding="utf-8")
    write_params(folder / f"{prefix}-0000.params", {f"arg:{name}": array for name, array in graph.arrays.items()})


@dataclass
class _Graph:
    """Nodes in order; ``add`` returns a node's number. arrays: the parameters by name."""

    nodes: list[dict[str, Any]] = field(default_factory=list)
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    head: int = 0

    def add(self, op: str, *inputs: int, name: str = "", **settings: object) -> int:
        """Add an operator; its settings are written as MXNet's text."""
        number = len(self.nodes)
        node: dict[str, Any] = {"op": op, "name": name or f"{op.lower().strip('_')}{number}"}
        if settings:
            node["attrs"] = {key: str(value) for key, value in settings.items()}
        self.nodes.append(node | {"inputs": [[at, 0, 0] for at in inputs]})
        return number

    def parameter(self, name: str, array: NDArray[Any]) -> int:
        """Add a parameter. Raises ModelError where MXNet cannot hold it."""
        if array.size >= _MOST:
            raise ModelError(
                f"'{name}' has {' x '.join(map(str, array.shape))} weights, MXNet's arrays end at {_MOST - 1}",
                "give a smaller network",
            )
        self.arrays[name] = np.ascontiguousarray(array, np.float32)
        return self.add("null", name=name)

    def as_json(self) -> str:
        """Return the text of a symbol.json."""
        return json.dumps(
            {
                "nodes": self.nodes,
                "arg_nodes": [number for number, node in enumerate(self.nodes) if node["op"] == "null"],
                "node_row_ptr": list(range(len(self.nodes) + 1)),
                "heads": [[self.head, 0, 0]],
                "attrs": {"mxnet_version": ["int", 10901]},
            },
            indent=1,
        )


def _outputs(graph: _Graph, network: Network, positive: int) -> int:
    data = graph.add("null", name="data", __storage_type__=_CSR)
    scale = _scale(graph, network, data)
    hidden = _product(graph, data, "fc1_weight", network.first.weight)
    if network.start is not None:
        hidden = graph.add("broadcast_add", hidden, graph.parameter("fc1_start", network.start[None]))
    if scale is not None:
        hidden = graph.add("broadcast_mul", hidden, scale)
    hidden = graph.add("broadcast_add", hidden, graph.parameter("fc1_bias", network.first.bias))
    hidden = _activated(graph, network.first, hidden, 1)
    for number, layer in enumerate(network.hidden, start=2):
        hidden = _dense(graph, hidden, f"fc{number}", weight=layer.weight, bias=layer.bias)
        hidden = _activated(graph, layer, hidden, number)
    weight, bias, wide = _columns(network, positive)
    logits = _dense(graph, hidden, "heads", weight=weight, bias=bias)
    if wide is not None:
        straight = _product(graph, data, "wide_weight", wide.toarray())
        straight = straight if scale is None else graph.add("broadcast_mul", straight, scale)
        logits = graph.add("broadcast_add", logits, straight)
    if len(bias) != network.heads:
        logits = graph.add("Reshape", logits, shape=(-1, network.heads, network.classes))
        return graph.add("softmax", logits, name="propensity", axis=-1)
    if network.link == "softmax":
        return graph.add("softmax", logits, name="propensity", axis=-1)
    sigmoid = graph.add("sigmoid", logits, name="propensity" if network.link == "heads" else "")
    if network.link == "heads":
        return sigmoid
    return graph.add("broadcast_div", sigmoid, graph.add("sum", sigmoid, axis=1, keepdims=True), name="propensity")


def _columns(network: Network, positive: int) -> tuple[Any, Any, sparse.csr_matrix | None]:
    """Return weight (H, columns), bias and wide path of the logits: one a category where the other class's are 0.

    Raises ModelError where they are not, and the categories are linked: no graph says both.
    """
    wide = None if network.wide is None else sparse.csc_matrix(network.wide)
    straight = wide is not None and wide[:, 1::2].count_nonzero()
    other = network.head_weight[:, :, 1].any() or network.head_bias[:, 1].any() or straight
    if network.link != "heads" and (other or positive):
        raise ModelError("linked categories have weights of class 1, or that one is positive", "subtract them first")
    if network.classes == 2 and positive == 0 and not other:
        return network.head_weight[:, :, 0], network.head_bias[:, 0], None if wide is None else wide[:, ::2]
    return network.head_weight.reshape(len(network.head_weight), -1), network.head_bias.ravel(), wide


def _scale(graph: _Graph, network: Network, data: int) -> int | None:
    if network.row_epsilon is None:
        return None
    terms = graph.add("square" if network.row_norm == "l2" else "abs", data)
    total = graph.add("Reshape", graph.add("sum", terms, axis=1), shape=(-1, 1))
    total = graph.add("_plus_scalar", total, scalar=repr(float(network.row_epsilon)))
    return graph.add("rsqrt" if network.row_norm == "l2" else "reciprocal", total)


def _product(graph: _Graph, data: int, name: str, weight: NDArray[np.float32]) -> int:
    return graph.add("dot", data, graph.parameter(name, weight))


def _dense(graph: _Graph, below: int, name: str, *, weight: Any, bias: Any) -> int:
    inputs = graph.parameter(f"{name}_weight", weight.T), graph.parameter(f"{name}_bias", bias)
    return graph.add("FullyConnected", below, *inputs, name=name, num_hidden=len(bias))


def _activated(graph: _Graph, layer: Layer, below: int, number: int) -> int:
    """Return the layer's units: every run of one activation by itself, then joined."""
    both = np.zeros((2, len(layer.bias)), np.float32) if layer.parameters is None else layer.parameters
    parts, start = [], 0
    for run, (name, count) in enumerate(layer.runs):
        part, stop = below, start + count
        if len(layer.runs) > 1:
            part = graph.add("slice_axis", below, axis=1, begin=start, end=stop)
        parts.append(_activate(graph, part, name, both=both[:, start:stop], name=f"act{number}_{run}"))
        start = stop
    return parts[0] if len(parts) == 1 else graph.add("Concat", *parts, num_args=len(parts), dim=1)


def _activate(graph: _Graph, x: int, activation: str, *, both: NDArray[np.float32], name: str) -> int:
    if activation == "identity":
        return x
    if activation in ("relu", "sigmoid", "tanh", "softrelu", "softsign"):
        return graph.add("Activation", x, act_type=activation)
    if activation == "gelu":
        return graph.add("LeakyReLU", x, act_type="gelu")
    if activation == "leaky" and not _is_uniform(both):
        return graph.add("LeakyReLU", x, graph.parameter(f"{name}_gamma", both[0]), act_type="prelu")
    if activation == "mish":
        return graph.add("elemwise_mul", x, graph.add("tanh", graph.add("Activation", x, act_type="softrelu")))
    if activation == "gelu_tanh":
        cube = graph.add("_mul_scalar", graph.add("_power_scalar", x, scalar=3), scalar=0.044715)
        inner = graph.add("_mul_scalar", graph.add("elemwise_add", x, cube), scalar=repr(float(_GELU)))
        return graph.add("elemwise_mul", x, graph.add("sigmoid", inner))
    return _uniform(graph, x, activation, both)


def _uniform(graph: _Graph, x: int, activation: str, both: NDArray[np.float32]) -> int:
    """Return units of an activation whose parameters MXNet knows only for all of them at once."""
    if not _is_uniform(both):
        raise ModelError(f"units of the activation '{activation}' have different parameters", "MXNet has no such layer")
    a, b = (repr(float(value)) for value in both[:, 0])
    match activation:
        case "leaky":
            return graph.add("LeakyReLU", x, act_type="leaky", slope=a)
        case "clip":
            return graph.add("clip", x, a_min=a, a_max=b)
        case "silu":
            return graph.add("elemwise_mul", x, graph.add("sigmoid", graph.add("_mul_scalar", x, scalar=a)))
        case "elu" if np.array_equal(both[:, :1], _SELU):
            return graph.add("LeakyReLU", x, act_type="selu")
        case "elu":
            return graph.add("_mul_scalar", graph.add("LeakyReLU", x, act_type="elu", slope=a), scalar=b)
    raise ModelError(f"the activation '{activation}' has no operator in MXNet", "export the model to ONNX")


def _is_uniform(both: NDArray[np.float32]) -> bool:
    return bool((both == both[:, :1]).all())
