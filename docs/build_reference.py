"""Write the SQL reference from the code: ``python docs/build_reference.py > docs/sql-reference.md``."""

import inspect
import re

from duckprop.layouts import ACCEPTED
from duckprop.sql import MACROS, read
from duckprop.udfs import ALL
from duckprop.udfs.udf import Udf

INTRODUCTION = f"""# SQL reference

Made from the code by `make docs`; a test holds it against the code and runs every example.

The functions are there after `duckprop.connect()` or `duckprop.register(con)`. Without the catalog's name before them
they work on the connection that was registered; with it, `duckprop.propensity(…)`, on every cursor of the database.

**features** is one column of any of these types: {ACCEPTED}.
NULL features give NULL. Empty features give the model's answer to an empty customer. The order of features does not
matter, and a feature given twice counts with the sum of its values. A feature by name that the model does not know is
left out. A column number outside the model, NaN, infinity, a NULL element and lists of unequal length are errors that
name the row's position in its batch.

**model** is always last: `'name'` (its newest version), `'name@3'`, `'name@champion'` (an alias) or a bundle's folder.
A name in the registry goes before a folder of that name. Left out, it is the session variable `propensity_model`
(`SET VARIABLE propensity_model = 'retail@champion'`, which is also what `register(con, model)` sets), else the only
model there is.
"""


def signatures() -> dict[str, tuple[str, str]]:
    """Return public name → (signature, comment), read from the SQL that makes the macros."""
    text = "\n".join(read(name) for name in MACROS)
    made = re.findall(r"CREATE OR REPLACE MACRO (\w+)(\([^)]*\)) AS", text)
    comments = dict(re.findall(r"COMMENT ON MACRO(?: TABLE)? (\w+) IS\s+'((?:[^']|'')*)'", text))
    return {
        name: (name + re.sub(r"\s+", " ", arguments), comments[name].replace("''", "'")) for name, arguments in made
    }


def section(udf: Udf, signature: str, comment: str) -> str:
    """Return the Markdown of one function."""
    details = inspect.cleandoc(inspect.getdoc(udf.body) or "")
    example = re.sub(r" (FROM|ORDER BY|WHERE|LIMIT) ", r"\n\1 ", udf.example)
    return f"## {udf.name}\n\n```\n{signature}\n```\n\n{comment}.\n\n{details}\n\n```sql\n{example};\n```\n"


def build() -> str:
    """Return the whole page."""
    known = signatures()
    return "\n".join([INTRODUCTION, *(section(udf, *known[udf.name]) for udf in ALL)])


if __name__ == "__main__":
    print(build(), end="")
