"""LibSVM text, ``3:1.0 17:0.5`` with zero-based columns, → arrays."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from duckprop.errors import DataError
from duckprop.sparse import offsets_of, row_name

_TOKEN = r"^-?[0-9]{1,18}:[+-]?([0-9]+\.?[0-9]*([eE][+-]?[0-9]+)?|\.[0-9]+([eE][+-]?[0-9]+)?|nan|NaN|inf|Infinity)$"


def parse(texts: pa.Array, rows: Any = None) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return lengths (n,), columns and values (nnz,) of n texts without NULLs; an empty text is an empty row.

    rows (n,): positions to name in errors, where not 0 … n − 1. Raises DataError that quotes the first wrong token.
    """
    words = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(texts.cast(pa.string())))
    lengths = pc.list_value_length(words).to_numpy(zero_copy_only=False).astype(np.int64)
    tokens = words.flatten()
    is_blank = pc.equal(tokens, "").to_numpy(zero_copy_only=False)  # the split of an empty text is one empty token
    lengths -= np.bincount(np.repeat(np.arange(len(lengths)), lengths)[is_blank], minlength=len(lengths))
    tokens = tokens.filter(pa.array(~is_blank))
    _check(tokens, offsets_of(lengths), rows)
    halves = pc.split_pattern(tokens, ":").flatten()
    columns = halves.take(pa.array(np.arange(0, len(halves), 2))).cast(pa.int64())
    values = halves.take(pa.array(np.arange(1, len(halves), 2))).cast(pa.float64())
    return lengths, columns.to_numpy(), values.to_numpy()


def _check(tokens: pa.Array, indptr: NDArray[np.int64], rows: Any) -> None:
    wrong = np.flatnonzero(~pc.match_substring_regex(tokens, _TOKEN).to_numpy(zero_copy_only=False))
    if len(wrong):
        at = int(wrong[0])
        raise DataError(
            f"{row_name(indptr, at, rows)}: '{tokens[at].as_py()[:40]}' is not LibSVM text",
            "write 3:1.0 17:0.5, zero-based columns without a label; features by name are a list: ['a', 'b']",
        )
