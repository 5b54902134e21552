"""Which MXNet graphs are read without MXNet, what is folded, and what is refused by its name."""

import json
from dataclasses import replace

import numpy as np
import pytest
from networks import Plan, rows
from scipy import sparse

from duckprop.compiled import CompiledScorer
from duckprop.errors import ModelError
from duckprop.formats.mxnet import read_checkpoint
from duckprop.sparse import from_scipy


def edit_graph(folder, name, change):
    path = folder / "model-symbol.json"
    graph = json.loads(path.read_text())
    change(next(node for node in graph["nodes"] if node["name"].startswith(name)), graph)
    path.write_text(json.dumps(graph))


def _last(graph, operator):
    return [node for node in graph["nodes"] if node["op"] == operator][-1]


def _attrs(graph, operator, **attributes):
    """Change the last node of an operator, the one nearest to the output."""
    _last(graph, operator).setdefault("attrs", {}).update(attributes)


HARM = {
    "a circle": ("dropout", lambda node, graph: node.update(inputs=[[graph["nodes"].index(node), 0, 0]])),
    "a node that is not there": ("relu1", lambda node, graph: node.update(inputs=[[999, 0, 0]])),
    "a node without inputs": ("relu1", lambda node, graph: node.pop("inputs")),
    "a weight that is not stored": ("heads_weight", lambda node, graph: node.update(name="other")),
    "inputs of another kind": ("relu1", lambda node, graph: node.update(inputs=7)),
    "settings of another kind": ("dot", lambda node, graph: node.update(attrs=[1])),
    "a transposed weight": ("dot", lambda node, graph: node.update(attrs={"transpose_b": "True"})),
    "sums of columns": ("sum", lambda node, graph: node["attrs"].update(axis="0")),
    "dropout in scoring": ("dropout", lambda node, graph: node["attrs"].update(mode="always")),
    "a bias for heads that take none": ("heads", lambda node, graph: _attrs(graph, "FullyConnected", no_bias="True")),
    "a reshape from behind": ("heads", lambda node, graph: _attrs(graph, "Reshape", reverse="True")),
    "another input for the lengths": ("square", lambda node, graph: node.update(inputs=[[1, 0, 0]])),
    "an unknown operator": ("relu1", lambda node, graph: node.update(op="Custom")),
    "an unknown activation": ("relu1", lambda node, graph: node.update(attrs={"act_type": "cubic"})),
    "two outputs": ("dot", lambda node, graph: graph.update(heads=[[0, 0, 0], [1, 0, 0]])),
    "nodes of another kind": ("dot", lambda node, graph: graph.update(nodes=["dot"])),
}


@pytest.mark.parametrize(("name", "change"), HARM.values(), ids=HARM.keys())
def test_a_damaged_or_strange_graph_is_a_model_error(write_bundle, name, change):
    folder = write_bundle()
    edit_graph(folder, name, change)
    with pytest.raises(ModelError) as caught:
        read_checkpoint(folder)
    assert caught.value.remedy


_NAMED = r"operator '\w+' \(node '\w+'\).*\nscore it with engine='mxnet'"
_SCALED = "one part of the network scales the rows, another does not\nscore it with engine='mxnet'"
WIDE = {
    "rows scaled otherwise": (lambda node, graph: _scale_otherwise(graph), _SCALED),
    "rows not scaled": (lambda node, graph: _scale_only_once(graph), _SCALED),
    "a transposed weight": (lambda node, graph: _attrs(graph, "dot", transpose_b="True"), "40 columns meet a weight"),
    "no weight": (lambda node, graph: node.update(op="square", inputs=[[0, 0, 0]]), _NAMED),
    "no sum": (lambda node, graph: _last(graph, "broadcast_add").update(op="elemwise_mul"), _NAMED),
    "two dense layers": (lambda node, graph: _last(graph, "broadcast_mul").update(op="FullyConnected"), "has 0 biases"),
}
NORM = {
    "another axis": ({"axis": "0"}, "does not norm hidden units"),
    "more outputs": ({"output_mean_var": "True"}, "has output_mean_var = True"),
}


def _scale_only_once(graph):
    """Put the wide path's product in the place of the product times the rows' scale."""
    add, scaled = _last(graph, "broadcast_add"), _last(graph, "broadcast_mul")
    add["inputs"][1] = scaled["inputs"][0]


