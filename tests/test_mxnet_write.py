"""Networks written as MXNet's files: read back the same, and scored the same by MXNet itself."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import sparse

from duckprop import mxnet_compat
from duckprop.compiled import CompiledScorer
from duckprop.errors import ModelError
from duckprop.formats.mxnet import read_checkpoint
from duckprop.formats.mxnet_write import write_checkpoint
from duckprop.mxnet_engine import MXNetScorer
from duckprop.network import Layer, Network
from duckprop.verify import random_rows

WIDTH, UNITS, HEADS = 50, 9, 7
SELU = np.repeat(np.array([[1.6732632423543772], [1.0507009873554805]], np.float32), UNITS, 1)
BOTH = np.stack([np.full(UNITS, 0.3), np.full(UNITS, 1.7)]).astype(np.float32)
SLOPES = np.stack([np.linspace(0.1, 0.9, UNITS), np.ones(UNITS)]).astype(np.float32)
PLAIN = ("identity", "relu", "sigmoid", "tanh", "softrelu", "softsign", "gelu", "gelu_tanh", "mish")


def network(
    activation="relu", parameters=None, *, classes=2, norm=None, starts=False, wide=False, plain=True, link="heads"
):
    random = np.random.default_rng(1)

    def layer(inputs, outputs):
        weight = random.normal(size=(inputs, outputs)) / np.sqrt(inputs)
        return Layer(
            weight.astype(np.float32), random.normal(0, 0.3, outputs).astype(np.float32), activation, parameters
        )

    heads = random.normal(0, 0.5, (UNITS, HEADS, classes)).astype(np.float32)
    bias = random.normal(size=(HEADS, classes)).astype(np.float32)
    straight = sparse.random(WIDTH, HEADS * classes, 0.1, "csr", np.float32, random_state=1) if wide else None
    if classes == 2 and plain:
        heads[:, :, 1], bias[:, 1] = 0, 0
        if straight is not None:
            straight = sparse.csr_matrix(straight.multiply(np.arange(HEADS * 2) % 2 == 0), dtype=np.float32)
            straight.eliminate_zeros()
    start = random.normal(size=UNITS).astype(np.float32) if starts else None
    first, second = [layer(*sizes) for sizes in pairwise((WIDTH, UNITS, UNITS))]
    epsilon = None if norm is None else 1.0 if starts else 1e-12
    return Network(first, (second,), heads, bias, epsilon, straight, norm or "l2", start, link)


CASES = {
    **{name: (name,) for name in PLAIN},
    **{name: (name, BOTH) for name in ("leaky", "elu", "clip", "silu")},
    "prelu": ("leaky", SLOPES),
    "selu": ("elu", SELU),
    "runs": ((("relu", 4), ("identity", 2), ("tanh", 3)),),
}
MORE = {
    "softmax": {"link": "softmax"},
    "normalized": {"link": "normalized"},
    "three classes": {"classes": 3},
    "two classes": {"plain": False},
    "l2": {"norm": "l2"},
    "l1": {"norm": "l1"},
    "l1 with a start": {"norm": "l1", "starts": True},
    "wide": {"wide": True},
    "wide, scaled": {"wide": True, "norm": "l2", "plain": False},
    "wide, softmax": {"wide": True, "link": "softmax"},
}
NETWORKS = {name: (case, {}) for name, case in CASES.items()} | {name: ((), more) for name, more in MORE.items()}


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_written_is_read_back_and_scored_alike(tmp_path, name):
    case, more = NETWORKS[name]
    written = network(*case, **more)
    write_checkpoint(written, tmp_path, "model")
    back = read_checkpoint(tmp_path, heads=HEADS)
    batch = random_rows(np.random.default_rng(2), "few", 700, WIDTH)
    scorer = CompiledScorer(written)
    expected = scorer.score(batch)
    np.testing.assert_allclose(CompiledScorer(back).score(batch), expected, atol=1e-6)
    reference = MXNetScorer(str(tmp_path / "model"), WIDTH, (HEADS, written.classes))
    np.testing.assert_allclose(reference.score(batch), expected, atol=2e-6 if name in ("mish", "gelu") else 1e-6)
    assert np.ptp(expected, axis=0).min() > 0.01


@pytest.mark.parametrize("link", ["softmax", "normalized"])
def test_linked_categories_share_one_sum_whatever_is_asked(link):
    scorer = CompiledScorer(network(link=link))
    batch = random_rows(np.random.default_rng(3), "few", 300, WIDTH)
    every = scorer.score(batch)
    np.testing.assert_allclose(every.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(scorer.score(batch, np.array([5, 2])), every[:, [5, 2]])
    rows, heads = np.arange(300), np.arange(300) % HEADS
    np.testing.assert_array_equal(scorer.pairs(batch, rows, heads), every[rows, heads])
    np.testing.assert_array_equal(scorer.classes(batch, rows, heads)[:, 0], every[rows, heads])
    np.testing.assert_array_equal(scorer.top(batch, 3).propensities[:, 0], every.max(axis=1))
    parts = [scorer.score(batch.rows(at, min(at + 7, 300))) for at in range(0, 300, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), every)


def test_what_mxnet_has_no_operator_for_is_refused(tmp_path):
    uneven = np.stack([np.zeros(UNITS), np.linspace(1, 2, UNITS)]).astype(np.float32)
    with pytest.raises(ModelError, match="activation 'clip' have different parameters"):
        write_checkpoint(network("clip", uneven), tmp_path, "model")
    assert not list(tmp_path.iterdir())


def test_a_weight_beyond_mxnets_arrays_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("duckprop.formats.mxnet_write._MOST", WIDTH * UNITS)
    with pytest.raises(ModelError, match=rf"'fc1_weight' has {WIDTH} x {UNITS} weights, MXNet's arrays end at"):
        write_checkpoint(network(), tmp_path, "model")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("plain", [True, False])
def test_the_second_class_may_be_the_positive_one(tmp_path, plain):
    written = network(plain=plain)
    write_checkpoint(written, tmp_path, "model", 1)
    batch = random_rows(np.random.default_rng(2), "few", 300, WIDTH)
    reference = MXNetScorer(str(tmp_path / "model"), WIDTH, (HEADS, 2), 1)
    expected = CompiledScorer(written, 1).score(batch)
    np.testing.assert_allclose(reference.score(batch), expected, atol=1e-6)
    back = CompiledScorer(read_checkpoint(tmp_path, heads=HEADS), 1)
    np.testing.assert_allclose(back.score(batch), expected, atol=1e-6)


def test_plain_mxnet_loads_what_is_written(tmp_path):
    write_checkpoint(network("leaky", SLOPES, classes=3, norm="l2"), tmp_path, "model")
    symbol, arguments, auxiliary = mxnet_compat.load().model.load_checkpoint(str(tmp_path / "model"), 0)
    assert (symbol.list_outputs(), auxiliary) == (["propensity_output"], {})
    assert set(symbol.list_arguments()) == {"data", *arguments}
