"""Operators of ai.onnx.ml that scikit-learn models are exported with."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from duckprop.formats.forms import add_constant, matmul
from duckprop.formats.onnx_call import Call
from duckprop.formats.onnx_norms import scaled
from duckprop.formats.onnx_values import Measure, Tensor, of


def linear_classifier(call: Call) -> tuple[None, Tensor]:
    """Return nothing for the labels, and the scores."""
    tensor = call.tensor()
    coefficients = np.array(call.number("coefficients", []), np.float64)
    labels = label_names(call)
    if not labels or not tensor.size or coefficients.size % tensor.size or len(tensor.dims) != 1:
        raise call.refused(f"has {coefficients.size} coefficients for {tensor.size} columns")
    weight = coefficients.reshape(-1, tensor.size)
    shift = np.array(call.number("intercepts", [0.0] * len(weight)), np.float64)
    post = call.number("post_transform", b"NONE").decode(errors="replace")
    if len(shift) != len(weight) or len(weight) != len(labels):
        raise call.refused(f"has {len(weight)} rows of coefficients for {len(labels)} classes")
    if post == "LOGISTIC" and len(weight) == 2 and _is_opposite(weight, shift):  # a softmax of u and 0
        weight, shift, post = weight * np.array([[0.0], [1.0]]), shift * np.array([0.0, 1.0]), "SOFTMAX"
    logits = of(add_constant(matmul(tensor.form, weight.T.astype(np.float32)), shift), (len(weight),))
    if post == "SOFTMAX":
        return None, logits.apply("softmax", float(len(weight)))
    if post not in ("NONE", "LOGISTIC"):
        raise call.refused(f"ends with {post}")
    return None, logits if post == "NONE" else logits.apply("sigmoid")


def _is_opposite(weight: NDArray[Any], shift: NDArray[Any]) -> bool:
    return np.array_equal(weight[0], -weight[1]) and shift[0] == -shift[1]


def label_names(call: Call) -> tuple[str, ...]:
    """Return the classes' names, () where there are none."""
    names = {"LinearClassifier": "classlabels", "ZipMap": "classlabels"}
    stem = names.get(call.op, "")
    texts = call.number(f"{stem}_strings", [])
    found = [text.decode(errors="replace") for text in texts]
    return tuple(found or [str(number) for number in call.number(f"{stem}_ints", call.number(f"{stem}_int64s", []))])


def normalizer(call: Call) -> Tensor:
    """Return rows divided by their norm; probabilities by their sum."""
    tensor, norm = call.tensor(), call.number("norm", b"MAX")
    gate = tensor.base
    if norm == b"L1" and gate.applied == "softmax" and tensor.is_plain and gate.parameters[0] == tensor.size:
        return tensor  # it sums to 1
    if norm == b"L1" and gate.applied == "sigmoid" and tensor.is_plain:
        return scaled(call, tensor, Measure("sum", tensor))
    if norm not in (b"L1", b"L2"):
        raise call.refused(f"scales rows by {norm.decode(errors='replace')}")
    return scaled(call, tensor, Measure("l1" if norm == b"L1" else "l2", tensor, is_root=True))


def scaler(call: Call) -> Tensor:
    """Return (x − offset) · scale."""
    tensor = call.tensor()
    offset, factor = (np.array(call.number(name, [0.0]), np.float64) for name in ("offset", "scale"))
    if len(offset) not in (1, tensor.size) or len(factor) not in (1, tensor.size):
        raise call.refused(f"scales {tensor.size} columns by {len(factor)} numbers")
    return tensor.plus(-offset).times(factor)


def extracted(call: Call) -> Tensor:
    """Return some columns of the last dimension."""
    tensor, places = call.tensor(), call.constant(1).reshape(-1)
    size = tensor.dims[-1] if tensor.dims else 0
    if places.dtype.kind not in "iu" or not places.size or not (places.min() >= 0 and places.max() < size):
        raise call.refused(f"picks beyond {size} columns")
    if len(np.unique(places)) < len(places):
        raise call.refused("picks a column twice")
    return tensor.columns(tensor.places()[..., places])


ML_OPERATORS = {
    "LinearClassifier": linear_classifier,
    "Normalizer": normalizer,
    "Scaler": scaler,
    "ArrayFeatureExtractor": extracted,
    "ZipMap": lambda call: call.tensor(),
}
