r"""Commands that are no SQL: a backslash, a name, perhaps an argument. ``\?`` lists them."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from duckprop.cli.files import text_form
from duckprop.cli.output import Format
from duckprop.cli.progress import say
from duckprop.cli.terminal import describing
from duckprop.cli.terminal.desk import Desk, Leave
from duckprop.errors import DataError, UsageError, did_you_mean

ON_OFF = ("on", "off")


@dataclass(frozen=True)
class Command:
    """A command. argument: how the help writes it. choices: what it can be, or what kind of name: 'relation' and so on.

    aliases: other names, those of the DuckDB shell among them.
    """

    name: str
    help: str
    act: Callable[[Desk, str], None]
    argument: str = ""
    choices: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


def is_command(text: str) -> bool:
    r"""Return whether a line is a command: ``\d``, ``.tables``, or the words that people leave with."""
    return bool(re.match(r"\s*(\\|\.[a-z?])", text)) or text.strip().casefold().rstrip(";") in ("quit", "exit", "help")


def perform(desk: Desk, text: str) -> None:
    """Do what a command says. Raises UsageError for one that does not exist, Leave where the session is to end."""
    name, _, argument = text.strip().partition(" ")
    find(name).act(desk, argument.strip().rstrip(";").strip())


def find(name: str) -> Command:
    """Return the command of a name or an alias."""
    known = {other: command for command in COMMANDS for other in (command.name, *command.aliases)}
    written = name.rstrip(";")
    if written not in known:
        raise UsageError(f"there is no command {written}{did_you_mean(written, list(known))}", "\\? lists them all")
    return known[written]


# --- what they do ----------------------------------------------------------------------------------------------------


def _help(desk: Desk, _: str) -> None:
    desk.screen.page(help_lines())


def help_lines() -> list[str]:
    """Return the list of all commands, and the keys."""
    calls = [f"{command.name} {command.argument}".rstrip() for command in COMMANDS]
    widest = max(map(len, calls))
    listed = [f"  {call:<{widest}}  {command.help}" for call, command in zip(calls, COMMANDS, strict=True)]
    return ["SQL ends with a semicolon and may go over several lines.", "", *listed, "", *_KEYS]


_KEYS = [
    "  Tab     complete; Tab and the arrows choose",
    "  Up      earlier statements; Ctrl-R searches in them; Right takes the grey suggestion",
    "  Ctrl-C  drop what is typed, or stop the statement that runs",
    "  Ctrl-D  leave",
]


def _switch(name: str) -> Callable[[Desk, str], None]:
    def act(desk: Desk, argument: str) -> None:
        if argument not in ("", *ON_OFF):
            raise UsageError(f"'{argument}' is neither on nor off", f"give \\{name} on or \\{name} off")
        attribute = "expanded" if name == "x" else name
        value = not getattr(desk.screen, attribute) if not argument else argument == "on"
        setattr(desk.screen, attribute, value)
        say(f"{attribute} is {'on' if value else 'off'}")

    return act


def _form(desk: Desk, argument: str) -> None:
    forms = tuple(Format)
    if argument and argument not in forms:
        raise UsageError(
            f"there is no format '{argument}'{did_you_mean(argument, forms)}", f"the formats are {', '.join(forms)}"
        )
    desk.screen.form = Format(argument) if argument else desk.screen.form
    say(f"format is {desk.screen.form}")


def _output(desk: Desk, argument: str) -> None:
    if not argument:
        desk.screen.target = None
        say("results go to the screen")
        return
    path = Path(argument).expanduser()
    text_form(path)
    if not path.parent.is_dir():
        raise UsageError(f"the folder {path.parent} does not exist", "make it first, or write somewhere else")
    desk.screen.target, desk.screen.written = path, 0
    say(f"results go to {path}, further ones beside it with a number; \\o brings them back to the screen")


def _input(desk: Desk, argument: str) -> None:
    if not argument:
        raise UsageError("no file is named", "give \\i FILE")
    path = Path(argument).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text", "save it as UTF-8") from None
    desk.run(text)


def _leave(_desk: Desk, _argument: str) -> None:
    raise Leave


COMMANDS = (
    Command("\\d", "tables and views, or the columns of one", describing.relations, "[NAME]", ("relation",),
            (".tables", ".schema")),
    Command("\\df", "our functions; a pattern such as *topk* also finds DuckDB's", describing.functions, "[PATTERN]",
            ("function",)),
    Command("\\h", "help on a function", describing.function, "NAME", ("function",)),
    Command("\\dm", "models", describing.models),
    Command("\\dc", "categories of a model, the commonest first", describing.categories, "[MODEL]", ("model",)),
    Command("\\format", "how results are printed", _form, "table|csv|json|markdown", tuple(Format), (".mode",)),
    Command("\\x", "a column a line instead of a row a line", _switch("x"), "on|off", ON_OFF),
    Command("\\timing", "say how long a statement took", _switch("timing"), "on|off", ON_OFF, (".timer",)),
    Command("\\pager", "long results go through a pager", _switch("pager"), "on|off", ON_OFF),
    Command("\\o", "results go to a file: .csv, .json, .md or .parquet", _output, "[FILE]", ("path",), (".output",)),
    Command("\\i", "run the SQL in a file", _input, "FILE", ("path",), (".read",)),
    Command("\\?", "this list", _help, "", (), (".help", "\\help", "help")),
    Command("\\q", "leave", _leave, "", (), (".quit", ".exit", "quit", "exit")),
)  # fmt: skip


def names() -> Iterable[tuple[str, str]]:
    """Return (name, help) of all commands."""
    return ((command.name, command.help) for command in COMMANDS)
