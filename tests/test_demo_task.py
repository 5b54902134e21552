"""The Complete Journey task on a made-up retailer of five households, and, marked slow, on the real data."""

import math
import subprocess
import sys
from datetime import date, timedelta

import duckdb
import pytest

from duckprop.demo.task import TABLES, build_task
from duckprop.errors import DataError

DAYS = [str(date(2017, 3, 27) + timedelta(days=28 * i)) for i in range(10)]
YOGURT, BREAD, COUPON, CAVIAR, TRUFFLE, UNLISTED = 10, 20, 30, 40, 50, 99
PRODUCTS = [
    (YOGURT, 1, "GROCERY", "Private", "YOGURT", "YOGURT CUPS"),
    (BREAD, 2, "GROCERY", "National", "BREAD", "BREAD WHITE"),
    (COUPON, 3, "COUPON", "National", "COUPON", None),
    (CAVIAR, 4, "DELI", "National", "CAVIAR", None),
    (TRUFFLE, 5, "CELLAR", "National", "TRUFFLES", None),
]
TRANSACTIONS = "household_id, store_id, basket_id, product_id, sales_value, retail_disc, transaction_timestamp"
OTHERS = {
    "products": ("product_id, manufacturer_id, department, brand, product_category, product_type", PRODUCTS),
    "demographics": (
        "household_id, age, income, home_ownership, marital_status, household_size, household_comp, kids_count",
        [(h, "45-54", "35-49K", None, "Married", "2", "2 Adults No Kids", "0") for h in (1, 2)],
    ),
    "coupon_redemptions": (
        "household_id, coupon_upc, campaign_id, redemption_date",
        [(h, 7777, 13, f"TIMESTAMP '2017-0{month}-10'") for h in (1, 2) for month in (4, 5)],
    ),
    "campaigns": ("campaign_id, household_id", [(13, 1), (13, 2), (14, 1), (14, 2)]),
    "campaign_descriptions": (
        "campaign_id, start_date, end_date",
        [(13, "TIMESTAMP '2017-03-20'", "TIMESTAMP '2017-05-01'"), (14, "TIMESTAMP '2017-06-18'", "DATE '2017-06-19'")],
    ),
}


def bought(household, product, when, price=1.0, discount=0.0):
    """One line of a receipt; everything a household buys on one day is one basket."""
    when = when if " " in when else f"{when} 09:30:00"
    basket = household * 100_000_000 + int(when[:10].replace("-", ""))
    return (household, 5, basket, product, price, discount, f"TIMESTAMP '{when}'")


def everyday():
    """Households 1-3 shop every 28 days, on the as-of days; 4 and 5 come seldom."""
    lines = [
        bought(household, product, day)
        for household in (1, 2, 3)
        for product in (YOGURT, YOGURT, BREAD, COUPON, UNLISTED)  # two lines of yogurt are one visit
        for day in ["2017-02-27", *DAYS]
    ]
    lines += [bought(4, CAVIAR, "2017-03-01"), bought(4, YOGURT, DAYS[1]), bought(4, BREAD, "2018-01-01")]
    return [*lines, bought(5, CAVIAR, "2017-11-20"), bought(5, BREAD, "2017-12-31 23:59:59")]


def write(folder, lines, **replaced):
    """Write the six Parquet files, some of them replaced by (columns, rows)."""
    folder.mkdir(exist_ok=True)
    for name, (columns, rows) in {"transactions": (TRANSACTIONS, lines), **OTHERS, **replaced}.items():
        literal = ["NULL" if v is None else v if str(v)[:4] in ("TIME", "DATE") else repr(v) for r in rows for v in r]
        width = columns.count(",") + 1
        values = ", ".join(f"({', '.join(literal[i : i + width])})" for i in range(0, len(literal), width))
        duckdb.sql(f"FROM (VALUES {values}) AS t ({columns})").write_parquet(str(folder / f"{name}.parquet"))
    return folder


def build(folder, lines=None, **replaced):
    con = duckdb.connect()
    build_task(con, write(folder, everyday() if lines is None else lines, **replaced))
    return con


def rows(con, query):
    return con.execute(query).fetchall()


