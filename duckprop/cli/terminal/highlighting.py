"""SQL in colours while it is typed: DuckDB's own keywords, and our functions apart from the others."""

from collections.abc import Callable

from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.lexers import Lexer
from prompt_toolkit.styles import Style

from duckprop.cli.terminal.commands import is_command
from duckprop.cli.terminal.lexing import Kind, Token, tokens
from duckprop.cli.terminal.names import Names

STYLE = Style.from_dict(
    {
        "prompt": "bold ansicyan",
        "keyword": "bold ansiblue",
        "ours": "bold ansimagenta",
        "function": "ansicyan",
        "string": "ansigreen",
        "number": "ansiyellow",
        "comment": "italic ansibrightblack",
        "command": "bold ansimagenta",
        "auto-suggestion": "ansibrightblack",
        "bottom-toolbar": "noreverse ansibrightblack",
        "bottom-toolbar.text": "noreverse",
        "completion-menu.completion": "bg:#2e3440 #d8dee9",
        "completion-menu.completion.current": "noreverse bg:#88c0d0 #1c2028",
        "completion-menu.meta.completion": "bg:#3b4252 #aab4c4",
        "completion-menu.meta.completion.current": "bg:#81a1c1 #1c2028",
        "scrollbar.background": "bg:#3b4252",
        "scrollbar.button": "bg:#88c0d0",
    }
)
_PLAIN = {Kind.STRING: "class:string", Kind.NUMBER: "class:number", Kind.COMMENT: "class:comment"}


class SqlLexer(Lexer):
    """Colours by ``names()``, which may be other ones at each call."""

    def __init__(self, names: Callable[[], Names]) -> None:
        self._names = names

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        """Return what gives the coloured pieces of a line."""
        if is_command(document.text):
            lines: list[StyleAndTextTuples] = [[("class:command", line)] for line in document.lines]
        else:
            lines = coloured(document.text, self._names())
        return lambda at: lines[at] if at < len(lines) else []


def coloured(text: str, names: Names) -> list[StyleAndTextTuples]:
    """Return the lines of a text as pieces of (style, text)."""
    keywords = frozenset(names.keywords)
    lines: list[StyleAndTextTuples] = [[]]
    behind = 0
    for token in tokens(text):
        _add(lines, "", text[behind : token.start])
        _add(lines, _style(token, text, names, keywords), token.text)
        behind = token.end
    _add(lines, "", text[behind:])
    return lines


def _style(token: Token, text: str, names: Names, keywords: frozenset[str]) -> str:
    if token.kind is not Kind.WORD:
        return _PLAIN.get(token.kind, "")
    function = names.functions.get(token.folded)
    if function and text[token.end : token.end + 1] == "(":
        return "class:ours" if function.is_ours else "class:function"
    return "class:keyword" if token.folded in keywords else ""


def _add(lines: list[StyleAndTextTuples], style: str, text: str) -> None:
    for at, part in enumerate(text.split("\n")):
        if at:
            lines.append([])
        if part:
            lines[-1].append((style, part))
