"""One customer, one number: whatever the function, the batch, the engine and the order of the rows."""

import duckdb
import numpy as np
import pytest
from scipy import sparse

import duckprop
from duckprop.registry import Registry

ROWS = 3000
ENGINES = ("compiled", "mxnet")


@pytest.fixture(scope="module")
def matrix():
    """Customers of 0 to 40 features, 5 empty ones among them, as most have few."""
    made = sparse.random(ROWS, 40, 0.12, "csr", dtype=np.float32, random_state=5)
    made.data = np.round(made.data * 8) / 4 + np.float32(0.25)
    made.data[made.indptr[10] : made.indptr[15]] = 0
    made.eliminate_zeros()
    return made


@pytest.fixture
def customers(con, matrix):
    """The same customers as a table: id, LibSVM text, and the canonical struct made of it."""
    texts = [" ".join(f"{c}:{v}" for c, v in zip(row.indices, row.data, strict=True)) for row in matrix]
    con.execute("CREATE TABLE customers (id INTEGER, text VARCHAR)")
    con.execute("INSERT INTO customers SELECT unnest($1), unnest($2)", [list(range(ROWS)), texts])
    con.execute(
        "CREATE TABLE vectors AS SELECT id, {indices: list_transform(pairs, lambda p: split_part(p, ':', 1)::INTEGER), "
        "values: list_transform(pairs, lambda p: split_part(p, ':', 2)::FLOAT)} AS features "
        "FROM (SELECT id, list_filter(string_split(text, ' '), lambda p: p <> '') AS pairs FROM customers)"
    )
    return con


def column(con, query):
    return np.array([value for (value,) in con.execute(query).fetchall()], np.float32)


@pytest.mark.parametrize("engine", ENGINES)
def test_sql_gives_what_predict_gives(customers, matrix, engine):
    duckprop.register(customers, engine=engine)
    expected = duckprop.load("shop").predict(matrix, engine)
    for head, category in enumerate(("books", "garden", "music", "shoes", "toys")):
        scored = column(customers, f"SELECT propensity(features, '{category}') FROM vectors ORDER BY id")
        np.testing.assert_array_equal(scored, expected[:, head])
    vectors = column(customers, "SELECT unnest(propensity_vector(text)) FROM customers")
    np.testing.assert_array_equal(vectors.reshape(ROWS, 5), expected)


@pytest.mark.parametrize("engine", ENGINES)
def test_topk_gives_what_model_top_gives(customers, matrix, engine):
    duckprop.register(customers, engine=engine)
    rows = customers.execute("SELECT propensity_topk(features, 3) FROM vectors ORDER BY id LIMIT 300").fetchall()
    named = [[(best["category"], best["propensity"]) for best in row] for (row,) in rows]
    assert named == duckprop.load("shop").top(matrix[:300], 3, engine)
    assert {tuple(best["rank"] for best in row) for (row,) in rows} == {(1, 2, 3)}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_batch_of_one_seven_or_two_thousand_gives_the_same_bits(home, matrix, engine):
    model = duckprop.load("shop")
    whole = model.predict(matrix[:2048], engine)
    for size in (1, 7, 513):
        count = 2048 if size > 1 or engine == "compiled" else 300
        parts = [model.predict(matrix[start : start + size], engine) for start in range(0, count, size)]
        np.testing.assert_array_equal(np.vstack(parts)[:count], whole[:count])


def test_rows_come_back_in_their_order(customers, matrix):
    scored = column(customers, "SELECT propensity(features, 'toys') FROM vectors")
    np.testing.assert_array_equal(
        scored, column(customers, "SELECT propensity(text, 'toys') FROM customers ORDER BY id")
    )
    backwards = column(customers, "SELECT propensity(text, 'toys') FROM (FROM customers ORDER BY id DESC)")
    np.testing.assert_array_equal(scored, backwards[::-1])


def test_a_category_or_a_model_by_row_gives_what_the_constant_gives(customers):
    whole = {
        c: column(customers, f"SELECT propensity(features, '{c}') FROM vectors ORDER BY id") for c in ("toys", "books")
    }
    mixed = column(customers, "SELECT propensity(features, if(id % 3 = 0, 'toys', 'books')) FROM vectors ORDER BY id")
    at = np.arange(ROWS) % 3 == 0
    np.testing.assert_array_equal(mixed, np.where(at, whole["toys"], whole["books"]))


def test_a_model_by_row_gives_what_the_constant_gives(customers, write_bundle):
    club = Registry().publish(write_bundle(seed=8), "club").reference
    query = "SELECT propensity(features, 'toys', {}) FROM vectors ORDER BY id"
    shop, other = column(customers, query.format("'shop'")), column(customers, query.format(f"'{club}'"))
    assert not np.array_equal(shop, other)
    mixed = column(customers, query.format(f"if(id % 3 = 0, 'shop', '{club}')"))
    np.testing.assert_array_equal(mixed, np.where(np.arange(ROWS) % 3 == 0, shop, other))


@pytest.mark.parametrize("engine", ENGINES)
def test_an_overflow_names_the_row_of_its_batch_whatever_model_it_has(con, write_bundle, engine):
    Registry().publish(write_bundle(seed=8), "club")
    duckprop.register(con, engine=engine)
    features = "CASE WHEN id = 3 THEN MAP {1: 1e30} WHEN id <> 2 THEN MAP {1: 1.0} END"
    query = f"SELECT propensity({features}, 'toys', if(id % 2 = 0, 'shop', 'club')) FROM range(6) t(id)"
    with pytest.raises(duckdb.InvalidInputException, match=r"row 3 of its batch .* so large that the network"):
        con.execute(query)
