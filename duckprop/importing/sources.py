"""Which front door a source belongs to."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duckprop.archive import unpacked
from duckprop.card import CARD
from duckprop.errors import UsageError, did_you_mean
from duckprop.formats.artefact import Artefact

ORIGINS = ("mxnet", "torch", "onnx", "sklearn", "fasttext", "bundle")
_SUFFIXES = {
    **dict.fromkeys((".pt", ".pth", ".pt2", ".safetensors"), "torch"),
    ".onnx": "onnx",
    **dict.fromkeys((".skops", ".joblib", ".pkl", ".pickle"), "sklearn"),
    **dict.fromkeys((".bin", ".ftz"), "fasttext"),
}
_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz")


@dataclass(frozen=True)
class Wishes:
    """What the caller says of a model. See ``import_model``."""

    categories: tuple[str, ...] | None = None
    features: tuple[str, ...] | None = None
    positive_column: int | None = None
    output: str | None = None
    description: str | Sequence[Any] | None = None
    padding: int | None = None
    trust_pickle: bool = False
    tolerance: float | None = None

    @property
    def common(self) -> dict[str, Any]:
        """What every front door takes."""
        return {"categories": self.categories, "positive_column": self.positive_column, "output": self.output}

    def require_none_of(self, origin: str, **given: object) -> None:
        """Raise UsageError where something was given that this kind of source has no use for."""
        for name, value in given.items():
            if value not in (None, False):
                raise UsageError(f"--{name.replace('_', '-')} is not for {origin}", "leave it out")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Path]:
    """Yield the path itself, or the folder of what an archive holds."""
    if path.is_file() and path.name.lower().endswith(_ARCHIVES):
        with unpacked(path) as folder:
            yield folder
        return
    yield path


def origin_of(path: Path, stated: str | None) -> str:
    """Return one of ORIGINS. Raises UsageError for an unknown one, and for a path that does not exist."""
    if stated is not None:
        if stated not in ORIGINS:
            known = ", ".join(ORIGINS)
            raise UsageError(f"there is no format '{stated}'{did_you_mean(stated, ORIGINS)}", f"known are {known}")
        return stated
    if path.is_dir() and (path / CARD).exists():
        return "bundle"
    return "mxnet" if path.is_dir() else _SUFFIXES.get(path.suffix.lower(), "mxnet")


def read(origin: str, path: Path, wishes: Wishes) -> Artefact:
    """Return what lies at a path as an artefact of its front door."""
    if origin not in ("torch", "sklearn"):
        wishes.require_none_of(origin, trust_pickle=wishes.trust_pickle)
    if origin != "torch":
        wishes.require_none_of(origin, layers=wishes.description)
    if origin != "onnx":
        wishes.require_none_of(origin, padding=wishes.padding)
    match origin:
        case "torch":
            from duckprop.formats import torch

            more: dict[str, Any] = {"description": wishes.description, "trust_pickle": wishes.trust_pickle}
            return torch.read(path, **wishes.common, **more)
        case "onnx":
            from duckprop.formats import onnx

            return onnx.read(path, **wishes.common, padding=wishes.padding)
        case "sklearn":
            from duckprop.formats import sklearn

            return sklearn.read(path, **wishes.common, trust_pickle=wishes.trust_pickle)
        case "fasttext":
            from duckprop.formats import fasttext

            return fasttext.read(path, **wishes.common)
    from duckprop.importing import mxnet

    return mxnet.read(path, **wishes.common)


def read_object(found: Any, wishes: Wishes) -> Artefact:
    """Return a model that is in memory as an artefact: a scikit-learn classifier or a PyTorch module."""
    given = {"layers": wishes.description, "padding": wishes.padding, "trust_pickle": wishes.trust_pickle}
    wishes.require_none_of("an object", **given)
    reader: Callable[..., Artefact]
    kinds = {base.__module__.partition(".")[0] for base in type(found).__mro__}
    if "sklearn" in kinds:
        from duckprop.formats.sklearn import from_estimator as reader
    elif "torch" in kinds:
        from duckprop.formats.torch import from_module as reader
    else:
        raise UsageError(
            f"a {type(found).__name__} is no model that can be imported",
            "give a path, a scikit-learn classifier or a PyTorch module",
        )
    return reader(found, **wishes.common)
