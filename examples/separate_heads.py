"""A checkpoint as a scientist writes one who has never heard of duckprop: MXNet's documented API and nothing else.

500 categories, each a FullyConnected(2) and a SoftmaxOutput of its own in a Group; 200,000 sparse features; labels
[y, 1 - y], so that P(y = 1) is column 0. Needs mxnet 1.9.1 and numpy. Then, with duckprop:

    python separate_heads.py heads
    duckprop import heads/shop-0001.params --name shop --categories heads/categories.txt --positive-column 0
    duckprop verify shop
    duckprop sql -c "SELECT propensity_topk({'indices': [17, 4711], 'values': [1.0, 2.0]}, 3, model := 'shop')"
"""

import sys
from pathlib import Path

import numpy as np

if "bool" not in np.__dict__:
    np.bool = np.bool_  # MXNet 1.9.1 asks for it while it is imported; NumPy has it no longer
import mxnet as mx

FEATURES, UNITS, CATEGORIES = 200_000, 128, 500


def network():
    """Return the symbol: one sparse layer, then N separate heads."""
    data = mx.sym.Variable("data", stype="csr")
    weight = mx.sym.Variable("fc1_weight", stype="row_sparse", shape=(FEATURES, UNITS))
    hidden = mx.sym.broadcast_add(mx.sym.sparse.dot(data, weight), mx.sym.Variable("fc1_bias", shape=(UNITS,)))
    hidden = mx.sym.Activation(hidden, act_type="relu", name="relu1")
    heads = []
    for number in range(CATEGORIES):
        logits = mx.sym.FullyConnected(hidden, num_hidden=2, name=f"category{number}")
        heads.append(mx.sym.SoftmaxOutput(logits, name=f"softmax{number}"))
    return mx.sym.Group(heads)


def parameters(seed=7):
    """Return weights of the size that training leaves."""
    random = np.random.default_rng(seed)
    arrays = {"fc1_weight": random.normal(0, 0.05, (FEATURES, UNITS)), "fc1_bias": random.normal(0, 0.05, UNITS)}
    for number in range(CATEGORIES):
        arrays[f"category{number}_weight"] = random.normal(0, 0.3, (2, UNITS))
        arrays[f"category{number}_bias"] = np.array([-1.0, 1.0]) * random.uniform(0.5, 2)
    return {name: mx.nd.array(array.astype(np.float32)) for name, array in arrays.items()}


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "heads")
    folder.mkdir(parents=True, exist_ok=True)
    mx.model.save_checkpoint(str(folder / "shop"), 1, network(), parameters(), {})
    (folder / "categories.txt").write_text("".join(f"category {number}\n" for number in range(CATEGORIES)))
    print(f"{folder}/shop-symbol.json and {folder}/shop-0001.params")
