"""The reader of .params files: byte-exact on what MXNet writes, ModelError on what is damaged, never anything else."""

import os
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from duckprop import mxnet_compat
from duckprop.errors import ModelError
from duckprop.formats.mxnet_params import read_params

DTYPES = ["float32", "float64", "float16", "uint8", "int32", "int8", "int64", "bool"]
QUIET = {"deadline": None, "derandomize": True, "suppress_health_check": [HealthCheck.function_scoped_fixture]}
MEGABYTE = 1 << 20


def written(folder, arrays):
    path = folder / "x.params"
    mxnet_compat.save_arrays(path, arrays)
    return path


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1,), (7,), (3, 4), (2, 3, 4), (1, 1, 1, 5), (257, 129)])
def test_dense_arrays_come_back_bit_for_bit(tmp_path, dtype, shape):
    mx = mxnet_compat.load()
    array = np.random.default_rng(1).integers(0, 100, shape).astype(dtype)
    found = read_params(written(tmp_path, {"arg:w": mx.nd.array(array, dtype=dtype)}))["w"]
    assert (found.dtype, found.shape) == (np.dtype(dtype), shape)
    assert found.tobytes() == array.tobytes()


def test_extreme_floats_keep_their_bits(tmp_path):
    bits = np.random.default_rng(2).integers(0, 2**32, 1000, np.uint32)
    array = np.concatenate([bits.view(np.float32), np.float32([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45])])
    found = read_params(written(tmp_path, {"w": mxnet_compat.load().nd.array(array)}))["w"]
    assert found.tobytes() == array.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [[], [0], [49], [3, 7, 20], list(range(0, 50, 2)), list(range(50))])
def test_row_sparse_arrays_come_back_dense(tmp_path, dtype, rows):
    mx = mxnet_compat.load()
    dense = np.zeros((50, 6), dtype)
    dense[rows] = np.random.default_rng(3).normal(size=(len(rows), 6))
    stored = mx.nd.array(dense, dtype=dtype).tostype("row_sparse")
    found = read_params(written(tmp_path, {"arg:w": stored}))["w"]
    assert found.dtype == np.dtype(dtype)
    assert found.tobytes() == dense.tobytes()


def test_many_arrays_keep_their_names_and_order(tmp_path):
    mx = mxnet_compat.load()
    names = ["arg:b", "aux:mean", "plain", "arg:Ünïcödé:x", "arg:a"]
    path = written(tmp_path, {name: mx.nd.full((2,), at) for at, name in enumerate(names)})
    found = read_params(path)
    assert {name: array[0] for name, array in found.items()} == {"b": 0, "mean": 1, "plain": 2, "Ünïcödé:x": 3, "a": 4}


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "int64"])
@pytest.mark.parametrize("shape", [(5, 7), (1, 1), (40, 3)])
def test_csr_arrays_come_back_sparse(tmp_path, dtype, shape):
    mx = mxnet_compat.load()
    dense = np.random.default_rng(4).integers(-3, 3, shape) * (np.random.default_rng(5).random(shape) < 0.4)
    parts = sparse.csr_matrix(dense)
    data = (parts.data.astype(dtype), parts.indices, parts.indptr)
    stored = mx.nd.sparse.csr_matrix(data, shape=shape, dtype=dtype)
    for array, expected in ((stored, dense), (mx.nd.sparse.zeros("csr", shape, dtype=dtype), dense * 0)):
        found = read_params(written(tmp_path, {"arg:w": array}))["w"]
        assert isinstance(found, sparse.csr_matrix)
        assert found.dtype == ("float32" if dtype == "float16" else dtype)
        np.testing.assert_array_equal(found.toarray(), expected)


def test_a_csr_row_out_of_order_is_sorted(tmp_path):
    path = tmp_path / "x.params"
    path.write_bytes(params(csr([0, 3, 3, 4], [4, 0, 2, 1], (3, 5), np.float32([1, 2, 3, 4]))))
    found = read_params(path)["w"]
    assert found.has_canonical_format
    assert found.toarray().tolist() == [[2, 0, 3, 0, 1], [0] * 5, [0, 4, 0, 0, 0]]


def test_a_row_sparse_array_without_rows_is_all_zeros(tmp_path):
    found = read_params(written(tmp_path, {"w": mxnet_compat.load().nd.sparse.zeros("row_sparse", (50, 6))}))["w"]
    assert (found.shape, found.dtype, found.any()) == ((50, 6), np.float32, False)


def test_a_large_weight_of_few_rows_is_read(tmp_path):
    rows = mxnet_compat.load().nd.sparse.row_sparse_array((np.ones((2, 128)), [7, 199_999]), shape=(200_000, 128))
    path = written(tmp_path, {"arg:w": rows})
    assert path.stat().st_size < 3000
    found = read_params(path)["w"]
    assert (found.shape, np.flatnonzero(found.any(axis=1)).tolist()) == ((200_000, 128), [7, 199_999])


