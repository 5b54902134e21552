"""propensity_explain in SQL: the contributions add up, are in order, belong to the right rows, categories, names."""

import json

import numpy as np
import pyarrow as pa
import pytest
from conftest import CATEGORIES

import duckprop
from duckprop import bundle, mxnet_compat
from duckprop.registry import Registry

ROWS = 600
THREE = {"hidden": (12,), "classes": ("buy", "look", "nothing")}
DEEP = {"hidden": (20, 12, 6), "names": None}


@pytest.fixture
def customers(con):
    """Make a table of random customers, values of either sign, some empty, some NULL; return their features."""
    random = np.random.default_rng(3)
    rows = []
    for number in range(ROWS):
        columns = random.permutation(40)[: random.integers(0, 12)]
        values = np.round(random.normal(size=len(columns)) * 4, 2)
        features = list(zip(columns.tolist(), values.tolist(), strict=True))
        rows.append(None if number % 50 == 7 else features)
    kind = pa.map_(pa.int32(), pa.float32())
    _made = pa.table({"id": range(ROWS), "features": pa.array(rows, kind)})
    con.execute("CREATE TABLE customers AS FROM _made")
    return _made["features"].to_pylist()


def explained(con, what="features, 'toys'", of="customers"):
    return [
        reasons for (reasons,) in con.execute(f"SELECT propensity_explain({what}) FROM {of} ORDER BY id").fetchall()
    ]


def test_contributions_and_the_base_add_up_to_the_log_odds(con, customers, write_bundle):
    for name, options in {"three": THREE, "deep": DEEP}.items():
        Registry().publish(write_bundle(**options), name)
    query = """
        WITH scored AS MATERIALIZED (
            SELECT m, propensity(features, c, m)::DOUBLE AS p, propensity([]::INTEGER[], c, m)::DOUBLE AS base,
                   list_sum([r.contribution::DOUBLE for r in propensity_explain(features, c, model := m)]) AS total
            FROM customers, unnest(['shop', 'three', 'deep']) AS ms(m), propensity_categories('shop') AS cs(_, c, __)
        )
        SELECT m, count(*), max(abs(coalesce(total, 0) + ln(base / (1 - base)) - ln(p / (1 - p)))) FROM scored
        WHERE p BETWEEN 0.01 AND 0.99 AND base BETWEEN 0.01 AND 0.99  -- a FLOAT nearer to 0 or 1 has too few digits
        GROUP BY m ORDER BY m
    """
    found = con.execute(query).fetchall()
    assert [name for name, _, _ in found] == ["deep", "shop", "three"]
    for name, count, largest in found:
        assert count > 1000, name
        assert largest < 1e-4, name


def test_every_feature_has_its_value_and_the_largest_magnitude_comes_first(con, customers):
    for row, reasons in zip(customers, explained(con), strict=True):
        assert (reasons is None) == (row is None)
        assert sorted((each["feature"], each["value"]) for each in reasons or []) == sorted(
            (f"item {column}", value) for column, value in row or []
        )
        sizes = [abs(each["contribution"]) for each in reasons or []]
        assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("k", [0, 1, 3, 40, 2**62])
def test_k_keeps_the_first_ones(con, customers, k):
    everything = explained(con)
    assert explained(con, f"features, 'toys', {k}") == [each if each is None else each[:k] for each in everything]


def test_each_row_has_its_own_k_and_category(con, customers):
    whole = {category: explained(con, f"features, '{category}'") for category in CATEGORIES}
    cases = "SELECT *, (['toys', 'books', NULL, 'garden'])[1 + id % 4] AS c, nullif(id % 5, 4) AS k FROM customers"
    found = explained(con, "features, c, k", f"({cases})")
    for number, reasons in enumerate(found):
        category, k = ("toys", "books", None, "garden")[number % 4], (0, 1, 2, 3, None)[number % 5]
        right = None if category is None else whole[category][number]
        assert reasons == (right if right is None else right[:k]), number


def test_names_and_numbers_and_every_order_explain_alike(con):
    ways = (
        "MAP {3: 1.0, 17: 0.5, 8: -2.0}",
        "MAP {'item 17': 0.5, 'item 8': -2.0, 'gone': 4.0, 'item 3': 1.0}",
        "'8:-2 3:1 17:0.5'",
        "{indices: [17, 3, 8, 3], values: [0.5, 0.25, -2.0, 0.75]}",
    )
    first, *others = (con.execute(f"SELECT propensity_explain({way}, 'toys')").fetchone()[0] for way in ways)
    assert {each["feature"] for each in first} == {"item 3", "item 8", "item 17"}
    assert others == [first] * 3


def test_a_dense_row_explains_its_zeros_as_nothing(con):
    dense = "list_transform(range(40), lambda i: CASE i WHEN 3 THEN 1 WHEN 17 THEN 0.5 ELSE 0 END)::FLOAT[]"
    reasons = con.execute(f"SELECT propensity_explain({dense}, 'toys')").fetchone()[0]
    assert [each["contribution"] != 0 for each in reasons] == [True] * 2 + [False] * 38
    numbers = [int(each["feature"].removeprefix("item ")) for each in reasons[2:]]
    assert numbers == sorted(numbers)  # equal ones: the lower column first
    assert not any(np.signbit(each["contribution"]) for each in reasons[2:])


def test_a_model_without_names_gives_column_numbers_as_text(con, write_bundle):
    Registry().publish(write_bundle(names=None), "numbers")
    reasons = con.execute("SELECT propensity_explain([3, 17], 'toys', model := 'numbers')").fetchone()[0]
    assert {each["feature"] for each in reasons} == {"3", "17"}


def test_ties_go_to_the_lower_column(con, write_bundle):
    folder = write_bundle()
    mx = mxnet_compat.load()
    arrays = mx.nd.load(str(folder / "model-0000.params"))
    weight = arrays["arg:fc1_weight"].asnumpy()
    weight[[5, 30]] = weight[11]
    mxnet_compat.save_arrays(folder / "model-0000.params", arrays | {"arg:fc1_weight": mx.nd.array(weight)})
    bundle.write_card(folder, json.loads((folder / bundle.CARD).read_text()))
    Registry().publish(folder, "tied")
    for columns in ([5, 11, 30], [30, 11, 5], [11, 30, 5]):
        query = f"SELECT propensity_explain({columns}, 'toys', model := 'tied')"
        reasons = con.execute(query).fetchone()[0]
        assert [each["feature"] for each in reasons] == ["item 5", "item 11", "item 30"]
        assert len({each["contribution"] for each in reasons}) == 1


def test_each_row_has_its_own_model(con, customers, write_bundle):
    Registry().publish(write_bundle(seed=9), "club")
    one, other = (explained(con, f"features, 'toys', 3, '{name}'") for name in ("shop", "club"))
    mixed = explained(con, "features, 'toys', 3, if(id % 3 = 0, 'shop', 'club')")
    assert mixed == [(one if number % 3 == 0 else other)[number] for number in range(ROWS)]
    assert one != other


def test_the_engine_that_scores_does_not_change_the_explanation(con, customers):
    compiled = explained(con)
    duckprop.register(con, engine="mxnet")
    assert explained(con) == compiled


def test_the_size_of_the_batch_changes_no_reason(con, customers):
    whole = explained(con, "features, 'garden'")
    for number in range(0, ROWS, 97):
        assert explained(con, "features, 'garden'", f"(FROM customers WHERE id = {number})") == [whole[number]]
