"""Damaged and hostile PyTorch archives: refused in one line of fact, nothing run, no memory taken on their word."""

import struct
import zipfile

import numpy as np
import pytest
from torch_files import FIXTURES, MEGABYTE, calls, members_of, number, pickled, refused, tensor, text, write_archive

from duckprop.errors import DuckpropError, ModelError
from duckprop.formats.safetensors import read_safetensors
from duckprop.formats.torch import read
from duckprop.formats.torch_pickle import unpickle

STEPS = {"description": "embedding_bag sigmoid"}
ARCHIVES = {
    "bag.pt": {"description": "embedding_bag:emb bias:start relu linear:hidden tanh linear:out sigmoid"},
    "bag.pt2": {},
    "bag_scripted.pt": {},
    "separate_scripted.pt": {"positive_column": 1},
}


# --- damaged ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*ARCHIVES, "bag.safetensors"])
@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.9999])
def test_a_truncated_file_is_refused(tmp_path, name, share):
    data = (FIXTURES / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: int(share * len(data))])
    refused(path, **ARCHIVES.get(name, STEPS))


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_flipped_byte_is_noticed_or_changes_nothing(tmp_path, name):
    data, path = (FIXTURES / name).read_bytes(), tmp_path / name
    truth = read(FIXTURES / name, **ARCHIVES[name]).network
    places = np.random.default_rng(4).choice(len(data), 150, replace=False)
    refusals = 0
    for at in places:
        damaged = bytearray(data)
        damaged[at] ^= 1 << (at % 8)
        path.write_bytes(damaged)
        try:
            network = read(path, **ARCHIVES[name]).network
        except DuckpropError:
            refusals += 1
        else:
            assert np.array_equal(network.first.weight, truth.first.weight), f"byte {at}"
            assert np.array_equal(network.head_weight, truth.head_weight), f"byte {at}"
    assert refusals > 40


def test_a_flipped_byte_in_a_safetensors_header_never_brings_more_than_an_error(tmp_path):
    data, path = (FIXTURES / "bag.safetensors").read_bytes(), tmp_path / "m.safetensors"
    header, refusals = 8 + struct.unpack("<Q", data[:8])[0], 0
    for at in range(header):
        damaged = bytearray(data)
        damaged[at] ^= 1 << (at % 7)
        path.write_bytes(damaged)
        try:
            found, _ = read_safetensors(path)
            assert sum(array.nbytes for array in found.values()) <= len(data)
        except DuckpropError:
            refusals += 1
    assert refusals > header / 2


@pytest.mark.parametrize("data", [b"", b"PK", b"hello", b"PK\x03\x04" + b"\0" * 100, b"\x80\x02}q\x00."])
def test_what_is_no_archive_is_refused(tmp_path, data):
    path = tmp_path / "m.pt"
    path.write_bytes(data)
    refused(path)
    refused(tmp_path / "nothing.pt", "is no file")
    refused(tmp_path, "is no file")


# --- pickles ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", calls(""))
def test_no_name_in_a_pickle_is_called(tmp_path, name):
    canary = tmp_path / "canary"
    data = b"\x80\x02}(" + text("a.weight") + calls(canary)[name] + b"u."
    refused(write_archive(tmp_path / "m.pt", {"data.pkl": data}), **STEPS)
    for member in ("data.pkl", "constants.pkl"):
        script = members_of("bag_scripted.pt") | {member: data}
        if name != "a class of the script":
            refused(write_archive(tmp_path / "s.pt", script))
    assert not canary.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02r\xff\xff\xff\x7f.",
        b"\x80\x02K\x01r\xff\xff\xff\xff0.",
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"x.",
        b"\x80\x04\x8e" + struct.pack("<Q", (1 << 64) - 1) + b"x.",
        b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b"x.",
        b"\x80\x02B\xff\xff\xff\x7fabc.",
        b"\x80\x02X\xff\xff\xff\xffabc.",
        b"\x80\x02\x8b\xff\xff\xff\x7f\x01.",
        b"\x80\x02\x8b\xff\xff\xff\xff\x01.",
        b"\x80\x04\x95" + struct.pack("<Q", 1 << 60) + b"N.",
        b"\x80\x02" + b"(" * 100_000 + b".",
        b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"a.",
        b"\x80\x02h\x07.",
        b"\x80\x02R.",
        b"\x80\x02t.",
        b"\x80\x02N",
        b"\x80\x02u.",
        b"\x80\x02](K\x01K\x02u.",
        b"\x80\x02}(]K\x02u.",
        b"\x80\x02\x82\x01.",
        b"\x80\x05\x97.",
        b"I" + b"9" * 10_000 + b"\n.",
        b"Vabc",
        b"",
        b"\xff",
    ],
)
def test_a_pickle_that_claims_more_than_it_holds_is_refused(tmp_path, data):
    refused(write_archive(tmp_path / "m.pt", {"data.pkl": data}), **STEPS)


def test_a_pickle_that_doubles_itself_takes_no_memory(tmp_path):
    doubling = b"".join(b"q%ch%c\x86" % (at, at) for at in range(100))
    data = b"\x80\x02}(" + text("a.weight") + b"K\x01" + doubling + b"u."
    refused(write_archive(tmp_path / "m.pt", {"data.pkl": data}), "no tensor", **STEPS)


