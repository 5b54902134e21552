"""Documentation that is code runs: the README and the tutorial word for word, the SQL reference made from the code."""

import json
import re
import runpy
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

import duckprop
from duckprop.cli import app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return (language, text) of the fenced blocks of a page that say their language."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def run_page(page: str, names: dict) -> int:
    """Run the Python and SQL blocks of a page, one after the other; return how many."""
    ran = 0
    for language, text in blocks(ROOT / page):
        if language == "python":
            exec(compile(text, page, "exec"), names)
        elif language == "sql":
            for statement in names["con"].extract_statements(text):
                names["con"].execute(statement).fetchall()
        ran += language in ("python", "sql")
    return ran


@pytest.mark.parametrize(
    "pages",
    [
        ["README.md"],
        # the later three go on with its shop
        ["docs/tutorial.md", "docs/howto-analyst.md", "docs/howto-engineer.md", "docs/howto-integrations.md"],
        ["docs/howto-scientist.md"],
        ["docs/howto-import.md"],
    ],
    ids=lambda pages: pages[0],
)
def test_python_and_sql_run_as_they_stand(pages, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DUCKPROP_HOME", str(tmp_path / "models"))
    names = {"con": duckprop.connect("shop.duckdb")}  # what `duckprop sql --database shop.duckdb` opens
    assert sum(run_page(page, names) for page in pages) >= 2
    names["con"].close()


def test_the_tutorial_leads_in_sql_alone_from_raw_files_to_an_audience_with_a_hold_out(tmp_path, monkeypatch):
    """And its answers have the columns that come out; digits may differ from machine to machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DUCKPROP_HOME", str(tmp_path / "models"))
    page = ROOT / "docs" / "tutorial.md"
    assert {language for language, _ in blocks(page)} == {"sql", "sh"}
    made = runpy.run_path(str(ROOT / "docs" / "build_answers.py"))
    with duckprop.connect("shop.duckdb") as con:
        printed = made["answered"]("tutorial.md", {"con": con})
        leaks, audience, outcomes = "customers_that_changed\n", "FROM audience", "FROM outcomes"
        assert re.search(leaks + r"─+\n +0\n", printed)
        held = con.execute(f"SELECT count(*), count(*) FILTER (is_holdout), count(DISTINCT id) {audience}").fetchone()
        assert held[0] == held[2] == 800
        assert 120 < held[1] < 200
        buyers = "SELECT avg((id IN (SELECT id {} WHERE category = 'tea'))::INTEGER) FROM {}"
        everyone = con.execute(buyers.format(outcomes, "customers")).fetchone()[0]
        assert con.execute(buyers.format(outcomes, "audience")).fetchone()[0] > 3 * everyone
    assert (tmp_path / "catalogue.csv").is_file()
    assert headings(printed) == headings(page.read_text()), "run make docs"


def headings(text: str) -> list[str]:
    """Return the first lines of the answers, columns and their order."""
    return [re.sub(r"\s+", " ", found).strip() for found in re.findall(r"^```\n(.*)\n[─┼]+$", text, re.MULTILINE)]


def shell_lines(page: Path) -> list[str]:
    """Return what a page's code blocks tell to type in a shell, continued lines joined, without redirections."""
    code = "".join(
        re.findall(r"^```(?:sh|bash)?\n(.*?)^```$", _without_other_languages(page), re.MULTILINE | re.DOTALL)
    )
    lines = re.findall(r"^duckprop (?:[^\n\"\\]|\\\n|\"[^\"]*\")*", code, re.MULTILINE)
    return [re.sub(r" +(2?>>?|\|) .*", "", line.replace("\\\n", " ")) for line in lines]


def _without_other_languages(page: Path) -> str:
    return re.sub(r"^```(?!(?:sh|bash)\n)\w+\n.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def test_shell_examples_name_commands_and_options_that_exist():
    typed = [(page.name, line) for page in PAGES for line in shell_lines(page)]
    assert len(typed) >= 10
    for page, line in typed:
        words = shlex.split(line)[1:]
        if words == ["--version"]:
            continue
        try:
            command = get_command(app).commands[words[0]]
            command.make_context(words[0], words[1:])
        except Exception as error:
            pytest.fail(f"{page}: {line}\n{error!r}")


def test_readme_example_learns_what_was_planted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DUCKPROP_HOME", str(tmp_path / "models"))
    names = {}
    for language, text in blocks(ROOT / "README.md"):
        if language == "python":
            exec(compile(text, "README.md", "exec"), names)
    assert names["model"].top(names["looked_at_shoes"], 1)[0][0][0] == "shoes"
    assert float(capsys.readouterr().out.splitlines()[0]) > 0.6


def test_figures_are_those_of_the_committed_run():
    made = runpy.run_path(str(ROOT / "docs" / "build_figures.py"))
    page = (ROOT / "README.md").read_text()
    assert made["with_figures"](page, made["table"](json.loads(made["RESULT"].read_text()))) == page, "run make docs"


def test_reference_is_the_one_that_the_code_makes():
    made = runpy.run_path(str(ROOT / "docs" / "build_reference.py"))["build"]()
    assert (ROOT / "docs" / "sql-reference.md").read_text() == made, "run make docs"


def test_the_reference_has_every_public_function(con):
    public = con.execute(
        "SELECT DISTINCT function_name FROM duckdb_functions() "
        "WHERE database_name = 'duckprop' AND NOT starts_with(function_name, '__') ORDER BY ALL"
    ).fetchall()
    made = runpy.run_path(str(ROOT / "docs" / "build_reference.py"))["pages"]()
    assert sorted(function.name for found in made.values() for function in found) == [name for (name,) in public]


def test_every_example_of_the_reference_runs(con):
    con.execute("""
        SET VARIABLE propensity_model = 'shop';
        CREATE TABLE customers AS SELECT range AS id, [range % 40, 3] AS features FROM range(200);
        CREATE TABLE propensities AS FROM propensity_scores('customers');
        CREATE TABLE outcomes AS SELECT id, category FROM propensities WHERE hash(id, category) % 4 = 0;
        CREATE TABLE events AS SELECT range % 50 AS id, DATE '2025-01-01' + (range % 365)::INTEGER AS time,
                                      ['shoes', 'toys', 'books'][1 + range % 3] AS item, 2.5 AS value FROM range(999)
    """)
    made = runpy.run_path(str(ROOT / "docs" / "build_reference.py"))["pages"]()
    for function in (function for found in made.values() for function in found):
        assert function.details, function.name
        assert con.execute(function.example).fetchall(), function.name


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_readme_lists_exactly_the_commands_there_are():
    listed = set(re.findall(r"^\| `duckprop (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert listed == set(get_command(app).commands)


def test_version_is_the_same_everywhere():
    assert f'version = "{duckprop.__version__}"' in (ROOT / "pyproject.toml").read_text()
    assert f"## {duckprop.__version__}" in (ROOT / "CHANGELOG.md").read_text()
