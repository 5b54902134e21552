"""Files of scikit-learn estimators: skops archives, and pickles where the caller says that he trusts them.

A skops archive is a zip of a tree, schema.json, and of NumPy's arrays. Every type that the tree names is held against
the list here before skops sees the file, and every size against the file's before memory is taken.
"""

import io
import json
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from duckprop.errors import ModelError, UsageError

PICKLES = (".joblib", ".pkl", ".pickle")
_PROPORTION = 32
"""How many times as large as the file what it holds may be."""
_MEBIBYTE = 1 << 20
_MOST_MEMBERS = 1 << 18
_AGAIN = "write the file again with skops.io.dump, or copy it again"
_NUMBERS = {f"numpy.{kind}{bits}" for kind, bits in (("int", 32), ("int", 64), ("float", 32), ("float", 64))}
_NUMBERS |= {"numpy.ndarray", "numpy.bool", "numpy.bool_", "numpy.int8", "numpy.uint8", "numpy.float16", "numpy.str_"}
_ESTIMATORS = {
    "_loss._loss.CyHalfBinomialLoss",
    "decomposition._truncated_svd.TruncatedSVD",
    "feature_extraction._dict_vectorizer.DictVectorizer",
    "feature_extraction.text.CountVectorizer",
    "feature_extraction.text.TfidfTransformer",
    "feature_extraction.text.TfidfVectorizer",
    "feature_selection._univariate_selection.SelectFdr",
    "feature_selection._univariate_selection.SelectFpr",
    "feature_selection._univariate_selection.SelectFwe",
    "feature_selection._univariate_selection.SelectKBest",
    "feature_selection._univariate_selection.SelectPercentile",
    "feature_selection._variance_threshold.VarianceThreshold",
    "linear_model._logistic.LogisticRegression",
    "linear_model._logistic.LogisticRegressionCV",
    "linear_model._sgd_fast.Log",
    "linear_model._stochastic_gradient.SGDClassifier",
    "multiclass.OneVsRestClassifier",
    "multiclass._ConstantPredictor",
    "multioutput.MultiOutputClassifier",
    "neural_network._multilayer_perceptron.MLPClassifier",
    "neural_network._stochastic_optimizers.AdamOptimizer",
    "neural_network._stochastic_optimizers.SGDOptimizer",
    "pipeline.Pipeline",
    "preprocessing._data.MaxAbsScaler",
    "preprocessing._data.MinMaxScaler",
    "preprocessing._data.Normalizer",
    "preprocessing._data.StandardScaler",
    "preprocessing._label.LabelBinarizer",
}
_FUNCTIONS = {"_univariate_selection.chi2", "_univariate_selection.f_classif", "_mutual_info.mutual_info_classif"}
_ALLOWED: dict[str, set[str]] = {
    "ObjectNode": {"sklearn." + name for name in _ESTIMATORS},
    "LossNode": {"sklearn._loss._loss.CyHalfBinomialLoss"},
    "SGDNode": {"sklearn.linear_model._sgd_fast.Log"},
    "FunctionNode": {"sklearn.feature_selection." + name for name in _FUNCTIONS},
    "NdArrayNode": _NUMBERS,
    "SparseMatrixNode": {f"scipy.sparse._csr.csr_{what}" for what in ("matrix", "array")},
    "TypeNode": _NUMBERS | {"builtins.str", "builtins.int", "builtins.float", "builtins.bool"},
    "RandomStateNode": {"numpy.random.mtrand.RandomState"},
    "DictNode": {"builtins.dict"},
    "ListNode": {"builtins.list"},
    "TupleNode": {"builtins.tuple"},
    "SetNode": {"builtins.set"},
    "JsonNode": {"builtins.str", "builtins.int", "builtins.float", "builtins.bool", "builtins.NoneType"},
    "CachedNode": set(),
}
"""Loader of skops → the types that it may make."""


def load(path: Path, trust_pickle: bool = False) -> Any:
    """Return the object in a .skops file, or in a pickle where ``trust_pickle`` is set.

    Raises UsageError for a pickle without that, for another kind of file and for a missing library; ModelError for a
    file that is damaged or holds what is not on the list.
    """
    if path.suffix in PICKLES:
        return _unpickled(path, trust_pickle)
    if path.suffix != ".skops":
        raise UsageError(f"{path} is not a .skops, {', '.join(PICKLES)} file", "write it with skops.io.dump")
    try:
        from skops.io import load as construct
    except ImportError:
        raise UsageError("skops is not installed", "pip install 'duckprop[sklearn]'") from None
    with _opened(path) as file:
        found = _checked(path, file)
        file.seek(0)
        try:
            return construct(file, trusted=sorted(found))
        except Exception as error:  # skops and scikit-learn raise whatever a damaged tree leads them to
            raise _damaged(path, error) from None


