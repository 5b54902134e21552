"""ONNX files of many topologies, each held against ONNX Runtime; and what is refused."""

import json
from itertools import pairwise

import numpy as np
import onnx
import onnx_graphs as graphs
import pytest
from network_reference import propensities
from onnx import TensorProto, helper
from onnx_graphs import WIDTH, node, value

from duckprop.compiled import CompiledScorer
from duckprop.errors import DataError, DuckpropError, ModelError, UsageError
from duckprop.formats.forms import CannotFold
from duckprop.formats.onnx import read
from duckprop.sparse import from_scipy


def chain(path, activation, *, half=False, ending="Sigmoid", **options):
    """Gemm, activation, MatMul + Add, activation, Gemm; activation: (operator, settings)."""
    kind, settings = activation
    arrays = graphs.weights(WIDTH, 16, 8, 4)
    arrays["w1"] = arrays["w1"].T
    nodes = [
        node("Gemm", "x w1 b1", "h1", transB=1, alpha=0.5, beta=2.0),
        node(kind, "h1", "a1", **settings),
        node("MatMul", "a1 w2", "m2"),
        node("Add", "b2 m2", "h2"),
        node(kind, "h2", "a2", **settings),
        node("Gemm", "a2 w3 b3", "z" if ending else "y"),
    ]
    nodes += [node(ending, "z", "y")] if ending else []
    inputs = [value("x", ["n", WIDTH], TensorProto.FLOAT16 if half else TensorProto.FLOAT)]
    outputs = [value("y", ["n", 4], TensorProto.FLOAT16 if half else TensorProto.FLOAT)]
    return graphs.saved(path, nodes, arrays, inputs=inputs, outputs=outputs, half=half, **options)


def keras(path):
    """As tf2onnx writes: MatMul, Add, BatchNormalization between reshapes, heads by Split, classes by softmax."""
    arrays = graphs.weights(WIDTH, 16, 6) | {"shape": np.array([-1, 16, 1])} | {"back": np.array([-1, 16])}
    random = np.random.default_rng(4)
    arrays |= {name: random.uniform(0.5, 1.5, 16) for name in ("gamma", "beta", "mean", "variance")}
    nodes = [
        node("MatMul", "x w1", "m1"),
        node("Add", "m1 b1", "h1"),
        node("Reshape", "h1 shape", "s1"),
        node("BatchNormalization", "s1 gamma beta mean variance", "n1", epsilon=1e-3),
        node("Reshape", "n1 back", "r1"),
        node("Softplus", "r1", "sp1"),
        node("Tanh", "sp1", "t1"),
        node("Mul", "r1 t1", "a1"),
        node("MatMul", "a1 w2", "m2"),
        node("Add", "m2 b2", "h2"),
        node("Split", "h2", ["one", "two", "three"], axis=1),
        *(node("Softmax", name, f"p_{name}", axis=-1) for name in ("one", "two", "three")),
    ]
    outputs = [value(f"p_{name}", ["n", 2]) for name in ("one", "two", "three")]
    return graphs.saved(path, nodes, arrays, outputs=outputs)


def scikit(path, classes=3, post="LOGISTIC"):
    """As skl2onnx writes a LogisticRegression, one against the rest."""
    random = np.random.default_rng(6)
    weight, shift = random.normal(0, 0.2, (classes, WIDTH)), random.normal(0, 1, classes)
    if classes == 2:
        weight[0], shift[0] = -weight[1], -shift[1]
    settings = {
        "coefficients": weight.ravel(),
        "intercepts": shift,
        "classlabels_strings": [f"class {number}" for number in range(classes)],
        "post_transform": post,
    }
    nodes = [
        helper.make_node("LinearClassifier", ["x"], ["label", "scores"], domain="ai.onnx.ml", **settings),
        helper.make_node("Normalizer", ["scores"], ["y"], domain="ai.onnx.ml", norm="L1"),
    ]
    outputs = [value("label", ["n"], TensorProto.STRING), value("y", ["n", classes])]
    return graphs.saved(path, nodes, {}, outputs=outputs, domains=["ai.onnx.ml"])


