"""What can only be seen from outside: crashes, words on stderr at exit, and memory, each in a process of its own."""

import subprocess
import sys

PRELUDE = """
import gc, pathlib, sys, threading
import duckdb, duckprop
CALL = "SELECT duckprop.propensity([3], 'toys')"
"""


def run(home, body, *arguments):
    script = [sys.executable, "-c", PRELUDE + body, *map(str, arguments)]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_another_handle_still_scores_when_the_registered_one_is_closed(home, tmp_path):
    body = """
first, second = duckdb.connect(sys.argv[1]), duckdb.connect(sys.argv[1])
duckprop.register(first)
before = second.execute(CALL).fetchall()
first.close()
del first
gc.collect()
print(before == second.execute(CALL).fetchall())
print(duckprop.register(second).execute(CALL).fetchall() == before)
second.close()
"""
    assert run(home, body, tmp_path / "two.db") == ["True", "True"]


def test_a_connection_left_open_says_nothing_at_exit(home):
    body = """
con = duckprop.connect()
other = duckprop.register(duckdb.connect())
cursor = duckprop.register(con.cursor())
con.create_function("mine", lambda x: (con, x)[1], ["INTEGER"], "INTEGER")  # holds its own connection: a leak
print(len(con.execute(CALL).fetchall() + other.execute(CALL).fetchall() + cursor.execute(CALL).fetchall()))
"""
    assert run(home, body) == ["3"]


def test_an_error_left_unhandled_in_a_thread_pool_does_not_crash(home):
    body = """
con = duckprop.connect()
def work(cursor):
    for _ in range(20):
        try:
            cursor.execute("SELECT duckprop.propensity([i], 'toys') FROM range(5000) t(i)").fetchall()
        except duckdb.Error as error:
            assert "outside 0 to 39" in str(error), error
threads = [threading.Thread(target=work, args=[con.cursor()]) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len(con.execute(CALL).fetchall()))
con.close()
"""
    assert run(home, body) == ["1"]


def test_two_hundred_connections_one_after_the_other_keep_no_memory(home):
    body = """
def resident():
    gc.collect()
    status = pathlib.Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
def rounds(count):
    for _ in range(count):
        with duckprop.connect() as con:
            con.execute("SELECT sum(propensity([i % 40], 'toys')) FROM range(3000) t(i)").fetchall()
rounds(30)
before = resident()
rounds(200)
print(resident() - before)
"""
    (kilobytes,) = run(home, body)
    assert int(kilobytes) < 20_000
