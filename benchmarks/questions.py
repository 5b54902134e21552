"""What is asked of every side, in SQL and as arrays."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from duckprop.model import Model
from duckprop.relation import literal

NAIVE = "naive(features.indices, features.values)"
_REASONS = 5


@dataclass(frozen=True)
class Question:
    """A question in SQL: ``sink`` is an aggregate that needs every answer, ``values`` an answer as FLOAT or FLOAT[].

    engine: the answer by our functions. naive: by the naive one, None for no such thing. function: what must stand in
    the plan of ours. As arrays: heads are the only ones asked for, None for all; k: the k best of them, best first;
    explained: the head whose k largest contributions are asked for. tolerance: largest difference between two sides.
    """

    name: str
    engine: str
    naive: str | None
    function: str
    sink: str
    values: str = "{}"
    heads: tuple[int, ...] | None = None
    k: int | None = None
    explained: int | None = None
    tolerance: float = 1e-6

    @property
    def columns(self) -> NDArray[np.int64] | None:
        """The heads as an array."""
        return None if self.heads is None else np.asarray(self.heads, np.int64)


def questions(model: Model, full: bool = False) -> tuple[Question, ...]:
    """Return the questions: all categories, the ten likeliest, one, 20; in full, 20 as a list and an explanation."""
    count, k = len(model.categories), min(10, len(model.categories))
    middle = count // 2
    one = literal(model.categories[middle])
    structs = "list_transform({}, lambda item: item.propensity)"
    headline = (
        Question("all categories", "propensity_vector(features)", NAIVE, "propensity_vector", "sum(len({}))"),
        Question(
            f"top {k}", f"propensity_topk(features, {k})", _best(NAIVE, k), "propensity_topk", "sum(len({}))", structs,
            k=k,
        ),
        Question(
            "one category", f"propensity(features, {one})", f"{NAIVE}[{middle + 1}]", "propensity", "sum({})",
            heads=(middle,),
        ),
        _some(model),
    )  # fmt: skip
    reasons = Question(
        f"explain, {_REASONS} reasons", f"propensity_explain(features, {one}, {_REASONS})", None, "propensity_explain",
        "sum(len({}))", "list_transform({}, lambda item: abs(item.contribution))", k=_REASONS, explained=middle,
        tolerance=1e-5,  # log-odds, which have no upper bound
    )  # fmt: skip
    return (*headline, _some_as_list(model), reasons) if full else headline


def _some(model: Model) -> Question:
    """DuckDB checks every key of a MAP, which costs more than to score it; see ``_some_as_list``."""
    chosen = tuple(np.linspace(0, len(model.categories) - 1, min(20, len(model.categories))).astype(int).tolist())
    names = ", ".join(literal(model.categories[head]) for head in chosen)
    naive = f"list_select({NAIVE}, {[head + 1 for head in chosen]})"
    return Question(
        f"{len(chosen)} categories", f"propensities(features, [{names}])", naive, "propensities",
        "sum(cardinality({}))", "map_values({})", heads=chosen,
    )  # fmt: skip


def _some_as_list(model: Model) -> Question:
    some = _some(model)
    assert some.heads is not None
    assert some.naive is not None
    count = len(some.heads)
    names = some.engine.removeprefix("propensities(features, ").removesuffix(")")
    return replace(
        some,
        name=f"{count} categories, as a list",
        engine=f"propensity_topk(features, {count}, categories := {names})",
        naive=_best(some.naive, count),
        function="propensity_topk",
        sink="sum(len({}))",
        values="list_transform({}, lambda item: item.propensity)",
        k=count,
    )


def _best(numbers: str, k: int) -> str:
    """No names: less work than ours."""
    return f"list_slice(list_reverse_sort({numbers}), 1, {k})"
