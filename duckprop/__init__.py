"""duckprop: propensity scores from sparse features, as SQL functions in DuckDB.

``duckprop.connect()`` opens a DuckDB connection with the functions registered, ``duckprop.register(con)`` adds them to
one you have, ``duckprop.load("name")`` reads a model, ``duckprop.train(...)`` makes one, ``duckprop.import_model(...)``
takes one that was made elsewhere. Importing this package loads none of DuckDB, MXNet, Typer or matplotlib: each arrives
with the first call that needs it.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duckprop.catalog import connect, register
    from duckprop.dataset import Columns
    from duckprop.importing import import_model
    from duckprop.model import Model, load
    from duckprop.training import Settings, train

__version__ = "0.1.0"
__all__ = ["Columns", "Model", "Settings", "connect", "import_model", "load", "register", "train"]

_HOME = {
    "Columns": "dataset",
    "Model": "model",
    "Settings": "training.settings",
    "connect": "catalog",
    "import_model": "importing",
    "load": "model",
    "register": "catalog",
    "train": "training",
}

# udfs/, sql/ and benchmarks/ lie beside this folder in a checkout and inside it when installed.
if not Path(__path__[0], "udfs").is_dir():
    __path__.append(str(Path(__path__[0]).parent))


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'duckprop' has no attribute {name!r}")
    return getattr(import_module(f"duckprop.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
