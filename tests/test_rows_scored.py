"""How many rows reach the scoring functions, query by query: none twice, none that a filter drops, none for nothing."""

import pytest

import duckprop
from duckprop import catalog

ROWS, GROUP = 20_480, 4_096  # customers; those of one town in five
SCORING = ("propensity", "propensities", "propensity_topk", "propensity_vector", "propensity_embedding")
EACH_ONCE = {
    "a filter on the score": "FROM propensity_scores('customers') WHERE propensity > 0.2",
    "… and on the category": "FROM propensity_scores('customers') WHERE category = 'toys' AND propensity > 0.2",
    "a category that is asked for": "FROM propensity_scores('customers', ['toys']) WHERE propensity > 0.2",
    "the best of all": "FROM propensity_scores('customers', ['toys']) ORDER BY propensity DESC LIMIT 10",
    "a sorted list": "SELECT id, propensity(features, 'toys') AS p FROM customers ORDER BY p DESC",
    "the second best ten": "FROM propensity_scores('customers', ['toys']) ORDER BY propensity LIMIT 10 OFFSET 10",
    "QUALIFY": """FROM propensity_scores('customers')
                  QUALIFY row_number() OVER (PARTITION BY id ORDER BY propensity) = 1""",
    "QUALIFY and WHERE": """FROM propensity_scores('customers') WHERE propensity > 0.1
                            QUALIFY ntile(10) OVER (PARTITION BY category ORDER BY propensity DESC) = 1""",
    "a join": "SELECT * FROM propensity_scores('customers') JOIN towns USING (id) WHERE propensity > 0.3",
    "a join with itself": """WITH scored AS (FROM propensity_scores('customers'))
                             SELECT count(*) FROM scored AS a JOIN scored AS b USING (id, category)""",
    "an anti join": "FROM propensity_scores('customers') WHERE id NOT IN (SELECT id FROM ghent)",
    "GROUP BY and HAVING": """SELECT category, avg(propensity) AS mean FROM propensity_scores('customers')
                              GROUP BY category HAVING mean > 0.1 ORDER BY mean""",
    "several aggregates": "SELECT max(propensity), avg(propensity), count(*) FROM propensity_scores('customers')",
    "a top list": "FROM propensity_top('customers', 3) WHERE rank = 1 AND propensity > 0.2",
    "lists filtered": """WITH s AS MATERIALIZED (SELECT id, propensity_topk(features, 2) AS best FROM customers)
                         FROM s WHERE best[1].category = 'toys'""",
    "deciles of a CTE": "WITH s AS (FROM propensity_scores('customers')) FROM propensity_deciles('s') WHERE decile < 3",
    "lift": "WITH s AS (FROM propensity_scores('customers')) FROM propensity_lift('s', 'outcomes') WHERE decile = 1",
    "calibration": "WITH s AS (FROM propensity_scores('customers')) FROM propensity_calibration('s', 'outcomes')",
    "evaluation": "WITH s AS (FROM propensity_scores('customers')) FROM propensity_evaluate('s', 'outcomes')",
    "drift": "WITH s AS (FROM propensity_scores('customers')) FROM propensity_drift('s', 's')",
    "an audience": """WITH s AS (FROM propensity_scores('customers', ['toys']))
                      FROM propensity_audience('s', 'toys', share := 0.1, holdout := 0.1)""",
    "a sample size": "WITH s AS (FROM propensity_scores('customers')) FROM propensity_sample_size('s', 'toys', 0.2)",
    "the same twice": "SELECT propensity(features, 'toys'), propensity(features, 'toys') + 1 FROM customers",
    "a table": "CREATE OR REPLACE TEMP TABLE kept AS FROM propensity_scores('customers')",
    "UNION ALL of two towns": """FROM propensity_scores('ghent') UNION ALL FROM propensity_scores('others')""",
    "a window over the score": """SELECT id, rank() OVER (ORDER BY p DESC), p - avg(p) OVER ()
                                  FROM (SELECT id, propensity(features, 'toys') AS p FROM customers)""",
    "a CASE on a scored CTE": """WITH s AS MATERIALIZED (SELECT id, propensity(features, 'toys') AS p FROM customers)
                                 SELECT id, CASE WHEN p > 0.5 THEN 'hot' ELSE 'warm' END FROM s WHERE p > 0.1""",
    "a pivot": """PIVOT (FROM propensity_scores('customers')) ON category IN ('toys', 'music')
                  USING max(propensity) GROUP BY id""",
}
OF_ONE_TOWN = {
    "WHERE": "SELECT id, propensity(features, 'toys') FROM customers WHERE town = 'Ghent'",
    "WHERE around the score": """SELECT * FROM (SELECT *, propensity(features, 'toys') AS p FROM customers)
                                 WHERE town = 'Ghent'""",
    "WHERE on the id": f"FROM propensity_scores('customers') WHERE id < {GROUP}",
    "WHERE on the id and the score": f"FROM propensity_scores('customers') WHERE id < {GROUP} AND propensity > 0.2",
    "a view": "FROM propensity_scores('ghent')",
    "a CTE": "WITH these AS (FROM customers WHERE town = 'Ghent') FROM propensity_scores('these')",
    "a join below": "FROM propensity_scores('customers') SEMI JOIN ghent USING (id)",
    "a join that leaves few": "SELECT * FROM propensity_scores('customers') JOIN ghent USING (id)",
    "a top list": f"FROM propensity_top('customers', 2) WHERE id < {GROUP}",
    "IN a subquery": "FROM propensity_scores('customers') WHERE id IN (SELECT id FROM ghent)",
    "a cheap condition and a score": """SELECT id FROM customers
                                        WHERE propensity(features, 'toys') > 0.2 AND town = 'Ghent'""",
}
NOTHING = {
    "count(*)": "SELECT count(*) FROM (SELECT id, propensity(features, 'toys') AS p FROM customers)",
    "a column that is not used": "SELECT id FROM (SELECT id, propensity(features, 'toys') AS p FROM customers)",
    "LIMIT 0": "FROM propensity_scores('customers') LIMIT 0",
    "WHERE false": "FROM propensity_scores('customers') WHERE false",
    "DESCRIBE": "DESCRIBE FROM propensity_scores('customers')",
    "EXPLAIN": "EXPLAIN FROM propensity_scores('customers') ORDER BY propensity",
    "CREATE VIEW": "CREATE OR REPLACE TEMP VIEW later AS FROM propensity_scores('customers')",
    "an empty relation": "WITH nobody AS (FROM customers WHERE id < 0) FROM propensity_scores('nobody')",
}


