"""Categories that are linked, by one softmax or by their sum: in the compiled engine, and through SQL."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from network_reference import FUNCTIONS, propensities
from networks import rows
from scipy import sparse

import duckprop
from duckprop import bundle, cores
from duckprop.compiled import CompiledScorer
from duckprop.errors import DataError, ModelError
from duckprop.explain import Explainer
from duckprop.formats.mxnet_write import write_checkpoint
from duckprop.network import ACTIVATIONS, Layer, Network
from duckprop.sparse import from_scipy

WIDTH, ROWS = 60, 1500
LINKED = ("softmax", "normalized")
SIZES = (1, 7, 16, 33, 200)


def network(link="softmax", heads=200, *, wide=False, scaled=False, spread=1.0, activation="tanh"):
    random = np.random.default_rng(heads)
    pairs = list(pairwise((WIDTH, 19, 11)))
    layers = [
        Layer(
            (random.normal(size=size) / np.sqrt(size[0])).astype(np.float32),
            random.normal(size=size[1]).astype(np.float32), activation,
        )
        for size in pairs
    ]  # fmt: skip
    weight, bias = np.zeros((11, heads, 2), np.float32), np.zeros((heads, 2), np.float32)
    weight[:, :, 0], bias[:, 0] = spread * random.normal(size=(11, heads)), random.normal(size=heads)
    straight = None
    if wide:
        straight = sparse.random(WIDTH, 2 * heads, 0.1, "csc", np.float32, random_state=2)
        straight = sparse.csr_matrix(straight.multiply(np.arange(2 * heads) % 2 == 0), dtype=np.float32)
    return Network(layers[0], (layers[1],), weight, bias, 1e-6 if scaled else None, straight, link=link)


def matrix(start=0, stop=ROWS):
    return rows(ROWS, WIDTH, 3, stored=20)[start:stop]


def some(start=0, stop=ROWS):
    """Return rows as a batch that no scorer has seen yet."""
    return from_scipy(matrix(start, stop))


@pytest.fixture
def threads():
    """Return how to set the number of threads for the rest of a test."""
    yield cores.set_cores
    cores.set_cores(None)


@pytest.mark.parametrize("link", LINKED)
@pytest.mark.parametrize("heads", SIZES)
@pytest.mark.parametrize("more", [{}, {"wide": True}, {"wide": True, "scaled": True}, {"spread": 30.0}], ids=str)
def test_propensities_are_those_of_numpy_and_add_up_to_one(link, heads, more):
    given = network(link, heads, **more)
    found = CompiledScorer(given).score(some())
    assert (found.dtype, found.shape) == (np.float32, (ROWS, heads))
    np.testing.assert_allclose(found, propensities(given, matrix()), rtol=0, atol=2e-5 if "spread" in more else 1e-6)
    np.testing.assert_allclose(found.sum(axis=1, dtype=float), 1, rtol=0, atol=1e-6)


@pytest.mark.parametrize("link", LINKED)
@pytest.mark.parametrize("wide", [False, True])
def test_whatever_is_asked_has_the_bits_of_all_columns(link, wide):
    scorer, random = CompiledScorer(network(link, wide=wide)), np.random.default_rng(1)
    whole = scorer.score(some())
    for heads in ([7], [199, 0, 7], [3, 3, 5], np.arange(200)[::-1]):
        np.testing.assert_array_equal(scorer.score(some(), np.asarray(heads)), whole[:, heads])
    for count in (0, 1, 5000):
        asked, heads = random.integers(0, ROWS, count), random.integers(0, 200, count)
        np.testing.assert_array_equal(scorer.pairs(some(), asked, heads), whole[asked, heads])
        classes = scorer.classes(some(), asked, heads)
        assert classes.shape == (count, 2)
        np.testing.assert_array_equal(classes, np.stack([whole[asked, heads], 1 - whole[asked, heads]], axis=1))


@pytest.mark.parametrize("link", LINKED)
def test_bits_do_not_depend_on_the_batch_nor_on_threads(threads, link):
    threads(1)
    given = network(link, wide=True)
    whole = CompiledScorer(given).score(some())
    for count in (1, 2, 4):
        threads(count)
        scorer = CompiledScorer(given)
        for size in (1, 7, 480, 1033):
            for start in (0, 11, ROWS - size):
                np.testing.assert_array_equal(scorer.score(some(start, start + size)), whole[start : start + size])
        np.testing.assert_array_equal(scorer.score(some()), whole)
        parts = [scorer.embed(some(start, start + 500)) for start in (0, 500, 1000)]
        np.testing.assert_array_equal(np.concatenate(parts), CompiledScorer(given).embed(some()))
    assert CompiledScorer(given).score(some(0, 0)).shape == (0, 200)


@pytest.mark.parametrize("link", LINKED)
@pytest.mark.parametrize("k", [0, 1, 5, 128, 129, 200, 300])
@pytest.mark.parametrize("is_chosen", [False, True])
def test_the_best_are_those_of_a_stable_sort(link, k, is_chosen):
    scorer, random = CompiledScorer(network(link)), np.random.default_rng(k)
    chosen = np.sort(random.permutation(200)[:150]) if is_chosen else None
    asked = np.arange(200) if chosen is None else chosen
    scores = scorer.score(some())[:, asked]
    banned, least = random.random(scores.shape) < 0.3, np.full(ROWS, 0.002)
    for more in ({}, {"banned": banned}, {"least": least}, {"banned": banned, "least": least}):
        found = scorer.top(some(), k, heads=chosen, **more)
        may = ~more.get("banned", np.zeros(scores.shape, bool)) & (scores >= more.get("least", np.zeros(ROWS))[:, None])
        left = np.where(may, scores, -1.0)
        order = np.argsort(-left, axis=1, kind="stable")[:, :k]
        counts = np.minimum(may.sum(axis=1), k)
        np.testing.assert_array_equal(found.counts, counts)
        is_there = np.arange(order.shape[1]) < counts[:, None]
        np.testing.assert_array_equal(found.heads[is_there], asked[order][is_there])
        np.testing.assert_array_equal(found.propensities[is_there], np.take_along_axis(left, order, 1)[is_there])


@pytest.mark.parametrize("link", LINKED)
@pytest.mark.parametrize("positive", [0, 1])
def test_the_positive_class_is_a_name_alone(link, positive):
    scorer = CompiledScorer(network(link, 7), positive)
    found = scorer.score(some())
    np.testing.assert_allclose(found, propensities(network(link, 7), matrix()), rtol=0, atol=1e-6)
    asked, heads = np.arange(ROWS), np.arange(ROWS) % 7
    np.testing.assert_array_equal(scorer.classes(some(), asked, heads)[:, positive], found[asked, heads])


@pytest.mark.parametrize("ask", ["score", "top", "pairs", "embed"])
@pytest.mark.parametrize("link", LINKED)
def test_what_overflows_is_refused_with_its_row(link, ask):
    scorer, huge = CompiledScorer(network(link, activation="relu")), matrix().tolil()
    huge[1300, :5] = 3e38
    batch = from_scipy(huge.tocsr().astype(np.float32))
    answers = {
        "score": lambda: scorer.score(batch),
        "top": lambda: scorer.top(batch, 3),
        "pairs": lambda: scorer.pairs(batch, np.arange(ROWS), np.zeros(ROWS, int)),
        "embed": lambda: scorer.embed(batch),
    }
    with pytest.raises(DataError, match=r"row 1300 of its batch.*overflows"):
        answers[ask]()


def test_what_is_no_sum_over_features_is_not_explained():
    for link in LINKED:
        with pytest.raises(ModelError, match=r"links its categories to each other cannot be explained\nscore it"):
            Explainer(CompiledScorer(network(link)))
    first = Layer(np.eye(3, dtype=np.float32), np.zeros(3, np.float32), "relu")
    heads = np.ones((3, 2, 2), np.float32), np.zeros((2, 2), np.float32)
    started = Network(first, (), *heads, row_epsilon=1.0, start=np.ones(3, np.float32))
    with pytest.raises(ModelError, match="scales a constant with the rows cannot be explained"):
        Explainer(CompiledScorer(started))


PARAMETERS = np.array([np.linspace(0.2, 1.4, 9), np.linspace(1.5, 2.5, 9)], np.float32)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_kernels_and_explanations_know_the_same_activations_as_numpy(activation):
    """Log-odds less those of nobody, as explained in float64 and as the kernel's propensities give them."""
    random = np.random.default_rng(4)
    first = Layer(
        random.normal(size=(8, 9)).astype(np.float32), random.normal(size=9).astype(np.float32), activation, PARAMETERS
    )
    weight = (random.normal(size=(9, 3, 2)) * 0.2).astype(np.float32)
    given = Network(first, (), weight, np.zeros((3, 2), np.float32))
    values = random.normal(0, 2, (200, 8)).astype(np.float32)
    csr = sparse.csr_matrix(values)
    scorer, asked, heads = CompiledScorer(given), np.arange(200), np.arange(200) % 3
    plain = CompiledScorer(replace(given, first=replace(first, activation="identity")))
    right = FUNCTIONS[activation](plain.embed(from_scipy(csr)).astype(float), *PARAMETERS.astype(float))
    np.testing.assert_allclose(scorer.embed(from_scipy(csr)), right, rtol=1e-6, atol=1e-7)
    found = Explainer(scorer).contributions(from_scipy(csr), asked, heads).reshape(200, 8).sum(axis=1)
    exact = propensities(given, sparse.vstack([csr, sparse.csr_matrix((1, 8))]))
    odds = np.log(exact) - np.log1p(-exact)
    np.testing.assert_allclose(found, (odds[:-1] - odds[-1])[asked, heads], rtol=0, atol=1e-5)


