"""The wheel holds every file of the shipped folders and nothing else, and works from anywhere."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOMES = {"duckprop": "duckprop", "udfs": "duckprop/udfs", "sql": "duckprop/sql", "benchmarks": "duckprop/benchmarks"}

_USE = """
import sys
from pathlib import Path
unpacked = Path(sys.argv[1])
sys.path.insert(0, str(unpacked))
import duckprop, duckprop.udfs, duckprop.sql, duckprop.benchmarks
for module in (duckprop, duckprop.udfs, duckprop.sql, duckprop.benchmarks):
    assert Path(module.__file__).is_relative_to(unpacked), module.__file__
assert duckprop.__path__ == [str(unpacked / "duckprop")]
assert all(duckprop.sql.read(name) for name in duckprop.sql.MACROS)
con = duckprop.connect(registry=sys.argv[2])
assert con.execute("SELECT count(*) FROM propensity_models()").fetchall() == [(0,)]
con.close()
"""


def source_files():
    """Every file that git tracks, or would if asked, without those deleted since."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    return sorted(name for name in set(listed) - {""} if (ROOT / name).is_file())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from a copy: setuptools leaves build/ behind, and stale files of it leak into the next wheel."""
    folder = tmp_path_factory.mktemp("packaging")
    for name in source_files():
        target = folder / "source" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, folder / "source"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_shipped_folders_file_by_file(wheel):
    expected = {
        f"{HOMES[top]}/{rest}": ROOT / top / rest
        for top, _, rest in (name.partition("/") for name in source_files())
        if top in HOMES
    }
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert names == expected.keys()
        assert [name for name, path in expected.items() if archive.read(name) != path.read_bytes()] == []
    assert len(names) > 60


def test_the_unpacked_wheel_works_from_another_folder(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "unpacked")
    (tmp_path / "elsewhere").mkdir()
    command = [sys.executable, "-c", _USE, tmp_path / "unpacked", tmp_path / "registry"]
    done = subprocess.run(command, cwd=tmp_path / "elsewhere", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
