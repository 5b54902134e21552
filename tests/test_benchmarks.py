"""The benchmark harness on a tiny shape: what it measures is right; how fast anything is, is not asked here."""

import io
import json
import os
import resource
import subprocess
import sys
from contextlib import closing, contextmanager
from dataclasses import replace

import duckdb
import numpy as np
import pyarrow
import pytest

from duckprop.benchmarks import in_sql, memory
from duckprop.benchmarks.harness import Answer, Settings, Timing, run
from duckprop.benchmarks.memory import in_own_process
from duckprop.benchmarks.naive import row_udf
from duckprop.benchmarks.protocol import compare, time_sides
from duckprop.benchmarks.questions import questions
from duckprop.benchmarks.report import as_json, print_report, write_json
from duckprop.benchmarks.side import SQL, Samples, Side, WrongAnswer
from duckprop.benchmarks.sides import SIDES
from duckprop.benchmarks.workload import Sizes, Workload, published, synthetic, zipf_rows
from duckprop.errors import DataError, ModelError, UsageError
from duckprop.features import read_features
from duckprop.model import Model

pytestmark = pytest.mark.usefixtures("no_pause")

TINY = Sizes(rows=2_100, width=300, nonzeros=8, hidden=(6,), categories=12)
SAMPLES = Samples(naive=20, batches=2_050, heads=30)
FAST = Settings(repeats=2, samples=SAMPLES, cold=False)
IN_SQL = {name: SIDES[name] for name in list(SIDES)[:5]}


@pytest.fixture(scope="module")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    return synthetic(tmp_path_factory.mktemp("bench") / "model", TINY, seed=3)


@pytest.fixture(scope="module")
def report(workload):
    return run(workload, FAST, sides=IN_SQL)


def test_rows_are_sparse_and_never_zero(workload):
    batch = workload.batch
    assert (np.diff(batch.indptr) == 8).all()
    assert (batch.values > 0).all()
    columns = batch.indices.reshape(-1, 8)
    assert (np.diff(columns, axis=1) > 0).all()
    counts = np.sort(np.bincount(batch.indices, minlength=300))[::-1]
    assert counts[0] > 10 * counts[150] > 0  # Zipf: few popular columns, and the rest is not empty
    assert np.bincount(batch.indices, minlength=300)[:10].sum() < counts[:10].sum() / 2  # not the first columns


def test_rows_and_model_follow_from_the_seed(workload, tmp_path):
    again = synthetic(tmp_path / "model", TINY, seed=3)
    assert again.table().equals(workload.table())
    first, second = (each.model.predict(each.batch.to_scipy()) for each in (workload, again))
    assert np.array_equal(first, second)
    assert zipf_rows(TINY, 4).indices.tolist() != workload.batch.indices.tolist()


def test_propensities_differ_between_customers(workload):
    propensities = workload.model.predict(workload.batch.to_scipy())
    assert propensities.std(axis=0).min() > 0.001


@pytest.mark.parametrize("sizes", [replace(TINY, nonzeros=151), replace(TINY, rows=0), replace(TINY, nonzeros=0)])
def test_rows_that_cannot_be_drawn_are_refused(sizes):
    with pytest.raises(UsageError, match="cannot be drawn"):
        zipf_rows(sizes, 1)


def test_every_side_in_sql_scores_the_same_rows(workload, monkeypatch):
    opened = []

    def note(con, given):
        load(con, given)
        opened.append(con.sql("FROM bench_rows ORDER BY id").to_arrow_table().to_pylist())

    load = in_sql._load
    monkeypatch.setattr(in_sql, "_load", note)
    for opener in IN_SQL.values():
        with opener(workload, questions(workload.model)[0], SAMPLES) as side:
            assert side.kind == SQL
    assert len(opened) == len(IN_SQL)
    assert all(rows == workload.table().to_pylist() for rows in opened)


def test_a_run_in_sql_does_not_profit_from_the_run_before(workload, monkeypatch):
    from duckprop.udfs import udf

    read = []
    monkeypatch.setattr(udf, "read_features", lambda *given: read.append(1) or read_features(*given))
    with SIDES["engine compiled"](workload, questions(workload.model)[0], SAMPLES) as side:
        side.run()
        once = len(read)
        side.run()
    assert once == 2  # 2,100 rows
    assert len(read) == 2 * once


def test_naive_scores_as_mxnet_and_the_compiled_engine_do(workload):
    score, batch = row_udf(workload.model), workload.batch.rows(0, 5)
    indices, values = batch.indices.reshape(5, 8).tolist(), batch.values.reshape(5, 8).tolist()
    naive = np.array([score(*row) for row in zip(indices, values, strict=True)])
    assert naive.shape == (5, 12)
    for engine in ("mxnet", "compiled"):
        np.testing.assert_allclose(naive, workload.model.predict(batch.to_scipy(), engine), atol=1e-6, rtol=0)


def test_a_plan_that_does_not_score_is_refused(workload):
    question = replace(questions(workload.model)[0], sink="count(*)")
    with pytest.raises(WrongAnswer, match="does not call"), SIDES["engine compiled"](workload, question, SAMPLES):
        pass


