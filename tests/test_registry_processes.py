"""Several processes on one registry: publishers, a reader, promoters, and a publisher that is killed in the middle."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest
from conftest import make_bundle

import duckprop
from duckprop.bundle import CARD, check_hashes, read_card
from duckprop.registry import Registry

ROOT = Path(duckprop.__file__).parents[1]
EACH = int(os.environ.get("DUCKPROP_PUBLISHES", "40"))
"""Versions that each of two publishers makes; what was asked for is 200, which takes longer."""

PUBLISH = """
import sys
from pathlib import Path
from duckprop.registry import Registry
registry, bundle, times = Registry(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(times):
    print(registry.publish(bundle, "shop").version, flush=True)
"""
LOAD = """
import sys
import duckprop
from duckprop.errors import ModelError
duckprop.load(sys.argv[3]).scorer()  # what is slow once is done
print("ready", flush=True)
sys.stdin.readline()
loads, newest = 0, 0
while newest < int(sys.argv[2]):
    try:
        model = duckprop.load("shop", sys.argv[1])
    except ModelError as error:
        assert "there is no model 'shop'" in str(error) and newest == 0, error
        continue
    model.scorer()  # reads every file against its sum
    number = int(model.reference.partition("@")[2])
    assert number >= newest, (number, newest)
    loads, newest = loads + 1, number
print(loads, flush=True)
"""
PROMOTE = """
import sys
from duckprop.registry import Registry
registry = Registry(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for at in range(24):
    registry.promote("shop", "champion", int(sys.argv[2]) + at % 2)
    registry.promote("shop", sys.argv[3], 1)
    registry.promote("shop", sys.argv[3], 2)
    registry.rollback("shop", sys.argv[3])
"""
DIE = """
import os, sys, time
from pathlib import Path
from duckprop import registry as module
from duckprop.registry import Registry
def wait(*_):
    print("copied", flush=True)
    time.sleep(600)
module.check_hashes = wait
Registry(sys.argv[1]).publish(Path(sys.argv[2]), "shop")
"""


@pytest.fixture
def start() -> Iterator:
    """Return ``start(script, *arguments)``: a process that has said its first line; it ends with the test."""
    begun = []

    def begin(script, *arguments):
        command = [sys.executable, "-c", script, *map(str, arguments)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        begun.append(subprocess.Popen(command, cwd=ROOT, **pipes))
        assert begun[-1].stdout.readline() in ("ready\n", "copied\n"), begun[-1].communicate()[1]
        return begun[-1]

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


def finish(processes):
    """Let processes go on, all at once, and return what each printed."""
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    printed = []
    for process in processes:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        printed.append([int(line) for line in out.split()])
    return printed


def test_two_publishers_and_a_reader_lose_nothing_and_read_nothing_torn(tmp_path, start):
    """200 each: DUCKPROP_PUBLISHES=200."""
    bundles = [make_bundle(tmp_path / f"bundle-{seed}", seed=seed) for seed in (1, 2)]
    registry = Registry(tmp_path / "registry")
    publishers = [start(PUBLISH, registry.root, bundle, EACH) for bundle in bundles]
    reader = start(LOAD, registry.root, 2 * EACH, bundles[0])
    began = monotonic()
    *numbers, loads = finish([*publishers, reader])
    print(f"{2 * EACH} versions and {loads[0]} loads in {monotonic() - began:.1f} s")
    assert sorted([*numbers[0], *numbers[1]]) == list(range(1, 2 * EACH + 1))
    assert sorted(map(len, numbers)) == [EACH, EACH]
    assert loads[0] > 5
    files = [{path.name: sum_of(path) for path in bundle.iterdir()} for bundle in bundles]
    for wrote, published in zip(files, numbers, strict=True):
        for number in published:
            folder = registry.resolve(f"shop@{number}").folder
            check_hashes(folder, read_card(folder))
            assert {path.name: sum_of(path) for path in folder.iterdir()} == wrote
    assert len(list((registry.root / "shop").iterdir())) == 2 * EACH  # and nothing half-written


def sum_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_promoters_at_once_lose_no_step_of_the_history(tmp_path, small_bundle, start):
    """One promotes versions 1 and 2 in turn, the other 3 and 4: each step changes the alias."""
    registry = Registry(tmp_path / "registry")
    for _ in range(4):
        registry.publish(small_bundle, "shop")
    finish([start(PROMOTE, registry.root, first, alias) for first, alias in ((1, "one"), (3, "two"))])
    aliases = registry.root / "shop" / "aliases"
    assert sorted(path.name for path in aliases.iterdir()) == ["champion", "one", "two"]
    stood = [int(line) for line in (aliases / "champion").read_text().split()]
    assert [number for number in stood if number < 3] == [2, 1] * 12
    assert [number for number in stood if number > 2] == [4, 3] * 12
    assert [(aliases / alias).read_text() for alias in ("one", "two")] == ["1\n", "1\n"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_killed_publisher_leaves_is_never_seen_and_the_next_removes_it(tmp_path, small_bundle, start, number):
    registry = Registry(tmp_path / "registry")
    first = registry.publish(small_bundle, "shop")
    publisher = start(DIE, registry.root, small_bundle)
    half = [path for path in first.folder.parent.iterdir() if path.name.startswith(".2.")]
    assert [(path / CARD).is_file() for path in half] == [True]
    assert (registry.versions(), registry.resolve("shop")) == ([first], first)
    publisher.send_signal(number)
    publisher.wait()
    assert (registry.versions(), registry.problems(), registry.resolve("shop")) == ([first], [], first)
    assert registry.publish(small_bundle, "shop").version == 2
    assert sorted(path.name for path in first.folder.parent.iterdir()) == ["1", "2"]


def test_publishers_killed_at_any_moment_leave_whole_versions_only(tmp_path, small_bundle, start):
    registry = Registry(tmp_path / "registry")
    for at in range(4):
        publisher = start(PUBLISH, registry.root, small_bundle, 10_000)
        publisher.stdin.write("go\n")
        publisher.stdin.flush()
        publisher.stdout.readline()
        sleep(0.013 * at)
        publisher.kill()
        publisher.wait()
    found = registry.versions()
    assert [version.version for version in found] == list(range(1, len(found) + 1))
    assert len(found) >= 4
    for version in found:
        check_hashes(version.folder, read_card(version.folder))
    last = registry.publish(small_bundle, "shop")
    assert sorted(path.name for path in last.folder.parent.iterdir()) == sorted(map(str, range(1, len(found) + 2)))


def test_a_promoter_that_died_holds_nothing_up(tmp_path, small_bundle, start):
    script = """
import sys, time
from pathlib import Path
from duckprop.aliases import changing
with changing(Path(sys.argv[1])):
    print("ready", flush=True)
    time.sleep(600)
"""
    registry = Registry(tmp_path / "registry")
    folder = registry.publish(small_bundle, "shop").folder.parent
    holder = start(script, folder)
    holder.kill()
    registry.promote("shop", "champion", 1)
    assert json.loads((folder / "aliases" / "champion").read_text()) == 1
