"""Compiled engine = MXNet engine = plain MXNet = a NumPy forward pass, over made networks and rows of every kind."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from conftest import make_bundle
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from networks import ACTIVATIONS, NORMS, WIDES, Plan, plain_mxnet, plans, rows
from scipy import sparse

import duckprop
from duckprop import mxnet_compat
from duckprop.compiled import CompiledScorer
from duckprop.engine import ENGINES
from duckprop.errors import DataError, ModelError
from duckprop.formats.mxnet import read_checkpoint
from duckprop.mxnet_engine import MXNetScorer
from duckprop.sparse import from_scipy

HIDDEN = st.lists(st.integers(1, 40), min_size=1, max_size=3).map(tuple)
SLOW = {"deadline": None, "derandomize": True, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


@dataclass(frozen=True)
class Case:
    hidden: tuple[int, ...]
    heads: int
    classes: int
    width: int
    rows: int
    scale: float
    seed: int

    def bundle(self, folder):
        names = tuple(f"category {number}" for number in range(self.heads))
        classes = tuple(f"class {number}" for number in range(self.classes))
        options = {"categories": names, "classes": classes, "width": self.width, "names": None, "seed": self.seed}
        return make_bundle(folder / f"bundle-{abs(hash(self))}", hidden=self.hidden, **options)

    def matrix(self):
        """A third of the rows are empty; the values' sizes spread over four orders of magnitude."""
        random = np.random.default_rng(self.seed)
        density = np.where(random.random(self.rows) < 1 / 3, 0, min(1, 12 / self.width))
        dense = (random.random((self.rows, self.width)) < density[:, None]).astype(np.float32)
        stored = random.normal(size=dense.shape) * 10 ** random.uniform(-2, 2, dense.shape) * self.scale
        return sparse.csr_matrix((dense * stored).astype(np.float32))


CASES = st.builds(
    *(Case, HIDDEN, st.integers(1, 50), st.integers(2, 4), st.integers(1, 3000)),
    *(st.integers(0, 40), st.sampled_from([1e-30, 1e-6, 1.0, 1e6]), st.integers(0, 10**6)),
)


def brute_force(bundle, matrix, case):
    """The documented network in float64, written independently of the engines and of their reader."""
    stored = mxnet_compat.load().nd.load(str(bundle / "model-0000.params"))
    weights = {name[4:]: array.asnumpy().astype(float) for name, array in stored.items()}
    x = matrix.toarray().astype(float)
    x = x / np.sqrt((x * x).sum(axis=1, keepdims=True) + 1e-12)
    hidden = np.maximum(x @ weights["fc1_weight"] + weights["fc1_bias"], 0)
    for number in range(2, len(case.hidden) + 1):
        hidden = np.maximum(hidden @ weights[f"fc{number}_weight"].T + weights[f"fc{number}_bias"], 0)
    logits = (hidden @ weights["heads_weight"].T + weights["heads_bias"]).reshape(-1, case.heads, case.classes)
    odds = np.exp(logits - logits.max(axis=2, keepdims=True))
    return odds[:, :, 0] / odds.sum(axis=2)


@given(CASES)
@example(Case((30,), 20, 2, 3000, 2048, 1.0, 1))
@example(Case((1,), 1, 2, 1, 1, 1.0, 2))
@example(Case((8, 4, 2), 50, 4, 7, 0, 1.0, 3))
@settings(max_examples=80, **SLOW)
def test_all_engines_and_plain_mxnet_and_numpy_give_the_same_propensities(tmp_path, case):
    bundle, matrix = case.bundle(tmp_path), case.matrix()
    model = duckprop.load(bundle)
    compiled, reference = (model.predict(matrix, engine) for engine in ENGINES)
    assert compiled.dtype == reference.dtype == np.float32
    assert compiled.shape == reference.shape == (case.rows, case.heads)
    np.testing.assert_allclose(compiled, reference, rtol=0, atol=1e-6)
    np.testing.assert_allclose(compiled, brute_force(bundle, matrix, case), rtol=0, atol=1e-6)
    if case.rows:
        np.testing.assert_allclose(reference, plain_mxnet(bundle, matrix, case.heads, case.classes), rtol=0, atol=1e-6)


def engines(plan, folder, positive=0):
    """Return the compiled and the MXNet engine on a plan's checkpoint."""
    plan.write(folder)
    mxnet = MXNetScorer(str(folder / "model"), plan.width, (plan.heads, plan.classes), positive)
    return CompiledScorer(read_checkpoint(folder), positive), mxnet


def agree(plan, folder, matrix, positive=0, atol=1e-6):
    batch = from_scipy(matrix)
    compiled, mxnet = (scorer.score(batch) for scorer in engines(plan, folder, positive))
    assert compiled.dtype == mxnet.dtype == np.float32
    assert compiled.shape == mxnet.shape == (matrix.shape[0], plan.heads)
    np.testing.assert_allclose(compiled, mxnet, rtol=0, atol=atol)
    np.testing.assert_allclose(compiled, plan.probabilities(matrix, positive), rtol=0, atol=atol)
    if matrix.shape[0] and not positive:
        np.testing.assert_allclose(mxnet, plain_mxnet(folder, matrix, plan.heads, plan.classes), rtol=0, atol=1e-6)


