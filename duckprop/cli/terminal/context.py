"""Where the cursor stands in a statement: in a string or a word, in which argument of which function, after what."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from duckprop.cli.terminal.lexing import Kind, Token, statement_at

BEFORE_RELATION = frozenset({"from", "join", "into", "update", "table", "describe", "summarize", "view"})
_NO_ALIAS = frozenset(
    ("on", "using", "where", "group", "order", "limit", "offset", "having", "qualify", "window", "union", "except",
     "intersect", "join", "left", "right", "inner", "outer", "full", "cross", "natural", "semi", "anti", "asof",
     "positional", "set", "values", "select", "from", "sample", "tablesample", "pivot", "unpivot", "as")
)  # fmt: skip


@dataclass
class Call:
    """An open parenthesis: the function before it, the argument that the cursor is in, and what has been named."""

    function: str
    owner: str | None = None
    argument: int = 0
    named: str | None = None
    given: set[str] = field(default_factory=set)
    brackets: int = 0
    model: str | None = None


@dataclass(frozen=True)
class Place:
    """word: what is being typed, without its quote, from ``start`` on. in_string: it is a string.

    owner: the name before the dot, ``c`` in ``c.age``. before, left: the last word or symbol before it, and the one
    before that, lower case. calls: the parentheses around it, outermost first. relations: name or alias → relation, of
    the whole statement.
    """

    word: str
    start: int
    in_string: bool = False
    in_comment: bool = False
    owner: str | None = None
    before: str = ""
    left: str = ""
    calls: tuple[Call, ...] = ()
    relations: dict[str, str] = field(default_factory=dict)

    @property
    def call(self) -> Call | None:
        """The innermost call of a function."""
        return next((call for call in reversed(self.calls) if call.function), None)


def place_of(text: str, position: int) -> Place:
    """Return where a position lies in a text of one or more statements."""
    statement, count = statement_at(text, position)
    before = statement[:count]
    typed = before[-1] if before and before[-1].end >= position else None
    relations = _relations(statement)
    if typed and typed.kind is Kind.COMMENT and (typed.is_open or typed.end > position):
        return Place("", position, in_comment=True)
    if typed and typed.kind is Kind.STRING and (typed.is_open or typed.end > position):
        word = text[typed.start + 1 : position].replace("''", "'")
        return _place(before[:-1], Place(word, typed.start, in_string=True, relations=relations), statement)
    if typed and typed.kind in (Kind.WORD, Kind.QUOTED):
        word = text[typed.start : position].strip('"')
        return _place(before[:-1], Place(word, typed.start, relations=relations), statement)
    return _place(before, Place("", position, relations=relations), statement)


def _place(before: list[Token], place: Place, statement: list[Token]) -> Place:
    """Add what the tokens before the cursor say."""
    code = [token for token in before if token.kind is not Kind.COMMENT]
    owner = code[-2].name if len(code) >= 2 and code[-1].text == "." else None
    last = [token.folded for token in code[-2:]]
    calls = _calls(code)
    _find_models(calls, [token for token in statement if token.kind is not Kind.COMMENT])
    return replace(
        place, owner=owner, before=(last or [""])[-1], left=last[0] if len(last) == 2 else "", calls=tuple(calls)
    )


def _calls(code: Sequence[Token]) -> list[Call]:
    """Return the parentheses that are open after these tokens."""
    found: list[Call] = []
    for at, token in enumerate(code):
        if token.kind in (Kind.STRING, Kind.QUOTED, Kind.NUMBER):
            continue
        match token.text:
            case "(":
                found.append(_opened(code, at))
            case ")" if found:
                found.pop()
            case "[" if found:
                found[-1].brackets += 1
            case "]" if found:
                found[-1].brackets -= 1
            case "," if found and not found[-1].brackets:
                found[-1].argument += 1
                found[-1].named = None
            case ":=" if found and at and not found[-1].brackets:
                found[-1].named = code[at - 1].name.casefold()
                found[-1].given.add(found[-1].named)
    return found


def _opened(code: Sequence[Token], at: int) -> Call:
    """Return the call that a parenthesis opens; without a name before it, it only groups."""
    if not at or code[at - 1].kind not in (Kind.WORD, Kind.QUOTED):
        return Call("")
    owner = code[at - 3].name if at >= 3 and code[at - 2].text == "." else None
    return Call(code[at - 1].name.casefold(), owner)


def _find_models(calls: list[Call], code: list[Token]) -> None:
    """Set the model that a call names somewhere, before the cursor or behind it."""
    for at, token in enumerate(code[:-2]):
        if token.folded == "model" and code[at + 1].text == ":=" and code[at + 2].kind is Kind.STRING:
            around = _calls(code[:at])
            if around and len(around) <= len(calls) and calls[len(around) - 1].function == around[-1].function:
                calls[len(around) - 1].model = code[at + 2].name


def _relations(statement: list[Token]) -> dict[str, str]:
    """Return name or alias, lower case → name of the relations that a statement reads."""
    code = [token for token in statement if token.kind is not Kind.COMMENT]
    found: dict[str, str] = {}
    at = 0
    while at < len(code):
        follows = code[at].kind is Kind.WORD and code[at].folded in BEFORE_RELATION
        at += 1
        while follows and at < len(code) and _is_name(code[at]):
            at = _read_relation(code, at, found)
            follows = at < len(code) and code[at].text == ","
            at += follows
    return found


def _read_relation(code: list[Token], at: int, found: dict[str, str]) -> int:
    """Note the relation that begins at a token, with its alias; return the position behind it."""
    parts = [code[at].name]
    at += 1
    while at + 1 < len(code) and code[at].text == "." and code[at + 1].kind in (Kind.WORD, Kind.QUOTED):
        parts.append(code[at + 1].name)
        at += 2
    if at + 1 < len(code) and code[at].text == "(":  # a table macro, which is given the relation's name
        if code[at + 1].kind is Kind.STRING:
            found[code[at + 1].name.casefold()] = code[at + 1].name
        return at
    name = ".".join(parts)
    found[parts[-1].casefold()] = name
    if at + 1 < len(code) and code[at].folded == "as":
        at += 1
    if at < len(code) and _is_name(code[at]):
        found[code[at].name.casefold()] = name
        at += 1
    return at


def _is_name(token: Token) -> bool:
    return token.kind is Kind.QUOTED or (token.kind is Kind.WORD and token.folded not in _NO_ALIAS)