def _unpickled(path: Path, is_trusted: bool) -> Any:
    if not is_trusted:
        fact = f"{path} is a pickle: reading it runs code from the file, with all rights that you have"
        remedy = (
            "pass --trust-pickle (trust_pickle=True) only if you made the file yourself or trust whoever did; "
            "else ask for a .skops file, or import the estimator in Python with from_estimator"
        )
        raise UsageError(fact, remedy)
    try:
        import joblib
    except ImportError:
        raise UsageError("scikit-learn is not installed", "pip install 'duckprop[sklearn]'") from None
    with _opened(path) as file:
        try:
            return joblib.load(file)
        except Exception as error:  # a pickle raises whatever it is told to
            raise _damaged(path, error) from None


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}", "name a file that exists") from None


def _damaged(path: Path, why: object) -> ModelError:
    text = f"{type(why).__name__}: {why}" if isinstance(why, Exception) else str(why)
    return ModelError(f"{path} is damaged: {' '.join(text.split())[:200]}", _AGAIN)


def _checked(path: Path, file: IO[bytes]) -> set[str]:
    """Return the types in an archive. Raises ModelError where one is not allowed or a size is out of proportion."""
    most = _PROPORTION * max(file.seek(0, io.SEEK_END), _MEBIBYTE)
    try:
        with zipfile.ZipFile(file) as archive:
            sizes = _members(archive, most)
            nodes = list(_nodes(json.loads(archive.read("schema.json"))))
    except ModelError:
        raise
    except (*_ZIP_ERRORS, RecursionError) as error:
        raise _damaged(path, error) from None
    read = {(str(node.get("__id__", at)), str(node.get("file"))) for at, node in enumerate(nodes) if "file" in node}
    if sum(sizes.get(name, 0) for _, name in read) > most:  # a member that is read many times takes memory each time
        raise _damaged(path, "its arrays are out of all proportion to the file")
    return {_allowed(path, node) for node in nodes}


def _allowed(path: Path, node: dict[str, Any]) -> str:
    loader, name = str(node["__loader__"]), f"{node.get('__module__')}.{node.get('__class__')}"
    if loader != "CachedNode" and name not in _ALLOWED.get(loader, ()):
        remedy = "give a classifier of scikit-learn that duckprop imports, or import it in Python with from_estimator"
        raise ModelError(f"{path} holds '{name[:100]}' ({loader[:40]}), which is not loaded", remedy)
    return name


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield every node of a schema; without recursion, whose depth the file would choose."""
    waiting = [tree]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            if "__loader__" in found:
                yield found
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)


def _members(archive: zipfile.ZipFile, most: int) -> dict[str, int]:
    """Return {name: bytes that it takes} of an archive's members. Raises ValueError where they claim too many."""
    infos = archive.infolist()
    sizes = {info.filename: info.file_size for info in infos}
    if len(sizes) != len(infos) or len(infos) > _MOST_MEMBERS or sum(sizes.values()) > most:
        raise ValueError(f"{len(infos)} members with {len(sizes)} names, {sum(sizes.values())} bytes in all")
    for info in infos:
        if info.filename.endswith(".npy"):
            with archive.open(info) as file:
                _check_array(file, info)
        elif info.filename.endswith(".npz"):
            with zipfile.ZipFile(io.BytesIO(archive.read(info))) as inner:
                if any(name.endswith(".npz") for name in inner.namelist()):
                    raise ValueError(f"'{info.filename}' holds archives")
                sizes[info.filename] = sum(_members(inner, most).values())
    if sum(sizes.values()) > most:
        raise ValueError(f"its arrays take {sum(sizes.values())} bytes")
    return sizes


def _check_array(file: IO[bytes], info: zipfile.ZipInfo) -> None:
    """Raise ValueError where an array's header does not fit its member's size."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"'{info.filename}' is of version {version}")
    shape, _, dtype = _HEADERS[version](file)
    left = info.file_size - file.tell()
    if dtype.hasobject or not dtype.itemsize or math.prod(shape) * dtype.itemsize != left or min(shape, default=1) < 0:
        raise ValueError(f"'{info.filename}' claims shape {shape} of {dtype} in {left} bytes")


_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    NotImplementedError,
    EOFError,
    KeyError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)
