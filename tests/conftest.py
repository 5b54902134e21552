"""What many tests share: a small network with known weights, published in a registry of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

import duckprop
from duckprop import bundle, mxnet_compat
from duckprop.baseline import write_baseline
from duckprop.compiled import CompiledScorer
from duckprop.formats.mxnet import read_checkpoint
from duckprop.registry import Registry
from duckprop.training.symbol import Shape, build_symbol, initial_parameters
from duckprop.verify import random_rows
from duckprop.vocabulary import Vocabulary

CATEGORIES = ("books", "garden", "music", "shoes", "toys")
WIDTH = 40
NAMES = tuple(f"item {column}" for column in range(WIDTH))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-transcripts", action="store_true", help="write tests/expected/*.out anew")
    parser.addoption("--imports-table", help="write the differences of all imports from their sources to this file")


_imports: list[tuple[str, str, str, float, float]] = []


@pytest.fixture
def record_import() -> Callable[..., None]:
    """Return ``record(source, framework, topology, difference, tolerance)``; asserts it, and keeps it for the table."""

    def record(source: str, framework: str, topology: str, difference: float, tolerance: float = 1e-6) -> None:
        _imports.append((source, framework, topology, difference, tolerance))
        assert difference <= tolerance

    return record


def pytest_sessionfinish(session: pytest.Session) -> None:
    target = session.config.getoption("--imports-table")
    if target:
        lines = [f"| {s} | {f} | {t} | {d:.1e} | {limit:.0e} |" for s, f, t, d, limit in sorted(set(_imports))]
        head = ["| source | compared with | topology | largest difference | tolerance |", "|---|---|---|---|---|"]
        Path(target).write_text("\n".join([_TABLE, *head, *lines, ""]))


_TABLE = """# Imports, and how far they are from their source

1,000 sparse rows each, a tenth of them empty: propensities of the compiled engine against those that the source's own
framework computes. Written by `make imports`, which runs the tests of every format.
"""


def make_bundle(
    target: Path,
    *,
    hidden: tuple[int, ...] = (16, 8),
    categories: tuple[str, ...] = CATEGORIES,
    classes: tuple[str, ...] = ("yes", "no"),
    width: int = WIDTH,
    names: tuple[str, ...] | None = NAMES,
    seed: int = 7,
) -> Path:
    """Write a real bundle, as training does, with random weights large enough for propensities to differ."""
    mx = mxnet_compat.load()
    shape = Shape(width, hidden, len(categories), len(classes))
    rates = np.random.default_rng(seed).dirichlet(np.ones(len(classes)), len(categories))
    arrays = {name: array * 3 for name, array in initial_parameters(shape, rates, seed).items()}
    with bundle.new_folder(target) as folder:
        build_symbol(shape, dropout=0.2).save(str(folder / "model-symbol.json"))
        stored = {f"arg:{name}": mx.nd.array(array) for name, array in arrays.items()}
        stored["arg:fc1_weight"] = stored["arg:fc1_weight"].tostype("row_sparse")
        mxnet_compat.save_arrays(folder / "model-0000.params", stored)
        if names:
            Vocabulary(names).write(folder / bundle.VOCABULARY)
        scorer = CompiledScorer(read_checkpoint(folder, bundle.PREFIX))
        write_baseline(folder, scorer.score(random_rows(np.random.default_rng(seed), "many", 300, width)))
        card: dict[str, Any] = {
            "created": "2026-01-02T03:04:05+00:00",
            "categories": list(categories),
            "classes": list(classes),
            "positive": 0,
            "features": {"width": width, "named": bool(names)},
            "base_rates": rates[:, 0].tolist(),
            "metrics": {"test": {"overall": {"macro_auc": 0.75, "log_loss": 0.25}, "support": {"rows": 100}}},
        }
        bundle.write_card(folder, card)
    return target


@pytest.fixture
def write_bundle(tmp_path: Path) -> Callable[..., Path]:
    """Return make_bundle with a target of its own for every call."""
    count = iter(range(1000))
    return lambda **options: make_bundle(tmp_path / f"bundle-{next(count)}", **options)


@pytest.fixture(scope="session")
def small_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle that all tests share: read it, do not change it."""
    return make_bundle(tmp_path_factory.mktemp("shared") / "bundle")


@pytest.fixture
def home(tmp_path: Path, small_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a registry, the usual one for this test, that holds the model 'shop' in version 1."""
    root = tmp_path / "registry"
    monkeypatch.setenv("DUCKPROP_HOME", str(root))
    Registry().publish(small_bundle, "shop")
    return root


@pytest.fixture
def con(home: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Return an in-memory database with the functions registered and 'shop' the only model."""
    with duckprop.connect() as connection:
        yield connection


@pytest.fixture(scope="module")
def rows_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., list[Any]]]:
    """Return ``rows_of(query, name=table, …)``: a query's rows, from Arrow tables, in a database without models."""
    with duckprop.connect(registry=tmp_path_factory.mktemp("no models")) as connection:

        def rows(query: str, **tables: Any) -> list[Any]:
            for name, table in tables.items():
                connection.register(name, table)
            try:
                return connection.execute(query).fetchall()
            finally:
                for name in tables:
                    connection.unregister(name)

        yield rows


@pytest.fixture(scope="module")
def no_pause() -> Iterator[None]:
    """Speed is not asked where this is used: the benchmarks do not wait between two runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("duckprop.benchmarks.protocol._PAUSE", 0)
        yield
