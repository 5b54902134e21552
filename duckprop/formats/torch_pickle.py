"""A pickle machine that knows data and nothing else: it runs no code, imports nothing and calls only what it is given.

Python's own unpickler calls whatever a file names, and takes memory for lengths that a file only claims. This one walks
the opcodes, each of which lies in the bytes as long as it says, and builds numbers, texts, lists, tuples and dicts.
"""

import pickletools
import struct
from collections.abc import Callable
from typing import Any

from duckprop.errors import ModelError

Find = Callable[[str, str], Callable[..., Any]]
"""Module and name → a function of ours that stands for it. Raises ModelError for any other."""

MOST = 1 << 26
"""Bytes of a pickle, 64 MiB: a state dict's holds names and shapes, not weights."""

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_NUMBERS = ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT")
_TEXTS = ("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
_VALUES = {*_NUMBERS, *_TEXTS}
_EMPTY: dict[str, type] = {"EMPTY_TUPLE": tuple, "EMPTY_LIST": list, "EMPTY_DICT": dict}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_PUT = ("PUT", "BINPUT", "LONG_BINPUT")
_GET = ("GET", "BINGET", "LONG_BINGET")


class Record:
    """An object of a class that the file names, without the class: its name and its attributes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.attributes: dict[str, Any] = {}


def unpickle(data: bytes, find: Find, stored: Callable[[Any], Any]) -> Any:
    """Return what a pickle holds. find: answers the names in it; stored: a persistent id → what stands for it.

    Raises ModelError for a pickle that is damaged, too large, names what ``find`` refuses, or does more.
    """
    if len(data) > MOST:
        raise ModelError(f"a pickle of {len(data)} bytes is more than names and shapes take", _DAMAGED)
    machine = _Machine(find, stored)
    try:
        for opcode, argument, _ in pickletools.genops(data):
            machine.step(opcode.name, argument)
    except _ERRORS as error:
        raise ModelError(f"the pickle is damaged: {str(error)[:100] or type(error).__name__}", _DAMAGED) from None
    return machine.result()


class _Mark:
    """Where a list's or a dict's items begin on the stack."""


class _Machine:
    def __init__(self, find: Find, stored: Callable[[Any], Any]) -> None:
        self.find, self.stored = find, stored
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def result(self) -> Any:
        if len(self.stack) != 1:
            raise ModelError(f"the pickle is damaged: it ends with {len(self.stack)} values", _DAMAGED)
        return self.stack[0]

    def step(self, name: str, argument: Any) -> None:
        if name in _VALUES:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            self.stack.append(tuple(self.last(_TUPLES[name])))
        elif name in _PUT:
            self.memo[int(argument)] = self.stack[-1]
        elif name in _GET:
            self.stack.append(self.memo[int(argument)])
        elif name not in ("PROTO", "FRAME", "STOP"):
            self.build(name, argument)

    def build(self, name: str, argument: Any) -> None:
        actions: dict[str, Callable[[], None]] = {
            "MARK": lambda: self.stack.append(_Mark),
            "MEMOIZE": lambda: self.memo.__setitem__(len(self.memo), self.stack[-1]),
            "TUPLE": lambda: self.stack.append(tuple(self.marked())),
            "LIST": lambda: self.stack.append(self.marked()),
            "DICT": lambda: self.fill({}, self.marked()),
            "APPEND": lambda: self.extend(self.last(1)),
            "APPENDS": lambda: self.extend(self.marked()),
            "SETITEM": lambda: self.set_items(self.last(2)),
            "SETITEMS": lambda: self.set_items(self.marked()),
            "GLOBAL": lambda: self.stack.append(self.find(*str(argument).split(" ", 1))),
            "STACK_GLOBAL": lambda: self.stack.append(self.find(*self.texts())),
            "BINPERSID": lambda: self.stack.append(self.stored(self.stack.pop())),
            "REDUCE": self.call,
            "NEWOBJ": self.call,
            "BUILD": self.set_attributes,
        }
        if name not in actions:
            raise ModelError(f"the pickle uses the opcode {name}, which weights do not need", _DAMAGED)
        actions[name]()

    def last(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise ValueError("the stack is empty")
        items = self.stack[-count:]
        del self.stack[-count:]
        if any(item is _Mark for item in items):
            raise ValueError("a mark stands where a value should")
        return items

    def marked(self) -> list[Any]:
        at = len(self.stack) - 1
        while self.stack[at] is not _Mark:
            if at == 0:
                raise ValueError("a mark is missing")
            at -= 1
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def texts(self) -> tuple[str, str]:
        module, name = self.last(2)
        if not (isinstance(module, str) and isinstance(name, str)):
            raise ValueError("a name is not a text")
        return module, name

    def extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise ValueError("items are appended to what is no list")
        self.stack[-1].extend(items)

    def set_items(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not dict:
            raise ValueError("items are set in what is no dict")
        self.fill(self.stack.pop(), items)

    def fill(self, target: dict[Any, Any], items: list[Any]) -> None:
        if len(items) % 2 or not all(isinstance(key, str | int) for key in items[::2]):
            raise ValueError("a dict's keys are not texts or numbers")
        target.update(zip(items[::2], items[1::2], strict=True))
        self.stack.append(target)

    def call(self) -> None:
        function, arguments = self.last(2)
        if not callable(function) or type(arguments) is not tuple:
            raise ValueError("something is called that is no known name")
        self.stack.append(function(*arguments))

    def set_attributes(self) -> None:
        """Give a record its attributes; those of anything else (a state dict's versions) are let go."""
        (state,) = self.last(1)
        if type(self.stack[-1]) is Record and type(state) is dict:
            self.stack[-1].attributes.update(state)


_DAMAGED = "copy the file again, or save it again with torch.save(model.state_dict(), path)"
_ERRORS = (ValueError, TypeError, IndexError, KeyError, OverflowError, struct.error, AttributeError)
