"""scikit-learn's estimators as networks: the same propensities as predict_proba."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, Normalizer
from sklearn.svm import LinearSVC
from sklearn_models import (
    BINARY,
    LOG,
    MANY,
    MODELS,
    RANDOM,
    ROWS,
    THREE,
    WIDTH,
    X,
    distance,
    fitted,
    one_vs_rest_of_old,
)

from duckprop.compiled import CompiledScorer
from duckprop.errors import ModelError, UsageError
from duckprop.formats.sklearn import from_estimator
from duckprop.sparse import from_scipy


@pytest.fixture(autouse=True)
def _quiet():
    """Let short fits stop before they converge."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


LINKS = {
    "normalized": {"descent, 3 classes", "one-vs-rest, exclusive", "logistic, one-vs-rest of old"},
    "softmax": {"logistic, 3 classes", "perceptron, 3 classes", "largest to 1"},
    "heads": {"logistic, 2 classes", "one-vs-rest, logistic", "outputs, 2 classes", "perceptron, many"},
}


@pytest.mark.parametrize("link", LINKS)
def test_only_classes_that_exclude_each_other_share_a_sum(link):
    assert {from_estimator(fitted(name)).network.link for name in LINKS[link]} == {link}


@pytest.mark.parametrize("name", MODELS)
def test_every_topology_gives_what_predict_proba_gives(name, record_import):
    estimator = fitted(name)
    artefact = from_estimator(estimator)
    expected = artefact.reference(ROWS)
    record_import("scikit-learn", artefact.framework, name, distance(artefact, expected))
    assert np.ptp(expected, axis=0).max() > 1e-3
    assert not artefact.unverified
    assert artefact.framework.startswith("scikit-learn 1.")


@pytest.mark.parametrize("name", [name for name in MODELS if name != "logistic, one-vs-rest of old"])
def test_the_reference_is_predict_proba_itself(name):
    estimator = fitted(name)
    is_dense = name in ("mean to 0", "between 0 and 1")
    rows = ROWS.astype(np.float64)
    found = estimator.predict_proba(rows.toarray() if is_dense else rows)
    if isinstance(found, list):
        found = np.stack([part[:, 1] for part in found], axis=1)
    elif name.endswith("2 classes") or name in ("logistic, l1", "deviation to 1"):
        found = found[:, 1:]
    np.testing.assert_array_equal(from_estimator(estimator).reference(ROWS), found)


def test_one_vs_rest_of_old_is_computed_as_the_version_that_fitted_it():
    estimator = fitted("logistic, one-vs-rest of old")
    expected = estimator._predict_proba_lr(ROWS)
    artefact = from_estimator(estimator)
    assert artefact.network.link == "normalized"
    assert distance(artefact, expected) <= 1e-6
    assert np.abs(estimator.predict_proba(ROWS) - expected).max() > 0.01
    piped = make_pipeline(MaxAbsScaler(), "passthrough", LogisticRegression()).fit(X, THREE)
    one_vs_rest_of_old(piped[-1])
    expected = piped[-1]._predict_proba_lr(piped[0].transform(ROWS.astype(np.float64)))
    np.testing.assert_array_equal(from_estimator(piped).reference(ROWS), expected)


def test_outputs_of_three_classes_ask_for_the_positive_one():
    labels = np.stack([RANDOM.integers(0, 3, 400), RANDOM.integers(0, 3, 400)], axis=1)
    estimator = MultiOutputClassifier(LogisticRegression()).fit(X, labels)
    with pytest.raises(UsageError, match=r"2 outputs of 3 classes: which is the positive one\?\npass --positive-col"):
        from_estimator(estimator)
    for column in range(3):
        artefact = from_estimator(estimator, positive_column=column, categories=["a", "b"])
        expected = np.stack([part[:, column] for part in estimator.predict_proba(ROWS)], axis=1)
        assert distance(artefact, expected) <= 1e-6
    with pytest.raises(UsageError, match="pass --positive-column 0 to 2"):
        from_estimator(estimator, positive_column=3)


def test_either_of_two_classes_may_be_the_positive_one():
    for name in ("logistic, 2 classes", "outputs, 2 classes"):
        one, other = (from_estimator(fitted(name), positive_column=column) for column in (1, 0))
        np.testing.assert_allclose(one.reference(ROWS), 1 - other.reference(ROWS), atol=1e-12)
        assert distance(other, other.reference(ROWS)) <= 1e-6
    with pytest.raises(UsageError, match="positive column 2 of 2 classes"):
        from_estimator(fitted("logistic, 2 classes"), positive_column=2)


