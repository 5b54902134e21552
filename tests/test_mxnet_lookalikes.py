"""Graphs that look like what folds, and are something else; and checkpoints saved in less usual ways."""

import json
import struct

import checkpoints
import numpy as np
import pytest
from checkpoints import HEADS, WIDTH, _first, _layers, _normal

from duckprop import mxnet_compat
from duckprop.cli import main
from duckprop.formats.mxnet_params import read_params
from duckprop.importing import import_model
from duckprop.importing.proof import sample_rows
from duckprop.verify import verify


def imported(place, found, **more):
    names = [f"category {number}" for number in range(found.heads)]
    return import_model(place / "shop", categories=names, **(found.options | more))


def behind(change, *, units=16, more=None):
    """Return a topology: 16 units, changed, and a sigmoid a category over what becomes ``units`` units."""

    def topology(sym):
        data, hidden = _first(sym)
        found = sym.FullyConnected(change(sym, hidden, data), num_hidden=HEADS, name="last")
        arrays = _layers(WIDTH, 16) | {"last_weight": _normal(5, HEADS, units), "last_bias": _normal(6, HEADS)}
        return checkpoints.Checkpoint(sym.sigmoid(found), arrays | (more or {}), {}, {})

    return topology


def gated_by_the_other_half(sym, hidden, data):
    left, right = sym.SliceChannel(sym.relu(hidden), num_outputs=2, axis=1)
    return left * sym.sigmoid(right)


def gated_by_itself_turned_round(sym, hidden, data):
    left, right = sym.SliceChannel(sym.relu(hidden), num_outputs=2, axis=1)
    return sym.concat(left, right, dim=1) * sym.sigmoid(sym.concat(right, left, dim=1))


def silu_of_a_sparse_weight_moved(sym, hidden, data):
    return hidden * sym.sigmoid(hidden + 1)


def gelu_with_the_cube_of_others(sym, hidden, data):
    left, right = sym.SliceChannel(hidden, num_outputs=2, axis=1)
    turned = sym.concat(right, left, dim=1)
    return hidden * sym.sigmoid((hidden + 0.044715 * turned**3) * (2 * np.sqrt(2 / np.pi)))


def gelu_with_its_cubes_turned_round(sym, hidden, data):
    left, right = sym.SliceChannel(hidden**3, num_outputs=2, axis=1)
    return hidden * sym.sigmoid((hidden + 0.044715 * sym.concat(right, left, dim=1)) * (2 * np.sqrt(2 / np.pi)))


def gelu_of_another_slope(sym, hidden, data):
    return hidden * sym.sigmoid(hidden * 1.5 + hidden**3 * (0.044715 * 2 * np.sqrt(2 / np.pi)))


def rows_times_their_norm(sym, hidden, data):
    total = sym.reshape(sym.sparse.sum(sym.sparse.square(data), axis=1), shape=(-1, 1)) + 1e-6
    return sym.tanh(sym.broadcast_mul(hidden, sym.sqrt(total)))


def hidden_units_normed(sym, hidden, data):
    return sym.L2Normalization(hidden)


def whole_numbers(sym, hidden, data):
    return sym.cast(sym.cast(hidden, dtype="int32"), dtype="float32")


def squares(sym, hidden, data):
    return hidden**2


def mish_of_another(sym, hidden, data):
    return hidden * sym.tanh(sym.Activation(hidden * 2, act_type="softrelu"))


def dropout_always(sym, hidden, data):
    return sym.Dropout(sym.relu(hidden), p=0.0, mode="always")


def normed_by_a_vector(sym, hidden, data):
    return sym.broadcast_div(hidden, sym.reshape(sym.norm(hidden, axis=1), shape=(-1, 1)) + 1)


LOOKALIKES = {
    gated_by_the_other_half: ("elemwise_mul", 8),
    gated_by_itself_turned_round: ("elemwise_mul", 16),
    silu_of_a_sparse_weight_moved: ("elemwise_mul", 16),
    gelu_with_the_cube_of_others: ("elemwise_mul", 16),
    gelu_with_its_cubes_turned_round: ("elemwise_mul", 16),
    gelu_of_another_slope: ("elemwise_mul", 16),
    rows_times_their_norm: ("broadcast_mul", 16),
    hidden_units_normed: ("L2Normalization", 16),
    whole_numbers: ("cast|Cast", 16),
    squares: ("_power_scalar", 16),
    mish_of_another: ("elemwise_mul", 16),
    dropout_always: ("Dropout", 16),
    normed_by_a_vector: ("norm", 16),
}


