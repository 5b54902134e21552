"""The hot loops: arrays in, arrays out, no Python objects, no allocation, the GIL released.

Rows are computed one by one in a fixed order of additions; see ``simd`` for what that buys.
"""

from duckprop.kernels import compiling
from duckprop.kernels.heads import TILES, link_rows, score_pairs, score_rows, top_rows
from duckprop.kernels.layers import activate_rows, dense_rows, sparse_rows, wide_rows
from duckprop.kernels.simd import COLUMNS, ROWS
from duckprop.kernels.values import is_canonical, weigh_values

__all__ = [
    "COLUMNS",
    "ROWS",
    "TILES",
    "activate_rows",
    "compile_seconds",
    "dense_rows",
    "is_canonical",
    "link_rows",
    "score_pairs",
    "score_rows",
    "sparse_rows",
    "top_rows",
    "weigh_values",
    "wide_rows",
]


def compile_seconds() -> float:
    """Return what this process has spent on compiling the kernels, or on reading what was compiled before."""
    return compiling.seconds