def test_several_such_weights_share_what_may_be_taken(tmp_path):
    one = row_sparse((0, 64), (2**19, 64), [])  # 128 MiB of zeros
    path = tmp_path / "x.params"
    path.write_bytes(params(one, one, names=(b"a", b"b")))
    assert set(read_params(path)) == {"a", "b"}
    path.write_bytes(params(one, one, row_sparse((0, 1), (1, 1), []), names=(b"a", b"b", b"c")))
    with pytest.raises(ModelError, match=r"\(1, 1\) is out of all proportion"):
        read_params(path)


def test_arrays_of_numpys_shapes_come_back(tmp_path):
    path = tmp_path / "x.params"
    code = """if True:
        import sys
        from duckprop import mxnet_compat
        mx = mxnet_compat.load()
        mx.npx.set_np()  # cannot be undone for good: in a process of its own
        arrays = {"scalar": mx.np.array(3.5), "none": mx.np.zeros((0, 3)), "flags": mx.np.array([True, False], "bool")}
        mx.npx.save(sys.argv[1], arrays)
    """
    subprocess.run([sys.executable, "-c", code, str(path)], cwd=Path(__file__).parents[1], check=True)
    found = read_params(path)
    assert {name: (array.shape, array.tolist()) for name, array in found.items()} == {
        "scalar": ((), 3.5),
        "none": ((0, 3), []),
        "flags": ((2,), [True, False]),
    }
    assert found["flags"].dtype == bool


OLD = {
    "V1": struct.pack("<Iiqq", 0xF993FAC8, 2, 2, 3),
    "before V1": struct.pack("<III", 2, 2, 3),
}


@pytest.mark.parametrize("head", OLD.values(), ids=OLD.keys())
@pytest.mark.parametrize(("code", "dtype"), [(0, "<f4"), (1, "<f8"), (2, "<f2"), (4, "<i4")])
def test_files_of_older_versions_are_read_as_mxnet_reads_them(tmp_path, head, code, dtype):
    array = np.arange(6).astype(dtype).reshape(2, 3)
    path = tmp_path / "x.params"
    path.write_bytes(
        params(
            head + struct.pack("<iii", 1, 0, code) + array.tobytes(), dense(1, data=bytes(4)), names=(b"arg:w", b"b")
        )
    )
    found, expected = read_params(path), mxnet_compat.load().nd.load(str(path))
    assert found["w"].tobytes() == array.tobytes() == expected["arg:w"].asnumpy().tobytes()
    assert (found["w"].dtype, found["w"].shape, found["b"].tolist()) == (array.dtype, (2, 3), [0])
    for length in range(24, path.stat().st_size):
        refuses(tmp_path, path.read_bytes()[:length])


def test_a_list_of_arrays_says_how_to_save_them(tmp_path):
    path = written(tmp_path, [mxnet_compat.load().nd.ones((2,))])
    with pytest.raises(
        ModelError, match=r"1 arrays without names: it was saved from a list\nsave it from a dictionary"
    ):
        read_params(path)


def test_a_gluon_file_has_names_without_prefix(tmp_path):
    mx = mxnet_compat.load()
    net = mx.gluon.nn.Dense(3, in_units=4)
    net.initialize()
    net.save_parameters(str(tmp_path / "x.params"))
    found = read_params(tmp_path / "x.params")
    assert {name: array.shape for name, array in found.items()} == {"weight": (3, 4), "bias": (3,)}


# --- what is damaged -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The bytes of a small file with a dense, a full and a partly stored row_sparse array."""
    mx = mxnet_compat.load()
    partial = mx.nd.sparse.row_sparse_array((np.ones((2, 3)), [1, 4]), shape=(6, 3))
    arrays = {"arg:w": partial, "arg:full": mx.nd.ones((4, 3)).tostype("row_sparse"), "arg:b": mx.nd.ones((5,))}
    return written(tmp_path_factory.mktemp("params"), arrays).read_bytes()


def refuses(folder, data):
    """Read: ModelError, with the file's name, what is wrong and a remedy, and without large allocations."""
    path = folder / "damaged.params"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match=r"(?s)damaged\.params.*\n(copy or train the model again)"):
            read_params(path)
        assert tracemalloc.get_traced_memory()[1] < MEGABYTE
    finally:
        tracemalloc.stop()


def survives(folder, data):
    """Read: either arrays or ModelError, nothing else, and no more than 256 MiB, of zeros."""
    path = folder / "damaged.params"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        read_params(path)
    except ModelError:
        pass
    finally:
        assert tracemalloc.get_traced_memory()[1] < 257 * MEGABYTE
        tracemalloc.stop()


