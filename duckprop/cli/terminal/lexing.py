"""SQL text → tokens: enough to tell strings, names and comments apart while somebody is still typing."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a token is. QUOTED is a name in double quotes."""

    COMMENT = "comment"
    STRING = "string"
    QUOTED = "quoted"
    NUMBER = "number"
    WORD = "word"
    SYMBOL = "symbol"


_TOKEN = re.compile(
    r"""
    (?P<comment>--[^\n]*(?P<line>\n)? | /\*.*?(?P<block>\*/|\Z))
  | (?P<string>
        [eE]'(?:[^'\\]|\\.|'')*(?P<escaped>')?
      | '(?:[^']|'')*(?P<plain>')?
      | \$(?P<tag>[^\W\d]?\w*)\$.*?(?P<dollar>\$(?P=tag)\$|\Z))
  | (?P<quoted>"(?:[^"]|"")*(?P<double>")?)
  | (?P<number>\d[\w.]*)
  | (?P<word>[^\W\d][\w$]*)
  | (?P<symbol>:=|=>|->>?|::|<=|>=|<>|!=|\|\||\S)
    """,
    re.VERBOSE | re.DOTALL,
)
_ENDS = ("line", "block", "escaped", "plain", "dollar", "double")


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of SQL and where it begins; ``is_open`` where its closing quote or end of comment is not there yet."""

    kind: Kind
    text: str
    start: int
    is_open: bool = False

    @property
    def end(self) -> int:
        """The position behind it."""
        return self.start + len(self.text)

    @property
    def folded(self) -> str:
        """The text as DuckDB compares words and symbols."""
        return self.text.casefold() if self.kind is Kind.WORD else self.text

    @property
    def name(self) -> str:
        """A name or string without its quotes."""
        match self.kind:
            case Kind.QUOTED:
                return self.text.strip('"').replace('""', '"')
            case Kind.STRING:
                body = self.text[1:] if self.is_open else self.text[1:-1]
                return body.replace("''", "'")
        return self.text


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens of a text; blanks between them are left out. Any text has tokens, wrong SQL too."""
    for found in _TOKEN.finditer(text):
        kind = Kind(next(name for name in Kind if found[name] is not None))
        quoted = kind in (Kind.COMMENT, Kind.STRING, Kind.QUOTED)
        yield Token(kind, found[0], found.start(), quoted and not any(found[end] for end in _ENDS))


def is_complete(text: str) -> bool:
    """Return whether a text is ready to run: its last statement ends with a semicolon, and nothing is left open."""
    found = [token for token in tokens(text) if token.kind is not Kind.COMMENT or token.is_open]
    if found and found[-1].kind is Kind.COMMENT and found[-1].text.startswith("--"):
        found.pop()
    return not found or (found[-1].text == ";" and not found[-1].is_open)


def statement_at(text: str, position: int) -> tuple[list[Token], int]:
    """Return the tokens of the statement that a position lies in, and how many of them begin before it."""
    found = list(tokens(text))
    begin = max((at + 1 for at, token in enumerate(found) if token.text == ";" and token.end <= position), default=0)
    end = next((at for at in range(begin, len(found)) if found[at].text == ";"), len(found))
    statement = found[begin:end]
    return statement, sum(token.start < position for token in statement)
