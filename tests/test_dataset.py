"""Features and labels from relations: every form, ids of several columns, any row order, and every error."""

import duckdb
import numpy as np
import pytest

from duckprop.dataset import Columns, fingerprint_of, learnable, names_in, read_rows
from duckprop.errors import DataError
from duckprop.labels import count_labels, frequent_categories, read_outcomes
from duckprop.training.fit import names_of, split_rows
from duckprop.vocabulary import Vocabulary

COLUMNS = Columns()
FEATURES = "SELECT * FROM (VALUES (3, [0, 2]), (1, [1]), (2, [])) t(id, features)"
CATEGORIES = ("a", "b", "c")


@pytest.fixture
def con():
    with duckdb.connect() as connection:
        yield connection


def values(rows, names):
    return f"SELECT * FROM (VALUES {rows}) t({names})"


def dense(rows):
    return rows.batch.to_scipy().toarray().tolist()


def outcomes_of(con, labels, columns=COLUMNS, features=FEATURES, **options):
    rows = read_rows(con, features, columns)
    outcomes, left_over = read_outcomes(con, labels, columns, rows.ids, **{"categories": CATEGORIES, **options})
    return outcomes, left_over


def labelled(outcomes):
    """Return per row {category: class number}."""
    return [
        {outcomes.categories[outcomes.category[at]]: int(outcomes.label[at]) for at in range(first, last)}
        for first, last in zip(outcomes.indptr[:-1], outcomes.indptr[1:], strict=True)
    ]


# --- features --------------------------------------------------------------------------------------------------------


def test_rows_come_in_the_order_of_their_ids(con):
    rows = read_rows(con, FEATURES, COLUMNS)
    assert rows.ids["id"].to_pylist() == [1, 2, 3]
    assert dense(rows) == [[0, 1, 0], [0, 0, 0], [1, 0, 1]]
    assert (rows.split, rows.without_features) == (None, 0)
    assert len(rows.where("train")) == 0


def test_a_table_a_file_and_a_query_are_the_same(con, tmp_path):
    con.execute(f"CREATE TABLE wanted AS {FEATURES}; COPY wanted TO '{tmp_path}/x.parquet'")
    for relation in ("wanted", f"{tmp_path}/x.parquet", "SELECT * FROM wanted", "FROM wanted;"):
        assert dense(read_rows(con, relation, COLUMNS)) == [[0, 1, 0], [0, 0, 0], [1, 0, 1]]


def test_ids_of_several_columns_make_one_key(con):
    columns = Columns(ids=("customer", "as_of"))
    keys = "('b', DATE '2026-01-01', [1]), ('a', DATE '2026-02-01', [2]), ('a', DATE '2026-01-01', [3])"
    relation = values(keys, "customer, as_of, features")
    rows = read_rows(con, relation, columns)
    assert [list(map(str, row.values())) for row in rows.ids.to_pylist()] == [
        ["a", "2026-01-01"],
        ["a", "2026-02-01"],
        ["b", "2026-01-01"],
    ]
    assert dense(rows) == [[0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0]]
    repeated = f"{relation} UNION ALL VALUES ('a', DATE '2026-02-01', [9])"
    with pytest.raises(DataError, match="the id customer = a, as_of = 2026-02-01\ngive one row an id"):
        read_rows(con, repeated, columns)


def test_thousands_of_rows_in_any_order_have_one_fingerprint(con):
    con.execute(
        "CREATE TABLE f AS SELECT i AS id, [i % 7, 7 + i % 5] AS features, "
        "CASE i % 3 WHEN 0 THEN 'train' WHEN 1 THEN 'test' ELSE 'validation' END AS split FROM range(9000) t(i)"
    )
    con.execute("CREATE TABLE l AS SELECT id, ['a', 'b', 'c'][1 + id % 3] AS category FROM f WHERE id % 2 = 0")

    def fingerprint(features, labels):
        rows = read_rows(con, features, COLUMNS)
        outcomes, _ = read_outcomes(con, labels, COLUMNS, rows.ids, categories=CATEGORIES)
        return fingerprint_of(rows, outcomes)

    first = fingerprint("f", "l")
    assert fingerprint("FROM f ORDER BY hash(id)", "FROM l ORDER BY hash(id)") == first
    assert fingerprint("f", "SELECT id, list(category) AS category FROM l GROUP BY id") == first
    changes = ["REPLACE (id + 1 AS id)", "REPLACE ([0, 7] AS features)", "REPLACE ('train' AS split)", "EXCLUDE split"]
    for change in changes:
        assert fingerprint(f"SELECT * {change} FROM f", "l") != first
    assert fingerprint("f", "SELECT id, 'a' AS category FROM l") != first
    assert fingerprint("f", "SELECT *, 'no' AS class FROM l") != first
    assert fingerprint("f", "FROM l LIMIT 3000") != first


