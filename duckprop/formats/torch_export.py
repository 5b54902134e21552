"""``.pt2`` archives of torch.export, read without PyTorch: the graph is JSON, the weights are raw bytes.

PyTorch's own loader is not used on foreign files: it unpickles their sample inputs, and any weight that says so.
Source: ``torch/_export/serde/schema.py`` of torch 2.13, schema version 8.
"""

import json
from typing import Any

from numpy.typing import NDArray

from duckprop.errors import ModelError
from duckprop.formats.forms import CannotFold
from duckprop.formats.torch_archive import BFLOAT16, Archive, Stored
from duckprop.formats.torch_graph import NUMBERS, Dtype, Graph, Node, Ref
from duckprop.formats.torch_values import LEAVE

_MOST = 1 << 26
_SCHEMA = 8
_BFLOAT = 13
_STORED = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 6: "<f2", 7: "<f4", 8: "<f8", 12: "?", _BFLOAT: BFLOAT16}
_CODES = {1: 0, 2: 1, 3: 2, 4: 3, 5: 4, 6: 5, 7: 6, 8: 7, 12: 11, 13: 15}
"""The schema's numbers of types → PyTorch's own."""
_PLAIN = ("as_int", "as_float", "as_bool", "as_string", "as_ints", "as_floats", "as_bools")
_IGNORED = ("as_memory_format", "as_layout", "as_device", "as_none")
_AGAIN = "export it again with torch.export.save"


def read_export(archive: Archive) -> tuple[Graph, str]:
    """Return the graph of an archive and the version of the PyTorch that wrote it.

    Raises ModelError for one that is damaged, of another schema, or that holds pickles; CannotFold for control flow.
    """
    models = [name for name in archive.members if name.startswith("models/") and name.endswith(".json")]
    if len(models) != 1:
        raise ModelError(f"{archive.path} holds {len(models)} models", "save one with torch.export.save")
    name = models[0].removeprefix("models/").removesuffix(".json")
    try:
        program = json.loads(archive.read(models[0], _MOST))
        if (schema := program["schema_version"]["major"]) != _SCHEMA:
            raise ModelError(f"{archive.path} is of the export schema {schema}, not {_SCHEMA}", _AGAIN)
        return _graph(archive, program["graph_module"], name), str(program.get("torch_version", ""))[:40]
    except _ERRORS as error:
        raise archive.damaged(f"its graph cannot be read ({type(error).__name__}: {error})") from None


def _graph(archive: Archive, module: dict[str, Any], model: str) -> Graph:
    graph, signature = module["graph"], module["signature"]
    weights = _payloads(archive, f"data/weights/{model}_weights_config.json", "data/weights")
    constants = _payloads(archive, f"data/constants/{model}_constants_config.json", "data/constants")
    inputs, arrays = [], {}
    for spec in signature["input_specs"]:
        ((kind, entry),) = spec.items()
        if kind == "user_input":
            inputs.append(_input(entry["arg"]))
        elif kind in _KEPT:
            source = constants if kind == "tensor_constant" or entry.get("persistent") is False else weights
            arrays[entry["arg"]["name"]] = _tensor(archive, source, entry[_KEPT[kind]])
        else:
            raise CannotFold(f"{archive.path} has an input of the kind '{kind[:40]}'", LEAVE)
    outputs = []
    for spec in signature["output_specs"]:
        ((kind, entry),) = spec.items()
        if kind != "user_output":
            raise CannotFold(f"the model returns more than propensities, or changes itself ({kind[:40]})", LEAVE)
        outputs.append(_value(entry["arg"]))
    metas = graph["tensor_values"]
    widths = {name: width for name in inputs if (width := _width(metas.get(name))) is not None}
    return Graph(tuple(inputs), tuple(map(_node, graph["nodes"])), tuple(outputs), arrays, widths)


_KEPT = {"parameter": "parameter_name", "buffer": "buffer_name", "tensor_constant": "tensor_constant_name"}


def _input(argument: dict[str, Any]) -> str:
    if "as_tensor" not in argument:
        raise CannotFold("the model takes more than tensors", LEAVE)
    return argument["as_tensor"]["name"]


def _width(meta: Any) -> int | None:
    sizes = meta["sizes"] if meta else []
    return sizes[1].get("as_int") if len(sizes) == 2 else None


def _payloads(archive: Archive, name: str, folder: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return {a tensor's name: (member, what the file says of it)}."""
    if name not in archive.members:
        return {}
    config = json.loads(archive.read(name, _MOST))["config"]
    return {key: (f"{folder}/{entry['path_name']}", entry) for key, entry in config.items()}


def _tensor(archive: Archive, source: dict[str, tuple[str, dict[str, Any]]], name: str) -> NDArray[Any]:
    if name not in source:
        raise archive.damaged(f"the weight '{name[:80]}' is missing")
    member, entry = source[name]
    if entry["use_pickle"] is not False:
        raise ModelError(f"the weight '{name[:80]}' is pickled, which is code", "export contiguous tensors on the CPU")
    meta = entry["tensor_meta"]
    dtype = _STORED[meta["dtype"]]
    count = archive.members.get(member, 0) // Stored(member, dtype, 0).width
    shape = [each["as_int"] for each in meta["sizes"]]
    strides = [each["as_int"] for each in meta["strides"]]
    view = (meta["storage_offset"]["as_int"], shape, strides)
    return archive.tensor(member, Stored(member, dtype, count), view)


def _node(node: dict[str, Any]) -> Node:
    target = node["target"]
    name = _operator(target, node["name"])
    args = [_value(each["arg"]) for each in node["inputs"] if each.get("kind") != 2]
    kwargs = {each["name"]: _value(each["arg"]) for each in node["inputs"] if each.get("kind") == 2}
    return Node(name, node["name"] or target, tuple(args), kwargs, tuple(map(_result, node["outputs"])))


def _operator(target: str, name: str) -> str:
    if target in NUMBERS:
        return target
    *space, operator = target.removeprefix("torch.ops.").split(".")[:2]
    if not target.startswith("torch.ops.") or space != ["aten"]:
        raise CannotFold(f"operator '{target[:80]}' (node '{name}') is not one of aten's", LEAVE)
    return operator


def _result(output: dict[str, Any]) -> Any:
    ((kind, value),) = output.items()
    if kind == "as_tensor":
        return value["name"]
    if kind in ("as_tensors", "as_optional_tensors"):
        return [each.get("as_tensor", each).get("name") for each in value]
    return value["as_name"] if kind in ("as_sym_int", "as_sym_bool") else None


def _value(argument: dict[str, Any]) -> Any:
    """Return an argument as a number, a text, a Ref, a Dtype, None, or a list of these."""
    ((kind, value),) = argument.items()
    if kind in _PLAIN:
        return float(value) if kind == "as_float" else value
    if kind in _IGNORED:
        return None
    if kind == "as_scalar_type":
        return Dtype(_CODES[value])
    if kind in ("as_tensor", "as_sym_int", "as_sym_bool", "as_sym_float"):
        return Ref(value["name"]) if kind == "as_tensor" else _number(value)
    if kind in ("as_tensors", "as_sym_ints"):
        return [Ref(each["name"]) if kind == "as_tensors" else _number(each) for each in value]
    if kind == "as_optional_tensor":
        return _value(value)
    raise CannotFold(f"an argument of the kind '{kind[:40]}' is not known", LEAVE)


def _number(value: dict[str, Any]) -> Any:
    ((kind, number),) = value.items()
    return Ref(number) if kind == "as_name" else number


_ERRORS = (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError)
