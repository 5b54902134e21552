"""Files of scikit-learn estimators: safe ones are read, pickles only when trusted, hostile ones refused."""

import io
import json
import pickle
import tracemalloc
import zipfile

import joblib
import numpy as np
import pytest
import skops.io
from network_reference import propensities
from sklearn.ensemble import RandomForestClassifier
from sklearn_models import MODELS, ROWS, THREE, WIDTH, X, distance, fitted

from duckprop.errors import ModelError, UsageError
from duckprop.formats.sklearn import from_estimator, read

MEGABYTE = 1 << 20


@pytest.mark.parametrize("name", MODELS)
def test_a_skops_file_gives_what_the_estimator_gives(tmp_path, name):
    skops.io.dump(fitted(name), tmp_path / "m.skops")
    found, expected = read(tmp_path / "m.skops"), from_estimator(fitted(name))
    np.testing.assert_array_equal(found.reference(ROWS), expected.reference(ROWS))
    np.testing.assert_array_equal(propensities(found.network, ROWS), propensities(expected.network, ROWS))
    assert found.categories == expected.categories


class Canary:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return type(self.path).write_text, (self.path, "sang")


@pytest.mark.parametrize("suffix", [".pkl", ".pickle", ".joblib"])
def test_a_pickle_runs_nothing_without_the_flag_and_says_what_it_would_do(tmp_path, suffix):
    path, canary = tmp_path / f"m{suffix}", tmp_path / "canary"
    path.write_bytes(pickle.dumps(Canary(canary)))
    with pytest.raises(UsageError, match=r"(?s)runs code from the file.*\npass --trust-pickle .* only if .*skops"):
        read(path)
    assert not canary.exists()
    with pytest.raises(ModelError, match="'int' is not an estimator"):
        read(path, trust_pickle=True)
    assert canary.read_text() == "sang"  # so the file would have done it


@pytest.mark.parametrize("name", ["m.pkl", "m.joblib", "m.pickle"])
def test_a_trusted_pickle_is_read(tmp_path, name):
    estimator, path = fitted("one-vs-rest, logistic"), tmp_path / name
    joblib.dump(estimator, path) if name == "m.joblib" else path.write_bytes(pickle.dumps(estimator))
    found = read(path, trust_pickle=True, categories=list("vwxyz"))
    assert distance(found, estimator.predict_proba(ROWS)) <= 1e-6
    assert found.categories == tuple("vwxyz")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ModelError, match="is damaged"):
        read(path, trust_pickle=True)


def test_a_pickle_named_skops_is_not_unpickled(tmp_path):
    (tmp_path / "m.skops").write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
    for trusted in (False, True):
        with pytest.raises(ModelError, match="is damaged"):
            read(tmp_path / "m.skops", trust_pickle=trusted)
    assert not (tmp_path / "canary").exists()


def test_files_of_another_kind_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"is not a \.skops"):
        read(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="No such file"):
        read(tmp_path / "missing.skops")
    skops.io.dump(RandomForestClassifier(2).fit(X, THREE), tmp_path / "forest.skops")
    with pytest.raises(ModelError, match=r"'sklearn\.ensemble\._forest\.RandomForestClassifier'.* is not loaded"):
        read(tmp_path / "forest.skops")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("skops") / "good.skops"
    skops.io.dump(fitted("logistic, sparse"), path)
    return path.read_bytes()


