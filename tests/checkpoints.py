"""MXNet checkpoints as people write them, with MXNet's documented API alone: one function a topology."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from duckprop import mxnet_compat

WIDTH, HEADS = 300, 6


@dataclass(frozen=True)
class Checkpoint:
    """What a topology is imported with, and how far it may be from MXNet."""

    symbol: object
    arguments: dict
    auxiliary: dict
    options: dict
    heads: int = HEADS
    tolerance: float = 1e-6


def _normal(seed, *shape, size=0.5):
    return np.random.default_rng(seed).normal(0, size, shape).astype(np.float32)


def _layers(*sizes, prefix="fc", first_transposed=True):
    """Return weights and biases as FullyConnected takes them; the first as dot takes it."""
    arrays = {}
    for number, (below, above) in enumerate(pairwise(sizes), start=1):
        weight = _normal(number, above, below, size=0.8 / np.sqrt(min(below, 20)))
        arrays[f"{prefix}{number}_weight"] = weight.T.copy() if number == 1 and first_transposed else weight
        arrays[f"{prefix}{number}_bias"] = _normal(number + 50, above)
    return arrays


def _first(sym, units=16):
    data = sym.var("data", stype="csr")
    dot = sym.sparse.dot(data, sym.var("fc1_weight", shape=(WIDTH, units)))
    return data, sym.broadcast_add(dot, sym.var("fc1_bias", shape=(units,)))


def separate_heads(sym):
    """The article's: N times FullyConnected(2) and SoftmaxOutput in a Group, labels [y, 1 − y]."""
    _, hidden = _first(sym)
    hidden = sym.Activation(hidden, act_type="relu")
    heads = [
        sym.SoftmaxOutput(sym.FullyConnected(hidden, num_hidden=2, name=f"head{n}"), name=f"softmax{n}")
        for n in range(HEADS)
    ]
    arrays = _layers(WIDTH, 16) | {f"head{n}_weight": _normal(n, 2, 16) for n in range(HEADS)}
    return Checkpoint(
        sym.Group(heads),
        arrays | {f"head{n}_bias": _normal(n + 9, 2) for n in range(HEADS)},
        {},
        {"positive_column": 0},
    )


def fused_head(sym):
    """One FullyConnected reshaped to (N, 3), softmax over the last axis; three hidden layers, Dropout."""
    _, hidden = _first(sym)
    hidden = sym.Dropout(sym.Activation(hidden, act_type="tanh"), p=0.5)
    hidden = sym.Activation(sym.FullyConnected(hidden, num_hidden=12, name="fc2"), act_type="sigmoid")
    hidden = sym.Activation(sym.FullyConnected(hidden, num_hidden=10, name="fc3"), act_type="softrelu")
    logits = sym.reshape(sym.FullyConnected(hidden, num_hidden=HEADS * 3, name="fc4"), shape=(-1, HEADS, 3))
    return Checkpoint(sym.softmax(logits, axis=-1), _layers(WIDTH, 16, 12, 10, HEADS * 3), {}, {"positive_column": 2})


def logistic_regression_output(sym):
    """Sigmoids by LogisticRegressionOutput, positive column of no matter."""
    _, hidden = _first(sym)
    logits = sym.FullyConnected(sym.LeakyReLU(hidden, act_type="leaky", slope=0.1), num_hidden=HEADS, name="fc2")
    return Checkpoint(sym.LogisticRegressionOutput(logits, name="lro"), _layers(WIDTH, 16, HEADS), {}, {})


def softmax_over_categories(sym):
    """One SoftmaxOutput over N categories, which exclude each other; ELU."""
    _, hidden = _first(sym)
    logits = sym.FullyConnected(sym.LeakyReLU(hidden, act_type="elu", slope=0.7), num_hidden=HEADS, name="fc2")
    return Checkpoint(sym.SoftmaxOutput(logits, name="softmax"), _layers(WIDTH, 16, HEADS), {}, {})


def wide_and_deep(sym):
    """Concat of a wide linear path and a deep one, then one dense layer; positive column 1."""
    data, hidden = _first(sym)
    deep = sym.Activation(sym.FullyConnected(sym.relu(hidden), num_hidden=8, name="fc2"), act_type="softsign")
    wide = sym.sparse.dot(data, sym.var("wide_weight", shape=(WIDTH, 5)))
    both = sym.Concat(deep, wide, sym.relu(hidden), dim=1)
    logits = sym.reshape(sym.FullyConnected(both, num_hidden=HEADS * 2, name="fc3"), shape=(0, HEADS, 2))
    arrays = _layers(WIDTH, 16, 8) | {
        "wide_weight": _normal(7, WIDTH, 5, size=0.2),
        "fc3_weight": _normal(8, HEADS * 2, 29, size=0.2),
    }
    arrays["fc3_bias"] = _normal(9, HEADS * 2)
    return Checkpoint(sym.SoftmaxOutput(logits, preserve_shape=True), arrays, {}, {"positive_column": 1})


def batch_norm(sym):
    """BatchNorm before and after activations, fix_gamma or not; biases left out."""
    data = sym.var("data", stype="csr")
    hidden = sym.sparse.dot(data, sym.var("fc1_weight", shape=(WIDTH, 16)))
    hidden = sym.relu(sym.BatchNorm(hidden, name="bn1", fix_gamma=False))
    hidden = sym.BatchNorm(sym.FullyConnected(hidden, num_hidden=9, no_bias=True, name="fc2"), name="bn2", eps=1e-2)
    hidden = sym.BatchNorm(sym.tanh(hidden), name="bn3", fix_gamma=False, use_global_stats=True)
    logits = sym.FullyConnected(hidden, num_hidden=HEADS, no_bias=True, name="fc3")
    arrays, auxiliary = _layers(WIDTH, 16, 9, HEADS), {}
    for number, size in ((1, 16), (2, 9), (3, 9)):
        arrays[f"bn{number}_gamma"] = 1 + _normal(number, size, size=0.2)
        arrays[f"bn{number}_beta"] = _normal(number + 20, size)
        auxiliary[f"bn{number}_moving_mean"] = _normal(number + 30, size)
        auxiliary[f"bn{number}_moving_var"] = np.abs(_normal(number + 40, size)) + 0.5
    arrays = {name: array for name, array in arrays.items() if not name.startswith("fc") or name.endswith("weight")}
    return Checkpoint(sym.sigmoid(logits), arrays, auxiliary, {})


