"""The models that the SQL functions of one database see: where they are, which is the default, which engine."""

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from weakref import WeakValueDictionary

from duckprop.bundle import CARD, read_card
from duckprop.engine import Scorer
from duckprop.model import Model
from duckprop.registry import Registry, Version, changes

_loaded: WeakValueDictionary[tuple[Path, int | None], Model] = WeakValueDictionary()
_lock = threading.Lock()
_VALID = 0.01
_KEPT = 600.0
"""Seconds after which a model that nobody asks for makes room, when another one is loaded."""
_TRANSACTIONS = 4096
"""So many may run at a time; of those before, nothing is remembered."""


@dataclass
class Models:
    """registry: a folder, or None for the usual one. default: a reference, or None for the only model there is."""

    registry: Registry = field(default_factory=Registry)
    default: str | None = None
    engine: str = "compiled"
    _known: dict[str | None, "_Known"] = field(default_factory=dict, repr=False, compare=False)
    _begun: OrderedDict[int, dict[str | None, str]] = field(default_factory=OrderedDict, repr=False, compare=False)

    def get(self, reference: str | None) -> Model:
        """Return the model that a reference names, loading it once a process. Raises ModelError.

        A name is looked up at most once in _VALID seconds: a query asks for every 2,048 rows. What this process
        publishes or promotes, and a bundle written anew, is seen at once. A version, 'name@3', is looked up once: the
        queries that run go on with it when it is deleted.
        """
        wanted = self.default if reference is None else reference
        moment = changes(), int(monotonic() / _VALID)
        known = self._known.get(wanted)
        if known is None or not known.holds(wanted, moment):
            version = self._resolve(wanted)
            written, model = _load(version)
            self._forget_idle()
            known = self._known[wanted] = _Known(moment, written, model, version.version > 0)
        known.asked = monotonic()
        return known.model

    def version_of(self, reference: str | None, moment: int) -> str:
        """Return 'name@3' for what a reference means in the transaction that began at ``moment``, or a bundle's folder.

        It means the same until the transaction ends, whatever is published or promoted. Raises ModelError.
        """
        wanted = self.default if reference is None else reference
        with _lock:
            begun = self._begun.setdefault(moment, {})
            self._begun.move_to_end(moment)
            while len(self._begun) > _TRANSACTIONS:
                self._begun.popitem(last=False)
        if wanted not in begun:
            begun.setdefault(wanted, _text(self._resolve(wanted)))
        return begun[wanted]

    def scorer(self, model: Model) -> Scorer:
        """Return the engine in use on a model."""
        return model.scorer(self.engine)

    def _resolve(self, wanted: str | None) -> Version:
        return self.registry.only() if wanted is None else self.registry.resolve(wanted)

    def _forget_idle(self) -> None:
        """A service that runs for months sees hundreds of versions: their networks are not kept."""
        for wanted, known in list(self._known.items()):
            if known.asked < monotonic() - _KEPT:
                self._known.pop(wanted, None)


@dataclass
class _Known:
    """What a reference stood for at a moment, when the model's card was written, and when it was last asked for."""

    moment: tuple[int, int]
    written: int | None
    model: Model
    is_version: bool
    asked: float = 0.0

    def holds(self, wanted: str | None, moment: tuple[int, int]) -> bool:
        """Whether the reference still stands for this model."""
        written = _written(self.model.folder)
        if self.is_version and wanted == self.model.reference and written is None:
            return True
        return written == self.written and (moment == self.moment or wanted == self.model.reference)


def _text(version: Version) -> str:
    return version.reference if version.version else str(version.folder)


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
        model = _loaded.get((version.folder, written))
        if model is None:
            model = _loaded[version.folder, written] = Model(version.folder, _text(version))
        return written, model
