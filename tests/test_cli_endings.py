"""Ctrl-C, SIGTERM, kill -9, a closed pipe, a full disk: each ends cleanly and leaves nothing behind."""

import os
import resource
import signal
import subprocess
import sys
import time

import duckdb
import pytest

LONG = "SELECT sum(a.range * b.range % 7) FROM range(3000000) a, range(100000) b"


@pytest.fixture
def shop(tmp_path, home):
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute("CREATE TABLE customers AS SELECT id, [id % 40, (id * 7) % 40] AS features FROM range(600) t(id)")
    return path


def start(*arguments, **options):
    command = [sys.executable, "-m", "duckprop", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def scoring(shop, target):
    """A job long enough to be hit while it writes."""
    query = "SELECT a.id, a.features FROM customers a, customers b, range(100)"
    process = start("score", query, "--database", shop, "-o", target)
    deadline = time.monotonic() + 60
    while not parts(target) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert parts(target), "the job never began to write"
    return process


def parts(target):
    return list(target.parent.glob(f".{target.name}*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_query(home, number):
    process = start("sql", "-c", f"SELECT 'ready' AS state; {LONG}")
    assert [process.stdout.readline().strip() for _ in range(3)][-1] == "ready"
    time.sleep(0.5)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err.splitlines()[0]) == (130, "error: interrupted")


def test_a_closed_pipe_is_no_error(home):
    command = f"{sys.executable} -m duckprop sql --format csv -c 'FROM range(1000000)' | head -1"
    piped = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert (piped.stdout, piped.stderr) == ("range\n", "")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_an_ended_score_leaves_the_old_target_whole(shop, tmp_path, number):
    target = tmp_path / "scores.parquet"
    duckdb.sql("SELECT 'old' AS propensity").write_parquet(str(target))
    process = scoring(shop, target)
    process.send_signal(number)
    process.communicate()
    assert process.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 130)
    assert duckdb.sql(f"FROM '{target}'").fetchall() == [("old",)]
    again = start("score", "customers", "--database", shop, "-o", target)
    again.communicate()
    assert again.returncode == 0
    assert duckdb.sql(f"SELECT count(*) FROM '{target}'").fetchall() == [(3000,)]
    assert parts(target) == []


def limited():
    """Let files grow to 64 KiB, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))


def test_a_full_disk_keeps_the_old_target(shop, tmp_path):
    target = tmp_path / "scores.parquet"
    duckdb.sql("SELECT 'old' AS propensity").write_parquet(str(target))
    query = "SELECT a.id, a.features FROM customers a, customers b"
    process = start("score", query, "--database", shop, "-o", target, preexec_fn=limited)
    _, err = process.communicate()
    assert process.returncode == 3
    assert err.splitlines()[0].startswith("error: ")
    assert "free space" in err.splitlines()[1]
    assert len(err.splitlines()) == 2
    assert duckdb.sql(f"FROM '{target}'").fetchall() == [("old",)]
    assert parts(target) == []


def test_a_full_disk_ends_training_with_an_error_and_no_model(tmp_path, home):
    duckdb.sql("SELECT range AS id, [range % 40] AS features FROM range(500)").write_parquet(
        str(tmp_path / "f.parquet")
    )
    duckdb.sql("SELECT range AS id, 'a' AS category FROM range(0, 500, 3)").write_parquet(str(tmp_path / "l.parquet"))
    relations = ("--features", tmp_path / "f.parquet", "--labels", tmp_path / "l.parquet")
    process = start("train", *relations, "--name", "new", "--hidden", "1000", env=os.environ, preexec_fn=limited)
    _, err = process.communicate()
    assert process.returncode == 3
    assert "cannot be written" in err
    assert "Traceback" not in err
    assert not (home / "new").exists()


def training(name):
    features = "SELECT range AS id, [range % 40] AS features FROM range(2000)"
    labels = "SELECT range AS id, 'a' AS category FROM range(0, 2000, 3)"
    options = ("--name", name, "--hidden", "8", "--epochs", "10000", "--patience", "10000")
    process = start("train", "--features", features, "--labels", labels, *options)
    for line in process.stderr:
        if line.startswith("epoch 1:"):
            return process
    raise AssertionError("the training never began")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_training(home, number):
    process = training("own")
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "error: interrupted" in err


def test_a_training_keeps_only_its_own_name_to_itself(home):
    first = training("own.v1")
    second = training("own.v2")
    third = start("train", "--features", "SELECT 1", "--labels", "SELECT 1", "--name", "own.v1")
    _, err = third.communicate(timeout=60)
    for process in (first, second):
        process.kill()
        process.communicate()
    assert third.returncode == 2
    assert "another training of 'own.v1' is running" in err
