"""The models that the SQL functions of one database see: where they are, which is the default, which engine."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

from duckprop.bundle import CARD, read_card
from duckprop.engine import Scorer
from duckprop.model import Model
from duckprop.registry import Registry, Version

_loaded: dict[tuple[Path, int], Model] = {}
_lock = threading.Lock()


@dataclass
class Models:
    """registry: a folder, or None for the usual one. default: a reference, or None for the only model there is."""

    registry: Registry = field(default_factory=Registry)
    default: str | None = None
    engine: str = "compiled"

    def get(self, reference: str | None) -> Model:
        """Return the model that a reference names, loading it once a process. Raises ModelError."""
        wanted = self.default if reference is None else reference
        version = self.registry.only() if wanted is None else self.registry.resolve(wanted)
        return _load(version)

    def scorer(self, model: Model) -> Scorer:
        """Return the engine in use on a model."""
        return model.scorer(self.engine)


def _load(version: Version) -> Model:
    """A bundle written anew under the same path is another model: its card's time of change tells."""
    try:
        key = (version.folder, (version.folder / CARD).stat().st_mtime_ns)
    except OSError:
        read_card(version.folder)  # says what is missing
        raise
    with _lock:
        if key not in _loaded:
            _loaded[key] = Model(version.folder, version.reference if version.version else str(version.folder))
        return _loaded[key]
