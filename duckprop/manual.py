"""What the shipped SQL and Python say about the public functions: the reference page and the terminal's help."""

import inspect
import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from duckprop.sql import MACROS, read
from duckprop.udfs import ALL

_COMMENT = re.compile(r"COMMENT ON MACRO(?: TABLE)? (\w+) IS\s+'((?:[^']|'')*)'")
_MACRO = re.compile(
    r"""(?P<above>(?:^--[^\n]*\n)*)
    ^CREATE[ ]OR[ ]REPLACE[ ]MACRO[ ](?P<name>propensi\w+)(?P<arguments>\((?:[^()]|\([^()]*\))*\))\s+AS\b""",
    re.MULTILINE | re.VERBOSE,
)


class Function(NamedTuple):
    """One public function. summary: its COMMENT. details, example: from above its CREATE, else from its Python."""

    name: str
    signature: str
    summary: str
    details: str
    example: str


def functions(file: str) -> Iterator[Function]:
    """Yield the public functions that one SQL file makes, in its order."""
    text, udfs = read(file), {udf.name: udf for udf in ALL}
    summaries = {name: comment.replace("''", "'") for name, comment in _COMMENT.findall(text)}
    for found in _MACRO.finditer(text):
        name, above = found["name"], re.sub(r"^-- ?", "", found["above"], flags=re.MULTILINE)
        if "Example: " in above:
            details, _, example = above.partition("Example: ")
        else:
            details, example = inspect.getdoc(udfs[name].body) or "", udfs[name].example
            example = re.sub(r" (FROM|ORDER BY|WHERE|LIMIT) ", r"\n\1 ", example)
        signature = name + re.sub(r"\s+", " ", found["arguments"]).replace("( ", "(").replace(" )", ")")
        yield Function(name, signature, summaries[name], details.strip(), example.strip().rstrip(";"))


@cache
def manual() -> dict[str, Function]:
    """Return {name: function} of all public functions."""
    return {function.name: function for file in MACROS for function in functions(file)}
