"""A network as an ONNX file: what ONNX Runtime makes of it, and what reading it back gives."""

import json
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from network_reference import propensities
from networks import plans
from onnx_graphs import sparse_rows
from onnx_networks import EVERY, Shape

from duckprop.compiled import CompiledScorer
from duckprop.errors import UsageError
from duckprop.formats.mxnet import read_checkpoint
from duckprop.formats.onnx import read
from duckprop.formats.onnx_write import write
from duckprop.network import ACTIVATIONS
from duckprop.sparse import from_scipy

SHAPES = {
    "one layer": Shape(),
    "one head": Shape(heads=1, hidden=(("tanh",),)),
    "every activation, wide, l2": EVERY,
    "l1, start": replace(EVERY, norm="l1", has_start=True),
    "uneven parameters": replace(EVERY, is_even=False, has_start=True),
    "three classes": replace(EVERY, classes=3),
    "softmax": replace(EVERY, link="softmax"),
    "normalized": replace(EVERY, link="normalized", norm=""),
}


def names(network):
    return [f"category {number}" for number in range(network.heads)]


def run(path, rows, size=250):
    """Feed SciPy's own three arrays."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    parts = []
    for start in range(0, rows.shape[0], size):
        part = rows[start : start + size]
        feed = {"indptr": part.indptr.astype(np.int64), "indices": part.indices.astype(np.int64), "values": part.data}
        parts.append(session.run(["propensity"], feed)[0])
    return np.concatenate(parts)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("name", SHAPES)
def test_onnx_runtime_gives_what_the_compiled_engine_gives_and_so_does_the_file_read_back(tmp_path, name, dense):
    network, rows, path = SHAPES[name].network(), sparse_rows(), tmp_path / "model.onnx"
    last = network.classes - 1 if network.link == "heads" else 0
    for positive in {0, last}:
        expected = CompiledScorer(network, positive).score(from_scipy(rows))
        write(network, positive, path, categories=names(network), dense=dense)
        artefact = read(path)
        assert np.abs(artefact.reference(rows) - expected).max() <= 1e-6
        back = propensities(artefact.network, rows, artefact.positive)
        assert np.abs(back - propensities(network, rows, positive)).max() <= 1e-7
        assert (artefact.network.link, artefact.network.heads) == (network.link, network.heads)
        assert artefact.notes["input"] == ("dense" if dense else "csr")
        if not dense:
            assert np.abs(run(path, rows) - expected).max() <= 1e-6


def test_units_of_one_kind_are_read_back_as_they_were(tmp_path):
    network, path = EVERY.network(), tmp_path / "model.onnx"
    write(network, 0, path, categories=names(network))
    back = read(path).network
    assert {name for name, _ in back.first.runs} == set(ACTIVATIONS)
    assert np.array_equal(np.sort(back.first.weight), np.sort(network.first.weight))  # runs come in another order
    assert (back.row_norm, len(back.hidden), back.wide is None) == ("l2", 1, False)
    assert back.row_epsilon == pytest.approx(network.row_epsilon)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(plan=plans())
def test_any_plan_that_mxnet_holds(tmp_path, plan):
    network = read_checkpoint(plan.write(tmp_path / "mxnet"))
    write(network, 0, tmp_path / "model.onnx", categories=names(network))
    rows = sparse_rows(60, plan.width, most=min(20, plan.width))
    assert np.abs(run(tmp_path / "model.onnx", rows, 30) - plan.probabilities(rows)).max() <= 1e-6


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    shape=st.builds(
        Shape,
        runs=st.lists(st.sampled_from(ACTIVATIONS), min_size=1, max_size=3).map(tuple),
        hidden=st.lists(st.lists(st.sampled_from(ACTIVATIONS), min_size=1, max_size=3).map(tuple), max_size=2),
        heads=st.integers(2, 7),
        norm=st.sampled_from(["", "l1", "l2"]),
        link=st.sampled_from(["heads", "softmax", "normalized"]),
        is_wide=st.booleans(),
        is_even=st.booleans(),
        seed=st.integers(0, 1000),
    )
)
def test_any_network_survives_the_way_out_and_back(tmp_path, shape):
    network, rows = shape.network(30), sparse_rows(40, 30, most=8)
    write(network, 0, tmp_path / "model.onnx", categories=names(network))
    artefact = read(tmp_path / "model.onnx")
    expected = propensities(network, rows)
    assert np.abs(propensities(artefact.network, rows) - expected).max() <= 1e-6
    assert np.abs(artefact.reference(rows) - expected).max() <= 1e-6


def test_threads_lose_no_sum(tmp_path):
    """ScatterND with reduction 'add' does, where rows meet the border between two threads."""
    network, path = Shape(heads=2).network(), tmp_path / "model.onnx"
    write(network, 0, path, categories=names(network))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    rows = sparse_rows(2000, most=200)
    feed = {"indptr": rows.indptr.astype(np.int64), "indices": rows.indices.astype(np.int64), "values": rows.data}
    expected = propensities(network, rows)
    for _ in range(5):
        assert np.abs(session.run(None, feed)[0] - expected).max() <= 1e-6


def test_no_rows_and_empty_rows(tmp_path):
    network, path = SHAPES["l1, start"].network(), tmp_path / "model.onnx"
    write(network, 0, path, categories=names(network))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for count in (0, 1, 3):
        feed = {"indptr": np.zeros(count + 1, np.int64), "indices": np.zeros(0, np.int64)}
        found = session.run(None, feed | {"values": np.zeros(0, np.float32)})[0]
        assert found.shape == (count, network.heads)
        expected = propensities(network, sparse_rows(1, most=0))
        assert np.abs(found - expected).max(initial=0) <= 1e-6


def test_the_file_says_what_it_is(tmp_path):
    network, path = SHAPES["one layer"].network(), tmp_path / "model.onnx"
    given = ["Gemüse", "b", "c", "d", "e"]
    write(network, 1, path, categories=given, reference="retail@3")
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    facts = {each.key: each.value for each in model.metadata_props}
    assert json.loads(facts["duckprop.categories"]) == given
    assert (facts["duckprop.positive"], facts["duckprop.model"]) == ("1", "retail@3")
    assert facts["duckprop.version"] == model.producer_version != ""
    assert read(path).categories == tuple(given)


def test_weights_that_do_not_fit_into_the_file_lie_beside_it(tmp_path):
    network, path, rows = Shape().network(), tmp_path / "model.onnx", sparse_rows()
    write(network, 0, path, categories=names(network), inline=2_000)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["model.onnx", "model.onnx.data"]
    assert path.stat().st_size < (tmp_path / "model.onnx.data").stat().st_size
    assert np.abs(run(path, rows) - propensities(network, rows)).max() <= 1e-6
    assert np.array_equal(read(path).network.first.weight, network.first.weight)
    write(network, 0, path, categories=names(network))
    assert [each.name for each in tmp_path.iterdir()] == ["model.onnx"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    network, path = Shape().network(), tmp_path / "model.onnx"
    write(network, 0, path, categories=names(network))
    before = path.read_bytes()
    with pytest.raises(UsageError, match="4 categories are named, the model has 5"):
        write(network, 0, path, categories=names(network)[:4])
    with pytest.raises(UsageError, match="class 2 of 2 is to be the propensity"):
        write(network, 2, path, categories=names(network))
    with pytest.raises(UsageError, match=r"the folder .* does not exist"):
        write(network, 0, tmp_path / "none" / "model.onnx", categories=names(network))
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["model.onnx"]
