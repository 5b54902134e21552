"""What scikit-learn's fitted classifiers compute, as Forms of their logits.

Only the types listed here are known, by exact type: a subclass may compute something else.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy import sparse

from duckprop.errors import ModelError
from duckprop.formats.forms import CannotFold, Form, activate, add, add_constant, concat, matmul
from duckprop.formats.sklearn_steps import AGAIN, array, check_fitted, is_features, numbers, refused, transformed

_CERTAIN = 87.0
"""The logit of a category that is always or never so: float32 makes 1 of its sigmoid, and 2e-38 of the other's."""
_SPARSE = 0.25
"""Sparse coefficients with a smaller share of non-zeros stay sparse."""
_ACTIVATIONS = {"identity": "identity", "relu": "relu", "tanh": "tanh", "logistic": "sigmoid"}


@dataclass(frozen=True)
class Scores:
    """A classifier's logits (n, m), and what makes probabilities of them.

    link: 'sigmoid' for m logits of their own, 'softmax' or 'normalized' over all m, 'classes' for heads of K logits.
    labels: those of the m logits, or of both classes of a single one; None where logits stand for outputs by their
    number. is_binary: each logit is of two classes, either of which may be asked for. is_ovr: probabilities are
    sigmoids divided by their sum though today's scikit-learn takes the softmax. constants: how many never vary.
    """

    logits: Form
    link: str
    labels: tuple[Any, ...] | None
    is_binary: bool = False
    classes: int = 2
    is_ovr: bool = False
    constants: int = 0


def scores(estimator: Any, form: Form) -> Scores:
    """Return what a fitted classifier makes of a form. Raises ModelError, naming its type, where it is not known."""
    rule = _classifiers().get(type(estimator))
    if rule is None:
        raise refused(estimator)
    check_fitted(estimator)
    return rule(estimator, form)


@cache
def _classifiers() -> dict[type, Callable[[Any, Form], Scores]]:
    from sklearn import linear_model, multiclass, multioutput, neural_network, pipeline

    return {
        linear_model.LogisticRegression: _linear,
        linear_model.LogisticRegressionCV: _linear,
        linear_model.SGDClassifier: _linear,
        neural_network.MLPClassifier: _perceptron,
        multiclass.OneVsRestClassifier: _one_vs_rest,
        multioutput.MultiOutputClassifier: _outputs,
        pipeline.Pipeline: _pipeline,
    }


def _labels(owner: Any) -> tuple[Any, ...]:
    return tuple(np.asarray(owner.classes_).tolist())


def _linear(estimator: Any, form: Form) -> Scores:
    labels = _labels(estimator)
    coefficients, biases = _weights(estimator, form)
    logits = _product(form, coefficients, biases)
    if len(labels) == 2:
        return Scores(logits, "sigmoid", labels, is_binary=True)
    is_sgd = type(estimator).__name__ == "SGDClassifier"
    is_ovr = not is_sgd and (getattr(estimator, "multi_class", None) == "ovr" or estimator.solver == "liblinear")
    return Scores(logits, "normalized" if is_sgd or is_ovr else "softmax", labels, is_ovr=is_ovr)


def _weights(estimator: Any, form: Form) -> tuple[Any, Any]:
    """Return a linear classifier's coefficients (rows, m) and biases (rows,), one row for two classes."""
    labels, kind = _labels(estimator), type(estimator).__name__
    if kind == "SGDClassifier" and estimator.loss not in ("log_loss", "log"):
        fact = f"SGDClassifier with loss '{estimator.loss}' does not give sigmoids of its scores"
        raise ModelError(fact, "fit it with loss='log_loss'")
    if getattr(estimator, "multi_class", None) == "multinomial" and len(labels) == 2:
        fact = f"{kind} with multi_class='multinomial' and 2 classes: versions of scikit-learn disagree on it"
        raise ModelError(fact, "fit it again without multi_class")
    if len(labels) < 2:
        raise ModelError(f"{kind} knows {len(labels)} classes", "fit it on rows of at least 2")
    rows = 1 if len(labels) == 2 else len(labels)
    return array(estimator, "coef_", (rows, form.size)), numbers(estimator, "intercept_", rows)


def _product(form: Form, coefficients: Any, biases: Any) -> Form:
    """Return form @ coefficients.T + biases; few coefficients stay sparse beside a hidden unit that does nothing."""
    logits = add_constant(matmul(form, coefficients.T), biases)
    if not sparse.issparse(coefficients) or coefficients.nnz > _SPARSE * np.prod(coefficients.shape):
        return logits
    unit = activate(matmul(form, np.zeros((form.size, 1), np.float32)), "identity")
    return add(logits, matmul(unit, np.zeros((1, logits.size))))


def _perceptron(estimator: Any, form: Form) -> Scores:
    activation, last = _ACTIVATIONS[estimator.activation], len(estimator.coefs_) - 1
    for at in range(last + 1):
        form = matmul(form, array(estimator, "coefs_", (form.size, None), at))
        form = add_constant(form, array(estimator, "intercepts_", (form.size,), at))
        if at < last:
            form = activate(form, activation)
    labels, is_binary = _labels(estimator), form.size == 1
    if len(labels) != (2 if is_binary else form.size):
        raise ModelError(f"MLPClassifier has {form.size} outputs for {len(labels)} classes", AGAIN)
    link = {"logistic": "sigmoid", "softmax": "softmax"}[estimator.out_activation_]
    return Scores(form, link, labels if is_binary or link == "softmax" else _named(labels), is_binary)


