"""Training's own state on disk: after any death, the next run goes on from the last whole epoch."""

import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

from duckprop.training.settings import Epoch


@dataclass
class State:
    """What has been reached. The arrays lie in ``epoch-N/`` beside it: params, and optimizer states."""

    fingerprint: str
    epoch: int = 0
    best_epoch: int = 0
    history: list[Epoch] = field(default_factory=list)

    @property
    def best_log_loss(self) -> float:
        """Lowest validation log loss so far."""
        return min((past.validation_log_loss for past in self.history), default=float("inf"))


def read_state(folder: Path, fingerprint: str) -> State:
    """Return the state in a work folder; a fresh one where there is none, or where data or settings have changed."""
    try:
        raw = json.loads((folder / "state.json").read_text())
        history = [Epoch(**past) for past in raw["history"]]
        state = State(raw["fingerprint"], raw["epoch"], raw["best_epoch"], history)
    except (OSError, ValueError, KeyError, TypeError):
        return State(fingerprint)
    if state.fingerprint != fingerprint or not all(epoch_folder(folder, n).is_dir() for n in _kept(state)):
        return State(fingerprint)
    return state


def commit(folder: Path, state: State) -> None:
    """Make ``state`` the one to resume from; its epoch's folder must be complete. Older epochs are removed."""
    temporary = folder / "state.json.new"
    temporary.write_text(json.dumps(asdict(state)))
    os.replace(temporary, folder / "state.json")
    for old in folder.glob("epoch-*"):
        if old not in [epoch_folder(folder, number) for number in _kept(state)]:
            shutil.rmtree(old, ignore_errors=True)


def epoch_folder(folder: Path, epoch: int) -> Path:
    """Return where the arrays of an epoch lie."""
    return folder / f"epoch-{epoch:04d}"


def _kept(state: State) -> set[int]:
    return {state.epoch, state.best_epoch} - {0}