def dense_input(sym):
    """FullyConnected on the features themselves, PReLU, SELU, GELU."""
    hidden = sym.FullyConnected(sym.var("data"), num_hidden=16, name="fc1")
    hidden = sym.LeakyReLU(hidden, sym.var("slopes", shape=(16,)), act_type="prelu")
    hidden = sym.LeakyReLU(sym.FullyConnected(hidden, num_hidden=12, name="fc2"), act_type="selu")
    hidden = sym.LeakyReLU(sym.FullyConnected(hidden, num_hidden=12, name="fc3"), act_type="gelu")
    arrays = _layers(WIDTH, 16, 12, 12, HEADS, first_transposed=False) | {"slopes": _normal(3, 16)}
    return Checkpoint(sym.sigmoid(sym.FullyConnected(hidden, num_hidden=HEADS, name="fc4")), arrays, {}, {})


def linear(sym):
    """A logistic regression for each category: no hidden layer."""
    data = sym.var("data", stype="csr")
    logits = sym.broadcast_add(sym.sparse.dot(data, sym.var("w", shape=(WIDTH, HEADS))), sym.var("b", shape=(1, HEADS)))
    return Checkpoint(sym.sigmoid(logits), {"w": _normal(1, WIDTH, HEADS), "b": _normal(2, 1, HEADS)}, {}, {})


def logits_only(sym):
    """Plain logits, as a network that was trained with a loss of its own ends."""
    _, hidden = _first(sym)
    hidden = sym.clip(hidden, 0, 6) + 0.5 * sym.relu(hidden)
    logits = sym.FullyConnected(hidden, num_hidden=HEADS, name="fc2")
    return Checkpoint(logits, _layers(WIDTH, 16, HEADS), {}, {"output": "sigmoid"})


def binary(sym):
    """One category, one softmax over two classes."""
    _, hidden = _first(sym)
    logits = sym.FullyConnected(sym.hard_sigmoid(hidden), num_hidden=2, name="fc2")
    return Checkpoint(sym.SoftmaxOutput(logits), _layers(WIDTH, 16, 2), {}, {"positive_column": 1}, heads=1)


def scaled_rows(sym):
    """Rows scaled to norm 1 in the graph, a residual path, sliced and joined again."""
    data, _ = _first(sym)
    scale = sym.rsqrt(sym.reshape(sym.sparse.sum(sym.sparse.square(data), axis=1), shape=(-1, 1)) + 1e-6)
    product = sym.sparse.dot(data, sym.var("fc1_weight", shape=(WIDTH, 16)))
    hidden = sym.relu(sym.broadcast_add(sym.broadcast_mul(product, scale), sym.var("fc1_bias", shape=(16,))))
    hidden = hidden + sym.tanh(sym.FullyConnected(hidden, num_hidden=16, name="fc2"))
    left, right = sym.SliceChannel(hidden, num_outputs=2, axis=1)
    logits = sym.FullyConnected(sym.concat(right, left * 2, dim=1), num_hidden=HEADS, name="fc3")
    return Checkpoint(sym.sigmoid(logits), _layers(WIDTH, 16, 16, HEADS), {}, {})


def swish(sym):
    """x · sigmoid(x), and different depths added up."""
    _, hidden = _first(sym)
    hidden = hidden * sym.sigmoid(hidden)
    deep = sym.FullyConnected(
        sym.relu(sym.FullyConnected(hidden, num_hidden=8, name="fc2")), num_hidden=HEADS, name="fc3"
    )
    logits = deep + sym.FullyConnected(hidden, num_hidden=HEADS, name="short")
    more = {"short_weight": _normal(3, HEADS, 16), "short_bias": _normal(4, HEADS)}
    return Checkpoint(sym.sigmoid(logits), _layers(WIDTH, 16, 8, HEADS) | more, {}, {})


TOPOLOGIES = (
    separate_heads,
    fused_head,
    logistic_regression_output,
    softmax_over_categories,
    wide_and_deep,
    batch_norm,
    dense_input,
    linear,
    logits_only,
    binary,
    scaled_rows,
    swish,
)


def _stored(arrays, dtype, storage):
    nd = mxnet_compat.load().nd
    found = {name: nd.array(array, dtype=dtype) for name, array in arrays.items()}
    for name in ("fc1_weight", "w"):
        if name in found and storage != "default":
            found[name] = found[name].tostype(storage)
    return found


def write(topology, folder: Path, prefix="shop", *, dtype="float32", storage="default", epoch=7):
    """Save a topology as ``mx.model.save_checkpoint`` does and return it."""
    mx = mxnet_compat.load()
    found = topology(mx.sym)
    folder.mkdir(parents=True, exist_ok=True)
    arguments = _stored(found.arguments, dtype, storage)
    auxiliary = _stored(found.auxiliary, dtype, "default")
    mx.nd.waitall()  # else MXNet saves a row_sparse array that is still being computed as one of no rows
    mx.model.save_checkpoint(str(folder / prefix), epoch, found.symbol, arguments, auxiliary)
    return found
