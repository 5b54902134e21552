"""What is scored: a model's bundle, and sparse rows that are never zero and the same for every side."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from duckprop import bundle, mxnet_compat
from duckprop.errors import DataError, UsageError
from duckprop.features import read_features
from duckprop.model import Model
from duckprop.relation import as_query, columns_of, require
from duckprop.sparse import SparseBatch, build


@dataclass(frozen=True)
class Sizes:
    """rows; width F; nonzeros a row; hidden units by layer; categories C of two classes; zipf: exponent of F."""

    rows: int = 65_536
    width: int = 200_000
    nonzeros: int = 60
    hidden: tuple[int, ...] = (128,)
    categories: int = 2_000
    zipf: float = 0.8


DEFAULT = Sizes()
QUICK = Sizes(rows=8_192, width=20_000, nonzeros=30, hidden=(32,), categories=200)


@dataclass(frozen=True)
class Workload:
    """A model and the rows it scores; ``source`` says in words where the rows come from."""

    model: Model
    batch: SparseBatch
    source: str

    def table(self) -> pa.Table:
        """Return ``id`` int64 from 0, ``features`` struct<indices: list<int32>, values: list<float32>>; no NULL."""
        offsets = pa.array(self.batch.indptr.astype(np.int32))
        lists = [pa.ListArray.from_arrays(offsets, pa.array(part)) for part in (self.batch.indices, self.batch.values)]
        features = pa.StructArray.from_arrays(lists, names=["indices", "values"])
        return pa.table({"id": pa.array(np.arange(len(self.batch))), "features": features})

    def describe(self) -> dict[str, Any]:
        """Return the shape of the work, for the report."""
        card, lengths = self.model.card, np.diff(self.batch.indptr)
        return {
            "model": self.model.reference,
            "rows": len(self.batch),
            "source": self.source,
            "features": self.model.width,
            "nonzeros_per_row": round(self.batch.nnz / len(self.batch), 1),
            "nonzeros_range": [int(lengths.min()), int(lengths.max())],
            "layers": card.get("layers"),
            "categories": len(self.model.categories),
            "classes": len(self.model.classes),
        }


def synthetic(folder: Path, sizes: Sizes, seed: int) -> Workload:
    """Write a model with random weights to ``folder``, which must not exist, and draw rows for it."""
    _write_bundle(folder, sizes, seed)
    model = Model(folder, f"random, seed {seed}")
    return Workload(model, zipf_rows(sizes, seed), _drawn(sizes, seed))


def published(model: Model, features: str | None, sizes: Sizes, seed: int) -> Workload:
    """Take a published model, and at most ``sizes.rows`` rows: of a features relation, or drawn for its width.

    The relation's column ``features`` may be of any accepted type; rows where it is NULL are left out.
    Raises DataError where it cannot be read or has no rows.
    """
    if features is None:
        fitting = replace(sizes, width=model.width, nonzeros=max(1, min(sizes.nonzeros, model.width // 4)))
        return Workload(model, zipf_rows(fitting, seed), _drawn(fitting, seed))
    with duckdb.connect() as con:
        require(columns_of(con, features, "the features relation"), ["features"], "the features relation")
        query = f"SELECT features FROM ({as_query(features)}) WHERE features IS NOT NULL LIMIT {sizes.rows:d}"
        column = con.sql(query).to_arrow_table()["features"]
    batch = read_features(column, model.width, model.vocabulary)
    batch = batch.take(np.flatnonzero(~batch.is_null))
    if not len(batch):
        raise DataError("the features relation has no rows to score", "give one row a customer, not all of them NULL")
    return Workload(model, batch, features)


def zipf_rows(sizes: Sizes, seed: int) -> SparseBatch:
    """Draw rows of exactly ``nonzeros`` different columns, popular ones by Zipf's law, values positive (log-normal).

    Popular columns are spread over the whole width: side by side they would sit in the cache together.
    Raises UsageError where a row could not have so many different columns, or for no rows.
    """
    if sizes.rows < 1 or not 0 < sizes.nonzeros <= max(sizes.width // 2, 1):
        raise UsageError(
            f"{sizes.rows} rows of {sizes.nonzeros} non-zeros in {sizes.width} columns cannot be drawn",
            "ask for at least one row, and for non-zeros in at most half of the columns",
        )
    random = np.random.default_rng([seed, 1])
    columns = _distinct(sizes, random)
    indptr = np.arange(sizes.rows + 1, dtype=np.int64) * sizes.nonzeros
    values = random.lognormal(0, 0.5, columns.size).astype(np.float32)
    return build(indptr, np.sort(random.permutation(sizes.width)[columns], axis=1).ravel(), values, sizes.width)


def _distinct(sizes: Sizes, random: np.random.Generator) -> NDArray[np.int64]:
    """Return popularity ranks (rows, nonzeros); whatever a row has twice is drawn again."""
    cumulated = np.cumsum(np.arange(1, sizes.width + 1) ** -sizes.zipf)
    cumulated /= cumulated[-1]
    ranks = np.searchsorted(cumulated, random.random((sizes.rows, sizes.nonzeros)))
    todo = np.arange(len(ranks))
    while len(todo):
        part = np.sort(ranks[todo], axis=1)
        repeated = part[:, 1:] == part[:, :-1]
        part[:, 1:][repeated] = np.searchsorted(cumulated, random.random(int(repeated.sum())))
        ranks[todo] = part
        todo = todo[repeated.any(axis=1)]
    return ranks


def _drawn(sizes: Sizes, seed: int) -> str:
    return f"drawn, Zipf {sizes.zipf:g}, seed {seed}"


def _write_bundle(folder: Path, sizes: Sizes, seed: int) -> None:
    from duckprop.training.symbol import Shape, build_symbol, initial_parameters  # brings MXNet: not for every side

    mx = mxnet_compat.load()
    shape = Shape(sizes.width, sizes.hidden, sizes.categories)
    rates = np.random.default_rng([seed, 2]).uniform(0.005, 0.3, sizes.categories)
    arrays = initial_parameters(shape, np.stack([rates, 1 - rates], axis=1), seed)
    arrays["fc1_weight"] *= 20  # an untrained network says nearly the same of everyone
    stored = {f"arg:{name}": mx.nd.array(array) for name, array in arrays.items()}
    stored["arg:fc1_weight"] = stored["arg:fc1_weight"].tostype("row_sparse")
    with bundle.new_folder(folder) as new:
        build_symbol(shape).save(str(new / f"{bundle.PREFIX}-symbol.json"))
        mxnet_compat.save_arrays(new / f"{bundle.PREFIX}-0000.params", stored)
        card = {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "categories": [f"category {number}" for number in range(sizes.categories)],
            "classes": ["yes", "no"],
            "positive": 0,
            "features": {"width": sizes.width, "named": False},
            "layers": [sizes.width, *sizes.hidden, sizes.categories * 2],
            "base_rates": rates.tolist(),
        }
        bundle.write_card(new, card)
