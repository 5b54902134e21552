"""The models that the SQL functions of one database see: where they are, which is the default, which engine."""

import threading
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from duckprop.bundle import CARD, read_card
from duckprop.engine import Scorer
from duckprop.model import Model
from duckprop.registry import Registry, Version, changes

_loaded: dict[tuple[Path, int | None], Model] = {}
_lock = threading.Lock()
_VALID = 0.01


@dataclass
class Models:
    """registry: a folder, or None for the usual one. default: a reference, or None for the only model there is."""

    registry: Registry = field(default_factory=Registry)
    default: str | None = None
    engine: str = "compiled"
    _known: dict[str | None, "_Known"] = field(default_factory=dict, repr=False, compare=False)

    def get(self, reference: str | None) -> Model:
        """Return the model that a reference names, loading it once a process. Raises ModelError.

        A name is looked up at most once in _VALID seconds: a query asks for every 2,048 rows. What this process
        publishes or promotes, and a bundle written anew, is seen at once.
        """
        wanted = self.default if reference is None else reference
        moment = changes(), int(monotonic() / _VALID)
        known = self._known.get(wanted)
        if known is None or known.moment != moment or _written(known.model.folder) != known.written:
            written, model = _load(self.registry.only() if wanted is None else self.registry.resolve(wanted))
            known = self._known[wanted] = _Known(moment, written, model)
        return known.model

    def scorer(self, model: Model) -> Scorer:
        """Return the engine in use on a model."""
        return model.scorer(self.engine)


@dataclass(frozen=True)
class _Known:
    """What a reference stood for at a moment, and when the model's card was written then."""

    moment: tuple[int, int]
    written: int | None
    model: Model


def _written(folder: Path) -> int | None:
    """Return the time of a bundle's card in nanoseconds, None where there is none."""
    try:
        return (folder / CARD).stat().st_mtime_ns
    except OSError:
        return None


def _load(version: Version) -> tuple[int | None, Model]:
    """A bundle written anew under the same path is another model: its card's time of change tells."""
    written = _written(version.folder)
    if written is None:
        read_card(version.folder)  # says what is missing
    with _lock:
        key = version.folder, written
        if key not in _loaded:
            _loaded[key] = Model(version.folder, version.reference if version.version else str(version.folder))
        return written, _loaded[key]
