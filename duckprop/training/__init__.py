"""Training: the only place that builds MXNet graphs to train."""

from duckprop.training.fit import train
from duckprop.training.settings import Epoch, Progress, Settings

__all__ = ["Epoch", "Progress", "Settings", "train"]