@contextmanager
def wrong(workload, question, sample):
    """A side of the right shape with one wrong number, behind the first vector."""
    with SIDES["engine compiled"](workload, question, sample) as side:

        def outputs(start: int, stop: int):
            numbers = side.outputs(start, stop).copy()
            if start == 2_048:
                numbers[7, 0] += 0.25
            return numbers

        yield replace(side, name="planted", outputs=outputs, run=lambda: pytest.fail("timed"))


def test_another_library_that_is_wrong_is_left_out_and_the_rest_is_timed(workload):
    @contextmanager
    def wrong_peer(*arguments):
        with wrong(*arguments) as side:
            yield replace(side, is_peer=True)

    trusted = SIDES["MXNet, fused heads"]
    report = run(workload, FAST, sides={"MXNet, fused heads": trusted, "planted": wrong_peer})
    answer = report.answers[0]
    assert [timing.side for timing in answer.timings] == ["MXNet, fused heads"]
    assert "planted differs from MXNet, fused heads by" in answer.left_out["planted"]


def test_a_wrong_side_is_named_before_anything_is_timed(workload):
    with pytest.raises(
        WrongAnswer, match=r"planted differs from engine compiled by 0\.25 in row 2055, number 0"
    ) as caught:
        run(workload, FAST, sides={"engine compiled": SIDES["engine compiled"], "planted": wrong})
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(("numbers", "told"), [(np.full((3, 2), np.nan), "nan"), (np.zeros((3, 1)), "returns")])
def test_nan_and_other_shapes_are_differences(numbers, told):
    right = Side("right", 3, lambda: None, lambda start, stop: np.zeros((3, 2), np.float32))
    with pytest.raises(WrongAnswer, match=told):
        compare([right, Side("other", 3, lambda: None, lambda start, stop: numbers)])


def test_a_trusted_side_is_the_reference_and_a_sample_is_compared_as_far_as_it_goes():
    def side(name: str, rows: int, checked: int | None = None) -> Side:
        def outputs(start: int, stop: int):
            assert stop <= (checked or rows)
            return np.full((stop - start, 1), start, np.float32)

        return Side(name, rows, lambda: None, outputs, checked=checked)

    sides = [side("compiled", 5_000), side("MXNet, fused heads", 10, checked=5_000), side("naive row UDF", 7)]
    reference, differences = compare(sides)
    assert reference is sides[1]
    assert differences == {"compiled": 0, "naive row UDF": 0}
    assert compare([side("a", 7), side("b", 7)])[0].name == "a"
    assert compare([Side("floor", 7, lambda: None)]) == (None, {})


def test_a_question_may_have_a_tolerance_of_its_own():
    right = Side("right", 3, lambda: None, lambda start, stop: np.zeros((3, 2), np.float32))
    near = Side("near", 3, lambda: None, lambda start, stop: np.full((3, 2), 5e-6, np.float32))
    assert compare([right, near], 1e-5)[1] == {"near": pytest.approx(5e-6)}
    with pytest.raises(WrongAnswer, match="agree within 1e-06"):
        compare([right, near])


def test_rounds_are_interleaved_and_begun_by_each_side_in_turn():
    ran: list[str] = []
    seconds = time_sides([Side(name, 1, lambda name=name: ran.append(name)) for name in "ab"], 3)
    assert "".join(ran) == "ab" + "ba" + "ab" + "ba"
    assert [len(runs) for runs in seconds.values()] == [3, 3]


def test_ratios_are_those_of_the_medians():
    naive = Timing("naive row UDF", 10, (1.0, 2.0, 9.0))
    fast = Timing("engine compiled", 100, (0.5, 4.0, 1.0))
    answer = Answer("all categories", (naive, fast))
    assert naive.rows_per_second == 5
    assert answer.ratio(fast) == 20
    assert answer.ratio(fast, "MXNet, fused heads") is None
    assert answer.sparse_share is None


def test_the_share_of_the_sparse_layer_is_one_of_our_engines_time():
    whole, part = Timing("compiled", 100, (2.0,)), Timing("compiled: sparse layer alone", 100, (0.5,))
    assert Answer("all categories", (whole, part)).sparse_share == 0.25


