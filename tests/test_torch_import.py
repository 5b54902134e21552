"""PyTorch's files are read without PyTorch, and give what PyTorch 2.13 gave when they were written."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
from network_reference import propensities
from scipy import sparse
from scipy.special import expit, softmax
from torch_files import FIXTURES, members_of, pickled, random_arrays, tensor, write_archive, write_state_dict

from duckprop.compiled import CompiledScorer
from duckprop.errors import ModelError, UsageError
from duckprop.formats.forms import CannotFold
from duckprop.formats.safetensors import read_safetensors
from duckprop.formats.torch import read
from duckprop.formats.torch_archive import Archive
from duckprop.sparse import from_scipy

EXPECTED = np.load(FIXTURES / "expected.npz")
WIDTH = 60
BAG = [
    {"embedding_bag": "emb", "padding_idx": 3},
    {"bias": "start"},
    "relu",
    "dropout",
    {"linear": "hidden"},
    "tanh",
    {"linear": "out"},
    "sigmoid",
]
WIDE_DEEP = [
    {"concat": [[{"embedding_bag": "deep"}, "relu", {"linear": "hidden"}, "elu"], [{"embedding_bag": "wide"}]]},
    {"linear": "out"},
    "sigmoid",
]
DENSE = "linear:net.0 batch_norm:net.1 prelu:net.2 linear:net.3 gelu linear:net.5 softmax"
FIXED = {
    "bag.pt": ("weights", {"description": BAG}),
    "bag.safetensors": ("weights", {"description": json.dumps(BAG)}),
    "bag.pt2": ("weights", {}),
    "bag_scripted.pt": ("weights", {}),
    "bag_traced.pt": ("weights", {}),
    "mean.pt2": ("counts", {"output": "sigmoid"}),
    "dense.safetensors": ("dense", {"description": DENSE}),
    "wide_deep.pt": ("weights", {"description": WIDE_DEEP}),
    "heads.pt2": ("weights", {"positive_column": 1}),
    "separate_scripted.pt": ("dense", {"positive_column": 1}),
    "zoo.pt2": ("dense", {}),
    "half.pt": ("weights", {"description": BAG}),
    "bfloat16.pt": ("weights", {"description": BAG}),
}


def rows_of(kind):
    parts = [EXPECTED[f"{kind}.{part}"] for part in ("values", "indices", "indptr")]
    return sparse.csr_matrix(tuple(parts), (40, WIDTH))


def test_every_file_that_lies_here_has_an_expectation():
    files = {path.name for path in FIXTURES.iterdir()} - {"write.py", "expected.npz", "__pycache__"}
    assert files == set(FIXED)
    assert sum((FIXTURES / name).stat().st_size for name in files) < 200_000


@pytest.mark.parametrize("name", FIXED)
def test_a_file_gives_what_pytorch_gave(name):
    kind, options = FIXED[name]
    artefact = read(FIXTURES / name, **options)
    is_narrow = name in ("half.pt", "bfloat16.pt")
    rows = rows_of(kind)
    scored = CompiledScorer(artefact.network, artefact.positive).score(from_scipy(rows))
    assert artefact.tolerance == (1e-3 if is_narrow else 1e-6)
    assert np.abs(scored - EXPECTED[name]).max() <= artefact.tolerance
    assert np.abs(propensities(artefact.network, rows, artefact.positive) - EXPECTED[name]).max() <= artefact.tolerance
    assert artefact.notes.get("values") == ("counts" if kind == "counts" else None)
    assert "PyTorch" in artefact.framework


def test_files_are_read_without_pytorch():
    code = """
import sys
from importlib.abc import MetaPathFinder
class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "safetensors"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
import importlib.util
from pathlib import Path
importlib.util.find_spec = lambda name: None
from duckprop.formats.torch import read
for name in ("bag.pt2", "bag_traced.pt"):
    artefact = read(Path(sys.argv[1], name))
    assert artefact.reference is None and "pip install torch" in artefact.unverified, artefact
