"""Hostile graphs (torch.export, TorchScript) and .safetensors headers: refused, nothing of them run."""

import json
import struct

import pytest
from torch_files import calls, members_of, refused, write_archive

from duckprop.formats.torch import read

STEPS = {"description": "embedding_bag sigmoid"}


# --- torch.export ----------------------------------------------------------------------------------------------------


def change_weights(members, **changes):
    name = "data/weights/model_weights_config.json"
    config = json.loads(members[name])
    entry = config["config"]["emb.weight"]
    for key, value in changes.items():
        (entry if key in entry else entry["tensor_meta"])[key] = value
    return members | {name: json.dumps(config).encode()}


@pytest.mark.parametrize(
    "changes",
    [
        {"use_pickle": True},
        {"use_pickle": None},
        {"path_name": "../../etc/passwd"},
        {"path_name": "weight_99"},
        {"dtype": 9},
        {"dtype": 8},
        {"sizes": [{"as_int": 2**40}, {"as_int": 2**40}]},
        {"sizes": [{"as_int": -1}, {"as_int": 16}]},
        {"sizes": [{"as_expr": {"expr_str": "__import__('os').system('true')"}}, {"as_int": 16}]},
        {"sizes": 7},
        {"strides": [{"as_int": 0}, {"as_int": 10**9}]},
        {"storage_offset": {"as_int": 5}},
    ],
)
def test_weights_of_an_export_that_do_not_fit_are_refused(tmp_path, changes):
    refused(write_archive(tmp_path / "m.pt2", change_weights(members_of("bag.pt2"), **changes)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"major": 8', b'"major": 9'),
        (b'"arg": {"as_tensor": {"name": "sigmoid"}}', b'"arg": {"as_tensor": {"name": "nothing"}}'),
        (b'"parameter_name": "out.weight"', b'"parameter_name": "none"'),
        (b'"as_float": 0.5', b'"as_graph": 0.5'),
        (b'"inputs": [', b'"inputs": [7, '),
        (b'"user_input"', b'"custom_obj"'),
        (b'"user_output"', b'"buffer_mutation"'),
    ],
)
def test_a_graph_that_is_not_whole_is_refused(tmp_path, old, new):
    members = members_of("bag.pt2")
    assert old in members["models/model.json"]
    members["models/model.json"] = members["models/model.json"].replace(old, new)
    refused(write_archive(tmp_path / "m.pt2", members))


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"7", b"{}", b"[" * 100_000, b'{"schema_version": {"major": 8}}', b"\xff"]
)
def test_a_graph_that_is_no_graph_is_refused(tmp_path, data):
    refused(write_archive(tmp_path / "m.pt2", members_of("bag.pt2") | {"models/model.json": data}))


def test_the_sample_inputs_of_an_export_are_never_unpickled(tmp_path):
    canary = tmp_path / "canary"
    evil = b"\x80\x02" + calls(canary)["os.system"] + b"."
    path = write_archive(tmp_path / "m.pt2", members_of("bag.pt2") | {"data/sample_inputs/model.pt": evil})
    assert read(path).network.heads == 5
    assert not canary.exists()


def test_an_export_of_an_old_pytorch_says_what_to_do(tmp_path):
    path = write_archive(tmp_path / "m.pt2", {"version": b"8.5", "serialized_exported_program.json": b"{}"})
    refused(path, "2.7 or older\nexport it again")


# --- TorchScript -----------------------------------------------------------------------------------------------------

