"""The terminal's commands and how results are laid out, without a terminal."""

import json

import duckdb
import pytest

from duckprop.cli.output import Format
from duckprop.cli.terminal import layout
from duckprop.cli.terminal.commands import COMMANDS, is_command, perform
from duckprop.cli.terminal.desk import Desk, Leave
from duckprop.cli.terminal.mistakes import explained
from duckprop.errors import DataError, DuckpropError, UsageError
from duckprop.udfs import ALL


@pytest.fixture
def desk(con, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    con.execute(
        "CREATE TABLE customers (id INTEGER, features MAP(VARCHAR, FLOAT)); INSERT INTO customers VALUES (1, MAP{})"
    )
    con.execute("CREATE VIEW ids AS SELECT id FROM customers")
    desk = Desk(con)
    yield desk
    desk.choices.close()


@pytest.fixture
def do(desk, capsys):
    """Perform a command and return (stdout, stderr)."""

    def act(text):
        capsys.readouterr()
        perform(desk, text)
        return capsys.readouterr()

    return act


def cells(out):
    """Return the rows of a printed table without its header."""
    return [tuple(cell.strip() for cell in line.split("│")) for line in out.splitlines()[2:] if "│" in line]


def test_tables_and_their_columns(do):
    assert cells(do("\\d")[0]) == [("customers", "table", "id, features"), ("ids", "view", "id")]
    assert do(".tables") == do("\\d")
    out, _ = do("\\d customers")
    assert cells(out) == [("id", "INTEGER"), ("features", "MAP(…)")]
    assert out.splitlines()[-1] == "1 row"
    assert do('\\d "ids"')[0].splitlines()[-1] == "1 row"


def test_functions_with_signature_and_help(do):
    out, _ = do("\\df topk")
    assert cells(out)[0][0].startswith("propensity_topk(features, k")
    assert len(cells(do("\\df")[0])) >= len(ALL)
    assert {row[0].partition("(")[0] for row in cells(do("\\df list_con*")[0])} >= {"list_contains", "list_concat"}
    for udf in ALL:
        if not udf.name.startswith("_"):
            assert udf.name in do(f"\\h {udf.name}")[0]
    out, _ = do("\\h propensity")
    assert out.startswith("propensity(features, category, model := NULL)\n")
    assert "FLOAT in [0, 1]" in out
    assert "Raises DataError" in out
    assert "SELECT id, propensity(" in out
    assert "list contains" in do("\\h list_contains")[0]


def test_models_and_categories(do):
    assert cells(do("\\dm")[0])[0][0] == "shop@1"
    out, _ = do("\\dc")
    rates = [float(rate) for _, rate in cells(out)]
    assert rates == sorted(rates, reverse=True)
    assert len(rates) == 5
    assert do("\\dc shop@1")[0] == out


def test_the_help_lists_every_command(do):
    out, _ = do("\\?")
    assert all(command.name in out and command.help in out for command in COMMANDS)
    assert do(".help")[0] == out


@pytest.mark.parametrize(
    ("text", "fact", "remedy"),
    [
        ("\\formt csv", "there is no command \\formt (did you mean '\\format'?)", "\\? lists them all"),
        ("\\format cvs", "no format 'cvs' (did you mean 'csv'?)", "table, csv, json, markdown"),
        ("\\timing maybe", "'maybe' is neither on nor off", "\\timing on or \\timing off"),
        ("\\d custmers", "no table or view custmers (did you mean 'customers'?)", "\\d lists them"),
        ("\\d propensity", "propensity is a function", "\\h propensity"),
        ("\\h propensty", "no function propensty (did you mean 'propensity'?)", "\\df lists ours"),
        ("\\h", "no function is named", "\\df"),
        ("\\df nothing_like_it", "no function fits", "\\df"),
        ("\\o scores.xls", "the suffix of scores.xls", ".parquet"),
        ("\\o no/such/scores.csv", "the folder no/such does not exist", "make it first"),
        ("\\i", "no file is named", "\\i FILE"),
    ],
)
def test_a_wrong_command_says_what_to_do(do, text, fact, remedy):
    with pytest.raises(DuckpropError) as told:
        do(text)
    assert fact in told.value.fact
    assert remedy in told.value.remedy


def test_what_is_a_command_and_what_is_sql(do):
    assert all(map(is_command, ["\\d", "  \\q", ".tables", "quit", "exit;"]))
    assert not any(map(is_command, ["SELECT '\\d'", ".5 + 1", "help_me", ""]))
    for text in ("\\q", ".quit", "exit", "quit;"):
        with pytest.raises(Leave):
            do(text)


def test_formats_and_switches(desk, do, capsys):
    assert do("\\format csv")[1] == "format is csv\n"
    assert do("\\timing")[1] == "timing is off\n"
    desk.run("SELECT 1 AS a, NULL AS b")
    assert capsys.readouterr() == ("a,b\n1,\n", "")
    do("\\format table")
    do("\\x on")
    desk.run("SELECT 'one' AS first, 'a b c ' || repeat('word ', 30) AS second")
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split("│") == ["first  ", " one"]
    assert max(map(len, lines)) <= 80
    assert " ".join(" ".join(line.partition("│")[2] for line in lines[2:]).split()) == "a b c " + " ".join(
        ["word"] * 30
    )
    do("\\x off")
    assert desk.screen.form is Format.TABLE


def test_a_wide_result_fits_the_screen_and_says_what_is_left_out(desk, capsys):
    desk.run("SELECT repeat('ä', 200) AS long, 12345.678 AS number, 'short' AS short")
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) == 80
    assert "ä…" in lines[2]
    assert "12345.678" in lines[2]
    desk.run("SELECT " + ", ".join(f"'{'x' * 20}' AS column{at}" for at in range(12)))
    out, err = capsys.readouterr()
    assert max(map(len, out.splitlines())) <= 80
    assert out.splitlines()[0].endswith("…")
    assert "of 12 columns do not fit: \\x on" in err


