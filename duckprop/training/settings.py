"""What can be set in training, and how far it has come."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

from duckprop.errors import UsageError


@dataclass(frozen=True)
class Settings:
    """Training settings.

    hidden: units of each hidden layer. dropout: share of the last hidden layer's units left out in training, [0, 1).
    patience: epochs without a better validation log loss before training stops early.
    """

    hidden: tuple[int, ...] = (256,)
    dropout: float = 0.3
    learning_rate: float = 0.05
    batch: int = 256
    epochs: int = 12
    patience: int = 2
    seed: int = 1

    def __post_init__(self) -> None:
        whole = {"batch": self.batch, "epochs": self.epochs, "patience": self.patience}
        for name, value in [*whole.items(), *(("hidden", size) for size in self.hidden)]:
            if value < 1:
                raise UsageError(f"{name} is {value}", f"give {name} a whole number from 1")
        if not self.hidden:
            raise UsageError("no hidden layer is given", "give at least one, such as hidden=(256,)")
        if not 0 <= self.dropout < 1 or not 0 < self.learning_rate < 100 or self.seed < 0:
            raise UsageError(
                f"dropout {self.dropout}, learning rate {self.learning_rate} or seed {self.seed} is out of range",
                "dropout is in [0, 1), the learning rate above 0, the seed a whole number from 0",
            )

    def as_dict(self) -> dict[str, object]:
        """Return the settings as JSON knows them."""
        return {**asdict(self), "hidden": list(self.hidden)}


@dataclass(frozen=True)
class Epoch:
    """One finished epoch, counted from 1: mean log loss over rows × categories, and seconds of wall time."""

    epoch: int
    train_log_loss: float
    validation_log_loss: float
    seconds: float


@dataclass(frozen=True)
class Progress:
    """Where training stands: rows done of all rows that it may take, in which epoch, and the epochs behind it."""

    epoch: int
    epochs: int
    rows_done: int
    rows_in_epoch: int
    history: tuple[Epoch, ...]


Report = Callable[[Progress], None]
