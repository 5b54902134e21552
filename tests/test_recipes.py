"""What the how-to on other tools says, on the tools themselves: DataFrames, SciPy rows and SQLAlchemy's pools."""

import threading
from concurrent.futures import ThreadPoolExecutor

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
from conftest import CATEGORIES, NAMES
from duckdb_engine import ConnectionWrapper
from sqlalchemy import create_engine, event, text

import duckprop

LISTS = {"id": [7, 8, 9], "features": [["item 1", "item 3"], [], ["item 39"]]}
SCORES = "FROM propensity_scores('customers') ORDER BY id, category"


@pytest.fixture
def expected(con):
    """Ids, categories and propensities of LISTS, by way of the model itself."""
    model = duckprop.load("shop")
    rows = scipy.sparse.lil_matrix((3, model.width), dtype=np.float32)
    for row, names in enumerate(LISTS["features"]):
        rows[row, [NAMES.index(name) for name in names]] = 1
    return model.predict(rows.tocsr())


def check(ids, categories, propensities, expected):
    assert list(ids) == np.repeat(LISTS["id"], len(CATEGORIES)).tolist()
    assert list(categories) == list(CATEGORIES) * 3
    np.testing.assert_allclose(np.asarray(propensities), expected.ravel(), atol=1e-7)


def test_a_pandas_frame_goes_in_by_its_name_and_comes_back(con, expected):
    customers = pd.DataFrame(LISTS)  # noqa: F841
    scores = con.sql(SCORES).df()
    assert list(scores.columns) == ["id", "category", "propensity"]
    assert scores["propensity"].dtype == np.float32
    check(scores["id"], scores["category"], scores["propensity"], expected)


def test_a_polars_frame_goes_in_by_its_name_and_comes_back(con, expected):
    customers = pl.DataFrame(LISTS)  # noqa: F841
    scores = con.sql(SCORES).pl()
    assert scores.schema == {"id": pl.Int64, "category": pl.String, "propensity": pl.Float32}
    check(scores["id"], scores["category"], scores["propensity"], expected)


def test_a_lazy_polars_frame_goes_in_too(con, expected):
    customers = pl.DataFrame(LISTS).lazy().filter(pl.col("id") > 0)  # noqa: F841
    check(*con.sql(SCORES).fetchnumpy().values(), expected)


def test_an_arrow_table_goes_in_by_its_name_and_comes_back(con, expected):
    customers = pa.table(LISTS)  # noqa: F841
    scores = con.sql(SCORES).to_arrow_table()
    assert scores.schema.field("propensity").type == pa.float32()
    check(*(column.to_pylist() for column in scores.columns), expected)


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_names_with_values_are_a_list_of_two_fields(con, make):
    rows = [[{"name": "item 1", "value": 2.5}, {"name": "item 3", "value": 0.5}], [{"name": "item 39", "value": 4.0}]]
    customers = make({"id": [1, 2], "features": rows})  # noqa: F841
    answers = con.sql("SELECT propensity(features, 'toys') FROM customers ORDER BY id").fetchall()
    model = duckprop.load("shop")
    csr = scipy.sparse.csr_matrix(([2.5, 0.5, 4], ([0, 0, 1], [1, 3, 39])), (2, model.width))
    assert [answer for (answer,) in answers] == pytest.approx(model.predict(csr)[:, -1], abs=1e-7)


def test_a_frame_whose_features_are_null_has_no_propensity(con):
    customers = pd.DataFrame({"id": [1, 2], "features": [["item 1"], None]})  # noqa: F841
    assert con.sql("SELECT id FROM propensity_scores('customers', ['toys'])").fetchall() == [(1,)]
    answers = con.sql("SELECT propensity(features, 'toys') IS NULL FROM customers ORDER BY id").fetchall()
    assert answers == [(False,), (True,)]


def test_rows_of_scipy_are_two_lists_that_share_the_offsets(con):
    csr = scipy.sparse.random(3000, 40, density=0.1, format="csr", dtype=np.float32, random_state=1)
    parts = [pa.ListArray.from_arrays(csr.indptr, part) for part in (csr.indices, csr.data)]
    assert parts[1].values.buffers()[1].address == csr.data.ctypes.data  # nothing was copied
    customers = pa.table(  # noqa: F841
        {"id": np.arange(3000), "features": pa.StructArray.from_arrays(parts, ["indices", "values"])}
    )
    scores = con.sql("SELECT propensity FROM propensity_scores('customers') ORDER BY id, category").fetchnumpy()
    expected = duckprop.load("shop").predict(csr)
    np.testing.assert_allclose(scores["propensity"].reshape(expected.shape), expected, atol=1e-7)


# --- SQLAlchemy ------------------------------------------------------------------------------------------------------

QUERY = text("SELECT propensity(['item 3'], 'toys'), duckprop.propensity(['item 3'], :category)")
ARGUMENTS = {"category": "toys"}


@pytest.fixture
def answer(con):
    value = con.execute("SELECT propensity(['item 3'], 'toys')").fetchone()[0]
    assert 0 < value < 1
    return (value, value)


@pytest.fixture
def engine(tmp_path, home):
    """An engine as the how-to makes it: every connection of its pool opens the file through duckprop."""
    path = tmp_path / "shop.duckdb"
    made = create_engine(f"duckdb:///{path}", creator=lambda: ConnectionWrapper(duckprop.connect(path)))
    yield made
    made.dispose()


def test_every_connection_of_a_pool_has_the_functions(engine, answer):
    together = threading.Barrier(4, timeout=60)

    def ask(_):
        with engine.connect() as connection:
            together.wait()  # four at a time: none is given back before the last one is there
            return tuple(connection.execute(QUERY, ARGUMENTS).one())

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(4))) == [answer] * 4
    assert engine.pool.checkedin() == 4


def test_a_connection_that_was_given_back_still_has_them(engine, answer):
    for _ in range(3):
        with engine.connect() as connection:
            assert tuple(connection.execute(QUERY, ARGUMENTS).one()) == answer
        assert engine.pool.checkedin() == 1


def test_they_are_there_again_after_the_file_was_closed(engine, answer):
    for _ in range(3):
        with engine.begin() as connection:
            assert tuple(connection.execute(QUERY, ARGUMENTS).one()) == answer
            connection.execute(text("CREATE OR REPLACE TABLE seen AS SELECT 1 AS one"))
        engine.dispose()
    with duckdb.connect(engine.url.database) as con:
        assert con.execute("FROM seen").fetchall() == [(1,)]


def test_connections_may_close_in_any_order(engine, answer):
    first, second, third = (engine.connect() for _ in range(3))
    for closing, asking in ((first, second), (third, second)):
        closing.invalidate()  # for good, not back into the pool
        closing.close()
        assert tuple(asking.execute(QUERY, ARGUMENTS).one()) == answer
    second.close()


def test_a_listener_adds_them_to_an_engine_that_somebody_else_has_made(tmp_path, home, answer):
    engine = create_engine(f"duckdb:///{tmp_path / 'theirs.duckdb'}")

    @event.listens_for(engine, "connect")
    def add_the_functions(connection, _record):
        duckprop.register(connection.execute("SELECT 1"))

    with engine.connect() as one, engine.connect() as other:
        assert [tuple(each.execute(QUERY, ARGUMENTS).one()) for each in (one, other)] == [answer] * 2
    engine.dispose()


def test_pandas_reads_through_an_engine(engine, answer):
    frame = pd.read_sql("SELECT category, base_rate FROM propensity_categories('shop') ORDER BY category", engine)
    assert frame["category"].tolist() == list(CATEGORIES)
    assert frame["base_rate"].between(0, 1).all()