def rewritten(path, data, change):
    """Write an archive whose members {name: bytes} went through ``change``."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members = change(members) or members
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def refuses(path, match=None):
    """Reading raises ModelError and takes little memory on the way."""
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match=match):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 40 * MEGABYTE
    finally:
        tracemalloc.stop()


def in_schema(change):
    def changed(members):
        tree = json.loads(members["schema.json"])
        return {**members, "schema.json": json.dumps(change(tree) or tree).encode()}

    return changed


def attribute(tree, name, node):
    tree["content"]["content"][name] = node


def node(loader, module, name, **more):
    return {"__loader__": loader, "__module__": module, "__class__": name, **more}


HOSTILE_NODES = {
    "os.system": node("FunctionNode", "os", "system"),
    "builtins.eval": node("TypeNode", "builtins", "eval"),
    "subprocess.Popen": node("ObjectNode", "subprocess", "Popen", content=None),
    "functools.partial": node("PartialNode", "functools", "partial", content={}),
    "operator.methodcaller": node("OperatorFuncNode", "operator", "methodcaller", attrs={}),
    "builtins.object": node("MethodNode", "builtins", "object", content={"func": "x", "obj": {}}),
    "scipy.sparse._csc.csc_matrix": node("SparseMatrixNode", "scipy.sparse._csc", "csc_matrix", type="scipy", file="x"),
    "sklearn.pipeline.make_pipeline": node("ObjectNode", "sklearn.pipeline", "make_pipeline", content=None),
}


@pytest.mark.parametrize("name", HOSTILE_NODES)
def test_types_that_are_not_on_the_list_are_refused_before_anything_is_made(tmp_path, good, name):
    change = in_schema(lambda tree: attribute(tree, "tol", HOSTILE_NODES[name]))
    refuses(rewritten(tmp_path / "m.skops", good, change), rf"holds '{name}' .* is not loaded")


def array_file(shape, dtype="<f8", data=b""):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue() + data


def every(suffix, content):
    return lambda members: {name: content if name.endswith(suffix) else old for name, old in members.items()}


def nested(depth):
    return lambda members: {**members, "schema.json": b'{"a":' * depth + b"1" + b"}" * depth}


def packed(arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def crooked(kind):
    arrays = {"indices": np.array([10**6], np.int32), "indptr": np.array([0, 1, 1, 1], np.int32), "data": np.ones(1)}
    return packed({**arrays, "format": np.array(kind.encode()), "shape": np.array([3, WIDTH])})


def referring_to_itself(tree):
    tree["__id__"] = 5
    attribute(tree, "classes_", node("CachedNode", "", "", __id__=5))


def many_times(tree):
    (name,) = {found["file"] for found in [tree["content"]["content"]["intercept_"]]}
    again = node("NdArrayNode", "numpy", "ndarray", type="numpy", file=name)
    attribute(tree, "tol", node("ListNode", "builtins", "list", content=[again] * 300_000))


HOSTILE_FILES = {
    "a huge array": every(".npy", array_file((10**12,))),
    "an array of objects": every(".npy", array_file((1,), "|O", b"x" * 8)),
    "an array of nothing": every(".npy", array_file((10**15,), "<U0")),
    "a negative shape": every(".npy", array_file((-1, -1), data=b"x" * 8)),
    "no array": every(".npy", b"no"),
    "a bomb": lambda members: {**members, "bomb.npy": array_file((1 << 30,), "|u1") + bytes(1 << 26)},
    "no tree": lambda members: {name: old for name, old in members.items() if name != "schema.json"},
    "a tree of text": lambda members: {**members, "schema.json": b'"x"'},
    "a deep tree": nested(100_000),
    "no JSON": lambda members: {**members, "schema.json": b"\xff\xfe"},
    "no archive in it": every(".npz", b"PK"),
    "an archive in it that holds one": every(".npz", packed({"a.npz": np.ones(3)})),
    "indices out of range": every(".npz", crooked("csr")),
    "columns for rows": every(".npz", crooked("csc")),
    "a huge claim": in_schema(
        lambda tree: attribute(tree, "n_features_in_", node("JsonNode", "builtins", "str", content="1" + "0" * 9))
    ),
    "what refers to itself": in_schema(referring_to_itself),
    "another version": in_schema(lambda tree: tree.update(protocol=10**6)),
    "an array many times": in_schema(many_times),
}


@pytest.mark.parametrize("name", HOSTILE_FILES)
def test_hostile_skops_files_are_refused(tmp_path, good, name):
    refuses(rewritten(tmp_path / "m.skops", good, HOSTILE_FILES[name]))