def known(con, as_of):
    """What is known as of a date: {household: {feature: value}}."""
    query = f"""
        SELECT household_id, feature, value FROM (
            SELECT household_id, unnest(features.indices) AS "column", unnest(features.values) AS value
            FROM customer_features WHERE as_of = DATE '{as_of}') JOIN feature_names USING ("column")"""
    found = {}
    for household, feature, value in rows(con, query):
        found.setdefault(household, {})[feature] = value
    return found


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write(tmp_path_factory.mktemp("journey"), everyday())


@pytest.fixture(scope="module")
def con(data):
    con = duckdb.connect()
    build_task(con, data)
    return con


def test_splits_and_households_known_on_each_date(con):
    assert rows(con, "SELECT as_of::VARCHAR, split FROM windows ORDER BY as_of") == [
        *((day, "train") for day in DAYS[:8]),
        *((DAYS[8], "validation"), (DAYS[9], "test")),
    ]
    assert rows(con, "SELECT split, count(*), max(household_id) FROM customer_features GROUP BY split ORDER BY 1") == [
        *(("test", 5, 5), ("train", 32, 4), ("validation", 4, 4)),
    ]
    order = rows(con, "SELECT as_of, household_id FROM customer_features")
    assert order == sorted(order)


def test_only_the_promised_tables_are_left(con):
    assert {name for (name,) in rows(con, "SELECT table_name FROM duckdb_tables()")} == set(TABLES)
    assert rows(con, "SELECT view_name FROM duckdb_views() WHERE NOT internal") == []
    assert rows(con, "SELECT getvariable('as_of')") == [(None,)]


def test_features_by_hand(con):
    # Household 1 on 19 June: visits 28, 56, 84 and 112 days ago, all on Mondays at 9:30, five lines for 5.00 each.
    one, two = 1.0, pytest.approx(1 + math.log(2))
    periods = {"last 28 days": one, "29-84 days ago": two, "85+ days ago": one}
    listed = ["product:10", "product:20", "product:30", "product:99", "type:YOGURT CUPS", "type:BREAD WHITE"]
    listed += ["category:YOGURT", "category:BREAD", "category:COUPON", "department:GROCERY", "department:COUPON"]
    expected = {f"{item} {period}": value for item in listed for period, value in periods.items()}
    three = pytest.approx(1 + math.log(3))
    for item in ("manufacturer:1", "manufacturer:2", "manufacturer:3", "store:5"):
        expected |= {f"{item} last 28 days": one, f"{item} 29+ days ago": three}
    for category in ("YOGURT", "BREAD", "COUPON"):
        facts = (f"category:{category} last bought 15-28 days ago", f"category:{category} in 4 four-week periods")
        expected |= dict.fromkeys(facts, one)
    facts = ["weekday:Monday 100% of visits", "hour:08-11 100% of visits", "first visit:112-139 days ago"]
    facts += ["private label:about 50% of lines", "discounted:about 0% of lines", "last visit:15-28 days ago"]
    # 5 lines a visit: round(2 log2 6) = 5, which stands for 2^2.5 - 1 = 4.7; 5.00 spent likewise; 10.00: 7, 10.3
    facts += ["lines per visit:about 5", "spend:about 4.7 last 28 days", "spend:about 10.3 29-84 days ago"]
    facts += ["spend:about 4.7 85+ days ago", "visits:about 1 last 28 days", "visits:about 2 29-84 days ago"]
    facts += ["visits:about 1 85+ days ago", "month:June", "campaign:13 ended", "campaign:14 running"]
    facts += ["age:45-54", "income:35-49K", "home_ownership:unknown", "marital_status:Married", "household_size:2"]
    facts += ["household_comp:2 Adults No Kids", "kids_count:0"]
    expected |= dict.fromkeys(facts, one) | {"coupon:7777 redeemed": two, "campaign:13 redeemed": two}
    assert known(con, "2017-06-19")[1] == expected


