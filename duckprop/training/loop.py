"""The training loop: MXNet's BucketingModule, early stopping on the validation rows, a checkpoint every epoch."""

import math
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from duckprop import mxnet_compat
from duckprop.errors import UsageError
from duckprop.outcomes import Outcomes
from duckprop.sparse import SparseBatch
from duckprop.training.checkpoint import State, commit, epoch_folder, read_state
from duckprop.training.iterator import SparseIter
from duckprop.training.metric import MultiLabelLogLoss
from duckprop.training.settings import Epoch, Progress, Report, Settings
from duckprop.training.symbol import Shape, build_symbol, initial_parameters

mx = mxnet_compat.load()


class Trainer:
    """Trains one network on rows and outcomes in memory; ``run`` resumes what ``folder`` holds of the same training."""

    def __init__(
        self,
        rows: SparseBatch,
        outcomes: Outcomes,
        *,
        train: NDArray[np.integer],
        validation: NDArray[np.integer],
        settings: Settings,
        folder: Path,
        fingerprint: str,
    ) -> None:
        """Train and validation: positions of the rows; fingerprint: changes when data or settings change."""
        if rows.width * settings.hidden[0] >= 2**31:
            raise UsageError(
                f"{rows.width:,} features × {settings.hidden[0]:,} units are more than MXNet 1.9.1 can hold",
                "number the features without gaps, or take fewer units: features × units has to stay under 2³¹",
            )
        self.settings, self.folder = settings, folder
        self.state = read_state(folder, fingerprint)
        common = {"batch": min(settings.batch, len(train)), "seed": settings.seed}
        self.train = SparseIter(train, rows, outcomes, **common)
        self.validation = SparseIter(validation, rows, outcomes, **common)
        self.shape = Shape(rows.width, settings.hidden, len(outcomes.categories), len(outcomes.classes))
        self._module = self._bound(outcomes.class_rates(train, prior=1))

    def run(self, report: Report | None = None) -> State:
        """Train to the end and return the state; the best epoch's parameters are in ``best_parameters``.

        An epoch whose log loss is not a number ends it too. Raises UsageError where that is the first one.
        """
        self._tell(report, 0)
        while not self.finished:
            began = time.monotonic()
            epoch = self.state.epoch + 1
            train_loss = self._train_epoch(epoch, report)
            loss = self._validate()
            if not math.isfinite(train_loss + loss):
                break
            done = Epoch(epoch, train_loss, loss, time.monotonic() - began)
            best = epoch if loss < self.state.best_log_loss else self.state.best_epoch
            self.state = replace(self.state, epoch=epoch, best_epoch=best, history=[*self.state.history, done])
            self._save(epoch_folder(self.folder, epoch))
            commit(self.folder, self.state)
            self._tell(report, 0)
        if not self.state.best_epoch:
            raise UsageError(
                "training diverged in its first epoch: its log loss is not a number", "lower learning_rate"
            )
        return self.state

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or the patience is used up."""
        stale = self.state.epoch - self.state.best_epoch
        return self.state.epoch >= self.settings.epochs or (self.state.epoch > 0 and stale >= self.settings.patience)

    def best_parameters(self) -> Path:
        """Return the .params file of the epoch with the lowest validation log loss."""
        return epoch_folder(self.folder, self.state.best_epoch) / "params"

    def _train_epoch(self, epoch: int, report: Report | None) -> float:
        mx.random.seed(self.settings.seed * 1_000_003 + epoch)  # dropout: the same whether resumed or not
        self.train.start_epoch(epoch)
        metric, done = MultiLabelLogLoss(), 0
        for batch in self.train:
            self._module.forward_backward(batch)
            self._module.update()
            self._module.update_metric(metric, batch.label)
            done += len(batch.index)
            self._tell(report, done)
        return metric.get()[1]

    def _tell(self, report: Report | None, rows_done: int) -> None:
        if report:
            epochs = self.settings.epochs
            now = (min(self.state.epoch + 1, epochs), epochs, rows_done, len(self.train.ids))
            report(Progress(*now, tuple(self.state.history)))

    def _validate(self) -> float:
        metric = MultiLabelLogLoss()
        self.validation.reset()
        for batch in self.validation:
            self._module.forward(batch, is_train=False)
            self._module.update_metric(metric, batch.label)
        return metric.get()[1]

    # --- MXNet -------------------------------------------------------------------------------------------------------

    def _bound(self, class_rates: NDArray[np.floating]) -> Any:
        symbol = build_symbol(self.shape, self.settings.dropout)
        module = mx.mod.BucketingModule(
            lambda _rows: (symbol, ["data"], ["softmax_label"]), self.train.batch_size, context=mx.cpu()
        )
        module.bind(self.train.provide_data, self.train.provide_label)
        resumed = epoch_folder(self.folder, self.state.epoch)
        module.init_params(None, arg_params=self._starting_parameters(class_rates, resumed), aux_params={})
        module.init_optimizer(
            kvstore=None,
            optimizer="adagrad",
            # SoftmaxOutput's gradient is a sum over the batch
            optimizer_params={"learning_rate": self.settings.learning_rate, "rescale_grad": 1 / self.train.batch_size},
        )
        if self.state.epoch:
            states = mx.nd.load(str(resumed / "states"))
            updater(module).states = {int(name): array for name, array in states.items()}
            updater(module).states_synced = dict.fromkeys(updater(module).states, True)
        return module

    def _starting_parameters(self, class_rates: NDArray[np.floating], resumed: Path) -> dict[str, Any]:
        if self.state.epoch:
            return {name[4:]: array for name, array in mx.nd.load(str(resumed / "params")).items()}
        start = initial_parameters(self.shape, class_rates, self.settings.seed)
        arrays = {name: mx.nd.array(array) for name, array in start.items()}
        return arrays | {"fc1_weight": arrays["fc1_weight"].tostype("row_sparse")}

    def _save(self, target: Path) -> None:
        """Write parameters and optimizer states as plain arrays; a folder of that name appears only when whole."""
        temporary = target.with_name(target.name + ".new")
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(target, ignore_errors=True)
        temporary.mkdir(parents=True)
        parameters, _ = self._module.get_params()
        mxnet_compat.save_arrays(temporary / "params", {f"arg:{name}": array for name, array in parameters.items()})
        states = updater(self._module).states
        mxnet_compat.save_arrays(temporary / "states", {str(at): array for at, array in states.items()})
        os.replace(temporary, target)


def updater(module: Any) -> Any:
    """Return the object that holds a module's optimizer states; MXNet offers them only as a pickle."""
    return module._curr_module._updater
