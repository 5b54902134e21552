"""The network to train, in MXNet's symbolic API."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from duckprop import mxnet_compat

ROW_EPSILON = 1e-12


@dataclass(frozen=True)
class Shape:
    """Sizes of a network: F sparse columns → hidden layers → N heads of K classes each."""

    width: int
    hidden: tuple[int, ...]
    heads: int
    classes: int = 2


def build_symbol(shape: Shape, dropout: float = 0.0) -> Any:
    """Return the symbol: CSR data (B, F) → softmax (B, N, K); labels are class probabilities of the same shape.

    The rows are scaled to norm 1 inside the graph, so that the checkpoint needs no preprocessing elsewhere; the first
    weight is row_sparse (F, H), so that a batch updates only the rows that it touches. Dropout is identity in scoring.
    """
    mx = mxnet_compat.load()
    data = mx.sym.var("data", stype="csr")
    first = shape.hidden[0]
    weight = mx.sym.var("fc1_weight", stype="row_sparse", shape=(shape.width, first))
    squares = mx.sym.sparse.sum(mx.sym.sparse.square(data), axis=1)  # keepdims=True would turn the batch dense
    scale = mx.sym.rsqrt(squares.reshape((-1, 1)) + ROW_EPSILON)
    product = mx.sym.broadcast_mul(mx.sym.sparse.dot(data, weight), scale)
    hidden = mx.sym.broadcast_add(product, mx.sym.var("fc1_bias", shape=(first,)))
    hidden = mx.sym.Activation(hidden, act_type="relu", name="relu1")
    for number, size in enumerate(shape.hidden[1:], start=2):
        hidden = mx.sym.FullyConnected(hidden, num_hidden=size, name=f"fc{number}")
        hidden = mx.sym.Activation(hidden, act_type="relu", name=f"relu{number}")
    if dropout:
        hidden = mx.sym.Dropout(hidden, p=dropout, name="dropout")
    logits = mx.sym.FullyConnected(hidden, num_hidden=shape.heads * shape.classes, name="heads")
    logits = mx.sym.reshape(logits, shape=(-1, shape.heads, shape.classes))
    return mx.sym.SoftmaxOutput(logits, name="softmax", preserve_shape=True)


def initial_parameters(shape: Shape, class_rates: NDArray[np.floating], seed: int) -> dict[str, NDArray[np.float32]]:
    """Return starting arrays by name; class_rates (N, K) makes the untrained network predict each class's base rate."""
    random = np.random.default_rng(seed)
    sizes = [shape.width, *shape.hidden]
    # a row has norm 1, so that the first layer's outputs have the weights' own spread
    arrays = {"fc1_weight": random.normal(0, 0.05, (shape.width, sizes[1])), "fc1_bias": np.zeros(sizes[1])}
    for number, (inputs, outputs) in enumerate(pairwise(sizes[1:]), start=2):
        arrays[f"fc{number}_weight"] = random.normal(0, np.sqrt(2 / inputs), (outputs, inputs))
        arrays[f"fc{number}_bias"] = np.zeros(outputs)
    outputs = shape.heads * shape.classes
    arrays["heads_weight"] = random.normal(0, np.sqrt(1 / sizes[-1]), (outputs, sizes[-1]))
    rates = np.clip(class_rates, 1e-6, 1)
    arrays["heads_bias"] = (np.log(rates) - np.log(rates).mean(axis=1, keepdims=True)).ravel()
    return {name: array.astype(np.float32) for name, array in arrays.items()}