def test_vocabulary_is_what_two_training_households_share(con):
    names = [name for (name,) in rows(con, 'SELECT feature FROM feature_names ORDER BY "column"')]
    assert names == sorted(names)
    assert rows(con, 'SELECT min("column"), max("column") FROM feature_names') == [(0, len(names) - 1)]
    assert not [name for name in names if "CAVIAR" in name or name == "month:December"]  # one household; no training
    assert rows(con, "SELECT DISTINCT features.indices = list_sort(features.indices) FROM customer_features") == [
        (True,)
    ]


def test_labels_begin_with_the_day_and_end_before_the_28th_after_it(con):
    assert rows(con, "FROM categories") == [("BREAD",), ("YOGURT",)]  # no coupons, no caviar: too rare
    found = rows(con, "SELECT household_id, as_of::VARCHAR, category FROM outcomes WHERE household_id > 3")
    assert found == [(4, DAYS[1], "YOGURT"), (5, DAYS[9], "BREAD")]
    assert rows(con, "SELECT count(*) FROM outcomes WHERE household_id = 1") == [(20,)]


def test_baselines_by_hand(con):
    found = {
        (household, category): values
        for household, category, *values in rows(con, "SELECT * EXCLUDE (as_of) FROM baselines ORDER BY ALL")
    }
    assert len(found) == 5 * 2
    rate = 25 / 32  # yogurt: 3 households x 8 windows, and household 4 once
    # 25 training examples had yogurt in the last 28 days: 24 bought again (not household 4); of the other 7 one did.
    yes, no = (24 + 20 * rate) / (25 + 20), (1 + 20 * rate) / (7 + 20)
    assert found[1, "YOGURT"] == pytest.approx([rate, yes, (10 + 4 * rate) / (10 + 4), True])
    # household 4: first visit 278 days ago, so 10 periods, one with yogurt, 224 days ago
    assert found[4, "YOGURT"] == pytest.approx([rate, no, (1 + 4 * rate) / (10 + 4), False])
    assert found[5, "YOGURT"] == pytest.approx([rate, no, 4 * rate / (1 + 4), False])


def test_nothing_on_or_after_the_day_leaks_into_features(con, tmp_path):
    day = DAYS[6]
    when = [f"{day} 00:00:00", f"{day} 12:00:00", "2017-09-20", "2017-12-30"]
    planted = [bought(household, TRUFFLE, moment, 99.0, 9.0) for household in (1, 2, 4) for moment in when]
    coupons, campaigns = OTHERS["coupon_redemptions"], OTHERS["campaign_descriptions"]
    later = build(
        tmp_path / "after",
        everyday() + planted,
        coupon_redemptions=(coupons[0], coupons[1] + [(h, 8888, 14, f"TIMESTAMP '{day}'") for h in (1, 2)]),
        campaign_descriptions=(campaigns[0], [*campaigns[1], (15, f"TIMESTAMP '{day}'", "TIMESTAMP '2017-12-31'")]),
        campaigns=("campaign_id, household_id", [*OTHERS["campaigns"][1], (15, 1), (15, 2)]),
    )
    for as_of in DAYS[:7]:
        assert known(later, as_of) == known(con, as_of)
    new = known(later, DAYS[7])[1].keys() - known(con, DAYS[7])[1].keys()
    assert {"product:50 last 28 days", "coupon:8888 redeemed", "campaign:15 running"} <= new

    before = build(tmp_path / "before", everyday() + [bought(h, TRUFFLE, "2017-09-10 23:59:59") for h in (1, 2)])
    assert known(before, DAYS[5]) == known(con, DAYS[5])
    new = known(before, day)[1].keys() - known(con, day)[1].keys()
    assert {"product:50 last 28 days", "category:TRUFFLES last bought 1-7 days ago", "last visit:1 days ago"} <= new


def test_same_tables_on_one_and_two_threads(tmp_path):
    write(tmp_path, everyday())
    many = duckdb.sql("""
        SELECT basket % 61 AS household_id, basket % 7 AS store_id, basket AS basket_id, product % 300 AS product_id,
               product % 1000 / 100 AS sales_value, product % 3 AS retail_disc,
               TIMESTAMP '2017-01-01' + to_hours((basket % 8700)::BIGINT) AS transaction_timestamp
        FROM (SELECT hash(i) % 20000 AS basket, hash(i + 1000000) AS product FROM range(300000) AS r (i))""")
    many.write_parquet(str(tmp_path / "transactions.parquet"))
    built = []
    for threads in (1, 2):
        con = duckdb.connect(config={"threads": threads})
        build_task(con, tmp_path)
        built.append({table: rows(con, f"FROM {table}") for table in TABLES})
    assert len(built[0]["feature_names"]) > 500
    assert built[0] == built[1]