@pytest.fixture(scope="module")
def scored_rows():
    """Count the rows that each scoring function is handed; the functions do what they always do."""
    counts = dict.fromkeys(SCORING, 0)
    real = catalog._bound

    def counting(udf, models):
        call = real(udf, models)

        def count(*columns):
            if udf.name in counts and len(columns[0]) > 1:  # one row: constants, folded while the query is planned
                counts[udf.name] += len(columns[0])
            return call(*columns)

        count.__signature__ = call.__signature__
        return count

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "_bound", counting)
        yield counts


@pytest.fixture(scope="module")
def shop(scored_rows, small_bundle):
    with duckprop.connect(model=str(small_bundle)) as con:
        con.execute(f"""
            CREATE TABLE customers AS
            SELECT id, if(id < {GROUP}, 'Ghent', 'Turin') AS town, [(hash(id) % 40)::INTEGER] AS features
            FROM range({ROWS}) AS numbers(id);
            CREATE TABLE towns AS SELECT id, town FROM customers;
            CREATE VIEW ghent AS FROM customers WHERE town = 'Ghent';
            CREATE VIEW others AS FROM customers WHERE town <> 'Ghent';
            CREATE TABLE outcomes AS SELECT id, 'toys' AS category FROM customers WHERE hash(id, 1) % 7 = 0
        """)
        yield con


def rows_for(shop, counts, query):
    """Return how many rows the scoring functions saw while the query ran."""
    counts.update(dict.fromkeys(counts, 0))
    shop.execute(query).fetchall()
    return sum(counts.values())


@pytest.mark.parametrize("query", EACH_ONCE.values(), ids=EACH_ONCE.keys())
def test_every_customer_is_scored_once(shop, scored_rows, query):
    assert rows_for(shop, scored_rows, query) == ROWS


@pytest.mark.parametrize("query", OF_ONE_TOWN.values(), ids=OF_ONE_TOWN.keys())
def test_only_the_customers_that_a_filter_leaves_are_scored(shop, scored_rows, query):
    assert rows_for(shop, scored_rows, query) == GROUP


@pytest.mark.parametrize("query", NOTHING.values(), ids=NOTHING.keys())
def test_nobody_is_scored_for_nothing(shop, scored_rows, query):
    assert rows_for(shop, scored_rows, query) == 0


FILTERED_SCALARS = {
    "propensity": ("propensity(features, 'toys') AS p", "p > 0.4"),
    "topk": ("propensity_topk(features, 2) AS p", "p[1].category = 'toys'"),
}


@pytest.mark.parametrize(("score", "condition"), FILTERED_SCALARS.values(), ids=FILTERED_SCALARS.keys())
def test_duckdb_scores_again_what_a_filter_on_a_scalar_keeps_unless_it_is_materialized(
    shop, scored_rows, score, condition
):
    """What the how-to warns of; when DuckDB stops doing it, the warning goes."""
    query = f"WITH s AS %s (SELECT id, {score} FROM customers) FROM s WHERE {condition}"
    kept = len(shop.execute(query % "MATERIALIZED").fetchall())
    assert 0 < kept < ROWS
    assert rows_for(shop, scored_rows, query % "MATERIALIZED") == ROWS
    assert rows_for(shop, scored_rows, query % "NOT MATERIALIZED") == ROWS + kept
