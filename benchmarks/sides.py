"""All sides, in the order of the report.

A peer is one more function ``(workload, question, samples) -> context manager of a Side``. It raises LeftOut for a
question that it does not answer and for a library that is not there.
"""

from functools import partial

from duckprop.benchmarks.arrays import NAME as NUMPY
from duckprop.benchmarks.arrays import numpy_blocks
from duckprop.benchmarks.engines import COMPILED, FUSED, SPARSE, compiled, mxnet_fused, mxnet_heads, sparse_layer
from duckprop.benchmarks.in_sql import empty, engine, floor, naive_row
from duckprop.benchmarks.limit import NAME as LIMIT
from duckprop.benchmarks.limit import gather_and_product
from duckprop.benchmarks.peers import ONNX, TORCH, onnx_graph, torch_bags
from duckprop.benchmarks.side import Opener

SIDES: dict[str, Opener] = {
    "floor: scan": floor,
    "floor: empty UDF": empty,
    "naive row UDF": naive_row,
    "engine mxnet": partial(engine, "mxnet"),
    "engine compiled": partial(engine, "compiled"),
    "MXNet, N heads": mxnet_heads,
    FUSED: mxnet_fused,
    ONNX: onnx_graph,
    NUMPY: numpy_blocks,
    TORCH: torch_bags,
    COMPILED: compiled,
    SPARSE: sparse_layer,
    LIMIT: gather_and_product,
}
"""By the name that the side has, too."""
NAIVE = "naive row UDF"
BASES = {"naive": NAIVE, "mxnet": FUSED, "torch": TORCH, "limit": LIMIT}
"""What the rates are compared with."""
TRUSTED = (NUMPY, FUSED)
"""Whose outputs are the reference where they have as many rows as any other side; the last one first."""
ALONE = tuple(name for name in SIDES if name not in ("floor: empty UDF", SPARSE, LIMIT))
"""What is run in a process of its own: the others need an engine's answers or scratch, whose memory they would show."""
