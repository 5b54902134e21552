"""Training: the only place that builds MXNet graphs to train."""

from duckprop.training.settings import Epoch, Progress, Settings
from duckprop.training.fit import train

__all__ = ["Epoch", "Progress", "Settings", "train"]
