"""Memory stays where it is: over ten million scored rows, and over a thousand connections that come and go."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import make_bundle

ROOT = Path(__file__).parents[1]

_PRELUDE = """
import gc, pathlib, sys
import duckprop

def resident_mib():
    gc.collect()
    status = pathlib.Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024

def score(con):
    con.execute('''
        SELECT sum(propensity_vector(features)[1]), sum(propensity(features, 'toys')),
               sum(len(propensity_topk(features, 3))), sum(len(propensity_explain(features, 'books', 2)))
        FROM customers
    ''').fetchall()

CUSTOMERS = '''
    CREATE TABLE customers AS
    SELECT {'indices': [id %% 400, 400 + id * 7 %% 400, 800 + id * 13 %% 200],
            'values': [1.0::FLOAT, 0.5, 2]} AS features
    FROM range(%d) numbers(id)
'''
"""

_MANY_ROWS = """
con = duckprop.connect(model=sys.argv[1])
con.execute(CUSTOMERS % 250_000)
for number in range(40):
    score(con)
    if number == 3:
        before = resident_mib()
assert "mxnet" not in sys.modules
con.close()
print(resident_mib() - before)
"""

_MANY_CONNECTIONS = """
for number in range(1000):
    with duckprop.connect(model=sys.argv[1]) as con:
        con.execute(CUSTOMERS % 3000)
        score(con)
    if number == 100:
        before = resident_mib()
print(resident_mib() - before)
"""


def grown_mib(code: str, bundle: Path) -> float:
    command = [sys.executable, "-c", _PRELUDE + code, str(bundle)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return float(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("code", [_MANY_ROWS, _MANY_CONNECTIONS], ids=["10,000,000 rows", "1,000 connections"])
def test_memory_does_not_grow(tmp_path, code):
    bundle = make_bundle(tmp_path / "model", width=1000, names=None, hidden=(64,))
    assert grown_mib(code, bundle) < 32
