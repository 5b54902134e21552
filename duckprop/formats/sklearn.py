"""scikit-learn classifiers: linear ones, perceptrons, many of them side by side, and pipelines of simple steps.

A classifier of two classes is one category, the class ``classes_[1]``. More classes exclude each other; outputs of a
multilabel classifier do not.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from duckprop.errors import ModelError, UsageError
from duckprop.formats import sklearn_files
from duckprop.formats.artefact import Artefact, Reference
from duckprop.formats.forms import features, multiply
from duckprop.formats.lowering import heads_network, sigmoid_network
from duckprop.formats.sklearn_forms import Scores, scores
from duckprop.formats.sklearn_steps import AGAIN, check_fitted, needs_dense, refused
from duckprop.network import Network

_BLOCK = 1 << 23
"""Numbers of a dense block that the reference scores at once: 64 MiB."""
_MOST_IN_FILE = 1 << 22
"""Columns that any file may claim; beyond it, as many as it has bytes."""


def read(
    path: Path,
    *,
    categories: Sequence[str] | None = None,
    positive_column: int | None = None,
    output: str | None = None,
    trust_pickle: bool = False,
) -> Artefact:
    """Return the classifier in a .skops file; with ``trust_pickle`` in a .joblib, .pkl or .pickle file too.

    A pickle runs code while it is read: set ``trust_pickle`` only for files that you made, or whose maker you trust.
    The rest is that of ``from_estimator``.
    """
    _import_sklearn()
    found = sklearn_files.load(path, trust_pickle)
    most = max(_MOST_IN_FILE, path.stat().st_size)
    return _artefact(found, _Wish(categories, positive_column, output), most)


def from_estimator(
    estimator: Any,
    *,
    categories: Sequence[str] | None = None,
    positive_column: int | None = None,
    output: str | None = None,
) -> Artefact:
    """Return a fitted classifier as an artefact.

    categories: names for its classes or outputs; they may not contradict names in ``classes_``. positive_column: for
    two classes, which one the propensity is of, 1 unless it is given; for several outputs of K classes it must be.
    output: not needed, as the classifier knows; UsageError where it is given. Raises ModelError, by name, for an
    estimator that no network computes, UsageError for one that is not fitted.
    """
    _import_sklearn()
    return _artefact(estimator, _Wish(categories, positive_column, output), None)


@dataclass(frozen=True)
class _Wish:
    categories: Sequence[str] | None
    positive_column: int | None
    output: str | None


@dataclass(frozen=True)
class _Read:
    """A network, its positive class, its categories' names, and how they come out of predict_proba's answer."""

    network: Network
    positive: int
    categories: tuple[str, ...] | None
    picked: Callable[[Any], Any]


def _import_sklearn() -> Any:
    try:
        import sklearn
    except ImportError:
        raise UsageError("scikit-learn is not installed", "pip install 'duckprop[sklearn]'") from None
    return sklearn


def _artefact(estimator: Any, wish: _Wish, most: int | None) -> Artefact:
    if wish.output is not None:
        raise UsageError("a classifier of scikit-learn says itself what it gives out", "leave out --output")
    try:
        return _built(estimator, wish, most)
    except (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
        fact = f"'{type(estimator).__name__}' is not as scikit-learn fits it: {' '.join(str(error).split())[:200]}"
        raise ModelError(fact, AGAIN) from None


def _built(estimator: Any, wish: _Wish, most: int | None) -> Artefact:
    rest, names = _without_vectorizer(estimator)
    width = _width(rest, names)
    if most is not None and width > most:
        raise ModelError(f"'{type(estimator).__name__}' claims {width} columns, more than its file can hold", AGAIN)
    found = scores(rest, features(width))
    chosen = _READERS[found.link](found, wish)
    notes: dict[str, Any] = {"estimator": _described(estimator)}
    if found.constants:
        notes["constant_categories"] = found.constants
    return Artefact(
        "sklearn",
        f"scikit-learn {_import_sklearn().__version__}",
        chosen.network,
        chosen.positive,
        chosen.categories,
        names,
        _reference(rest, found.is_ovr, chosen.picked),
        notes=notes,
    )


def _without_vectorizer(estimator: Any) -> tuple[Any, tuple[str, ...] | None]:
    """Return an estimator without the vectorizer before it, and its columns' names, if it has any.

    The columns are what a CountVectorizer or DictVectorizer puts out; of a TfidfVectorizer they are the counts.
    """
    first = estimator.steps[0][1] if type(estimator).__name__ == "Pipeline" else estimator
    name = type(first).__name__
    if name not in _VECTORIZERS or len(getattr(estimator, "steps", ())) < 2:
        given = getattr(estimator, "feature_names_in_", None)
        return estimator, None if given is None else tuple(map(str, np.asarray(given).tolist()))
    check_fitted(first)
    if name == "DictVectorizer":
        words = list(first.feature_names_)
    else:
        ordered = sorted(first.vocabulary_.items(), key=lambda pair: int(pair[1]))
        words = [word for word, _ in ordered]
        if [int(at) for _, at in ordered] != list(range(len(words))):
            raise ModelError(f"{name} has a vocabulary with gaps", AGAIN)
    rest = estimator[1:]
    if name == "TfidfVectorizer":
        rest.steps.insert(0, ("tfidf", first._tfidf))
    return rest, tuple(map(str, words))


_VECTORIZERS = ("CountVectorizer", "DictVectorizer", "TfidfVectorizer")


def _width(estimator: Any, names: tuple[str, ...] | None) -> int:
    """Return the number of columns. Raises where the estimator is not one of scikit-learn's or does not say."""
    if not hasattr(estimator, "fit"):
        raise refused(estimator)
    if names is not None:
        if len(set(names)) != len(names):
            raise ModelError("two columns of the estimator have the same name", "give each column its own name")
        return len(names)
    steps = [step for _, step in estimator.steps] if type(estimator).__name__ == "Pipeline" else [estimator]
    first = next((step for step in steps if step is not None and not isinstance(step, str)), estimator)
    check_fitted(first)
    width = getattr(first, "n_features_in_", None)
    if width is None and hasattr(first, "estimators_"):
        width = next((part.n_features_in_ for part in first.estimators_ if hasattr(part, "n_features_in_")), None)
    if width is None:
        raise refused(first)
    if not 0 < int(width) < 2**31:
        raise ModelError(f"'{type(first).__name__}' claims {width} columns", AGAIN)
    return int(width)


