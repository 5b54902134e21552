"""The completions of prompt_toolkit: SQL or a command, never an error."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document

from duckprop.cli.terminal.commands import COMMANDS, is_command
from duckprop.cli.terminal.completion import Candidate, best, candidates, without_parenthesis
from duckprop.cli.terminal.context import place_of
from duckprop.cli.terminal.desk import Desk

_META = 90
"""Characters of the meta text, at most: the menu is to fit beside what is typed."""


class DeskCompleter(Completer):
    """Completes from what a desk knows. It runs in another thread than the prompt: the desk's names never change."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._paths = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Return what could come next; nothing where anything goes wrong: a prompt must not break."""
        try:
            return list(self._complete(document, complete_event.completion_requested))
        except Exception:
            return []

    def _complete(self, document: Document, is_asked_for: bool) -> Iterator[Completion]:
        text, position = document.text, document.cursor_position
        if is_command(text):
            yield from self._command(document)
            return
        place = place_of(text, position)
        if not place.word and not place.in_string and place.owner is None and not is_asked_for:
            return
        if place.in_string and place.before in ("from", "join"):
            inner = Document(place.word)
            yield from self._paths.get_completions(inner, CompleteEvent())
            return
        found = candidates(text, position, self._desk.names, self._desk.choices)
        yield from _shown(without_parenthesis(found, text[position:]), place.start - position)

    def _command(self, document: Document) -> Iterator[Completion]:
        name, blank, argument = document.text_before_cursor.lstrip().partition(" ")
        if not blank:
            offered = [Candidate(command.name, command.name, command.help) for command in COMMANDS]
            found = [one for one in offered if one.text.startswith(name)]
            yield from _shown(found, -len(name))
            return
        kinds = next((one.choices for one in COMMANDS if name in (one.name, *one.aliases)), ())
        if kinds == ("path",):
            yield from self._paths.get_completions(Document(argument), CompleteEvent())
            return
        yield from _shown(best(argument, self._arguments(kinds)), -len(argument))

    def _arguments(self, kinds: tuple[str, ...]) -> Iterator[Candidate]:
        names = self._desk.names
        match kinds:
            case ("relation",):
                yield from (
                    Candidate(one.name, one.name, "view" if one.is_view else "table")
                    for one in names.relations.values()
                )
            case ("function",):
                for one in (*names.ours, *names.functions.values()):
                    yield Candidate(one.name, one.name, " ".join(one.comment.split()), not one.is_ours)
            case ("model",):
                yield from (Candidate(name, name, what) for name, what in self._desk.choices.references())
            case _:
                yield from (Candidate(kind, kind) for kind in kinds)


def _shown(found: Iterable[Candidate], start: int) -> Iterator[Completion]:
    for one in found:
        meta = one.meta if len(one.meta) <= _META else one.meta[: _META - 1] + "…"
        yield Completion(one.text, start, display=one.name, display_meta=meta)


def history_file() -> Path:
    """Return where statements are remembered, for this user."""
    import platformdirs

    return platformdirs.user_state_path("duckprop") / "sql-history"
