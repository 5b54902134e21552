"""An alias moves while queries run: each keeps the version that it began with, and the next one has the new one."""

import contextlib
import gc
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import duckdb
import pytest
from conftest import NAMES, make_bundle
from scipy.sparse import csr_matrix

import duckprop
from duckprop import models as models_module
from duckprop.models import Models
from duckprop.registry import Registry

ROWS = 200 * 2048
SCALARS = {
    "propensity": "propensity(features, 'toys', {})",
    "propensity a category a row": "propensity(features, category, {})",
    "propensities": "propensities(features, ['toys', 'books'], {})",
    "topk": "propensity_topk(features, 2, model := {})",
    "vector": "propensity_vector(features, {})",
    "classes": "propensity_classes(features, 'toys', {})",
    "explain": "propensity_explain(features, 'toys', 3, {})",
    "embedding": "propensity_embedding(features, {})",
    "coverage": "propensity_coverage(features, {})",
}
CHAMPION = "'shop@champion'"
SWITCH = """
import sys, itertools
from duckprop.registry import Registry
registry = Registry(sys.argv[1])
print("ready", flush=True)
for at in itertools.count():
    registry.promote("shop", "champion", 1 + at % 2)
"""


@pytest.fixture(scope="module")
def other_bundle(tmp_path_factory):
    """Return the next version: other weights, and one feature has another name."""
    names = ("other", *NAMES[1:])
    return make_bundle(tmp_path_factory.mktemp("next") / "bundle", names=names, seed=9)


@pytest.fixture
def shop(con, other_bundle):
    """Return a connection and two versions, the first the champion, the second the challenger; all customers alike."""
    registry = Registry()
    registry.publish(other_bundle, "shop")
    registry.promote("shop", "champion", 1)
    registry.promote("shop", "challenger", 2)
    con.execute(f"""
        CREATE TABLE customers AS
        SELECT ['item 0', 'item 3'] AS features, 'toys' AS category, {CHAMPION} AS named FROM range({ROWS})
    """)
    return con


@contextlib.contextmanager
def switching():
    """Move the champion to and fro in another thread; yield how often it has been moved."""
    registry, moved, stop = Registry(), [], threading.Event()

    def work():
        while not stop.is_set():
            registry.promote("shop", "champion", 1 + len(moved) % 2)
            moved.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield moved
    finally:
        stop.set()
        thread.join()


def answers(con, calls, model, customers="customers"):
    """Return the different answers, as text, that all customers get to some calls with one model."""
    listed = ", ".join(f"({call.format(model)})::VARCHAR" for call in calls)
    return con.execute(f"SELECT DISTINCT {listed} FROM {customers}").fetchall()


def answers_of_each(con, calls):
    """Return what each of the two versions answers: a single customer tells, all are alike."""
    found = [answers(con, calls, f"'shop@{number}'", "(FROM customers LIMIT 1)") for number in (1, 2)]
    assert found[0] != found[1]
    return found


@pytest.mark.parametrize("model", [CHAMPION, "named"], ids=["constant", "column"])
@pytest.mark.parametrize("call", SCALARS.values(), ids=SCALARS.keys())
def test_all_rows_of_a_query_are_of_one_version(shop, call, model):
    of_each = answers_of_each(shop, [call])
    with switching() as moved:
        before = len(moved)
        assert answers(shop, [call], model) in of_each
        assert len(moved) > before + 1


