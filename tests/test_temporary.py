"""What a dead process left is removed; what a living one, another machine or nobody of ours wrote, is not."""

import os
import subprocess
import sys

from duckprop.temporary import remove_leftovers, temporary_path

DEAD = "import sys, pathlib; from duckprop.temporary import temporary_path as t; print(t(pathlib.Path(sys.argv[1])))"


def left_behind(target):
    """A temporary name of a process that has ended."""
    ran = subprocess.run([sys.executable, "-c", DEAD, str(target)], capture_output=True, text=True, check=True)
    return target.with_name(os.path.basename(ran.stdout.strip()))


def test_names_are_hidden_and_each_their_own(tmp_path):
    target = tmp_path / "a [1].parquet"
    first, second = temporary_path(target), temporary_path(target)
    assert first != second
    assert first.parent == tmp_path
    assert first.name.startswith(".a [1].parquet.")


def test_only_what_dead_processes_of_this_machine_left_is_removed(tmp_path):
    target = tmp_path / "a [1].parquet"
    mine, others = temporary_path(target), left_behind(tmp_path / "b.parquet")
    dead = left_behind(target)
    elsewhere = dead.with_name(f".{target.name}.another-machine.{dead.name.split('.')[-3]}.0123abcd.part")
    kept = [mine, others, elsewhere, tmp_path / ".a [1].parquet.part"]
    for path in [dead, *kept]:
        path.write_text("x")
    remove_leftovers(tmp_path, target.name)
    assert sorted(tmp_path.iterdir()) == sorted(kept)
    remove_leftovers(tmp_path)
    assert not others.exists()


def test_folders_are_removed_whole(tmp_path):
    folder = left_behind(tmp_path / "1")
    folder.mkdir()
    (folder / "file").write_text("x")
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []
