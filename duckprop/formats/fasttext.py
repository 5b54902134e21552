"""fastText supervised models: a mean of word vectors, then one score a label.

A row counts words, by name; the columns are the dictionary's words in its order, without the end-of-line word, which
fastText adds to every line once and which no text can hold. So the hidden units are (Σ count · v + v_end) /
(Σ count + 1). With the loss 'softmax' labels exclude each other; with 'ova' and 'ns' each is a sigmoid of its own.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import expit

from duckprop.errors import DataError, ModelError, UsageError
from duckprop.formats.artefact import Artefact
from duckprop.formats.fasttext_file import END, File, Reader, Settings
from duckprop.formats.forms import CannotFold, add_constant, features, matmul, scale_rows
from duckprop.formats.lowering import sigmoid_network
from duckprop.network import Network

_PREFIX = "__label__"
_ADDED = 1e-5
"""What fastText adds to every probability: it hands out exp(log(p + 1e-5))."""
_NO_WORDS = 1e-30
_MOST_WORDS = 1 << 20
"""Words of a row that the reference writes out."""


def read(
    path: Path,
    *,
    categories: Sequence[str] | None = None,
    positive_column: int | None = None,
    output: str | None = None,
) -> Artefact:
    """Return the supervised model in a .bin or .ftz file, its words as features and its labels as categories.

    categories: the labels' names again, without ``__label__``, if they are to be checked. positive_column, output: the
    file says both; UsageError where they are given. Raises CannotFold for what depends on the order or the letters of
    words and for hierarchical softmax, ModelError for a file that is damaged.
    """
    if positive_column is not None or output is not None:
        option = "--output" if positive_column is None else "--positive-column"
        raise UsageError("a fastText model says itself what it gives out", f"leave out {option}")
    reader = Reader(path)
    settings = reader.settings()
    _check_folds(settings)
    file = reader.rest(settings)
    words = tuple(word for word in file.words if word != END)
    if not words or not file.labels:
        raise ModelError(f"{path} has {len(words)} words and {len(file.labels)} labels", "train it on labelled text")
    reference, unverified = _reference(path, file, words)
    return Artefact(
        "fasttext",
        f"fastText (file version {settings.version})",
        _network(file),
        categories=_categories(file.labels, categories),
        features=words,
        reference=reference,
        unverified=unverified,
        notes=_notes(file),
    )


def _check_folds(settings: Settings) -> None:
    """Raise where a model is not a mean of its words' vectors."""
    if settings.model != "supervised":
        raise ModelError(f"a {settings.model} model has vectors and no labels", "train with fasttext supervised")
    if settings.loss == "hs":
        fact = "loss 'hs', the hierarchical softmax, multiplies sigmoids along a tree"
        raise CannotFold(fact, "train with -loss softmax or -loss ova")
    if settings.max_subword > 0:
        fact = f"subwords of up to {settings.max_subword} letters (-maxn) change how much each word counts"
        raise CannotFold(fact, "train with -maxn 0")
    if settings.word_ngrams > 1:
        fact = f"word n-grams (-wordNgrams {settings.word_ngrams}) depend on the order of words"
        raise CannotFold(fact, "train with -wordNgrams 1")


def _network(file: File) -> Network:
    if END in file.words:
        at = file.words.index(END)
        sums = matmul(features(len(file.words) - 1), np.delete(file.inputs, at, axis=0))
        hidden = scale_rows(add_constant(sums, file.inputs[at]), ("l1", 1.0))
    else:
        hidden = scale_rows(matmul(features(len(file.words)), file.inputs), ("l1", _NO_WORDS))
    return sigmoid_network(matmul(hidden, file.outputs.T), "softmax" if file.settings.loss == "softmax" else "heads")


def _notes(file: File) -> dict[str, Any]:
    notes: dict[str, Any] = {
        "loss": file.settings.loss,
        "dimensions": file.settings.dim,
        "quantised": file.is_quantised,
        "values": "counts",
    }
    if file.settings.loss == "softmax":
        notes["compared_with"] = "predict, less the 1e-5 that it adds to every probability"
    else:
        notes["compared_with"] = "sigmoids of fastText's own sums; predict rounds them to steps of up to 0.008"
    return notes


def _categories(labels: tuple[str, ...], given: Sequence[str] | None) -> tuple[str, ...]:
    has_prefix = all(label.startswith(_PREFIX) and label != _PREFIX for label in labels)
    own = tuple(label.removeprefix(_PREFIX) for label in labels) if has_prefix else labels
    if given is None or tuple(given) == own:
        return own
    if len(given) != len(own):
        raise UsageError(f"{len(given)} categories are named, the model has {len(own)}", "leave the categories out")
    at = next(at for at, name in enumerate(own) if given[at] != name)
    fact = f"category {at} is '{given[at]}', the model names it '{own[at]}'"
    raise UsageError(fact, "leave the categories out, or name them in the model's order")


def _reference(path: Path, file: File, words: tuple[str, ...]) -> tuple[Callable[[Any], NDArray] | None, str]:
    """Return what scores rows with fastText itself; or None, and why not."""
    try:
        from fasttext.FastText import _FastText
    except ImportError:
        return None, "fastText is not installed: pip install fasttext-wheel"

    def propensities(csr: Any) -> NDArray[np.floating]:
        model = _FastText(model_path=str(path))  # unlike load_model, it prints nothing
        score = _softmax if file.settings.loss == "softmax" else _sigmoids
        return score(model, [_text(row, words) for row in sparse.csr_matrix(csr)], file)

    return propensities, ""


def _text(row: Any, words: tuple[str, ...]) -> str:
    """Return the line of text that a row's counts stand for. Raises DataError where they are none."""
    if (row.data < 0).any() or (row.data % 1).any() or not row.data.sum() <= _MOST_WORDS:
        raise DataError("fastText is asked for a row whose values are not counts of words", "give whole numbers")
    pairs = zip(row.indices.tolist(), row.data.tolist(), strict=True)
    return " ".join(" ".join([words[column]] * int(count)) for column, count in pairs if count)


def _softmax(model: Any, texts: list[str], file: File) -> NDArray[np.float64]:
    """Return predict's probabilities less what it adds; without any word it gives none, and all are alike."""
    places = {label: at for at, label in enumerate(file.labels)}
    found = np.full((len(texts), len(places)), 1 / len(places))
    for row, text in enumerate(texts):
        labels, probabilities = model.predict(text, k=-1)
        if len(labels):
            found[row, [places[label] for label in labels]] = probabilities - _ADDED
    return found


def _sigmoids(model: Any, texts: list[str], file: File) -> NDArray[np.float64]:
    """Return sigmoids of fastText's sums: its predict looks them up in a table of 512 steps between −8 and 8."""
    outputs = file.outputs if model.is_quantized() else model.get_output_matrix()
    hidden = np.array([model.get_sentence_vector(text) for text in texts], np.float64).reshape(-1, file.settings.dim)
    return expit(hidden @ outputs.astype(np.float64).T)
