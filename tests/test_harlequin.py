"""Harlequin with the functions registered: the adapter by itself, and the IDE in a real terminal."""

import subprocess
import sys
import tomllib
from pathlib import Path

import duckdb
import pytest
from harlequin.exception import HarlequinConnectionError, HarlequinQueryError
from harlequin.options import AbstractOption
from terminals import Terminal

from duckprop.integrations.harlequin import OPTIONS, DuckpropAdapter, arguments
from duckprop.registry import Registry

ROOT = Path(__file__).parents[1]


@pytest.fixture
def shop(tmp_path):
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute("CREATE TABLE customers AS SELECT range AS id, [range % 40] AS features FROM range(9)")
    return path


@pytest.fixture
def connected(shop):
    """Connect an adapter with these options to the shop; close what was opened."""
    opened = []

    def connect(**options):
        opened.append(DuckpropAdapter([str(shop)], no_init=True, **options).connect())
        return opened[-1]

    yield connect
    for connection in opened:
        connection.conn.close()


def test_a_query_scores(connected, home):
    cursor = connected(read_only=True).execute("SELECT id, propensity(features, 'shoes') AS p FROM customers")
    assert cursor.columns() == [("id", "##"), ("p", "#.#")]
    table = cursor.fetchall()
    assert len(table) == 9
    assert all(0 < p.as_py() < 1 for p in table["p"])


def test_model_and_registry_are_options(connected, tmp_path, write_bundle):
    registry = tmp_path / "elsewhere"
    for seed in (1, 2):
        Registry(registry).publish(write_bundle(seed=seed), "mine")
    query = "SELECT propensity([3], 'shoes') = propensity([3], 'shoes', 'mine@1') AS same"
    connection = connected(model="mine@1", registry=str(registry))
    assert connection.execute(query).fetchall()["same"].to_pylist() == [True]
    assert connection.execute("RESET VARIABLE propensity_model") is None
    assert connection.execute("SELECT propensity([3], 'shoes', 'mine') AS p").fetchall() is not None


def test_our_functions_complete_with_their_arguments_and_the_private_ones_do_not(connected, home):
    found = connected().get_completions()
    ours = {one.label: one for one in found if one.label.startswith("propens")}
    assert ours["propensity"].type_label == "(features, category, model)"
    assert ours["propensity"].value == "propensity"
    assert ours["propensity_topk"].priority < min(one.priority for one in found if one.type_label == "fn")
    assert [one.label for one in found if one.label.startswith("__")] == []
    assert len([one for one in found if one.label == "propensity"]) == 1
    assert {"list_contains", "select"} <= {one.label for one in found}


def test_what_goes_wrong_is_told_as_harlequin_tells_it(connected, home, tmp_path):
    with pytest.raises(HarlequinQueryError, match="did you mean 'shoes'"):
        connected().execute("SELECT propensity([3], 'shoez') AS p").fetchall()
    with pytest.raises(HarlequinConnectionError, match="there is no engine 'fast'"):
        connected(engine="fast")


def test_the_options_are_harlequins_own_and_ours():
    assert all(isinstance(option, AbstractOption) for option in OPTIONS)
    assert {"model", "registry", "engine", "no-init"} <= {option.name for option in OPTIONS}
    assert arguments(Path("a.duckdb"), read_only=True, model="m", registry=None) == [
        "-a", "duckprop", "--read-only", "--model", "m", "a.duckdb",
    ]  # fmt: skip


def installed(folder):
    """Write what installing this checkout would tell other programs of its entry points."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    metadata = folder / "duckprop-0.0.0.dist-info"
    metadata.mkdir(parents=True)
    metadata.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: duckprop\nVersion: 0.0.0\n")
    lines = [
        f"[{group}]\n" + "\n".join(f"{name} = {to}" for name, to in names.items()) for group, names in told.items()
    ]
    metadata.joinpath("entry_points.txt").write_text("\n".join(lines) + "\n")
    return folder


def test_sql_ide_opens_it_on_the_database_with_the_model(shop, home, tmp_path):
    paths = f"{installed(tmp_path / 'site')}:{ROOT}"
    homes = {f"XDG_{what}_HOME": str(tmp_path / what) for what in ("CONFIG", "CACHE", "DATA", "STATE")}
    options = ("--ide", "--database", shop, "--read-only", "--model", "shop@1")
    with Terminal(*options, folder=tmp_path, PYTHONPATH=paths, HOME=str(tmp_path), **homes) as terminal:
        terminal.until("Query Editor")
        terminal.until("shop")  # the catalog has been read
        terminal.type("SELECT repeat('scored ', (propensity(features, 'shoes') > 0)::INTEGER * 3) FROM customers")
        terminal.type("\n")
        terminal.until("9 Records")
        terminal.until("scored scored scored")
        terminal.type("\x11")
        assert terminal.ended() == 0
    assert "Traceback" not in terminal.text


def test_without_harlequin_it_says_what_to_install(home):
    program = """
import sys
sys.modules["harlequin"] = None
sys.argv = ["duckprop", "sql", "--ide"]
from duckprop.cli import main
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: Harlequin is not installed\npip install 'duckprop[ide]'\n"