def test_a_null_id_is_refused(con):
    with pytest.raises(DataError, match="id column 'id' holds 1 NULLs\ngive every customer an id"):
        read_rows(con, values("(1, [1]), (NULL, [2])", "id, features"), COLUMNS)
    columns = Columns(ids=("a", "b"))
    with pytest.raises(DataError, match="id column 'b' holds 2 NULLs"):
        read_rows(con, values("(1, NULL, [1]), (2, NULL, [2])", "a, b, features"), columns)


@pytest.mark.parametrize(("kind", "shown"), [("INTEGER", "7"), ("VARCHAR", "7"), ("HUGEINT", "7")])
def test_a_repeated_id_is_refused_wherever_it_stands(con, kind, shown):
    ids = "range(5007, -1, -1) t(i) WHERE i = 5007 OR i < 5000"
    relation = f"SELECT (i % 5000)::{kind} AS id, [1] AS features FROM {ids}"
    with pytest.raises(DataError, match=rf"two feature rows have the id id = {shown}\b"):
        read_rows(con, relation, COLUMNS)


def test_null_features_are_left_out_and_counted(con):
    relation = values("(1, [1]), (2, NULL), (3, NULL), (4, []), (2, NULL)", "id, features")
    rows = read_rows(con, relation, COLUMNS)
    assert rows.ids["id"].to_pylist() == [1, 4]
    assert rows.without_features == 3
    assert dense(rows) == [[0, 1], [0, 0]]


def test_no_rows_are_refused(con):
    relation = f"SELECT * FROM ({FEATURES}) WHERE false"
    with pytest.raises(DataError, match="the features relation has no rows\ngive one row a customer"):
        read_rows(con, relation, COLUMNS)


def test_dense_features_fix_the_width(con):
    rows = read_rows(con, values("(1, [0.5, 0.0, 2.5]), (2, [0.0, 0.0, 0.0])", "id, features"), COLUMNS)
    assert rows.batch.width == 3
    assert dense(rows) == [[0.5, 0, 2.5], [0, 0, 0]]
    many = "SELECT i AS id, [i::FLOAT, 0::FLOAT] AS features FROM range(9000) t(i) UNION ALL SELECT 9000, [1, 2, 3]"
    with pytest.raises(DataError, match="3"):
        read_rows(con, many, COLUMNS)


def test_numbered_features_take_the_width_of_the_widest_row(con):
    rows = read_rows(con, "SELECT i AS id, [i] AS features FROM range(9000) t(i)", COLUMNS)
    assert rows.batch.width == 9000
    assert rows.batch.to_scipy().diagonal().tolist() == [1] * 9000


def test_splits_are_read_and_a_wrong_one_is_named(con):
    names = "id, features, split"
    rows = read_rows(con, values("(1, [1], 'test'), (2, [1], 'train'), (3, [1], 'train')", names), COLUMNS)
    assert rows.where("train").tolist() == [1, 2]
    assert rows.where("validation").tolist() == []
    for wrong in ("'Train'", "''", "NULL"):
        with pytest.raises(
            DataError, match=f"column 'split' holds ({wrong}|None)\nit may hold train, validation, test"
        ):
            read_rows(con, values(f"(1, [1], 'train'), (2, [1], {wrong})", names), COLUMNS)


def test_a_missing_column_is_named_with_the_closest(con):
    with pytest.raises(DataError, match=r"no column 'features' \(did you mean 'feature'\?\)\nit has"):
        read_rows(con, "SELECT 1 AS id, [1] AS feature", COLUMNS)
    with pytest.raises(DataError, match="features relation has no column 'customer'"):
        read_rows(con, FEATURES, Columns(ids=("customer",)))
    with pytest.raises(DataError, match="labels relation has no column 'category'"):
        outcomes_of(con, "SELECT 1 AS id, 'a' AS kategorie")
    with pytest.raises(DataError, match="the features relation cannot be read"):
        read_rows(con, "nowhere", COLUMNS)


