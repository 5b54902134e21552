"""The kernels' parts against NumPy in float64, and the folder in which they are kept compiled."""

import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from scipy import sparse

import duckprop
from duckprop import kernels
from duckprop.fold import aligned
from duckprop.kernels import simd
from duckprop.kernels.functions import exp_plus
from duckprop.kernels.heads import propensity
from duckprop.kernels.simd import COLUMNS, ROWS

FLOAT = np.float32


@njit
def product(packed, weights, bias, tile):
    simd.product(packed, weights, bias, tile)


@njit
def copy_tile(tile, out, row, column):
    simd.copy_tile(tile, out, row, column)


@njit
def multiply_add(a, b, c, out):
    for i in range(a.size):
        out[i] = simd.multiply_add(a[i], b[i], c[i])


@njit(error_model="numpy")
def exp(x, plus, out):
    for i in range(x.size):
        out[i] = exp_plus(x[i], plus)


@njit(error_model="numpy")
def propensities(keys, out):
    for i in range(keys.size):
        out[i] = propensity(keys[i], 1)


def fused(a, b, c):
    a, b, c = np.broadcast_arrays(a, b, c)
    out = np.empty(a.size, FLOAT)
    multiply_add(*(np.ascontiguousarray(x, FLOAT).ravel() for x in (a, b, c)), out)
    return out.reshape(a.shape)


def tile_of(packed, weights, bias):
    tile = np.full((ROWS, COLUMNS), np.nan, FLOAT)
    product(packed, weights, bias, tile)
    return tile


@pytest.mark.parametrize("depth", [0, 1, 2, 17, 128, 1000])
@pytest.mark.parametrize("offset", [0, 1, 5])
def test_a_tile_is_bias_and_one_chain_of_multiply_adds(depth, offset):
    """offset: floats by which the arrays miss a cache line."""
    random = np.random.default_rng(depth + offset)
    parts = [random.normal(size=size).astype(FLOAT) for size in ((depth, ROWS), (depth, COLUMNS), (COLUMNS,))]
    packed, weights, bias = (
        aligned(np.append(np.zeros(offset, FLOAT), part))[offset:].reshape(part.shape) for part in parts
    )
    tile = tile_of(packed, weights, bias)
    exact = packed.astype(float).T @ weights + bias
    size = np.abs(packed.astype(float)).T @ np.abs(weights) + np.abs(bias)
    assert (np.abs(tile - exact) <= (depth + 1) * 2**-24 * size).all()
    chain = np.broadcast_to(bias, tile.shape)
    for unit in range(depth):
        chain = fused(packed[unit][:, None], weights[unit], chain)
    np.testing.assert_array_equal(tile, chain)


def test_multiply_add_rounds_once_where_the_processor_can():
    random = np.random.default_rng(1)
    a, b, c = (random.normal(size=10_000).astype(FLOAT) for _ in range(3))
    exact = a.astype(float) * b + c
    assert (np.abs(fused(a, b, c) - exact) <= 2**-23 * (np.abs(a * b) + np.abs(c))).all()
    x = FLOAT(1 + 2**-12)
    assert fused(x, x, -(x * x)) == (FLOAT(2**-24) if simd._FUSED else 0)


