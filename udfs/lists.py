"""Lists of categories, one a row: as heads, told apart by whether all rows have the same one."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from duckprop.errors import DataError
from duckprop.layouts import is_list
from duckprop.model import Model
from duckprop.udfs.udf import is_repeated, texts


@dataclass(frozen=True)
class Lists:
    """The heads that n rows' lists name: each once a row, in the list's order.

    same: int64, where all rows have the same list, which is the usual case; else None, and rows, heads: int64 (pairs,),
    the rows increasing. is_null: bool (n,). Where all are NULL, there are no pairs and ``differ`` is False.
    """

    same: NDArray[np.int64] | None
    rows: NDArray[np.int64]
    heads: NDArray[np.int64]
    is_null: NDArray[np.bool_]

    @property
    def differ(self) -> bool:
        """Whether there are lists, and not all the same."""
        return self.same is None and not self.is_null.all()

    def table(self, heads: int) -> NDArray[np.bool_]:
        """Return which heads each row's list names, bool (n, heads)."""
        listed = np.zeros((len(self.is_null), heads), bool)
        listed[self.rows, self.heads] = True
        if self.same is not None:
            listed[:, self.same] = True
        return listed


def heads_of(model: Model, lists: pa.Array, argument: str) -> Lists:
    """Read a column of lists of category names; NULL elements are passed over.

    Raises DataError for what is not a list of names, and for a name that is not in the model.
    """
    if not is_list(lists.type) and not (pa.types.is_null(lists.type) or lists.null_count == len(lists)):
        raise DataError(
            f"{argument} is of type {lists.type}", f"give a list of names: {argument} := ['{model.categories[0]}']"
        )
    is_null = lists.is_null().to_numpy(zero_copy_only=False)
    none = np.zeros(0, np.int64)
    if is_null.all():
        return Lists(None, none, none, is_null)
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False)
    names = texts(lists.flatten(), f"an element of {argument}")
    each = int(lengths[0])
    if not is_null.any() and (lengths == each).all() and (not each or is_repeated(names, each)):
        one = names.slice(0, each).to_pylist()
        return Lists(model.heads(list(dict.fromkeys(one))), none, none, is_null)
    owner = np.repeat(np.arange(len(lists)), lengths)[names.is_valid().to_numpy(zero_copy_only=False)]
    encoded = names.drop_null().dictionary_encode()
    heads = model.heads(encoded.dictionary.to_pylist())[encoded.indices.to_numpy(zero_copy_only=False)]
    _, first = np.unique(owner * len(model.categories) + heads, return_index=True)
    first.sort()
    return Lists(None, owner[first], heads[first], is_null)