assert "torch" not in sys.modules and "pickle" not in vars(sys.modules["duckprop.formats.torch_pickle"])
print("read")
"""
    done = subprocess.run([sys.executable, "-c", code, str(FIXTURES)], capture_output=True, text=True, timeout=120)
    assert done.stdout == "read\n", done.stderr


# --- state dicts and their description -------------------------------------------------------------------------------

SEQUENTIAL = {"0.weight": (30, 8), "2.weight": (4, 8), "2.bias": (4,)}


def sequential(tmp_path, shapes=SEQUENTIAL):
    arrays = random_arrays(shapes)
    return write_state_dict(tmp_path / "m.pt", arrays), arrays


def some_rows(width=30):
    return sparse.random(50, width, 0.2, "csr", np.float32, np.random.default_rng(1))


def test_words_alone_describe_a_sequential_net(tmp_path):
    path, arrays = sequential(tmp_path)
    network = read(path, description="embedding_bag relu linear", output="sigmoid").network
    rows = some_rows()
    truth = expit(np.maximum(rows @ arrays["0.weight"], 0) @ arrays["2.weight"].T + arrays["2.bias"])
    assert np.abs(propensities(network, rows) - truth).max() < 1e-6


def test_a_description_may_lie_in_a_file(tmp_path):
    path, _ = sequential(tmp_path)
    steps = tmp_path / "layers.json"
    steps.write_text('[{"embedding_bag": "0"}, {"leaky_relu": 0.2}, {"linear": "2"}, "sigmoid"]')
    network = read(path, description=str(steps)).network
    assert network.first.activation == "leaky"
    assert np.allclose(network.first.parameters[0], 0.2)


def test_a_training_checkpoint_holds_its_state_dict_inside(tmp_path):
    weight = np.ones((30, 4), np.float32)
    code = b"}(" + b"X\x08\x00\x00\x00a.weight" + tensor("0", "FloatStorage", 120, (0, (30, 4), (4, 1))) + b"u"
    data = pickled({"epoch": b"K\x07", "state_dict": code})
    path = write_archive(tmp_path / "c.pt", {"data.pkl": data, "data/0": weight.tobytes()})
    assert read(path, description="embedding_bag sigmoid").network.width == 30


def test_strided_views_of_one_storage_are_read_as_they_lie(tmp_path):
    storage = np.arange(40, dtype=np.float64)
    items = {
        "a.weight": tensor("0", "DoubleStorage", 40, (3, (5, 2), (2, 1))),
        "b.weight": tensor("0", "DoubleStorage", 40, (4, (2, 5), (1, 3))),
    }
    path = write_archive(tmp_path / "v.pt", {"data.pkl": pickled(items), "data/0": storage.tobytes()})
    found = Archive(path).unpickle("data.pkl")
    assert np.array_equal(found["a.weight"], storage[3:13].reshape(5, 2))
    assert np.array_equal(found["b.weight"], [[4, 7, 10, 13, 16], [5, 8, 11, 14, 17]])


@pytest.mark.parametrize(
    ("description", "message"),
    [
        (None, "a state dict holds weights alone: '0.weight', '2.weight', '2.bias'\nsay the layers"),
        ("embedding_bag relu linaer", r"step 'linaer' is not known \(did you mean 'linear'\?\)"),
        ("embedding_bag relu", "leaves out '2.weight', '2.bias'"),
        ("embedding_bag relu linear linear", "no weight left for step 'linear'"),
        ('[{"embedding_bag": "O"}, {"linear": "2"}]', "has no 'O.weight'"),
        ('[{"embedding_bag": "0", "mod": "sum"}, {"linear": "2"}]', "step 'embedding_bag' has no option 'mod'"),
        ('[{"embedding_bag": "0", "mode": "max"}, {"linear": "2"}]', "mode 'max'"),
        ('[{"embedding_bag": "0"}, {"hardtanh": 3}, {"linear": "2"}]', "'hardtanh' takes a list of numbers, not 3"),
        ('[{"embedding_bag": "0"}, {"elu": "x"}, {"linear": "2"}]', "'elu' takes a number, not 'x'"),
        ('[{"embedding_bag": "0"}, {"concat": []}, {"linear": "2"}]', "'concat' takes a list of two or more"),
        ('[{"embedding_bag": "0"}, 7]', "step 7 is neither a name nor an object"),
        ("[1, 2", "the description is not JSON"),
        ("nowhere.json", "nowhere.json cannot be read"),
        ("[]", "a branch without steps"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(tmp_path, description, message):
    path, _ = sequential(tmp_path)
    with pytest.raises(UsageError, match=message):
        read(path, description=description, output="sigmoid")


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ("linear relu embedding_bag", "embedding_bag of mode 'sum' stands where the input is"),
        ('[{"embedding_bag": "0"}, {"softmax": -1}, {"linear": "2"}]', "a softmax stands in the middle"),
        ('[{"embedding_bag": "0"}, "normalize", {"linear": "2"}]', "linalg_vector_norm.*norm of something else"),
        ('[{"embedding_bag": "0"}, {"reshape": [3, 3]}, {"linear": "2"}]', "does not keep the rows apart"),
        ('[{"embedding_bag": "0", "mode": "mean", "padding_idx": 0}, {"linear": "2"}]', "mean beside a padding_idx"),
        ('[{"linear": "2"}, {"linear": "0"}]', "4 columns meet a weight of shape"),
    ],
)
def test_layers_that_no_network_computes_are_refused_by_name(tmp_path, description, message):
    path, _ = sequential(tmp_path)
    with pytest.raises((CannotFold, ModelError, UsageError), match=message):
        read(path, description=description, output="sigmoid")


def test_bfloat16_is_the_upper_half_of_float32():
    found = Archive(FIXTURES / "bfloat16.pt").unpickle("data.pkl")["emb.weight"]
    whole = Archive(FIXTURES / "bag.pt").unpickle("data.pkl")["emb.weight"]
    assert found.dtype == np.float32
    assert not (found.view(np.uint32) & 0xFFFF).any()
    assert 0 < np.abs(found - whole).max() <= np.abs(whole).max() / 128


def test_safetensors_have_the_same_bits_as_the_state_dict():
    arrays, is_narrow = read_safetensors(FIXTURES / "bag.safetensors")
    truth = Archive(FIXTURES / "bag.pt").unpickle("data.pkl")
    assert not is_narrow
    assert {name: array.tobytes() for name, array in arrays.items()} == {
        name: array.tobytes() for name, array in truth.items()
    }


# --- what the outputs mean -------------------------------------------------------------------------------------------


def test_logits_need_the_callers_word(tmp_path):
    path, _ = sequential(tmp_path)
    with pytest.raises(UsageError, match=r"ends with logits.*\n.*--output sigmoid .* or --output softmax"):
        read(path, description="embedding_bag relu linear")
    with pytest.raises(UsageError, match="output 'tanh' is not known"):
        read(path, description="embedding_bag relu linear", output="tanh")
    with pytest.raises(UsageError, match="output 'softmax' is asked for, the model ends with sigmoid"):
        read(path, description="embedding_bag relu linear sigmoid", output="softmax")


def test_two_columns_are_two_categories_or_a_yes_and_a_no(tmp_path):
    path, arrays = sequential(tmp_path, {"0.weight": (30, 8), "2.weight": (2, 8)})
    steps, rows = "embedding_bag tanh linear softmax", some_rows()
    truth = softmax(np.tanh(rows @ arrays["0.weight"]) @ arrays["2.weight"].T, axis=1)
    with pytest.raises(UsageError, match=r"two categories, or one with a yes and a no\n.*--positive-column 0 or 1"):
        read(path, description=steps)
    with pytest.raises(UsageError, match="which one is the propensity is not said"):
        read(path, description=steps, categories=("buys",))
    both = read(path, description=steps, categories=("books", "shoes"))
    assert np.abs(propensities(both.network, rows) - truth).max() < 1e-6
    for column in (0, 1):
        one = read(path, description=steps, categories=("buys",), positive_column=column)
        assert np.abs(propensities(one.network, rows, one.positive) - truth[:, [column]]).max() < 1e-6


def test_the_positive_column_must_be_one_and_agree_with_the_model(tmp_path):
    with pytest.raises(UsageError, match="gives 2 classes a category"):
        read(FIXTURES / "heads.pt2")
    with pytest.raises(UsageError, match="give --positive-column 0 or 1"):
        read(FIXTURES / "heads.pt2", positive_column=2)
    with pytest.raises(UsageError, match="column 0 is to count, the model itself returns column 1"):
        read(FIXTURES / "separate_scripted.pt", positive_column=0)
    with pytest.raises(UsageError, match="a sigmoid has one column"):
        read(FIXTURES / "bag.pt2", positive_column=1)


def test_categories_must_be_as_many_as_the_model_has():
    with pytest.raises(UsageError, match="3 categories are named, the model has 5"):
        read(FIXTURES / "bag.pt2", categories=("a", "b", "c"))
    assert read(FIXTURES / "bag.pt2", categories=tuple("abcde")).categories == tuple("abcde")


def test_a_description_is_of_a_state_dict():
    with pytest.raises(UsageError, match="holds its graph"):
        read(FIXTURES / "bag_traced.pt", description="linear")


# --- operators that are not known ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("torch.ops.aten.relu.default", "torch.ops.aten.cumsum.default", r"operator 'aten.cumsum' \(node 'relu'\)"),
        (
            "torch.ops.aten.relu.default",
            "torch.ops.other.relu.default",
            r"'torch.ops.other.relu.default' \(node 'relu'\)",
        ),
        ("torch.ops.aten.relu.default", "os.system", r"operator 'os.system' \(node 'relu'\) is not one of aten's"),
        ("torch.ops.aten.tanh.default", "torch.ops.aten.log_softmax.int", "operator 'aten.log_softmax'"),
    ],
)
def test_an_operator_that_is_not_known_is_refused_by_name(tmp_path, old, new, message):
    members = members_of("bag.pt2")
    members["models/model.json"] = members["models/model.json"].replace(old.encode(), new.encode())
    with pytest.raises(CannotFold, match=message):
        read(write_archive(tmp_path / "m.pt2", members))


def test_a_large_layer_is_read_in_seconds(tmp_path):
    arrays = {"0.weight": np.ones((200_000, 128), np.float32), "2.weight": np.ones((500, 128), np.float32)}
    path = write_state_dict(tmp_path / "m.pt", arrays)
    begin = time.perf_counter()
    network = read(path, description="embedding_bag relu linear sigmoid").network
    assert (network.width, network.heads) == (200_000, 500)
    assert time.perf_counter() - begin < 10