def test_a_file_cut_off_anywhere_is_refused(tmp_path, good):
    for length in range(len(good)):
        refuses(tmp_path, good[:length])


def test_a_file_with_something_behind_it_is_refused(tmp_path, good):
    for tail in (b"\0", b"x" * 100, good):
        refuses(tmp_path, good + tail)


def test_no_single_flipped_bit_or_wild_byte_breaks_the_reader(tmp_path, good):
    for at in range(len(good)):
        for change in (0x01, 0x80, 0xFF):
            survives(tmp_path, good[:at] + bytes([good[at] ^ change]) + good[at + 1 :])


@pytest.mark.parametrize("number", [-1, -(2**31), -(2**63), 2**31, 2**40, 2**62, 2**63 - 1])
def test_no_absurd_number_at_any_place_breaks_the_reader(tmp_path, good, number):
    eight = struct.pack("<q", number)
    for at in range(0, len(good) - 8, 4):
        survives(tmp_path, good[:at] + eight + good[at + 8 :])


@given(st.binary(max_size=400))
@settings(max_examples=300, **QUIET)
def test_arbitrary_bytes_are_refused(tmp_path, data):
    refuses(tmp_path, data)
    survives(tmp_path, struct.pack("<QQQ", 0x112, 0, 1) + data)


def params(*arrays, count=None, names=(b"arg:w",), name_count=None):
    head = struct.pack("<QQQ", 0x112, 0, len(arrays) if count is None else count) + b"".join(arrays)
    head += struct.pack("<Q", len(names) if name_count is None else name_count)
    return head + b"".join(struct.pack("<Q", len(name)) + name for name in names)


def shape(*sizes, rank=None):
    return struct.pack(f"<i{len(sizes)}q", len(sizes) if rank is None else rank, *sizes)


def dense(*sizes, code=0, data=b"", magic=0xF993FAC9, storage=0):
    return struct.pack("<Ii", magic, storage) + shape(*sizes) + struct.pack("<iii", 1, 0, code) + data


def row_sparse(stored, sizes, rows, *, rows_shape=None, code=0, rows_code=6, data=b""):
    head = struct.pack("<Ii", 0xF993FAC9, 1) + shape(*stored) + shape(*sizes) + struct.pack("<iii", 1, 0, code)
    head += struct.pack("<i", rows_code) + shape(*((len(rows),) if rows_shape is None else rows_shape))
    return head + (data or bytes(4 * int(np.prod(stored)))) + struct.pack(f"<{len(rows)}q", *rows)


def csr(indptr, indices, sizes, data=None, **shapes):
    stored = shapes.get("stored", (len(indices),))
    head = struct.pack("<Ii", 0xF993FAC9, 2) + shape(*stored) + shape(*sizes) + struct.pack("<iii", 1, 0, 0)
    for numbers, name in ((indptr, "starts"), (indices, "columns")):
        head += struct.pack("<i", 6) + shape(*shapes.get(name, (len(numbers),)))
    numbers = [*indptr, *indices]
    return (
        head
        + (bytes(4 * len(indices)) if data is None else data.tobytes())
        + struct.pack(f"<{len(numbers)}q", *numbers)
    )