HEAD = "class Bag(Module):\n  def forward(self, i: Tensor, o: Tensor, w: Tensor) -> Tensor:\n"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("    ops.aten.save(i, 'canary')\n    return i\n", "does more than compute"),
        ("    return torch.from_file('canary', True, 9)\n", "does more than compute"),
        (
            "    return i\n  def __setstate__(self, state: Tensor) -> NoneType:\n    return None\n",
            "does more than compute",
        ),
        ("    return ops.profiler._record_function_enter('x')\n", "does more than compute"),
        ("    while True:\n      pass\n    return i\n", "a statement 'While' is not known"),
        ("    for k in range(9):\n      pass\n    return i\n", "a statement 'For' is not known"),
        ("    import os\n    return i\n", "a statement 'Import' is not known"),
        ("    return (self).forward(i, o, w, )\n", "calls itself"),
        ("    return __import__('os').system('true')\n", "'__import__' is not known"),
        ("    return self.__class__\n", "has no attribute '__class__'"),
        ("    return (lambda: i)()\n", "an expression 'Lambda' is not known"),
        ("    return [i for k in o]\n", "an expression 'ListComp' is not known"),
        ("    return torch.cumsum(i, 0)\n", "operator 'aten.cumsum'"),
        ("    return nothing\n", "the name 'nothing' is not known"),
        ("    if torch.gt(torch.size(i, 0), 3):\n      pass\n    return i\n", "a branch depends on the rows"),
        ("    return i\n", "the model returns Input"),
        ("    return (((\n", "its code cannot be read"),
        (f"    a = {'(' * 150}i{')' * 150}\n    return a\n", "the model returns Input"),
        (f"    a = {'-' * 5000}1\n    return a\n", "its code cannot be read"),
        (f"    a = 1{' + 1' * 5000}\n    return a\n", "is not known|cannot be read"),
        ("    a = 9\n" + "    a = torch.mul(a, a)\n" * 60 + "    return i\n", "numbers below"),
        ("    a = [i]\n" + "    a = torch.add(a, a)\n" * 60 + "    return i\n", "list and list are no tensors"),
        ("    return torch.mul([i], 1000000000)\n", "list and int are no tensors"),
        (
            "    a = torch.reshape((self).start, [16, 1])\n" + 8 * "    a = torch.cat([a, a, a, a, a, a, a, a])\n",
            "too many",
        ),
    ],
)
def test_code_that_does_more_than_compute_is_refused(tmp_path, body, message):
    members = members_of("bag_scripted.pt")
    (name,) = [name for name in members if name.startswith("code/__torch__/torch_models")]
    path = write_archive(tmp_path / "m.pt", members | {name: (HEAD + body).encode()})
    refused(path, message)
    assert not list(tmp_path.glob("canary*"))


def test_functions_that_call_each_other_twice_end_in_time(tmp_path):
    functions = "".join(
        f"def f{at}(i: Tensor) -> Tensor:\n  a = {F}{at + 1}(i)\n  return {F}{at + 1}(a)\n" for at in range(40)
    )
    code = HEAD + f"    return {F}0(i)\n" + functions + "def f40(i: Tensor) -> Tensor:\n  return i\n"
    members = members_of("bag_scripted.pt")
    (name,) = [name for name in members if name.startswith("code/__torch__/torch_models")]
    refused(write_archive(tmp_path / "m.pt", members | {name: code.encode()}), "more than 200000 steps")


F = "__torch__.torch_models.f"

# --- safetensors -----------------------------------------------------------------------------------------------------


def entry(dtype="F32", shape=(2, 2), place=(0, 16)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(place)}


@pytest.mark.parametrize(
    ("header", "size"),
    [
        ({"a": entry()}, 15),
        ({"a": entry()}, 17),
        ({"a": entry(shape=(2, 3))}, 16),
        ({"a": entry(shape=(-2, -2))}, 16),
        ({"a": entry(shape=(2**40, 2**40))}, 16),
        ({"a": entry(shape=(2**62, 4, 0))}, 16),
        ({"a": entry(dtype="F128")}, 16),
        ({"a": entry(dtype="BF16")}, 16),
        ({"a": entry(place=(-16, 0))}, 16),
        ({"a": entry(place=(16, 0))}, 16),
        ({"a": entry(place=(0.0, 16))}, 16),
        ({"a": entry(place=(0, 16, 32))}, 16),
        ({"a": entry(shape=(1,) * 12, place=(0, 4))}, 4),
        ({"a": entry(), "b": entry()}, 16),
        ({"a": entry(), "b": entry(place=(20, 36))}, 36),
        ({"a": 7}, 0),
        ({"a": {}}, 0),
        ([], 0),
        (7, 0),
    ],
)
def test_a_safetensors_header_that_does_not_fit_is_refused(tmp_path, header, size):
    text_ = json.dumps(header).encode()
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", len(text_)) + text_ + bytes(size))
    refused(path, **STEPS)


@pytest.mark.parametrize("length", [2**63, 2**40, 10**6, 17])
def test_a_safetensors_header_longer_than_the_file_is_refused(tmp_path, length):
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", length) + b"{}" + bytes(8))
    refused(path, "cannot follow", **STEPS)


def test_a_deep_safetensors_header_is_refused(tmp_path):
    path, deep = tmp_path / "m.safetensors", b"[" * 200_000
    path.write_bytes(struct.pack("<Q", len(deep)) + deep)
    refused(path, "not JSON", **STEPS)
