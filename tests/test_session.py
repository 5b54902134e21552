"""What a session sets, or what others publish meanwhile, changes no number of a table function."""

import duckdb
import pytest
from conftest import CATEGORIES, make_bundle

import duckprop
from duckprop.registry import Registry

TABLES = """
    CREATE TABLE customers AS SELECT id, [id % 40] AS features FROM range(200) AS numbers(id);
    CREATE TABLE scored AS FROM propensity_scores('customers') ORDER BY id ASC, category ASC;
    CREATE TABLE outcomes AS SELECT id, category FROM scored WHERE hash(id, category) % 3 = 0;
    CREATE TABLE events AS SELECT id % 20 AS id, DATE '2025-01-01' + (id % 99)::INTEGER AS time,
                                  (['a', 'b', 'c'])[1 + (id * 7) % 3] AS item FROM range(500) AS numbers(id);
    CREATE TABLE named AS FROM propensity_features_asof('events', DATE '2025-03-01') ORDER BY id ASC
"""
QUESTIONS = (
    "FROM propensity_deciles('scored') ORDER BY id ASC, category ASC",
    "FROM propensity_lift('scored', 'outcomes')",
    "FROM propensity_calibration('scored', 'outcomes')",
    """SELECT category, metric, round(value, 9) FROM propensity_evaluate('scored', 'outcomes')
       WHERE category IS NOT NULL ORDER BY category ASC, metric ASC""",
    "FROM propensity_drift('scored')",
    "FROM propensity_audience('scored', 'toys', share := 0.3, holdout := 0.5)",
    "FROM propensity_sample_size('scored', 'toys', 0.2)",
    "FROM named",
    "FROM propensity_labels('events', DATE '2025-03-01', 14) ORDER BY id ASC, category ASC",
    "FROM propensity_vocabulary('named', min_customers := 1)",
)


def answers(**config):
    with duckprop.connect(config=config) as con:
        con.execute(TABLES)
        return [con.execute(question).fetchall() for question in QUESTIONS]


@pytest.mark.parametrize(
    "config",
    [
        {"integer_division": "true"},
        {"default_order": "DESC"},
        {"default_null_order": "NULLS_FIRST"},
        {"threads": "1", "preserve_insertion_order": "false"},
    ],
    ids=lambda config: next(iter(config)),
)
def test_settings_of_the_session_change_no_answer(home, config):
    expected = answers()
    assert all(expected)
    assert answers(**config) == expected


@pytest.mark.parametrize("reference", ["shop@champion", "shop"])
@pytest.mark.parametrize("table", ["propensity_scores('many', model := {})", "propensity_top('many', 9, model := {})"])
def test_a_query_keeps_the_version_that_it_began_with(con, home, tmp_path, table, reference):
    """The next version has the same categories in another order: names and numbers of two versions must not meet."""
    registry = Registry()
    registry.promote("shop", "champion", 1)
    con.execute("CREATE TABLE many AS SELECT id, [id % 40] AS features FROM range(30000) AS numbers(id)")
    query = f"SELECT id, category, propensity FROM {table.format(repr(reference))}"
    expected = con.execute(query).fetchall()
    running = con.execute(query)
    found = running.fetchmany(10)
    registry.publish(make_bundle(tmp_path / "next", categories=CATEGORIES[::-1], seed=9), "shop")
    registry.promote("shop", "champion", 2)
    found += running.fetchall()
    assert sorted(found) == sorted(expected)
    assert sorted(con.execute(query).fetchall()) != sorted(expected)


@pytest.mark.parametrize("ids", ["'0' || id", "' ' || id", "id || ''", "id::DOUBLE"])
def test_outcome_ids_of_another_type_count_no_customer_twice(con, ids):
    con.execute(TABLES)
    acted = con.execute("SELECT sum(n), sum(responders) FROM propensity_lift('scored', 'outcomes')").fetchone()
    con.execute(f"""
        CREATE VIEW written AS SELECT {ids} AS id, category FROM outcomes
        UNION ALL SELECT id::VARCHAR, category FROM outcomes UNION ALL SELECT '00' || id, category FROM outcomes
    """)
    found = con.execute("SELECT sum(n), sum(responders) FROM propensity_lift('scored', 'written')").fetchone()
    assert found == acted == (1000, acted[1])
    assert con.execute("FROM propensity_evaluate('scored', 'written')").fetchall()


@pytest.mark.parametrize(
    "name", ["past", "windows", "stretches", "edges", "counted", "named", "long", "asked", "dates"]
)
def test_events_may_be_called_like_what_is_inside(con, name):
    con.execute(TABLES.replace("named", "kept"))
    for question in (
        "propensity_features_asof('{}', DATE '2025-03-01')",
        "propensity_labels('{}', DATE '2025-03-01', 9)",
    ):
        expected = con.execute(f"FROM {question.format('events')} ORDER BY ALL").fetchall()
        con.execute(f"CREATE OR REPLACE VIEW {name} AS FROM events")
        assert con.execute(f"FROM {question.format(name)} ORDER BY ALL").fetchall() == expected


def test_categories_that_are_no_text_are_evaluated_too(con):
    con.execute(TABLES)
    con.execute("""CREATE VIEW numbered AS SELECT * REPLACE (ascii(category) AS category) FROM scored;
                   CREATE VIEW acted AS SELECT id, ascii(category) AS category FROM outcomes""")
    for question in ("propensity_evaluate('numbered', 'acted')", "propensity_drift('numbered', 'numbered')"):
        rows = con.execute(f"FROM {question} WHERE category IS NOT NULL").fetchall()
        assert {row[0] for row in rows} == {str(ord(name[0])) for name in CATEGORIES}
    with pytest.raises(duckdb.InvalidInputException, match=r"min_support is 0\.5"):
        con.execute("FROM propensity_evaluate('numbered', 'acted', min_support := 0.5)")