def test_json_holds_every_field(report, tmp_path):
    write_json(report, tmp_path / "bench.json")
    got = json.loads((tmp_path / "bench.json").read_text())
    assert got == json.loads(json.dumps(as_json(report)))
    assert got["workload"] == {
        "model": "random, seed 3", "rows": 2_100, "source": "drawn, Zipf 0.8, seed 3", "features": 300,
        "nonzeros_per_row": 8.0, "nonzeros_range": [8, 8], "layers": [300, 6, 24], "categories": 12, "classes": 2,
    }  # fmt: skip
    assert got["settings"] == {
        "repeats": 2, "samples": {"naive": 20, "batches": 2_050, "heads": 30}, "cold": False, "full": False,
        "tolerance": 1e-6,
    }  # fmt: skip
    names = [answer["question"] for answer in got["questions"]]
    assert names == ["all categories", "top 10", "one category", "12 categories"]
    for answer in got["questions"]:
        assert [side["side"] for side in answer["sides"]] == list(IN_SQL)
        assert [side["rows"] for side in answer["sides"]] == [2_100, 2_100, 20, 2_050, 2_100]
        assert [side["is_reference"] for side in answer["sides"]] == [False, False, False, False, True]
        assert [side["max_difference"] is None for side in answer["sides"]] == [True, True, False, False, True]
        assert all(len(side["seconds"]) == 2 and min(side["seconds"]) > 0 for side in answer["sides"])
        naive, last = answer["sides"][2], answer["sides"][4]
        assert last["kind"] == "SQL"
        assert last["median_s"] == np.median(last["seconds"])
        assert last["rows_per_second"] == 2_100 / last["median_s"]
        assert last["times_naive"] == last["rows_per_second"] / naive["rows_per_second"]
        assert last["times_mxnet"] is last["times_torch"] is last["times_limit"] is None
        assert answer["left_out"] == {}


def test_json_says_where_it_was_measured(report):
    about = as_json(report)["machine"]
    assert about["processor"]
    assert about["threads"] >= 1
    assert about["versions"]["duckdb"] == duckdb.__version__
    assert about["versions"]["pyarrow"] == pyarrow.__version__
    assert {"duckprop", "duckdb", "mxnet", "numba", "numpy", "pyarrow", "scipy", "torch", "onnxruntime"} < set(
        about["versions"]
    )
    assert set(about["blas"]) == {"numpy", "scipy"}
    assert "OPENBLAS_CORETYPE" in about["environment"]
    assert {"cores", "usable_cores", "load_before", "load_after", "system", "python"} <= set(about)


def test_table_shows_machine_shape_and_every_side(report):
    text = io.StringIO()
    print_report(report, text)
    shown = text.getvalue()
    for expected in ("2 threads" if os.cpu_count() == 2 else "threads", "BLAS numpy:", "8.0 non-zeros each",
                     "300 → 6 → 24", "2 interleaved runs", "reference", "all categories, in SQL"):  # fmt: skip
        assert expected in shown
    for name in IN_SQL:
        assert shown.count(name) >= 4, name
    assert "…" not in shown


def test_cold_runs_report_memory_of_their_own_process(workload):
    told: list[str] = []
    cold = in_own_process(workload, SAMPLES, told.append, ["floor: scan", "MXNet, fused heads", "compiled"])
    assert list(cold) == ["floor: scan", "MXNet, fused heads", "compiled"]
    assert len(told) == 3
    assert all(side.seconds > 0.05 and side.peak_mib > 20 for side in cold.values())
    assert cold["floor: scan"].peak_mib + 30 < cold["MXNet, fused heads"].peak_mib


def test_memory_is_resident_and_a_floor_loads_no_engine():
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    assert 20 < memory.peak_mib() <= largest * 1.01
    code = (
        "import sys, duckprop.benchmarks.sides; sys.exit(len({'mxnet', 'numba', 'torch', 'onnx'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0


def test_a_process_that_fails_is_reported():
    with pytest.raises(ModelError, match=r"'compiled' fails in a process of its own: .*ModelError"):
        memory._spawn(["nowhere", "nowhere.parquet", "compiled", "{}"])


def test_a_published_model_scores_the_users_rows(small_bundle, tmp_path):
    with closing(duckdb.connect()) as con:
        con.execute(
            "COPY (SELECT unnest([NULL, MAP {'item 3': 1.0, 'item 5': 2.0}, NULL, MAP {'item 39': 0.5}]) AS features) "
            f"TO '{tmp_path}/rows.parquet'"
        )
    model = Model(small_bundle)
    workload = published(model, str(tmp_path / "rows.parquet"), TINY, 1)
    assert workload.batch.indices.tolist() == [3, 5, 39]
    assert workload.batch.indptr.tolist() == [0, 2, 3]
    assert len(published(model, str(tmp_path / "rows.parquet"), replace(TINY, rows=1), 1).batch) == 1
    got = as_json(run(workload, FAST))
    assert {side["rows"] for side in got["questions"][0]["sides"]} == {2}
    assert got["workload"]["nonzeros_range"] == [1, 2]
    assert [answer["question"] for answer in got["questions"]][1] == "top 5"


def test_a_published_model_gets_drawn_rows_of_its_width(small_bundle):
    workload = published(Model(small_bundle), None, TINY, 1)
    assert workload.batch.width == 40
    assert workload.describe()["nonzeros_per_row"] == 8


@pytest.mark.parametrize("relation", ["SELECT NULL AS features", "SELECT 1 AS id", "no_such_file.parquet"])
def test_rows_that_are_not_there_are_refused(small_bundle, relation):
    with pytest.raises(DataError):
        published(Model(small_bundle), relation, TINY, 1)


@pytest.mark.parametrize("settings", [replace(FAST, repeats=0), replace(FAST, samples=Samples(naive=0))])
def test_fewer_than_one_run_is_refused(workload, settings):
    with pytest.raises(UsageError, match="--repeats"):
        run(workload, settings)
