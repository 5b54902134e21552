"""register and connect: where the functions come to lie, what they leave alone, and who can call them."""

import hashlib
import threading
from pathlib import Path

import duckdb
import pytest

import duckprop
from duckprop.errors import ModelError, UsageError
from duckprop.registry import Registry

CALL = "SELECT round(propensity([3], 'toys'), 4)"
PREFIXED = "SELECT round(duckprop.propensity([3], 'toys'), 4)"
ANSWER = [(pytest.approx(0.8667, abs=1e-6),)]


def ask(con, query=CALL):
    return con.execute(query).fetchall()


def search_path(con):
    return con.execute("SELECT current_setting('search_path')").fetchone()[0]


@pytest.fixture
def plain(home):
    with duckdb.connect() as con:
        yield con


@pytest.fixture
def file(tmp_path):
    """A database file of the user's own."""
    path = tmp_path / "mine.db"
    with duckdb.connect(str(path)) as con:
        con.execute("CREATE TABLE customers AS SELECT i AS id, [i::INTEGER] AS features FROM range(40) t(i)")
    return path


def test_a_query_that_fails_while_it_is_copied_to_a_file_does_not_wait_for_ever(home):
    """With async_threads above 0, DuckDB 2.0 hangs about every twentieth time, whoever raises the error."""
    setting = "SELECT current_setting('async_threads')"
    with duckprop.connect() as con:
        assert con.execute(setting).fetchone() == (0,)
    with duckprop.connect(config={"async_threads": "3"}) as con:
        assert con.execute(setting).fetchone() == (3,)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_register_returns_the_connection_and_may_be_repeated(plain):
    assert duckprop.register(plain) is plain
    once = search_path(plain)
    assert duckprop.register(duckprop.register(plain)) is plain
    assert search_path(plain) == once == "memory.main,duckprop.main"
    assert ask(plain) == ask(plain, PREFIXED) == ANSWER


def test_the_last_registration_counts_and_what_it_leaves_out_stays(plain, home, small_bundle):
    Registry().publish(small_bundle, "club")
    duckprop.register(plain, model="shop")
    assert ask(plain) == ANSWER
    duckprop.register(plain, model="nothing")
    with pytest.raises(duckdb.InvalidInputException, match="no model 'nothing'"):
        ask(plain)
    duckprop.register(plain, model="shop")
    duckprop.register(plain)
    assert ask(plain) == ANSWER


def test_connections_of_one_database_keep_their_own_default(tmp_path, home, small_bundle, write_bundle):
    Registry().publish(write_bundle(seed=8), "club")
    with (
        duckprop.connect(tmp_path / "x.db", model="shop") as first,
        duckprop.connect(tmp_path / "x.db", model="club") as second,
    ):
        assert ask(first) == ANSWER != ask(second)
        assert ask(second) == ask(second, "SELECT round(propensity([3], 'toys', 'club'), 4)")
        with pytest.raises(duckdb.InvalidInputException, match="no model is named, and there are 2: club, shop"):
            ask(first.cursor(), PREFIXED)
        with pytest.raises(UsageError, match=r"this database has the registry .* already"):
            duckprop.register(second, registry=tmp_path)


def test_the_session_variable_goes_before_the_default_and_the_argument_before_both(plain, home, small_bundle):
    Registry().publish(small_bundle, "club")
    duckprop.register(plain, model="nothing")  # the connection's and, as the first one, the database's default
    plain.execute("SET VARIABLE propensity_model = 'shop@1'")
    assert ask(plain) == ANSWER
    with pytest.raises(duckdb.InvalidInputException, match="no model 'neither'"):
        ask(plain, "SELECT propensity([3], 'toys', 'neither')")
    with pytest.raises(duckdb.InvalidInputException, match="no model 'nothing'"):
        ask(plain.cursor(), PREFIXED)  # a session variable belongs to one connection


def test_a_registry_and_a_folder_can_be_named(tmp_path, plain, small_bundle):
    Registry(tmp_path / "elsewhere").publish(small_bundle, "club")
    duckprop.register(plain, registry=tmp_path / "elsewhere")
    assert ask(plain) == ANSWER
    assert ask(plain, f"SELECT round(propensity([3], 'toys', '{small_bundle}'), 4)") == ANSWER


def test_an_unknown_engine_is_refused_before_anything_is_touched(plain):
    with pytest.raises(UsageError, match=r"no engine 'mxnt' \(did you mean 'mxnet'\?\)"):
        duckprop.register(plain, engine="mxnt")
    assert "duckprop" not in search_path(plain)


def test_connect_closes_what_it_opened_when_it_fails(file, home):
    with pytest.raises(UsageError):
        duckprop.connect(file, engine="none")
    duckdb.connect(str(file), config={"threads": 1}).close()  # refused while another handle is open


def test_nothing_is_written_into_the_users_file(file, home):
    before = digest(file)
    with duckprop.connect(file) as con:
        assert ask(con) == ANSWER
        assert len(ask(con, "SELECT propensity(features, 'toys') FROM customers")) == 40
    assert digest(file) == before
    with duckdb.connect(str(file)) as con:
        assert con.execute("SELECT table_name FROM duckdb_tables()").fetchall() == [("customers",)]
        assert con.execute("FROM duckdb_functions() WHERE function_name LIKE '%propensity%'").fetchall() == []


def test_a_read_only_file(file, home):
    with duckprop.connect(file, read_only=True) as con:
        assert ask(con, "SELECT count(propensity(features, 'toys')) FROM customers") == [(40,)]