@pytest.mark.parametrize("width", [20, 33, 61, 80, 200])
@pytest.mark.parametrize("wanted", [[5], [300], [3, 300, 4], [30, 30, 30, 30], [9] * 40, [50, 12, 11]])
def test_widths_fill_the_room_and_never_more(wanted, width):
    kept, widths = layout.fit(wanted, width)
    total = sum(widths) + 3 * (len(kept) - 1) + (4 if len(kept) < len(wanted) else 0)
    assert total <= max(width, 5)
    assert all(got <= wanted[at] for at, got in zip(kept, widths, strict=True))
    assert kept == list(range(len(kept)))
    if widths != [wanted[at] for at in kept]:
        assert total == width


def test_a_long_table_is_cut_and_every_other_form_is_not(desk, do, capsys):
    desk.run("FROM range(1500)")
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1002
    assert "the first 1,000 rows" in err
    assert desk.con.execute("SELECT 1").fetchall() == [(1,)]  # nothing is left open
    do("\\format json")
    desk.run("FROM range(1500)")
    out, err = capsys.readouterr()
    assert len(json.loads(out)) == 1500
    assert "1,500 rows" in err


def test_results_go_to_files_each_to_its_own(desk, do, tmp_path, capsys):
    do(f"\\o {tmp_path}/scores.parquet")
    desk.run("FROM range(5000); CREATE TABLE t AS FROM range(3); SELECT 'a' AS b")
    out, err = capsys.readouterr()
    assert out == ""
    assert f"wrote 5,000 rows to {tmp_path}/scores.parquet" in err
    assert duckdb.sql(f"SELECT count(*) FROM '{tmp_path}/scores.parquet'").fetchall() == [(5000,)]
    assert duckdb.sql(f"FROM '{tmp_path}/scores-2.parquet'").fetchall() == [("a",)]
    do("\\o")
    desk.run("SELECT 'back' AS b")
    assert "back" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.glob("*scores*")) == ["scores-2.parquet", "scores.parquet"]


def test_a_file_of_sql_is_run(do, tmp_path):
    (tmp_path / "query.sql").write_text("SELECT 1 AS one; SELECT 'zwei' AS two;")
    assert "zwei" in do(f"\\i {tmp_path}/query.sql")[0]
    (tmp_path / "latin.sql").write_bytes("SELECT 'ä'".encode("latin-1"))
    with pytest.raises(DataError, match="is not UTF-8"):
        do(f"\\i {tmp_path}/latin.sql")


def test_a_plan_keeps_its_lines(desk, capsys):
    desk.run("EXPLAIN FROM range(3)")
    assert any("RANGE" in line for line in capsys.readouterr().out.splitlines())


def test_an_error_of_duckdb_is_told_with_its_best_line(con):
    def told(query):
        with pytest.raises(duckdb.Error) as error:
            con.execute(query).fetchall()
        return explained(error.value)

    assert told("SELECT a FROM range(3)")[1] == 'Candidate bindings: "range"'
    con.execute("CREATE TABLE customers (id INTEGER)")
    assert told("SELECT 1 FROM custmers") == (
        "Catalog Error: Table with name custmers does not exist!",
        'Did you mean "customers"?',
    )
    assert told("SELEC 1")[1] == "LINE 1: SELEC 1"
    assert "and" in told("SELECT round('a', 'b', 'c')")[1]
    assert "\n" not in "".join(told("SELECT round('a', 'b', 'c')"))
    assert explained(UsageError("a", "b")) == ("a", "b")
    assert explained(FileNotFoundError(2, "No such file", "x.sql"))[0] == "x.sql: No such file"
