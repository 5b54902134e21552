"""TorchScript archives, read without PyTorch: their source text is walked on forms, nothing of it is run.

TorchScript is written in Python's grammar, so ``ast`` parses it; the walker knows assignments, calls of modules and
functions of the archive, branches on what is known while reading, and the operators of ``torch_ops``. Loops and all
else are refused. PyTorch's own loader would run a module's ``__setstate__`` and may write files by ``aten::save``: an
archive whose code holds either is refused before PyTorch sees it. Source: what torch 2.13 writes.
"""

import ast
from collections.abc import Callable
from typing import Any

import numpy as np

from duckprop.errors import ModelError
from duckprop.formats.forms import CannotFold
from duckprop.formats.torch_archive import Archive
from duckprop.formats.torch_graph import number, tensors_of
from duckprop.formats.torch_ops import OPERATORS, apply
from duckprop.formats.torch_pickle import Record
from duckprop.formats.torch_values import LEAVE, Input, Outputs, Sources, Symbol, Tensor

_MOST_CODE = 1 << 24
_MOST_STEPS, _MOST_CALLS = 200_000, 60
_FORBIDDEN = ("save", "from_file", "__setstate__", "__getstate__")
_ROOTS = ("torch", "ops", "__torch__", "CONSTANTS")
_ARITHMETIC = ("add", "sub", "mul", "floordiv", "neg", "ge", "gt", "le", "lt")
_TYPES = {"float16": 5, "float32": 6, "float64": 7, "int64": 4, "int32": 3, "bool": 11}


def read_script(archive: Archive) -> Outputs:
    """Return the tensors that a module's forward gives, as forms, and what its inputs are.

    Raises ModelError for a damaged archive, CannotFold for what no network computes.
    """
    try:
        program = _Program(archive)
        return program.forward()
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise archive.damaged(f"its code cannot be read ({type(error).__name__})") from None


class _Returned(Exception):
    def __init__(self, value: Any) -> None:
        self.value = value


class _Program:
    """An archive's modules of code, its constants, and the walk over them."""

    def __init__(self, archive: Archive) -> None:
        self.archive, self.steps, self.depth = archive, 0, 0
        self.definitions: dict[str, ast.stmt] = {}
        for member in archive.members:
            if member.startswith("code/") and member.endswith(".py"):
                self._define(member)
        self.root = archive.unpickle("data.pkl", records=True)
        found = archive.unpickle("constants.pkl", records=True) if "constants.pkl" in archive.members else ()
        self.constants: tuple[Any, ...] = found if isinstance(found, tuple) else ()
        if not isinstance(self.root, Record):
            raise archive.damaged("it holds no module")

    def _define(self, member: str) -> None:
        tree = ast.parse(self.archive.read(member, _MOST_CODE))
        _refuse_effects(tree, member)
        prefix = member.removeprefix("code/").removesuffix(".py").replace("/", ".")
        for statement in tree.body:
            if isinstance(statement, ast.FunctionDef | ast.ClassDef):
                self.definitions[f"{prefix}.{statement.name}"] = statement

    def forward(self) -> Outputs:
        function, sources = self.method(self.root, "forward"), Sources()
        parameters = function.args.args[1:]
        is_alone = len(parameters) == 1
        for parameter in parameters:
            kind = ast.unparse(parameter.annotation) if parameter.annotation else "Tensor"
            if kind not in ("Tensor", "Optional[Tensor]"):
                raise CannotFold(f"forward takes '{parameter.arg}', a {kind}, not a tensor", LEAVE)
        inputs = [Input(position, sources, is_alone) for position in range(len(parameters))]
        found = self.call(function, [self.root, *inputs], {})
        return Outputs(tensors_of(list(found) if isinstance(found, tuple | list) else [found]), sources)

    def definition(self, name: str) -> Any:
        if name not in self.definitions:
            raise ModelError(f"the code of '{name[:120]}' is missing", "save the module again with torch.jit.save")
        return self.definitions[name]

    def method(self, record: Record, name: str) -> ast.FunctionDef:
        for statement in self.definition(record.name).body:
            if isinstance(statement, ast.FunctionDef) and statement.name == name:
                return statement
        raise ModelError(f"'{record.name[:120]}' has no method '{name[:80]}'", "save a module with a forward")

    def attribute(self, record: Record, name: str) -> Any:
        if name == "training":  # a model is scored as model.eval() leaves it
            return False
        if name in record.attributes:
            return record.attributes[name]
        for statement in self.definition(record.name).body:
            is_it = isinstance(statement, ast.AnnAssign) and getattr(statement.target, "id", "") == name
            if is_it and statement.value is not None:
                return _Frame(self, record.name).value(statement.value)
        raise ModelError(f"'{record.name[:120]}' has no attribute '{name[:80]}'", "save the module again")

    def call(self, function: ast.FunctionDef, args: list[Any], kwargs: dict[str, Any]) -> Any:
        self.depth += 1
        if self.depth > _MOST_CALLS:
            raise CannotFold(f"'{function.name[:80]}' calls itself, or far too many others", LEAVE)
        frame = _Frame(self, function.name)
        names = [each.arg for each in function.args.args]
        defaults = function.args.defaults
        for name, default in zip(names[len(names) - len(defaults) :], defaults, strict=True):
            frame.known[name] = frame.value(default)
        frame.known |= dict(zip(names, args, strict=False)) | kwargs
        try:
            frame.run(function.body)
        except _Returned as returned:
            return returned.value
        finally:
            self.depth -= 1
        return None


