"""The models that the SQL functions of one database see: where they are, which is the default, which engine."""

import threading
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from duckprop.bundle import CARD, read_card
from duckprop.engine import Scorer
from duckprop.model import Model
from duckprop.registry import Registry, Version, changes

_loaded: dict[tuple[Path, int], Model] = {}
_lock = threading.Lock()
_VALID = 0.01


@dataclass
class Models:
    """registry: a folder, or None for the usual one. default: a reference, or None for the only model there is."""

    registry: Registry = field(default_factory=Registry)
    default: str | None = None
    engine: str = "compiled"
    _known: dict[str | None, tuple[tuple[int, int], Model]] = field(default_factory=dict, repr=False, compare=False)

    def get(self, reference: str | None) -> Model:
        """Return the model that a reference names, loading it once a process. Raises ModelError.

        Looked up at most once in _VALID seconds: a query asks for every 2,048 rows. What this process publishes or
        promotes is seen at once.
        """
        wanted = self.default if reference is None else reference
        moment = changes(), int(monotonic() / _VALID)
        then, model = self._known.get(wanted, (None, None))
        if model is None or then != moment:
            model = _load(self.registry.only() if wanted is None else self.registry.resolve(wanted))
            self._known[wanted] = moment, model
        return model

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
