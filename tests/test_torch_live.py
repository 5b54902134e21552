"""PyTorch's modules, saved in every way and scored by PyTorch, against what is read: make test-torch."""

from importlib.util import find_spec

import numpy as np
import pytest

from duckprop.compiled import CompiledScorer
from duckprop.errors import UsageError
from duckprop.formats import torch as front_door
from duckprop.sparse import from_scipy

if find_spec("torch"):
    import torch
    from torch_models import PLANS, built, expected, exported, inputs_for, rows_for, scripted
else:  # these tests are not asked for
    PLANS = {}

pytestmark = pytest.mark.torch

SOURCES = ("state dict", "safetensors", "torch.export", "traced", "scripted", "module")
UNKNOWN = {
    ("every activation", "state dict"): "cut into pieces, which no description says",
    ("every activation", "safetensors"): "as above",
    ("torch.sparse.mm", "torch.export"): "PyTorch exports no sparse inputs",
    ("torch.sparse.mm", "module"): "PyTorch exports no sparse inputs",
}
CASES = [(name, source) for name in PLANS for source in SOURCES if (name, source) not in UNKNOWN]


def save_safetensors(module, path):
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in module.state_dict().items()}, path)


def artefact(plan, module, source, folder):
    options = {**plan.options}
    if source == "module":
        return front_door.from_module(module, **options)
    if source in ("state dict", "safetensors"):
        options["description"] = plan.description
    path = folder / {"torch.export": "m.pt2", "safetensors": "m.safetensors"}.get(source, "m.pt")
    if source == "state dict":
        torch.save(module.state_dict(), path)
    elif source == "safetensors":
        save_safetensors(module, path)
    elif source == "torch.export":
        path.write_bytes(exported(plan, module).read())
    else:
        scripted(plan, module, source == "traced").save(path)
    return front_door.read(path, **options)


@pytest.mark.parametrize(("name", "source"), CASES)
def test_every_topology_from_every_source_gives_what_pytorch_gives(tmp_path, name, source, record_import):
    plan = PLANS[name]
    module, rows = built(plan), rows_for(plan)
    found = artefact(plan, module, source, tmp_path)
    tolerance = 1e-3 if plan.is_half else 1e-6
    propensities = CompiledScorer(found.network, found.positive).score(from_scipy(rows))
    truth = expected(plan, module, rows)
    difference, own = np.abs(propensities - truth).max(), np.abs(found.reference(rows) - propensities).max()
    record_import("PyTorch", found.framework, f"{name} ({source})", max(difference, own), tolerance)
    assert np.ptp(truth, axis=0).min() > 0.05
    assert found.tolerance == tolerance


def test_a_module_that_cannot_be_exported_is_refused_by_name():
    class Branching(torch.nn.Linear):
        def forward(self, rows):
            return super().forward(rows) if rows.sum() > 0 else rows

    with pytest.raises(UsageError, match="cannot export Branching"):
        front_door.from_module(Branching(4, 4), output="sigmoid")


def test_a_pickled_module_is_loaded_where_the_caller_trusts_it(tmp_path):
    plan = PLANS["bag sum, MLP, sigmoid"]
    module, rows = built(plan), rows_for(plan, 50)
    for is_zip in (True, False):
        torch.save(module, tmp_path / "whole.pt", _use_new_zipfile_serialization=is_zip)
        found = front_door.read(tmp_path / "whole.pt", trust_pickle=True)
        assert np.abs(found.reference(rows) - expected(plan, module, rows)).max() <= 1e-6
    torch.save(module.state_dict(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    found = front_door.read(tmp_path / "old.pt", trust_pickle=True, description=plan.description)
    assert np.abs(found.reference(rows) - expected(plan, module, rows)).max() <= 1e-6


def test_a_model_in_training_mode_is_scored_as_eval_leaves_it(tmp_path):
    plan = PLANS["bag mean, BatchNorm"]
    module, rows = built(plan), rows_for(plan, 50)
    truth = expected(plan, module, rows)
    torch.jit.script(module.train()).save(tmp_path / "m.pt")
    found = front_door.read(tmp_path / "m.pt", output="sigmoid")
    assert np.abs(found.reference(rows) - truth).max() <= 1e-6
    traced = torch.jit.trace(module, inputs_for(plan, module, rows_for(plan, 20)), check_trace=False)
    traced.save(tmp_path / "t.pt")
    with pytest.raises(front_door.ModelError, match=r"batch_norm.*takes its statistics from the rows"):
        front_door.read(tmp_path / "t.pt", output="sigmoid")
