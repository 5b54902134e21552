"""A foreign model → a bundle → a Model."""

import hashlib
import tempfile
import weakref
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shutil import rmtree
from typing import Any

import duckprop
from duckprop import bundle
from duckprop.compiled import CompiledScorer
from duckprop.engine import Scorer
from duckprop.errors import UsageError
from duckprop.formats.artefact import Artefact
from duckprop.formats.mxnet_write import write_checkpoint
from duckprop.importing.mxnet import find
from duckprop.importing.proof import check_probabilities, compare_with_mxnet, compare_with_source
from duckprop.importing.sources import Wishes, opened, origin_of, read, read_object
from duckprop.model import Model
from duckprop.mxnet_engine import MXNetScorer
from duckprop.vocabulary import Vocabulary

_LIBRARIES = ("duckprop", "mxnet", "numpy", "scipy", "torch", "onnxruntime", "scikit-learn")


def import_model(  # noqa: PLR0913  # keywords, one for each thing that only the caller can know
    source: Any,
    *,
    origin: str | None = None,
    categories: Sequence[str] | None = None,
    features: Sequence[str] | None = None,
    positive_column: int | None = None,
    output: str | None = None,
    description: str | Sequence[Any] | None = None,
    padding: int | None = None,
    trust_pickle: bool = False,
    tolerance: float | None = None,
    outcome: str | None = None,
    folder: str | Path | None = None,
) -> Model:
    """Import a model that was made elsewhere, prove it against its source on 1,000 sparse rows, and return it.

    source: a path, a scikit-learn classifier or a PyTorch module. Paths: an MXNet checkpoint (folder/prefix), PyTorch
    (.pt, .pt2, .safetensors), .onnx, scikit-learn (.skops), fastText (.bin), a duckprop bundle, or a .zip or .tar.gz of
    a checkpoint or bundle. origin: one of ``sources.ORIGINS`` where the path does not tell.
    categories: N names in the order of the model's outputs; needed where the source has none. features: F names in the
    order of its inputs; without them and without the source's own, features are column numbers.
    positive_column: which class of a head is the propensity; must be stated where heads have several classes.
    output: 'sigmoid' or 'softmax' where it ends in plain logits. description: the layers of a PyTorch state dict.
    padding: of an ONNX graph that takes lists of ids without values, the id that fills them up.
    trust_pickle: allow formats that run code from the file while it is read. tolerance: largest difference of a
    propensity from the source's that is accepted, 1e-6 unless it is given, 1e-3 for float16. outcome: what the
    propensities are of, for the card. folder: where the bundle goes; without it, a temporary one: publish it.
    Raises UsageError, ModelError or DataError that say what to change; then nothing is left behind.
    """
    wishes = Wishes(
        _names(categories, "category"),
        _names(features, "feature"),
        positive_column,
        output,
        description=description,
        padding=padding,
        trust_pickle=trust_pickle,
        tolerance=tolerance,
    )
    if not isinstance(source, str | Path):
        about = {"object": type(source).__name__, "outcome": outcome}
        return _finished(read_object(source, wishes), wishes, about, folder=folder)
    path = Path(source).expanduser()
    with opened(path) as place:
        kind = origin_of(place, origin)
        if kind == "bundle":
            return _taken_over(place, folder)
        about = {"outcome": outcome, "file": path.name, **_files_of(kind, place)}
        return _finished(read(kind, place, wishes), wishes, about, folder=folder)


def _names(names: Sequence[str] | None, what: str) -> tuple[str, ...] | None:
    if names is None:
        return None
    found = tuple(str(name) for name in names)
    twice = next((name for place, name in enumerate(found) if name in found[:place]), None) if len(set(found)) < len(
        found
    ) else None  # fmt: skip
    if not found or "" in found or twice is not None:
        fact = f"{what} '{twice}' is named twice" if twice is not None else f"there is an empty {what} name, or none"
        raise UsageError(fact, f"give every {what} its own name")
    return found