def lists(path, reduce="ReduceSum", weigh=True):
    """Padded ids looked up in a table, with values or without, and a linear part from a table of numbers."""
    arrays = graphs.weights(16, 4) | {"table": np.random.default_rng(8).normal(0, 0.5, (WIDTH, 16))}
    arrays |= {"line": np.random.default_rng(9).normal(0, 0.5, WIDTH), "last": np.array([-1]), "one": np.array([1])}
    arrays["table"][7] = arrays["line"][7] = 0
    values = [node("Unsqueeze", "weights last", "column"), node("Mul", "rows column", "lines")]
    values += [node("Mul", "weights numbers", "products")]
    reduced = {"axes": [1]} if reduce == "ReduceMean" else {}
    inputs, source = ("lines one", "products one") if weigh else ("rows", "numbers")
    if reduce == "ReduceSum" and not weigh:
        inputs, source = "rows one", "numbers one"
    nodes = [
        node("Cast", "ids", "wide_ids", to=TensorProto.INT64),
        node("Gather", "table wide_ids", "rows"),
        node("Gather", "line wide_ids", "numbers"),
        *(values if weigh else []),
        node(reduce, inputs, "sums", keepdims=0, **reduced),
        node(reduce, source, "straight", keepdims=1, **reduced),
        node("Relu", "sums", "a1"),
        node("Gemm", "a1 w1 b1", "deep"),
        node("Concat", "deep straight", "z", axis=1),
        node("Sigmoid", "z", "y"),
    ]
    taken = [value("ids", ["n", "l"], TensorProto.INT32), value("weights", ["n", "l"])]
    return graphs.saved(path, nodes, arrays, inputs=taken if weigh else taken[:1])


def pairs(path):
    """Both 1 − p and p of one category."""
    nodes = [
        node("Gemm", "x w1 b1", "z"),
        node("Sigmoid", "z", "p"),
        node("Sub", "one p", "q"),
        node("Concat", "q p", "y", axis=1),
    ]
    return graphs.saved(path, nodes, graphs.weights(WIDTH, 1) | {"one": np.array([1.0])})


def normed(path, order=2):
    """Rows divided by their norm, a wide path, and GELU in parts."""
    arrays = graphs.weights(WIDTH, 8, 4) | {"v": np.random.default_rng(3).normal(0, 0.5, (WIDTH, 4))}
    arrays |= {"least": np.array(1e-12), "root": np.array(np.sqrt(2)), "one": np.array(1.0), "half": np.array(0.5)}
    nodes = [
        node(f"ReduceL{order}", "x", "norm", axes=[1]),
        node("Max", "norm least", "safe"),
        node("Div", "x safe", "scaled"),
        node("Gemm", "scaled w1 b1", "h1"),
        node("Div", "h1 root", "d1"),
        node("Erf", "d1", "e1"),
        node("Add", "e1 one", "o1"),
        node("Mul", "h1 o1", "p1"),
        node("Mul", "p1 half", "a1"),
        node("Gemm", "a1 w2 b2", "deep"),
        node("MatMul", "scaled v", "wide"),
        node("Sum", "deep wide", "z"),
        node("Sigmoid", "z", "y"),
    ]
    return graphs.saved(path, nodes, arrays)


def hand(*activation, **options):
    return lambda path: chain(path, activation, **options)


