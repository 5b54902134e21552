"""propensity_train: once an execution and never while planning, the figures of Python, every way to stop it."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import duckdb
import pytest

import duckprop
from duckprop import train_in_sql
from duckprop.registry import Registry
from duckprop.training import Settings

ROOT = Path(__file__).parent.parent
SHOP = """
SELECT setseed(0.5);
CREATE TABLE features AS
    SELECT i AS id, [(random() * 12)::INT, 20 + (random() * 9)::INT] AS features FROM range(300) t(i);
CREATE TABLE labels AS
    SELECT id, 'c' || (features[1] % 3) AS category FROM features
    UNION ALL SELECT id, 'often' FROM features WHERE features[2] < 26;
"""
QUICK = "{'epochs': 2, 'hidden': 8, 'batch': 64}"


def call(features="features", labels="labels", settings=QUICK, more=""):
    return f"propensity_train('{features}', '{labels}', 'retail', settings := {settings}{more})"


CALL = call()
SLOW = """CREATE VIEW slow AS FROM features SEMI JOIN (
    SELECT count(*) AS n FROM range(200_000) AS a, range(200_000) AS b WHERE sqrt(a.range * b.range) = 0.5) ON n >= 0"""
LONG = "FROM " + call(settings="{'epochs': 9999, 'patience': 9999, 'batch': 16}")


@pytest.fixture
def con(tmp_path, monkeypatch):
    monkeypatch.setenv("DUCKPROP_HOME", str(tmp_path / "models"))
    monkeypatch.setattr(train_in_sql, "_GIVE_UP", 0.3)
    monkeypatch.setattr(train_in_sql, "_PAUSE", 0.5)
    with duckprop.connect() as connection:
        connection.execute(SHOP)
        yield connection
    train_in_sql.stop_all()
    signal.signal(signal.SIGINT, signal.default_int_handler)


def published():
    return [version.reference for version in Registry().versions()]


def is_over():
    """Whether no training is left a little later."""
    for _ in range(50):
        if not [thread for thread in threading.enumerate() if thread.name.startswith("duckprop-training")]:
            return True
        time.sleep(0.1)
    return False


def refused(con, query):
    with pytest.raises(duckdb.InvalidInputException) as caught:
        con.execute(query).fetchall()
    error, fact, remedy = re.search(r"executing the UDF: (\w+): (.*)\n(.*)$", str(caught.value)).groups()
    assert error in ("DataError", "ModelError", "UsageError")
    return fact, remedy


# --- what it does ----------------------------------------------------------------------------------------------------


def test_the_figures_are_those_of_python(con):
    settings = Settings(epochs=2, hidden=(8,), batch=64)
    card = dict(duckprop.train("features", "labels", con=con, settings=settings, outcome="buys").card)
    rows = con.execute("FROM " + call(more=", outcome := 'buys'")).fetchall()
    found = card["metrics"]["validation"]
    assert {metric: value for _, _, metric, value, _ in rows} == {
        metric: found["overall"][metric] for metric in train_in_sql.SUPPORT
    }
    assert {(model, split) for model, split, *_ in rows} == {("retail@1", "validation")}
    assert {metric: support for _, _, metric, _, support in rows} == {
        metric: found["support"][counted] for metric, counted in train_in_sql.SUPPORT.items()
    }
    mine = duckprop.load("retail").card
    assert set(mine) == set(card)
    mine["training"].pop("history"), card["training"].pop("history")  # how long an epoch took
    assert {key for key in card if mine[key] != card[key]} <= {"created", "files"}


def test_every_metric_of_a_card_is_in_the_result_but_one_that_training_has_not(con):
    card = duckprop.train("features", "labels", con=con, settings=Settings(epochs=1, hidden=(4,))).card
    assert set(card["metrics"]["validation"]["overall"]) - set(train_in_sql.SUPPORT) == {"new_macro_auc"}


@pytest.mark.parametrize(
    "query",
    [
        "EXPLAIN FROM {}",
        "DESCRIBE FROM {}",
        "PREPARE later AS FROM {}",
        "CREATE VIEW v AS FROM {}; DESCRIBE v",
        "FROM {} LIMIT 0",
    ],
)
def test_planning_trains_nothing(con, query):
    con.execute(query.format(CALL)).fetchall()
    con.sql(f"FROM {CALL}").columns  # noqa: B018  # binds it
    assert published() == []


@pytest.mark.parametrize(
    "query",
    [
        "FROM {} LIMIT 1",
        "SELECT count(*) FROM {} WHERE metric = 'none of these'",
        "FROM features, {} WHERE id < 2000",
        "WITH t AS (FROM {}) FROM t AS a JOIN t AS b USING (metric)",
        "FROM features WHERE id IN (SELECT support FROM {})",
        "SELECT (SELECT max(value) FROM {}) FROM features",
        "EXPLAIN ANALYZE FROM {}",
        "CREATE TABLE figures AS FROM {}",
        "CREATE VIEW v AS FROM {}; FROM v ORDER BY value LIMIT 2",
        "PREPARE p AS FROM {}; EXECUTE p",
        "SET threads = 1; FROM {}",
        "BEGIN; INSERT INTO labels VALUES (1, 'late'); FROM {}; ROLLBACK",
    ],
)
def test_one_execution_trains_once(con, query):
    for statement in query.format(CALL).split("; "):
        con.execute(statement).fetchall()
    assert published() == ["retail@1"]
    assert is_over()


def test_features_and_labels_are_named_as_the_caller_names_them(con, tmp_path):
    con.execute("COPY features TO 'f.parquet'".replace("f.parquet", str(tmp_path / "f.parquet")))
    con.execute("CREATE SCHEMA mine; CREATE TABLE mine.acts AS FROM labels; CREATE VIEW mine.seen AS FROM features")
    for features, labels, path in (
        (tmp_path / "f.parquet", "FROM labels WHERE propensity_holdout(id, 1)", "memory.main,duckprop.main"),
        ("seen", "acts", "memory.mine,duckprop.main"),
    ):
        con.execute(f"SET search_path = '{path}'")
        con.execute(f"FROM {call(features, labels)}").fetchall()
    with con.cursor() as cursor:
        assert cursor.execute(f"SELECT DISTINCT model FROM duckprop.{CALL}").fetchall() == [("retail@3",)]
        assert "Table with name seen does not exist" in refused(cursor, f"FROM duckprop.{call('seen', 'acts')}")[0]
        cursor.execute("USE mine")
        cursor.execute(f"FROM duckprop.{call('seen', 'acts')}").fetchall()
    assert len(published()) == 4


def test_promote_points_an_alias_at_the_new_version(con):
    con.execute("FROM " + call(more=", promote := 'champion'")).fetchall()
    assert Registry().resolve("retail@champion").version == 1


def test_a_file_that_is_open_read_only(con, tmp_path):
    con.execute(f"ATTACH '{tmp_path / 'x.db'}' AS x; COPY FROM DATABASE memory TO x; DETACH x")
    with duckprop.connect(tmp_path / "x.db", registry=tmp_path / "elsewhere", read_only=True) as reader:
        assert len(reader.execute(f"FROM {CALL}").fetchall()) == len(train_in_sql.SUPPORT)
    assert [version.reference for version in Registry(tmp_path / "elsewhere").versions()] == ["retail@1"]


def test_three_connections_at_once_give_what_one_gives(con):
    alone = con.execute(f"SELECT metric, value, support FROM {CALL}").fetchall()
    answers = []

    def work(cursor):
        answers.append(cursor.execute(f"SELECT metric, value, support FROM duckprop.{CALL}").fetchall())

    threads = [threading.Thread(target=work, args=[con.cursor()]) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [alone] * 3
    assert published() == ["retail@1", "retail@2", "retail@3", "retail@4"]


def test_nothing_of_training_is_loaded_before_the_first_training():
    code = (
        f'import duckprop, sys; con = duckprop.connect(); con.execute("EXPLAIN FROM {CALL}"); '
        f'con.execute("DESCRIBE FROM {CALL}"); con.close(); '
        "print([name for name in sys.modules if name in ('mxnet', 'duckprop.training')])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_both_functions_are_volatile(con):
    found = (
        "SELECT function_name, stability FROM duckdb_functions() WHERE starts_with(function_name, '__duckprop_train_')"
    )
    assert dict(con.execute(found).fetchall()) == {
        "__duckprop_train_start": "VOLATILE",
        "__duckprop_train_wait": "VOLATILE",
        "__duckprop_train_listen": "CONSISTENT",  # computed while planning, where it can be
    }


# --- what it refuses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        "CREATE TEMP TABLE mine AS FROM features",
        "BEGIN; CREATE TABLE mine AS FROM features",
        "CREATE TEMP VIEW mine AS FROM features",
    ],
)
def test_what_another_connection_cannot_see_is_explained(con, make):
    con.execute(make)
    fact, remedy = refused(con, f"FROM {call('mine')}")
    assert "Table with name mine does not exist" in fact
    assert "committed" in remedy and "temporary table, CTE" in remedy  # noqa: PT018
    assert published() == []


def test_variables_of_the_program_are_no_relations(con):
    mine = con.sql("FROM features").to_arrow_table()
    assert "CTE or data frame" in refused(con, f"FROM {call('mine')}")[1]
    for name in ("rows", "names", "relation", "columns"):  # of our own functions
        assert f"{name} does not exist" in refused(con, f"FROM {call(name)}")[0]
    assert len(mine) == 300


def test_one_call_trains_one_model(con):
    fact, _ = refused(con, "FROM range(500) t(i), LATERAL " + CALL.replace("'retail'", "'retail' || i"))
    assert fact == "one call would train several models"
    assert published() == []


def test_a_failure_leaves_no_model_and_no_files(con, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    con.execute("CREATE VIEW broken AS SELECT id, if(id < 200, features, error('boo')) AS features FROM features")
    assert "boo" in refused(con, f"FROM {call('broken')}")[0]
    monkeypatch.setattr(Registry, "publish", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    fact, remedy = refused(con, f"FROM {CALL}")
    assert fact == "the model cannot be written: [Errno 28] No space left on device"
    assert "free space" in remedy
    assert is_over()
    assert list(tmp_path.glob("duckprop-*")) == []


def test_it_does_not_keep_a_database_open(con, tmp_path):
    with duckprop.connect(tmp_path / "x.db") as first:
        first.execute(SHOP)
        with duckprop.register(first.cursor()) as second:
            second.execute(f"FROM {CALL}").fetchall()
        first.execute(f"FROM {CALL}").fetchall()  # the handle that is closed is passed over
        last = duckdb.connect(str(tmp_path / "x.db"))
    fact, remedy = refused(last, f"FROM duckprop.main.{CALL}")
    assert (fact, remedy) == (
        "the connection on which duckprop was registered is closed",
        "call duckprop.register(con) on this one",
    )
    last.close()
    duckdb.connect(str(tmp_path / "x.db"), config={"threads": 1}).close()  # refused while another handle is open


# --- how it is stopped -----------------------------------------------------------------------------------------------


def after(seconds, action):
    timer = threading.Timer(seconds, action)
    timer.start()
    return timer


def press_ctrl_c():
    while not train_in_sql._running:  # before that, it would end the tests
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("threads", [1, 4])
def test_interrupt_ends_the_query_at_once_and_the_training_soon(con, threads, tmp_path, monkeypatch, recwarn):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    con.execute(f"SET threads = {threads}")
    after(0.5, con.interrupt)
    with pytest.raises(duckdb.InterruptException):
        con.execute(LONG).fetchall()
    assert is_over()
    assert published() == []
    assert list(tmp_path.glob("duckprop-*")) == []
    assert con.execute("SELECT 1").fetchall() == [(1,)]
    assert not [warning for warning in recwarn if warning.category is ResourceWarning]


def test_a_connection_can_be_closed_while_an_interrupted_training_still_reads(con):
    con.execute(SLOW)
    after(0.5, con.interrupt)
    with pytest.raises(duckdb.InterruptException):
        con.execute(f"FROM {call('slow')}").fetchall()
    con.close()
    train_in_sql.stop_all()
    assert is_over()
    assert published() == []


def stopped(cursor):
    with pytest.raises(duckdb.InterruptException):
        cursor.execute(LONG.replace("FROM ", "FROM duckprop.")).fetchall()


def test_the_database_is_let_go_once_everything_is_read(con):
    count = "SELECT count FROM duckdb_connection_count()"
    with con.cursor() as asking, con.cursor() as cursor:
        before = asking.execute(count).fetchall()
        thread = threading.Thread(target=stopped, args=[cursor])
        thread.start()
        time.sleep(1)
        assert train_in_sql._running
        assert asking.execute(count).fetchall() == before
        cursor.interrupt()
        thread.join()


@pytest.mark.parametrize("threads", [1, 4])
def test_ctrl_c_in_a_python_session(con, threads):
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    con.execute(f"SET threads = {threads}")
    after(0.5, press_ctrl_c)
    with pytest.raises((RuntimeError, duckdb.InvalidInputException), match="interrupted"):
        con.execute(LONG).fetchall()
    assert is_over()
    assert published() == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_another_handler_for_ctrl_c_is_left_alone(con):
    signal.signal(signal.SIGINT, lambda *_: con.interrupt())
    mine = signal.getsignal(signal.SIGINT)
    after(0.5, press_ctrl_c)
    with pytest.raises(duckdb.InterruptException):
        con.execute(LONG).fetchall()
    assert signal.getsignal(signal.SIGINT) is mine


def test_a_training_that_nobody_asks_for_pauses_and_goes_on(con, monkeypatch):
    monkeypatch.setattr(train_in_sql, "_GIVE_UP", 30)
    wait, slept = train_in_sql._Training.wait, []

    def seldom(self, seconds=0.1):
        if not slept:
            slept.append(time.sleep(1.5))  # longer than _PAUSE
        return wait(self, seconds)

    monkeypatch.setattr(train_in_sql._Training, "wait", seldom)
    assert len(con.execute(f"FROM {CALL}").fetchall()) == len(train_in_sql.SUPPORT)
    assert slept


@pytest.mark.parametrize("query", [LONG, f"FROM {call('slow')}"], ids=["training", "reading"])
def test_ctrl_c_on_the_command_line(con, tmp_path, query):
    con.execute(f"{SLOW}; ATTACH '{tmp_path / 'x.db'}' AS x; COPY FROM DATABASE memory TO x; DETACH x")
    command = [sys.executable, "-m", "duckprop", "sql", "--database", str(tmp_path / "x.db"), "-c", query]
    folder = tmp_path / "work"
    folder.mkdir()
    options = {"env": {**os.environ, "TMPDIR": str(folder)}, "cwd": ROOT}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options)
    while not list(folder.glob("duckprop-*" if "slow" in query else "duckprop-*/epoch*")):
        time.sleep(0.1)
        assert process.poll() is None
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=10)[1]
    assert (process.returncode, said) == (
        130,
        "error: interrupted\nnothing is half written: run the same command again\n",
    )
    assert list(folder.iterdir()) == []
    assert published() == []
