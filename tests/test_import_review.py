"""Imports of MXNet graphs where the proof alone would be blind: the graph is compared with what is read from it.

The expected numbers are MXNet's own outputs, arranged by hand.
"""

import numpy as np
import pytest
from scipy import sparse

from duckprop import mxnet_compat
from duckprop.errors import ModelError, UsageError
from duckprop.exporting import export_model
from duckprop.importing import import_model

WIDTH, UNITS, NAMES = 40, 8, ["a", "b", "c"]


def _array(*shape):
    return np.random.default_rng(len(shape) + shape[0]).normal(0, 0.6, shape).astype(np.float32)


def _hidden(sym):
    product = sym.sparse.dot(sym.var("data", stype="csr"), sym.var("w", shape=(WIDTH, UNITS)))
    return sym.broadcast_add(product, sym.var("b", shape=(UNITS,)))


def _logits(sym, below, columns=3, name="top"):
    return sym.FullyConnected(below, num_hidden=columns, name=name)


def _heads(sym):
    logits = _logits(sym, sym.relu(_hidden(sym)), 6)
    return [sym.softmax(sym.slice_axis(logits, axis=1, begin=2 * n, end=2 * n + 2)) for n in range(3)]


def _dense(sym, **options):
    return sym.FullyConnected(sym.var("data"), num_hidden=6, name="top", **options)


def _save(folder, graph):
    """Save a graph made by a function of mx.sym, with parameters of its own, and return them too."""
    mx = mxnet_compat.load()
    symbol = graph(mx.sym)
    names = [name for name in symbol.list_arguments() if name != "data" and not name.endswith("label")]
    shapes = dict(zip(symbol.list_arguments(), symbol.infer_shape(data=(4, WIDTH))[0], strict=True))
    arrays = {name: mx.nd.array(_array(*shapes[name])) for name in names}
    folder.mkdir()
    mx.model.save_checkpoint(str(folder / "shop"), 0, symbol, arrays, {})
    return symbol, arrays


def _outputs(symbol, arrays, rows):
    """Return MXNet's outputs for dense rows."""
    mx = mxnet_compat.load()
    shapes = dict(zip(symbol.list_arguments(), symbol.infer_shape(data=rows.shape)[0], strict=True))
    given = {name: arrays.get(name, mx.nd.zeros(shape)) for name, shape in shapes.items()}
    given["data"] = mx.nd.array(rows)
    return [output.asnumpy() for output in symbol.bind(mx.cpu(), given).forward(is_train=False)]


@pytest.fixture
def rows():
    return sparse.random(64, WIDTH, 0.2, "csr", dtype=np.float32, random_state=3)


def _linear(sym):
    """A logistic regression a category, written as a softmax over two classes."""
    return sym.softmax(sym.reshape(_dense(sym), shape=(-1, 3, 2)))


def _unused_second_column(sym):
    """The logit of class 1 is 0, whatever the row."""
    one = _logits(sym, sym.relu(_hidden(sym)), 1)
    return sym.softmax(sym.concat(one, one * 0, dim=1))


@pytest.mark.parametrize(("graph", "names"), [(_linear, NAMES), (_unused_second_column, ["a"])])
def test_classes_are_classes_though_the_network_needs_only_their_difference(tmp_path, rows, graph, names):
    symbol, arrays = _save(tmp_path / "in", graph)
    with pytest.raises(UsageError, match="the graph gives 2 classes a category"):
        import_model(tmp_path / "in", categories=names)
    expected = _outputs(symbol, arrays, rows.toarray())[0].reshape(64, len(names), 2)
    for column in (0, 1):
        model = import_model(tmp_path / "in", categories=names, positive_column=column)
        assert model.classes[column] == "yes"
        for engine in ("compiled", "mxnet"):
            np.testing.assert_allclose(model.predict(rows, engine), expected[:, :, column], atol=1e-6)


@pytest.mark.parametrize("column", [0, 1])
def test_linear_classes_come_back_from_an_export(tmp_path, rows, column):
    _save(tmp_path / "in", _linear)
    model = import_model(tmp_path / "in", categories=NAMES, positive_column=column)
    export_model(model, "mxnet", tmp_path / "out")
    stated = {"positive_column": 1} if column else {}
    back = import_model(tmp_path / "out", categories=NAMES, **stated)
    np.testing.assert_allclose(back.predict(rows), model.predict(rows), atol=1e-6)


def _over(sym, op="softmax", **options):
    """Classes along axis 1, categories along axis 2."""
    cube = sym.reshape(_logits(sym, sym.relu(_hidden(sym)), 6), shape=(-1, 2, 3))
    return getattr(sym, op)(cube, **options)


STRAY = {
    "softmax over axis 1": lambda sym: _over(sym, axis=1),
    "multi_output": lambda sym: _over(sym, "SoftmaxOutput", multi_output=True),
    "transposed": lambda sym: sym.transpose(
        sym.softmax(sym.reshape(_logits(sym, sym.relu(_hidden(sym)), 6), shape=(-1, 3, 2))), axes=(0, 2, 1)
    ),
    "stacked": lambda sym: sym.stack(*_heads(sym), axis=2),
}