def _scale_otherwise(graph):
    """Give the wide path a scale of its own, with another epsilon, behind all other nodes that it needs."""
    nodes = graph["nodes"]
    for operator, attributes in (("_plus_scalar", {"scalar": "0.5"}), ("rsqrt", {}), ("broadcast_mul", {})):
        node = json.loads(json.dumps(_last(graph, operator)))
        node.setdefault("attrs", {}).update(attributes)
        if operator != "_plus_scalar":
            node["inputs"][-1] = [len(nodes) - 1, 0, 0]
        nodes.append(node)
    for operator in ("broadcast_add", "Reshape", "SoftmaxOutput"):
        old = next(at for at in range(len(nodes) - 1, -1, -1) if nodes[at]["op"] == operator)
        node = json.loads(json.dumps(nodes[old]))
        node["inputs"][1 if operator == "broadcast_add" else 0] = [len(nodes) - 1, 0, 0]
        nodes.append(node)
    graph["heads"] = [[len(nodes) - 1, 0, 0]]


@pytest.mark.parametrize(("harm", "why"), WIDE.values(), ids=WIDE.keys())
def test_a_wide_path_of_another_kind_is_refused_by_name(tmp_path, harm, why):
    folder = Plan(wide="last").write(tmp_path)
    edit_graph(folder, "v", harm)
    with pytest.raises(ModelError, match=why):
        read_checkpoint(folder)


def test_a_wide_path_of_another_input_is_refused(tmp_path):
    folder = Plan(wide="last", is_scaled=False).write(tmp_path)

    def other_input(node, graph):
        graph["nodes"].insert(0, {"op": "null", "name": "other", "inputs": []})
        for later in graph["nodes"]:
            later["inputs"] = [[at[0] + 1, *at[1:]] for at in later["inputs"]]
        graph["heads"] = [[at[0] + 1, *at[1:]] for at in graph["heads"]]
        [later for later in graph["nodes"] if later["op"] == "dot"][-1]["inputs"][0] = [0, 0, 0]

    edit_graph(folder, "v", other_input)
    with pytest.raises(ModelError, match=r"one sparse input was expected, the graph takes 'other', 'data'"):
        read_checkpoint(folder)


@pytest.mark.parametrize(("settings", "why"), NORM.values(), ids=NORM.keys())
def test_a_batchnorm_of_another_kind_is_refused_by_name(tmp_path, settings, why):
    folder = Plan(norm=1).write(tmp_path)
    edit_graph(folder, "n2", lambda node, graph: _attrs(graph, "BatchNorm", **settings))
    with pytest.raises(ModelError, match=f"operator 'BatchNorm' .node 'n2'. {why}"):
        read_checkpoint(folder)


def test_the_second_output_of_an_operator_is_no_hidden_layer(tmp_path):
    folder = Plan(norm=1).write(tmp_path)

    def take_the_mean(node, graph):
        node["inputs"][0][1] = 1

    edit_graph(folder, "act2", take_the_mean)
    with pytest.raises(ModelError, match="asked for another output than the first"):
        read_checkpoint(folder)


def test_the_wide_path_is_kept_sparse_and_without_zeros(tmp_path):
    plan = Plan(wide="first")
    found, stored = read_checkpoint(plan.write(tmp_path)).wide, plan.parameters()["arg:v"]
    assert (type(found), found.dtype) == (sparse.csr_matrix, np.float32)
    assert found.nnz == np.count_nonzero(stored) < stored.size
    np.testing.assert_array_equal(found.toarray(), stored)


_NORM_PARTS = (("arg", "gamma"), ("arg", "beta"), ("aux", "moving_mean"), ("aux", "moving_var"))


def _norm_names(number):
    return [f"{kind}:n{number}_{part}" for kind, part in _NORM_PARTS]


def test_batchnorm_is_folded_in_double_precision(tmp_path):
    plan = Plan((6, 5), ("relu", "tanh"), norm=3)
    network, stored = read_checkpoint(plan.write(tmp_path)), plan.parameters()
    for number, layer in enumerate((network.first, *network.hidden), start=1):
        gamma, beta, mean, variance = (stored[name].astype(float) for name in _norm_names(number))
        factor = gamma / np.sqrt(variance + 0.25)
        weight = stored[f"arg:w{number}"] if number == 1 else stored[f"arg:w{number}"].T
        np.testing.assert_array_equal(layer.weight, (weight * factor).astype(np.float32))
        shifted = (stored[f"arg:b{number}"] - mean) * factor + beta
        np.testing.assert_allclose(layer.bias, shifted, rtol=2**-23, atol=1e-9)


def test_what_stands_in_the_graph_is_what_counts(tmp_path):
    """Every part of a network gives other numbers than without it: nothing is read and then passed over."""
    matrix = rows(50, 40, 3)
    whole = Plan(wide="last", norm=2, is_scaled=False)
    found = CompiledScorer(read_checkpoint(whole.write(tmp_path / "whole"))).score(from_scipy(matrix))
    for part in ({"wide": None}, {"norm": 0}, {"norm": 1}, {"is_scaled": True}, {"activations": ("relu", "tanh")}):
        other = replace(whole, **part).write(tmp_path / str(part))
        assert np.abs(CompiledScorer(read_checkpoint(other)).score(from_scipy(matrix)) - found).max() > 0.01