def _one_vs_rest(estimator: Any, form: Form) -> Scores:
    parts, labels = list(estimator.estimators_), _labels(estimator)
    is_binary = not estimator.multilabel_ and len(parts) == 1
    if len(labels) != (2 if is_binary else len(parts)):
        raise ModelError(f"OneVsRestClassifier has {len(parts)} parts for {len(labels)} classes", AGAIN)
    logits = _side_by_side(parts, form)
    constants = sum(_is_constant(part) for part in parts)
    if estimator.multilabel_ or is_binary:
        found = labels if is_binary else _named(labels)
        return Scores(logits, "sigmoid", found, is_binary, constants=constants)
    return Scores(logits, "normalized", labels, constants=constants)


def _outputs(estimator: Any, form: Form) -> Scores:
    parts = list(estimator.estimators_)
    sizes = {len(_labels(part)) for part in parts}
    if len(sizes) != 1:
        fact = f"MultiOutputClassifier has outputs of {' and '.join(map(str, sorted(sizes)))} classes"
        raise ModelError(fact, "import outputs with the same number of classes together")
    classes = sizes.pop()
    if classes == 2:
        return Scores(_side_by_side(parts, form), "sigmoid", None, is_binary=True)
    _check_apart(parts)
    found = [scores(_checked_part(part), form) for part in parts]
    if any(part.link != "softmax" for part in found):
        raise CannotFold("MultiOutputClassifier has outputs that are sigmoids divided by their sum", _SOFTMAX)
    return Scores(concat([part.logits for part in found]), "classes", None, classes=classes)


def _side_by_side(parts: Sequence[Any], form: Form) -> Form:
    """Return the logit of each of many binary classifiers, (n, N); linear ones as one matrix."""
    _check_apart(parts)
    if not all(_is_constant(part) or _classifiers().get(type(part)) is _linear for part in parts):
        return concat([_binary(part, form) for part in parts])
    pairs = [_row(part, form) for part in parts]
    if any(len(biases) != 1 for _, biases in pairs):
        raise ModelError("one classifier of many has more than 2 classes", AGAIN)
    rows, biases = [row for row, _ in pairs], np.concatenate([bias for _, bias in pairs])
    if all(sparse.issparse(row) for row in rows):
        return _product(form, sparse.vstack(rows, "csr"), biases)
    dense = (row.toarray() if sparse.issparse(row) else row for row in rows)
    # rounded once where nothing is multiplied in before the network rounds anyway: the matrix may be large
    stacked = np.empty((len(rows), form.size), np.float32 if is_features(form) else np.float64)
    for at, row in enumerate(dense):
        stacked[at] = row[0]
    return _product(form, stacked, biases)


def _row(part: Any, form: Form) -> tuple[Any, Any]:
    """Return the coefficients (1, m) and bias (1,) of a linear or constant classifier among many."""
    if _is_constant(part):
        return _constant(part, form)
    check_fitted(part)
    return _weights(part, form)


def _binary(part: Any, form: Form) -> Form:
    if _is_constant(part):
        return Form(_constant(part, form)[1], ())
    found = scores(_checked_part(part), form)
    if not found.is_binary:
        raise ModelError(f"'{type(part).__name__}' among many classifiers is not of 2 classes", AGAIN)
    return found.logits


def _checked_part(part: Any) -> Any:
    """Return a classifier among many, unless it holds many itself. Raises ModelError there."""
    if _classifiers().get(type(part)) in (_one_vs_rest, _outputs):
        raise refused(part)
    return part


def _check_apart(parts: Sequence[Any]) -> None:
    """Raise ModelError where one estimator stands for many: a small file would make a huge network."""
    if not parts or len({id(part) for part in parts}) != len(parts):
        raise ModelError(f"{len(parts)} classifiers are not each fitted for itself", AGAIN)
    arrays = [part.coef_ for part in parts if hasattr(part, "coef_")]
    if len({id(each) for each in arrays}) != len(arrays):
        raise ModelError(f"{len(parts)} classifiers share their coefficients", AGAIN)


def _is_constant(part: Any) -> bool:
    return type(part).__name__ == "_ConstantPredictor" and type(part).__module__ == "sklearn.multiclass"


def _constant(part: Any, form: Form) -> tuple[Any, Any]:
    (truth,) = np.asarray(part.y_).reshape(-1).tolist()
    return sparse.csr_matrix((1, form.size)), np.array([_CERTAIN if truth else -_CERTAIN])


def _pipeline(estimator: Any, form: Form) -> Scores:
    *steps, (_, last) = estimator.steps
    if type(last) is type(estimator):
        raise refused(last)
    for _, step in steps:
        form = transformed(step, form)
    return scores(last, form)


def _named(labels: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Return the labels of many outputs, or None where they are just the outputs' numbers."""
    return None if labels == tuple(range(len(labels))) else labels


_SOFTMAX = "fit LogisticRegression with a solver other than liblinear, or MLPClassifier"
