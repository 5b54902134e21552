"""A state dict and a short description of the layers → the graph of PyTorch's operators.

A state dict holds weights, not what is done with them. The description says that, as words or as JSON, in order:

    embedding_bag relu batch_norm dropout linear sigmoid
    [{"embedding_bag": "emb", "mode": "sum"}, "relu", {"batch_norm": "bn1"}, {"linear": "out"}, "sigmoid"]

A step is a name, or an object of a name, its first value and further ones; ``name:key`` is short for {name: key}.
Steps with weights take the state dict's key without ``.weight``; without a key they take the next one in its order.

    embedding_bag   mode 'sum' or 'mean', padding_idx; features' values are per_sample_weights of a sum
    linear          the input where it is dense, or units; a bias where there is one
    mm              torch.sparse.mm of a dense input and the weight of that name
    bias            adds the parameter of that name
    batch_norm      eps (1e-05)
    prelu           its weight's key
    relu sigmoid tanh softsign selu silu mish relu6 hardsigmoid log_sigmoid dropout identity
    leaky_relu (0.01)   elu (1.0)   celu (1.0)   softplus (beta 1.0)   gelu ('none' or 'tanh')   hardtanh ([-1, 1])
    normalize (2)   F.normalize of the input's rows, p = 1 or 2
    reshape         [N, K]: the shape of a row
    softmax         over the last dimension
    concat, add     a list of branches, each a list of steps that begins where this one stands

What is left of the state dict, but for num_batches_tracked, is an error: the description would miss a layer.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from duckprop.errors import UsageError, did_you_mean
from duckprop.formats.torch_graph import Graph, Node, Ref

Arrays = dict[str, NDArray[Any]]
_MOST = 1 << 20
_MOST_DEPTH = 20
_BAG = ("indices", "offsets", "weights")
_PLAIN = ("relu", "sigmoid", "tanh", "selu", "silu", "mish", "relu6", "hardsigmoid", "log_sigmoid")
_NUMBER = {"leaky_relu": 0.01, "elu": 1.0, "celu": 1.0, "softplus": 1.0}
_KEYED = {"embedding_bag": 2, "linear": 2, "batch_norm": 1, "prelu": 1}
"""Steps that find their own key: the number of dimensions of its weight."""
_REMEDY = 'describe the layers in order, such as "embedding_bag relu linear" or [{"linear": "fc1"}, "relu"]'


def describe(arrays: Arrays, description: str | Sequence[Any] | None) -> Graph:
    """Return the graph that a description makes of a state dict. description: see the module; or a .json file's path.

    Raises UsageError for a description that is missing, not understood, or does not fit the state dict.
    """
    steps = _steps(arrays, description)
    builder = _Builder({name: array for name, array in arrays.items() if not name.endswith("num_batches_tracked")})
    has_bag = _has_bag(steps)
    end = builder.chain(steps, Ref("indices" if has_bag else "input"), 0)
    if unused := [name for name in builder.arrays if name not in builder.used]:
        raise UsageError(f"the description leaves out {_some(unused)} of the state dict", _REMEDY)
    is_weighted = has_bag and any(_BAG[2] in _names(node.args) for node in builder.nodes)
    inputs = (_BAG if is_weighted else _BAG[:2]) if has_bag else ("input",)
    return Graph(inputs, tuple(builder.nodes), (end,), builder.arrays, {})


def _steps(arrays: Arrays, description: str | Sequence[Any] | None) -> list[Any]:
    if description is None:
        raise UsageError(f"a state dict holds weights alone: {_some(list(arrays))}", _REMEDY.replace("describe", "say"))
    if not isinstance(description, str):
        return list(description)
    text = description.strip()
    if text.endswith(".json"):
        path = Path(text)
        try:
            text = path.read_text(encoding="utf-8") if path.stat().st_size <= _MOST else ""
        except (OSError, UnicodeDecodeError):
            raise UsageError(f"the description {path} cannot be read", "name a JSON file, or write the steps") from None
    if not text.lstrip().startswith("["):
        words = [word.partition(":") for word in text.split()]
        return [{name: key} if key else name for name, _, key in words]
    try:
        return list(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the description is not JSON: {str(error)[:100]}", _REMEDY) from None


def _has_bag(steps: list[Any]) -> bool:
    names = {name for step in steps for name in (step if isinstance(step, dict) else [str(step)])}
    if "embedding_bag" in names:
        return True
    branches = [branch for step in steps if isinstance(step, dict) for branch in _branches(step)]
    return any(_has_bag(branch) for branch in branches)


def _branches(step: dict[str, Any]) -> list[list[Any]]:
    found = step.get("concat", step.get("add"))
    return [each for each in found if isinstance(each, list)] if isinstance(found, list) else []


def _names(args: Any) -> set[str]:
    return {each.name for each in args if isinstance(each, Ref)}


def _some(names: list[str]) -> str:
    return ", ".join(f"'{name[:60]}'" for name in names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


class _Builder:
    """Collects nodes; ``used`` are the state dict's tensors that a step has taken."""

    def __init__(self, arrays: Arrays) -> None:
        self.arrays, self.used = arrays, set[str]()
        self.nodes: list[Node] = []

    def chain(self, steps: list[Any], at: Ref, depth: int) -> Ref:
        if not steps or depth > _MOST_DEPTH:
            raise UsageError("the description has a branch without steps, or too deep", _REMEDY)
        for step in steps:
            if not isinstance(step, str | dict) or not step:
                raise UsageError(f"step {step!r:.80} is neither a name nor an object", _REMEDY)
            name = step if isinstance(step, str) else next(iter(step))
            options = dict(step) if isinstance(step, dict) else {}
            at = self.step(name, options.pop(name, None), options, (at, depth))
        return at

    def step(self, name: str, value: Any, options: dict[str, Any], place: tuple[Ref, int]) -> Ref:
        at, depth = place
        if unknown := set(options) - set(_OPTIONS.get(name, ())):
            raise UsageError(f"step '{name}' has no option {_some(sorted(unknown))}", _REMEDY)
        if name in ("concat", "add"):
            return self.join(name, value, at, depth)
        if name in ("dropout", "identity"):
            return at
        if name in _PLAIN:
            return self.node(name, at)
        if name in _NUMBER:
            return self.node(name, at, _number(name, _NUMBER[name] if value is None else value))
        layer: Callable[[Ref, Any, dict[str, Any]], Ref] | None = _LAYERS.get(name, lambda *_: None)(self)
        if layer is None:
            known = [*_PLAIN, *_NUMBER, *_LAYERS, "concat", "add", "dropout", "identity"]
            raise UsageError(f"step '{name[:60]}' is not known{did_you_mean(name, known)}", _REMEDY)
        return layer(at, value, options)

    def node(self, operator: str, *args: Any, parts: int = 1, **kwargs: Any) -> Ref:
        result = f"step {len(self.nodes) + 1}"
        self.nodes.append(Node(operator, f"{result}, {operator}", args, kwargs, (result,) + (None,) * (parts - 1)))
        return Ref(result)

    def join(self, name: str, branches: Any, at: Ref, depth: int) -> Ref:
        if not isinstance(branches, list) or len(branches) < 2 or not all(isinstance(each, list) for each in branches):
            raise UsageError(f"'{name}' takes a list of two or more lists of steps", _REMEDY)
        ends = [self.chain(branch, at, depth + 1) for branch in branches]
        if name == "concat":
            return self.node("cat", ends, 1)
        total = ends[0]
        for end in ends[1:]:
            total = self.node("add", total, end)
        return total

    def key(self, name: str, value: Any) -> str:
        """Return the key without '.weight' that a step names, or the next one of its kind."""
        if value is not None:
            if not isinstance(value, str) or f"{value}.weight" not in self.arrays:
                known = [key.removesuffix(".weight") for key in self.arrays if key.endswith(".weight")]
                hint = did_you_mean(str(value), known)
                raise UsageError(
                    f"the state dict has no '{value}.weight'{hint}", f"it holds {_some(list(self.arrays))}"
                )
            return value
        for key, array in self.arrays.items():
            is_kind = (key.removesuffix("weight") + "running_mean" in self.arrays) == (name == "batch_norm")
            if key.endswith(".weight") and key not in self.used and is_kind and array.ndim == _KEYED[name]:
                return key.removesuffix(".weight")
        raise UsageError(f"the state dict has no weight left for step '{name}'", f"it holds {_some(list(self.arrays))}")

    def take(self, name: str, is_needed: bool = True) -> Ref | None:
        if name not in self.arrays:
            if is_needed:
                hint = did_you_mean(name, list(self.arrays))
                raise UsageError(f"the state dict has no '{name[:80]}'{hint}", f"it holds {_some(list(self.arrays))}")
            return None
        self.used.add(name)
        return Ref(name)

    def embedding_bag(self, at: Ref, value: Any, options: dict[str, Any]) -> Ref:
        mode = options.get("mode", "sum")
        if mode not in ("sum", "mean") or at != Ref("indices"):
            raise UsageError(
                f"embedding_bag of mode {mode!r:.40} stands where the input is", "use mode 'sum' or 'mean'"
            )
        weight = self.take(f"{self.key('embedding_bag', value)}.weight")
        weights = Ref("weights") if mode == "sum" else None
        offsets, padding = Ref("offsets"), options.get("padding_idx")
        flags = (False, ("sum", "mean").index(mode), False, weights, False, padding)
        return self.node("embedding_bag", weight, at, offsets, *flags, parts=4)

    def linear(self, at: Ref, value: Any, _: dict[str, Any]) -> Ref:
        key = self.key("linear", value)
        return self.node("linear", at, self.take(f"{key}.weight"), self.take(f"{key}.bias", is_needed=False))

    def mm(self, at: Ref, value: Any, _: dict[str, Any]) -> Ref:
        return self.node("_sparse_mm" if at == Ref("input") else "mm", at, self.take(str(value)))

    def bias(self, at: Ref, value: Any, _: dict[str, Any]) -> Ref:
        return self.node("add", at, self.take(str(value)))

    def batch_norm(self, at: Ref, value: Any, options: dict[str, Any]) -> Ref:
        key = value
        if value is None or f"{value}.weight" in self.arrays:
            key = self.key("batch_norm", value)
        affine = [self.take(f"{key}.{name}", is_needed=False) for name in ("weight", "bias")]
        running = [self.take(f"{key}.{name}") for name in ("running_mean", "running_var")]
        eps = float(_number("batch_norm", options.get("eps", 1e-5)))
        return self.node("batch_norm", at, *affine, *running, False, 0.1, eps, False)

    def prelu(self, at: Ref, value: Any, _: dict[str, Any]) -> Ref:
        return self.node("prelu", at, self.take(f"{self.key('prelu', value)}.weight"))

    def gelu(self, at: Ref, value: Any, _: dict[str, Any]) -> Ref:
        if value not in (None, "none", "tanh"):
            raise UsageError(f"gelu {value!r:.40} is not known", "write 'none' or 'tanh'")
        return self.node("gelu", at, approximate=value or "none")

    def hardtanh(self, at: Ref, value: Any, _: dict[str, Any]) -> Ref:
        low, high = [-1.0, 1.0] if value is None else _numbers("hardtanh", value)
        return self.node("hardtanh", at, float(low), float(high))

    def softsign(self, at: Ref, _: Any, __: dict[str, Any]) -> Ref:
        return self.node("div", at, self.node("add", self.node("abs", at), 1))

    def normalize(self, at: Ref, value: Any, _: dict[str, Any]) -> Ref:
        order = float(_number("normalize", 2 if value is None else value))
        return self.node(
            "div", at, self.node("clamp_min", self.node("linalg_vector_norm", at, order, [1], True), 1e-12)
        )

    def reshape(self, at: Ref, value: Any, _: dict[str, Any]) -> Ref:
        shape = [int(each) for each in _numbers("reshape", value, None)]
        return self.node("reshape", at, [-1, *shape])

    def softmax(self, at: Ref, value: Any, _: dict[str, Any]) -> Ref:
        return self.node("softmax", at, int(_number("softmax", -1 if value is None else value)))