@pytest.mark.parametrize("place", [(0, 0), (3, 5), (ROWS, 2 * COLUMNS)])
def test_a_tile_is_copied_to_its_place_and_nowhere_else(place):
    random, out = np.random.default_rng(2), np.zeros((2 * ROWS, 3 * COLUMNS), FLOAT)
    tile, expected = random.normal(size=(ROWS, COLUMNS)).astype(FLOAT), out.copy()
    copy_tile(tile, out, *place)
    expected[place[0] : place[0] + ROWS, place[1] : place[1] + COLUMNS] = tile
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize(("depth", "count"), [(3, 1), (1, COLUMNS), (5, COLUMNS + 1), (0, 7), (4, 0)])
def test_panels_hold_the_columns_and_zeros_behind_them(depth, count):
    matrix = np.arange(1, depth * count + 1, dtype=FLOAT).reshape(depth, count)
    found = simd.panels(matrix)
    assert found.shape == (-(-count // COLUMNS), depth, COLUMNS)
    flat = found.transpose(1, 0, 2).reshape(depth, len(found) * COLUMNS)
    np.testing.assert_array_equal(flat[:, :count], matrix)
    assert not flat[:, count:].any()


def exp_of(x, plus):
    out = np.empty(len(x), FLOAT)
    exp(x, FLOAT(plus), out)
    return out


def test_exp_is_exact_to_3e_7_where_it_matters_and_to_4e_7_everywhere():
    random = np.random.default_rng(3)
    x = np.concatenate([np.linspace(-87, 87, 2_000_000), random.normal(size=200_000) * 1e-3, [-87, 0, 87]]).astype(
        FLOAT
    )
    exact = np.exp(x.astype(float))
    for plus in (0, 1):
        error = np.abs(exp_of(x, plus) / (exact + plus) - 1)
        assert error.max() < 4e-7  # n · ln 2 is off by n · 2e-9
        assert error[np.abs(x) < 40].max() < 3e-7
    assert exp_of(np.zeros(1, FLOAT), 0) == 1


def test_exp_of_the_largest_numbers_is_that_of_87():
    far = np.array([87.1, 88, 1e30, 3e38, np.inf], FLOAT)
    np.testing.assert_array_equal(exp_of(far, 0), exp_of(np.full(5, 87, FLOAT), 0))
    np.testing.assert_array_equal(exp_of(-far, 0), exp_of(np.full(5, -87, FLOAT), 0))
    assert np.isfinite(exp_of(np.concatenate([far, -far]), 1)).all()


def windows():
    """Keys in order: 4,000 adjacent floats around each of 400 places, everywhere where a propensity changes."""
    random = np.random.default_rng(4)
    middles = np.concatenate([random.uniform(-88, 88, 200), random.normal(0, 3, 150), random.normal(0, 1e-3, 50)])
    keys = [(FLOAT(middle).view(np.int32) + np.arange(-2000, 2000, dtype=np.int32)).view(FLOAT) for middle in middles]
    return np.unique(np.concatenate(keys))


def test_a_key_beyond_the_margin_never_has_the_larger_propensity():
    """``top_rows`` looks at no key that lies 1e-6 · (1 + |key|) above the k-th best one."""
    keys = windows()
    found = np.empty(len(keys), FLOAT)
    propensities(keys, found)
    largest_behind = np.maximum.accumulate(np.append(found, 0)[::-1])[::-1]
    first = np.searchsorted(keys, keys + FLOAT(1e-6) * (1 + np.abs(keys)), side="right")
    assert (largest_behind[first] <= found).all()
    assert (np.diff(found) > 0).any(), "without rounding there would be nothing to guard against"


ODD = st.sampled_from([0.0, 1.0, -2.5, 3e38, float("nan"), float("inf"), -float("inf")])


@given(lengths=st.lists(st.integers(0, 4), max_size=5), width=st.integers(0, 6), is_tidy=st.booleans(), data=st.data())
@settings(max_examples=300, deadline=None, derandomize=True)
def test_rows_are_canonical_where_a_slow_look_says_so(lengths, width, is_tidy, data):
    count, values_of = sum(lengths), st.just(1.0) if is_tidy else ODD
    values = np.array(data.draw(st.lists(values_of, min_size=count, max_size=count)), FLOAT)
    parts = []
    for length in lengths:
        drawn = data.draw(st.lists(st.integers(-1, 7), min_size=length, max_size=length, unique=is_tidy))
        parts += sorted(drawn) if is_tidy else drawn
    columns, indptr = np.array(parts, np.int32), np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    expected = np.isfinite(values).all() and all(0 <= column < width for column in parts)
    for start, stop in pairwise(indptr):
        expected = expected and parts[start:stop] == sorted(set(parts[start:stop]))
    assert kernels.is_canonical(indptr, columns, values, width) == expected


def csr_of(matrix):
    return matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data.astype(FLOAT)


def test_the_wide_path_puts_its_columns_where_it_is_told():
    random = np.random.default_rng(5)
    rows = sparse.random(30, 12, 0.3, "csr", FLOAT, random_state=1)
    wide = sparse.random(12, 20, 0.4, "csr", FLOAT, random_state=2)
    places, scales = np.full(20, -1, np.int32), random.uniform(0.5, 2, 25).astype(FLOAT)
    chosen = random.permutation(20)[:9]
    places[chosen] = [0, 63, 7, 32, 31, 1, 50, 2, 16]
    out = np.full((25, 64), np.nan, FLOAT)
    assert kernels.wide_rows(*csr_of(rows), 5, scales, *csr_of(wide), places, out) == -1
    expected = np.zeros((25, 64))
    expected[:, places[chosen]] = (rows.astype(float) @ wide).toarray()[5:, chosen] * scales[:, None]
    np.testing.assert_allclose(out, expected, rtol=1e-6, atol=1e-7)
    rows.data[rows.indptr[17]] = 3e38
    wide.data[:] = 1e10
    assert kernels.wide_rows(*csr_of(rows), 5, scales, *csr_of(wide), np.arange(20, dtype=np.int32), out) == 12


_SCORE = """
import sys
import numpy as np
from scipy import sparse
from duckprop import kernels
from duckprop.compiled import CompiledScorer
from duckprop.network import Layer, Network
from duckprop.sparse import from_scipy
assert kernels.__file__.startswith(sys.argv[1]), kernels.__file__
first = Layer(np.eye(4, 3, dtype=np.float32), np.zeros(3, np.float32))
network = Network(first, (), np.ones((3, 2, 2), np.float32), np.zeros((2, 2), np.float32))
assert (CompiledScorer(network).score(from_scipy(sparse.eye(4, format="csr"))) == 0.5).all()
assert kernels.compile_seconds() > 0
"""


@pytest.fixture
def copy(tmp_path):
    """Return a copy of the package that can keep nothing beside its files, and how to score with it."""
    package = tmp_path / "copy" / "duckprop"
    shutil.copytree(Path(duckprop.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (package / "kernels", package):
        (folder / "__pycache__").write_text("a file where a folder should be")
    nowhere = tmp_path / "nowhere"
    nowhere.write_text("a file")

    def score(**environment):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_", "PYTHON"))}
        kept |= {"HOME": str(nowhere), "XDG_CACHE_HOME": str(nowhere), "PYTHONPATH": str(package.parent)} | environment
        command = [sys.executable, "-c", _SCORE, str(package)]
        done = subprocess.run(command, cwd=tmp_path, env=kept, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stderr

    return package, score


def test_kernels_that_can_be_kept_nowhere_still_score_and_say_what_to_do(copy):
    _, score = copy
    said = score()
    assert "set NUMBA_CACHE_DIR to a folder that can be written" in said
    assert said.count("UserWarning") == 1, "it is said once, not once a kernel"


def test_kernels_are_compiled_once_and_again_where_any_of_their_files_changes(copy, tmp_path):
    package, score = copy
    folder = tmp_path / "kept"

    def kept():
        return {path.relative_to(folder): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}

    assert score(NUMBA_CACHE_DIR=str(folder)) == ""
    first = kept()
    assert {path.suffix for path in first} == {".nbi", ".nbc"}
    assert score(NUMBA_CACHE_DIR=str(folder)) == ""
    assert kept() == first
    with (package / "kernels" / "simd.py").open("a") as file:
        file.write("# changed\n")
    assert score(NUMBA_CACHE_DIR=str(folder)) == ""
    changed = kept()
    assert [path for path in first if changed.get(path) == first[path]] == []
    next(folder.rglob("*score_rows*.nbi")).write_bytes(b"")  # what a crash of the machine leaves behind
    assert "set NUMBA_CACHE_DIR" in score(NUMBA_CACHE_DIR=str(folder))