EVERY = [Plan((9,), (activation,), 33, 3, wide=wide) for activation in ACTIVATIONS for wide in WIDES]
EVERY += [Plan((8, 7), ("relu", "tanh"), 5, 2, norm=norm, has_bias=bool(norm % 2)) for norm in range(len(NORMS))]


@pytest.mark.parametrize("is_scaled", [False, True])
@pytest.mark.parametrize("plan", EVERY, ids=str)
def test_every_part_of_a_graph_agrees(tmp_path, plan, is_scaled):
    agree(replace(plan, is_scaled=is_scaled), tmp_path, rows(70, plan.width, 1, spread=1))


@given(plan=plans(), count=st.integers(0, 40), data=st.data())
@settings(max_examples=120, **SLOW)
def test_any_network_agrees(tmp_path, plan, count, data):
    positive = data.draw(st.integers(0, plan.classes - 1))
    agree(plan, tmp_path, rows(count, plan.width, plan.seed, spread=3 if plan.is_scaled else 0), positive)


@pytest.mark.parametrize("count", [0, 1, 2048])
@pytest.mark.parametrize("width", [1, 500])
def test_any_number_of_rows_and_columns_agrees(tmp_path, count, width):
    agree(Plan((33, 17), ("relu", "softrelu"), 65, 2, width, wide="last"), tmp_path, rows(count, width, spread=4))


@pytest.mark.parametrize("is_scaled", [False, True])
def test_a_row_of_a_hundred_thousand_values_agrees(tmp_path, is_scaled):
    plan, random = Plan((4,), ("tanh",), 3, 2, 120_000, is_scaled, wide="last"), np.random.default_rng(3)
    columns = np.sort(random.choice(plan.width, 100_000, replace=False))
    values = (random.lognormal(-6, 1, len(columns)) * random.choice([-1, 1], len(columns))).astype(np.float32)
    agree(plan, tmp_path, sparse.csr_matrix((values, columns, [0, 0, len(columns), len(columns)]), (3, plan.width)))


@given(plan=plans(is_scaled=st.just(False)), size=st.sampled_from([1.0, 1e4, 1e12]))
@settings(max_examples=40, **SLOW)
def test_where_float32_runs_out_of_digits_the_error_is_what_rounding_allows(tmp_path, plan, size):
    """A logit of 1,000 has four digits behind the point in any engine: 1e-6 then holds for none, MXNet included."""
    matrix = rows(30, plan.width, plan.seed, spread=2, size=size)
    exact, allowed = plan.probabilities(matrix), 1e-6 + 2**-24 * plan.logits(matrix, is_bound=True)[0].max(axis=2)
    for scorer in engines(plan, tmp_path):
        error = np.abs(scorer.score(from_scipy(matrix)) - exact)
        assert (error <= allowed).all(), (error / allowed).max()