TOPOLOGIES = {
    "Gemm, MatMul, relu": (hand("Relu", {}), {}),
    "opset 11, leaky": (hand("LeakyRelu", {"alpha": 0.2}, opset=11), {}),
    "elu": (hand("Elu", {"alpha": 0.6}), {}),
    "selu": (hand("Selu", {}), {}),
    "softsign": (hand("Softsign", {}), {}),
    "hard sigmoid": (hand("HardSigmoid", {"alpha": 0.3, "beta": 0.4}), {}),
    "opset 20, gelu": (hand("Gelu", {}, opset=20), {}),
    "opset 20, mish": (hand("Mish", {}, opset=20), {}),
    "float16": (hand("Tanh", {}, half=True), {}),
    "logits, sigmoid": (hand("Celu", {"alpha": 1.3}, ending=""), {"output": "sigmoid"}),
    "logits, softmax": (hand("Relu", {}, ending=""), {"output": "softmax"}),
    "softmax over categories": (hand("Relu", {}, ending="Softmax"), {}),
    "one head of 4 classes": (hand("Relu", {}, ending="Softmax"), {"positive_column": 2}),
    "tf2onnx, 3 heads": (keras, {"positive_column": 1}),
    "skl2onnx, one against the rest": (scikit, {}),
    "skl2onnx, 2 classes": (lambda path: scikit(path, 2), {"positive_column": 1}),
    "1 - p and p": (pairs, {"positive_column": 1}),
    "1 - p": (pairs, {"positive_column": 0}),
    "wide, gelu, l2": (normed, {}),
    "wide, gelu, l1": (lambda path: normed(path, 1), {}),
    "padded and weighted": (lists, {}),
    "padded sum": (lambda path: lists(path, weigh=False), {"padding": 7}),
    "padded mean": (lambda path: lists(path, "ReduceMean", weigh=False), {}),
    "skl2onnx, multinomial": (lambda path: scikit(path, 4, "SOFTMAX"), {}),
}


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_a_graph_gives_what_onnx_runtime_gives(tmp_path, name, record_import):
    build, options = TOPOLOGIES[name]
    artefact = read(build(tmp_path / "model.onnx"), **options)
    rows = graphs.sparse_rows(counted=artefact.notes.get("values") == "counts")
    expected = artefact.reference(rows)
    differences = [np.abs(propensities(artefact.network, rows, artefact.positive) - expected).max()]
    scored = CompiledScorer(artefact.network, artefact.positive).score(from_scipy(rows))
    differences.append(np.abs(scored - expected).max())
    record_import("ONNX", artefact.framework, name, max(differences), artefact.tolerance)
    assert expected.shape == (1000, artefact.network.heads)
    assert expected.std() > 0.01
    assert max(differences) <= artefact.tolerance == (1e-3 if name == "float16" else 1e-6)


def test_what_a_file_says_is_kept(tmp_path):
    artefact = read(scikit(tmp_path / "model.onnx"))
    assert (artefact.source, artefact.framework, artefact.network.link) == ("onnx", "by hand", "normalized")
    assert artefact.categories == ("class 0", "class 1", "class 2")
    assert read(TOPOLOGIES["padded mean"][0](tmp_path / "mean.onnx")).notes["values"] == "counts"


def test_weights_beside_the_file_are_read(tmp_path):
    path = hand("Relu", {})(tmp_path / "model.onnx")
    inside = read(path)
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    beside = read(path)
    rows = graphs.sparse_rows()
    assert np.array_equal(beside.network.first.weight, inside.network.first.weight)
    assert np.array_equal(beside.reference(rows), inside.reference(rows))


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/passwd", "a/b", "", ".hidden", "weights.bin"])
def test_weights_elsewhere_are_refused(tmp_path, location):
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "weights.bin").write_bytes(bytes(10**6))
    (folder / "weights.bin").symlink_to(tmp_path / "weights.bin")
    path = hand("Relu", {})(folder / "model.onnx")
    model = onnx.load(path)
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    tensor.ClearField("raw_data")
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"lies in the file|cannot be read: it is not a plain file"):
        read(path)


