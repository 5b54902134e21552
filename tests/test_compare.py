"""Two models on the same customers: every figure against a plain computation of it, and who cannot be compared."""

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import CATEGORIES, NAMES, make_bundle
from scipy.sparse import csr_matrix
from scipy.stats import spearmanr

from duckprop import bundle
from duckprop import compare as comparing
from duckprop.compare import compare, compare_on_sample
from duckprop.errors import DataError, ModelError, UsageError
from duckprop.model import load

ROWS = 5000
B_CATEGORIES = ("toys", "hats", "music", "books", "garden")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """Return folders: a; b, with its categories in another order, one of its own, and its columns in another order."""
    root = tmp_path_factory.mktemp("compared")
    sample = pa.array([[{"column": 3, "value": 1.0}, {"column": 8, "value": 2.0}], [{"column": 39, "value": 1.0}]] * 8)
    a = make_bundle(root / "a", seed=3)
    b = make_bundle(root / "b", seed=4, categories=B_CATEGORIES, names=(*NAMES[::-1][:-1], "item never seen"))
    (root / "c").mkdir()
    for path in a.iterdir():
        (root / "c" / path.name).write_bytes(path.read_bytes())
    pq.write_table(pa.table({"features": sample}), root / "c" / bundle.SAMPLE)
    card = bundle.read_card(a)
    bundle.write_card(root / "c", {name: card[name] for name in card if name not in ("format", "files")})
    return a, b, root / "c"


@pytest.fixture
def customers(con):
    """Return a connection with a table of named features, some of them unknown, many rows alike, some NULL."""
    con.execute(f"""CREATE TABLE customers AS
        SELECT i AS id, CASE WHEN i % 50 <> 0 THEN list_distinct(['item ' || (i % 43), 'item ' || (hash(i) % 90)]) END
               AS features FROM range({ROWS}) t(i)""")
    return con


def propensities(con, model, categories):
    """Return what SQL says of a model: (customers, categories)."""
    columns = ", ".join(f"propensity(features, '{name}', '{model}')" for name in categories)
    rows = con.execute(f"SELECT {columns} FROM customers WHERE features IS NOT NULL ORDER BY id").fetchall()
    return np.array(rows, np.float32)


