"""The table macros over every kind of relation, on every kind of connection, and that no customer is scored twice."""

import duckdb
import pyarrow as pa
import pytest

import duckprop
from duckprop.compiled import CompiledScorer

N = 5000
CUSTOMERS = f"SELECT id::INTEGER AS id, [(id % 40)::INTEGER] AS features FROM range({N}) t(id)"
OURS = {
    "scores": "FROM propensity_scores('{}', ['toys'])",
    "top": "FROM propensity_top('{}', 1)",
    "deciles": "FROM propensity_deciles('{}')",
    "lift": "FROM propensity_lift('{}', '{}')",
    "calibration": "FROM propensity_calibration('{}', '{}')",
    "drift": "FROM propensity_drift('{}', '{}')",
    "audience": "FROM propensity_audience('{}', 'toys', n := 2)",
    "sample size": "FROM propensity_sample_size('{}', 'toys', 0.1)",
    "evaluate": "SELECT category, metric, round(value, 9) FROM propensity_evaluate('{}', '{}') ORDER BY ALL",
}
COLUMNS = "id, category, propensity, features"
"""Of a relation that all of them read, as propensities, outcomes, baseline or customers."""

INSIDE = {
    *("columns", "places", "sizes", "lists", "figures", "means", "past", "windows", "stretches"),
    *("known", "kept", "listed", "mapped", "named", "long"),
    *("acts", "asked", "baseline", "binned", "bins", "closest", "counted", "deciles", "edges", "given", "now"),
    *("outcomes", "pairs", "r", "raised", "rel", "s", "scored", "shares", "summed"),
}
ARGUMENTS = {"categories", "holdout", "k", "lift", "model", "n", "salt", "share"}


@pytest.fixture
def shop(con):
    con.execute(f"CREATE TABLE customers AS {CUSTOMERS}")
    scored = "propensity_scores('customers', ['toys']) JOIN customers USING (id)"
    con.execute(f"CREATE TABLE everything AS SELECT {COLUMNS} FROM {scored} WHERE id < 50")
    return con


def answers(con, name, prefix=""):
    """Return what each of OURS says of one relation."""
    queries = (query.format(*[name] * query.count("{}")) for query in OURS.values())
    return [con.execute(query.replace("FROM ", f"FROM {prefix}", 1)).fetchall() for query in queries]


def test_tables_views_and_files_give_the_same(shop, tmp_path):
    expected = answers(shop, "everything")
    assert all(expected)
    path = tmp_path / "every thing.parquet"
    shop.execute(f"COPY everything TO '{path}' (FORMAT parquet)")
    shop.execute("""CREATE TEMP TABLE passing AS FROM everything; CREATE VIEW seen AS FROM everything;
                    CREATE SCHEMA other; CREATE TABLE other."two words" AS FROM everything""")
    for name in (path, "passing", "seen", "memory.main.everything", 'other."two words"'):
        assert answers(shop, name) == expected


def test_python_variables_give_the_same(shop):
    expected = answers(shop, "everything")
    arrow = shop.sql("FROM everything").to_arrow_table()
    relation = shop.table("everything")
    assert isinstance(arrow, pa.Table)
    assert isinstance(relation, duckdb.DuckDBPyRelation)
    for name in ("arrow", "relation"):
        for query, rows in zip(OURS.values(), expected, strict=True):
            assert shop.execute(query.format(*[name] * query.count("{}"))).fetchall() == rows


def test_ctes_and_subqueries_by_name_give_the_same(shop):
    expected = answers(shop, "everything")
    for query, rows in zip(OURS.values(), expected, strict=True):
        filled = query.format(*["these"] * query.count("{}"))
        assert shop.execute(f"WITH these AS (FROM everything) {filled}").fetchall() == rows
        assert shop.execute(f"WITH these AS (FROM everything) SELECT * FROM ({filled})").fetchall() == rows


def test_a_cursor_calls_them_with_the_prefix(shop):
    expected = answers(shop, "everything")
    with shop.cursor() as cursor:
        assert answers(cursor, "everything", "duckprop.") == expected
        with pytest.raises(duckdb.CatalogException, match="propensity_scores"):
            cursor.execute("FROM propensity_scores('everything')")


def test_a_read_only_database_is_enough(shop, home, tmp_path):
    expected = answers(shop, "everything")
    path = tmp_path / "shop.duckdb"
    shop.execute(f"ATTACH '{path}' AS kept; CREATE TABLE kept.everything AS FROM everything; DETACH kept")
    with duckprop.connect(path, read_only=True) as con:
        assert answers(con, "everything") == expected


def test_a_relation_may_be_called_like_what_is_inside(shop):
    expected = answers(shop, "everything")
    for name in INSIDE:
        shop.execute(f"CREATE VIEW {name} AS FROM everything")
        assert answers(shop, name) == expected, name


def test_columns_may_be_called_like_arguments_or_what_is_inside(shop):
    expected = answers(shop, "everything")
    others = ", ".join(f"{{'id': 7, 'category': 'x', 'propensity': 8}} AS {name}" for name in ARGUMENTS | INSIDE)
    shop.execute(f"""CREATE VIEW wider AS SELECT *, {others}, 9 AS "order" FROM everything""")
    found = dict(zip(OURS, answers(shop, "wider"), strict=True))
    found["deciles"] = [(*row[:4], *row[-2:]) for row in found["deciles"]]
    assert list(found.values()) == expected


@pytest.fixture
def scored(shop, monkeypatch):
    """Return the numbers of rows that were scored, call by call, of the view 'lively' among others."""
    calls, score = [], CompiledScorer.score

    def counting(self, batch, *arguments):
        calls.append(len(batch))
        return score(self, batch, *arguments)

    shop.execute("SET threads = 1; CREATE VIEW lively AS FROM propensity_scores('customers')")
    shop.execute("CREATE TABLE acted AS SELECT id, 'toys' AS category FROM customers WHERE id % 9 = 0")
    monkeypatch.setattr(CompiledScorer, "score", counting)
    return calls


@pytest.mark.parametrize(
    "query",
    [
        "FROM propensity_scores('customers') WHERE propensity > 0.5 ORDER BY propensity LIMIT 3",
        "FROM propensity_scores('customers') QUALIFY rank() OVER (PARTITION BY id ORDER BY propensity) = 1",
        "FROM propensity_scores('customers', ['toys', 'books']) JOIN acted USING (id, category)",
        "FROM propensity_deciles('lively') WHERE decile = 1",
        "FROM propensity_lift('lively', 'acted')",
        "FROM propensity_calibration('lively', 'acted')",
        "FROM propensity_drift('lively')",
        "FROM propensity_drift('everything', 'lively')",
        "FROM propensity_audience('lively', 'toys', n := 9)",
        "FROM propensity_sample_size('lively', 'toys', 0.1)",
    ],
)
def test_no_customer_is_scored_twice(shop, scored, query):
    assert shop.execute(query).fetchall()
    batch = 2048  # the look for a category's closest name may begin before it is known to be needless
    assert 0.9 * N < sum(scored) <= N + batch + 20


def test_a_filter_on_the_id_comes_before_the_score(shop, scored):
    assert len(shop.execute("FROM propensity_scores('customers') WHERE id = 7").fetchall()) == 5
    assert sum(scored) < 20