def _sigmoids(found: Scores, wish: _Wish) -> _Read:
    """Read logits that stand each for itself: outputs of two classes, or one classifier of two."""
    if found.is_binary:
        column = 1 if wish.positive_column is None else wish.positive_column
        if column not in (0, 1):
            raise UsageError(f"positive column {column} of 2 classes", "pass --positive-column 0 or 1")
        logits = found.logits if column else multiply(found.logits, -1.0)
        labels = None if found.labels is None else found.labels[column : column + 1]
    else:
        _check_no_column(found, wish)
        column, logits, labels = 1, found.logits, found.labels
    categories = _categories(labels, logits.size, wish)
    return _Read(sigmoid_network(logits), 0, categories, lambda given: _columns(given, column, found.is_binary))


def _exclusive(found: Scores, wish: _Wish) -> _Read:
    _check_no_column(found, wish)
    categories = _categories(found.labels, found.logits.size, wish)
    return _Read(sigmoid_network(found.logits, found.link), 0, categories, lambda given: given)


def _classes(found: Scores, wish: _Wish) -> _Read:
    """Read heads of K classes."""
    column, heads = wish.positive_column, found.logits.size // found.classes
    if column is None or not 0 <= column < found.classes:
        fact = f"the classifier has {heads} outputs of {found.classes} classes: which is the positive one?"
        raise UsageError(fact, f"pass --positive-column 0 to {found.classes - 1}")
    network = heads_network(found.logits, heads, found.classes)
    categories = _categories(None, heads, wish)
    return _Read(network, column, categories, lambda given: _columns(given, column, False))


_READERS: dict[str, Callable[[Scores, _Wish], _Read]] = {
    "sigmoid": _sigmoids,
    "softmax": _exclusive,
    "normalized": _exclusive,
    "classes": _classes,
}


def _check_no_column(found: Scores, wish: _Wish) -> None:
    if wish.positive_column is not None:
        fact = f"positive column {wish.positive_column}: the classifier has {found.logits.size} categories, not columns"
        raise UsageError(fact, "leave out --positive-column")


def _columns(given: Any, column: int, is_binary: bool) -> NDArray[np.floating]:
    """Return propensities (n, N) from a list of N arrays (n, K), or from one array: (n, 2) or (n, N)."""
    if isinstance(given, list):
        return np.stack([part[:, column] for part in given], axis=1)
    return given[:, column : column + 1] if is_binary else given


def _categories(labels: tuple[Any, ...] | None, count: int, wish: _Wish) -> tuple[str, ...] | None:
    """Return the categories' names: the caller's, which may rename numbers but not contradict names."""
    own = None if labels is None else tuple(map(str, labels))
    if wish.categories is None:
        return own
    given = tuple(wish.categories)
    if len(given) != count:
        raise UsageError(f"{len(given)} categories are named, the classifier has {count}", "name as many")
    if own is not None and any(isinstance(label, str) for label in labels or ()):
        for at, (mine, theirs) in enumerate(zip(own, given, strict=True)):
            if mine != theirs:
                fact = f"category {at} is '{theirs}', the classifier names it '{mine}'"
                raise UsageError(fact, "leave the categories out, or name them in the order of classes_")
    return given


def _reference(estimator: Any, is_ovr: bool, picked: Callable[[Any], Any]) -> Reference:
    steps = [step for _, step in estimator.steps] if hasattr(estimator, "steps") else [estimator]
    is_dense = any(needs_dense(step) for step in steps)

    def propensities(csr: Any) -> NDArray[np.floating]:
        rows = max(1, _BLOCK // max(1, csr.shape[1])) if is_dense else max(1, csr.shape[0])
        found = []
        for start in range(0, max(1, csr.shape[0]), rows):
            part = sparse.csr_matrix(csr[start : start + rows], dtype=np.float64)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that columns come without their names
                found.append(picked(_probabilities(estimator, is_ovr, part.toarray() if is_dense else part)))
        return np.concatenate(found)

    return propensities


def _probabilities(estimator: Any, is_ovr: bool, rows: Any) -> Any:
    """Return predict_proba's answer; one-vs-rest as the version that fitted it computes it."""
    if not is_ovr:
        return estimator.predict_proba(rows)
    if not hasattr(estimator, "steps"):
        return estimator._predict_proba_lr(rows)
    for _, step in estimator.steps[:-1]:
        rows = rows if step is None or isinstance(step, str) else step.transform(rows)
    return estimator.steps[-1][1]._predict_proba_lr(rows)


def _described(estimator: Any) -> str:
    """Return the types that an estimator is made of, such as 'Pipeline(MaxAbsScaler, LogisticRegression)'."""
    parts = [step for _, step in getattr(estimator, "steps", ())] or list(getattr(estimator, "estimators_", ()))
    names = dict.fromkeys(type(part).__name__ for part in parts if part is not None and not isinstance(part, str))
    return type(estimator).__name__ + (f"({', '.join(names)})" if names else "")