@pytest.mark.parametrize(
    ("operator", "settings", "said"),
    [
        ("HardSwish", {}, r"operator 'HardSwish' \(node 'the_a1'\) is not understood"),
        ("LogSoftmax", {}, "operator 'LogSoftmax'"),
        ("Erf", {}, "the graph has a 'erf' that is no part of a known activation"),
        ("CumSum", {}, "CumSum"),
        ("Softmax", {}, "the graph has a 'softmax'"),
    ],
)
def test_an_operator_that_no_network_has_is_named(tmp_path, operator, settings, said):
    path = chain(tmp_path / "model.onnx", (operator, settings)) if operator != "CumSum" else cumulated(tmp_path)
    with pytest.raises(CannotFold, match=said):
        read(path)


def cumulated(folder):
    nodes = [node("CumSum", "x axis", "y")]
    return graphs.saved(folder / "model.onnx", nodes, {"axis": np.array(1)}, outputs=[value("y", ["n", WIDTH])])


def test_control_flow_and_functions_are_refused(tmp_path):
    branch = helper.make_graph([node("Identity", "x", "z")], "branch", [], [value("z", None)])
    nodes = [node("If", "yes", "y", then_branch=branch, else_branch=branch)]
    path = graphs.saved(tmp_path / "if.onnx", nodes, {"yes": np.array(True)}, outputs=[value("y", ["n", WIDTH])])
    with pytest.raises(CannotFold, match="operator 'If'"):
        read(path)
    path = hand("Relu", {})(tmp_path / "function.onnx")
    model = onnx.load(path)
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("ours", "twice", ["a"], ["b"], [node("Add", "a a", "b")], opsets))
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="defines a function of its own, 'twice'"):
        read(path)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("logits, sigmoid", {}, "ends with logits"),
        ("logits, sigmoid", {"output": "argmax"}, "output 'argmax' is not known"),
        ("elu", {"output": "softmax"}, "the graph ends with sigmoid"),
        ("elu", {"categories": ("a", "b")}, "2 categories are named, the graph has 4"),
        ("elu", {"positive_column": 1}, "a sigmoid has one column a category"),
        ("tf2onnx, 3 heads", {}, "which one is the propensity is not said"),
        ("tf2onnx, 3 heads", {"positive_column": 2}, "give --positive-column 0 or 1"),
        ("skl2onnx, 2 classes", {}, "one softmax over 2 columns"),
        ("elu", {"outputs": ("z2",)}, "output 'z2' is asked for"),
        ("elu", {"padding": 0}, "id 0 is to fill up rows, which the graph does not need"),
        ("padded sum", {"padding": 5}, "its line in the table is not 0"),
    ],
)
def test_what_the_caller_must_say(tmp_path, name, options, said):
    with pytest.raises(UsageError, match=said):
        read(TOPOLOGIES[name][0](tmp_path / "model.onnx"), **options)


def test_rows_that_the_graph_cannot_take_are_refused(tmp_path):
    counted = read(TOPOLOGIES["padded sum"][0](tmp_path / "model.onnx"), padding=7)
    with pytest.raises(DataError, match="more than small counts"):
        counted.reference(graphs.sparse_rows(20))
    with pytest.raises(DataError, match="rows of 299 columns meet a graph of 300"):
        counted.reference(graphs.sparse_rows(20, 299, counted=True))


def test_a_tensor_larger_than_the_file_takes_no_memory(tmp_path):
    path = hand("Relu", {})(tmp_path / "model.onnx")
    model = onnx.load(path)
    model.graph.initializer[0].dims[0] = 2**34
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"tensor 'w1' has the shape \(17179869184, 300\)"):
        read(path)
    nodes = [node("ConstantOfShape", "shape", "big"), node("Add", "x big", "y")]
    path = graphs.saved(tmp_path / "big.onnx", nodes, {"shape": np.array([2**20, 2**20])})
    with pytest.raises(CannotFold, match=r"operator 'ConstantOfShape'.*makes 1099511627776 numbers"):
        read(path)


