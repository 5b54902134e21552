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
from duckprop.udfs import ALL

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
        ["docs/tutorial.md", "docs/howto-analyst.md", "docs/howto-engineer.md"],  # the later two go on with its shop
        ["docs/howto-scientist.md"],
    ],
    ids=lambda pages: pages[0],
)
def test_python_and_sql_run_as_they_stand(pages, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DUCKPROP_HOME", str(tmp_path / "models"))
    names = {}
    assert sum(run_page(page, names) for page in pages) >= 2
    names["con"].close()


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


def test_every_example_of_the_reference_runs(con):
    con.execute("CREATE TABLE customers AS SELECT range AS id, [range % 40, 3] AS features FROM range(5)")
    for udf in ALL:
        assert con.execute(udf.example).fetchall(), udf.name


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_readme_lists_exactly_the_commands_there_are():
    listed = set(re.findall(r"^\| `duckprop (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert listed == {command.callback.__name__ for command in app.registered_commands}


def test_version_is_the_same_everywhere():
    assert f'version = "{duckprop.__version__}"' in (ROOT / "pyproject.toml").read_text()
    assert f"## {duckprop.__version__}" in (ROOT / "CHANGELOG.md").read_text()
