"""Checkpoints that somebody else wrote: every topology, stored in every way, against MXNet on its own files."""

import json

import checkpoints
import numpy as np
import pytest

import duckprop
from duckprop import mxnet_compat
from duckprop.errors import ModelError
from duckprop.importing import import_model
from duckprop.importing.proof import sample_rows

STORED = {
    "float32": {},
    "row_sparse": {"storage": "row_sparse"},
    "csr": {"storage": "csr"},
    "float64": {"dtype": "float64"},
    "float16": {"dtype": "float16"},
}


def imported(folder, found, **more):
    names = [f"category {number}" for number in range(found.heads)]
    return import_model(folder / "shop", categories=names, **found.options, **more)


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("topology", checkpoints.TOPOLOGIES, ids=lambda topology: topology.__name__)
def test_every_topology_gives_what_mxnet_gives(tmp_path, topology, stored, record_import):
    found = checkpoints.write(topology, tmp_path, **STORED[stored])
    model = imported(tmp_path, found)
    assert (model.card["engine"], model.card["not_folded"]) == ("compiled", None)
    proof = model.card["verified"]
    assert (proof["rows"], proof["tolerance"]) == (1000, 1e-3 if stored == "float16" else 1e-6)
    name = f"{topology.__name__.replace('_', ' ')} ({stored})"
    record_import("MXNet", proof["against"], name, proof["max_abs_difference"], proof["tolerance"])
    rows = sample_rows(model.width, is_counts=False).to_scipy()
    assert np.ptp(model.predict(rows), axis=0).min() > 0.01
    assert model.card["mxnet"]["max_abs_difference"] <= 1e-6 or stored == "float16"


@pytest.mark.parametrize("old", ["attr", "param"])
def test_graphs_of_older_versions_name_settings_otherwise(tmp_path, old):
    found = checkpoints.write(checkpoints.fused_head, tmp_path)
    path = tmp_path / "shop-symbol.json"
    graph = json.loads(path.read_text())
    for node in graph["nodes"]:
        if "attrs" in node and (old == "attr" or node["op"] != "null"):
            node[old] = node.pop("attrs")
    path.write_text(json.dumps(graph))
    model = imported(tmp_path, found)
    assert model.card["engine"] == "compiled"
    assert model.card["verified"]["max_abs_difference"] <= 1e-6


def test_a_gluon_network_that_was_exported(tmp_path):
    mx = mxnet_compat.load()
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Dense(16, activation="relu"), mx.gluon.nn.BatchNorm(), mx.gluon.nn.Dropout(0.5))
    net.add(mx.gluon.nn.Dense(8), mx.gluon.nn.PReLU(), mx.gluon.nn.Dense(6))
    net.initialize(mx.init.Xavier())
    net.hybridize()
    net(mx.nd.array(np.random.default_rng(1).normal(size=(4, 50))))
    net.export(str(tmp_path / "shop"), epoch=3)
    model = import_model(tmp_path / "shop", categories=[f"c{n}" for n in range(6)], output="sigmoid")
    assert model.card["engine"] == "compiled"
    assert model.card["verified"]["max_abs_difference"] <= 1e-6


def _product(sym, hidden):
    return hidden * sym.tanh(sym.FullyConnected(hidden, num_hidden=16, name="fc2"))


def _layer_norm(sym, hidden):
    return sym.LayerNorm(hidden, sym.var("gamma", shape=(16,)), sym.var("beta", shape=(16,)))


def _power(sym, hidden):
    return sym.square(hidden)


UNFOLDED = {"elemwise_mul": _product, "LayerNorm": _layer_norm, "square": _power}


@pytest.mark.parametrize("operator", UNFOLDED)
def test_what_cannot_be_folded_is_scored_by_mxnet_through_the_same_sql(tmp_path, operator):
    def topology(sym):
        _, hidden = checkpoints._first(sym)
        hidden = UNFOLDED[operator](sym, sym.relu(hidden))
        logits = sym.FullyConnected(hidden, num_hidden=checkpoints.HEADS, name="fc3")
        arrays = checkpoints._layers(checkpoints.WIDTH, 16, 16, checkpoints.HEADS)
        if operator != "elemwise_mul":
            arrays = {name: array for name, array in arrays.items() if not name.startswith("fc2")}
        if operator == "LayerNorm":
            arrays |= {"gamma": checkpoints._normal(1, 16), "beta": checkpoints._normal(2, 16)}
        return checkpoints.Checkpoint(sym.sigmoid(logits), arrays, {}, {})

    model = imported(tmp_path, checkpoints.write(topology, tmp_path))
    assert model.card["engine"] == "mxnet"
    assert f"operator '{operator}'" in model.card["not_folded"]
    model.publish("shop", tmp_path / "models")
    with duckprop.connect(registry=tmp_path / "models") as con:
        rows = "(VALUES (1, [3, 14, 159]), (2, [2, 71, 28]), (3, [])) AS t(id, features)"
        found = con.sql(f"SELECT propensity_vector(features) FROM {rows} ORDER BY id").fetchall()
        one = con.sql(f"SELECT propensity(features, 'category 4') FROM {rows} ORDER BY id").fetchall()
        top = con.sql(f"SELECT propensity_topk(features, 1)[1].propensity FROM {rows} ORDER BY id").fetchall()
        assert [row[0][4] for row in found] == [row[0] for row in one]
        assert [max(row[0]) for row in found] == [row[0] for row in top]
        with pytest.raises(Exception, match="cannot be explained: only MXNet can score it"):
            con.sql(f"SELECT propensity_explain(features, 'category 4') FROM {rows}").fetchall()
    matrix = sample_rows(model.width, is_counts=False).to_scipy()
    np.testing.assert_array_equal(model.predict(matrix), model.predict(matrix, "mxnet"))
    with pytest.raises(ModelError, match="cannot be explained"):
        _ = model.explainer
