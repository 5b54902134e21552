"""Features and labels from events: as a Python reference makes them, and nothing from the future, however it comes."""

import math
from datetime import date, datetime, time, timedelta

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import duckprop
from duckprop.dataset import Columns

TODAY = date(2025, 12, 1)
BEFORE = date(2025, 11, 3)
SCHEMA = pa.schema(
    {
        "id": pa.int32(),
        "time": pa.timestamp("us"),
        "item": pa.string(),
        "kind": pa.int8(),
        "value": pa.float64(),
    }
)
ids = st.sampled_from([1, 2, 3, None])
near = st.integers(-90, 30).map(lambda days: TODAY + timedelta(days=days))
edges = st.sampled_from([TODAY - timedelta(days=days) for days in (-28, -1, 0, 1, 27, 28, 29, 56, 84, 85)])
CLOCKS = [time(0), time(0, 0, 0, 1), time(12), time(23, 59, 59, 999999)]
clocks = st.sampled_from(CLOCKS)
times = st.none() | st.builds(datetime.combine, near, clocks) | st.builds(datetime.combine, edges, clocks)
values = st.none() | st.integers(-(10**8), 10**8).map(lambda cents: cents / 100)
event = st.tuples(ids, times, st.sampled_from(["a", "b", "c", None]), st.sampled_from([0, 1, None]), values)
events = st.lists(event, max_size=6) | st.lists(event, min_size=20, max_size=40)
windows = st.sampled_from([[], [1], [28, 84], [7, 28, 56]])
kinds_of_time = st.sampled_from(["DATE", "TIMESTAMP"])
checked = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def con(tmp_path_factory):
    with duckprop.connect(registry=tmp_path_factory.mktemp("registry")) as connection:
        yield connection


def fill(con, rows, kind="TIMESTAMP", table="events"):
    _rows = pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], SCHEMA)
    con.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT * REPLACE (time::{kind} AS time) FROM _rows")


def literal(dates):
    return "[" + ", ".join(f"DATE '{day}'" for day in dates) + "]"


def features(con, dates, options="", table="events"):
    query = f"SELECT id, as_of, features FROM propensity_features_asof('{table}', {literal(dates)}{options})"
    rows = con.execute(query).fetchall()
    found = {(who, day): [(f["feature"], f["value"]) for f in bag] for who, day, bag in rows}
    assert len(found) == len(rows)
    return found


def labels(con, dates, days, table="events"):
    return con.execute(f"FROM propensity_labels('{table}', {literal(dates)}, {days}) ORDER BY ALL").fetchall()


def suffix(days_ago, edges):
    if not edges:
        return ""
    lower = 0
    for edge in edges:
        if days_ago <= edge:
            return f" {lower + 1}-{edge} days ago" if lower else f" last {edge} days"
        lower = edge
    return f" {lower + 1}+ days ago"


