"""What a Network computes, in plain NumPy and float64: the yardstick of the front doors' tests."""

import numpy as np
from scipy import sparse
from scipy.special import erf, expit, softmax


def propensities(network, csr, positive=0):
    """CSR (n, F) → float64 (n, N)."""
    rows = sparse.csr_matrix(csr, dtype=np.float64)
    sums = rows @ network.first.weight.astype(np.float64)
    if network.start is not None:
        sums = sums + network.start
    wide = 0.0 if network.wide is None else (rows @ network.wide.astype(np.float64)).toarray()
    if network.row_epsilon is not None:
        scale = _scale(rows, network)
        sums, wide = sums * scale, wide * scale
    units = _activated(network.first, sums + network.first.bias)
    for layer in network.hidden:
        units = _activated(layer, units @ layer.weight.astype(np.float64) + layer.bias)
    weight = network.head_weight.astype(np.float64).reshape(len(network.head_weight), -1)
    logits = (units @ weight + network.head_bias.reshape(-1) + wide).reshape(-1, network.heads, network.classes)
    if network.link == "heads":
        return softmax(logits, axis=2)[:, :, positive]
    if network.link == "softmax":
        return softmax(logits[:, :, 0], axis=1)
    each = expit(logits[:, :, 0])
    return each / each.sum(axis=1, keepdims=True)


def _scale(rows, network):
    if network.row_norm == "l1":
        return 1 / (np.asarray(abs(rows).sum(axis=1)) + network.row_epsilon)
    return 1 / np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)) + network.row_epsilon)


def _activated(layer, sums):
    a, b = np.zeros((2, len(layer.bias))) if layer.parameters is None else layer.parameters.astype(np.float64)
    out, start = np.empty_like(sums), 0
    for name, count in layer.runs:
        at = slice(start, start + count)
        out[:, at] = FUNCTIONS[name](sums[:, at], a[at], b[at])
        start += count
    return out


def _softrelu(z):
    return np.logaddexp(0, z)


FUNCTIONS = {
    "identity": lambda z, a, b: z,
    "relu": lambda z, a, b: np.maximum(z, 0),
    "sigmoid": lambda z, a, b: expit(z),
    "tanh": lambda z, a, b: np.tanh(z),
    "softrelu": lambda z, a, b: _softrelu(z),
    "softsign": lambda z, a, b: z / (1 + np.abs(z)),
    "leaky": lambda z, a, b: np.where(z < 0, a * z, z),
    "elu": lambda z, a, b: np.where(z < 0, b * a * np.expm1(np.minimum(z, 0)), b * z),
    "clip": lambda z, a, b: np.clip(z, a, b),
    "silu": lambda z, a, b: z * expit(a * z),
    "gelu": lambda z, a, b: 0.5 * z * (1 + erf(z / np.sqrt(2))),
    "gelu_tanh": lambda z, a, b: 0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))),
    "mish": lambda z, a, b: z * np.tanh(_softrelu(z)),
}
