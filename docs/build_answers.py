"""Write the answers under the questions of the tutorial and the how-tos anew: ``python docs/build_answers.py``.

Runs each page's Python and SQL blocks in a folder of its own, and puts what they print into the block without a
language that follows, in the layout of ``duckprop sql``. Answers that are errors stay as they are.
"""

import contextlib
import io
import os
import re
import tempfile
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
CHAINS = (
    ("tutorial.md", "howto-analyst.md", "howto-integrations.md"),  # the later ones go on with the first one's shop
    ("howto-scientist.md",),
)
BLOCK = re.compile(r"^```(?P<language>python|sql)\n(?P<code>.*?)^```\n(?:\n^```\n(?P<answer>.*?)^```\n)?", re.M | re.S)


def answer(language: str, code: str, names: dict[str, Any]) -> str:
    """Run a block and return what it prints."""
    from duckprop.cli.output import Format
    from duckprop.cli.sql import run_statements

    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.redirect_stderr(io.StringIO()):
        if language == "python":
            exec(compile(code, "block", "exec"), names)
        else:
            run_statements(names["con"], code, Format.TABLE)
    return printed.getvalue()


def answered(page: str, names: dict[str, Any]) -> str:
    """Return a page with the answers of this run."""

    def replace(block: re.Match[str]) -> str:
        new = answer(block["language"], block["code"], names)
        whole: str = block[0]
        if block["answer"] is None or block["answer"].startswith("error:"):
            return whole
        return whole[: block.start("answer") - block.start()] + new + "```\n"

    return BLOCK.sub(replace, (DOCS / page).read_text())


def main() -> None:
    """Rewrite the pages."""
    for pages in CHAINS:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            os.environ["DUCKPROP_HOME"] = folder + "/models"
            import duckprop

            names: dict[str, Any] = {"con": duckprop.connect("shop.duckdb")}
            for page in pages:
                (DOCS / page).write_text(answered(page, names))
            names["con"].close()


if __name__ == "__main__":
    main()
