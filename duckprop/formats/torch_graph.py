"""A PyTorch graph as plain data: calls of operators in order, run on forms to read it, on real tensors to compare."""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from duckprop.errors import ModelError
from duckprop.formats.forms import CannotFold
from duckprop.formats.torch_ops import apply
from duckprop.formats.torch_values import LEAVE, Input, Outputs, Sources, Symbol, Tensor


@dataclass(frozen=True)
class Ref:
    """Stands in arguments for the value of that name."""

    name: str


@dataclass(frozen=True)
class Dtype:
    """Stands in arguments for a type of elements, by PyTorch's own code."""

    code: int


@dataclass(frozen=True)
class Node:
    """One call. operator: aten's name without overload, or a name of NUMBERS. results: names, None where not asked."""

    operator: str
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    results: tuple[Any, ...]


@dataclass(frozen=True)
class Graph:
    """inputs: names in order, and widths: what is known of their columns. arrays: constants by name. outputs: Refs."""

    inputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Ref, ...]
    arrays: dict[str, NDArray[Any]]
    widths: dict[str, int]


NUMBERS: dict[str, Callable[..., Any]] = {
    f"_operator.{name}": getattr(operator, name)
    for name in ("add", "sub", "mul", "floordiv", "neg", "eq", "ne", "ge", "gt", "le", "lt")
}
"""What graphs do with sizes."""

CHECKS = ("_assert_scalar", "_assert_tensor_metadata", "sym_constrain_range", "sym_constrain_range_for_size")
"""Operators that only check what they are given."""


def run(graph: Graph, values: dict[str, Any], call: Callable[[Node, list[Any], dict[str, Any]], Any]) -> list[Any]:
    """Return the outputs. values: inputs and constants by name; call: what a node makes of its arguments."""
    known = dict(values)
    for node in graph.nodes:
        args = [_filled(each, known) for each in node.args]
        found = call(node, args, {name: _filled(each, known) for name, each in node.kwargs.items()})
        if len(node.results) == 1 and isinstance(node.results[0], str):
            found = [found]
        elif len(node.results) == 1:
            found, node = found, Node("", node.name, (), {}, tuple(node.results[0]))
        known |= {name: each for name, each in zip(node.results, found or (), strict=False) if name}
    return [_filled(each, known) for each in graph.outputs]


def _filled(argument: Any, known: dict[str, Any]) -> Any:
    if isinstance(argument, Ref):
        if argument.name not in known:
            raise ModelError(f"the graph uses '{argument.name[:80]}', which nothing made", "export the model again")
        return known[argument.name]
    return [_filled(each, known) for each in argument] if isinstance(argument, list) else argument


def read_graph(graph: Graph) -> Outputs:
    """Return the tensors that a graph gives, as forms, and what its inputs are.

    Raises CannotFold, which names the operator and its node, for what no network computes.
    """
    sources = Sources()
    is_alone = len(graph.inputs) == 1
    inputs = {
        name: Input(position, sources, is_alone, graph.widths.get(name)) for position, name in enumerate(graph.inputs)
    }
    return Outputs(tensors_of(run(graph, {**graph.arrays, **inputs}, _on_forms)), sources)


def tensors_of(outputs: list[Any]) -> list[Tensor]:
    """Return what a graph gives as tensors. Raises CannotFold for anything else, such as an input handed through."""
    if not outputs or not all(isinstance(each, Tensor) for each in outputs):
        kinds = ", ".join(type(each).__name__ for each in outputs) or "nothing"
        raise CannotFold(f"the model returns {kinds}, not tensors of propensities alone", LEAVE)
    return outputs


def _on_forms(node: Node, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if node.operator in CHECKS:
        return None
    if node.operator in NUMBERS:
        return number(node.operator, args)
    kwargs = {name: each.code if isinstance(each, Dtype) else each for name, each in kwargs.items()}
    args = [each.code if isinstance(each, Dtype) else each for each in args]
    return apply(node.operator, f"node '{node.name}'", args, kwargs)


def number(name: str, args: list[Any]) -> Any:
    """Return what comes of sizes, a Symbol where one is among them."""
    if any(isinstance(each, Symbol) for each in args):
        texts = [each.text if isinstance(each, Symbol) else str(each) for each in args]
        return Symbol(f"{name.partition('.')[2]} of {', '.join(texts)}")
    if not all(isinstance(each, int | float) and abs(each) < 2**62 for each in args):
        raise ModelError(f"'{name}' is given more than numbers below 2^62", "export the model again")
    try:
        return NUMBERS[name](*args)
    except (TypeError, ZeroDivisionError) as error:
        raise ModelError(f"'{name}' fails: {error}", "export the model again") from None