def reference(rows, dates, edges, items=("item",), *, with_value=False):
    """Return {(id, as-of date): [(feature, value)]}, event by event."""
    sums = {}
    for who, moment, item, kind, value in rows:
        for day in dates:
            midnight = datetime.combine(day, time(0))
            if who is None or moment is None or moment >= midnight:
                continue
            days_ago = -((moment - midnight) // timedelta(days=1))
            for column, name in (("item", item), ("kind", kind)):
                if column in items and name is not None:
                    bag = sums.setdefault((who, day), {})
                    feature = f"{column}:{name}{suffix(days_ago, edges)}"
                    count, cents = bag.get(feature, (0, 0))
                    bag[feature] = (count + 1, cents + round((value or 0) * 100))
    return {
        key: [
            (name, math.copysign(math.log1p(abs(c / 100)), c) if with_value else 1 + math.log(n))
            for name, (n, c) in sorted(bag.items())
        ]
        for key, bag in sums.items()
    }


def rounded(found):
    return {
        key: [(name, pytest.approx(value, rel=1e-6, abs=1e-9)) for name, value in bag] for key, bag in found.items()
    }


@checked
@given(events, windows, kinds_of_time, st.sampled_from([("item",), ("item", "kind")]), st.booleans())
def test_the_features_are_those_of_the_reference(con, rows, edges, kind, items, with_value):
    fill(con, rows, kind)
    value = "'value'" if with_value else "NULL"
    options = f", item := {list(items)}, windows := {edges}, value := {value}"
    found = features(con, [TODAY, BEFORE], options)
    assert found == rounded(reference(rows, [TODAY, BEFORE], edges, items, with_value=with_value))


@pytest.mark.parametrize("kind", ["DATE", "TIMESTAMP"])
def test_every_edge_of_every_window(con, kind):
    moments = [datetime.combine(TODAY + timedelta(days=day), clock) for day in range(-90, 32) for clock in CLOCKS]
    rows = [(at, moment, "a", 0, 1.0) for at, moment in enumerate(moments)]
    fill(con, rows, kind)
    for edges in ([], [1], [28, 84], [7, 28, 56]):
        found = features(con, [TODAY, BEFORE], f", windows := {edges}")
        assert found == rounded(reference(rows, [TODAY, BEFORE], edges))
    days = {who for who, moment, *_ in rows if TODAY <= moment.date() < TODAY + timedelta(days=28)}
    assert {who for who, *_ in labels(con, [TODAY], 28)} == days


@checked
@given(events, st.lists(event, min_size=1, max_size=10), kinds_of_time, st.sampled_from(["NULL", "'value'"]))
def test_nothing_at_or_after_the_date_changes_a_feature(con, rows, planted, kind, value):
    midnight = datetime.combine(TODAY, time(0))
    past = [row for row in rows if row[1] is None or row[1] < midnight]
    options = f", item := ['item', 'kind'], value := {value}"
    fill(con, past, kind)
    before = features(con, [BEFORE, TODAY], options)
    planted = [*planted, (1, None, "a", 1, None), (9, None, "new", 9, None)]
    leaks = [
        (who, midnight + timedelta(hours=7 * at), item, tag, [math.nan, math.inf, 1e300][at % 3])
        for at, (who, _, item, tag, _) in enumerate(planted)
    ]
    fill(con, [*leaks, *past, *leaks], kind)
    assert features(con, [BEFORE, TODAY], options) == before


@checked
@given(events, st.integers(1, 40), kinds_of_time)
def test_labels_see_exactly_the_window(con, rows, days, kind):
    fill(con, rows, kind)
    expected = set()
    for day in (BEFORE, TODAY):
        first = datetime.combine(day, time(0))
        for who, moment, item, *_ in rows:
            if None not in (who, moment, item) and first <= moment < first + timedelta(days=days):
                expected.add((who, day, item))
    assert labels(con, [BEFORE, TODAY], days) == sorted(expected)


@settings(checked, max_examples=20)
@given(events, st.lists(near, min_size=1, max_size=5), kinds_of_time)
def test_several_dates_are_the_union_of_single_calls(con, rows, dates, kind):
    fill(con, rows, kind)
    alone = [features(con, [day], ", value := 'value'") for day in set(dates)]
    assert features(con, dates, ", value := 'value'") == {key: bag for one in alone for key, bag in one.items()}
    assert labels(con, dates, 28) == sorted(row for day in set(dates) for row in labels(con, [day], 28))


def test_neither_order_nor_threads_change_a_bit(con):
    con.execute(
        "CREATE OR REPLACE TABLE sorted AS SELECT i % 500 AS id, DATE '2025-11-30' - (i % 97)::INTEGER AS time, "
        "'item ' || (i % 7) AS item, (i % 11 - 5) * 10e0 ** (i % 13 - 6) / 3 AS value FROM range(300000) t(i)"
    )
    con.execute("CREATE OR REPLACE TABLE shuffled AS FROM sorted ORDER BY hash(id, time, item, value)")
    found = []
    try:
        for threads, table in ((1, "sorted"), (4, "sorted"), (4, "shuffled")):
            con.execute(f"SET threads = {threads}")
            found.append(features(con, [BEFORE, TODAY], ", value := 'value'", table))
    finally:
        con.execute("RESET threads")
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 1000


def test_a_day_is_over_before_it_is_seen(con):
    """A DATE is no midnight: nobody knows at noon what the day still brings."""
    rows = "(1, DATE '2025-11-30', 'a'), (1, DATE '2025-12-01', 'b')"
    con.execute(f"CREATE OR REPLACE TABLE days AS FROM (VALUES {rows}) t(id, time, item)")
    noon = "TIMESTAMP '2025-12-01 12:00'"
    found = con.execute(f"SELECT features FROM propensity_features_asof('days', {noon}, windows := [1])").fetchall()
    assert found == [([{"feature": "item:a last 1 days", "value": 1.0}],)]
    assert con.execute(f"FROM propensity_labels('days', {noon}, 1)").fetchall() == []


@pytest.mark.parametrize("kind", ["TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMPTZ"])
def test_every_kind_of_timestamp(con, kind):
    con.execute("SET TimeZone = 'Pacific/Auckland'")
    try:
        con.execute(
            f"CREATE OR REPLACE TABLE kinds AS SELECT 1 AS id, t::TIMESTAMP::{kind} AS time, i AS item "
            "FROM (VALUES ('2025-11-30 23:59:59', 'a'), ('2025-12-01 00:00:00', 'b')) t(t, i)"
        )
        dates = ["DATE '2025-12-01'", "TIMESTAMP '2025-12-01'", "TIMESTAMPTZ '2025-12-01'"]
        for as_of in dates[: 2 if kind == "TIMESTAMP_NS" else 3]:  # DuckDB does not compare nanoseconds with zones
            bag = con.execute(f"SELECT features FROM propensity_features_asof('kinds', {as_of})").fetchall()
            assert bag == [([{"feature": "item:a last 28 days", "value": 1.0}],)]
            assert con.execute(f"SELECT category FROM propensity_labels('kinds', {as_of}, 1)").fetchall() == [("b",)]
    finally:
        con.execute("RESET TimeZone")


def test_infinite_times_are_before_and_after_everything(con):
    for kind in ("DATE", "TIMESTAMP"):
        con.execute(
            f"CREATE OR REPLACE TABLE ends AS SELECT 1 AS id, t::{kind} AS time, t AS item "
            "FROM (VALUES ('-infinity'), ('infinity')) t(t)"
        )
        assert features(con, [TODAY], table="ends") == {(1, TODAY): [("item:-infinity 85+ days ago", 1.0)]}
        assert labels(con, [TODAY], 28, "ends") == []


def test_an_empty_table_has_no_rows(con):
    fill(con, [])
    assert features(con, [TODAY], ", value := 'value', item := ['item', 'kind']") == {}
    assert labels(con, [TODAY], 28) == []


NAMES = (
    "t",
    "event",
    "events",
    "as_of",
    "day",
    "first",
    "beyond",
    "customer",
    "moment",
    "amount",
    "kind",
    "name",
    "past",
)
NAMES += (
    "counted",
    "stretch",
    "suffix",
    "n",
    "total",
    "named",
    "long",
    "windows",
    "asked",
    "it's",
    "a, b",
    "Ö",
    "select",
)


@pytest.mark.parametrize("column", NAMES)
def test_columns_may_have_any_name(con, column):
    quoted, text = '"' + column + '"', column.replace("'", "''")
    columns = f"1 AS id, DATE '2025-11-30' AS time, 5 AS {quoted}, 'x' AS other"
    con.execute(f"CREATE OR REPLACE TABLE odd AS SELECT {columns}")
    for item in (f"'{text}'", f"['other', '{text.upper()}']"):
        bag = features(con, [TODAY], f", item := {item}, value := '{text}', windows := []", "odd")[1, TODAY]
        assert (f"{column}:5", pytest.approx(math.log(6))) in bag
    call = "FROM propensity_labels('odd', DATE '2025-11-30', 1, "
    assert con.execute(f"{call} item := '{text}')").fetchall() == [(1, date(2025, 11, 30), "5")]
    assert con.execute(f"{call} id := '{text}', item := 'other')").fetchall() == [(5, date(2025, 11, 30), "x")]


# --- where the macros are called -------------------------------------------------------------------------------------


def test_any_relation_on_any_cursor_of_a_read_only_database(tmp_path):
    path, parquet = tmp_path / "shop.duckdb", tmp_path / "events.parquet"
    with duckdb.connect(str(path)) as writer:
        writer.execute("CREATE TABLE events AS SELECT 1 AS id, DATE '2025-11-30' AS time, 'tea' AS item")
        writer.execute(f"CREATE VIEW seen AS FROM events; COPY events TO '{parquet}'")
    with duckprop.connect(path, registry=tmp_path / "models", read_only=True, catalog="ours") as con:
        plain = con.cursor()  # without our catalog on its search path
        plain.execute("CREATE TEMP TABLE private AS FROM events")
        for relation in ("events", "seen", "private", "shop.main.events", parquet, "mine"):
            call = f"ours.propensity_features_asof('{relation}', DATE '2025-12-01')"
            mine = "WITH mine AS (FROM seen WHERE id = 1)"
            bag = plain.execute(f"{mine} SELECT features[1].feature FROM {call}").fetchall()
            assert bag == [("item:tea last 28 days",)]
            assert plain.execute(f"{mine} FROM ours.propensity_labels('{relation}', DATE '2025-11-30', 1)").fetchall()
            made = f"{mine}, made AS MATERIALIZED (FROM {call}) FROM ours.propensity_vocabulary('made', 1)"
            assert plain.execute(made).fetchall() == [(0, "item:tea last 28 days", 1)]


def test_features_labels_and_vocabulary_are_what_training_reads(con, tmp_path):
    con.execute(
        "CREATE OR REPLACE TABLE bought AS SELECT i % 200 AS id, DATE '2025-12-28' - (i // 200 * 5)::INTEGER AS time, "
        "'thing ' || (i % 200) % 4 AS item FROM range(6000) t(i)"
    )
    dates = [date(2025, 10, 6), BEFORE, TODAY]
    con.execute(
        f"CREATE OR REPLACE TABLE made AS SELECT *, if(as_of = DATE '{TODAY}', 'test', 'train') AS split "
        f"FROM propensity_features_asof('bought', {literal(dates)}, windows := [])"
    )
    new = "SELECT -id - 1, as_of, [{'feature': 'new', 'value': 1}], split FROM made WHERE split = 'test'"
    con.execute(f"INSERT INTO made {new}")
    con.execute("CREATE OR REPLACE VIEW training AS FROM made WHERE split = 'train'")
    model = duckprop.train(
        "made",
        f"FROM propensity_labels('bought', {literal(dates)}, 28)",
        con=con,
        columns=Columns(ids=("id", "as_of")),
        vocabulary="FROM propensity_vocabulary('training')",
        settings=duckprop.Settings(hidden=(4,), epochs=1),
        folder=tmp_path,
    )
    assert model.categories == tuple(f"thing {number}" for number in range(4))
    assert model.vocabulary.names == tuple(f"item:thing {number}" for number in range(4))
    assert model.card["features"]["out_of_vocabulary"] == {"validation": 0, "test": 0.5}