@pytest.mark.parametrize("change", LOOKALIKES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("storage", ["default", "csr"])
def test_what_only_looks_like_an_activation_is_left_to_mxnet(tmp_path, change, storage):
    operator, units = LOOKALIKES[change]
    model = imported(tmp_path, checkpoints.write(behind(change, units=units), tmp_path, storage=storage))
    assert model.card["engine"] == "mxnet"
    assert any(f"operator '{name}'" in model.card["not_folded"] for name in operator.split("|"))
    assert model.card["verified"]["max_abs_difference"] <= 1e-6


def silu(sym, hidden, data):
    return hidden * sym.sigmoid(1.702 * hidden)


def gelu(sym, hidden, data):
    return sym.sigmoid((hidden + 0.044715 * hidden**3) * (2 * np.sqrt(2 / np.pi))) * hidden


def mish(sym, hidden, data):
    return sym.tanh(sym.Activation(hidden, act_type="softrelu")) * hidden


def summed_up(sym, hidden, data):
    return sym.relu(sym.sum(sym.relu(hidden), axis=1, keepdims=True))


def sizes_added_up(sym, hidden, data):
    total = sym.reshape(sym.sum(sym.abs(data), axis=1), shape=(-1, 1)) + 0.5
    return sym.tanh(sym.broadcast_div(hidden, total))


def negative_and_back(sym, hidden, data):
    return sym.relu(1 - (3 - hidden / 2)) - sym.tanh(-hidden)


FOLDED = {
    silu: (16, (("silu", 16),)),
    gelu: (16, (("gelu_tanh", 16),)),
    mish: (16, (("mish", 16),)),
    summed_up: (1, (("relu", 16),)),
    sizes_added_up: (16, (("tanh", 16),)),
    negative_and_back: (16, (("relu", 16), ("tanh", 16))),
}


@pytest.mark.parametrize("change", FOLDED, ids=lambda change: change.__name__)
def test_what_is_one_is_folded(tmp_path, change):
    units, runs = FOLDED[change]
    model = imported(tmp_path, checkpoints.write(behind(change, units=units), tmp_path))
    assert (model.card["engine"], model.card["not_folded"]) == ("compiled", None)
    scorer = model.scorer()
    assert model.card["layers"][1] == sum(count for _, count in runs) == scorer.units.count
    assert model.card["verified"]["max_abs_difference"] <= 1e-6


@pytest.mark.parametrize("addend", [0.0, 0.25])
def test_sigmoids_are_shares_only_of_their_own_sum(tmp_path, addend):
    def topology(sym):
        _, hidden = _first(sym)
        each = sym.sigmoid(sym.FullyConnected(sym.relu(hidden), num_hidden=HEADS, name="fc2"))
        total = sym.sum(each, axis=1, keepdims=True)
        return checkpoints.Checkpoint(
            sym.broadcast_div(each, total + addend if addend else total), _layers(WIDTH, 16, HEADS), {}, {}
        )

    model = imported(tmp_path, checkpoints.write(topology, tmp_path))
    assert model.card["engine"] == ("mxnet" if addend else "compiled")
    assert addend or model.scorer().link == "normalized"
    sums = model.predict(sample_rows(WIDTH, is_counts=False).to_scipy()).sum(axis=1)
    assert np.allclose(sums, 1, atol=1e-6) == (not addend)


@pytest.mark.parametrize("old", ["attrs", "attr", "param"])
def test_a_first_weight_may_lie_on_its_side_and_a_softmax_have_a_temperature(tmp_path, old):
    def topology(sym):
        data = sym.var("data", stype="csr")
        hidden = sym.sparse.dot(data, sym.var("w1", shape=(16, WIDTH)), transpose_b=True)
        logits = sym.FullyConnected(sym.relu(hidden), num_hidden=HEADS, name="last")
        arrays = {"w1": _normal(1, 16, WIDTH), "last_weight": _normal(5, HEADS, 16), "last_bias": _normal(6, HEADS)}
        return checkpoints.Checkpoint(sym.softmax(logits, temperature=2.5), arrays, {}, {})

    found = checkpoints.write(topology, tmp_path)
    path = tmp_path / "shop-symbol.json"
    graph = json.loads(path.read_text())
    for node in graph["nodes"]:
        if "attrs" in node and node["op"] != "null":
            node[old] = node.pop("attrs")
    path.write_text(json.dumps(graph))
    model = imported(tmp_path, found)
    assert (model.card["engine"], model.card["layers"]) == ("compiled", [WIDTH, 16, 2 * HEADS])
    assert model.card["verified"]["max_abs_difference"] <= 1e-6


def test_a_graph_of_one_sum_has_one_category(tmp_path):
    def topology(sym):
        _, hidden = _first(sym)
        total = sym.sum(sym.tanh(hidden), axis=1, keepdims=True)
        return checkpoints.Checkpoint(sym.sigmoid(total), _layers(WIDTH, 16), {}, {}, heads=1)

    model = imported(tmp_path, checkpoints.write(topology, tmp_path))
    assert (model.card["engine"], model.card["layers"]) == ("compiled", [WIDTH, 16, 2])


def as_saved_before_1_0(arrays):
    """Return the bytes of a .params file whose arrays have no magic: 32-bit shapes, as MXNet 0.x wrote them."""
    parts = [struct.pack("<QQQ", 0x112, 0, len(arrays))]
    for array in arrays.values():
        parts.append(struct.pack(f"<I{array.ndim}Iiii", array.ndim, *array.shape, 1, 0, 0))
        parts.append(np.ascontiguousarray(array, np.float32).tobytes())
    parts.append(struct.pack("<Q", len(arrays)))
    parts += [struct.pack("<Q", len(name)) + name.encode() for name in arrays]
    return b"".join(parts)


def as_saved_by_v1(arrays):
    """Return the same with magic V1 and 64-bit shapes, as MXNet 0.12 to 1.0 wrote dense arrays."""
    parts = [struct.pack("<QQQ", 0x112, 0, len(arrays))]
    for array in arrays.values():
        parts.append(struct.pack(f"<II{array.ndim}qiii", 0xF993FAC8, array.ndim, *array.shape, 1, 0, 0))
        parts.append(np.ascontiguousarray(array, np.float32).tobytes())
    parts.append(struct.pack("<Q", len(arrays)))
    parts += [struct.pack("<Q", len(name)) + name.encode() for name in arrays]
    return b"".join(parts)


@pytest.mark.parametrize("save", [as_saved_before_1_0, as_saved_by_v1])
def test_parameters_of_older_versions_are_those_that_mxnet_reads(tmp_path, save):
    found = checkpoints.write(checkpoints.batch_norm, tmp_path)
    expected = imported(tmp_path, found).predict(sample_rows(WIDTH, is_counts=False).to_scipy())
    kinds = (("arg", found.arguments), ("aux", found.auxiliary))
    arrays = {f"{kind}:{name}": array for kind, part in kinds for name, array in part.items()}
    (tmp_path / "shop-0007.params").write_bytes(save(arrays))
    model = imported(tmp_path, found)
    assert model.card["verified"]["max_abs_difference"] <= 1e-6
    np.testing.assert_array_equal(model.predict(sample_rows(WIDTH, is_counts=False).to_scipy()), expected)


def test_a_weight_of_which_few_rows_are_stored(tmp_path):
    found = checkpoints.write(checkpoints.logistic_regression_output, tmp_path)
    mx, path = mxnet_compat.load(), tmp_path / "shop-0007.params"
    stored = mx.nd.load(str(path))
    full = stored["arg:fc1_weight"].asnumpy()
    full[::3] = 0
    kept = np.flatnonzero(full.any(axis=1))
    partial = mx.nd.sparse.row_sparse_array((full[kept], kept), shape=full.shape)
    mxnet_compat.save_arrays(path, stored | {"arg:fc1_weight": partial})
    model = imported(tmp_path, found)
    assert model.card["verified"]["max_abs_difference"] <= 1e-6
    np.testing.assert_array_equal(read_params(model.folder / "model-0000.params")["fc1_weight"], full)


def test_what_a_module_saves(tmp_path):
    mx = mxnet_compat.load()
    found = checkpoints.softmax_over_categories(mx.sym)
    module = mx.mod.Module(found.symbol, label_names=["softmax_label"])
    module.bind([mx.io.DataDesc("data", (8, WIDTH))], [mx.io.DataDesc("softmax_label", (8,))])
    module.init_params(mx.init.Normal(0.5))
    module.save_checkpoint(str(tmp_path / "shop"), 4)
    model = imported(tmp_path, found)
    assert (model.card["engine"], model.card["source"]["epoch"]) == ("compiled", 4)
    assert model.scorer().link == "softmax"
    assert model.card["verified"]["max_abs_difference"] <= 1e-6


def test_the_shell_verifies_what_only_mxnet_scores(tmp_path, monkeypatch, capsys):
    model = imported(tmp_path, checkpoints.write(behind(squares), tmp_path), folder=tmp_path / "bundle")
    monkeypatch.setattr("sys.argv", ["duckprop", "verify", str(model.folder), "--rows", "50"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert "only MXNet can score this model, so there is no other engine" in capsys.readouterr().err
    assert verify(model, 10).engine == "mxnet"
