"""Writes the files beside it: PYTHONPATH=tests python tests/artefacts/torch/write.py, with PyTorch and safetensors.

Written with torch 2.13.0 and safetensors 0.8.0. Names of the machine's own files are left out of the archives: stack
traces of torch.export and TorchScript's debug members; all else lies there as PyTorch wrote it.
"""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch_models import PLANS, built, expected, exported, rows_for, scripted

HERE = Path(__file__).parent
FILES = {
    "bag.pt": ("bag sum, MLP, sigmoid", "state dict"),
    "bag.safetensors": ("bag sum, MLP, sigmoid", "safetensors"),
    "bag.pt2": ("bag sum, MLP, sigmoid", "export"),
    "bag_scripted.pt": ("bag sum, MLP, sigmoid", "scripted"),
    "bag_traced.pt": ("bag sum, MLP, sigmoid", "traced"),
    "mean.pt2": ("bag mean, BatchNorm", "export"),
    "dense.safetensors": ("dense, BatchNorm, PReLU", "safetensors"),
    "wide_deep.pt": ("wide and deep, concat", "state dict"),
    "heads.pt2": ("(n, N, 2) softmax heads", "export"),
    "separate_scripted.pt": ("normalized rows, N softmaxes", "scripted"),
    "zoo.pt2": ("every activation", "export"),
    "half.pt": ("float16", "state dict"),
    "bfloat16.pt": ("bag sum, MLP, sigmoid", "bfloat16"),
}


def cleaned(data):
    """Return an archive without what names the machine that wrote it."""
    source, target = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
    with zipfile.ZipFile(target, "w") as out:
        for info in source.infolist():
            content = source.read(info)
            if "/models/" in info.filename:
                content = json.dumps(without_traces(json.loads(content))).encode()
            if not info.filename.endswith(".debug_pkl"):
                member = zipfile.ZipInfo(info.filename)
                out.writestr(member, content, info.compress_type)
    return target.getvalue()


def without_traces(value):
    if isinstance(value, dict):
        return {key: {} if key == "metadata" else without_traces(each) for key, each in value.items()}
    return [without_traces(each) for each in value] if isinstance(value, list) else value


def written(path, plan, module, how):
    if how in ("state dict", "bfloat16"):
        torch.save((module.bfloat16() if how == "bfloat16" else module).state_dict(), path)
    elif how == "safetensors":
        save_file({name: tensor.contiguous() for name, tensor in module.state_dict().items()}, path)
    elif how == "export":
        path.write_bytes(cleaned(exported(plan, module).read()))
    else:
        scripted(plan, module, how == "traced").save(path)
        path.write_bytes(cleaned(path.read_bytes()))


def main():
    truths = {}
    for name, (topology, how) in FILES.items():
        plan = PLANS[topology]
        module, rows = built(plan), rows_for(plan, 40)
        written(HERE / name, plan, module, how)
        truths[name] = expected(plan, module.float() if how == "bfloat16" else module, rows).astype(np.float64)
        parts = {"indptr": rows.indptr, "indices": rows.indices, "values": rows.data}
        truths |= {f"{plan.takes}.{part}": array for part, array in parts.items()}
    np.savez_compressed(HERE / "expected.npz", **truths)


if __name__ == "__main__":
    main()
