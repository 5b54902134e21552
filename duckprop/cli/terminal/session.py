"""The session: a prompt, what is typed there, what it gives, and the prompt again until somebody leaves."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.filters import Condition, completion_is_selected, has_selection
from prompt_toolkit.formatted_text import AnyFormattedText, StyleAndTextTuples
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

import duckprop
from duckprop.cli.exits import Exit, interruptible
from duckprop.cli.progress import say
from duckprop.cli.terminal.commands import is_command, perform
from duckprop.cli.terminal.completer import DeskCompleter, history_file
from duckprop.cli.terminal.desk import Desk, Leave
from duckprop.cli.terminal.highlighting import STYLE, SqlLexer
from duckprop.cli.terminal.lexing import is_complete

if TYPE_CHECKING:
    from duckprop.cli.output import Format

_PROMPT = "duckprop> "


def open_terminal(con: duckdb.DuckDBPyConnection, label: str, form: "Format") -> None:
    """Talk with somebody on a terminal until they leave; the connection stays open."""
    desk = Desk(con, label)
    desk.screen.form = form
    say(f"duckprop {duckprop.__version__} on DuckDB {duckdb.__version__}. \\? for help, \\q to leave.")
    try:
        Session(desk).talk()
    finally:
        desk.choices.close()


class Session:
    """A prompt on a desk. input, output: prompt_toolkit's, for tests."""

    def __init__(self, desk: Desk, history: History | None = None, **terminal: Any) -> None:
        self._desk = desk
        self._is_ended = False
        self._prompt: PromptSession[str] = PromptSession(
            history=history if history is not None else kept_history(history_file()),
            multiline=True,
            key_bindings=_keys(),
            completer=DeskCompleter(desk),
            complete_in_thread=True,
            complete_while_typing=True,
            auto_suggest=AutoSuggestFromHistory(),
            lexer=SqlLexer(lambda: desk.names),
            style=STYLE,
            include_default_pygments_style=False,
            bottom_toolbar=self._toolbar,
            prompt_continuation=_continuation,
            reserve_space_for_menu=8,
            **terminal,
        )

    def talk(self) -> None:
        """Read and run until somebody leaves; an error is told, and the next prompt comes."""
        with self._ending_on_sigterm():
            while True:
                try:
                    text = self._prompt.prompt([("class:prompt", _PROMPT)])
                except KeyboardInterrupt:  # what was typed is dropped
                    continue
                except EOFError:
                    self._end_if_told()
                    return
                if text.strip():
                    try:
                        self.do(text)
                    except Leave:
                        return
                    self._end_if_told()
                    self._desk.refresh()

    def do(self, text: str) -> None:
        """Run SQL or a command and tell what goes wrong. Raises Leave where the session is to end."""
        try:
            with interruptible(self._desk.con), self._ending_on_sigterm():
                perform(self._desk, text) if is_command(text) else self._desk.run(text)
        except Leave:
            raise
        except (Exception, KeyboardInterrupt) as error:
            self._end_if_told()
            self._desk.screen.tell(error)

    @contextlib.contextmanager
    def _ending_on_sigterm(self) -> Iterator[None]:
        """Let SIGTERM end the session, unlike Ctrl-C, which stops only what runs."""

        def end(_number: int, _frame: Any) -> None:
            self._is_ended = True
            self._desk.con.interrupt()
            app = self._prompt.app
            if app.is_running and app.loop:
                app.loop.call_soon_threadsafe(self._leave_prompt)

        before = signal.signal(signal.SIGTERM, end)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def _leave_prompt(self) -> None:
        with contextlib.suppress(Exception):  # it is being left already
            self._prompt.app.exit(exception=EOFError())

    def _end_if_told(self) -> None:
        if self._is_ended:
            raise SystemExit(Exit.INTERRUPTED) from None

    def _toolbar(self) -> StyleAndTextTuples:
        model = self._desk.choices.default
        parts = [self._desk.label, f"model {model}" if model else "", "\\? help   Tab completes   \\q leaves"]
        return [("", "   ".join(part for part in parts if part))]


def _continuation(width: int, _line: int, _wrapped: int) -> AnyFormattedText:
    return [("class:prompt", "...> ".rjust(width))]


def _keys() -> KeyBindings:
    """Enter runs what is complete and goes on to a new line otherwise; Alt-Enter always runs it."""
    keys = KeyBindings()

    @Condition
    def is_ready() -> bool:
        from prompt_toolkit.application import get_app

        text = get_app().current_buffer.text
        return is_command(text) or is_complete(text)

    @keys.add("enter", filter=is_ready & ~completion_is_selected & ~has_selection)
    def _run(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("enter", filter=completion_is_selected)
    def _take(event: KeyPressEvent) -> None:
        event.current_buffer.complete_state = None

    return keys


class _KeptHistory(FileHistory):
    """A file that can no longer be written is no reason to end a session."""

    def store_string(self, string: str) -> None:
        with contextlib.suppress(OSError):
            super().store_string(string)


def kept_history(path: Path, warn: Callable[[str], None] = say) -> History:
    """Return the history in a file; where it cannot be written, say so and remember this session alone."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8"):
            pass
        path.chmod(0o600)  # statements may hold what others should not read
    except OSError as error:
        warn(f"statements are remembered for this session only: {path}: {error.strerror}")
        return InMemoryHistory()
    return _KeptHistory(str(path))