@pytest.mark.parametrize("graph", STRAY.values(), ids=STRAY.keys())
def test_classes_in_another_order_are_refused(tmp_path, graph):
    _save(tmp_path / "in", graph)
    with pytest.raises(ModelError, match=r"the classes of category \d add up to .*, not to 1"):
        import_model(tmp_path / "in", categories=NAMES, positive_column=1)


def _with_units(sym):
    """One head's classes, and a number of the hidden layer."""
    hidden = _hidden(sym)
    return sym.Group([sym.softmax(_logits(sym, hidden, 2)), _logits(sym, hidden, 1, "more")])


NUMBERS = {
    "logits behind a sine": lambda sym: _logits(sym, sym.sin(_hidden(sym))),
    "a regression": lambda sym: sym.LinearRegressionOutput(_logits(sym, sym.relu(_hidden(sym)))),
    "a margin": lambda sym: sym.SVMOutput(_logits(sym, sym.relu(_hidden(sym)))),
    "logarithms": lambda sym: sym.log_softmax(_logits(sym, sym.relu(_hidden(sym)))),
    "an output beside the heads": _with_units,
}


@pytest.mark.parametrize("graph", NUMBERS.values(), ids=NUMBERS.keys())
def test_numbers_that_are_no_probabilities_are_refused(tmp_path, graph):
    _save(tmp_path / "in", graph)
    with pytest.raises(ModelError, match=r"the graph gives numbers from .*, which are no probabilities\n.*--output"):
        import_model(tmp_path / "in", categories=NAMES)


def test_classes_are_not_taken_for_categories_where_only_mxnet_scores(tmp_path):
    _save(
        tmp_path / "in",
        lambda sym: sym.softmax(sym.reshape(_logits(sym, sym.sin(_hidden(sym)), 6), shape=(-1, 3, 2))),
    )
    with pytest.raises(UsageError, match="go over 2 classes each, 6 categories are named\nname 3 categories"):
        import_model(tmp_path / "in", categories=list("abcdef"))


ENDED = {
    "LogisticRegressionOutput": lambda sym, x: sym.LogisticRegressionOutput(_logits(sym, x)),
    "Activation": lambda sym, x: sym.Activation(_logits(sym, x), act_type="sigmoid"),
    "flattened": lambda sym, x: sym.Flatten(sym.softmax(_logits(sym, x))),
}


@pytest.mark.parametrize("below", ["relu", "sin"])
@pytest.mark.parametrize("graph", ENDED.values(), ids=ENDED.keys())
def test_a_graph_that_ends_in_probabilities_gets_no_second_link(tmp_path, rows, graph, below):
    symbol, arrays = _save(tmp_path / "in", lambda sym: graph(sym, getattr(sym, below)(_hidden(sym))))
    expected = _outputs(symbol, arrays, rows.toarray())[0]
    for engine in ("compiled", "mxnet"):
        model = import_model(tmp_path / "in", categories=NAMES, output="sigmoid")
        np.testing.assert_allclose(model.predict(rows, engine), expected, atol=1e-6)


MADE = {
    "the other class": lambda sym: 1 - sym.sigmoid(_logits(sym, sym.relu(_hidden(sym)))),
    "clipped": lambda sym: sym.clip(sym.sigmoid(_logits(sym, sym.relu(_hidden(sym)))), 0.1, 0.4),
}


@pytest.mark.parametrize("graph", MADE.values(), ids=MADE.keys())
def test_what_is_made_of_sigmoids_is_not_called_logits(tmp_path, rows, graph):
    symbol, arrays = _save(tmp_path / "in", graph)
    model = import_model(tmp_path / "in", categories=NAMES)
    assert model.card["engine"] == "mxnet"
    np.testing.assert_allclose(model.predict(rows), _outputs(symbol, arrays, rows.toarray())[0], atol=1e-6)


def test_features_that_are_chosen_before_the_first_layer_do_not_change_their_number(tmp_path):
    _save(
        tmp_path / "in",
        lambda sym: sym.sigmoid(_logits(sym, sym.slice_axis(sym.var("data"), axis=1, begin=-10, end=None))),
    )
    with pytest.raises(ModelError, match=r"operator 'slice_axis' .* chooses or joins features"):
        import_model(tmp_path / "in", categories=NAMES)


def test_a_first_weight_that_is_cast_is_found(tmp_path, rows):
    symbol, arrays = _save(
        tmp_path / "in",
        lambda sym: sym.sigmoid(_dense(sym, weight=sym.cast(sym.var("w"), dtype="float32"))),
    )
    model = import_model(tmp_path / "in", categories=list("abcdef"))
    assert model.card["engine"] == "compiled"
    np.testing.assert_allclose(model.predict(rows), _outputs(symbol, arrays, rows.toarray())[0], atol=1e-6)


def test_an_activation_of_many_features_takes_no_matrix_of_their_square(tmp_path):
    """20,000 features one by one would be 1.6 GB of weights."""
    mx = mxnet_compat.load()
    symbol = mx.sym.sigmoid(mx.sym.FullyConnected(mx.sym.relu(mx.sym.var("data")), num_hidden=3, name="top"))
    arrays = {"top_weight": mx.nd.array(_array(3, 20_000)), "top_bias": mx.nd.array(_array(3))}
    mx.model.save_checkpoint(str(tmp_path / "shop"), 0, symbol, arrays, {})
    model = import_model(tmp_path / "shop", categories=NAMES)
    assert model.card["not_folded"] == "the network has units for its 20000 features one by one"
