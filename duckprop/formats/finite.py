"""Weights that are no numbers, found and named before anything is computed with them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from duckprop.errors import ModelError


def check_finite(arrays: Mapping[str, Any]) -> None:
    """Raise ModelError that names every array, dense or csr, with NaN or infinite numbers, and says how many."""
    faults = [fault for name, array in arrays.items() if (fault := _fault(name, array))]
    if faults:
        shown = "; ".join(faults[:5]) + (f"; and {len(faults) - 5} more" if len(faults) > 5 else "")
        raise ModelError(f"the model holds weights that are no numbers: {shown}", "train it again with a lower rate")


def _fault(name: str, array: Any) -> str | None:
    numbers = np.asarray(array.data if hasattr(array, "tocsr") else array)
    if numbers.dtype.kind not in "fc" or np.isfinite(numbers).all():
        return None
    missing = int(np.isnan(numbers).sum())
    infinite = int(np.isinf(numbers).sum())
    return f"'{name}' has {missing} NaN and {infinite} infinite of {numbers.size}"
