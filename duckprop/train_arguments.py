"""What an analyst gives propensity_train → the arguments of duckprop.train, each of them checked."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from duckprop.dataset import Columns
from duckprop.errors import UsageError, did_you_mean
from duckprop.registry import Registry

if TYPE_CHECKING:
    from duckprop.training import Settings


@dataclass(frozen=True)
class Arguments:
    """train: keywords of duckprop.train. search_path, database, schema: where the caller's relations are looked up."""

    name: str
    promote: str | None
    train: Mapping[str, Any]
    search_path: str
    database: str
    schema: str


def read_arguments(given: Mapping[str, Any]) -> Arguments:
    """Check the arguments of one call. Raises UsageError for the first that is wrong, before anything is read."""
    name, promote = _text(given, "name"), _text(given, "promote", optional=True)
    Registry.check_name(name)
    if promote is not None:
        Registry.check_alias(promote)
    columns = {key: _text(given, key) for key in ("features", "category", "split")}
    train = {
        "features": _text(given, "features_rel"),
        "labels": _text(given, "labels_rel"),
        "columns": Columns(_texts(given, "ids"), **columns),
        "vocabulary": _text(given, "vocabulary", optional=True),
        "classes": _texts(given, "classes"),
        "outcome": _text(given, "outcome", optional=True),
        "min_positives": _whole("min_positives", given["min_positives"]),
        "settings": _settings(given["settings"]),
    }
    return Arguments(name, promote, train, given["search_path"], given["database"], given["schema"])


def _text(given: Mapping[str, Any], argument: str, *, optional: bool = False) -> Any:
    value = given[argument]
    if (isinstance(value, str) and value.strip()) or (optional and value is None):
        return value
    shown = "NULL" if value is None else repr(value)
    raise UsageError(f"{argument} is {shown}", f"give {argument} as text{', or leave it out' if optional else ''}")


def _texts(given: Mapping[str, Any], argument: str) -> tuple[str, ...]:
    value = given[argument]
    names = [value] if isinstance(value, str) else value
    if isinstance(names, list) and names and all(isinstance(name, str) and name for name in names):
        return tuple(names)
    shown = "NULL" if value is None else repr(value)
    raise UsageError(f"{argument} is {shown}", f"give {argument} as a list of texts, such as ['id']")


def _settings(given: Any) -> "Settings":
    """Return training settings from a STRUCT, a MAP or NULL; a setting that is NULL stays as it is by default."""
    from duckprop.training.settings import Settings

    kinds = {field.name: type(field.default) for field in fields(Settings)}
    read = {int: _whole, float: _number, tuple: _sizes}
    chosen: dict[str, Any] = {}
    for name, value in _pairs(given):
        if name not in kinds:
            raise UsageError(
                f"there is no setting '{name}'{did_you_mean(name, list(kinds))}", f"use {', '.join(kinds)}"
            )
        if value is not None:
            chosen[name] = read[kinds[name]](name, value)
    return Settings(**chosen)


def _pairs(given: Any) -> list[tuple[str, Any]]:
    try:
        pairs = dict(given or {})
    except (TypeError, ValueError):
        raise UsageError(f"settings is {given!r}", "give a STRUCT or a MAP, such as {'epochs': 5}") from None
    return [(str(name), value) for name, value in pairs.items()]


def _whole(name: str, value: Any) -> int:
    try:
        if not isinstance(value, str | bool) and int(value) == value:
            return int(value)
    except (TypeError, ValueError, ArithmeticError):
        pass
    raise UsageError(f"{name} is {'NULL' if value is None else value}", f"give {name} as a whole number")


def _number(name: str, value: Any) -> float:
    try:
        if not isinstance(value, str | bool):
            return float(value)
    except (TypeError, ValueError):
        pass
    raise UsageError(f"{name} is {value}", f"give {name} as a number")


def _sizes(name: str, value: Any) -> tuple[int, ...]:
    return tuple(_whole(name, size) for size in (value if isinstance(value, list) else [value]))
