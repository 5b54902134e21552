"""Multi-label log loss as an MXNet EvalMetric; MXNet's own ``ce`` asserts on labels that are probabilities."""

from typing import Any

import numpy as np

from duckprop import mxnet_compat

mx = mxnet_compat.load()


class MultiLabelLogLoss(mx.metric.EvalMetric):  # type: ignore[name-defined]
    """Mean negative log probability of the true class over rows × categories; NaN over nothing, as MXNet has it."""

    def __init__(self) -> None:
        super().__init__("multi_label_log_loss")

    def update(self, labels: list[Any], preds: list[Any]) -> None:
        """Add a batch: labels and predictions are lists of arrays (B, N, K) of class probabilities."""
        for label, pred in zip(labels, preds, strict=True):
            truth, probability = label.asnumpy(), pred.asnumpy()
            chosen = (truth * probability).sum(axis=-1, dtype=np.float64)
            self.sum_metric += float(-np.log(np.clip(chosen, 1e-15, 1)).sum())
            self.num_inst += chosen.size
