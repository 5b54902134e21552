"""Tables, paths, globs, folders and queries by name; and names that try to be more than names."""

import duckdb
import pytest

from duckprop.errors import DataError, UsageError
from duckprop.relation import as_query, columns_of, first_line, identifier, literal, require

NASTY = [
    "plain",
    "two words",
    'with "quotes"',
    "it's",
    "x; DROP TABLE kept; --",
    "a'); DROP TABLE kept; --",
    "SELECT",
    "źółw",
    "1st",
]


@pytest.fixture
def db():
    with duckdb.connect() as con:
        con.execute("CREATE TABLE kept AS SELECT 1 AS n, 'a' AS name")
        yield con


def rows(con, relation):
    return con.execute(f"FROM ({as_query(relation)})").fetchall()


@pytest.mark.parametrize("name", NASTY)
def test_identifier_and_literal_quote_anything(db, name):
    db.execute(f"CREATE TABLE {identifier(name)} ({identifier(name)} VARCHAR)")
    db.execute(f"INSERT INTO {identifier(name)} VALUES ({literal(name)})")
    assert db.execute(f"SELECT {identifier(name)} FROM {identifier(name)}").fetchall() == [(name,)]
    assert rows(db, identifier(name)) == [(name,)]
    assert rows(db, "kept") == [(1, "a")]


@pytest.mark.parametrize(
    "name",
    [
        "kept",
        " kept ",
        "kept;",
        '"kept"',
        "KEPT",
        "main.kept",
        "memory.main.kept",
        '"main"."kept"',
        'memory."main".kept',
    ],
)
def test_tables_are_found_however_they_are_written(db, name):
    assert rows(db, name) == [(1, "a")]


def test_parts_may_hold_dots_and_quotes_where_they_are_quoted(db):
    db.execute('CREATE SCHEMA "my.schema"; CREATE TABLE "my.schema"."a ""b"".c" AS SELECT 7 AS n')
    assert rows(db, '"my.schema"."a ""b"".c"') == [(7,)]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT n, name FROM kept",
        "from kept",
        "(SELECT * FROM kept)",
        "WITH t AS (FROM kept) FROM t",
        "  values (1, 'a') ;",
        "TABLE kept",
        "select*from kept",
        "FROM kept -- all of them",
        "-- all of them\nFROM kept",
        "/* all\nof them */ FROM kept;",
    ],
)
def test_a_query_is_taken_as_it_is(db, query):
    assert rows(db, query) == [(1, "a")]


def test_names_that_begin_like_a_query_are_tables(db):
    for name in ("selected", "from_shop", "values_2026"):
        db.execute(f"CREATE TABLE {name} AS SELECT '{name}'")
        assert rows(db, name) == [(name,)]


@pytest.mark.parametrize(
    "attempt",
    [
        "kept; DROP TABLE kept",
        "kept) UNION SELECT 2, 'b' --",
        'kept"; DROP TABLE kept; --',
        "kept -- a comment",
        "x' OR '1'='1",
    ],
)
def test_a_name_cannot_be_more_than_a_name(db, attempt):
    with pytest.raises(DataError, match=r"^features cannot be read"):
        columns_of(db, attempt, "features")
    assert rows(db, "kept") == [(1, "a")]


def test_a_quoted_name_is_never_a_glob(db):
    db.execute('CREATE TABLE "what?.csv" AS SELECT 5 AS n')
    assert rows(db, '"what?.csv"') == [(5,)]


def test_files_globs_and_folders(db, tmp_path):
    folder = tmp_path / "it's a folder"
    (folder / "day=1").mkdir(parents=True)
    db.execute(f"COPY (SELECT 1 AS n) TO {literal(str(folder / 'a.parquet'))}")
    db.execute(f"COPY (SELECT 2 AS n) TO {literal(str(folder / 'day=1' / 'b.parquet'))}")
    db.execute(f"COPY (SELECT 3 AS n) TO {literal(str(tmp_path / 'c.csv'))}")
    assert rows(db, str(folder / "a.parquet")) == [(1,)]
    assert rows(db, str(folder / "*.parquet")) == [(1,)]
    assert sorted(row[0] for row in rows(db, str(folder))) == [1, 2]
    assert rows(db, f"{folder}/") == rows(db, str(folder))
    assert rows(db, str(tmp_path / "c.csv")) == [(3,)]


@pytest.mark.parametrize("text", ["", "  ", ";", " ; "])
def test_nothing_is_not_a_relation(text):
    with pytest.raises(UsageError, match="is empty"):
        as_query(text)


def test_columns_of_gives_names_and_types_in_order(db):
    assert columns_of(db, "SELECT n, name, [1.5::FLOAT] AS f FROM kept", "features") == {
        "n": "INTEGER",
        "name": "VARCHAR",
        "f": "FLOAT[]",
    }


@pytest.mark.parametrize(
    ("relation", "words"),
    [
        ("kepd", "kepd does not exist"),
        ("nowhere.parquet", "nowhere.parquet"),
        ("SELECT * FRO kept", "Parser Error"),
        ("SELECT m FROM kept", '"m" not found'),
    ],
)
def test_what_cannot_be_read_says_so_in_one_line(db, relation, words):
    with pytest.raises(DataError, match=f"^features cannot be read: .*{words}") as caught:
        columns_of(db, relation, "features")
    assert "\n" not in caught.value.fact


def test_require_names_the_column_the_closest_one_and_all():
    require({"id": "INTEGER", "features": "VARCHAR"}, ["id"], "the data")
    with pytest.raises(
        DataError, match=r"the data has no column 'feature' \(did you mean 'features'\?\)\nit has id, features"
    ):
        require({"id": "INTEGER", "features": "VARCHAR"}, ["id", "feature"], "the data")


def test_first_line_of_an_error_without_words_is_its_class():
    assert (first_line(ValueError("\n one\ntwo")), first_line(ValueError())) == ("one", "ValueError")


@pytest.mark.parametrize("name", ["values.parquet", "from-2024.parquet", "table.csv", "show.json", "with.parquet"])
def test_a_file_may_be_called_like_a_word_of_sql(name):
    assert as_query(name) == f"FROM '{name}'"
