"""The probabilities of all classes: those of MXNet's softmax, the positive one's bits those of the propensity."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_bundle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import WIDES, Plan, plans, rows
from scipy import sparse
from scipy.special import softmax

import duckprop
from duckprop import cores
from duckprop.compiled import CompiledScorer
from duckprop.errors import DataError
from duckprop.formats.mxnet import read_checkpoint
from duckprop.mxnet_engine import MXNetScorer
from duckprop.network import Layer, Network
from duckprop.sparse import from_scipy

ULP = float(np.finfo(np.float32).eps)


def every_pair(count, heads):
    """Return rows and heads of all pairs, in an order of their own."""
    return np.divmod(np.random.default_rng(5).permutation(count * heads), heads)


def agree(plan, folder, matrix, positive):
    """Hold both engines against each other and the softmax in float64, for all pairs."""
    plan.write(folder)
    engines = [
        CompiledScorer(read_checkpoint(folder), positive),
        MXNetScorer(str(folder / "model"), plan.width, (plan.heads, plan.classes), positive),
    ]
    asked, heads = every_pair(matrix.shape[0], plan.heads)
    right = softmax(plan.logits(matrix)[0], axis=2)[asked, heads]
    for engine in engines:
        found = engine.classes(from_scipy(matrix), asked, heads)
        assert found.dtype == np.float32
        assert found.shape == right.shape == (len(asked), plan.classes)
        np.testing.assert_allclose(found, right, rtol=0, atol=1e-6)
        assert np.abs(found.sum(axis=1, dtype=float) - 1).max(initial=0) <= plan.classes * ULP
        np.testing.assert_array_equal(found[:, positive], engine.score(from_scipy(matrix))[asked, heads])


@pytest.mark.parametrize("wide", WIDES)
@pytest.mark.parametrize(("classes", "positive"), [(2, 0), (2, 1), (3, 0), (3, 1), (4, 0), (4, 3)])
def test_all_classes_are_those_of_mxnet_and_numpy(tmp_path, classes, positive, wide):
    plan = Plan((33, 17), ("relu", "tanh"), 35, classes, 200, wide=wide)
    agree(plan, tmp_path, rows(90, plan.width, spread=1), positive)


@given(plan=plans(), count=st.integers(0, 40), data=st.data())
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_network_agrees(tmp_path, plan, count, data):
    positive = data.draw(st.integers(0, plan.classes - 1))
    agree(plan, tmp_path, rows(count, plan.width, plan.seed, spread=3 if plan.is_scaled else 0), positive)


@pytest.mark.parametrize("positive", [0, 1, 8])
@pytest.mark.parametrize("size", [1.0, 20.0, 300.0])
def test_classes_far_apart_stay_apart(size, positive):
    random = np.random.default_rng(3)
    weight = (random.integers(-3, 4, (4, 5, 9)) * size).astype(np.float32)
    eye, none = Layer(np.eye(4, dtype=np.float32), np.zeros(4, np.float32), "identity"), np.zeros((5, 9), np.float32)
    matrix = sparse.csr_matrix(random.integers(-2, 3, (30, 4)).astype(np.float32))
    asked, heads = every_pair(30, 5)
    right = softmax(np.einsum("nh,hmk->nmk", matrix.toarray().astype(float), weight), axis=2)[asked, heads]
    scorer = CompiledScorer(Network(eye, (), weight, none), positive)
    found = scorer.classes(from_scipy(matrix), asked, heads)
    np.testing.assert_allclose(found, right, rtol=0, atol=1e-6)
    assert size == 1 or (np.sort(right, axis=1)[:, -2:].round(3) == [0, 1]).all(axis=1).any()


def test_a_rare_class_is_as_exact_as_a_frequent_one():
    one = Layer(np.eye(1, dtype=np.float32), np.zeros(1, np.float32), "identity")
    scorer = CompiledScorer(Network(one, (), np.array([[[1, 0]]], np.float32), np.zeros((1, 2), np.float32)))
    logits = np.array([[-60], [-10], [0], [10], [60]], np.float32)
    found = scorer.classes(from_scipy(sparse.csr_matrix(logits)), np.arange(5), np.zeros(5, int))
    np.testing.assert_allclose(found, softmax(np.hstack([logits, 0 * logits]).astype(float), axis=1), rtol=1e-6)


@pytest.fixture
def three_classes(tmp_path):
    plan = Plan((16, 31), ("sigmoid", "relu"), 33, 3, 300, wide="last")
    network, matrix = read_checkpoint(plan.write(tmp_path)), rows(3000, 300, 5, stored=60, spread=1)
    yield lambda: CompiledScorer(network, 1), matrix
    cores.set_cores(None)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_bits_depend_on_nothing_but_the_row_and_the_head(three_classes, threads):
    scorer, matrix = three_classes
    asked, heads = every_pair(3000, 33)
    cores.set_cores(1)
    whole = np.empty((3000, 33, 3), np.float32)
    whole[asked, heads] = scorer().classes(from_scipy(matrix), asked, heads)
    cores.set_cores(threads)
    for start, stop in ((0, 1), (7, 20), (1000, 3000)):
        part = from_scipy(matrix[start:stop])
        for step in (1, 5, 32):
            asked, heads = np.divmod(np.arange(0, (stop - start) * 33, step), 33)
            np.testing.assert_array_equal(scorer().classes(part, asked, heads), whole[start + asked, heads])
        np.testing.assert_array_equal(scorer().score(part), whole[start:stop, :, 1])


def test_no_pairs_give_nothing(three_classes):
    scorer, matrix = three_classes
    none = np.zeros(0, np.int64)
    for count in (0, 5):
        assert scorer().classes(from_scipy(matrix[:count]), none, none).shape == (0, 3)


def test_what_overflows_is_refused_with_its_row():
    one = Layer(np.eye(3, dtype=np.float32), np.zeros(3, np.float32), "sigmoid")
    wide = sparse.csr_matrix(np.array([[1e34, 0, 0], [0, 0, 0], [0, 0, 0]], np.float32))
    network = Network(one, (), np.ones((3, 1, 3), np.float32), np.zeros((1, 3), np.float32), None, wide)
    values = sparse.csr_matrix(np.array([[1, 0, 0], [0, 1, 0], [1e20, 0, 0]], np.float32))
    for positive in (0, 1):
        with pytest.raises(DataError, match=r"row 2 of its batch.*so large that the network overflows\nscale"):
            CompiledScorer(network, positive).classes(from_scipy(values), np.arange(3), np.zeros(3, int))


@pytest.mark.parametrize("engine", ["compiled", "mxnet"])
def test_in_sql_both_engines_and_three_classes(tmp_path, engine):
    options = {"classes": ("often", "once", "never"), "names": None}
    bundles = [make_bundle(tmp_path / "three", **options), make_bundle(tmp_path / "two")]
    models = [duckprop.load(folder) for folder in bundles]
    matrix = sparse.csr_matrix(np.eye(40, dtype=np.float32))
    right = [
        MXNetScorer(str(model.folder / "model"), 40, (5, len(model.classes))).classes(
            from_scipy(matrix), np.arange(40), np.full(40, 4)
        )
        for model in models
    ]
    references = ", ".join(f"'{folder}'" for folder in bundles)
    with duckprop.connect(engine=engine) as con:
        found = con.execute(
            f"""WITH asked AS (SELECT i, [{references}][i % 2 + 1] AS model FROM range(40) t(i)),
            answered AS (SELECT *, propensity_classes([i], 'toys', model) AS classes FROM asked)
            SELECT map_keys(classes), map_values(classes), propensity([i], 'toys', model) FROM answered ORDER BY i"""
        ).fetchall()
    for i, (names, values, propensity) in enumerate(found):
        assert tuple(names) == models[i % 2].classes
        np.testing.assert_allclose(values, right[i % 2][i], rtol=0, atol=1e-6)
        assert values[0] == propensity


def test_a_plan_of_two_classes_is_the_sigmoid_of_its_difference(tmp_path):
    plan = replace(Plan(), seed=9)
    scorer = CompiledScorer(read_checkpoint(plan.write(tmp_path)))
    found = scorer.classes(from_scipy(rows(50, 40)), *every_pair(50, 5))
    np.testing.assert_allclose(found[:, 1], 1 - found[:, 0].astype(float), rtol=0, atol=2 * ULP)