def _number(step: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        try:
            return float(value)
        except (TypeError, ValueError):
            raise UsageError(f"step '{step}' takes a number, not {value!r:.40}", _REMEDY) from None
    return value


def _numbers(step: str, value: Any, count: int | None = 2) -> list[float]:
    if not isinstance(value, list) or (count is not None and len(value) != count):
        raise UsageError(f"step '{step}' takes a list of numbers, not {value!r:.40}", _REMEDY)
    return [_number(step, each) for each in value]


_LAYERS: dict[str, Callable[[_Builder], Callable[[Ref, Any, dict[str, Any]], Ref]]] = {
    "embedding_bag": lambda builder: builder.embedding_bag,
    "linear": lambda builder: builder.linear,
    "mm": lambda builder: builder.mm,
    "bias": lambda builder: builder.bias,
    "batch_norm": lambda builder: builder.batch_norm,
    "prelu": lambda builder: builder.prelu,
    "gelu": lambda builder: builder.gelu,
    "hardtanh": lambda builder: builder.hardtanh,
    "softsign": lambda builder: builder.softsign,
    "normalize": lambda builder: builder.normalize,
    "reshape": lambda builder: builder.reshape,
    "softmax": lambda builder: builder.softmax,
}
_OPTIONS = {"embedding_bag": ("mode", "padding_idx"), "batch_norm": ("eps",)}
