"""A model's card: JSON of a known form, held to it before anything on it is believed."""

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from duckprop.errors import DataError, ModelError
from duckprop.plain_files import name_fault

FORMAT = 1
CARD = "duckprop.json"
DIGEST = "sha256"
"""The card's own SHA-256, over its other fields. It tells an accident, not a forger: who can write can hash."""
MOST_BYTES = 16 << 20
"""50,000 categories at 300 bytes each. A parsed card may take twenty times its text's memory."""
_MOST_LISTS = 500_000
_DEEPEST = 32
_MOST_FILES = 1000


def serialized(card: dict[str, Any]) -> bytes:
    """Return a card as it is written, with its digest. Raises DataError for one that no duckprop would read."""
    data = json.dumps({**card, DIGEST: digest(card)}, indent=1, allow_nan=False, ensure_ascii=False).encode()
    if len(data) > MOST_BYTES:
        raise DataError(f"the card takes {len(data)} bytes, at most {MOST_BYTES} are read", "name fewer categories")
    return data


def digest(card: dict[str, Any]) -> str:
    """Return the SHA-256 of a card's fields but its digest, in whatever order and spacing they were written."""
    fields = {name: value for name, value in card.items() if name != DIGEST}
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def parsed(path: Path, data: bytes) -> dict[str, Any]:
    """Return the card in a file's bytes without its digest, which a card of an older duckprop lacks.

    Raises ModelError that says what is wrong with it.
    """
    try:
        card = _strict(data)
        found = digest(card) if isinstance(card, dict) else None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read: {error}", AGAIN) from None
    if not isinstance(card, dict) or type(card.get("format")) is not int or card["format"] != FORMAT:
        shown = repr(card.get("format") if isinstance(card, dict) else None)[:60]
        raise ModelError(f"{path} has format {shown}, this duckprop reads {FORMAT}", "use the duckprop that wrote it")
    if card.pop(DIGEST, found) != found:
        raise ModelError(f"{path} is not the card that was written (its SHA-256 differs)", AGAIN)
    missing = _FITS.keys() - card.keys()
    if missing:
        raise ModelError(f"{path} lacks {', '.join(sorted(missing))}", AGAIN)
    wrong = [name for name, fits in _FITS.items() if not fits(card[name])]
    wrong += [] if wrong or _is_rates(card.get("base_rates"), len(card["categories"])) else ["base_rates"]
    if wrong:
        raise ModelError(f"{path} holds under {', '.join(wrong)} what cannot stand there", AGAIN)
    check_names(path, list(card["files"]))
    return card


def check_names(path: Path, names: list[str]) -> None:
    """Raise ModelError for a file's name that leads elsewhere, or that some system would take for another's."""
    for name in names:
        fault = name_fault(name) or ("it is the card's own" if name.casefold() == CARD else None)
        if fault:
            raise ModelError(f"{path} lists a file named {name[:60]!r}: {fault}", AGAIN)
    if len({name.casefold() for name in names}) != len(names):
        raise ModelError(f"{path} lists two files whose names differ only by case", AGAIN)


def _strict(data: bytes) -> Any:
    """Parse JSON. Raises ValueError for what JSON's grammar allows but no card holds."""
    text = data.decode()
    if text.count("[") + text.count("{") > _MOST_LISTS:
        raise ValueError(f"it has more than {_MOST_LISTS} lists and objects")
    value = json.loads(
        text, object_pairs_hook=_object, parse_int=_whole, parse_float=_finite, parse_constant=_no_number
    )
    level = [value]
    for _ in range(_DEEPEST):
        level = [inner for one in level if isinstance(one, list | dict) for inner in _inside(one)]
    if level:
        raise ValueError(f"it is nested more than {_DEEPEST} deep")
    return value


def _inside(value: list[Any] | dict[str, Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _whole(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
        raise ValueError(f"{text[:20]}… is too large for a whole number")
    return int(text)


def _finite(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError(f"{text[:20]} is too large for a number")
    return float(text)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)


def _is_features(value: Any) -> bool:
    return isinstance(value, dict) and type(value.get("width")) is int and isinstance(value.get("named"), bool)


def _is_files(value: Any) -> bool:
    return isinstance(value, dict) and len(value) <= _MOST_FILES and all(_is_file(file) for file in value.values())


def _is_file(value: Any) -> bool:
    if not isinstance(value, dict) or type(value.get("bytes")) is not int or not isinstance(value.get("sha256"), str):
        return False
    return value["bytes"] >= 0 and len(value["sha256"]) == 64 and set(value["sha256"]) <= set("0123456789abcdef")


def _is_rates(value: Any, categories: int) -> bool:
    """Whether these may be the base rates of so many categories; a card may lack them."""
    is_list = isinstance(value, list) and len(value) == categories
    return value is None or (is_list and all(type(rate) in (int, float) and 0 <= rate <= 1 for rate in value))


_FITS: dict[str, Callable[[Any], bool]] = {
    "categories": _is_names,
    "classes": _is_names,
    "positive": lambda value: type(value) is int,
    "features": _is_features,
    "files": _is_files,
}
"""What every card must hold, and what it may be."""

AGAIN = "copy the model again from where it was published, or train it again"
