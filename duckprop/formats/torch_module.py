"""A PyTorch module in memory → the archive that torch.export writes of it."""

import inspect
import io
from collections.abc import Sequence
from typing import Any

from duckprop.errors import UsageError


def exported(module: Any, example: Sequence[Any] | None = None) -> io.BytesIO:
    """Return the .pt2 archive of a module for any number of rows. Raises UsageError where it cannot be exported."""
    import torch

    example = tuple(_example(module) if example is None else example)
    file = io.BytesIO()
    try:
        shapes = tuple({0: torch.export.Dim.AUTO} for _ in example)
        torch.export.save(torch.export.export(module, example, dynamic_shapes=shapes), file)
    except Exception as error:  # the module's own code runs: anything may come
        line = str(error).strip().partition("\n")[0][:200]
        fact = f"PyTorch cannot export {type(module).__name__}: {type(error).__name__}: {line}"
        raise UsageError(
            fact, "give example inputs that forward takes, or save the state dict and describe it"
        ) from None
    file.seek(0)
    return file


def _example(module: Any) -> list[Any]:
    """Return inputs for three rows, by the number of those that forward asks for."""
    import torch

    parameters = list(inspect.signature(module.forward).parameters.values())
    needed = sum(each.default is each.empty or each.name == "per_sample_weights" for each in parameters)
    like = next((each for each in module.parameters() if each.is_floating_point()), torch.zeros(1))
    if needed == 1:
        layers = [each for each in module.modules() if isinstance(each, torch.nn.Linear)]
        if not layers:
            raise UsageError("how wide the input is, no Linear layer says", "give an example input")
        return [torch.ones(3, layers[0].in_features, dtype=like.dtype)]
    if needed not in (2, 3):
        raise UsageError(f"forward takes {needed} inputs", "give example inputs: (indices, offsets, weights) or one")
    bags = [each for each in module.modules() if isinstance(each, torch.nn.EmbeddingBag)]
    has_last = bool(bags) and bags[0].include_last_offset
    offsets = torch.tensor([0, 2, 3, 5][: 4 if has_last else 3])
    return [torch.zeros(5, dtype=torch.int64), offsets, torch.ones(5, dtype=like.dtype)][:needed]
