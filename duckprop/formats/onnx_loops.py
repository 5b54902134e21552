"""The Loop that PyTorch exports for an EmbeddingBag: for each row, the lines of a table between two offsets, summed."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from duckprop.formats.onnx_bags import bag
from duckprop.formats.onnx_call import Call
from duckprop.formats.onnx_values import Entries, Tensor, Value

_PASSED = ("Unsqueeze", "Cast", "Identity")


def embedding_bag(call: Call, known: Mapping[str, Value]) -> Tensor:
    """Return the bags of a Loop; ``known``: the outer graph's values. Raises CannotFold for any other loop."""
    body = call.attributes.get("body")
    if body is None or len(body.input) != 2 or len(body.output) != 2 or len(call.values) != 2:
        raise call.refused("is a loop that is not understood")
    return _Body(call, body, known).bags()


class _Body:
    def __init__(self, call: Call, body: Any, known: Mapping[str, Value]) -> None:
        self.call, self.known, self.body = call, dict(known), body
        self.makers = {name: node for node in body.node for name in node.output}
        for node in body.node:
            if node.op_type == "Constant":
                inner = replace(call, node=node, values=[])
                self.known[node.output[0]] = call.file.array(inner.attributes["value"])

    def bags(self) -> Tensor:
        source = self.call.source
        total = self.maker(self.body.output[1].name, "ReduceSum", "ReduceMean")
        inner = replace(self.call, node=total, values=[None, *(self.known.get(name) for name in total.input[1:])])
        if inner.integers("axes", 1) != [0] or inner.number("keepdims", 1):
            raise self.refused()
        below = self.maker(total.input[0], "Mul", "Gather")
        weights = None
        if below.op_type == "Mul":
            weights = self.slice(self.maker(below.input[1], "Unsqueeze").input[0], "values")
            below = self.maker(below.input[0], "Gather")
        table = self.known.get(below.input[0])
        ids = self.slice(below.input[1], "ids")
        if not isinstance(table, np.ndarray) or table.ndim != 2 or table.dtype.kind != "f":
            raise self.refused()
        if weights not in (None, ids) or source.width not in (0, len(table)):
            raise self.refused()
        source.width, source.is_counted = len(table), weights is None
        return bag(self.call, table, total.op_type == "ReduceMean")

    def slice(self, name: str, kind: str) -> tuple[str, str]:
        """Return the names of the lists of offsets between which a list is cut for each row."""
        node = self.maker(name, "Slice")
        entries = self.known.get(node.input[0])
        if not isinstance(entries, Entries) or entries.kind != kind or entries.layout != "flat":
            raise self.refused()
        self.call.source.names["weights" if kind == "values" else "ids"] = entries.name
        return self.offsets(node.input[1], False), self.offsets(node.input[2], True)

    def offsets(self, name: str, is_end: bool) -> str:
        node = self.maker(name, "Gather", *_PASSED)
        while node.op_type in _PASSED:
            node = self.maker(node.input[0], "Gather", *_PASSED)
        entries = self.known.get(node.input[0])
        if node.input[1] != self.body.input[0].name or not isinstance(entries, Entries) or entries.layout != "flat":
            raise self.refused()
        source = self.call.source
        source.names["offsets"] = entries.name
        source.has_last = source.has_last or (not is_end and entries.kind == "ids")
        return str(node.input[0])

    def maker(self, name: str, *operators: str) -> Any:
        node = self.makers.get(name)
        if node is None or node.op_type not in operators:
            raise self.refused()
        return node

    def refused(self) -> Exception:
        return self.call.refused("is a loop that is not understood: only that of PyTorch's EmbeddingBag is")
