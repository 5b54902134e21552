"""scikit-learn's estimators of every kind that duckprop imports, and how far its networks are from them."""

import warnings
from functools import cache

import numpy as np
from network_reference import propensities
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.feature_selection import SelectKBest, VarianceThreshold, chi2
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, Normalizer, StandardScaler

from duckprop.compiled import CompiledScorer
from duckprop.sparse import from_scipy

WIDTH = 60
RANDOM = np.random.default_rng(7)
X = sparse.random(400, WIDTH, 0.15, "csr", random_state=1)
BINARY = RANDOM.integers(0, 2, 400)
THREE = np.array(["books", "shoes", "toys"])[RANDOM.integers(0, 3, 400)]
MANY = (RANDOM.random((400, 5)) < 0.3).astype(int)
ROWS = sparse.random(1000, WIDTH, 0.2, "csr", np.float32, random_state=2)
ROWS.data = (ROWS.data * 6 - 2).astype(np.float32)
ROWS = sparse.vstack([ROWS[:990], sparse.csr_matrix((10, WIDTH), dtype=np.float32)], "csr")
LOG = {"loss": "log_loss", "random_state": 3}


def with_constant():
    """Outputs of which one is never and one always so."""
    labels = MANY.copy()
    labels[:, 1], labels[:, 3] = 0, 1
    return labels


def one_vs_rest_of_old(classifier):
    """What scikit-learn before 1.8 fitted with multi_class='ovr'."""
    classifier.multi_class = "ovr"
    return classifier


MODELS = {
    "logistic, 2 classes": lambda: LogisticRegression().fit(X, BINARY),
    "logistic, 3 classes": lambda: LogisticRegression(C=10).fit(X, THREE),
    "logistic, l1": lambda: LogisticRegression(solver="liblinear", l1_ratio=1, C=5).fit(X, BINARY),
    "logistic, no intercept": lambda: LogisticRegression(fit_intercept=False).fit(X, THREE),
    "logistic, cross-validated": lambda: LogisticRegressionCV(Cs=2, cv=2).fit(X, THREE),
    "logistic, one-vs-rest of old": lambda: one_vs_rest_of_old(LogisticRegression().fit(X, THREE)),
    "logistic, sparse": lambda: LogisticRegression(solver="saga", l1_ratio=1, C=0.3).fit(X, THREE).sparsify(),
    "descent, 2 classes": lambda: SGDClassifier(**LOG).fit(X, BINARY),
    "descent, 3 classes": lambda: SGDClassifier(alpha=0.01, **LOG).fit(X, THREE),
    "one-vs-rest, logistic": lambda: OneVsRestClassifier(LogisticRegression()).fit(X, MANY),
    "one-vs-rest, exclusive": lambda: OneVsRestClassifier(SGDClassifier(alpha=0.01, **LOG)).fit(X, THREE),
    "one-vs-rest, 2 classes": lambda: OneVsRestClassifier(LogisticRegression()).fit(X, BINARY),
    "one-vs-rest, constant": lambda: OneVsRestClassifier(LogisticRegression()).fit(X, with_constant()),
    "one-vs-rest, perceptrons": lambda: OneVsRestClassifier(MLPClassifier(4, max_iter=20)).fit(X, with_constant()),
    "one-vs-rest, pipelines": lambda: OneVsRestClassifier(make_pipeline(MaxAbsScaler(), LogisticRegression())).fit(
        X, MANY
    ),
    "outputs, 2 classes": lambda: MultiOutputClassifier(LogisticRegression()).fit(X, MANY),
    "outputs, perceptrons": lambda: MultiOutputClassifier(MLPClassifier(3, max_iter=20)).fit(X, MANY[:, :2]),
    "perceptron, 2 classes": lambda: MLPClassifier((8, 5), max_iter=30).fit(X, BINARY),
    "perceptron, 3 classes": lambda: MLPClassifier(8, activation="tanh", max_iter=30).fit(X, THREE),
    "perceptron, many": lambda: MLPClassifier(8, activation="logistic", max_iter=30).fit(X, MANY),
    "perceptron, identity": lambda: MLPClassifier(8, activation="identity", max_iter=30).fit(X, MANY),
    "perceptron, float32": lambda: MLPClassifier(8, max_iter=30).fit(X.astype(np.float32), MANY),
    "largest to 1": lambda: make_pipeline(MaxAbsScaler(), LogisticRegression()).fit(X, THREE),
    "deviation to 1": lambda: make_pipeline(StandardScaler(with_mean=False), SGDClassifier(alpha=0.1, **LOG)).fit(
        X, BINARY
    ),
    "mean to 0": lambda: make_pipeline(StandardScaler(), LogisticRegression()).fit(X.toarray(), THREE),
    "between 0 and 1": lambda: make_pipeline(MinMaxScaler(), MLPClassifier(8)).fit(X.toarray(), MANY),
    "rows to norm": lambda: make_pipeline(Normalizer(), MLPClassifier(8, max_iter=30)).fit(X, MANY),
    "rows to sum": lambda: make_pipeline(Normalizer("l1"), LogisticRegression(C=100)).fit(X, THREE),
    "rows, then columns": lambda: make_pipeline(Normalizer(), MaxAbsScaler(), LogisticRegression()).fit(X, THREE),
    "idf": lambda: make_pipeline(TfidfTransformer(norm=None), LogisticRegression()).fit(X, THREE),
    "term frequencies": lambda: make_pipeline(TfidfTransformer(use_idf=False), LogisticRegression()).fit(X, THREE),
    "the best columns": lambda: make_pipeline(SelectKBest(chi2, k=9), LogisticRegression()).fit(X, THREE),
    "columns that vary": lambda: make_pipeline(
        MaxAbsScaler(), VarianceThreshold(0.01), "passthrough", MLPClassifier(8, max_iter=20)
    ).fit(X, MANY),
    "components": lambda: make_pipeline(TruncatedSVD(4), LogisticRegression()).fit(X, THREE),
}


@cache
def fitted(name):
    """Return one of MODELS, fitted once; short fits may stop before they converge."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MODELS[name]()


def distance(artefact, expected, rows=ROWS):
    """The largest difference of the network in float64, and of the engine, from what is expected."""
    exact = propensities(artefact.network, rows, artefact.positive)
    scored = CompiledScorer(artefact.network, artefact.positive).score(from_scipy(rows))
    assert exact.shape == scored.shape == expected.shape
    return max(np.abs(exact - expected).max(), np.abs(scored - expected).max())
