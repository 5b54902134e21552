"""The naive baseline: what one writes first, a plain DuckDB function that scores one customer through MXNet."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from duckprop import bundle, mxnet_compat
from duckprop.model import Model

PARAMETERS: list[Any] = ["INTEGER[]", "FLOAT[]"]
RETURNS = "FLOAT[]"


def row_udf(model: Model) -> Callable[[list[int], list[float]], list[float]]:
    """Return a function of one row's columns and values → propensities of all N categories, for a 'native' UDF.

    It is a fair one: the model is loaded and bound once, for batches of one row; the weights are dense, which is ten
    times faster than row_sparse ones with a row missing. The lock is needed: DuckDB calls from several threads, and
    between filling the input and reading the output another row could come in.
    """
    mx = mxnet_compat.load()
    symbol, arguments, auxiliary = mx.model.load_checkpoint(str(model.folder / bundle.PREFIX), 0)
    shapes, _, _ = symbol.infer_shape(data=(1, model.width))
    arrays = {name: mx.nd.zeros(shape) for name, shape in zip(symbol.list_arguments(), shapes, strict=True)
              if name not in arguments and name != "data"}  # fmt: skip
    arrays |= {name: array.tostype("default") for name, array in arguments.items()}
    arrays["data"] = mx.nd.sparse.zeros("csr", (1, model.width))
    executor = symbol.bind(mx.cpu(), {name: arrays[name] for name in symbol.list_arguments()}, aux_states=auxiliary)
    lock = threading.Lock()

    def score(indices: list[int], values: list[float]) -> list[float]:
        row = mx.nd.sparse.csr_matrix((values, indices, [0, len(indices)]), shape=(1, model.width), dtype=np.float32)
        with lock:
            row.copyto(executor.arg_dict["data"])
            probabilities = executor.forward(is_train=False)[0].asnumpy()
        return probabilities[0, :, model.positive].tolist()

    return score