def test_a_finished_build_is_kept_until_data_or_tables_change(tmp_path):
    con, steps = build(tmp_path), []
    build_task(con, tmp_path, steps.append)
    assert steps == []
    con.execute("DROP TABLE categories")
    build_task(con, tmp_path, steps.append)
    assert rows(con, "FROM categories") == [("BREAD",), ("YOGURT",)]
    assert (len(steps), steps[0]) == (5 + 8 + 1 + 10 + 2, "reading the purchases")
    assert "writing the features as of 2017-12-04 (10 of 10)" in steps
    build_task(con, write(tmp_path, [*everyday(), bought(6, BREAD, DAYS[8])]))
    assert rows(con, "SELECT count(*) FROM customer_features") == [(42,)]


def stop_at_the_baselines(text):
    if text == "computing the baselines":
        raise KeyboardInterrupt


def test_an_interrupted_build_leaves_what_was_there(tmp_path):
    write(tmp_path, everyday())
    con = duckdb.connect()
    with pytest.raises(KeyboardInterrupt):
        build_task(con, tmp_path, stop_at_the_baselines)
    assert rows(con, "SHOW TABLES") == []
    build_task(con, tmp_path)
    before = {table: rows(con, f"FROM {table}") for table in TABLES}
    write(tmp_path, [*everyday(), bought(6, BREAD, DAYS[8])])
    with pytest.raises(KeyboardInterrupt):
        build_task(con, tmp_path, stop_at_the_baselines)
    assert {table: rows(con, f"FROM {table}") for table in TABLES} == before
    build_task(con, tmp_path)
    assert rows(con, "SELECT count(*) FROM customer_features") == [(42,)]


def test_a_killed_process_is_made_good_by_the_next(data, tmp_path):
    path = str(tmp_path / "task.db")
    killed = """
import os, sys, duckdb
from duckprop.demo.task import build_task
build_task(duckdb.connect(sys.argv[1]), sys.argv[2], lambda text: os._exit(9) if "baselines" in text else None)"""
    assert subprocess.run([sys.executable, "-c", killed, path, str(data)], check=False).returncode == 9
    with duckdb.connect(path) as con:
        assert rows(con, "SHOW TABLES") == []
        build_task(con, data)
        assert rows(con, "SELECT count(*) FROM baselines") == [(10,)]


def test_tables_land_in_the_schema_in_use(data):
    con = duckdb.connect()
    con.execute('ATTACH \':memory:\' AS "my task"; CREATE SCHEMA "my task".s; USE "my task".s')
    build_task(con, data)
    assert rows(con, "SELECT DISTINCT database_name, schema_name FROM duckdb_tables()") == [("my task", "s")]


def test_errors_name_the_file_and_the_column(tmp_path):
    con = duckdb.connect()
    write(tmp_path, everyday())
    (tmp_path / "campaigns.parquet").unlink()
    with pytest.raises(DataError, match=r"There is no campaigns\.parquet in .*\nName the folder"):
        build_task(con, tmp_path)
    (tmp_path / "campaigns.parquet").write_text("not Parquet, and long enough to be looked at")
    with pytest.raises(DataError, match=r"campaigns\.parquet cannot be read as Parquet: .*\nName the folder"):
        build_task(con, tmp_path)
    write(tmp_path, everyday(), campaigns=("campaign, household_id", [(1, 1)]))
    with pytest.raises(DataError, match=r"campaigns\.parquet lacks campaign_id; it has campaign, household_id\.\nName"):
        build_task(con, tmp_path)
    write(tmp_path, [(*line[:6], "soon") for line in everyday()])
    with pytest.raises(DataError, match=r"do not fit sources\.sql: .*\nName the folder"):
        build_task(con, tmp_path)
    assert rows(con, "SHOW TABLES") == []
