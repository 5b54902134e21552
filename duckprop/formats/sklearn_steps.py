"""Steps of scikit-learn's pipelines as Forms, and what is checked of every fitted estimator.

Nothing is fitted, and every array is held against the number of columns before it.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from scipy import sparse

from duckprop.errors import ModelError, UsageError
from duckprop.formats.finite import check_finite
from duckprop.formats.forms import CannotFold, Form, add_constant, matmul, multiply, scale_rows, take

AGAIN = "fit it again with scikit-learn 1.5 or later"
_NO_ROW = 1e-30
"""Added under a row's norm: rows without features stay 0, as scikit-learn has it."""


def transformed(step: Any, form: Form) -> Form:
    """Return what a fitted step of a pipeline makes of a form; 'passthrough' and None leave it as it is."""
    if step is None or (isinstance(step, str) and step == "passthrough"):
        return form
    rule = _steps().get(type(step))
    if rule is None:
        raise refused(step)
    check_fitted(step)
    return rule(step, form)


def needs_dense(step: Any) -> bool:
    """Whether scikit-learn takes a step's rows only as a dense array."""
    name = type(step).__name__
    return name == "MinMaxScaler" or (name == "StandardScaler" and bool(step.with_mean))


def check_fitted(estimator: Any) -> None:
    """Raise UsageError where an estimator is not fitted."""
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(estimator)
    except NotFittedError:
        raise UsageError(f"{type(estimator).__name__} is not fitted", "call its fit first") from None


def refused(found: Any) -> ModelError:
    """Return the error for what no rule is known for, by the name of its type."""
    name = type(found).__name__
    fact = f"'{name}' is not an estimator of scikit-learn that duckprop imports"
    return ModelError(fact, _REMEDIES.get(name, _KNOWN))


_REMEDIES = {
    "CalibratedClassifierCV": "give the classifier inside it: calibration is not imported yet",
    "GridSearchCV": "give its best_estimator_",
    "RandomizedSearchCV": "give its best_estimator_",
    "HashingVectorizer": "features need names: fit a CountVectorizer, or give the steps after it alone",
    "LinearSVC": "it has no probabilities: fit LogisticRegression or SGDClassifier(loss='log_loss')",
    "SVC": "it does not fold into a network: fit LogisticRegression or MLPClassifier",
}
_KNOWN = (
    "fit LogisticRegression, SGDClassifier or MLPClassifier, alone, in OneVsRestClassifier or MultiOutputClassifier, "
    "or in a Pipeline after scalers, selectors, Normalizer, TfidfTransformer or TruncatedSVD"
)


@cache
def _steps() -> dict[type, Callable[[Any, Form], Form]]:
    from sklearn import decomposition, feature_extraction, feature_selection, preprocessing

    names = "SelectKBest SelectPercentile SelectFpr SelectFdr SelectFwe VarianceThreshold"
    return {
        preprocessing.MaxAbsScaler: lambda step, form: multiply(form, 1 / numbers(step, "scale_", form.size)),
        preprocessing.StandardScaler: _standard,
        preprocessing.MinMaxScaler: _between,
        preprocessing.Normalizer: lambda step, form: _normed(step, form, step.norm),
        feature_extraction.text.TfidfTransformer: _tfidf,
        decomposition.TruncatedSVD: lambda step, form: matmul(form, array(step, "components_", (None, form.size)).T),
        **{getattr(feature_selection, name): _picked for name in names.split()},
    }


def array(owner: Any, name: str, shape: tuple[int | None, ...], at: int | None = None) -> Any:
    """Return an attribute, or its entry ``at``, as float64 or csr, of this shape; None in it takes any size.

    Raises ModelError where it has another shape, is not made of numbers, or a sparse one points out of itself.
    """
    value = getattr(owner, name) if at is None else getattr(owner, name)[at]
    label = f"{type(owner).__name__}.{name}" + ("" if at is None else f"[{at}]")
    found: Any = value if sparse.issparse(value) else np.asarray(value)
    fits = len(shape) == found.ndim and all(want in (None, size) for want, size in zip(shape, found.shape, strict=True))
    if not fits or found.dtype.kind not in "fiub":
        wanted = " x ".join("any" if want is None else str(want) for want in shape)
        raise ModelError(f"{label} is of shape {found.shape} and type {found.dtype}: expected were {wanted}", AGAIN)
    if sparse.issparse(found):
        if found.format != "csr":  # to convert one that points out of itself would write there
            raise ModelError(f"{label} is stored as {found.format}", "call sparsify(), which stores csr")
        found.check_format(full_check=True)
    check_finite({label: found})
    return found.astype(np.float64, copy=False)


def numbers(owner: Any, name: str, size: int) -> Any:
    """Return an attribute of ``size`` numbers; one that is no array stands for all of them."""
    if np.ndim(getattr(owner, name)) == 0:
        return np.full(size, float(array(owner, name, ())))
    return array(owner, name, (size,))


def _standard(step: Any, form: Form) -> Form:
    if step.with_mean:
        form = add_constant(form, -numbers(step, "mean_", form.size))
    return multiply(form, 1 / numbers(step, "scale_", form.size)) if step.with_std else form


def _between(step: Any, form: Form) -> Form:
    if step.clip:
        raise CannotFold("MinMaxScaler with clip=True clips the features", "fit it with clip=False")
    return add_constant(multiply(form, numbers(step, "scale_", form.size)), numbers(step, "min_", form.size))


def _tfidf(step: Any, form: Form) -> Form:
    if step.sublinear_tf:
        raise CannotFold("TfidfTransformer with sublinear_tf=True takes logarithms", "fit it with sublinear_tf=False")
    if step.use_idf:
        if step.norm is not None:
            fact = "TfidfTransformer scales rows by the norm of features that idf has multiplied"
            raise CannotFold(fact, "fit it with norm=None or use_idf=False, or multiply by idf_ in SQL before")
        form = multiply(form, numbers(step, "idf_", form.size))
    return form if step.norm is None else _normed(step, form, step.norm)


def _normed(step: Any, form: Form, norm: str) -> Form:
    name = type(step).__name__
    if norm not in ("l1", "l2"):
        raise CannotFold(f"{name} with norm='{norm}' does not fold into a network", "fit it with norm='l2' or 'l1'")
    if not is_features(form):
        fact = f"{name} scales rows by a norm that is not that of the features as they come"
        raise CannotFold(fact, f"put {name} first in the pipeline")
    return scale_rows(form, (norm, _NO_ROW))  # type: ignore[arg-type]


def _picked(step: Any, form: Form) -> Form:
    chosen = np.asarray(step.get_support())
    if chosen.shape != (form.size,) or chosen.dtype != bool:
        raise ModelError(f"{type(step).__name__} picks from {chosen.size} of {form.size} columns", AGAIN)
    return take(form, np.flatnonzero(chosen))


def is_features(form: Form) -> bool:
    """Whether a form is the features just as they come."""
    if form.shift.any() or len(form.terms) != 1:
        return False
    term = form.terms[0]
    if term.sources is None or term.factors is None:
        return False
    every = np.arange(form.size)
    is_whole = term.block.kind == "data" and term.block.norm is None and term.block.size == form.size
    in_order = np.array_equal(term.sources, every) and np.array_equal(term.places, every)
    return is_whole and in_order and bool(np.all(term.factors == 1))
