"""Every side of the benchmark, in SQL and engine only: they answer alike, or say why they do not take part."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest

from duckprop.benchmarks import arrays, engines, limit, peers
from duckprop.benchmarks.harness import Settings, run
from duckprop.benchmarks.plain import plain
from duckprop.benchmarks.protocol import compare
from duckprop.benchmarks.questions import questions
from duckprop.benchmarks.report import as_json, remarks
from duckprop.benchmarks.side import ENGINE, SQL, LeftOut, Samples, WrongAnswer, quickest
from duckprop.benchmarks.sides import ALONE, BASES, SIDES, TRUSTED
from duckprop.benchmarks.workload import Sizes, Workload, synthetic
from duckprop.model import Model
from duckprop.sparse import build

pytestmark = pytest.mark.usefixtures("no_pause")

TINY = Sizes(rows=2_100, width=300, nonzeros=8, hidden=(6,), categories=70)
SAMPLES = Samples(naive=9, batches=2_060, heads=30)
EXPECTED = ("", "not installed: pip install 'duckprop[peers]'", "explains one hidden layer alone")
SCORING = ["MXNet, N heads", "MXNet, fused heads", "scipy + numpy", "compiled"]


@pytest.fixture(scope="module")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    return synthetic(tmp_path_factory.mktemp("bench") / "model", TINY, seed=3)


@pytest.fixture(scope="module")
def ragged(small_bundle) -> Workload:
    """Two hidden layers, and rows of 0 to 40 non-zeros: the first and the last one empty, negative values too."""
    return Workload(Model(small_bundle), ragged_rows(40), "made here")


def ragged_rows(width: int):
    random = np.random.default_rng(5)
    lengths = random.integers(0, width + 1, 600)
    lengths[[0, 7, 599]], lengths[[1, 20]] = 0, width
    columns = np.concatenate([np.sort(random.permutation(width)[:length]) for length in lengths])
    return build(np.concatenate([[0], np.cumsum(lengths)]), columns, random.normal(0, 2, len(columns)), width)


def opened(stack: ExitStack, workload: Workload, number: int, names=tuple(SIDES)) -> Iterator:
    question = questions(workload.model, full=True)[number]
    for name in names:
        try:
            yield stack.enter_context(SIDES[name](workload, question, SAMPLES))
        except LeftOut as reason:
            if str(reason) not in EXPECTED:
                raise


@pytest.mark.parametrize("number", range(6))
def test_all_sides_answer_every_question_alike(workload, number):
    question = questions(workload.model, full=True)[number]
    with ExitStack() as stack:
        sides = list(opened(stack, workload, number))
        reference, differences = compare(sides, question.tolerance)
        got = {
            side.name: side.outputs(2_048, min(side.compared, 2_060))
            for side in sides
            if side.compared > 2_048 and side.outputs
        }
        for side in sides:
            side.run()
    explains = question.explained is not None
    assert reference.name == ("scipy + numpy" if explains else "MXNet, fused heads")
    assert {"engine compiled", "compiled"} <= set(differences)
    if not explains:
        assert {"naive row UDF", "engine mxnet", "scipy + numpy", "limit: gather + GEMM"} <= set(differences)
    assert ("MXNet, N heads" in differences) == (number == 0)
    rows = workload.batch.rows(2_048, 2_060).to_scipy()
    expected = workload.model.predict(rows, "mxnet")
    chosen = np.linspace(0, 69, 20).astype(int)
    best = -np.sort(-expected, axis=1)[:, :10]
    wanted = [expected, best, expected[:, [35]], expected[:, chosen], -np.sort(-expected[:, chosen], axis=1)]
    for name, numbers in got.items():
        assert numbers.shape == (12, (70, 10, 1, 20, 20, 5)[number]), name
        if not explains:
            np.testing.assert_allclose(numbers, wanted[number], atol=1e-6, rtol=0, err_msg=name)


@pytest.mark.parametrize("number", range(6))
def test_all_sides_score_rows_of_different_lengths_and_two_hidden_layers(ragged, number):
    with ExitStack() as stack:
        sides = list(opened(stack, ragged, number))
        _, differences = compare(sides, questions(ragged.model, full=True)[number].tolerance)
        for side in sides:
            side.run()
    assert len(differences) >= (1 if number == 5 else 5)


def test_contributions_of_numpy_add_up_to_the_log_odds(workload):
    found = plain(workload.model, questions(workload.model)[0])
    found = replace(found, bias=np.linspace(-0.5, 0.5, 6, dtype=np.float32))
    rows = ragged_rows(300)
    heads = found.heads[:, 5].astype(float)
    rise = (arrays.last_hidden(found, rows) - np.maximum(found.bias, 0)) @ heads
    got = np.add.reduceat(np.append(arrays.contributions(found, rows, 5), 0), rows.indptr[:-1])
    filled = np.diff(rows.indptr) > 0
    np.testing.assert_allclose(got[filled], rise[filled], atol=1e-5)


def test_sides_are_named_as_they_are_listed_and_of_two_kinds(workload):
    with ExitStack() as stack:
        kinds = {side.name: side.kind for side in opened(stack, workload, 0)}
    assert set(kinds) <= set(SIDES)
    assert [name for name in SIDES if kinds.get(name) == SQL] == list(SIDES)[:5]
    assert set(SCORING) <= {name for name, kind in kinds.items() if kind == ENGINE}
    assert set(BASES.values()) | set(ALONE) | set(TRUSTED) <= set(SIDES)
    assert "floor: empty UDF" not in ALONE


def test_slow_sides_are_timed_on_samples_and_mxnet_is_compared_on_all_rows(workload):
    with ExitStack() as stack:
        sides = {side.name: side for side in opened(stack, workload, 0)}
        found = {name: (side.rows, side.compared) for name, side in sides.items()}
    assert found["naive row UDF"] == (9, 9)
    assert found["engine mxnet"] == (2_060, 2_060)
    assert found["MXNet, N heads"] == (30, 30)
    assert found["MXNet, fused heads"] == (2_060, 2_100)
    assert found["compiled"] == found["scipy + numpy"] == (2_100, 2_100)


@pytest.mark.parametrize("peer", [peers.TORCH, peers.ONNX])
def test_a_missing_peer_is_left_out_and_said(workload, monkeypatch, peer):
    monkeypatch.setitem(peers.PACKAGES, peer, ("no-such-package-anywhere",))
    names = (peer, "scipy + numpy", "compiled")
    report = run(workload, Settings(1, SAMPLES, cold=False), sides={name: SIDES[name] for name in names})
    for question in as_json(report)["questions"]:
        assert question["left_out"] == {peer: "not installed: pip install 'duckprop[peers]'"}
        assert [side["side"] for side in question["sides"]] == ["scipy + numpy", "compiled"]
    assert f"{peer}: left out: not installed: pip install 'duckprop[peers]'" in remarks(report)


def test_peers_are_not_made_for_three_classes_and_say_so(write_bundle):
    model = Model(write_bundle(classes=("a", "b", "c"), hidden=(8,), names=None))
    workload = Workload(model, ragged_rows(model.width), "made here")
    report = run(workload, Settings(1, SAMPLES, cold=False))
    assert report.answers[0].left_out["scipy + numpy"] == "made for two classes and no wide path"
    names = {timing.side for timing in report.answers[0].timings}
    assert {"naive row UDF", "engine compiled", "compiled", "MXNet, fused heads"} <= names
    assert "limit: gather + GEMM" not in names


@pytest.mark.parametrize("peer", [peers.TORCH, peers.ONNX])
def test_a_peer_states_its_batch_size_or_what_is_missing(workload, peer):
    if peers.missing(peer):
        with (
            pytest.raises(LeftOut, match="not installed"),
            SIDES[peer](workload, questions(workload.model)[1], SAMPLES),
        ):
            pytest.fail("it has been opened")
        return
    with SIDES[peer](workload, questions(workload.model)[1], SAMPLES) as side:
        assert side.note.startswith("batches of ")
        assert "the best of" in side.note
        assert side.outputs(0, 5).shape == (5, 10)


def test_a_wrong_peer_is_refused(workload, monkeypatch):
    monkeypatch.setattr(arrays, "scales", lambda block, epsilon: np.full(len(block), 0.1, np.float32))
    with pytest.raises(WrongAnswer, match=r"scipy \+ numpy differs"):
        run(
            workload,
            Settings(1, SAMPLES, cold=False),
            sides={n: SIDES[n] for n in ("compiled", "scipy + numpy", "MXNet, fused heads")},
        )


@pytest.mark.parametrize(("is_blas", "told"), [(True, "product by BLAS"), (False, "product by our kernel")])
@pytest.mark.parametrize("number", range(4))
def test_the_limit_computes_the_logits_of_the_propensities_either_way(workload, monkeypatch, number, is_blas, told):
    monkeypatch.setattr(limit, "quickest", lambda attempts: is_blas)
    question = questions(workload.model)[number]
    with (
        SIDES["limit: gather + GEMM"](workload, question, SAMPLES) as side,
        SIDES["compiled"](workload, question, SAMPLES) as ours,
    ):
        assert side.note.startswith(told)
        np.testing.assert_allclose(side.outputs(0, 99), ours.outputs(0, 99), atol=1e-6, rtol=0)


def test_the_quickest_is_chosen_after_a_warm_up():
    ran: list[str] = []

    def busy(name: str, steps: int):
        return lambda: ran.append(name) or sum(range(steps))

    assert quickest({"slow": busy("slow", 3_000_000), "fast": busy("fast", 10)}) == "fast"
    assert ran == ["slow"] * 3 + ["fast"] * 3


def test_plain_arrays_are_the_network(workload):
    found = plain(workload.model, questions(workload.model)[2])
    assert found.weight.shape == (300, 6)
    assert found.heads.shape == (6, 1)
    hidden = arrays.last_hidden(found, workload.batch.rows(0, 4))
    p = 1 / (1 + np.exp(-(hidden @ found.heads + found.heads_bias)))
    np.testing.assert_allclose(p[:, 0], workload.model.predict(workload.batch.rows(0, 4).to_scipy())[:, 35], atol=1e-6)


def test_sparse_layer_alone_computes_no_head(workload, monkeypatch):
    asked = []
    scorer = workload.model.scorer()
    score = scorer.score
    monkeypatch.setattr(
        scorer, "score", lambda rows, heads: asked.append((len(rows), len(heads))) or score(rows, heads)
    )
    with engines.sparse_layer(workload, questions(workload.model)[0], SAMPLES) as side:
        side.run()
        assert side.outputs is None
    assert asked == [(2_048, 0), (52, 0)]
