"""What a benchmark leaves behind: JSON, Markdown, plots, curves, and the command that makes them."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from duckprop.benchmarks import loading as loading_module
from duckprop.benchmarks import plots, scaling
from duckprop.benchmarks import workload as shapes
from duckprop.benchmarks.harness import Answer, Report, Settings, Timing, run
from duckprop.benchmarks.loading import Loading, loading
from duckprop.benchmarks.markdown import as_markdown, write_markdown
from duckprop.benchmarks.memory import Cold
from duckprop.benchmarks.report import about_loading, as_json, remarks
from duckprop.benchmarks.scaling import Plan, curves
from duckprop.benchmarks.side import ENGINE, Samples
from duckprop.benchmarks.sides import SIDES
from duckprop.benchmarks.workload import Sizes, synthetic
from duckprop.cli.bench import bench
from duckprop.cores import cores
from duckprop.errors import ModelError, UsageError

pytestmark = pytest.mark.usefixtures("no_pause")

CHOSEN = (
    "naive row UDF", "engine compiled", "MXNet, fused heads", "scipy + numpy", "compiled", "limit: gather + GEMM",
)  # fmt: skip
TINY = Sizes(rows=60, width=300, nonzeros=8, hidden=(6,), categories=12)
PLAN = Plan(
    base=TINY, customers=(10, 60), features=(100, 300), nonzeros=(2, 8), hidden=(4, 6), categories=(1, 12), k=(1, 5, 99)
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("bench") / "model"
    settings = Settings(repeats=1, samples=Samples(5, 60, 5), cold=False, full=True)
    chosen = {name: SIDES[name] for name in CHOSEN}
    found = run(synthetic(folder, TINY, 3), settings, sides=chosen)
    return replace(
        found, curves=curves(PLAN, 3), loading={"cold": Loading(6.5, 6.0, 0.5), "warm": Loading(0.5, 0.25, 0.5)}
    )


def test_curves_cover_every_dimension(report):
    found = {curve.dimension: curve for curve in report.curves}
    assert list(found) == ["customers", "features", "nonzeros", "hidden", "categories", "k", "threads"]
    sizes = {name: [point.size for point in curve.points if point.side == "compiled"] for name, curve in found.items()}
    assert sizes["customers"] == [10, 60]
    assert sizes["hidden"] == [4, 6]
    assert sizes["k"] == [1, 5]  # there are 12 categories
    assert sizes["threads"][0] == 1
    assert sizes["threads"][-1] == cores()
    assert [point.rows for point in found["customers"].points if point.side == "compiled"] == [10, 60]
    for name, curve in found.items():
        sides = {point.side for point in curve.points}
        assert sides == {"compiled", "engine compiled"} | ({"MXNet, fused heads"} if name != "threads" else set())
        assert all(len(point.seconds) == 3 and point.rows_per_second > 0 for point in curve.points)


def test_curves_leave_the_threads_as_they_were(report, monkeypatch):
    seen: list[int] = []
    measure = scaling._measure
    monkeypatch.setattr(scaling, "_measure", lambda *given: seen.append(cores()) or measure(*given))
    before = cores()
    none = replace(PLAN, customers=(), features=(), nonzeros=(), hidden=(), categories=(), k=(), threads=(1, 3))
    curves(none, 3)
    assert seen == [1, 3]
    assert cores() == before


def test_mxnet_takes_no_part_where_it_would_need_minutes(report, monkeypatch):
    monkeypatch.setattr(scaling, "_MXNET_LIMIT", 0)
    (curve,) = [
        c
        for c in curves(replace(PLAN, features=(), nonzeros=(), hidden=(), categories=(), k=(), threads=()), 3)
        if c.points and c.dimension == "customers"
    ]
    assert {point.side for point in curve.points} == {"compiled", "engine compiled"}


def test_json_holds_questions_curves_and_loading(report):
    got = json.loads(json.dumps(as_json(report), allow_nan=False))
    assert [question["question"] for question in got["questions"]] == [
        "all categories", "top 10", "one category", "12 categories", "12 categories, as a list", "explain, 5 reasons"
    ]  # fmt: skip
    sides = {side["side"]: side for side in got["questions"][0]["sides"]}
    rate = {name: side["rows_per_second"] for name, side in sides.items()}
    ours = sides["compiled"]
    assert ours["kind"] == "engine only"
    assert ours["note"] == "calls of 2,048 rows"
    assert ours["times_mxnet"] == rate["compiled"] / rate["MXNet, fused heads"]
    assert ours["times_limit"] == rate["compiled"] / rate["limit: gather + GEMM"]
    assert ours["times_torch"] is None
    assert got["loading"]["cold"] == {"imports": 6.5, "kernels": 6.0, "model": 0.5, "seconds": 7.0}
    assert len(got["curves"]) == 7
    point = got["curves"][0]["points"][0]
    assert set(point) == {"side", "size", "rows", "seconds", "rows_per_second"}
    assert got["curves"][0]["base"]["categories"] == 12
    assert got["settings"]["full"] is True


def test_markdown_holds_machine_tables_and_curves(report, tmp_path):
    write_markdown(report, tmp_path / "bench.md")
    text = (tmp_path / "bench.md").read_text()
    assert text == as_markdown(report)
    about = report.machine
    duckdb = f"duckdb {about['versions']['duckdb']}"
    load = f"load {about['load_before']}"
    for expected in (about["processor"], f"{about['threads']} threads", "BLAS numpy", duckdb, load, "cold 7.0 s"):
        assert expected in text
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("| ")]
    assert len(tables) == 6 + 7
    assert all(len({line.count("|") for line in table}) == 1 for table in tables)
    assert "## Explain, 5 reasons" in text
    assert "| limit: gather + GEMM | 60 |" in text
    assert "reference" in text


def test_markdown_survives_a_users_names(report):
    workload = {**report.workload, "source": "SELECT a || b FROM t WHERE x < 3"}
    assert "SELECT a \\|\\| b FROM t WHERE x &lt; 3" in as_markdown(replace(report, workload=workload)).replace(
        "\n", " "
    )


def test_remarks_name_the_questions_where_a_side_has_several_notes():
    def answer(question: str, note: str) -> Answer:
        timings = (Timing("PyTorch", 1, (1.0,), kind=ENGINE, note=note), Timing("compiled", 1, (1.0,), note="same"))
        return Answer(question, timings, {"ONNX Runtime": "not installed"})

    report = Report("", {}, {}, Settings(), (answer("all", "big"), answer("top", "small"), answer("one", "big")))
    assert remarks(report) == [
        "PyTorch: big (all, one); small (top)", "compiled: same", "ONNX Runtime: left out: not installed"
    ]  # fmt: skip


def test_plots_are_written(report, tmp_path):
    written = plots.write_plots(report, tmp_path / "plots")
    assert [path.name for path in written] == ["headline.png", "scaling.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)
    (one,) = plots.write_plots(replace(report, curves=(), answers=report.answers[:1]), tmp_path / "plots")
    assert one.name == "headline.png"


def test_bars_are_sorted_and_leave_floors_out():
    rates = {"compiled": 0.1, "floor: scan": 0.01, "naive row UDF": 9.0, "compiled: sparse layer alone": 0.05}
    timings = tuple(Timing(name, 10, (seconds,)) for name, seconds in rates.items())
    assert [name for name, *_ in plots._bars(Answer("all", timings))] == [
        "naive row UDF, in SQL", "duckprop, engine only"
    ]  # fmt: skip


def test_a_model_is_loaded_in_a_process_of_its_own(small_bundle):
    found = loading_module._spawn(small_bundle, "")  # with the kernels that are kept beside their files
    assert found.imports >= found.kernels > 0
    assert found.model > 0
    assert about_loading(Report("", {}, {}, Settings(), ())) == []
    with pytest.raises(ModelError, match="process of its own"):
        loading_module._spawn(Path("nowhere"), "")


def test_cold_has_no_compiled_kernels_and_warm_has_those_of_cold(small_bundle, monkeypatch):
    seen = []

    def spawn(model: Path, cache: str) -> Loading:
        seen.append((cache, os.listdir(cache)))
        Path(cache, "kernels").touch()
        return Loading(1, 1, 1)

    monkeypatch.setattr(loading_module, "_spawn", spawn)
    assert list(loading(small_bundle)) == ["cold", "warm"]
    assert [files for _, files in seen] == [[], ["kernels"]]
    assert seen[0][0] == seen[1][0]


def test_command_prints_the_table_and_writes_files(capsys, tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(shapes, "QUICK", TINY)
    monkeypatch.setattr(scaling, "QUICK", replace(PLAN, features=(), nonzeros=(), hidden=(), categories=(), k=()))
    monkeypatch.setattr("duckprop.benchmarks.harness.loading", lambda folder: {"cold": Loading(1, 1, 1)})
    monkeypatch.setattr(
        "duckprop.benchmarks.harness.in_own_process",
        lambda workload, samples, tell, names: ran.extend(names) or dict.fromkeys(names, Cold(1.5, 100)),
    )
    files = {"json_file": tmp_path / "b.json", "markdown": tmp_path / "b.md", "plots": tmp_path / "plots"}
    bench(rows=50, quick=True, full=True, repeats=1, **files)
    printed = capsys.readouterr()
    assert "naive row UDF" in printed.out
    assert printed.err == ""
    got = json.loads((tmp_path / "b.json").read_text())
    assert got["workload"]["rows"] == 50
    assert got["settings"]["samples"]["naive"] == 256
    assert len(got["questions"]) == 6
    assert len(got["curves"]) == 7
    assert "compiled" in ran
    assert "floor: empty UDF" not in ran
    assert {side["peak_mib"] for side in got["questions"][0]["sides"]} == {100, None}
    assert {side["peak_mib"] for side in got["questions"][1]["sides"]} == {None}
    assert got["machine"]["processor"] in (tmp_path / "b.md").read_text()
    assert (tmp_path / "plots" / "scaling.png").is_file()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"features": "rows.parquet"}, "without --model"),
        ({"json_file": Path("none/b.json")}, "no folder"),
        ({"markdown": Path("none/b.md")}, "--markdown FILE"),
    ],
)
def test_command_refuses_wrong_use_before_it_works(options, told):
    with pytest.raises(UsageError) as caught:
        bench(**options)
    assert told in str(caught.value)


def test_plots_without_matplotlib_are_refused_at_once(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match="matplotlib"):
        bench(plots=tmp_path)
