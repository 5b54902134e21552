"""The interactive session, from the keys that are typed to what stands on the screen."""

import signal
import subprocess
import sys

import pytest
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from terminals import Terminal, history

from duckprop.cli.terminal.desk import Desk
from duckprop.cli.terminal.session import Session, kept_history

LONG = "SELECT sum(a.range * b.range % 7) AS x FROM range(3000000) a, range(100000) b;"
ENTER, CTRL_C, CTRL_D = "\r", "\x03", "\x04"


@pytest.fixture
def desk(con):
    desk = Desk(con)
    yield desk
    desk.choices.close()


@pytest.fixture
def talk(desk, capsys):
    """Type keys into a session and return (stdout, stderr); what is remembered is in ``talk.history``."""
    remembered = InMemoryHistory()

    def type_keys(keys):
        with create_pipe_input() as typed:
            typed.send_text(keys)
            Session(desk, remembered, input=typed, output=DummyOutput()).talk()
        return capsys.readouterr()

    type_keys.history = remembered
    return type_keys


def test_a_statement_goes_over_lines_until_its_semicolon(talk):
    out, err = talk(f"SELECT 1 AS a,{ENTER}  2 AS b{ENTER}FROM range(3);{ENTER}\\q{ENTER}")
    assert [line.rstrip() for line in out.splitlines()] == ["a │ b", "──┼──", "1 │ 2", "1 │ 2", "1 │ 2"]
    assert "Run time:" in err
    assert err.rstrip().endswith("s, 3 rows")
    assert list(talk.history.get_strings()) == ["SELECT 1 AS a,\n  2 AS b\n  FROM range(3);", "\\q"]


def test_an_error_is_two_lines_and_never_the_end(talk):
    out, err = talk(
        f"SELECT propensity([3], 'shoez');{ENTER}SELEC 1;{ENTER}\\nope{ENTER}FROM nowhere;{ENTER}"
        f"SELECT round('a', 'b', 'c');{ENTER}\\timing off{ENTER}SELECT 42 AS answer;{ENTER}{CTRL_D}"
    )
    told = err.split("error: ")[1:]
    assert "'shoez' is not in model 'shop@1' (did you mean 'shoes'?)" in told[0]
    assert "SELEC" in told[1]
    assert "there is no command \\nope" in told[2]
    assert "nowhere does not exist" in told[3]
    assert all(len(error.splitlines()) == 2 for error in told[:4]), err
    assert len(told[4].splitlines()) == 3  # and timing is off
    assert "LINE 1" not in told[3]
    assert out.splitlines()[-1].strip() == "42"


def test_ctrl_c_drops_what_is_typed_and_ctrl_d_leaves(talk):
    out, err = talk(f"SELECT 'never{ENTER}{CTRL_C}SELECT 7 AS seven;{ENTER}{CTRL_D}SELECT 8 AS eight;{ENTER}")
    assert out.splitlines()[-1].strip() == "7"
    assert "eight" not in out
    assert "error" not in err


def test_a_defect_of_ours_ends_no_session(talk, desk):
    desk.screen.target = 7  # what should never be
    out, err = talk(f"SELECT 1;{ENTER}\\o{ENTER}SELECT 2 AS b;{ENTER}\\q{ENTER}")
    assert "this is a defect of duckprop" in err
    assert out.splitlines()[-1] == "2"


def test_history_in_a_folder_that_cannot_be_written_is_kept_in_memory(tmp_path):
    (tmp_path / "file").touch()
    told = []
    kept = kept_history(tmp_path / "file" / "sql-history", told.append)
    kept.append_string("SELECT 1;")
    assert kept.get_strings() == ["SELECT 1;"]
    assert "remembered for this session only" in told[0]
    path = tmp_path / "new" / "sql-history"
    kept_history(path, told.append).append_string("SELECT 2;")
    assert list(kept_history(path, told.append).load_history_strings()) == ["SELECT 2;"]
    assert path.stat().st_mode & 0o077 == 0
    assert len(told) == 1


def test_use_and_set_keep_the_functions_at_hand(talk):
    out, err = talk(
        f"ATTACH ':memory:' AS other; USE other;{ENTER}SELECT propensity([3], 'shoes') > 0 AS p;{ENTER}"
        f"SET VARIABLE propensity_model = 'nope';{ENTER}SELECT propensity([3], 'shoes');{ENTER}\\q{ENTER}"
    )
    assert out.splitlines()[-1] == "true"
    assert "there is no model 'nope'" in err


def test_the_toolbar_names_database_and_model(desk):
    desk.label = "shop.duckdb"
    desk.run("SET VARIABLE propensity_model = 'shop@1'")
    desk.refresh()
    with create_pipe_input() as typed:
        ((_, text),) = Session(desk, InMemoryHistory(), input=typed, output=DummyOutput())._toolbar()
    assert "shop.duckdb" in text
    assert "model shop@1" in text


def test_a_session_in_a_real_terminal(home, tmp_path):
    shown = tmp_path / "paged"
    pager = f"tee {shown}"
    with Terminal("--database", tmp_path / "shop.duckdb", XDG_STATE_HOME=str(tmp_path), PAGER=pager) as terminal:
        terminal.until("new database")
        terminal.until("duckprop> ")
        terminal.type("SELECT propensity([3], 'sho")
        terminal.until("shoes")  # the menu
        terminal.type("\t")
        terminal.until("es'")
        terminal.type(f") > 0 AS p;{ENTER}")
        terminal.until("true")
        terminal.until("Run time: ")
        terminal.until("duckprop> ")

        terminal.type(LONG + ENTER)
        terminal.until("running")  # the bar
        terminal.until("%")
        terminal.type(CTRL_C)
        terminal.until("error: interrupted")
        terminal.until("duckprop> ")

        terminal.type(f"FROM range(100);{ENTER}")
        terminal.until("100 rows")
        terminal.until("duckprop> ")
        assert len(shown.read_text().splitlines()) == 102
        terminal.type(f"\\pager off{ENTER}")
        terminal.until("pager is off")
        terminal.until("duckprop> ")
        shown.unlink()
        terminal.type(f"SELECT range AS again FROM range(100);{ENTER}")
        terminal.until("100 rows")
        terminal.until("duckprop> ")
        assert not shown.exists()
        terminal.type(CTRL_D)
        assert terminal.ended() == 0
    assert "Traceback" not in terminal.text
    assert "leaked" not in terminal.text
    assert LONG in history(tmp_path)


def test_sigterm_ends_a_session_at_the_prompt_and_in_a_query(home, tmp_path):
    for keys, sign in (("", "duckprop> "), (LONG + ENTER, "running")):
        with Terminal(XDG_STATE_HOME=str(tmp_path)) as terminal:
            terminal.until("duckprop> ")
            terminal.type(keys)
            if keys:
                terminal.until(sign)
            terminal.process.send_signal(signal.SIGTERM)
            assert terminal.ended() == 130
            assert "Traceback" not in terminal.text


def test_without_a_terminal_it_reads_sql_as_before(home):
    command = [sys.executable, "-m", "duckprop", "sql"]
    done = subprocess.run(command, input="SELECT 42 AS a", capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[-1], done.stderr) == (0, "42", "")


def test_help_loads_no_prompt(home):
    program = "import sys, duckprop.cli; print({'prompt_toolkit', 'duckdb', 'harlequin'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "set()\n"
