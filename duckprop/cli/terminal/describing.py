r"""What there is: relations, functions, models, categories; the commands that begin with ``\d``, and ``\h``."""

import textwrap
from fnmatch import fnmatchcase
from shutil import get_terminal_size
from typing import TYPE_CHECKING

from duckprop.cli.terminal.completion import shortened
from duckprop.cli.terminal.names import Function
from duckprop.cli.terminal.screen import amount
from duckprop.cli.terminal.watching import watched
from duckprop.errors import DataError, UsageError, did_you_mean
from duckprop.manual import manual
from duckprop.relation import as_query, columns_of, literal

if TYPE_CHECKING:
    from duckprop.cli.terminal.desk import Desk


def relations(desk: "Desk", name: str) -> None:
    """List tables and views, or the columns of one."""
    if name:
        _relation(desk, name)
        return
    found = desk.names.relations.values()
    rows = [(one.name, "view" if one.is_view else "table", ", ".join(one.columns)) for one in found]
    desk.screen.show_table(("name", "kind", "columns"), rows)


def _relation(desk: "Desk", name: str) -> None:
    function = desk.names.functions.get(name.casefold())
    if function and name.casefold() not in desk.names.relations:
        raise UsageError(f"{name} is a function", f"\\h {name} says what it does")
    try:
        columns = columns_of(desk.con, name, name)
    except DataError:
        known = list(desk.names.relations)
        raise DataError(f"there is no table or view {name}{did_you_mean(name, known)}", "\\d lists them all") from None
    desk.screen.show_table(("column", "type"), [(column, shortened(kind)) for column, kind in columns.items()])
    with watched(desk.con):
        count = desk.con.execute(f"SELECT count(*) FROM ({as_query(name)})").fetchall()[0][0]
    desk.screen.page([amount(count)])


def functions(desk: "Desk", pattern: str) -> None:
    """List our functions with what they are for; a pattern finds others too."""
    found = [one for one in desk.names.ours if not pattern or _fits(one, pattern)]
    if pattern:
        found += [one for one in desk.names.functions.values() if not one.is_ours and _fits(one, pattern)]
    if not found:
        raise UsageError(f"no function fits {pattern}", "\\df lists ours; * stands for anything")
    desk.screen.show_table(("function", "what it gives"), [(one.signature, _line(one.comment)) for one in found])


def _fits(function: Function, pattern: str) -> bool:
    wanted = pattern.casefold()
    return fnmatchcase(function.name.casefold(), wanted if "*" in wanted else f"*{wanted}*")


def _line(text: str) -> str:
    return " ".join(text.split())


def function(desk: "Desk", name: str) -> None:
    """Print what there is to know about a function."""
    if not name:
        raise UsageError("no function is named", "\\df lists ours, \\h propensity tells about one")
    wanted = name.casefold().removesuffix("()").rpartition(".")[2]
    found = desk.names.functions.get(wanted)
    if not found:
        near = did_you_mean(wanted, [one.name for one in desk.names.ours]) or did_you_mean(
            wanted, list(desk.names.functions)
        )
        raise UsageError(f"there is no function {name}{near}", "\\df lists ours")
    ours = manual().get(found.name) if found.is_ours else None
    more = [ours.details, "Example:", "\n".join(f"  {line}" for line in ours.example.split("\n"))] if ours else []
    desk.screen.page(_wrapped([found.signature, found.comment, *more]))


def _wrapped(parts: list[str]) -> list[str]:
    width = min(get_terminal_size().columns, 100)
    lines: list[str] = []
    for part in filter(None, parts):
        for line in part.split("\n"):
            lines += textwrap.wrap(line, width, subsequent_indent=" " * (len(line) - len(line.lstrip()))) or [""]
        lines.append("")
    return lines[:-1]


def models(desk: "Desk", _: str) -> None:
    """List the models, every version a row."""
    desk.run(
        """SELECT model, array_to_string(aliases, ', ') AS aliases, categories, features, left(created, 10) AS trained,
                  round(macro_auc, 4) AS macro_auc, round(log_loss, 4) AS log_loss FROM propensity_models()"""
    )


def categories(desk: "Desk", model: str) -> None:
    """List the categories of a model with their base rates, the commonest first."""
    asked = literal(model.strip("'")) if model else ""
    desk.run(
        f"""SELECT category, round(base_rate, 4) AS base_rate FROM propensity_categories({asked})
            ORDER BY base_rate DESC, category"""
    )