def test_categories_that_exclude_each_other_have_no_positive_column():
    for name in ("logistic, 3 classes", "perceptron, many"):
        with pytest.raises(UsageError, match="leave out --positive-column"):
            from_estimator(fitted(name), positive_column=1)
    with pytest.raises(UsageError, match="leave out --output"):
        from_estimator(fitted("logistic, 3 classes"), output="softmax")


def test_names_come_from_the_estimator():
    assert from_estimator(fitted("logistic, 3 classes")).categories == ("books", "shoes", "toys")
    assert from_estimator(fitted("logistic, 2 classes")).categories == ("1",)
    assert from_estimator(LogisticRegression().fit(X, np.array(["no", "yes"])[BINARY])).categories == ("yes",)
    assert from_estimator(fitted("one-vs-rest, logistic")).categories is None
    assert from_estimator(fitted("outputs, 2 classes")).features is None


def test_the_callers_names_may_not_contradict_the_estimators():
    numbered = from_estimator(fitted("one-vs-rest, logistic"), categories=list("abcde"))
    assert numbered.categories == tuple("abcde")
    assert from_estimator(fitted("logistic, 2 classes"), categories=["churn"]).categories == ("churn",)
    with pytest.raises(UsageError, match=r"category 0 is 'shoes', the classifier names it 'books'\nleave"):
        from_estimator(fitted("logistic, 3 classes"), categories=["shoes", "books", "toys"])
    with pytest.raises(UsageError, match="2 categories are named, the classifier has 5"):
        from_estimator(fitted("one-vs-rest, logistic"), categories=["a", "b"])


def test_columns_are_named_by_a_frame():
    import pandas as pd

    frame = pd.DataFrame(X.toarray(), columns=[f"f{at}" for at in range(WIDTH)])
    artefact = from_estimator(make_pipeline(MaxAbsScaler(), LogisticRegression()).fit(frame, THREE))
    assert artefact.features == tuple(frame.columns)
    assert distance(artefact, artefact.reference(ROWS)) <= 1e-6


DOCUMENTS = ["red shoe shoe", "blue toy", "book book red", "toy shoe book"] * 20


@pytest.mark.parametrize(
    "vectorizer",
    [CountVectorizer(), TfidfVectorizer(use_idf=False), TfidfVectorizer(norm=None), CountVectorizer(max_features=3)],
)
def test_the_words_of_a_vectorizer_name_the_columns(vectorizer):
    estimator = make_pipeline(vectorizer, LogisticRegression()).fit(DOCUMENTS, list("abca") * 20)
    artefact = from_estimator(estimator)
    assert artefact.features == tuple(vectorizer.get_feature_names_out())
    counted = CountVectorizer(vocabulary=vectorizer.vocabulary_).transform(DOCUMENTS).astype(np.float32)
    assert distance(artefact, estimator.predict_proba(DOCUMENTS), counted) <= 1e-6
    np.testing.assert_array_equal(artefact.reference(counted), estimator.predict_proba(DOCUMENTS))


def test_the_keys_of_a_dict_vectorizer_name_the_columns():
    records = [{"age": 3.0, "city": "Ulm"}, {"age": 1.0}, {"city": "Bonn", "visits": 2.0}] * 20
    estimator = make_pipeline(DictVectorizer(), Normalizer(), LogisticRegression()).fit(records, list("abc") * 20)
    artefact = from_estimator(estimator)
    assert artefact.features == ("age", "city=Bonn", "city=Ulm", "visits")
    rows = sparse.csr_matrix(estimator[0].transform(records), dtype=np.float32)
    assert distance(artefact, estimator.predict_proba(records), rows) <= 1e-6


def test_categories_that_never_vary_are_said_to_be_constant():
    artefact = from_estimator(fitted("one-vs-rest, constant"))
    assert artefact.notes["constant_categories"] == 2
    scored = CompiledScorer(artefact.network, 0).score(from_scipy(ROWS))
    assert (scored[:, 3] == 1).all()
    assert (scored[:, 1] < 1e-37).all()


def test_sparse_coefficients_stay_sparse():
    wide = from_estimator(fitted("logistic, sparse")).network.wide
    assert 0 < wide.nnz < 0.25 * WIDTH * 3
    assert from_estimator(fitted("logistic, 3 classes")).network.wide is None