def test_inside_an_open_transaction(plain):
    plain.begin()
    plain.execute("CREATE TABLE t AS SELECT 3 AS i")
    duckprop.register(plain)
    assert ask(plain, "SELECT round(propensity([i], 'toys'), 4) FROM t") == ANSWER
    plain.rollback()
    assert plain.execute("FROM duckdb_tables()").fetchall() == []
    assert ask(plain) == ANSWER


def test_tables_made_afterwards_are_the_users(plain):
    plain.execute('CREATE SCHEMA "a,b"; USE "a,b"; SET search_path = \'"a,b",main\'')
    duckprop.register(plain)
    plain.execute("CREATE TABLE t AS SELECT 1")
    assert plain.execute("SELECT database_name, schema_name FROM duckdb_tables()").fetchall() == [("memory", "a,b")]
    assert search_path(plain) == '"a,b",main,duckprop.main'


@pytest.mark.parametrize("name", ["duckprop", "DuckProp"])
def test_a_database_of_the_users_own_of_that_name_is_left_alone(plain, name):
    plain.execute(f"ATTACH ':memory:' AS {name}; CREATE TABLE {name}.mine AS SELECT 1")
    refused = r"catalog 'duckprop' that duckprop did not make\n.*catalog='duckprop_functions'"
    with pytest.raises(UsageError, match=refused):
        duckprop.register(plain, catalog="duckprop")
    found = f"FROM duckdb_functions() WHERE database_name = '{name}'"
    assert plain.execute(found).fetchall() == []
    with pytest.warns(UserWarning, match="the functions are in the catalog 'duckprop_sql'"):
        duckprop.register(plain)
    assert ask(plain) == ask(plain, "SELECT round(duckprop_sql.propensity([3], 'toys'), 4)") == ANSWER
    assert plain.execute(found).fetchall() == []


@pytest.mark.parametrize("name", ["My Scores", 'a"b', "x; DROP TABLE mine", "select"])
def test_a_catalog_may_have_any_name(plain, name):
    quoted = '"' + name.replace('"', '""') + '"'
    duckprop.register(duckprop.register(plain, catalog=name), catalog=name)
    assert ask(plain) == ask(plain, f"SELECT round({quoted}.propensity([3], 'toys'), 4)") == ANSWER
    assert search_path(plain).count(".main") == 2


def test_a_detached_catalog_comes_back(plain):
    duckprop.register(plain)
    plain.execute("DETACH duckprop")
    assert ask(duckprop.register(plain), PREFIXED) == ANSWER


def test_every_cursor_can_call_them_with_the_prefix(con):
    with con.cursor() as cursor:
        assert ask(cursor, PREFIXED) == ANSWER
        assert ask(duckprop.register(cursor)) == ANSWER


def test_views_and_prepared_statements(file, home):
    with duckprop.connect(file) as con:
        con.execute(
            "CREATE VIEW scored AS SELECT id, round(duckprop.propensity(features, 'toys'), 4) AS p FROM customers"
        )
        con.execute("PREPARE ask AS SELECT round(propensity([$1::INTEGER], $2), 4)")
        assert ask(con, "EXECUTE ask(3, 'toys')") == ANSWER
    with duckprop.connect(file) as con:
        assert ask(con, "SELECT p FROM scored WHERE id = 3") == ANSWER
    with duckdb.connect(str(file)) as con, pytest.raises(duckdb.CatalogException, match="propensity"):
        con.execute("FROM scored")  # without a registration


def test_an_error_leaves_the_connection_usable(con):
    for wrong in ("propensity([99], 'toys')", "propensity([3], 'toyz')", "propensity_topk([3], -1)"):
        with pytest.raises(duckdb.InvalidInputException):
            ask(con, f"SELECT {wrong}")
        with pytest.raises(duckdb.InvalidInputException):
            ask(con, f"SELECT {wrong.replace('3', 'i').replace('99', '90 + i')} FROM range(5000) t(i)")
    assert ask(con) == ANSWER


def test_a_model_that_appears_later_is_found(con, home, small_bundle):
    query = "SELECT round(propensity([3], 'toys', 'late'), 4)"
    with pytest.raises(duckdb.InvalidInputException, match="no model 'late'"):
        ask(con, query)
    Registry().publish(small_bundle, "late")
    assert ask(con, query) == ANSWER
    assert ask(con, "SELECT count(*) FROM propensity_models()") == [(2,)]


def test_register_from_several_threads_at_once(plain):
    cursors = [plain.cursor() for _ in range(8)]
    answers, failures = [], []

    def work(cursor):
        try:
            answers.append(ask(duckprop.register(cursor)))
        except duckdb.Error as error:
            failures.append(error)

    in_threads(work, cursors)
    assert not failures
    assert answers == [ANSWER] * 8


def test_four_threads_with_a_cursor_each(con):
    query = "SELECT i, duckprop.propensity([i % 40], 'toys', CASE i % 3 WHEN 0 THEN 'shop@1' END) FROM range(9000) t(i)"
    alone, answers = ask(con, query), {}

    def work(cursor):
        answers[cursor] = ask(cursor, query)

    in_threads(work, [con.cursor() for _ in range(4)])
    assert len(answers) == 4
    assert all(answer == alone for answer in answers.values())


def in_threads(work, arguments):
    threads = [threading.Thread(target=work, args=[argument]) for argument in arguments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_load_and_register_say_the_same_of_a_missing_model(con):
    with pytest.raises(ModelError) as python:
        duckprop.load("shp")
    with pytest.raises(duckdb.InvalidInputException) as sql:
        ask(con, "SELECT propensity([3], 'toys', 'shp')")
    assert str(sql.value).endswith(str(python.value))