def test_a_small_file_that_asks_for_much_is_refused(tmp_path):
    wide = [value("x", ["n", 2**30])]
    path = graphs.saved(tmp_path / "wide.onnx", [node("Sigmoid", "x", "y")], {}, inputs=wide)
    with pytest.raises(ModelError, match="takes 1073741824 columns, but has no weights for so many"):
        read(path)
    doubled = [node("Concat", " ".join([f"x{n}"] * 2), f"x{n + 1}", axis=1) for n in range(40)]
    nodes = [node("Identity", "x", "x0"), *doubled, node("Sigmoid", "x40", "y")]
    with pytest.raises(CannotFold, match=r"operator 'Concat'.* makes"):
        read(graphs.saved(tmp_path / "doubled.onnx", nodes, {}))
    nodes = [node("Relu", "x", "a"), node("MatMul", "a w", "z"), node("Sigmoid", "z", "y")]
    many = graphs.saved(tmp_path / "m.onnx", nodes, {"w": np.ones((50_000, 1))}, inputs=[value("x", ["n", 50_000])])
    with pytest.raises(CannotFold, match="layers take 2500050000 weights, of which the file stores"):
        read(many)


def test_numbers_that_are_none_are_named(tmp_path):
    path = hand("Relu", {})(tmp_path / "model.onnx")
    model = onnx.load(path)
    data = np.array(onnx.numpy_helper.to_array(model.graph.initializer[2]))
    data[0] = np.nan
    model.graph.initializer[2].CopyFrom(onnx.numpy_helper.from_array(data, model.graph.initializer[2].name))
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="'w2' has 8 NaN"):
        read(path)


def test_damaged_files_are_refused_or_read_but_never_crash(tmp_path):
    path = keras(tmp_path / "model.onnx")
    data, random = path.read_bytes(), np.random.default_rng(7)
    graph = len(data) - onnx.load(path).ByteSize() + 1200  # flips where the structure is, too
    refused, remedies = 0, set()
    for number in range(120):
        changed = bytearray(data)
        if number % 3 == 0:
            changed = changed[: random.integers(0, len(data))]
        else:
            places = random.integers(0, graph if number % 3 == 1 else len(data), 4)
            changed[places[0]] ^= 1 << random.integers(0, 8)
            changed[-1 - places[1] % 600] = random.integers(0, 256)
        path.write_bytes(bytes(changed))
        try:
            artefact = read(path, positive_column=1)
            assert artefact.network.width == WIDTH
        except DuckpropError as error:
            refused += 1
            remedies.add(error.remedy)
    assert refused >= 80
    assert all(remedies)


def test_no_file_and_another_file_are_refused(tmp_path):
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        read(tmp_path / "none.onnx")
    for text in (b"", b"not a model", json.dumps({"a": 1}).encode()):
        (tmp_path / "model.onnx").write_bytes(text)
        with pytest.raises(ModelError):
            read(tmp_path / "model.onnx")
    with pytest.raises(ModelError, match="its operators are of opset 9; read are 11 to"):
        read(hand("Relu", {}, opset=9)(tmp_path / "old.onnx"))


def test_a_wide_file_is_read_at_once(tmp_path):
    """The first layer's weights are not copied through float64 or several times over."""
    sizes = (200_000, 32, 4)
    random = np.random.default_rng(0)
    arrays = {}
    for number, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
        arrays |= {f"w{number}": random.random((inputs, outputs), np.float32), f"b{number}": np.zeros(outputs)}
    nodes = [node("Gemm", "x w1 b1", "h1"), node("Relu", "h1", "a1"), node("Gemm", "a1 w2 b2", "z")]
    path = graphs.saved(
        tmp_path / "m.onnx", [*nodes, node("Sigmoid", "z", "y")], arrays, inputs=[value("x", ["n", sizes[0]])]
    )
    assert read(path).network.width == 200_000