def test_a_pickle_of_a_hundred_megabytes_is_refused():
    with pytest.raises(ModelError, match="more than names and shapes take"):
        unpickle(b"N" * (100 * MEGABYTE), lambda *_: dict, lambda _: None)


# --- tensors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "view"),
    [
        (120, (0, (30, 5), (5, 1))),
        (120, (1, (30, 4), (4, 1))),
        (120, (-1, (30, 4), (4, 1))),
        (120, (0, (30, 4), (4, -1))),
        (120, (0, (30, 4), (5, 1))),
        (120, (0, (-30, -4), (4, 1))),
        (120, (0, (30, 4), (4,))),
        (120, (0, (2**40, 2**40), (0, 0))),
        (120, (0, (1000, 1000), (0, 0))),
        (120, (2**62, (30, 4), (4, 1))),
        (120, (0, (30, 4), (2**61, 2**61))),
        (120, (0, (1,) * 9, (1,) * 9)),
        (119, (0, (30, 4), (4, 1))),
        (121, (0, (30, 4), (4, 1))),
        (2**40, (0, (2**20, 2**20), (2**20, 1))),
        (-1, (0, (30, 4), (4, 1))),
    ],
)
def test_a_tensor_that_does_not_fit_its_storage_is_refused(tmp_path, count, view):
    members = {"data.pkl": pickled({"a.weight": tensor("0", "FloatStorage", count, view)}), "data/0": b"\0" * 480}
    refused(write_archive(tmp_path / "m.pt", members), **STEPS)


def test_a_storage_that_is_missing_or_of_another_type_or_order_is_refused(tmp_path):
    view = (0, (30, 4), (4, 1))
    good = pickled({"a.weight": tensor("0", "FloatStorage", 120, view)})
    refused(write_archive(tmp_path / "m.pt", {"data.pkl": good}), "storage 'data/0' has None bytes", **STEPS)
    wide = pickled({"a.weight": tensor("0", "DoubleStorage", 120, view)})
    refused(write_archive(tmp_path / "m.pt", {"data.pkl": wide, "data/0": b"\0" * 480}), "480 bytes, not 960", **STEPS)
    outside = pickled({"a.weight": tensor("../../etc/passwd", "FloatStorage", 120, view)})
    refused(write_archive(tmp_path / "m.pt", {"data.pkl": outside, "data/0": b"\0" * 480}), "has None bytes", **STEPS)
    big = {"data.pkl": good, "data/0": b"\0" * 480, "byteorder": b"big"}
    refused(write_archive(tmp_path / "m.pt", big), "byte order", **STEPS)


def test_nan_weights_are_refused(tmp_path):
    members = {"data.pkl": pickled({"a.weight": tensor("0", "FloatStorage", 120, (0, (30, 4), (4, 1)))})}
    members["data/0"] = np.full(120, np.nan, np.float32).tobytes()
    refused(write_archive(tmp_path / "m.pt", members), "NaN", **STEPS)


def test_one_storage_named_ten_thousand_times_is_read_once(tmp_path):
    one = tensor("0", "FloatStorage", MEGABYTE, (0, (1024, 1024), (1024, 1)))
    members = {"data.pkl": pickled({f"a{at}.weight": one for at in range(10_000)}), "data/0": bytes(4 * MEGABYTE)}
    refused(write_archive(tmp_path / "m.pt", members), "leaves out", **STEPS)


# --- archives --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../evil", "m/../../evil", "/abs", "m/a\\b", "C:/x", "m//x", "m/./x"])
def test_members_that_lead_out_of_the_archive_are_refused(tmp_path, name):
    path = tmp_path / "m.pt"
    path.write_bytes((FIXTURES / "bag.pt").read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"x")
    refused(path, "leads out of the archive", **ARCHIVES["bag.pt"])
    assert not (tmp_path.parent / "evil").exists()


def test_packed_members_are_refused(tmp_path):
    path = tmp_path / "m.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", b"\x80\x02}.")
        archive.writestr("m/data/0", bytes(200 * MEGABYTE))
    refused(path, "packed as PyTorch never packs it", **STEPS)


def test_packed_code_is_unpacked_as_far_as_code_goes(tmp_path):
    path, members = tmp_path / "m.pt", members_of("bag_scripted.pt")
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(f"m/{name}", data)
        archive.writestr("m/code/bomb.py", bytes(30 * MEGABYTE), zipfile.ZIP_DEFLATED)
    refused(path, "is larger than it may be")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("m/code/bomb2.py", bytes(60 * MEGABYTE), zipfile.ZIP_DEFLATED)
    refused(path, "packed ones")


def test_two_members_of_one_name_are_refused(tmp_path):
    path = tmp_path / "m.pt"
    path.write_bytes((FIXTURES / "bag.pt").read_bytes())
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr(archive.namelist()[0], b"x")
    refused(path, "with a name of their own", **ARCHIVES["bag.pt"])


def test_numbers_are_written_as_pickle_writes_them():
    assert unpickle(b"\x80\x02" + number(2**40) + b".", lambda *_: dict, lambda _: None) == 2**40
