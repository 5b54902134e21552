"""duckprop.load, and what a Model does: predict, top, heads, publish, and the errors of each."""

import shutil
import threading

import numpy as np
import pytest
from conftest import CATEGORIES, NAMES
from scipy import sparse

import duckprop
from duckprop.engine import ENGINES
from duckprop.errors import DataError, ModelError, UsageError

ROWS = sparse.csr_matrix(([1, 2, 3], ([0, 0, 2], [0, 5, 39])), shape=(3, 40), dtype=np.float32)


@pytest.mark.parametrize("reference", ["shop", "shop@1"])
def test_load_takes_a_name_or_a_version(home, reference):
    model = duckprop.load(reference)
    assert model.reference == "shop@1"
    assert (model.categories, model.classes, model.width) == (CATEGORIES, ("yes", "no"), 40)
    assert model.card["metrics"]["test"]["overall"]["macro_auc"] == 0.75
    assert model.vocabulary.names == NAMES


def test_load_takes_a_folder_and_a_registry(home, small_bundle, tmp_path):
    assert duckprop.load(small_bundle).reference == str(small_bundle)
    assert duckprop.load("shop", registry=home).reference == "shop@1"
    with pytest.raises(ModelError, match="there is no model 'shop'"):
        duckprop.load("shop", registry=tmp_path / "other")


@pytest.mark.parametrize("engine", ENGINES)
def test_predict_gives_one_row_a_customer_and_one_column_a_category(small_bundle, engine):
    found = duckprop.load(small_bundle).predict(ROWS, engine)
    assert (found.dtype, found.shape) == (np.float32, (3, 5))
    assert ((found > 0) & (found < 1)).all()
    assert not np.allclose(found[0], found[1])


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csr_array, sparse.csc_matrix, sparse.coo_array])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_predict_takes_any_scipy_sparse_matrix(small_bundle, kind, dtype):
    model = duckprop.load(small_bundle)
    np.testing.assert_array_equal(model.predict(kind(ROWS, dtype=dtype)), model.predict(ROWS))


def test_no_rows_give_no_propensities(small_bundle):
    model, empty = duckprop.load(small_bundle), sparse.csr_matrix((0, 40))
    assert model.predict(empty).shape == (0, 5)
    assert model.top(empty, 3) == []


def test_a_head_of_three_classes_gives_the_first(write_bundle):
    model = duckprop.load(write_bundle(classes=("buy", "look", "nothing")))
    np.testing.assert_allclose(model.predict(ROWS), model.predict(ROWS, "mxnet"), rtol=0, atol=1e-6)
    assert model.positive == 0


def test_sql_sees_a_bundle_that_is_written_anew_under_the_same_path(write_bundle, tmp_path, home):
    with duckprop.connect() as con:
        found = []
        bundles = [write_bundle(seed=seed) for seed in (1, 2)]
        for bundle in bundles:  # within milliseconds of each other
            shutil.rmtree(tmp_path / "mine", ignore_errors=True)
            shutil.move(bundle, tmp_path / "mine")
            found += con.execute(f"SELECT propensity([1], 'toys', '{tmp_path}/mine')").fetchall()
    assert found[0] != found[1]


def test_a_model_whose_folder_was_written_anew_is_not_published(write_bundle, tmp_path, home):
    model = duckprop.load(shutil.move(write_bundle(seed=1), tmp_path / "mine"))
    shutil.rmtree(tmp_path / "mine")
    shutil.move(write_bundle(seed=2), tmp_path / "mine")
    with pytest.raises(ModelError, match="has been written anew since this model was loaded"):
        model.publish("mine")


def test_top_takes_no_negative_k_and_a_model_shows_what_it_is(small_bundle, home):
    with pytest.raises(UsageError, match="k is -1"):
        duckprop.load("shop").top(ROWS, -1)
    assert repr(duckprop.load("shop")) == "<duckprop.Model shop@1: 5 categories, 40 features>"


def test_the_wrong_width_is_refused(small_bundle):
    for width in (39, 41):
        with pytest.raises(DataError, match=f"the matrix has {width} columns, model .* has 40\nbuild the features"):
            duckprop.load(small_bundle).predict(sparse.csr_matrix((2, width)))


def test_what_is_not_sparse_or_not_finite_is_refused(small_bundle):
    model = duckprop.load(small_bundle)
    with pytest.raises(DataError, match="got ndarray\nwrap a dense array"):
        model.predict(ROWS.toarray())
    for value in (np.nan, np.inf, 1e39):
        with pytest.raises(DataError, match=r"row 1 of its batch.*not a finite 32-bit number"):
            model.predict(sparse.csr_matrix(([value], ([1], [2])), shape=(2, 40)))


def test_the_wrong_engine_is_refused(small_bundle):
    with pytest.raises(UsageError, match=r"no engine 'compield' \(did you mean 'compiled'\?\)\nuse compiled or mxnet"):
        duckprop.load(small_bundle).predict(ROWS, "compield")


def test_top_is_the_sorted_predictions(small_bundle):
    model = duckprop.load(small_bundle)
    scores = model.predict(ROWS)
    for k in (0, 1, 3, 5, 9):
        expected = [sorted(zip(CATEGORIES, row.tolist(), strict=True), key=lambda pair: -pair[1])[:k] for row in scores]
        assert model.top(ROWS, k) == expected


def test_ties_go_to_the_lower_category(tmp_path, small_bundle):
    from duckprop.ranking import best

    scores = np.float32([[0.5, 0.9, 0.5, 0.9, 0.0]])
    found = best(scores, 4)
    assert found.heads.tolist() == [[1, 3, 0, 2]]
    assert found.counts.tolist() == [4]


def test_heads_are_looked_up_by_name(small_bundle):
    model = duckprop.load(small_bundle)
    assert model.heads(["toys", "books", "toys"]).tolist() == [4, 0, 4]
    assert model.heads([]).tolist() == []
    with pytest.raises(DataError, match=r"category 'tois' is not in model .* \(did you mean 'toys'\?\)\nsee FROM"):
        model.heads(["books", "tois"])


def test_publish_makes_the_next_version(home, small_bundle):
    model = duckprop.load(small_bundle)
    assert model.publish("shop").reference == "shop@2"
    assert model.publish("shop", registry=home / "other").reference == "shop@1"
    published = duckprop.load("shop")
    assert published.reference == "shop@2"
    assert published.card == model.card
    np.testing.assert_array_equal(published.predict(ROWS), model.predict(ROWS))


def test_a_scorer_is_made_once_for_all_threads(small_bundle):
    model, found = duckprop.load(small_bundle), []
    threads = [threading.Thread(target=lambda: found.append(model.scorer())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(map(id, found))) == 1
    assert model.scorer("mxnet") is not model.scorer()
