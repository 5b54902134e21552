"""How duckprop's own ONNX files take sparse rows: as compressed sparse rows, padded inside the graph.

ONNX Runtime's ScatterND and ScatterElements with reduction 'add' would sum flat rows, but the first loses sums when it
runs on several threads (seen in 1.23), and the second takes ten times as long as a batched product of padded rows.
"""

from typing import Any

import numpy as np

from duckprop.formats.onnx_file import library

INPUTS = (("indptr", 7, "n_plus_1"), ("indices", 7, "nnz"), ("values", 1, "nnz"))
"""Names, ONNX types and sizes: int64 (n + 1,), int64 (nnz,), float32 (nnz,)."""
ENTRIES = ("row_ids", "row_values")
"""What the first nodes make of them: (n, L), L the longest row's length, at least 1; id 0 and value 0 fill up."""
_INTEGERS = {"zero": [0], "one": [1], "last": [-1], "far": [2**62]}


def prelude() -> list[Any]:
    """Return the nodes that pad compressed sparse rows."""
    make = library().helper.make_node
    scalars = [("csr_0", 0), ("csr_1", 1)]
    return [
        *(_constant(f"csr_{name}", values) for name, values in _INTEGERS.items()),
        *(_constant(f"{name}_scalar", value) for name, value in scalars),
        make("Slice", ["indptr", "csr_zero", "csr_last"], ["csr_starts"]),
        make("Slice", ["indptr", "csr_one", "csr_far"], ["csr_stops"]),
        make("Sub", ["csr_stops", "csr_starts"], ["csr_lengths"]),
        make("Concat", ["csr_lengths", "csr_one"], ["csr_lengths_and_1"], axis=0),
        make("ReduceMax", ["csr_lengths_and_1"], ["csr_longest"], keepdims=0),
        make("Range", ["csr_0_scalar", "csr_longest", "csr_1_scalar"], ["csr_steps"]),
        make("Unsqueeze", ["csr_starts", "csr_one"], ["csr_starts_column"]),
        make("Unsqueeze", ["csr_stops", "csr_one"], ["csr_stops_column"]),
        make("Add", ["csr_starts_column", "csr_steps"], ["csr_places"]),
        make("Less", ["csr_places", "csr_stops_column"], ["csr_inside"]),
        make("Shape", ["indices"], ["csr_end"]),
        make("Where", ["csr_inside", "csr_places", "csr_end"], ["csr_safe"]),
        make("Concat", ["indices", "csr_zero"], ["csr_indices_and_0"], axis=0),
        make("Cast", ["csr_zero"], ["csr_nothing"], to=1),
        make("Concat", ["values", "csr_nothing"], ["csr_values_and_0"], axis=0),
        make("Gather", ["csr_indices_and_0", "csr_safe"], [ENTRIES[0]]),
        make("Gather", ["csr_values_and_0", "csr_safe"], [ENTRIES[1]]),
    ]


def is_csr(graph: Any) -> bool:
    """Whether a graph takes rows as duckprop writes it: by these very inputs and nodes."""
    inputs = [(each.name, each.type.tensor_type.elem_type) for each in graph.input]
    if inputs != [(name, kind) for name, kind, _ in INPUTS]:
        return False
    expected = prelude()
    found = list(graph.node[: len(expected)])
    return [each.SerializeToString() for each in found] == [each.SerializeToString() for each in expected]


def _constant(name: str, value: Any) -> Any:
    onnx = library()
    tensor = onnx.numpy_helper.from_array(np.array(value, np.int64))
    return onnx.helper.make_node("Constant", [], [name], value=tensor)
