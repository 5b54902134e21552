"""Networks of every kind that duckprop reads, written with MXNet's documented API, and what they give in float64."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from scipy import sparse
from scipy.special import log_softmax, softmax

from duckprop import mxnet_compat

ACTIVATIONS = ("identity", "relu", "sigmoid", "tanh", "softrelu")
WIDES = (None, "first", "last")
NORMS = (None, {}, {"fix_gamma": False}, {"fix_gamma": False, "use_global_stats": True, "eps": 0.25})
EPSILON = 1e-12


@dataclass(frozen=True)
class Plan:
    """activations: of each hidden layer. wide: None, or where in the sum the wide path stands. norm: of BatchNorm."""

    hidden: tuple[int, ...] = (16, 8)
    activations: tuple[str, ...] = ("relu", "relu")
    heads: int = 5
    classes: int = 2
    width: int = 40
    is_scaled: bool = True
    wide: str | None = None
    norm: int = 0
    has_bias: bool = True
    seed: int = 0

    def parameters(self):
        """Return float32 arrays by name as MXNet stores them, ``aux:`` for BatchNorm's statistics."""
        random, columns = np.random.default_rng(self.seed), self.heads * self.classes
        arrays = {"arg:w1": random.normal(0, 1 if self.is_scaled else 0.25, (self.width, self.hidden[0]))}
        for number, (inputs, outputs) in enumerate(pairwise(self.hidden), start=2):
            arrays[f"arg:w{number}"] = random.normal(0, 0.8 / np.sqrt(inputs), (outputs, inputs))
        arrays["arg:heads"] = random.normal(0, 0.8 / np.sqrt(self.hidden[-1]), (columns, self.hidden[-1]))
        for number, size in enumerate((*self.hidden, columns), start=1):
            if self.has_bias or number == 1:
                arrays[f"arg:b{number}"] = random.normal(0, 0.5, size)
        if self.wide:
            straight = random.normal(0, 1 if self.is_scaled else 0.25, (self.width, columns))
            arrays["arg:v"] = straight * (random.random(straight.shape) < 0.2)
        for number, size in enumerate(self.hidden, start=1):
            if self.norm:
                arrays |= {f"arg:n{number}_gamma": random.uniform(0.5, 1.5, size)}
                arrays |= {f"arg:n{number}_beta": random.normal(0, 0.5, size)}
                arrays |= {f"aux:n{number}_moving_mean": random.normal(0, 0.5, size)}
                arrays |= {f"aux:n{number}_moving_var": random.uniform(0.5, 1.5, size)}
        return {name: array.astype(np.float32) for name, array in arrays.items()}

    def symbol(self):
        sym = mxnet_compat.load().sym
        data = sym.var("data", stype="csr")
        squares = sym.sparse.sum(sym.sparse.square(data), axis=1)
        scale = sym.rsqrt(squares.reshape((-1, 1)) + EPSILON)

        def product(name, columns):
            found = sym.sparse.dot(data, sym.var(name, shape=(self.width, columns)))
            return sym.broadcast_mul(found, scale) if self.is_scaled else found

        def dense(below, number, size, name):
            weight, bias = sym.var(name), sym.var(f"b{number}")
            if self.has_bias:
                return sym.FullyConnected(below, weight, bias, num_hidden=size)
            return sym.FullyConnected(below, weight, no_bias=True, num_hidden=size)

        hidden = sym.broadcast_add(product("w1", self.hidden[0]), sym.var("b1", shape=(self.hidden[0],)))
        for number, (size, activation) in enumerate(zip(self.hidden, self.activations, strict=True), start=1):
            if number > 1:
                hidden = dense(hidden, number, size, f"w{number}")
            if self.norm:
                hidden = sym.BatchNorm(hidden, name=f"n{number}", **NORMS[self.norm])
            if activation != "identity":
                hidden = sym.Activation(hidden, act_type=activation, name=f"act{number}")
        logits = dense(hidden, len(self.hidden) + 1, self.heads * self.classes, "heads")
        if self.wide:
            straight = product("v", self.heads * self.classes)
            logits = straight + logits if self.wide == "first" else sym.broadcast_add(logits, straight)
        logits = sym.reshape(logits, shape=(-1, self.heads, self.classes))
        return sym.SoftmaxOutput(logits, name="softmax", preserve_shape=True)

    def write(self, folder: Path) -> Path:
        mx = mxnet_compat.load()
        folder.mkdir(parents=True, exist_ok=True)
        self.symbol().save(str(folder / "model-symbol.json"))
        stored = {name: mx.nd.array(array) for name, array in self.parameters().items()}
        mxnet_compat.save_arrays(folder / "model-0000.params", stored)
        return folder

    def logits(self, matrix, is_bound=False):
        """Return the logits (n, N, K) and the last hidden layer in float64, written independently of duckprop.

        is_bound: of absolute values everywhere, what float32's rounding errors are in proportion to.
        """
        arrays = {name.partition(":")[2]: array.astype(float) for name, array in self.parameters().items()}
        rows = sparse.csr_matrix(matrix, dtype=float)
        if is_bound:
            arrays, rows = {name: np.abs(array) for name, array in arrays.items()}, abs(rows)
        if self.is_scaled:
            rows = sparse.diags(1 / np.sqrt(rows.multiply(rows).sum(axis=1).A1 + EPSILON)) @ rows
        hidden = rows @ arrays["w1"] + arrays["b1"]
        for number, activation in enumerate(self.activations, start=1):
            if number > 1:
                hidden = hidden @ arrays[f"w{number}"].T + arrays.get(f"b{number}", 0)
            if self.norm:
                hidden = self._normed(hidden, arrays, f"n{number}_", -1 if is_bound else 1)
            hidden = hidden if is_bound else _ACTIVATE[activation](hidden)
        logits = hidden @ arrays["heads"].T + arrays.get(f"b{len(self.hidden) + 1}", 0)
        logits += rows @ arrays["v"] if self.wide else 0
        return logits.reshape(-1, self.heads, self.classes), hidden

    def _normed(self, x, arrays, name, sign):
        options = {"fix_gamma": True, "eps": 1e-3} | NORMS[self.norm]
        gamma = 1 if options["fix_gamma"] else arrays[name + "gamma"]
        centred = x - sign * arrays[name + "moving_mean"]
        return gamma * centred / np.sqrt(arrays[name + "moving_var"] + options["eps"]) + arrays[name + "beta"]

    def probabilities(self, matrix, positive=0):
        return softmax(self.logits(matrix)[0], axis=2)[:, :, positive]

    def log_odds(self, matrix, positive=0):
        """Return log(P(positive) / P(not positive)) (n, N) in float64."""
        logs = log_softmax(self.logits(matrix)[0], axis=2)
        others = np.delete(logs, positive, axis=2)
        return logs[:, :, positive] - np.logaddexp.reduce(others, axis=2)


