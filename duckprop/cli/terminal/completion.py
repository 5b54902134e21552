"""What could come next in a statement: names, arguments, models and categories, the likeliest first."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from heapq import nsmallest

from duckprop.cli.terminal.choices import Choices
from duckprop.cli.terminal.context import BEFORE_RELATION, Call, Place, place_of
from duckprop.cli.terminal.names import Function, Names, Relation, quoted
from duckprop.relation import literal

_SHOWN = 300
_CATEGORY = frozenset({"category", "categories", "exclude"})
_COLUMN = frozenset({"id", "ids", "features", "time", "item", "value", "split"})
_RELATION = frozenset(
    {"rel", "relation", "scored", "outcomes", "baseline", "events", "features_rel", "labels_rel", "vocabulary"}
)


@dataclass(frozen=True)
class Candidate:
    """text: what is inserted in place of what was typed. name: what is shown and compared. meta: what it is.

    group: 0 for what fits best here. Fits are sorted by how they match first, by group then.
    """

    text: str
    name: str
    meta: str = ""
    group: int = 0


def candidates(text: str, position: int, names: Names, choices: Choices) -> list[Candidate]:
    """Return what could stand at a position of a text, best first, at most a few hundred."""
    place = place_of(text, position)
    if place.in_comment:
        return []
    if place.in_string:
        return best(place.word, _in_string(place, names, choices, text[position : position + 1] == "'"))
    if place.owner is not None:
        return best(place.word, _members(place, names))
    return best(place.word, _words(place, names))


def best(word: str, offered: Iterable[Candidate]) -> list[Candidate]:
    """Return those that match what was typed: at their beginning, then at that of a part, then anywhere."""
    typed = word.casefold()
    ranked = (
        (rank, candidate.group, at, candidate)
        for at, candidate in enumerate(offered)
        if (rank := _rank(typed, candidate.name.casefold())) is not None
    )
    found: dict[str, Candidate] = {}
    for *_, candidate in nsmallest(_SHOWN, ranked, key=lambda one: one[:3]):
        found.setdefault(candidate.text, candidate)
    is_done = [text.casefold() for text in found] == [typed]
    return [] if is_done else list(found.values())


def _rank(typed: str, name: str) -> int | None:
    if name.startswith(typed):
        return 0
    if re.search(rf"[\W_]{re.escape(typed)}", name):
        return 1
    return 2 if len(typed) >= 2 and typed in name else None


# --- in a string -----------------------------------------------------------------------------------------------------


def _in_string(place: Place, names: Names, choices: Choices, has_end: bool) -> Iterator[Candidate]:
    """Yield what a string can be here, quoted; ``has_end``: the closing quote is there already."""
    for name, meta in _values(place, names, choices):
        text = literal(name)
        yield Candidate(text[:-1] if has_end else text, name, meta)


def _values(place: Place, names: Names, choices: Choices) -> Iterable[tuple[str, str]]:
    call = place.call
    parameter, function = _parameter(call, names) if call else ("", None)
    if place.before == "=" and place.left in ("category", "propensity_model"):
        parameter = {"category": "category", "propensity_model": "model"}[place.left]
    if function and function.is_table and parameter in _columns_of(function):
        return _columns(place, names).items()
    if parameter in _CATEGORY:
        return ((name, _rate(rate)) for name, rate in choices.categories(call.model if call else None))
    if parameter == "model":
        return choices.references()
    if parameter in _RELATION:
        return ((one.name, "view" if one.is_view else "table") for one in names.relations.values())
    return ()


def _columns_of(function: Function) -> frozenset[str]:
    """Return its arguments that are names of columns; training is told the column of the categories, not a category."""
    return _COLUMN | {"category"} if "labels_rel" in function.parameters else _COLUMN


def _parameter(call: Call, names: Names) -> tuple[str, Function | None]:
    """Return the name of the argument that the cursor is in, and the function; ``x.f(y)`` gives f the x first."""
    function = names.functions.get(call.function)
    if call.named or not function:
        return call.named or "", function
    is_method = call.owner is not None and call.owner.casefold() not in names.schemas
    at = call.argument + is_method
    return (function.parameters[at] if at < len(function.parameters) else ""), function


def _rate(rate: float | None) -> str:
    return "" if rate is None else f"base rate {rate:.1%}"


# --- outside of strings ----------------------------------------------------------------------------------------------


def _members(place: Place, names: Names) -> Iterator[Candidate]:
    """Yield what can follow a dot: columns of a relation, what a schema holds, functions of a column."""
    owner = (place.owner or "").casefold()
    relation = names.relations.get(place.relations.get(owner, owner).casefold())
    if relation:
        yield from (Candidate(quoted(name), name, shortened(kind)) for name, kind in relation.columns.items())
    elif owner in names.schemas:
        for one in names.relations.values():
            if owner in one.places:
                name = one.name.rpartition(".")[2]
                yield Candidate(name, name, "view" if one.is_view else "table")
    if owner in names.schemas or not relation:
        yield from (_function(one, 1) for one in names.ours)


def _words(place: Place, names: Names) -> Iterator[Candidate]:
    after_from = place.before in BEFORE_RELATION
    here = {} if after_from else _columns(place, names)
    yield from _arguments(place, names)
    yield from (Candidate(quoted(name), name, kind, 1) for name, kind in here.items())
    for relation in names.relations.values():
        yield _relation(relation, 0 if after_from else 4)
    for function in (*names.ours, *names.functions.values()):
        if function.is_table == after_from or not function.is_ours:
            yield _function(function, (2 if function.is_ours else 6) - (function.is_table and after_from))
    if place.before in ("set", "reset", "pragma"):
        yield from (Candidate(name, name, meta or "", 1) for name, meta in names.settings.items())
    is_upper = place.word.isupper() or not place.word
    for keyword in names.keywords:
        yield Candidate(keyword.upper() if is_upper else keyword, keyword, "", 3)
    if not after_from:
        for relation in names.relations.values():
            columns = ((name, kind) for name, kind in relation.columns.items() if name not in here)
            yield from (Candidate(quoted(name), name, f"{kind} in {relation.name}", 5) for name, kind in columns)


def _arguments(place: Place, names: Names) -> Iterator[Candidate]:
    """Yield the arguments that the call around the cursor still takes by name."""
    call = place.calls[-1] if place.calls else None
    function = names.functions.get(call.function) if call else None
    if call and function and function.takes_names and not call.named and not call.brackets:
        by_position = call.argument - len(call.given)
        for parameter in function.parameters[by_position:]:
            if parameter not in call.given and (f"{parameter} :=" in function.signature or not function.is_ours):
                default = re.search(rf"\b{re.escape(parameter)} := ([^,)]+)", function.signature)
                meta = f"argument, {default[1]} where it is left out" if default else "argument"
                yield Candidate(f"{parameter} := ", f"{parameter} :=", meta)


def _columns(place: Place, names: Names) -> dict[str, str]:
    """Return column → type of the relations that the statement names."""
    found: dict[str, str] = {}
    for name in place.relations.values():
        relation = names.relations.get(name.casefold()) or names.relations.get(name.rpartition(".")[2].casefold())
        found |= relation.columns if relation else {}
    return {name: shortened(kind) for name, kind in found.items()}


def shortened(kind: str) -> str:
    """Return a type without what is nested in it: ``STRUCT(…)``."""
    return re.sub(r"^(MAP|STRUCT)\(.*\)", r"\1(…)", kind)


def _relation(relation: Relation, group: int) -> Candidate:
    kind = "view" if relation.is_view else "table"
    return Candidate(relation.name, relation.name, f"{kind}, {len(relation.columns)} columns", group)


def _function(function: Function, group: int) -> Candidate:
    meta = f"{function.signature}: {function.comment}" if function.comment else function.signature
    return Candidate(f"{function.name}(", function.name, " ".join(meta.split()), group)


def without_parenthesis(found: list[Candidate], following: str) -> list[Candidate]:
    """Return the candidates without their ``(`` where one follows already."""
    return [replace(one, text=one.text.removesuffix("(")) for one in found] if following.startswith("(") else found
