"""Explanations add up for every network, and are the integrated gradients where there is one hidden layer."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import ACTIVATIONS, Plan, plans, rows
from scipy import sparse

from duckprop.compiled import CompiledScorer
from duckprop.explain import Explainer
from duckprop.formats.mxnet import read_checkpoint
from duckprop.sparse import from_scipy

SLOW = {"deadline": None, "derandomize": True, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


def explainer(plan, folder, positive=0):
    return Explainer(CompiledScorer(read_checkpoint(plan.write(folder)), positive))


def split(contributions, matrix, asked):
    """Return one array a pair."""
    return np.split(contributions, np.cumsum(np.diff(matrix.indptr)[asked])[:-1])


def adds_up(plan, folder, matrix, positive=0, atol=1e-5):
    random = np.random.default_rng(plan.seed)
    asked, heads = random.integers(0, matrix.shape[0], 60), random.integers(0, plan.heads, 60)
    found = explainer(plan, folder, positive).contributions(from_scipy(matrix), asked, heads)
    assert found.dtype == np.float64
    assert len(found) == np.diff(matrix.indptr)[asked].sum()
    totals = np.array([part.sum() for part in split(found, matrix, asked)])
    empty = plan.log_odds(sparse.csr_matrix((1, plan.width)), positive)[0]
    expected = plan.log_odds(matrix, positive)[asked, heads] - empty[heads]
    np.testing.assert_allclose(totals, expected, rtol=0, atol=atol)


@given(plan=plans(), data=st.data())
@settings(max_examples=120, **SLOW)
def test_contributions_add_up_to_the_log_odds_less_those_of_nobody(tmp_path, plan, data):
    positive = data.draw(st.integers(0, plan.classes - 1))
    adds_up(plan, tmp_path, rows(20, plan.width, plan.seed, spread=2 if plan.is_scaled else 0), positive)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("classes", [2, 4])
def test_contributions_add_up_where_propensities_are_near_both_ends(tmp_path, activation, classes):
    plan = Plan((12, 9), (activation,) * 2, 40, classes, is_scaled=False, wide="last")
    adds_up(plan, tmp_path, rows(20, plan.width, 1, size=20), atol=1e-3)  # logits of hundreds


def integrated_gradients(plan, row, head, steps=100_000):
    """Average the gradient of the log-odds over the straight line from nobody to this customer (one relu, K = 2)."""
    arrays = {name[4:]: array.astype(float) for name, array in plan.parameters().items()}
    x = row / np.sqrt(row @ row + 1e-12) if plan.is_scaled else row
    rise = arrays["heads"][2 * head] - arrays["heads"][2 * head + 1]
    along, straight = (np.arange(steps) + 0.5) / steps, 0
    is_open = (along[:, None] * (x @ arrays["w1"]) + arrays["b1"] > 0).mean(axis=0)
    if plan.wide:
        straight = arrays["v"][:, 2 * head] - arrays["v"][:, 2 * head + 1]
    return x * (arrays["w1"] @ (is_open * rise) + straight)


@pytest.mark.parametrize(
    "plan", [Plan((16,), ("relu",)), Plan((16,), ("relu",), is_scaled=False, wide="first")], ids=str
)
def test_one_hidden_layer_gives_the_integrated_gradients(tmp_path, plan):
    matrix = rows(6, plan.width, 3)
    asked, heads = np.repeat(np.arange(6), 5), np.tile(np.arange(5), 6)
    found = explainer(plan, tmp_path).contributions(from_scipy(matrix), asked, heads)
    for part, row, head in zip(split(found, matrix, asked), asked, heads, strict=True):
        expected = integrated_gradients(plan, matrix[row].toarray()[0].astype(float), head)
        np.testing.assert_allclose(part, expected[matrix[row].indices], rtol=0, atol=1e-4)


def test_a_linear_network_gives_weight_times_value(tmp_path):
    plan = Plan((3,), ("identity",), 4, 2, is_scaled=False, wide="last")
    arrays = {name[4:]: array.astype(float) for name, array in plan.parameters().items()}
    weight = (arrays["w1"] @ arrays["heads"].T + arrays["v"]) @ np.kron(np.eye(4), [[1], [-1]])
    matrix = rows(9, plan.width, 4)
    asked, heads = np.repeat(np.arange(9), 4), np.tile(np.arange(4), 9)
    found = explainer(plan, tmp_path).contributions(from_scipy(matrix), asked, heads)
    for part, row, head in zip(split(found, matrix, asked), asked, heads, strict=True):
        one = matrix[row]
        np.testing.assert_allclose(part, one.data * weight[one.indices, head], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
def test_pairs_do_not_depend_on_what_else_is_asked(tmp_path, classes):
    plan = Plan((16, 8), ("tanh", "relu"), 40, classes, wide="first")
    explain, matrix = explainer(plan, tmp_path), rows(50, plan.width, 5)
    random = np.random.default_rng(5)
    asked, heads = random.integers(0, 50, 200), random.integers(0, 40, 200)
    found = split(explain.contributions(from_scipy(matrix), asked, heads), matrix, asked)
    for pair in range(0, 200, 13):
        alone = explain.contributions(from_scipy(matrix[asked[pair]]), np.array([0]), heads[pair : pair + 1])
        np.testing.assert_allclose(found[pair], alone, rtol=1e-9, atol=1e-12)


def test_a_stored_zero_contributes_nothing_and_an_empty_row_has_nothing(tmp_path):
    matrix = sparse.csr_matrix(np.array([[1, 2, 3, 0], [0, 0, 0, 0]], np.float32))
    matrix.data[1] = 0
    explain = explainer(replace(Plan(), width=4), tmp_path)
    found = explain.contributions(from_scipy(matrix), np.array([0, 1, 0]), np.array([1, 1, 2]))
    assert found.shape == (6,)
    assert (found == 0).tolist() == [False, True, False] * 2
    assert explain.contributions(from_scipy(matrix), np.array([1]), np.array([0])).shape == (0,)
    assert explain.contributions(from_scipy(matrix), np.array([], int), np.array([], int)).shape == (0,)