NOT_IMPORTED = {
    "RandomForestClassifier": lambda: RandomForestClassifier(2).fit(X, THREE),
    "CalibratedClassifierCV": lambda: CalibratedClassifierCV(LogisticRegression(), cv=2).fit(X, THREE),
    "GridSearchCV": lambda: GridSearchCV(LogisticRegression(), {"C": [1]}, cv=2).fit(X, THREE),
    "LinearSVC": lambda: LinearSVC().fit(X, THREE),
    "modified_huber": lambda: SGDClassifier(loss="modified_huber").fit(X, THREE),
    "HashingVectorizer": lambda: make_pipeline(HashingVectorizer(n_features=WIDTH), LogisticRegression()).fit(
        DOCUMENTS, list("abca") * 20
    ),
    "TfidfTransformer": lambda: make_pipeline(TfidfTransformer(), LogisticRegression()).fit(X, THREE),
    "sublinear_tf": lambda: make_pipeline(TfidfTransformer(sublinear_tf=True), LogisticRegression()).fit(X, THREE),
    "Normalizer": lambda: make_pipeline(MaxAbsScaler(), Normalizer(), LogisticRegression()).fit(X, THREE),
    "norm='max'": lambda: make_pipeline(Normalizer("max"), LogisticRegression()).fit(X, THREE),
    "clip=True": lambda: make_pipeline(MinMaxScaler(clip=True), LogisticRegression()).fit(X.toarray(), THREE),
    "OneVsRestClassifier": lambda: OneVsRestClassifier(OneVsRestClassifier(LogisticRegression())).fit(X, MANY),
    "Pipeline": lambda: make_pipeline(make_pipeline(LogisticRegression())).fit(X, THREE),
    "2 and 3 classes": lambda: MultiOutputClassifier(LogisticRegression()).fit(
        X, np.stack([BINARY, RANDOM.integers(0, 3, 400)], axis=1)
    ),
    "Mine": lambda: type("Mine", (LogisticRegression,), {})().fit(X, THREE),
    "int": lambda: 7,
    "NoneType": lambda: None,
}


@pytest.mark.parametrize("name", NOT_IMPORTED)
def test_what_is_not_imported_is_refused_by_name(name):
    with pytest.raises(ModelError, match=rf"(?s){name}.*\n(fit|give|put|features need|it has no|import)"):
        from_estimator(NOT_IMPORTED[name]())


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        SGDClassifier(**LOG),
        MLPClassifier(),
        OneVsRestClassifier(LogisticRegression()),
        MultiOutputClassifier(LogisticRegression()),
        make_pipeline(MaxAbsScaler(), LogisticRegression()),
        make_pipeline(CountVectorizer(), LogisticRegression()),
    ],
)
def test_an_estimator_must_be_fitted(estimator):
    with pytest.raises(UsageError, match=r"is not fitted\ncall its fit first"):
        from_estimator(estimator)


def broken(name, value):
    estimator = LogisticRegression().fit(X, THREE)
    setattr(estimator, name, value)
    return estimator


CROOKED = sparse.csr_matrix((3, WIDTH))
CROOKED.indices, CROOKED.data, CROOKED.indptr = (
    np.array([10**6], np.int32),
    np.ones(1),
    np.array([0, 1, 1, 1], np.int32),
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("coef_", np.zeros((2, WIDTH))),
        ("coef_", np.zeros((3, WIDTH + 1))),
        ("coef_", np.full((3, WIDTH), np.nan)),
        ("coef_", np.full((3, WIDTH), "x")),
        ("coef_", None),
        ("coef_", CROOKED),
        ("coef_", sparse.csc_matrix((3, WIDTH))),
        ("intercept_", np.zeros(2)),
        ("intercept_", np.inf),
        ("classes_", np.array([1])),
        ("classes_", None),
        ("n_features_in_", 10**12),
        ("n_features_in_", -1),
        ("n_features_in_", "many"),
        ("feature_names_in_", ["a"] * WIDTH),
        ("feature_names_in_", ["a", "b"]),
    ],
)
def test_a_crooked_estimator_is_refused(name, value):
    with pytest.raises(ModelError):
        from_estimator(broken(name, value))


def test_classifiers_that_share_their_coefficients_are_refused():
    estimator = OneVsRestClassifier(LogisticRegression()).fit(X, MANY)
    estimator.estimators_ = [estimator.estimators_[0]] * 5
    with pytest.raises(ModelError, match="not each fitted for itself"):
        from_estimator(estimator)
    estimator = OneVsRestClassifier(LogisticRegression()).fit(X, MANY)
    for part in estimator.estimators_:
        part.coef_ = estimator.estimators_[0].coef_
    with pytest.raises(ModelError, match="share their coefficients"):
        from_estimator(estimator)