def _refuse_effects(tree: ast.AST, member: str) -> None:
    """Refuse code that does more than compute: PyTorch would run it, at loading or in forward."""
    for node in ast.walk(tree):
        name = node.name if isinstance(node, ast.FunctionDef) else _dotted(node) or ""
        space, _, last = name.rpartition(".")
        is_foreign = space.startswith("ops.") and space not in ("ops.prim", "ops.aten")
        if last in _FORBIDDEN or is_foreign or name.startswith("__torch__.torch.classes"):
            raise CannotFold(f"the code '{member}' uses '{name[:80]}', which does more than compute", LEAVE)


def _dotted(node: ast.AST) -> str | None:
    """Return 'torch.add' for names that begin with one of TorchScript's own roots, else None."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not parts or not isinstance(node, ast.Name) or node.id not in _ROOTS:
        return None
    return ".".join([node.id, *reversed(parts)])


class _Frame:
    """The local names of one call."""

    def __init__(self, program: _Program, where: str) -> None:
        self.program, self.where = program, where
        self.known: dict[str, Any] = {}

    def refused(self, node: ast.AST, why: str) -> CannotFold:
        return CannotFold(f"{why} (line {getattr(node, 'lineno', 0)} of '{self.where[:80]}')", LEAVE)

    def run(self, body: list[ast.stmt]) -> None:
        for statement in body:
            self.program.steps += 1
            if self.program.steps > _MOST_STEPS:
                raise self.refused(statement, f"the code takes more than {_MOST_STEPS} steps")
            self.statement(statement)

    def statement(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            self.assign(node.targets[0], self.value(node.value))
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            self.assign(node.target, self.value(node.value))
        elif isinstance(node, ast.If):
            self.run(node.body if self.condition(node.test) else node.orelse)
        elif isinstance(node, ast.Return):
            raise _Returned(None if node.value is None else self.value(node.value))
        elif isinstance(node, ast.Expr):
            self.value(node.value)
        elif not isinstance(node, ast.Pass):
            raise self.refused(node, f"a statement '{type(node).__name__}' is not known")

    def assign(self, target: ast.expr, value: Any) -> None:
        if isinstance(target, ast.Name):
            self.known[target.id] = value
        elif isinstance(target, ast.Tuple) and isinstance(value, list | tuple) and len(value) == len(target.elts):
            for each, part in zip(target.elts, value, strict=True):
                self.assign(each, part)
        else:
            raise self.refused(target, "an assignment does not fit its value")

    def condition(self, node: ast.expr) -> bool:
        found = self.value(node)
        if not isinstance(found, bool):
            raise self.refused(node, "a branch depends on the rows")
        return found

    def value(self, node: ast.expr) -> Any:
        reader: Callable[[Any], Any] | None = getattr(self, f"_{type(node).__name__.lower()}", None)
        if reader is None:
            raise self.refused(node, f"an expression '{type(node).__name__}' is not known")
        return reader(node)

    def _constant(self, node: ast.Constant) -> Any:
        if isinstance(node.value, int) and abs(node.value) > 2**63:
            raise self.refused(node, "a number is too large")
        return node.value

    def _name(self, node: ast.Name) -> Any:
        if node.id not in self.known:
            raise self.refused(node, f"the name '{node.id[:80]}' is not known")
        return self.known[node.id]

    def _tuple(self, node: ast.Tuple) -> Any:
        return tuple(self.value(each) for each in node.elts)

    def _list(self, node: ast.List) -> Any:
        return [self.value(each) for each in node.elts]

    def _ifexp(self, node: ast.IfExp) -> Any:
        return self.value(node.body if self.condition(node.test) else node.orelse)

    def _unaryop(self, node: ast.UnaryOp) -> Any:
        found = self.value(node.operand)
        if not isinstance(node.op, ast.USub) or not isinstance(found, int | float):
            raise self.refused(node, "an expression with a sign is not known")
        return -found

    def _subscript(self, node: ast.Subscript) -> Any:
        found, at = self.value(node.value), self.value(node.slice)
        if not isinstance(found, list | tuple) or not isinstance(at, int) or not -len(found) <= at < len(found):
            raise self.refused(node, "an element is asked for that is not there")
        return found[at]

    def _attribute(self, node: ast.Attribute) -> Any:
        dotted = _dotted(node)
        if dotted is None:
            found = self.value(node.value)
            if not isinstance(found, Record):
                raise self.refused(node, f"an attribute '{node.attr[:80]}' is asked of what is no module")
            return self.program.attribute(found, node.attr)
        root, _, rest = dotted.partition(".")
        if root == "CONSTANTS" and rest[1:].isdecimal() and int(rest[1:]) < len(self.program.constants):
            return self.program.constants[int(rest[1:])]
        if root == "__torch__":
            return self.program.definition(dotted)
        raise self.refused(node, f"'{dotted[:80]}' is not known")

    def _call(self, node: ast.Call) -> Any:
        dotted = _dotted(node.func)
        if isinstance(node.func, ast.Name) and node.func.id not in self.known:
            return self.builtin(node, node.func.id)
        args = [self.value(each) for each in node.args]
        kwargs = {str(each.arg): self.value(each.value) for each in node.keywords}
        if dotted is not None and not dotted.startswith("__torch__."):
            return self.operator(node, dotted, args, kwargs)
        if dotted is None and isinstance(node.func, ast.Attribute):
            owner = self.value(node.func.value)
            if isinstance(owner, Record):
                return self.program.call(self.program.method(owner, node.func.attr), [owner, *args], kwargs)
        function = self.value(node.func)
        if not isinstance(function, ast.FunctionDef):
            raise self.refused(node, "something is called that is no function")
        return self.program.call(function, args, kwargs)

    def builtin(self, node: ast.Call, name: str) -> Any:
        if name == "uninitialized":
            return None
        if name == "getattr" and len(node.args) == 2:
            owner, attribute = self.value(node.args[0]), self.value(node.args[1])
            if isinstance(owner, Record) and isinstance(attribute, str):
                return self.program.attribute(owner, attribute)
        if name not in ("annotate", "unchecked_cast", "int", "float", "bool") or not node.args:
            raise self.refused(node, f"'{name[:80]}' is not known")
        found = self.value(node.args[-1])
        if name in ("annotate", "unchecked_cast") or isinstance(found, Symbol):
            return found
        if not isinstance(found, int | float):
            raise self.refused(node, f"{name}() of what depends on the rows")
        return {"int": int, "float": float, "bool": bool}[name](found)

    def operator(self, node: ast.Call, dotted: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        name = dotted.rpartition(".")[2]
        if name == "RaiseException":
            raise self.refused(node, "the model refuses such an input")
        has_tensor = any(isinstance(each, Tensor | Input | np.ndarray) for each in args)
        if name in _ARITHMETIC and args and all(isinstance(each, int | float | Symbol) for each in args):
            return number(f"_operator.{name}", args)
        if name in _LOCAL and not (name in OPERATORS and has_tensor):
            try:
                return _LOCAL[name](*args, **kwargs)
            except (TypeError, ValueError, IndexError, KeyError, AttributeError) as error:
                raise self.refused(node, f"'{dotted[:80]}' fails: {error}") from None
        return apply(name, f"line {node.lineno} of '{self.where[:80]}'", args, kwargs)


def _equal(one: Any, other: Any) -> bool | Symbol:
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        answers = [_equal(*pair) for pair in zip(one, other, strict=True)]
        unknown = [each for each in answers if isinstance(each, Symbol)]
        return False if False in answers else unknown[0] if unknown else True
    if one is other or not (isinstance(one, Symbol) or isinstance(other, Symbol)):
        return one is other or bool(one == other)
    return Symbol("a comparison")


def _not(answer: Any) -> Any:
    return answer if isinstance(answer, Symbol) else not answer


def _dtype(x: Any) -> int:
    return _TYPES.get(str(x.dtype), 6) if isinstance(x, np.ndarray) else 4 if isinstance(x, Input) else 6


def _numel(x: Any) -> Any:
    return int(x.size) if isinstance(x, np.ndarray) else Symbol("a number of elements")


_LOCAL: dict[str, Callable[..., Any]] = {
    "eq": _equal,
    "ne": lambda one, other: _not(_equal(one, other)),
    "__is__": lambda one, other: one is other,
    "__isnot__": lambda one, other: one is not other,
    "__not__": _not,
    "__and__": lambda one, other: bool(one and other),
    "__or__": lambda one, other: bool(one or other),
    "__getitem__": lambda items, at: items[at],
    "__contains__": lambda items, item: item in items,
    "len": len,
    "append": lambda items, item: items.append(item),
    "numel": _numel,
    "format": lambda *_: "",
    "warn": lambda *_, **__: None,
    "dtype": _dtype,
    "device": lambda _: None,
    "NumToTensor": lambda x: x,
    "ScalarImplicit": lambda x: x,
    "IntImplicit": lambda x: x,
    "Int": lambda x: x,
    "is_floating_point": lambda x: isinstance(x, np.ndarray) and x.dtype.kind == "f",
}
"""What TorchScript does with numbers, lists and None."""