_ACTIVATE = {
    "identity": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: 1 / (1 + np.exp(-np.clip(x, -700, None))),
    "tanh": np.tanh,
    "softrelu": lambda x: np.logaddexp(x, 0),
}


HEADS = st.integers(1, 70) | st.sampled_from([1, 15, 16, 17, 31, 32, 33, 64, 65])


def plans(depth=3, units=40, **fixed):
    """Draw a Plan; ``fixed`` are strategies that replace the usual ones."""
    layers = st.lists(st.tuples(st.integers(1, units), st.sampled_from(ACTIVATIONS)), min_size=1, max_size=depth)
    parts = {
        "heads": HEADS,
        "classes": st.integers(2, 4),
        "width": st.integers(1, 300),
        "is_scaled": st.booleans(),
        "wide": st.sampled_from(WIDES),
        "norm": st.integers(0, len(NORMS) - 1),
        "has_bias": st.booleans(),
        "seed": st.integers(0, 10**6),
    } | fixed

    def planned(layers, **rest):
        sizes, activations = zip(*layers, strict=True)
        return Plan(hidden=sizes, activations=activations, **rest)

    return st.builds(planned, layers, **parts)


def rows(count, width, seed=0, *, stored=12, spread=0.0, size=1.0):
    """Return a matrix (count, width): a third of the rows empty, values over ``spread`` orders of magnitude."""
    random = np.random.default_rng(seed)
    lengths = np.where(random.random(count) < 1 / 3, 0, np.minimum(random.integers(1, stored + 1, count), width))
    columns = [np.sort(random.choice(width, length, replace=False)) for length in lengths]
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    values = random.normal(size=indptr[-1]) * 10 ** random.uniform(-spread, spread, indptr[-1]) * size
    indices = np.concatenate([np.zeros(0, np.int64), *columns])
    return sparse.csr_matrix((values.astype(np.float32), indices, indptr), shape=(count, width))


def plain_mxnet(folder, matrix, *shape):
    """Score as MXNet's documentation does, without a line of duckprop: P(class 0), (n, N)."""
    mx = mxnet_compat.load()
    symbol, arguments, auxiliary = mx.model.load_checkpoint(str(folder / "model"), 0)
    module = mx.mod.Module(symbol, data_names=["data"], label_names=["softmax_label"])
    label = mx.io.DataDesc("softmax_label", (matrix.shape[0], *shape))
    module.bind([mx.io.DataDesc("data", matrix.shape)], [label], for_training=False)
    module.set_params(arguments, auxiliary)
    module.forward(mx.io.DataBatch([mx.nd.sparse.csr_matrix(matrix)], []), is_train=False)
    return module.get_outputs()[0].asnumpy()[:, :, 0]
