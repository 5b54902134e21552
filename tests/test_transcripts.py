"""Every sql/*.sql, statement by statement, against expected/*.out: what it prints, results and errors, is the promise.

A first line ``-- models: shop@champion club shop`` publishes these instead of 'shop' alone, each with its alias; the
first is the small bundle, the others are another network over other categories, with columns that have no names.
``pytest --update-transcripts`` writes the expected files anew: read the difference before committing it.
"""

import re
import shutil
from pathlib import Path

import duckdb
import pytest

from duckprop.registry import Registry

HERE = Path(__file__).parent
NOT_A_RESULT = (["Success"], ["Count"])  # of SET and CREATE
SOURCES = sorted((HERE / "sql").glob("*.sql"))


@pytest.fixture(scope="session")
def other_bundle(tmp_path_factory):
    from conftest import make_bundle

    target = tmp_path_factory.mktemp("shared") / "other"
    return make_bundle(target, categories=("wine", "books", "toys"), names=None, seed=12)


def publish(first_line, home, small_bundle, other_bundle):
    if not first_line.startswith("-- models:"):
        return
    shutil.rmtree(home)
    for at, model in enumerate(first_line.removeprefix("-- models:").split()):
        name, _, alias = model.partition("@")
        version = Registry().publish(other_bundle if at else small_bundle, name)
        if alias:
            Registry().promote(name, alias, version.version)


def outcome(con, statement):
    """Return what a statement gives: names and types, then a line a row; or the error's text."""
    try:
        result = con.sql(statement)
        if result is None or result.columns in NOT_A_RESULT:
            return ["OK"]
        rows = as_text(result.to_arrow_table())
    except duckdb.Error as error:
        return [f"ERROR {line}" if at == 0 else line for at, line in enumerate(str(error).rstrip().splitlines())]
    header = " | ".join(f"{name} {kind}" for name, kind in zip(result.columns, result.types, strict=True))
    return [header, *(" | ".join("NULL" if cell is None else cell for cell in row) for row in rows)]


def as_text(_table):
    with duckdb.connect() as printer:  # DuckDB's own text of each value: 0.8595, not a double's 0.859499990940094
        return printer.execute("SELECT COLUMNS(*)::VARCHAR FROM _table").fetchall()


def transcript(con, text):
    blocks = []
    for statement in re.split(r"(?<=;)\n", text.rstrip() + "\n"):
        if statement.strip():
            blocks.append("\n".join([statement.strip(), *outcome(con, statement.strip())]))
    return "\n\n".join(blocks) + "\n"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_transcript(source, con, home, small_bundle, other_bundle, request):
    text = source.read_text(encoding="utf-8")
    publish(text.partition("\n")[0], home, small_bundle, other_bundle)
    printed = transcript(con, text).replace(str(home), "{registry}")
    expected = HERE / "expected" / f"{source.stem}.out"
    if request.config.getoption("--update-transcripts"):
        expected.write_text(printed, encoding="utf-8")
    assert printed == expected.read_text(encoding="utf-8")


def test_every_expected_file_has_its_sql():
    assert {path.stem for path in (HERE / "expected").iterdir()} == {path.stem for path in SOURCES}


def test_every_error_in_the_transcripts_is_one_of_ours_with_a_remedy():
    for path in (HERE / "expected").glob("*.out"):
        for kind, rest in re.findall(r"executing the UDF: (\w+): .*\n(.*)", path.read_text(encoding="utf-8")):
            assert kind in {"DataError", "ModelError", "UsageError"}, path.name
            assert rest.strip(), path.name


def test_half_of_the_input_is_wrong_input():
    texts = [path.read_text(encoding="utf-8") for path in (HERE / "expected").glob("propensity*.out")]
    errors = sum(len(re.findall("^ERROR", text, re.MULTILINE)) for text in texts)
    assert errors * 3 > sum(text.count("\n\n") + 1 for text in texts)