def best_tenth(values):
    return set(np.argsort(-values, kind="stable")[: -(-len(values) // 10)])


def test_every_figure_is_what_a_plain_computation_gives(customers, bundles):
    a, b, _ = bundles
    found = compare(customers, (load(a), load(b)), "customers")
    common = ["books", "garden", "music", "toys"]
    assert (found.only_a, found.only_b) == (("shoes",), ("hats",))
    assert found.rows == found.ranked_rows == ROWS - 100
    first, second = (propensities(customers, folder, common) for folder in (a, b))
    places = [np.argsort(np.argsort(-each, axis=1, kind="stable"), axis=1) for each in (first, second)]
    assert sorted(shift.category for shift in found.categories) == common
    for shift in found.categories:
        at = common.index(shift.category)
        apart = np.abs(first[:, at].astype(np.float64) - second[:, at])
        assert shift.mean_a == pytest.approx(first[:, at].mean(dtype=np.float64), abs=1e-9)
        assert shift.mean_b == pytest.approx(second[:, at].mean(dtype=np.float64), abs=1e-9)
        assert shift.mean_shift == pytest.approx(apart.mean(), abs=1e-7)
        assert shift.max_shift == pytest.approx(apart.max(), abs=1e-7)
        assert shift.rank_correlation == pytest.approx(spearmanr(first[:, at], second[:, at]).statistic, abs=1e-9)
        tops = [best_tenth(each[:, at]) for each in (first, second)]
        assert shift.same_top_decile == len(tops[0] & tops[1]) / len(tops[0])
        assert shift.rank_changed == pytest.approx((places[0][:, at] != places[1][:, at]).mean())
    assert found.same_first == pytest.approx((places[0].argmin(axis=1) == places[1].argmin(axis=1)).mean())
    assert found.same_first_five == 1.0  # there are four
    assert [shift.mean_shift for shift in found.categories] == sorted(
        (shift.mean_shift for shift in found.categories), reverse=True
    )


def test_the_line_of_all_sums_up_the_others(customers, bundles):
    found = compare(customers, (load(bundles[0]), load(bundles[1])), "customers")
    whole = found.overall
    assert whole.category is None
    assert whole.max_shift == max(shift.max_shift for shift in found.categories)
    for name in ("mean_a", "mean_b", "mean_shift", "rank_correlation", "same_top_decile", "psi", "rank_changed"):
        assert getattr(whole, name) == pytest.approx(np.mean([getattr(shift, name) for shift in found.categories]))


def test_psi_is_that_of_propensity_drift(customers, bundles):
    a, b, _ = bundles
    for name, folder in (("of_a", a), ("of_b", b)):
        customers.execute(f"CREATE TABLE {name} AS FROM propensity_scores('customers', model := '{folder}')")
    drift = dict(customers.execute("SELECT category, psi FROM propensity_drift('of_b', 'of_a')").fetchall())
    found = compare(customers, (load(a), load(b)), "customers")
    for shift in found.categories:
        assert shift.psi == pytest.approx(drift[shift.category], abs=1e-9)


def test_a_model_and_itself_differ_in_nothing(customers, bundles):
    a, _, copy = bundles
    found = compare(customers, (load(a), load(copy)), "SELECT * FROM customers")
    for shift in (found.overall, *found.categories):
        assert shift.mean_a == shift.mean_b
        assert (shift.mean_shift, shift.max_shift, shift.psi, shift.rank_changed) == (0, 0, 0, 0)
        assert shift.rank_correlation == pytest.approx(1)
        assert shift.same_top_decile == 1
    assert (found.same_first, found.same_first_five) == (1, 1)


def test_where_all_customers_are_alike_there_is_no_rank_correlation(con, bundles):
    models = load(bundles[0]), load(bundles[1])
    found = compare(con, models, "SELECT ['item 3'] AS features FROM range(30)")
    assert {shift.rank_correlation for shift in (found.overall, *found.categories)} == {None}
    one = compare(con, models, "SELECT ['item 3'] AS features")
    assert (one.rows, one.overall.rank_correlation) == (1, None)
    assert one.overall.same_top_decile == 1


@pytest.mark.parametrize("most", [4 * 700, 4 * 4900, 4])
def test_ranks_are_of_an_even_selection_where_all_would_be_too_many(customers, bundles, monkeypatch, most):
    """The same as of a relation of every so manieth customer; sums are of all."""
    models = load(bundles[0]), load(bundles[1])
    whole = compare(customers, models, "customers")
    monkeypatch.setattr(comparing, "MOST_RANKED", most)
    found = compare(customers, models, "customers")
    step = -(-4900 * 4 // most)
    monkeypatch.undo()
    customers.execute(f"""CREATE TABLE picked AS SELECT features FROM customers WHERE features IS NOT NULL
                          QUALIFY (row_number() OVER (ORDER BY id) - 1) % {step} = 0 ORDER BY id""")
    selected = {shift.category: shift for shift in compare(customers, models, "picked").categories}
    assert (found.rows, found.ranked_rows) == (4900, -(-4900 // step))
    for before, now in zip(whole.categories, found.categories, strict=True):
        assert (before.mean_a, before.mean_shift, before.max_shift) == (now.mean_a, now.mean_shift, now.max_shift)
        of = selected[now.category]
        assert (now.psi, now.same_top_decile, now.rank_changed) == (of.psi, of.same_top_decile, of.rank_changed)
        assert now.rank_correlation == of.rank_correlation


def test_without_customers_the_sample_of_either_serves(bundles):
    """In the columns of the model that has it; for the other by name, what it does not know left out."""
    a, b, with_sample = map(load, bundles)
    found, turned = compare_on_sample((with_sample, b)), compare_on_sample((b, with_sample))
    assert found.rows == 16
    rows = csr_matrix(([1.0, 2.0, 1.0] * 8, np.tile([3, 8, 39], 8), np.cumsum([0, *[2, 1] * 8])), (16, 40))
    mirrored = csr_matrix((rows.data, 39 - rows.indices, rows.indptr), rows.shape)
    toys = next(shift for shift in found.categories if shift.category == "toys")
    assert toys.mean_a == pytest.approx(a.predict(rows)[:, CATEGORIES.index("toys")].mean(), abs=1e-6)
    assert toys.mean_b == pytest.approx(b.predict(mirrored)[:, B_CATEGORIES.index("toys")].mean(), abs=1e-6)
    assert turned.overall.mean_a == pytest.approx(found.overall.mean_b)
    assert compare_on_sample((a, with_sample)).overall.max_shift == 0
    with pytest.raises(UsageError, match=r"neither '.*/a' nor '.*/b' carries a sample of customers\ngive some: --feat"):
        compare_on_sample((a, b))


NUMBERED = "SELECT [i % 40] AS features FROM range(9) t(i)"


def test_models_of_other_features_are_refused_by_name(con, bundles, write_bundle):
    named, other = load(bundles[0]), load(bundles[1])
    wider, numbers = load(write_bundle(width=50, names=None)), load(write_bundle(names=None))
    cases = {
        (named, other): r"'.*/a' has 40 columns, '.*/b' has 40 columns, and column 0 is 'item 39' and not 'item 0'",
        (named, numbers): r"'.*/a' has 40 columns, '.*' has 40 columns without names",
        (numbers, wider): r"'.*' has 40 columns without names, '.*' has 50 columns without names",
    }
    for models, said in cases.items():
        with pytest.raises(ModelError, match=f"the models read different features: {said}"):
            compare(con, models, NUMBERED)
    assert compare(con, (numbers, load(write_bundle(names=None, seed=5))), NUMBERED).rows == 9
    with pytest.raises(ModelError, match="the models read different features"):
        compare_on_sample((load(bundles[2]), numbers))
    with pytest.raises(DataError):
        compare(con, (named, numbers), "SELECT ['item 3'] AS features")


def test_models_without_a_common_category_are_refused(con, bundles, write_bundle):
    with pytest.raises(ModelError, match="have no category in common\nsee FROM propensity_categories"):
        compare(con, (load(bundles[0]), load(write_bundle(categories=("x", "y")))), NUMBERED)


@pytest.mark.parametrize(
    ("relation", "said"),
    [
        ("SELECT [3] AS features WHERE false", "no rows with features"),
        ("SELECT NULL::INTEGER[] AS features", "no rows with features"),
        ("SELECT 3 AS id", "has no column 'features'"),
        ("nowhere", "cannot be read"),
        ("SELECT [99] AS features", "99"),
    ],
)
def test_bad_customers_are_refused(con, bundles, relation, said):
    with pytest.raises(DataError, match=said):
        compare(con, (load(bundles[0]), load(bundles[2])), relation)


@pytest.mark.parametrize("counts", [(5, 9), (9, 5)])
def test_a_relation_that_grows_or_shrinks_meanwhile_is_refused(bundles, counts):
    """A connection of its own: what the relation has is asked when it is described, counted and read."""
    asked = iter(counts)
    with duckdb.connect() as con:
        con.create_function("rows", lambda _: next(asked), ["BIGINT"], "BIGINT", side_effects=True)
        with pytest.raises(DataError, match="the features relation changed while it was read"):
            compare(con, (load(bundles[0]), load(bundles[2])), "SELECT [3] AS features FROM range((SELECT rows(0)))")
