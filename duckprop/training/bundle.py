"""A finished training → a bundle that plain MXNet loads too."""

import platform
import shutil
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

import duckprop
from duckprop import bundle
from duckprop.baseline import write_baseline
from duckprop.compiled import CompiledScorer
from duckprop.dataset import Rows
from duckprop.evaluation.metrics import evaluate
from duckprop.evaluation.quality import recorded
from duckprop.formats.mxnet import read_checkpoint
from duckprop.model import Model
from duckprop.outcomes import Outcomes
from duckprop.sparse import SparseBatch
from duckprop.training.loop import Trainer
from duckprop.training.symbol import build_symbol
from duckprop.vocabulary import Vocabulary

_SAMPLE_ROWS = 64
_LIBRARIES = ("duckprop", "mxnet", "duckdb", "numpy", "scipy", "pyarrow")


def make_bundle(
    trainer: Trainer, rows: Rows, about: dict[str, Any], target: Path, *, names: Vocabulary | None
) -> Model:
    """Write the best epoch's network and its card to ``target``, replacing what an earlier run left there."""
    shutil.rmtree(target, ignore_errors=True)
    with bundle.new_folder(target) as folder:
        build_symbol(trainer.shape, trainer.settings.dropout).save(str(folder / f"{bundle.PREFIX}-symbol.json"))
        shutil.copyfile(trainer.best_parameters(), folder / f"{bundle.PREFIX}-0000.params")
        if names:
            names.write(folder / bundle.VOCABULARY)
        sample = np.sort(trainer.validation.ids)[:_SAMPLE_ROWS]
        write_sample(folder / bundle.SAMPLE, rows.batch.take(sample))
        scorer = CompiledScorer(read_checkpoint(folder, bundle.PREFIX))
        metrics = {}
        for name, index in _windows(trainer, rows).items():
            propensities = scorer.score(rows.batch.take(index))
            metrics[name] = _metrics(trainer.train.outcomes, rows, index, propensities)
            if name == "validation":
                write_baseline(folder, propensities)
        bundle.write_card(folder, _card(trainer, rows, about, names) | {"metrics": metrics})
    return Model(target)


def write_sample(path: Path, batch: SparseBatch) -> None:
    """Write rows as a Parquet file of one column: features STRUCT(indices INTEGER[], "values" FLOAT[])."""
    offsets = pa.array(batch.indptr.astype(np.int32))
    lists = [pa.ListArray.from_arrays(offsets, pa.array(part)) for part in (batch.indices, batch.values)]
    pq.write_table(pa.table({"features": pa.StructArray.from_arrays(lists, names=["indices", "values"])}), path)


def _windows(trainer: Trainer, rows: Rows) -> dict[str, NDArray[np.integer]]:
    """Return the positions of the rows of each window on which the network is judged."""
    windows = {"validation": trainer.validation.ids, "test": rows.where("test")}
    return {name: index for name, index in windows.items() if len(index)}


def _metrics(
    outcomes: Outcomes, rows: Rows, index: NDArray[np.integer], propensities: NDArray[np.float32]
) -> dict[str, Any]:
    happened = outcomes.positives(index)
    result = evaluate(happened, propensities)
    means = propensities.mean(axis=0, dtype=np.float64).tolist()
    customers = rows.ids.column(0).take(pa.array(index)).combine_chunks().dictionary_encode().indices.to_numpy()
    own = {"overall": dict(result.overall), "support": dict(result.support), "mean_propensity": means}
    return own | recorded(result, happened, propensities, customers)


def _card(trainer: Trainer, rows: Rows, about: dict[str, Any], names: Vocabulary | None) -> dict[str, Any]:
    shape, outcomes, training = trainer.shape, trainer.train.outcomes, trainer.train.ids
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "categories": list(outcomes.categories),
        "classes": list(outcomes.classes),
        "positive": 0,
        "features": {
            "width": shape.width,
            "named": names is not None,
            "per_row": rows.batch.nnz / len(rows.batch),
            "out_of_vocabulary": {name: rows.unknown_share(index) for name, index in _windows(trainer, rows).items()},
        },
        "preprocessing": "none: the network scales each row to norm 1 itself",
        "layers": [shape.width, *shape.hidden, shape.heads * shape.classes],
        "outcome": about["outcome"],
        "windows": about["windows"],
        "calibration": None,
        "base_rates": outcomes.class_rates(training)[:, 0].tolist(),
        "training": {
            "rows": len(training),
            "rows_without_features": rows.without_features,
            "positives": outcomes.positive_counts(training).tolist(),
            **about["left_out"],
            "data_sha256": about["fingerprint"],
            "settings": about["settings"],
            "best_epoch": trainer.state.best_epoch,
            "history": [asdict(epoch) for epoch in trainer.state.history],
        },
        "versions": {**{name: _installed(name) for name in _LIBRARIES}, "python": platform.python_version()},
    }


def _installed(name: str) -> str | None:
    if name == "duckprop":
        return duckprop.__version__
    try:
        return version(name)
    except PackageNotFoundError:  # run from a checkout that was never installed
        return None
