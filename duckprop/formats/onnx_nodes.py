"""ONNX graphs as duckprop writes them: nodes and weights collected, and every activation in standard operators."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from duckprop.formats.onnx_file import library
from duckprop.network import Layer

OPSET = 17
Array = NDArray[Any]


class Graph:
    """Nodes in their order, and the float32 or int64 tensors that they take."""

    def __init__(self, nodes: list[Any]) -> None:
        self.nodes = nodes
        self.arrays: dict[str, Array] = {}

    def add(self, kind: str, *inputs: str | Array | float | list[int], **options: Any) -> str:
        """Add a node and return its output's name; numbers and arrays become tensors."""
        name = options.pop("name", f"{kind}_{len(self.nodes)}".lower())
        names = [each if isinstance(each, str) else self.stored(each) for each in inputs]
        self.nodes.append(library().helper.make_node(kind, names, [name], name=name, **options))
        return str(name)

    def split(self, source: str, sizes: list[int]) -> list[str]:
        """Return the names of a tensor's runs of columns."""
        names = [f"run_{len(self.nodes)}_{number}" for number in range(len(sizes))]
        node = library().helper.make_node("Split", [source, self.stored(sizes)], names, name=names[0], axis=1)
        self.nodes.append(node)
        return names

    def stored(self, values: Array | float | list[int], name: str = "") -> str:
        """Keep a tensor under a name of its own: integers as int64, else float32."""
        array = np.asarray(values)
        name = name or f"constant_{len(self.arrays)}"
        self.arrays[name] = np.asarray(array, np.int64 if array.dtype.kind in "iu" else np.float32, order="C")
        return name

    def activated(self, layer: Layer, sums: str) -> str:
        """Add a layer's activations of its sums."""
        runs = layer.runs
        if len(runs) == 1:
            return self._run(runs[0][0], sums, layer.parameters)
        parts, start = [], 0
        for (name, count), part in zip(runs, self.split(sums, [count for _, count in runs]), strict=True):
            chosen = None if layer.parameters is None else layer.parameters[:, start : start + count]
            parts.append(self._run(name, part, chosen))
            start += count
        return self.add("Concat", *parts, axis=1)

    def _run(self, name: str, z: str, parameters: Array | None) -> str:
        if name in _SIMPLE:
            return self.add(_SIMPLE[name], z)
        return z if name == "identity" else _FUNCTIONS[name](self, z, parameters)


def _both(parameters: Array | None) -> tuple[Array, Array]:
    """Return a and b, each one number where all units have the same."""
    pair = np.zeros((2, 1), np.float32) if parameters is None else parameters
    a, b = (each[:1] if (each == each[0]).all() else each for each in pair)
    return a, b


def _leaky(graph: Graph, z: str, parameters: Array | None) -> str:
    return graph.add("PRelu", z, _both(parameters)[0])


def _elu(graph: Graph, z: str, parameters: Array | None) -> str:
    a, b = _both(parameters)
    if len(a) == len(b) == 1:
        return graph.add("Selu", z, alpha=float(a[0]), gamma=float(b[0]))
    return graph.add("Mul", graph.add("PRelu", graph.add("Elu", z, alpha=1.0), a), b)


def _clip(graph: Graph, z: str, parameters: Array | None) -> str:
    a, b = _both(parameters)
    if len(a) == len(b) == 1:
        return graph.add("Clip", z, a[0], b[0])
    return graph.add("Max", graph.add("Min", z, b), a)


def _silu(graph: Graph, z: str, parameters: Array | None) -> str:
    a, _ = _both(parameters)
    inner = z if len(a) == 1 and a[0] == 1 else graph.add("Mul", z, a)
    return graph.add("Mul", z, graph.add("Sigmoid", inner))


def _gelu(graph: Graph, z: str, _: Array | None) -> str:
    error = graph.add("Erf", graph.add("Mul", z, np.sqrt(0.5)))
    return graph.add("Mul", graph.add("Mul", z, 0.5), graph.add("Add", error, 1.0))


def _gelu_tanh(graph: Graph, z: str, _: Array | None) -> str:
    cube = graph.add("Mul", graph.add("Mul", z, z), z)
    inner = graph.add("Add", z, graph.add("Mul", cube, 0.044715))
    bent = graph.add("Tanh", graph.add("Mul", inner, np.sqrt(2 / np.pi)))
    return graph.add("Mul", graph.add("Mul", z, 0.5), graph.add("Add", bent, 1.0))


def _mish(graph: Graph, z: str, _: Array | None) -> str:
    return graph.add("Mul", z, graph.add("Tanh", graph.add("Softplus", z)))


_SIMPLE = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softrelu": "Softplus", "softsign": "Softsign"}
_FUNCTIONS: dict[str, Callable[[Graph, str, Array | None], str]] = {
    "leaky": _leaky,
    "elu": _elu,
    "clip": _clip,
    "silu": _silu,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "mish": _mish,
}