@pytest.fixture(scope="module", params=LINKED)
def shop(request, tmp_path_factory):
    """Return a connection with a linked model, its propensities (4, 6), and the features as SQL."""
    given, root = network(request.param, 6, wide=True), tmp_path_factory.mktemp("linked")
    with bundle.new_folder(root / "bundle") as folder:
        write_checkpoint(given, folder, bundle.PREFIX)
        names = [f"c{number}" for number in range(6)]
        card = {"created": "2026-01-02T03:04:05+00:00", "categories": names, "classes": ["yes", "no"], "positive": 0}
        bundle.write_card(folder, card | {"features": {"width": WIDTH, "named": False}})
    duckprop.load(root / "bundle").publish("shop", root / "models")
    lists = [[3, 14, 15], [9, 26], [5, 35, 58], []]
    csr = sparse.csr_matrix(
        np.array([[float(column in each) for column in range(WIDTH)] for each in lists], np.float32)
    )
    table = ", ".join(f"({number}, {each}::INT[])" for number, each in enumerate(lists))
    with duckprop.connect(registry=root / "models") as con:
        con.execute(f"CREATE TABLE customers AS SELECT * FROM (VALUES {table}) t(id, features)")
        yield con, propensities(given, csr)


def test_sql_gives_the_same_numbers(shop):
    con, right = shop

    def column(expression):
        return [row[0] for row in con.sql(f"SELECT {expression} FROM customers ORDER BY id").fetchall()]

    every = np.array(column("propensity_vector(features)"))
    np.testing.assert_allclose(every, right, rtol=0, atol=1e-6)
    for head in range(6):
        assert column(f"propensity(features, 'c{head}')") == every[:, head].tolist()
    found = column("propensities(features, ['c5', 'c1'])")
    assert [[row["c5"], row["c1"]] for row in found] == every[:, [5, 1]].tolist()
    best = column("propensity_topk(features, 6)")
    assert [[each["category"] for each in row] for row in best] == [
        [f"c{head}" for head in np.argsort(-row, kind="stable")] for row in every
    ]
    assert [[each["propensity"] for each in row] for row in best] == (-np.sort(-every, axis=1)).tolist()
    classes = column("propensity_classes(features, 'c2')")
    np.testing.assert_allclose([each["yes"] for each in classes], every[:, 2], rtol=0, atol=0)
    np.testing.assert_allclose([each["no"] for each in classes], 1 - every[:, 2], rtol=0, atol=1e-7)
    scores = con.sql(
        "SELECT id, category, propensity FROM propensity_scores('customers') ORDER BY id, category"
    ).fetchall()
    assert scores == [(row, f"c{head}", every[row, head]) for row in range(4) for head in range(6)]


def test_linked_categories_with_weights_of_class_1_are_not_written(tmp_path):
    for link in LINKED:
        given = network(link, 6)
        for positive in (0, 1):
            given.head_bias[2, 1] = 1 - positive
            with pytest.raises(ModelError, match="linked categories have weights of class 1"):
                write_checkpoint(given, tmp_path, "model", positive)
    assert not list(tmp_path.iterdir())


def test_sql_refuses_to_explain_it(shop):
    con, _ = shop
    with pytest.raises(Exception, match="links its categories to each other cannot be explained"):
        con.sql("SELECT propensity_explain(features, 'c1') FROM customers").fetchall()
