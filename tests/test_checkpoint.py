"""After any death, and whatever has become of its work folder, training ends with the same network."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_training import QUICK, parameters, shop

import duckprop
from duckprop.training import train
from duckprop.training.checkpoint import read_state

_TRAIN = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from test_training import QUICK, shop
from duckprop import bundle, mxnet_compat
from duckprop.training import checkpoint, loop, train

moment, at = sys.argv[3].split(":")
count = 0

def die():
    global count
    count += 1
    if count == int(at):
        os.kill(os.getpid(), signal.SIGKILL)

def dying(function, after=False):
    def wrapper(*args, **kwargs):
        if not after:
            die()
        result = function(*args, **kwargs)
        if after:
            die()
        return result
    return wrapper

epochs = []
def report(progress):
    if progress.rows_done:
        epochs.append(progress.epoch)
        if moment == "batch":
            die()

if moment == "save":
    mxnet_compat.save_arrays = dying(mxnet_compat.save_arrays, after=True)
if moment == "commit":
    loop.commit = dying(loop.commit)
if moment == "committed":
    loop.commit = dying(loop.commit, after=True)
if moment == "card":
    bundle.write_card = dying(bundle.write_card)
train("features", "labels", con=shop(), settings=QUICK, folder=sys.argv[2], min_positives=5, report=report)
print(epochs[0] if epochs else "none")
"""


def train_and_die(folder, moment):
    """Run the training in a process of its own; return (killed, first epoch it trained)."""
    command = [sys.executable, "-c", _TRAIN, str(Path(__file__).parent), str(folder), moment]
    done = subprocess.run(command, cwd=Path(duckprop.__file__).parents[1], capture_output=True, text=True)
    assert done.returncode in (0, -9), done.stderr
    return done.returncode == -9, done.stdout.strip()


def test_after_any_death_training_ends_with_the_same_bytes(tmp_path):
    assert train_and_die(tmp_path / "undisturbed", "never:1") == (False, "1")
    for moment in ("batch:3", "save:1", "commit:1", "committed:1", "save:2", "card:1"):
        assert train_and_die(tmp_path / "killed", moment) == (True, ""), moment
    assert train_and_die(tmp_path / "killed", "never:1") == (False, "none")
    for name in ("model-0000.params", "model-symbol.json", "baseline.parquet"):
        assert (tmp_path / "killed/bundle" / name).read_bytes() == (tmp_path / "undisturbed/bundle" / name).read_bytes()


def test_training_goes_on_from_the_last_whole_epoch(tmp_path):
    assert train_and_die(tmp_path, "batch:17") == (True, "")  # seven batches an epoch
    assert train_and_die(tmp_path, "never:1") == (False, "3")


@pytest.fixture(scope="module")
def half_way(tmp_path_factory):
    """A work folder after two of four epochs, and the bytes of the network that an undisturbed training ends with."""
    folder = tmp_path_factory.mktemp("training")

    def stop(progress):
        if progress.epoch == 3:
            raise KeyboardInterrupt

    options = {"con": shop(), "settings": QUICK, "min_positives": 5}
    with pytest.raises(KeyboardInterrupt):
        train("features", "labels", **options, folder=folder / "half", report=stop)
    return folder / "half", parameters(train("features", "labels", **options, folder=folder / "whole"))


def editing(**change):
    def edit(folder):
        state = json.loads((folder / "state.json").read_text())
        (folder / "state.json").write_text(json.dumps({**state, **change}))

    return edit


def writing(name, data):
    return lambda folder: (folder / name).write_bytes(data)


def cutting(name):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-20])


def flipping(name):
    def flip(folder):
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 0x40
        (folder / name).write_bytes(data)

    return flip


HARM = {
    "nothing": lambda folder: None,
    "no state": lambda folder: (folder / "state.json").unlink(),
    "empty state": writing("state.json", b""),
    "half a state": cutting("state.json"),
    "state of another kind": writing("state.json", b"[1]"),
    "state not UTF-8": writing("state.json", b"\xff"),
    "new state half written": writing("state.json.new", b'{"epo'),
    "epoch as text": editing(epoch="2"),
    "later epoch": editing(epoch=3),
    "earlier epoch": editing(epoch=1),
    "no history": editing(history=[]),
    "strange history": editing(history=[{"epoch": 1}]),
    "no files": editing(files={}),
    "no params": lambda folder: (folder / "epoch-0002/params").unlink(),
    "params cut off": cutting("epoch-0002/params"),
    "params changed": flipping("epoch-0002/params"),
    "no optimizer states": lambda folder: (folder / "epoch-0002/states").unlink(),
    "states empty": writing("epoch-0002/states", b""),
    "states changed": flipping("epoch-0002/states"),
    "no epoch": lambda folder: shutil.rmtree(folder / "epoch-0002"),
    "next epoch half there": lambda folder: (folder / "epoch-0003").mkdir(),
    "next epoch half written": lambda folder: (folder / "epoch-0003.new").mkdir(),
    "a bundle half there": lambda folder: (folder / "bundle").mkdir(),
}


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM.keys())
def test_a_harmed_work_folder_changes_nothing_of_the_result(tmp_path, half_way, harm):
    folder = tmp_path / "work"
    shutil.copytree(half_way[0], folder)
    harm(folder)
    model = train("features", "labels", con=shop(), settings=QUICK, min_positives=5, folder=folder)
    assert parameters(model) == half_way[1]
    assert len(model.card["training"]["history"]) == 4


def test_the_half_way_folder_is_one_to_go_on_from(half_way):
    key = json.loads((half_way[0] / "state.json").read_text())["fingerprint"]
    assert read_state(half_way[0], key).epoch == 2
    assert read_state(half_way[0], "other").epoch == 0