def test_columns_may_have_any_name(con):
    columns = Columns(ids=('the "id"',), features="select", category="from", split="group", label_class="a b")
    features = values("(1, [1], 'train')", '"the ""id""", "select", "group"')
    labels = values("(1, 'a', 'no')", '"the ""id""", "from", "a b"')
    rows = read_rows(con, features, columns)
    assert rows.where("train").tolist() == [0]
    outcomes, left_over = read_outcomes(con, labels, columns, rows.ids, categories=["a"], classes=("yes", "no", "none"))
    assert (labelled(outcomes), left_over) == ([{"a": 1}], 0)


# --- features by name ------------------------------------------------------------------------------------------------

NAMED = values(
    "(1, MAP {{'pear': 1.0, 'apple': 2.0}}, {0}), (2, MAP {{'fig': 3.0}}, {1}), (3, NULL, {0})", "id, features, split"
)


def test_names_become_a_sorted_vocabulary_of_the_training_rows(con):
    relation = NAMED.format("'train'", "'test'")
    names = names_in(con, relation, COLUMNS)
    assert names.names == ("apple", "pear")
    rows = read_rows(con, relation, COLUMNS, width=2, vocabulary=names)
    assert dense(rows) == [[2, 1], [0, 0]]
    assert rows.batch.unknown.tolist() == [0, 1]
    everywhere = f"SELECT * EXCLUDE split FROM ({relation})"
    assert names_in(con, everywhere, COLUMNS).names == ("apple", "fig", "pear")


def test_names_that_only_held_out_rows_have_are_no_columns(con):
    relation = values("(1, ['a', 'c']), (2, ['b', 'c', 'd']), (3, ['d']), (4, []), (5, ['c', 'x'])", "id, features")
    names = names_in(con, relation, COLUMNS)
    rows = read_rows(con, relation, COLUMNS, width=len(names), vocabulary=names)
    training, held_out = np.array([0, 2, 3]), np.array([1, 4])
    kept, kept_names = learnable(rows, names, training)
    assert kept_names.names == ("a", "c", "d")
    assert dense(kept) == [[1, 1, 0], [0, 1, 1], [0, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert kept.batch.unknown.tolist() == [0, 1, 0, 0, 1]
    assert kept.batch.width == 3
    assert (kept.unknown_share(training), kept.unknown_share(held_out)) == (0, 2 / 5)
    assert kept.unknown_share(np.array([3])) == kept.unknown_share(np.zeros(0, int)) == 0
    assert learnable(rows, names, np.arange(5)) == (rows, names)
    assert learnable(rows, names, np.array([3])) == (rows, names)  # nothing to learn from: another error says so


def test_names_come_from_every_chunk_and_each_once(con):
    lists = "SELECT i AS id, ['f' || (i % 5000), 'all'] AS features FROM range(20000) t(i)"
    names = names_in(con, lists, COLUMNS).names
    assert names == tuple(sorted(["all", *(f"f{number}" for number in range(5000))]))


@pytest.mark.parametrize("features", ["[1, 2]", "[0.5, 0.5]", "MAP {1: 2.0}", "'1:0.5 2:0.5'"])
def test_numbered_features_have_no_vocabulary(con, features):
    assert names_in(con, f"SELECT 1 AS id, {features} AS features", COLUMNS) is None


def test_named_features_without_any_name_are_refused_later(con):
    assert names_in(con, NAMED.format("'test'", "'test'"), COLUMNS) is None


def test_a_vocabulary_relation_numbers_from_0_without_a_gap(con):
    assert names_of(con, values("(1, 'b'), (0, 'a'), (2, '3')", '"column", feature')).names == ("a", "b", "3")
    for wrong in ("(1, 'a'), (2, 'b')", "(0, 'a'), (2, 'b')", "(0, 'a'), (0, 'b')", "(NULL, 'a')"):
        with pytest.raises(DataError, match="the vocabulary's columns are not 0, 1, 2 … without a gap\nnumber"):
            names_of(con, values(wrong, '"column", feature'))
    with pytest.raises(DataError, match="without a gap"):
        names_of(con, "SELECT 0 AS \"column\", 'a' AS feature LIMIT 0")
    for wrong in ("(0, 'a'), (1, 'a')", "(0, NULL)", "(0, '')"):
        with pytest.raises(DataError):
            names_of(con, values(wrong, '"column", feature'))


def test_a_feature_beyond_the_vocabulary_is_refused(con):
    with pytest.raises(DataError, match="feature column 2 is outside 0 to 1"):
        read_rows(con, FEATURES, COLUMNS, width=2, vocabulary=Vocabulary(["a", "b"]))


# --- labels ----------------------------------------------------------------------------------------------------------

EXPECTED = [{"a": 0, "c": 0}, {}, {"b": 0}]


@pytest.mark.parametrize(
    "labels",
    [
        values("(1, 'c'), (3, 'b'), (1, 'a')", "id, category"),
        values("(1, 'c'), (1, 'c'), (3, 'b'), (1, 'a'), (2, NULL)", "id, category"),
        values("(3, ['b']), (1, ['c', 'a']), (2, [])", "id, category"),
        values("(3, ['b', NULL]), (1, ['c', 'a', 'a']), (2, NULL)", "id, category"),
        "SELECT id, category::VARCHAR[2] AS category FROM (VALUES (1, ['c', 'a']), (3, ['b', 'b'])) t(id, category)",
        values("(1, 'a'::ENUM('a', 'b', 'c')), (1, 'c'), (3, 'b')", "id, category"),
        values("(1, 'c', 'yes'), (3, 'b', 'yes'), (1, 'a', 'yes')", "id, category, class"),
        values("(1::UTINYINT, 'c'), (3, 'b'), (1, 'a')", "id, category"),
    ],
)
def test_labels_are_rows_or_lists_of_any_kind(con, labels):
    outcomes, left_over = outcomes_of(con, labels)
    assert (labelled(outcomes), left_over) == (EXPECTED, 0)
    assert (outcomes.categories, outcomes.classes) == (CATEGORIES, ("yes", "no"))


def test_a_class_column_gives_the_class(con):
    labels = values("(1, 'a', 'look'), (1, 'b', 'buy'), (2, 'a', 'buy'), (3, 'c', 'nothing')", "id, category, class")
    outcomes, _ = outcomes_of(con, labels, classes=("buy", "look", "nothing"))
    assert labelled(outcomes) == [{"a": 1, "b": 0}, {"a": 0}, {"c": 2}]
    one_hot = outcomes.one_hot(np.arange(3))
    assert one_hot.sum(axis=2).tolist() == [[1] * 3] * 3
    assert one_hot[:, :, 2].tolist() == [[0, 0, 1], [0, 1, 1], [1, 1, 1]]
    assert outcomes.positives(np.arange(3)).tolist() == [[False, True, False], [True, False, False], [False] * 3]


def test_labels_of_other_categories_are_counted_and_those_of_no_row_passed_over(con):
    labels = values(
        "(1, 'a'), (9, 'a'), (1, 'z'), (9, 'z'), (NULL, 'a'), (1, NULL), (1, 'z'), (2, 'y')", "id, category"
    )
    outcomes, left_over = outcomes_of(con, labels)
    assert labelled(outcomes) == [{"a": 0}, {}, {}]
    assert left_over == 2


def test_labels_join_on_every_id_column(con):
    columns = Columns(ids=("id", "day"))
    features = values("(1, 1, [0]), (1, 2, [0]), (2, 1, [0])", "id, day, features")
    outcomes, left_over = outcomes_of(con, values("(1, 2, 'a'), (2, 2, 'b')", "id, day, category"), columns, features)
    assert (labelled(outcomes), left_over) == ([{}, {"a": 0}, {}], 0)


def test_an_unknown_class_or_two_for_one_pair_are_refused(con):
    with pytest.raises(DataError, match="class 'maybe' is not one of yes, no\nname all classes"):
        outcomes_of(con, values("(1, 'a', 'maybe')", "id, category, class"))
    with pytest.raises(DataError, match="category 'a' has two classes for one id\ngive one class a pair"):
        outcomes_of(con, values("(1, 'a', 'yes'), (1, 'a', 'no')", "id, category, class"))
    with pytest.raises(DataError, match="class 'NULL' is not one of yes, no"):  # an outer join's miss is no purchase
        outcomes_of(con, values("(1, 'a', NULL)", "id, category, class"))


def test_the_same_category_of_neighbouring_rows_is_no_repetition(con):
    outcomes, _ = outcomes_of(con, values("(1, 'a'), (2, 'a'), (3, 'a')", "id, category"))
    assert labelled(outcomes) == [{"a": 0}] * 3


def test_categories_need_so_many_labelled_rows(con):
    ids = read_rows(con, FEATURES, COLUMNS).ids
    pairs = "(1, 'b'), (2, 'b'), (3, 'b'), (1, 'a'), (1, 'a'), (2, 'a'), (1, 'c'), (7, 'c'), (8, 'c')"
    labels = values(pairs, "id, category")
    found = {least: frequent_categories(con, labels, COLUMNS, ids, at_least=least) for least in (1, 2, 3)}
    assert found == {1: ["a", "b", "c"], 2: ["a", "b"], 3: ["b"]}
    with pytest.raises(DataError, match=r"no category has 4 labelled training rows\ncheck .* min_positives"):
        frequent_categories(con, labels, COLUMNS, ids, at_least=4)
    classed = values("(1, 'a', 'yes'), (1, 'b', 'no'), (2, 'b', 'no')", "id, category, class")
    assert frequent_categories(con, classed, COLUMNS, ids, at_least=1) == ["a"]


def test_labels_of_other_ids_are_counted(con):
    ids = read_rows(con, FEATURES, COLUMNS).ids
    labels = values("(1, 'a'), (1, 'a'), (9, 'a'), (9, 'z'), (2, 'z')", "id, category")
    assert count_labels(con, labels, COLUMNS, ids) == (4, 2)
    with pytest.raises(DataError, match=r"ids of features and labels do not fit together.*\ngive them the same type"):
        count_labels(con, values("('C1', 'a')", "id, category"), COLUMNS, ids)


def test_enum_ids_are_texts_and_ids_that_cannot_be_keys_are_refused(con):
    rows = read_rows(con, values("('b'::ENUM('b', 'a'), [0]), ('a', [1])", "id, features"), COLUMNS)
    assert rows.ids["id"].to_pylist() == ["a", "b"]
    for wrong in ("'nan'::DOUBLE", "[1]"):
        with pytest.raises(DataError, match=r"id column 'id' is of type .*\ngive an integer, a text or a date"):
            read_rows(con, values(f"({wrong}, [0])", "id, features"), COLUMNS)


# --- training and validation rows ------------------------------------------------------------------------------------


def test_without_validation_rows_a_tenth_of_the_training_rows_validates(con):
    rows = read_rows(con, "SELECT i AS id, [1] AS features FROM range(205) t(i)", COLUMNS)
    training, validation = split_rows(rows, seed=1)
    assert (len(training), len(validation)) == (185, 20)
    assert sorted([*training, *validation]) == list(range(205))
    np.testing.assert_array_equal(split_rows(rows, seed=1)[1], validation)
    assert split_rows(rows, seed=2)[1].tolist() != validation.tolist()


def test_all_rows_of_a_customer_are_on_the_same_side(con):
    several = "SELECT i % 100 AS id, i // 100 AS as_of, [1] AS features FROM range(300) t(i)"
    rows = read_rows(con, several, Columns(ids=("id", "as_of")))
    training, validation = split_rows(rows, seed=1)
    customers = np.asarray(rows.ids.column(0))
    assert len(validation) == 30
    assert set(customers[training]).isdisjoint(customers[validation])


def test_the_splits_of_the_relation_are_kept(con):
    kinds = "SELECT i AS id, [1] AS features, ['train', 'validation', 'test'][1 + i % 3] AS split FROM range(9) t(i)"
    training, validation = split_rows(read_rows(con, kinds, COLUMNS), seed=1)
    assert (training.tolist(), validation.tolist()) == ([0, 3, 6], [1, 4, 7])


@pytest.mark.parametrize("split", ["'test'", "'validation'"])
def test_too_few_rows_of_either_are_refused(con, split):
    few = read_rows(con, f"SELECT i AS id, [1] AS features, {split} AS split FROM range(5) t(i)", COLUMNS)
    with pytest.raises(DataError, match=r"0 training and . validation rows are too few\ngive more rows"):
        split_rows(few, seed=1)
