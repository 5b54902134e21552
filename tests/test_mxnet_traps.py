"""MXNet 1.9.1 is retired and its bugs are permanent: one test for each that duckprop guards against."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

import duckprop
from duckprop import mxnet_compat
from duckprop.errors import DataError
from duckprop.features import read_features
from duckprop.formats.mxnet_params import read_params
from duckprop.mxnet_engine import MXNetScorer, padded_csr
from duckprop.sparse import from_scipy

_IMPORT = """
import numpy as np
assert "bool" not in np.__dict__
from duckprop import mxnet_compat
assert mxnet_compat.load().__version__ == "1.9.1"
"""

_THREADS = """
import sys, threading
import numpy as np
from scipy import sparse
import duckprop

def resident():
    return next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith("VmRSS"))

model, row = duckprop.load(sys.argv[1]), sparse.csr_matrix(np.ones((1, 40), np.float32))
def score(times):
    for _ in range(times):
        thread = threading.Thread(target=model.predict, args=(row, "mxnet"))
        thread.start()
        thread.join()
score(5)
before = resident()
score(100)
print(resident() - before)
"""

_LAZY = """
import sys
import duckprop
assert not {"duckdb", "numpy"} & sys.modules.keys(), "import duckprop"
con = duckprop.connect(model=sys.argv[1])
query = "SELECT duckprop.propensity({'indices': [1, 2], 'values': [1.0, 2.0]}, 'music')"
assert 0 <= con.execute(query).fetchall()[0][0] <= 1
con.close()
loaded = {"mxnet", "typer", "matplotlib", "pyspark", "rich", "sklearn"} & sys.modules.keys()
assert not loaded, loaded
"""


def run(code, *arguments):
    root = Path(duckprop.__file__).parents[1]
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def test_mxnet_is_imported_although_numpy_has_no_bool_any_more():
    assert run(_IMPORT).stderr == ""


def test_memory_stays_flat_however_many_threads_score(small_bundle):
    megabytes = int(run(_THREADS, small_bundle).stdout)
    assert megabytes < 60  # 490 where every thread called MXNet itself


def test_scoring_with_the_compiled_engine_loads_nothing_heavy(small_bundle):
    run(_LAZY, small_bundle)


@pytest.fixture
def seen(monkeypatch):
    """What MXNet is handed as CSR: a list of (values, indices, indptr, shape)."""
    module, calls = mxnet_compat.load().nd.sparse, []
    real = module.csr_matrix

    def spy(arrays, shape):
        calls.append((*map(np.array, arrays), shape))
        return real(arrays, shape=shape)

    monkeypatch.setattr(module, "csr_matrix", spy)
    return calls


@pytest.mark.parametrize("column", [40, 41, 2**31 - 1, 2**31, 2**40, -1])
def test_a_column_out_of_range_never_reaches_mxnet(small_bundle, seen, column):
    rows = pa.array([[{"column": 1, "value": 1.0}, {"column": column, "value": 1.0}]])
    with pytest.raises(DataError, match=f"row 0 of its batch.*column {column} is outside 0 to 39"):
        duckprop.load(small_bundle).scorer("mxnet").score(read_features(rows, 40))
    hostile = sparse.csr_matrix((1, 40), dtype=np.float32)
    hostile.indices, hostile.data, hostile.indptr = np.array([column]), np.ones(1, np.float32), np.array([0, 1])
    with pytest.raises((DataError, ValueError)):
        duckprop.load(small_bundle).predict(hostile, "mxnet")
    assert not seen


def test_unsorted_and_repeated_columns_reach_mxnet_sorted_and_added_up(small_bundle, seen):
    values, columns = np.array([1, 2, 4, 8, 16], np.float32), np.array([9, 3, 9, 0, 3])
    messy = sparse.csr_matrix((values, columns, np.array([0, 3, 5])), shape=(2, 40))
    tidy = sparse.csr_matrix(([2, 5, 8, 16], [3, 9, 0, 3], [0, 2, 4]), shape=(2, 40), dtype=np.float32)
    model = duckprop.load(small_bundle)
    np.testing.assert_array_equal(model.predict(messy, "mxnet"), model.predict(tidy, "mxnet"))
    for handed in seen:
        assert handed[0].tolist() == [2, 5, 8, 16]
        assert handed[1].tolist() == [3, 9, 0, 3]


def test_batches_are_filled_up_with_empty_rows_to_the_bound_size(small_bundle, seen):
    matrix = sparse.random(300, 40, 0.1, "csr", np.float32, random_state=1)
    assert duckprop.load(small_bundle).predict(matrix, "mxnet").shape == (300, 5)
    assert [shape for *_, shape in seen] == [(256, 40), (256, 40)]
    indptr = seen[1][2]
    assert len(indptr) == 257
    assert set(indptr[44:]) == {indptr[44]}


def test_no_rows_reach_mxnet_as_a_batch_of_empty_ones(small_bundle, seen):
    empty = sparse.csr_matrix((0, 40), dtype=np.float32)
    assert duckprop.load(small_bundle).predict(empty, "mxnet").shape == (0, 5)
    assert [(len(values), shape) for values, _, _, shape in seen] == [(0, (256, 40))]


def test_padding_repeats_the_last_offset():
    batch = from_scipy(sparse.csr_matrix(np.eye(3, 5, dtype=np.float32)))
    padded = padded_csr(batch, 6)
    assert padded.indptr.asnumpy().tolist() == [0, 1, 2, 3, 3, 3, 3]
    assert padded.shape == (6, 5)


def test_a_partly_stored_row_sparse_weight_is_made_dense_by_both_readers(small_bundle, write_bundle):
    mx, folder = mxnet_compat.load(), write_bundle()
    stored = mx.nd.load(str(folder / "model-0000.params"))
    full = stored["arg:fc1_weight"].asnumpy()
    full[::3] = 0
    kept = np.flatnonzero(full.any(axis=1))
    partial = mx.nd.sparse.row_sparse_array((full[kept], kept), shape=full.shape)
    assert len(partial.indices) == len(kept) < len(full)
    mxnet_compat.save_arrays(folder / "model-0000.params", stored | {"arg:fc1_weight": partial})
    np.testing.assert_array_equal(read_params(folder / "model-0000.params")["fc1_weight"], full)
    scorer = MXNetScorer(str(folder / "model"), 40, (5, 2))
    weight = scorer._bound.executor.arg_dict["fc1_weight"]
    assert weight.stype == "default"
    np.testing.assert_array_equal(weight.asnumpy(), full)


def test_saving_waits_for_row_sparse_arrays_still_being_computed(tmp_path):
    mx = mxnet_compat.load()
    for _ in range(5):
        dense = mx.nd.random.normal(shape=(3000, 300)) * 1.01
        mxnet_compat.save_arrays(tmp_path / "x.params", {"arg:w": dense.tostype("row_sparse")})
        np.testing.assert_array_equal(read_params(tmp_path / "x.params")["w"], dense.asnumpy())