def _files_of(kind: str, path: Path) -> dict[str, Any]:
    """Return SHA-256 of the files that a model is read from, for the card."""
    files = [path]
    if kind == "mxnet":
        checkpoint = find(path)
        files = [checkpoint.folder / f"{checkpoint.prefix}-symbol.json", checkpoint.params]
    if not all(file.is_file() for file in files):
        raise UsageError(f"there is no file {path}", "give the path of a model, as duckprop import --help says")
    return {"files": {file.name: _sha256(file) for file in files}}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _target(folder: str | Path | None) -> tuple[Path, Callable[[Model], Model]]:
    """Return where the bundle goes, and what makes a temporary place go with the model."""
    if folder is not None:
        return Path(folder), lambda model: model
    temporary = tempfile.mkdtemp(prefix="duckprop-")

    def keep(model: Model) -> Model:
        weakref.finalize(model, rmtree, temporary, ignore_errors=True)
        return model

    return Path(temporary, "bundle"), keep


def _taken_over(place: Path, folder: str | Path | None) -> Model:
    """Return a bundle that was handed over, copied and checked."""
    target, keep = _target(folder)
    with bundle.new_folder(target) as into:
        bundle.copy_files(place, into)
        bundle.check_hashes(into, bundle.read_card(into))
    return keep(Model(target))


def _finished(artefact: Artefact, wishes: Wishes, about: dict[str, Any], *, folder: str | Path | None) -> Model:
    width, heads, classes = artefact.sizes
    categories = wishes.categories or artefact.categories
    if categories is None or len(categories) != heads:
        found = "no names" if categories is None else f"{len(categories)} names"
        raise UsageError(
            f"the model has {heads} categories, and there are {found} for them",
            "name them in the order of its outputs: --categories FILE, one name a line",
        )
    if wishes.categories and artefact.categories and tuple(wishes.categories) != tuple(artefact.categories):
        about["renamed_from"] = list(artefact.categories)
    names = wishes.features or artefact.features
    if names is not None and len(names) != width:
        raise UsageError(
            f"the model has {width} features, {len(names)} are named", "name all, in the order of its inputs"
        )
    target, keep = _target(folder)
    if target.exists():
        raise UsageError(f"{target} exists", "give a folder that does not exist")
    with bundle.new_folder(target) as into:
        prefix = str(into / bundle.PREFIX)
        if artefact.write is not None:
            artefact.write(into, bundle.PREFIX)
        elif artefact.network is not None:
            write_checkpoint(artefact.network, into, bundle.PREFIX, artefact.positive)
        if names:
            Vocabulary(names).write(into / bundle.VOCABULARY)
        shape = heads, max(classes, 2)
        scorer: Scorer = (
            MXNetScorer(prefix, width, shape, artefact.positive)
            if artefact.network is None
            else CompiledScorer(artefact.network, artefact.positive)
        )
        if artefact.network is None:
            check_probabilities(scorer)
        proof = compare_with_source(artefact, scorer, wishes.tolerance)
        mxnet = compare_with_mxnet(prefix, scorer, shape, artefact.positive)
        card = _card(artefact, categories, is_named=bool(names), about=about)
        bundle.write_card(into, card | {"verified": proof, "mxnet": mxnet})
    return keep(Model(target))


def _card(artefact: Artefact, categories: Sequence[str], *, is_named: bool, about: dict[str, Any]) -> dict[str, Any]:
    width, _, classes = artefact.sizes
    count = max(classes, 2)
    names = ["yes" if number == artefact.positive else "no" for number in range(2)]
    if count > 2:
        names = ["yes" if number == artefact.positive else f"class {number}" for number in range(count)]
    outcome = about.pop("outcome")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        "created": now,
        "imported": now,
        "categories": list(categories),
        "classes": names,
        "positive": artefact.positive,
        "features": {"width": width, "named": is_named},
        "preprocessing": "none but what the network itself does",
        "layers": _layers(artefact),
        "outcome": outcome,
        "calibration": None,
        "base_rates": None,
        "engine": "compiled" if artefact.network is not None else "mxnet",
        "not_folded": artefact.not_folded or None,
        "source": {"format": artefact.source, "framework": artefact.framework, **about, **artefact.notes},
        "versions": {name: found for name in _LIBRARIES if (found := _installed(name))},
    }


def _layers(artefact: Artefact) -> list[int]:
    network = artefact.network
    if network is None:
        width, heads, classes = artefact.sizes
        return [width, heads * classes]
    hidden = [len(layer.bias) for layer in (network.first, *network.hidden)]
    return [network.width, *hidden, network.heads * network.classes]


def _installed(name: str) -> str | None:
    if name == "duckprop":
        return duckprop.__version__
    try:
        return version(name)
    except PackageNotFoundError:
        return None
