"""propensity_topk is what ranking propensity_vector by hand gives, bit for bit, whatever each row asks for."""

import json

import numpy as np
import pyarrow as pa
import pytest

import duckprop
from duckprop import bundle, mxnet_compat
from duckprop.engine import ENGINES
from duckprop.registry import Registry

ROWS, HEADS = 700, 150
NAMES = tuple(f"c{number}" for number in range(HEADS))


@pytest.fixture(scope="module")
def tied(tmp_path_factory):
    """A bundle of 150 categories; every third one has the same weights as the one before it."""
    from conftest import make_bundle

    folder = make_bundle(tmp_path_factory.mktemp("tied") / "bundle", categories=NAMES, names=None)
    path = folder / "model-0000.params"
    mx = mxnet_compat.load()
    arrays = mx.nd.load(str(path))
    for name in ("arg:heads_weight", "arg:heads_bias"):
        array = arrays[name].asnumpy()
        by_head = array.reshape(HEADS, 2, -1)
        by_head[2::3] = by_head[1::3]
        arrays[name] = mx.nd.array(by_head.reshape(array.shape))
    mxnet_compat.save_arrays(path, arrays)
    bundle.write_card(folder, json.loads((folder / bundle.CARD).read_text()))
    return folder


@pytest.fixture
def wishes(con, tied):
    """Make a table of customers, each with wishes of its own; return it as rows with propensity_vector's numbers."""
    Registry().publish(tied, "wide")
    con.execute("SET VARIABLE propensity_model = 'wide'")
    random = np.random.default_rng(4)

    def maybe(share, value):
        return None if random.random() < share else value

    def some(most):
        chosen = random.choice(NAMES, random.integers(0, most)).tolist()  # some of them twice
        return [maybe(0.1, name) for name in chosen]

    features = [maybe(0.05, random.permutation(40)[: random.integers(0, 9)].tolist()) for _ in range(ROWS)]
    _made = pa.table(
        {
            "id": pa.array(range(ROWS)),
            "features": pa.array(features, pa.list_(pa.int32())),
            "k": pa.array([maybe(0.1, int(random.integers(0, 12))) for _ in range(ROWS)], pa.int32()),
            "listed": pa.array([some(14) for _ in range(ROWS)], pa.list_(pa.string())),
            "perhaps": pa.array([maybe(0.3, some(14)) for _ in range(ROWS)], pa.list_(pa.string())),
            "never": pa.array([maybe(0.3, some(60)) for _ in range(ROWS)], pa.list_(pa.string())),
            "exactly": pa.array([maybe(0.2, random.choice(NAMES)) for _ in range(ROWS)], pa.string()),
        }
    )
    con.execute("CREATE TABLE wishes AS FROM _made")
    return con


def ranked(row, k, only, never, least):
    """Rank one row's vector by hand: (category, propensity, rank), equal ones by their head."""
    if row["vector"] is None or k is None:
        return None
    allowed = [
        head
        for head, name in enumerate(NAMES)
        if (only is None or name in only) and name not in (never or []) and row["vector"][head] >= (least or 0)
    ]
    best = sorted(allowed, key=lambda head: (-row["vector"][head], head))[:k]
    return [
        {"category": NAMES[head], "propensity": row["vector"][head], "rank": at + 1} for at, head in enumerate(best)
    ]


LISTED = ["c7", "c1", None, "c2", "c140", "c7"]
ASKED = {  # k, categories, exclude, min_propensity
    "nothing else": ("5", "NULL", "NULL", "NULL"),
    "everything": ("999", "NULL", "NULL", "NULL"),
    "more than are inserted": ("140", "NULL", "never", "NULL"),
    "a k a row": ("k", "NULL", "NULL", "NULL"),
    "a list for all": ("3", f"{LISTED}".replace("None", "NULL"), "NULL", "NULL"),
    "a list without NULLs for all": ("k", "['c9', 'c0', 'c149']", "['c0', 'c33']", "NULL"),
    "a list a row": ("k", "listed", "NULL", "NULL"),
    "a list a row, not for all": ("k", "perhaps", "NULL", "NULL"),
    "all but these": ("4", "NULL", "['c5', 'c6', 'c7', 'c8']", "NULL"),
    "all but a row's own": ("k", "NULL", "never", "NULL"),
    "a list a row but these": ("k", "listed", "never", "NULL"),
    "a list not for all but these": ("k", "perhaps", "never", "0.5"),
    "the likely ones": ("9", "NULL", "NULL", "0.9"),
    "at least a propensity of the row's own": ("999", "NULL", "NULL", "least"),
    "everything at once": ("k", "listed", "never", "least"),
    "no list holds any": ("k", "[]", "NULL", "NULL"),
}


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED.keys())
@pytest.mark.parametrize("engine", ENGINES)
def test_topk_is_the_vector_ranked_by_hand(wishes, engine, asked):
    duckprop.register(wishes, engine=engine)
    query = f"""
        WITH with_least AS MATERIALIZED (SELECT *, propensity(features, exactly) AS least FROM wishes)
        SELECT *, propensity_vector(features) AS vector,
               {asked[0]} AS _k, {asked[1]} AS _only, {asked[2]} AS _never, {asked[3]} AS _least,
               propensity_topk(features, {asked[0]}, {asked[1]}, {asked[2]}, {asked[3]}) AS best
        FROM with_least ORDER BY id
    """
    rows = wishes.sql(query).to_arrow_table().to_pylist()
    assert len(rows) == ROWS
    for row in rows:
        least = row["_least"] and float(row["_least"])
        assert row["best"] == ranked(row, row["_k"], row["_only"], row["_never"], least), row["id"]


def test_the_tie_is_there_and_goes_to_the_lower_category(wishes):
    pairs = wishes.execute("""
        SELECT [best.category for best in propensity_topk(features, 2, ['c2', 'c1'])], count(DISTINCT v[2] - v[3])
        FROM (SELECT *, propensity_vector(features) AS v FROM wishes WHERE features IS NOT NULL) GROUP BY ALL
    """).fetchall()
    assert pairs == [(["c1", "c2"], 1)]
