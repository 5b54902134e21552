"""Training's own state on disk: after any death, the next run goes on from the last whole epoch."""

import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

from duckprop import bundle
from duckprop.training.settings import Epoch


@dataclass
class State:
    """What has been reached. The arrays lie in ``epoch-N/`` beside it: params, and optimizer states.

    files: size and SHA-256 of each of these, by its path in the work folder.
    """

    fingerprint: str
    epoch: int = 0
    best_epoch: int = 0
    history: list[Epoch] = field(default_factory=list)
    files: dict[str, dict[str, object]] = field(default_factory=dict)

    @property
    def best_log_loss(self) -> float:
        """Lowest validation log loss so far."""
        return min((past.validation_log_loss for past in self.history), default=float("inf"))


def read_state(folder: Path, fingerprint: str) -> State:
    """Return the state in a work folder; a fresh one where there is none, or it is of other data, settings or files."""
    try:
        raw = json.loads((folder / "state.json").read_text())
        history = [Epoch(**past) for past in raw["history"]]
        state = State(raw["fingerprint"], raw["epoch"], raw["best_epoch"], history, raw["files"])
        whole = state.files == {name: bundle.fingerprint(folder / name) for name in _files(folder, state)}
    except (OSError, ValueError, KeyError, TypeError):
        return State(fingerprint)
    return state if whole and state.fingerprint == fingerprint and state.epoch == len(history) else State(fingerprint)


def commit(folder: Path, state: State) -> None:
    """Make ``state`` the one to resume from; its epoch's folder must be complete. Older epochs are removed."""
    state.files = {name: state.files.get(name) or bundle.fingerprint(folder / name) for name in _files(folder, state)}
    temporary = folder / "state.json.new"
    temporary.write_text(json.dumps(asdict(state)))
    os.replace(temporary, folder / "state.json")
    for old in folder.glob("epoch-*"):
        if old not in [epoch_folder(folder, number) for number in _kept(state)]:
            shutil.rmtree(old, ignore_errors=True)


def epoch_folder(folder: Path, epoch: int) -> Path:
    """Return where the arrays of an epoch lie."""
    return folder / f"epoch-{epoch:04d}"


def _files(folder: Path, state: State) -> list[str]:
    return [f"{epoch_folder(folder, number).name}/{name}" for number in _kept(state) for name in ("params", "states")]


def _kept(state: State) -> set[int]:
    return {state.epoch, state.best_epoch} - {0}
