"""The writer of .params files: MXNet's own bytes, whole or not at all. And weights that are no numbers."""

import resource
import tracemalloc

import numpy as np
import pytest
from scipy import sparse
from test_mxnet_params import DTYPES, MEGABYTE, written

from duckprop import mxnet_compat
from duckprop.errors import DataError, ModelError
from duckprop.formats.finite import check_finite
from duckprop.formats.mxnet_params import read_params
from duckprop.formats.mxnet_params_write import write_params


def random_array(shape, dtype):
    return np.random.default_rng(6).integers(0, 100, shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_written_is_what_mxnet_would_write(tmp_path, dtype):
    mx = mxnet_compat.load()
    shapes = [(3,), (4, 5), (2, 3, 4), (1,), (300, 1000)]
    arrays = {f"arg:ä{number}": random_array(shape, dtype) for number, shape in enumerate(shapes)}
    write_params(tmp_path / "ours.params", arrays)
    path = written(tmp_path, {name: mx.nd.array(array, dtype=dtype) for name, array in arrays.items()})
    assert (tmp_path / "ours.params").read_bytes() == path.read_bytes()
    loaded = mx.nd.load(str(tmp_path / "ours.params"))
    assert {name: array.asnumpy().tobytes() for name, array in loaded.items()} == {
        name: array.tobytes() for name, array in arrays.items()
    }


def test_an_array_of_another_order_is_written_in_ours_without_a_copy(tmp_path):
    array = np.ones((2000, 4000), np.float32, order="F")
    array[3, 7] = 2
    tracemalloc.start()
    write_params(tmp_path / "x.params", {"w": array, "big-endian": array[:2].astype(">f8"), "steps": array[3, ::-7]})
    assert tracemalloc.get_traced_memory()[1] < 4 * MEGABYTE
    tracemalloc.stop()
    found = read_params(tmp_path / "x.params")
    np.testing.assert_array_equal(found["w"], array)
    np.testing.assert_array_equal(found["big-endian"], array[:2])
    np.testing.assert_array_equal(found["steps"], array[3, ::-7])


def test_no_arrays_at_all_are_a_file_too(tmp_path):
    write_params(tmp_path / "x.params", {})
    assert read_params(tmp_path / "x.params") == {}


@pytest.mark.parametrize(
    "array", [np.zeros(()), np.zeros((0, 3)), np.zeros(2, "c8"), np.array(["a"]), np.zeros(2, "u2")]
)
def test_an_array_that_mxnet_does_not_know_is_refused(tmp_path, array):
    with pytest.raises(DataError, match=r"'arg:w', an array of .* has no place in a \.params file\ngive numbers"):
        write_params(tmp_path / "x.params", {"arg:b": np.ones(2, np.float32), "arg:w": array})
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.params"
    path.write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(DataError, match=r"x\.params cannot be written: File too large\ncheck the folder"):
            write_params(path, {"w": np.ones(100_000, np.float32)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [(left.name, left.read_text()) for left in tmp_path.iterdir()] == [("x.params", "old")]


# --- what is no number -----------------------------------------------------------------------------------------------


def test_weights_that_are_no_numbers_are_named_and_counted():
    good = {"a": np.ones(3), "n": np.arange(3), "s": sparse.csr_matrix(np.eye(3)), "e": np.zeros((0, 2))}
    check_finite(good)
    bad = {"w": np.float32([[np.nan, 1], [np.inf, -np.inf]]), "s2": sparse.csr_matrix([[0, np.nan], [0, 0]])}
    with pytest.raises(ModelError, match=r"'w' has 1 NaN and 2 infinite of 4; 's2' has 1 NaN and 0 infinite of 1\n"):
        check_finite(good | bad)
    with pytest.raises(ModelError, match="; and 3 more\n"):
        check_finite({f"w{number}": np.float16([np.nan]) for number in range(8)})