def test_another_process_moves_the_alias(shop, home):
    calls = [SCALARS[name] for name in ("propensity", "topk", "vector")]
    of_each = answers_of_each(shop, calls)
    root = Path(duckprop.__file__).parents[1]
    process = subprocess.Popen([sys.executable, "-c", SWITCH, str(home)], cwd=root, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        found = [answers(shop, calls, CHAMPION) for _ in range(3)]
    finally:
        process.kill()
        process.communicate()
    assert all(found_once in of_each for found_once in found)


def test_all_functions_of_a_query_are_of_one_version(shop):
    """However long a query is planned: each of its calls is a constant of its own to DuckDB."""
    calls = [call for call in SCALARS.values() if "explain" not in call] * 5
    of_each = answers_of_each(shop, calls)
    shop.execute("CREATE OR REPLACE TABLE customers AS FROM customers LIMIT 1")
    with switching():
        for _ in range(20):
            assert answers(shop, calls, CHAMPION) in of_each


def test_two_models_in_one_query_keep_theirs(shop):
    registry = Registry()
    calls = [SCALARS["propensity"].format(model) for model in (CHAMPION, "'shop@challenger'", "m")]
    asked = ", ".join(f"{call}::VARCHAR" for call in calls)
    query = f"SELECT {asked} FROM customers, (VALUES ({CHAMPION}), ('shop@challenger')) AS t(m)"
    one, two = (found[0][0] for found in answers_of_each(shop, [SCALARS["propensity"]]))
    running = shop.execute(query)
    found = running.fetchmany(10)
    registry.promote("shop", "champion", 2)
    registry.promote("shop", "challenger", 1)
    found += running.fetchall()
    assert len(found) == 2 * ROWS
    assert set(found) == {(one, two, one), (one, two, two)}
    assert set(shop.execute(query).fetchall()) == {(two, one, two), (two, one, one)}


BETWEEN = {
    "an alias": "SELECT propensity(['item 3'], 'toys', 'shop@champion')",
    "a row's alias": "SELECT propensity(['item 3'], 'toys', named) FROM customers LIMIT 1",
    "the newest": "SELECT propensity(['item 3'], 'toys', 'shop')",
    "the only model": "SELECT propensity(['item 3'], 'toys')",
    "a view": "FROM seen",
    "a prepared statement": "EXECUTE asked",
    "a prepared statement with an argument": "EXECUTE asked_of('shop@champion')",
    "a table function": "SELECT propensity FROM propensity_scores('three', ['toys'], model := 'shop@champion')",
    "facts": """SELECT value FROM propensity_model_info('shop@champion') WHERE property = 'reference'""",
}


@pytest.mark.parametrize("query", BETWEEN.values(), ids=BETWEEN.keys())
def test_the_next_query_has_the_version_promoted_before_it(shop, tmp_path, query):
    shop.execute("""
        CREATE TABLE three AS SELECT 7 AS id, ['item 3'] AS features;
        CREATE VIEW seen AS SELECT propensity(features, 'toys', 'shop@champion') FROM three;
        PREPARE asked AS SELECT propensity(['item 3'], 'toys', 'shop@champion');
        PREPARE asked_of AS SELECT propensity(features, 'toys', $1) FROM three
    """)
    before = shop.execute(query).fetchall()
    assert shop.execute(query).fetchall() == before
    if query.endswith(("'toys')", "'shop')")):
        Registry().publish(make_bundle(tmp_path / "third", seed=5), "shop")
    Registry().promote("shop", "champion", 2)
    after = shop.execute(query).fetchall()
    assert before != after
    assert len(after) == 1


def test_the_session_variable_and_an_argument_follow_too(shop):
    calls = ("SELECT propensity(['item 3'], 'toys')", []), ("SELECT propensity(['item 3'], 'toys', ?)", ["shop@live"])
    Registry().promote("shop", "live", 1)
    shop.execute("SET VARIABLE propensity_model = 'shop@live'")
    before = [shop.execute(*call).fetchall() for call in calls]
    Registry().promote("shop", "live", 2)
    after = [shop.execute(*call).fetchall() for call in calls]
    assert before[0] == before[1] != after[0] == after[1]


def test_a_cursor_as_dbt_uses_it_follows_from_model_to_model(shop):
    """It has no search path of ours, and each table is made in a transaction."""
    found = []
    for number in (1, 2):
        Registry().promote("shop", "champion", number)
        with shop.cursor() as cursor:
            cursor.execute("BEGIN")
            asked = f"duckprop.propensity(features, 'toys', {CHAMPION})::VARCHAR"
            cursor.execute(f"CREATE OR REPLACE TABLE made AS SELECT DISTINCT {asked} FROM customers")
            cursor.execute("COMMIT")
            found.append(cursor.execute("FROM made").fetchall())
    assert found == answers_of_each(shop, [SCALARS["propensity"]])


@pytest.mark.parametrize("model", [CHAMPION, "named"])
def test_a_transaction_keeps_its_version_as_it_keeps_its_rows(shop, model):
    call = [SCALARS["propensity"]]
    of_each = answers_of_each(shop, call)
    shop.execute("BEGIN")
    assert answers(shop, call, model) == of_each[0]
    Registry().promote("shop", "champion", 2)
    assert answers(shop, call, model) == of_each[0]
    with shop.cursor() as other:
        assert (
            other.execute(
                "SELECT DISTINCT duckprop.propensity(features, 'toys', 'shop@champion')::VARCHAR FROM customers"
            ).fetchall()
            == of_each[1]
        )
    shop.execute("COMMIT")
    assert answers(shop, call, model) == of_each[1]


def test_a_query_goes_on_when_its_version_is_deleted(shop):
    registry = Registry()
    query = "SELECT propensity(features, 'toys', 'shop@1') FROM customers"
    expected = shop.execute(query).fetchall()
    running = shop.execute(query)
    found = running.fetchmany(10)
    registry.delete_alias("shop", "champion")
    registry.delete("shop", 1)
    assert found + running.fetchall() == expected
    with pytest.raises(duckdb.InvalidInputException, match="there is no model 'shop@1': it was deleted"):
        shop.execute(query)


def test_the_plan_names_the_version(shop):
    plan = shop.execute(f"EXPLAIN SELECT propensity(features, 'toys', {CHAMPION}) FROM customers").fetchall()[0][1]
    assert "'shop@1'" in plan
    assert "champion" not in plan


def test_a_wrong_model_is_an_error_only_of_a_query_that_has_rows(shop):
    query = "SELECT propensity(features, 'toys', 'shop@chmapion') FROM customers WHERE features IS {} NULL"
    assert shop.execute(query.format("")).fetchall() == []
    with pytest.raises(duckdb.InvalidInputException, match=r"no alias 'chmapion' \(did you mean 'champion'\?\)"):
        shop.execute(query.format("NOT"))


def test_load_follows_and_a_loaded_model_stays(shop):
    first = duckprop.load("shop@champion")
    first.scorer()
    Registry().promote("shop", "champion", 2)
    second = duckprop.load("shop@champion")
    assert (first.reference, second.reference) == ("shop@1", "shop@2")
    row = csr_matrix(([1.0], ([0], [3])), (1, first.width))
    for model in (first, second):
        found = shop.execute(f"SELECT propensity_vector(['item 3'], '{model.reference}')").fetchone()[0]
        assert model.predict(row)[0].tolist() == found


def test_models_that_nobody_asks_for_leave_memory(home, small_bundle, monkeypatch):
    """A service that runs for months sees a version a night."""
    registry, models = Registry(), Models()
    monkeypatch.setattr(models_module, "_KEPT", 0.0)
    seen = []
    for _ in range(4):
        seen.append(weakref.ref(models.get(registry.publish(small_bundle, "shop").reference)))
    gc.collect()
    assert [model() is None for model in seen] == [True, True, True, False]
    monkeypatch.setattr(models_module, "_KEPT", 600.0)
    models.get("shop@1")
    gc.collect()
    assert seen[-1]() is models.get("shop@5")


def test_what_old_transactions_meant_is_forgotten(home, monkeypatch):
    monkeypatch.setattr(models_module, "_TRANSACTIONS", 3)
    models = Models()
    for moment in (1, 2, 3, 1, 4):
        assert models.version_of("shop", moment) == "shop@1"
    assert list(models._begun) == [3, 1, 4]
