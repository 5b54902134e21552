"""The compiled engine: the same bits whatever is asked beside them, the k best, and what overflows."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Plan, rows
from scipy import sparse

from duckprop import cores, kernels
from duckprop.compiled import CompiledScorer
from duckprop.errors import DataError
from duckprop.explain import Explainer
from duckprop.formats.mxnet import read_checkpoint
from duckprop.network import ACTIVATIONS, LINKS, Layer, Network
from duckprop.sparse import from_scipy

WIDTH, ROWS = 300, 5000
FAMILIES = {
    "one layer": Plan((24,), ("relu",), 150, 2, WIDTH),
    "deep, wide, three classes": Plan((33, 17), ("tanh", "softrelu"), 65, 3, WIDTH, wide="last"),
    "deep, wide, not scaled": Plan((16, 31, 5), ("sigmoid", "relu", "identity"), 33, 2, WIDTH, False, "first", 2),
    "one head": Plan((7,), ("relu",), 1, 4, WIDTH),
}


@pytest.fixture(scope="module")
def scorers(tmp_path_factory):
    """Return how to get a new scorer of a family: one that remembers no rows yet."""
    folder = tmp_path_factory.mktemp("families")
    networks = {name: read_checkpoint(plan.write(folder / name)) for name, plan in FAMILIES.items()}
    return lambda name: CompiledScorer(networks[name])


@pytest.fixture(params=FAMILIES)
def scorer(request, scorers):
    return scorers(request.param)


@pytest.fixture
def threads():
    """Return how to set the number of threads for the rest of a test."""
    yield cores.set_cores
    cores.set_cores(None)


@cache
def matrix():
    return rows(ROWS, WIDTH, 5, stored=60, spread=1)


def some(start=0, stop=ROWS):
    """Return rows as a batch that no scorer has seen yet."""
    return from_scipy(matrix()[start:stop])


def every_way(scorer, start, stop):
    """Return the propensities (n, N) of some rows as ``score``, ``pairs`` and ``top`` give them."""
    count = stop - start
    pairs = np.divmod(np.arange(count * scorer.heads), scorer.heads)
    best = scorer.top(some(start, stop), scorer.heads)
    ranked = np.empty((count, scorer.heads), np.float32)
    np.put_along_axis(ranked, best.heads, best.propensities, axis=1)
    return scorer.score(some(start, stop)), scorer.pairs(some(start, stop), *pairs).reshape(ranked.shape), ranked


@pytest.mark.parametrize("size", [1, 7, 480, 1032, 2047, 2048])
def test_bits_do_not_depend_on_the_batch_nor_on_how_they_are_asked_for(scorer, size):
    whole = scorer.score(some())
    for start in (0, 11, 2049, ROWS - size):
        for found in every_way(scorer, start, start + size):
            np.testing.assert_array_equal(found, whole[start : start + size])


def test_bits_do_not_depend_on_the_heads(scorer):
    whole, random, count = scorer.score(some(0, 700)), np.random.default_rng(1), scorer.heads
    asked = [[head] for head in range(0, count, 16)] + [[count - 1], [0] * 3, np.arange(count)[::-1]]
    asked += [random.permutation(count), *(random.integers(0, count, size) for size in (1, 2, 16, 31, 33, 200))]
    for heads in asked:
        np.testing.assert_array_equal(scorer.score(some(0, 700), np.asarray(heads)), whole[:, heads])
    chosen = np.sort(random.permutation(count)[: count // 2 + 1])
    best = scorer.top(some(0, 700), 9, heads=chosen)
    np.testing.assert_array_equal(best.propensities, np.take_along_axis(whole, best.heads, axis=1))
    assert np.isin(best.heads, chosen).all()


@pytest.mark.parametrize("count", [1, 2, 4])
def test_bits_do_not_depend_on_the_number_of_threads(scorers, threads, count):
    for name in FAMILIES:
        threads(1)
        whole = scorers(name).score(some())
        threads(count)
        np.testing.assert_array_equal(scorers(name).score(some()), whole)
        for found in every_way(scorers(name), 100, 2148):
            np.testing.assert_array_equal(found, whole[100:2148])


@pytest.mark.parametrize("count", [1, 3])
def test_bits_do_not_depend_on_who_else_is_scoring(scorers, threads, count):
    threads(count)
    scorer = scorers("deep, wide, three classes")
    whole = scorer.score(some())
    starts = [at % 3000 for at in range(0, 60 * 211, 211)]
    with ThreadPoolExecutor(8) as pool:
        for start, parts in zip(starts, pool.map(lambda at: every_way(scorer, at, at + 600), starts), strict=True):
            for found in parts:
                np.testing.assert_array_equal(found, whole[start : start + 600])


@pytest.fixture
def pair_calls(monkeypatch):
    """What is computed pair by pair: a list of how many."""
    calls, real = [], kernels.score_pairs

    def spy(*arguments):
        calls.append(len(arguments[-1]))
        return real(*arguments)

    monkeypatch.setattr(kernels, "score_pairs", spy)
    return calls


def test_few_heads_are_computed_for_all_rows_and_many_pair_by_pair(scorer, pair_calls):
    whole, random = scorer.score(some(0, 999)), np.random.default_rng(2)
    for count, is_alone in ((0, False), (1, True), (40, True), (999, False), (5000, False)):
        asked, heads = random.integers(0, 999, count), random.integers(0, scorer.heads, count)
        heads = heads if is_alone else heads % 2 % scorer.heads
        np.testing.assert_array_equal(scorer.pairs(some(0, 999), asked, heads), whole[asked, heads])
        assert sum(pair_calls) == (count if is_alone else 0)
        pair_calls.clear()


def test_all_pairs_one_by_one_are_the_bits_of_all_rows(scorer, pair_calls):
    whole = scorer.score(some(0, 40))
    for row, head in np.ndindex(whole.shape):
        if head % 5 == 0 or head > scorer.heads - 3:
            assert scorer.pairs(some(0, 40), np.array([row]), np.array([head])) == whole[row, head]
    assert pair_calls


def test_the_embedding_does_not_depend_on_the_batch(scorer):
    whole = scorer.embed(some())
    for start, stop in ((0, 1), (3, 10), (1000, 3048), (0, 0)):
        np.testing.assert_array_equal(scorer.embed(some(start, stop)), whole[start:stop])


def coarse(random, classes, heads, size):
    """A network with weights in {−1, 0, 1} · size: many equal propensities, and many that are 1."""
    first = Layer(random.integers(-1, 2, (6, 4)).astype(np.float32), np.zeros(4, np.float32), "relu")
    weight = random.integers(-1, 2, (4, heads, classes)).astype(np.float32) * np.float32(size)
    return Network(first, (), weight, np.zeros((heads, classes), np.float32))


def brute_force(scores, k, heads, allowed):
    """Sort the allowed heads of each row by falling propensity, the lower one first among equals."""
    found = []
    for row, may in zip(scores.tolist(), allowed.tolist(), strict=True):
        left = [at for at in range(len(heads)) if may[at]]
        found.append([(heads[at], row[at]) for at in sorted(left, key=lambda at, row=row: (-row[at], at))[:k]])
    return found


@given(st.data())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_the_best_are_those_of_a_stable_sort(data):
    random = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    count, classes = data.draw(st.sampled_from([1, 5, 31, 32, 33, 70, 200])), data.draw(st.sampled_from([2, 3, 9]))
    scorer = CompiledScorer(coarse(random, classes, count, data.draw(st.sampled_from([0.25, 3, 30, 200]))))
    batch = from_scipy(sparse.csr_matrix(random.integers(-2, 3, (data.draw(st.integers(0, 30)), 6)).astype(np.float32)))
    chosen = np.sort(random.permutation(count)[: random.integers(0, count + 1)])
    heads = data.draw(st.sampled_from([None, chosen]))
    asked = np.arange(count) if heads is None else heads
    scores = scorer.score(batch)[:, asked]
    shape, least, banned = (len(batch), len(asked)), None, None
    if data.draw(st.booleans()):
        least = random.choice([0.0, 0.25, 0.5, 1.0, 1.5, 1e-30, *scores.ravel()[:5].tolist()], len(batch))
    if data.draw(st.booleans()):
        banned = random.random(shape) < data.draw(st.sampled_from([0.1, 0.9]))
    k = data.draw(st.sampled_from([0, 1, 3, 10, 128, 129, 250]))
    found = scorer.top(batch, k, heads=heads, least=least, banned=banned)
    allowed = np.ones(shape, bool) if banned is None else ~banned
    allowed &= scores >= (0 if least is None else least[:, None])
    assert found.heads.shape == found.propensities.shape == (len(batch), min(k, len(asked)))
    rows_of = (found.heads.tolist(), found.propensities.tolist(), found.counts.tolist())
    ranked = [list(zip(heads, best, strict=True))[:count] for heads, best, count in zip(*rows_of, strict=True)]
    assert ranked == brute_force(scores, k, asked.tolist(), allowed)


@pytest.mark.parametrize("classes", [2, 9])
def test_the_rows_that_are_ranked_reach_both_ends_many_times(classes):
    scorer = CompiledScorer(coarse(np.random.default_rng(1), classes, 70, 200))
    scores = scorer.score(from_scipy(sparse.eye(6, format="csr")))
    for end in (scores == 1, scores < 2e-38):
        assert end.sum(axis=1).max() > 5


@pytest.mark.parametrize("k", [5, 128, 129, 150])
def test_the_best_of_real_rows_are_those_of_a_stable_sort(scorers, k):
    scorer = scorers("one layer")
    scores, found = scorer.score(some()), scorer.top(some(), k)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(found.heads, order)
    np.testing.assert_array_equal(found.propensities, np.take_along_axis(scores, order, axis=1))


def narrow(activation="relu", wide=None, heads=1.0, classes=2):
    """Three features into a unit of its own each, one more layer of the same, 150 heads."""
    eye, none = np.eye(3, dtype=np.float32), np.zeros(3, np.float32)
    weight = np.full((3, 150, classes), heads, np.float32) * np.arange(classes, dtype=np.float32)
    straight = None if wide is None else sparse.csr_matrix(np.full((3, 150 * classes), wide, np.float32))
    if straight is not None:
        straight.data[::classes] = 0  # the positive class's: equal ones would cancel
        straight.eliminate_zeros()
    hidden = (Layer(eye, none, activation),)
    return Network(Layer(eye, none, activation), hidden, weight, np.zeros((150, classes), np.float32), None, straight)


OVERFLOWS = {
    "the first layer": (narrow(), 3e38),
    "the first layer, below zero": (narrow("identity"), -3e38),
    "a hidden layer": (narrow(heads=1e10), 1e29),
    "the heads": (narrow(heads=1e36), 1e3),
    "the wide path": (narrow("sigmoid", wide=1e30), 1e9),
    "the wide path beyond float32": (narrow("tanh", wide=1e34, classes=3), 1e20),
}
QUESTIONS = {
    "score": lambda scorer, batch: scorer.score(batch),
    "one head": lambda scorer, batch: scorer.score(batch, np.array([7])),
    "top": lambda scorer, batch: scorer.top(batch, 3),
    "top of many": lambda scorer, batch: scorer.top(batch, 140),
    "pairs": lambda scorer, batch: scorer.pairs(batch, np.arange(len(batch)), np.zeros(len(batch), int)),
    "pairs one by one": lambda scorer, batch: scorer.pairs(batch, np.array([300, 1300]), np.array([3, 90])),
    "embed": lambda scorer, batch: scorer.embed(batch),
    "explain": lambda scorer, batch: Explainer(scorer).contributions(batch, np.array([300, 1300]), np.array([3, 90])),
}


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("where", OVERFLOWS)
def test_what_overflows_is_refused_with_its_row(where, question):
    network, value = OVERFLOWS[where]
    dense = np.ones((1500, 3), np.float32)
    dense[[1300, 1400], 1] = value
    dense[1400, 2] = -value
    scorer, ask = CompiledScorer(network), QUESTIONS[question]
    if "wide" in where and question == "embed":
        assert np.isfinite(ask(scorer, from_scipy(sparse.csr_matrix(dense)))).all()
        return
    with pytest.raises(DataError, match=r"row 1300 of its batch.*so large that the network overflows\nscale"):
        ask(scorer, from_scipy(sparse.csr_matrix(dense)))
    moved = from_scipy(sparse.csr_matrix(np.vstack([dense[:5], dense]))).rows(5, 1505)
    with pytest.raises(DataError, match="row 1305 of its batch"):
        ask(scorer, moved)
    ask(scorer, from_scipy(sparse.csr_matrix(np.ones((1500, 3), np.float32))))


@given(st.lists(st.sampled_from([3e38, -3e38, 1e37, -1e36, 1e20, 1.0, 0.0]), min_size=6, max_size=6), st.data())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_nan_never_comes_out(values, data):
    random = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    kind = data.draw(st.sampled_from(ACTIVATIONS))
    classes, wide = data.draw(st.sampled_from([2, 3])), data.draw(st.sampled_from([None, 1.0, 1e30]))
    sizes, none = random.normal(size=(6, 5)).astype(np.float32), np.zeros(5, np.float32)
    straight = None
    if wide:
        straight = sparse.csr_matrix((random.normal(size=(6, 9 * classes)) * wide).astype(np.float32))
    weight, bias = random.normal(size=(5, 9, classes)).astype(np.float32), np.zeros((9, classes), np.float32)
    epsilon = data.draw(st.sampled_from([None, 1e-12]))
    more = {"row_norm": data.draw(st.sampled_from(["l2", "l1"]))}
    more |= {"link": data.draw(st.sampled_from(LINKS if classes == 2 else LINKS[:1]))}
    both = np.sort(random.normal(size=(2, 5)), axis=0).astype(np.float32)
    layers = Layer(sizes, none, kind, both), (Layer(sizes[:5], none, kind, both),)
    network = Network(*layers, weight, bias, epsilon, straight, **more)
    batch = from_scipy(sparse.csr_matrix(np.array([values, values[::-1]], np.float32)))
    ask = data.draw(st.sampled_from(["score", "top", "pairs", "embed"]))
    answers = {
        "score": lambda scorer: scorer.score(batch),
        "top": lambda scorer: scorer.top(batch, 4).propensities,
        "pairs": lambda scorer: scorer.pairs(batch, np.zeros(1, int), np.array([8])),
        "embed": lambda scorer: scorer.embed(batch),
    }
    try:
        found = answers[ask](CompiledScorer(network))
    except DataError:
        return
    assert np.isfinite(found).all()
    assert ask == "embed" or ((found >= 0) & (found <= 1)).all()