@given(plan=plans(depth=2))
@settings(max_examples=40, **SLOW)
def test_the_embedding_is_the_last_hidden_layer_in_both_engines(tmp_path, plan):
    matrix = rows(300, plan.width, plan.seed)
    for scorer in engines(plan, tmp_path):
        found = scorer.embed(from_scipy(matrix))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, plan.logits(matrix)[1], rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_size_of_the_batch_changes_no_bit(tmp_path, engine):
    case = Case((33, 17), 50, 3, 500, 2048, 1.0, 5)
    scorer = duckprop.load(case.bundle(tmp_path)).scorer(engine)
    batch = from_scipy(case.matrix())
    whole = scorer.score(batch)
    for size, count in ((1, 40), (7, 2048), (2047, 2048)):
        parts = [scorer.score(batch.rows(at, min(at + size, count))) for at in range(0, count, size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole[:count])


@pytest.mark.parametrize("engine", ENGINES)
def test_threads_at_the_same_time_get_their_own_numbers(tmp_path, engine):
    scorer = duckprop.load(Case((64,), 40, 2, 500, 1, 1.0, 5).bundle(tmp_path)).scorer(engine)
    batches = [from_scipy(Case((64,), 40, 2, 500, 200, 1.0, seed).matrix()) for seed in range(16)]
    expected = [scorer.score(batch) for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        for found, right in zip(pool.map(scorer.score, batches * 10), expected * 10, strict=True):
            np.testing.assert_array_equal(found, right)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("engine", ENGINES)
def test_heads_come_in_the_order_asked_for(tmp_path, engine, classes):
    case = Case((16,), 9, classes, 60, 300, 1.0, 6)
    scorer = duckprop.load(case.bundle(tmp_path)).scorer(engine)
    batch = from_scipy(case.matrix())
    whole = scorer.score(batch)
    for heads in ([8, 0, 3], [4, 4, 4, 1], [2], []):
        np.testing.assert_array_equal(scorer.score(batch, np.array(heads, np.int64)), whole[:, heads])


def test_a_row_of_thousands_of_values_agrees(tmp_path):
    case = Case((24,), 10, 2, 3000, 3, 1e6, 8)
    bundle = case.bundle(tmp_path)
    dense = np.random.default_rng(8).lognormal(0, 3, (3, 3000)).astype(np.float32)
    matrix = sparse.csr_matrix(dense)
    found = duckprop.load(bundle).predict(matrix)
    np.testing.assert_allclose(found, brute_force(bundle, matrix, case), rtol=0, atol=1e-6)
    np.testing.assert_allclose(found, plain_mxnet(bundle, matrix, case.heads, case.classes), rtol=0, atol=1e-6)


@pytest.mark.parametrize("value", [1e20, 1e30, -3e38])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_value_that_overflows_is_refused_with_its_row(small_bundle, engine, value):
    matrix = sparse.lil_matrix((1000, 40), dtype=np.float32)
    matrix[3, 1], matrix[700, 5] = 1e15, value
    with pytest.raises(DataError, match=r"row 700 of its batch.*so large that the network overflows\nscale"):
        duckprop.load(small_bundle).predict(matrix.tocsr(), engine)


@pytest.mark.parametrize("positive", [0, 1])
@pytest.mark.parametrize("classes", [2, 3])
def test_the_positive_class_is_the_one_on_the_card(tmp_path, classes, positive):
    case = Case((8,), 4, classes, 30, 20, 1.0, 9)
    folder = case.bundle(tmp_path)
    network, batch = read_checkpoint(folder), from_scipy(case.matrix())
    compiled = CompiledScorer(network, positive).score(batch)
    reference = MXNetScorer(str(folder / "model"), 30, (4, classes), positive).score(batch)
    np.testing.assert_allclose(compiled, reference, rtol=0, atol=1e-6)
    everything = [CompiledScorer(network, number).score(batch) for number in range(classes)]
    np.testing.assert_allclose(np.sum(everything, axis=0), 1, atol=1e-6)
    assert not np.allclose(everything[0], everything[1])


@pytest.mark.parametrize("sizes", [(41, (5, 2)), (40, (6, 2)), (40, (5, 3))])
def test_sizes_that_do_not_fit_the_graph_are_refused(small_bundle, sizes):
    with pytest.raises(
        ModelError, match=r"MXNet cannot bind .* to 41 columns|gives 10 numbers a row.*\nimport it again"
    ):
        MXNetScorer(str(small_bundle / "model"), *sizes)


def foreign(folder: Path, activation: str, **softmax) -> Path:
    """A checkpoint as a scientist writes it: no row scaling, any activation, a bias as a parameter."""
    mx, random = mxnet_compat.load(), np.random.default_rng(3)
    product = mx.sym.sparse.dot(mx.sym.var("data", stype="csr"), mx.sym.var("w", shape=(12, 6)))
    hidden = mx.sym.Activation(mx.sym.broadcast_add(product, mx.sym.var("b", shape=(6,))), act_type=activation)
    hidden = mx.sym.Activation(mx.sym.FullyConnected(hidden, num_hidden=5, name="second"), act_type=activation)
    logits = mx.sym.FullyConnected(hidden, num_hidden=8, name="heads").reshape((-1, 4, 2))
    sizes = {"w": (12, 6), "b": 6, "second_weight": (5, 6), "second_bias": 5, "heads_weight": (8, 5), "heads_bias": 8}
    folder.mkdir()
    mx.sym.SoftmaxOutput(logits, name="softmax", **softmax).save(str(folder / "model-symbol.json"))
    arrays = {f"arg:{name}": mx.nd.array(random.normal(size=size)) for name, size in sizes.items()}
    mxnet_compat.save_arrays(folder / "model-0000.params", arrays)
    return folder


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh", "softrelu"])
def test_a_checkpoint_without_row_scaling_agrees_with_plain_mxnet(tmp_path, activation):
    folder = foreign(tmp_path / "model", activation, preserve_shape=True)
    matrix = sparse.random(30, 12, 0.4, "csr", np.float32, random_state=1)
    found = CompiledScorer(read_checkpoint(folder)).score(from_scipy(matrix))
    np.testing.assert_allclose(found, plain_mxnet(folder, matrix, 4, 2), rtol=0, atol=1e-6)


@pytest.mark.parametrize("softmax", [{}, {"multi_output": True}])
def test_a_softmax_over_anything_but_the_classes_is_refused(tmp_path, softmax):
    folder = foreign(tmp_path / "model", "relu", **softmax)
    with pytest.raises(ModelError, match=r"SoftmaxOutput.*\nscore it with engine='mxnet'"):
        read_checkpoint(folder)
