"""dbt with the functions in it: the plugin on dbt-duckdb's own connections, and the example as its README runs it."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pytest
from dbt.adapters.duckdb import environments
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt_common.exceptions import DbtRuntimeError

import duckprop
from duckprop.registry import Registry

EXAMPLES = Path(__file__).parents[1] / "examples"
MODULE = "duckprop.integrations.dbt"
CALL = "SELECT propensity(['item 3'], 'toys')"
PREFIXED = "SELECT duckprop.propensity(['item 3'], 'toys')"


@pytest.fixture
def opened(tmp_path, home):
    """Open what dbt opens for a profile: (config of our plugin, the rest of the output) → environment."""
    made = []

    def open_profile(config=None, **output):
        plugin = {"module": MODULE, "config": config or {}}
        profile = {"path": str(tmp_path / "shop.duckdb"), "plugins": [plugin], "schema": "main", **output}
        DuckDBCredentials.validate(profile)
        made.append(environments.create(DuckDBCredentials.from_dict(profile)))
        return made[-1]

    yield open_profile
    for environment in made:
        environment.close()


def ask(handle, query=CALL):
    return handle.cursor().execute(query).fetchall()


@pytest.fixture
def answer(con):
    return con.execute(CALL).fetchall()


def test_every_cursor_has_the_functions_with_the_prefix_and_without(opened, answer):
    environment = opened()
    handles = [environment.handle() for _ in range(3)]
    assert [ask(handle) for handle in handles] == [answer] * 3
    assert [ask(handle, PREFIXED) for handle in handles] == [answer] * 3


def test_threads_ask_at_the_same_time(opened, answer):
    environment, answers = opened(), []

    def model():
        handle = environment.handle()
        answers.extend(ask(handle) for _ in range(5))
        handle.close()

    threads = [threading.Thread(target=model) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == [answer] * 40


def test_they_are_there_again_when_dbt_opens_the_file_again(opened, answer):
    environment = opened(keep_open=False)
    for _ in range(3):
        handle = environment.handle()
        assert ask(handle) == answer
        handle.close()
        assert environment.conn is None


def test_the_options_are_those_of_register(opened, home, small_bundle, tmp_path, answer):
    other = tmp_path / "other"
    for name in ("first", "second"):
        Registry(other).publish(small_bundle, name)
    config = {"registry": str(other), "model": "second", "engine": "mxnet", "catalog": "functions"}
    handle = opened(config).handle()
    models = ask(handle, "SELECT model FROM functions.propensity_models() ORDER BY model")
    assert models == [("first@1",), ("second@1",)]
    assert ask(handle)[0][0] == pytest.approx(answer[0][0], abs=1e-6)


def test_without_a_model_in_the_profile_two_models_are_an_error(opened, home, small_bundle):
    Registry(home).publish(small_bundle, "club")
    with pytest.raises(duckdb.InvalidInputException, match="no model is named, and there are 2: club, shop"):
        ask(opened().handle())
    assert ask(opened({"model": "club"}, path=":memory:").handle())


def test_settings_of_duckdb_are_not_options_of_ours(opened, answer):
    handle = opened({"model": "shop"}, settings={"preserve_insertion_order": "false"}).handle()
    assert ask(handle) == answer
    assert ask(handle, "SELECT current_setting('preserve_insertion_order')") == [(False,)]


def test_a_search_path_of_the_profile_stays_and_the_prefix_is_needed(opened, answer):
    handle = opened(settings={"search_path": "shop.main"}).handle()
    assert ask(handle, "SELECT current_setting('search_path')") == [("shop.main",)]
    assert ask(handle, PREFIXED) == answer
    with pytest.raises(duckdb.CatalogException, match="propensity"):
        ask(handle)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"engin": "mxnet"}, "the dbt plugin has no option 'engin' (did you mean 'engine'?)\nit has model, registry,"),
        ({"engine": "mxnot"}, "there is no engine 'mxnot' (did you mean 'mxnet'?)\nuse compiled or mxnet"),
    ],
)
def test_a_wrong_option_is_an_error_of_dbt_in_our_words(opened, config, said):
    with pytest.raises(DbtRuntimeError) as raised:
        opened(config).handle()
    assert str(raised.value.msg).startswith(said)


# --- the example -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The example after the shell lines of its README, in a copy; another model is published beside its own."""
    root = tmp_path_factory.mktemp("examples")
    shutil.copytree(EXAMPLES, root / "examples")
    folder = root / "examples" / "dbt"
    command = root / "duckprop"  # of this checkout, whether it is installed or not
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m duckprop "$@"\n')
    command.chmod(0o755)
    lines = re.search(r"^```sh\n(.*?)^```$", (folder / "README.md").read_text(), re.MULTILINE | re.DOTALL)[1]
    path = f"{root}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "DUCKPROP_HOME": str(root / "empty"), "DBT_USE_COLORS": "false"}
    done = subprocess.run(["sh", "-eu"], cwd=folder, env=environment, input=lines, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


def test_all_models_are_built_and_all_tests_pass(project):
    folder, said = project
    results = json.loads((folder / "target" / "run_results.json").read_text())["results"]
    statuses = {result["unique_id"].split(".")[2]: result["status"] for result in results}
    models = sorted(path.stem for path in folder.glob("models/**/*.sql"))
    assert sorted(name for name, status in statuses.items() if status == "success") == models
    assert sum(status == "pass" for status in statuses.values()) == len(statuses) - len(models) >= 10
    assert "PASS=21 WARN=0 ERROR=0 SKIP=0" in said


def test_the_propensities_are_those_of_the_model(project):
    folder, _ = project
    with duckprop.connect(folder / "shop.duckdb", registry=folder / "registry", read_only=True) as con:
        difference, rows = con.execute("""
            SELECT max(abs(propensity - propensity(features, category))), count(*)
            FROM propensities JOIN customer_features USING (id)
        """).fetchone()
        assert difference < 1e-6
        known = con.execute("SELECT count(DISTINCT customer_id) FROM purchases WHERE day < '2025-12-01'").fetchone()[0]
    assert rows == 16 * known


def test_the_audience_are_the_likeliest_customers_and_some_are_held_out(project):
    folder, said = project
    with duckprop.connect(folder / "shop.duckdb", registry=folder / "registry", read_only=True) as con:
        audience = con.execute("SELECT id FROM audience ORDER BY id").fetchall()
        best = con.execute("""
            FROM (SELECT id FROM propensities WHERE category = 'tea' ORDER BY propensity DESC, id LIMIT 400) ORDER BY id
        """).fetchall()
        assert audience == best
        assert con.execute("FROM audience WHERE is_holdout != propensity_holdout(id, 0.1, 'tea')").fetchall() == []
        held = con.execute("SELECT count(*) FROM audience WHERE is_holdout").fetchone()[0]
    assert 20 <= held <= 60
    assert re.search(rf"false\b.*\b{400 - held}\n *true\b.*\b{held}\n", said)


def test_the_campaign_reaches_those_who_buy(project):
    folder, _ = project
    with duckprop.connect(folder / "shop.duckdb", registry=folder / "registry", read_only=True) as con:
        lift = con.execute("""
            WITH bought AS (FROM propensity_labels('purchases', DATE '2025-12-01', 28,
                                                   id := 'customer_id', time := 'day', item := 'category'))
            SELECT lift FROM propensity_lift('propensities', 'bought') WHERE category = 'tea' AND decile = 1
        """).fetchone()[0]
    assert lift > 2.5
