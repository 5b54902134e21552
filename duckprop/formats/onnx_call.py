"""One node of an ONNX graph with the values that go into it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from duckprop.formats.forms import CannotFold
from duckprop.formats.onnx_file import OnnxFile
from duckprop.formats.onnx_values import Source, Tensor, Value, cannot


@dataclass(frozen=True)
class Call:
    """A node. values: of its inputs, None for one left out. batch: number of rows, where it is fixed, else 0."""

    file: OnnxFile
    node: Any
    values: list[Value | None]
    source: Source
    batch: int = 0

    @property
    def op(self) -> str:
        """The operator's name."""
        return str(self.node.op_type)

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """The node's settings; texts as bytes."""
        return {each.name: _setting(each) for each in self.node.attribute}

    def refused(self, why: str) -> CannotFold:
        """Return the error that names the operator and node."""
        return cannot(self.node, why)

    def number(self, name: str, default: Any) -> Any:
        """Return a setting."""
        return self.attributes.get(name, default)

    def value(self, place: int) -> Value:
        """Return an input. Raises CannotFold where it is left out."""
        found = self.values[place] if place < len(self.values) else None
        if found is None:
            raise self.refused(f"has no input {place}")
        return found

    def has(self, place: int) -> bool:
        """Whether an input is given."""
        return place < len(self.values) and self.values[place] is not None

    def constant(self, place: int) -> NDArray[Any]:
        """Return an input that must be known. Raises CannotFold where it depends on the rows."""
        found = self.value(place)
        if not isinstance(found, np.ndarray):
            raise self.refused(f"takes input {place} from the rows, where a stored tensor was expected")
        return found

    def tensor(self, place: int = 0) -> Tensor:
        """Return an input that must be columns. Raises CannotFold for anything else."""
        found = self.value(place)
        if not isinstance(found, Tensor):
            raise self.refused(f"takes input {place} that is no tensor of columns")
        return found

    def integers(self, name: str, place: int) -> list[int] | None:
        """Return a list of integers that is a setting in old opsets and an input in new ones; None where absent."""
        if name in self.attributes:
            found = self.attributes[name]
            return [int(each) for each in (found if isinstance(found, list | tuple) else [found])]
        return [int(each) for each in self.constant(place).reshape(-1)] if self.has(place) else None

    def axis(self, found: int, rank: int) -> int:
        """Return an axis counted from the first. Raises CannotFold where there is none such."""
        if not -rank <= found < rank:
            raise self.refused(f"is along axis {found} of {rank}")
        return found % rank


def _setting(attribute: Any) -> Any:
    """Return an attribute's value; a tensor or graph as it is stored."""
    kinds = {1: "f", 2: "i", 3: "s", 4: "t", 5: "g", 6: "floats", 7: "ints", 8: "strings"}
    found = getattr(attribute, kinds.get(attribute.type, "name"))
    return list(found) if attribute.type in (6, 7, 8) else found
