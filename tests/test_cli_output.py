"""``duckprop sql --output``: the suffix decides the form, and a failure leaves the old file whole."""

import csv
import json
import resource
import signal
import subprocess
import sys
import time

import duckdb
import pyarrow.parquet
import pytest

QUERY = "SELECT 1 AS id, 'ä|b' AS text, 0.1::FLOAT AS p, NULL::INTEGER AS nothing, ['x'] AS list"


def sql(*arguments, **options):
    """Run ``duckprop sql`` and return (exit code, stdout, stderr)."""
    command = [sys.executable, "-m", "duckprop", "sql", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, **options)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def run(monkeypatch, capsys, home):
    """Run the command line in this process: arguments → (exit code, stdout, stderr)."""
    from duckprop.cli import main

    def act(*arguments):
        monkeypatch.setattr(sys, "argv", ["duckprop", "sql", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    return act


def test_the_suffix_decides_the_form(run, tmp_path):
    for suffix in ("csv", "json", "md", "parquet"):
        assert run("-c", QUERY, "--output", tmp_path / f"a.{suffix}") == (0, "", "")
    assert list(csv.reader((tmp_path / "a.csv").open(encoding="utf-8")))[1] == ["1", "ä|b", "0.1", "", '["x"]']
    expected = {"id": 1, "text": "ä|b", "p": 0.1, "nothing": None, "list": ["x"]}
    assert json.loads((tmp_path / "a.json").read_text()) == [expected]
    assert (tmp_path / "a.md").read_text().splitlines()[-1] == '| 1 | ä\\|b | 0.1 | NULL | ["x"] |'
    kinds = duckdb.sql(f"DESCRIBE FROM '{tmp_path}/a.parquet'").fetchall()
    assert [row[1] for row in kinds] == ["INTEGER", "VARCHAR", "FLOAT", "INTEGER", "VARCHAR[]"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith((".", "a"))) == [
        "a.csv", "a.json", "a.md", "a.parquet",
    ]  # fmt: skip


def test_a_file_holds_what_stdout_would(run, tmp_path):
    for form, suffix in (("csv", "csv"), ("json", "json"), ("markdown", "md")):
        _, out, _ = run("-c", "FROM range(2500) ORDER BY 1", "--format", form)
        run("-c", "FROM range(2500) ORDER BY 1", "-o", tmp_path / f"a.{suffix}")
        assert (tmp_path / f"a.{suffix}").read_text() == out


def test_statements_before_the_last_prepare_it(run, tmp_path):
    text = "CREATE TABLE t AS FROM range(5); SET VARIABLE a = 3; SELECT range + getvariable('a') AS b FROM t"
    assert run("-c", text, "-o", tmp_path / "a.csv")[0] == 0
    assert (tmp_path / "a.csv").read_text().split() == ["b", "3", "4", "5", "6", "7"]
    text = "CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1), (2) RETURNING a"
    for suffix in ("csv", "parquet"):
        assert run("-c", text, "-o", tmp_path / f"b.{suffix}")[0] == 0
        assert len(duckdb.sql(f"FROM '{tmp_path}/b.{suffix}'").fetchall()) == 2


@pytest.mark.parametrize(
    ("arguments", "fact", "remedy"),
    [
        (["-c", "SELECT 1", "-o", "a.xlsx"], "the suffix of a.xlsx does not say", ".csv, .json, .md or .parquet"),
        (["-c", "SELECT 1", "-o", "a.csv", "--format", "json"], "--format json is not what a.csv is", "suffix"),
        (["-c", "SELECT 1; SELECT 2", "-o", "a.csv"], "several queries give rows", "one by one"),
        (["-c", "CREATE TABLE t (a INTEGER)", "-o", "a.csv"], "gives no rows for a.csv", "give a SELECT"),
        (["-c", "CREATE TABLE t (a INTEGER)", "-o", "a.parquet"], "gives no rows for a.parquet", "give a SELECT"),
        (["-c", "SELECT 1", "-o", "no/a.csv"], "the folder no does not exist", "make it first"),
        (["--ide", "-c", "SELECT 1"], "--ide takes no SQL", "type the SQL in Harlequin"),
    ],
)
def test_wrong_use_is_told_and_no_file_appears(run, tmp_path, monkeypatch, arguments, fact, remedy):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert fact in err.splitlines()[0]
    assert remedy in err.splitlines()[1]
    assert [path.name for path in tmp_path.iterdir() if path.name != "registry"] == []


@pytest.mark.parametrize("suffix", ["csv", "json", "md", "parquet"])
def test_a_failure_on_the_way_leaves_the_old_file(run, tmp_path, suffix):
    target = tmp_path / f"a.{suffix}"
    target.write_text("old")
    query = "SELECT CASE WHEN range = 250000 THEN error('stop') ELSE range::VARCHAR END AS a FROM range(300000)"
    code, _, err = run("-c", query, "-o", target)
    assert code == 3
    assert "stop" in err
    assert target.read_text() == "old"
    assert list(tmp_path.glob(".a*")) == []


def test_a_full_disk_leaves_the_old_file(home, tmp_path):
    target = tmp_path / "a.csv"
    target.write_text("old")
    code, _, err = sql(
        "-c", "FROM range(1000000)", "-o", target,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536)),
    )  # fmt: skip
    assert code == 3
    assert len(err.splitlines()) == 2
    assert target.read_text() == "old"
    assert list(tmp_path.glob(".a*")) == []


def test_an_interruption_leaves_the_old_file(home, tmp_path):
    target = tmp_path / "a.parquet"
    target.write_text("old")
    query = "SELECT a.range, hash(b.range) AS h FROM range(100000000) a, range(1000) b"
    command = [sys.executable, "-m", "duckprop", "sql", "-c", query, "-o", str(target)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".a*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err.splitlines()[0]) == (130, "error: interrupted")
    assert target.read_text() == "old"
    assert list(tmp_path.glob(".a*")) == []


def test_parquet_and_csv_do_not_hold_the_result(home, tmp_path):
    """Eight million rows are 128 MB; DuckDB itself may take what it buffers."""
    program = """
import resource, sys
from duckprop.cli import main
sys.argv = ["duckprop", "sql", *sys.argv[1:]]
try:
    main()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
    peaks = []
    for rows in (100_000, 8_000_000):
        query = f"SELECT range AS a, hash(range) AS b FROM range({rows})"
        command = [sys.executable, "-c", program, "-c", query, "-o", str(tmp_path / "a.parquet")]
        peaks.append(int(subprocess.run(command, capture_output=True, text=True).stdout.split()[-1]))
        assert pyarrow.parquet.read_metadata(tmp_path / "a.parquet").num_rows == rows
    assert peaks[1] - peaks[0] < 100


def test_a_database_given_as_a_file_with_sql_is_told_apart(tmp_path, capfd):
    path = tmp_path / "shop.duckdb"
    duckdb.connect(str(path)).close()
    code, out, said = sql(path)
    assert (code, out) == (2, "")
    assert said == f"error: {path} is a database, not a file with SQL\nopen it with --database {path}\n"