CSR = {
    "falls": csr([0, 2, 1, 2], [0, 1], (3, 4)),
    "starts late": csr([1, 1, 1, 2], [0, 1], (3, 4)),
    "starts below": csr([-1, 0, 1, 2], [0, 1], (3, 4)),
    "ends early": csr([0, 1, 1, 1], [0, 1], (3, 4)),
    "ends late": csr([0, 1, 1, 2**40], [0, 1], (3, 4)),
    "a row too few": csr([0, 1, 2], [0, 1], (3, 4)),
    "a row too many": csr([0, 1, 1, 2, 2], [0, 1], (3, 4)),
    "no starts": csr([], [0, 1], (3, 4)),
    "no starts of an enormous array": csr([], [], (2**40, 4)),
    "column beyond": csr([0, 1, 1, 2], [0, 4], (3, 4)),
    "column below": csr([0, 1, 1, 2], [-1, 0], (3, 4)),
    "column twice": csr([0, 2, 2, 2], [1, 1], (3, 4)),
    "column twice, apart": csr([0, 3, 3, 3], [1, 0, 1], (3, 4)),
    "fewer numbers than columns": csr([0, 1, 1, 2], [0, 1], (3, 4), np.float32([1]), stored=(1,)),
    "numbers as a matrix": csr([0, 1, 1, 2], [0, 1], (3, 4), stored=(2, 1)),
    "columns as a matrix": csr([0, 1, 1, 2], [0, 1], (3, 4), columns=(1, 2)),
    "starts as a matrix": csr([0, 1, 1, 2], [0, 1], (3, 4), starts=(2, 2)),
    "a vector": csr([0, 1, 1, 2], [0, 1], (3,)),
    "three dimensions": csr([0, 1, 1, 2], [0, 1], (3, 4, 1)),
}
DAMAGED = {
    **{f"csr: {name}": params(array) for name, array in CSR.items()},
    "count": params(count=2**60),
    "names": params(dense(2, data=bytes(8)), name_count=2**61),
    "too few names": params(dense(2, data=bytes(8)), dense(2, data=bytes(8))),
    "a name that is not UTF-8": params(dense(2, data=bytes(8)), names=(b"\xff\xfe",)),
    "data too short": params(dense(3, data=bytes(8))),
    "negative size": params(dense(-1, 4)),
    "two negative sizes": params(dense(-2, -1, data=bytes(8))),
    "product overflows": params(dense(2**32, 2**32, data=bytes(8))),
    "nothing times too much": params(dense(0, 2**62, 2**62)),
    "nothing, barely too large for NumPy": params(dense(0, 2**63 - 1)),
    "rank": params(struct.pack("<Iii", 0xF993FAC9, 0, 2**30)),
    "type": params(dense(2, code=13, data=bytes(16))),
    "bfloat16": params(dense(2, code=12, data=bytes(4))),
    "a truth value of 2": params(dense(2, code=7, data=b"\1\2")),
    "never filled": params(dense(data=bytes(4))),
    "V1 never filled": params(struct.pack("<Ii", 0xF993FAC8, 0)),
    "older never filled": params(struct.pack("<I", 0)),
    "older of nine sizes": params(struct.pack("<10I", 9, *[1] * 9) + struct.pack("<iii", 1, 0, 0) + bytes(4)),
    "older, product overflows": params(struct.pack("<5I", 4, *[2**32 - 1] * 4) + struct.pack("<iii", 1, 0, 0)),
    "a name twice": params(*[dense(1, data=bytes(4))] * 2, names=(b"arg:w", b"aux:w")),
    "no name": params(dense(1, data=bytes(4)), names=(b"arg:",)),
    "negative type": params(dense(2, code=-1, data=bytes(8))),
    "version": params(dense(2, magic=0xF993FACB, data=bytes(8))),
    "csr without its parts": params(dense(2, storage=2, data=bytes(8))),
    "storage": params(dense(2, storage=3, data=bytes(8))),
    "row out of range": params(row_sparse((1, 3), (4, 3), [4])),
    "negative row": params(row_sparse((1, 3), (4, 3), [-1])),
    "rows not in order": params(row_sparse((2, 3), (4, 3), [2, 1])),
    "row twice": params(row_sparse((2, 3), (4, 3), [1, 1])),
    "more rows than there are": params(row_sparse((3, 2), (2, 2), [0, 1, 2])),
    "other row length": params(row_sparse((1, 2), (4, 3), [0])),
    "fewer row numbers than rows": params(row_sparse((2, 3), (4, 3), [0])),
    "row numbers as a matrix": params(row_sparse((4, 3), (4, 3), [0, 1, 2, 3], rows_shape=(2, 2))),
    "row numbers as a scalar": params(row_sparse((1, 3), (4, 3), [0], rows_shape=())),
    "row numbers as floats": params(row_sparse((1, 3), (4, 3), [0], rows_code=1)),
    "one row of an enormous weight": params(row_sparse((1, 3), (2**40, 3), [0])),
    "no row of an enormous weight": params(row_sparse((0, 2**20), (2**20, 2**20), [])),
    "just beyond all proportion": params(row_sparse((1, 1), (2**26 + 1, 1), [0])),
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED.keys())
def test_what_cannot_be_is_refused(tmp_path, data):
    refuses(tmp_path, data)


@pytest.mark.parametrize("name", [name for name in CSR if name.startswith(("falls", "starts", "ends", "a row too"))])
def test_csr_rows_that_do_not_fit_are_told_with_the_shape(tmp_path, name):
    (tmp_path / "x.params").write_bytes(params(CSR[name]))
    with pytest.raises(ModelError, match=r"csr rows that do not fit into shape \(3, 4\)|numbers of \(type, shape\)"):
        read_params(tmp_path / "x.params")


def test_the_made_files_are_right_where_nothing_is_wrong(tmp_path):
    path = tmp_path / "x.params"
    path.write_bytes(
        params(dense(2, data=np.float32([1, 2]).tobytes()), row_sparse((1, 2), (3, 2), [1]), names=(b"arg:b", b"w"))
    )
    found = read_params(path)
    assert found["b"].tolist() == [1, 2]
    assert found["w"].tolist() == [[0, 0]] * 3


def test_a_file_that_is_missing_or_no_plain_file_is_a_model_error(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "nowhere.params", tmp_path, tmp_path / "pipe", tmp_path / "a\0b"):
        with pytest.raises(ModelError, match=r"cannot be read.*\ncopy or train"):
            read_params(path)
