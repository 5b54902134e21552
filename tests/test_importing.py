"""Importing: which front door, what must be said, what the card records, and that nothing is left where it fails."""

import json
import shutil

import checkpoints
import duckdb
import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression

import duckprop
from duckprop import archive, bundle
from duckprop.errors import DataError, ModelError, UsageError
from duckprop.importing import import_model
from duckprop.importing.proof import sample_rows

NAMES = [f"category {number}" for number in range(checkpoints.HEADS)]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Return a folder with the article's checkpoint: separate heads, softmaxes over two classes."""
    folder = tmp_path_factory.mktemp("shop")
    checkpoints.write(checkpoints.separate_heads, folder)
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Return a folder with a checkpoint that ends in logits."""
    folder = tmp_path_factory.mktemp("plain")
    checkpoints.write(checkpoints.logits_only, folder)
    return folder


WAYS = {
    "folder": lambda folder: folder,
    "prefix": lambda folder: folder / "shop",
    "params": lambda folder: folder / "shop-0007.params",
    "symbol": lambda folder: folder / "shop-symbol.json",
    "text": lambda folder: str(folder / "shop"),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_a_checkpoint_is_found_by_whatever_its_maker_calls_it(shop, way):
    model = import_model(way(shop), categories=NAMES, positive_column=0)
    assert model.card["source"]["epoch"] == 7
    assert model.card["source"]["files"].keys() == {"shop-symbol.json", "shop-0007.params"}


def test_the_newest_epoch_is_taken_unless_one_is_named(tmp_path, shop):
    shutil.copytree(shop, tmp_path / "more")
    checkpoints.write(checkpoints.fused_head, tmp_path / "more", epoch=12)
    options = {"categories": NAMES, "positive_column": 2}
    assert import_model(tmp_path / "more" / "shop", **options).card["source"]["epoch"] == 12
    with pytest.raises(ModelError):  # its graph is that of epoch 12
        import_model(tmp_path / "more" / "shop-0007.params", **options)


@pytest.mark.parametrize("column", [0, 1])
def test_the_positive_column_decides_and_is_recorded(shop, column):
    model = import_model(shop, categories=NAMES, positive_column=column)
    other = import_model(shop, categories=NAMES, positive_column=1 - column)
    rows = sample_rows(model.width, is_counts=False).to_scipy()
    np.testing.assert_allclose(model.predict(rows), 1 - other.predict(rows), atol=3e-7)
    assert (model.positive, model.classes[column]) == (column, "yes")
    assert model.card["positive"] == column


WRONG = {
    "no column": ({}, UsageError, "does not say which one is the propensity\nstate it: --positive-column 0"),
    "a column too many": ({"positive_column": 2}, UsageError, "the positive column is 2, a head has 2"),
    "no names": ({"positive_column": 0, "categories": None}, UsageError, "6 categories, and there are no names"),
    "too few names": (
        {"positive_column": 0, "categories": NAMES[:5]},
        UsageError,
        "6 categories, and there are 5 names",
    ),
    "a name twice": ({"positive_column": 0, "categories": ["a"] * 6}, UsageError, "category 'a' is named twice"),
    "an empty name": ({"positive_column": 0, "categories": ["", *NAMES[1:]]}, UsageError, "empty category name"),
    "few features": ({"positive_column": 0, "features": ["a", "b"]}, UsageError, "300 features, 2 are named"),
    "a format": ({"origin": "mxnett"}, UsageError, "no format 'mxnett' .did you mean 'mxnet'"),
    "a pickle": ({"trust_pickle": True}, UsageError, "--trust-pickle is not for mxnet"),
    "layers": ({"description": "linear"}, UsageError, "--description is not for mxnet|--layers is not for mxnet"),
    "a tolerance": ({"positive_column": 0, "tolerance": 0.0}, ModelError, "nothing was published"),
}


@pytest.mark.parametrize(("options", "kind", "text"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_said_and_nothing_is_left(tmp_path, shop, options, kind, text):
    target = tmp_path / "bundles" / "bundle"
    with pytest.raises(kind, match=text):
        import_model(shop, **({"categories": NAMES} | options), folder=target)
    assert not target.parent.exists() or not list(target.parent.iterdir())


def test_paths_that_lead_nowhere_say_so(tmp_path, shop):
    for path, text in {
        tmp_path / "nothing": "there is no .*nothing-0000.params",
        tmp_path / "no.onnx": "no.onnx",
        tmp_path: "holds 0 .-symbol.json",
    }.items():
        with pytest.raises((UsageError, ModelError), match=text):
            import_model(path, categories=NAMES, positive_column=0)
    (tmp_path / "shop-0001.params").write_bytes((shop / "shop-0007.params").read_bytes())
    with pytest.raises(UsageError, match=r"shop-symbol.json is missing"):
        import_model(tmp_path / "shop", categories=NAMES, positive_column=0)
    with pytest.raises(UsageError, match="a dict is no model that can be imported"):
        import_model({"a": 1}, categories=NAMES)


def test_a_graph_that_ends_in_logits_needs_the_word_of_its_maker(plain):
    with pytest.raises(UsageError, match=r"ends in plain logits.*\n.*--output sigmoid, or --output softmax"):
        import_model(plain, categories=NAMES)
    rows = sample_rows(checkpoints.WIDTH, is_counts=False).to_scipy()
    sigmoid = import_model(plain, categories=NAMES, output="sigmoid").predict(rows)
    softmax = import_model(plain, categories=NAMES, output="softmax").predict(rows)
    logits = np.log(sigmoid.astype(float) / (1 - sigmoid))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(softmax, powers / powers.sum(axis=1, keepdims=True), atol=3e-5)


def test_the_stated_output_stands_in_the_bundles_own_graph(plain):
    model = import_model(plain, categories=NAMES, output="sigmoid")
    rows = sample_rows(model.width, is_counts=False).to_scipy()
    np.testing.assert_allclose(model.predict(rows, "mxnet"), model.predict(rows), atol=1e-6)
    graph = json.loads((model.folder / "model-symbol.json").read_text())
    assert graph["nodes"][graph["heads"][0][0]]["op"] == "sigmoid"


def test_names_of_features_come_along(shop):
    features = [f"item {number}" for number in range(checkpoints.WIDTH)]
    model = import_model(shop, categories=NAMES, positive_column=0, features=features)
    assert model.vocabulary is not None
    assert model.vocabulary.names == tuple(features)


def test_an_imported_model_answers_in_sql_as_its_source_does(tmp_path, shop):
    model = import_model(shop, categories=NAMES, positive_column=0, outcome="bought within 28 days")
    model.publish("shop", tmp_path / "models")
    rows = sample_rows(model.width, is_counts=False).to_scipy()[:300]
    table = [{"id": row, "features": {"indices": rows[row].indices.tolist(), "values": rows[row].data.tolist()}}
             for row in range(300)]  # fmt: skip
    with duckprop.connect(registry=tmp_path / "models") as con:
        con.register("given", pa.Table.from_pylist(table))
        found = con.sql("SELECT propensity_vector(features) FROM given ORDER BY id").fetchall()
        np.testing.assert_array_equal(np.float32([row[0] for row in found]), model.predict(rows))
        np.testing.assert_allclose(np.float32([row[0] for row in found]), model.predict(rows, "mxnet"), atol=1e-6)
        explained = "unnest(propensity_explain(features, 'category 1', 300)).contribution AS part"
        total = con.sql(f"SELECT sum(part) FROM (SELECT {explained} FROM given WHERE id = 250)").fetchall()[0][0]
        assert total == pytest.approx(_log_odds(model, rows[250], 1) - _log_odds(model, rows[250] * 0, 1), abs=1e-4)
        assert con.sql("SELECT value FROM propensity_model_info() WHERE property = 'outcome'").fetchall()


def _log_odds(model, row, head):
    p = float(model.predict(row)[0, head])
    return np.log(p / (1 - p))


def test_the_card_says_where_it_is_from_and_what_was_compared(shop):
    card = import_model(shop, categories=NAMES, positive_column=0, outcome="bought").card
    assert card["source"]["format"] == "mxnet"
    assert card["source"]["framework"] == "MXNet 1.9.1"
    assert card["source"]["files"]["shop-0007.params"] == bundle.fingerprint(shop / "shop-0007.params")["sha256"]
    assert card["verified"]["rows"] == 1000
    assert card["verified"]["max_abs_difference"] <= card["verified"]["tolerance"] == 1e-6
    assert card["mxnet"]["max_abs_difference"] <= 1e-6
    assert (card["outcome"], card["engine"], card["not_folded"], card["base_rates"]) == (
        "bought",
        "compiled",
        None,
        None,
    )


def test_a_model_in_memory(tmp_path):
    random = np.random.default_rng(1)
    rows, bought = random.random((200, 12)).astype(np.float32), random.random(200) < 0.4
    model = import_model(LogisticRegression().fit(rows, bought), categories=["shoes"])
    np.testing.assert_allclose(
        model.predict(sparse.csr_matrix(rows))[:, 0],
        LogisticRegression().fit(rows, bought).predict_proba(rows)[:, 1],
        atol=1e-6,
    )
    assert model.card["source"]["object"] == "LogisticRegression"


def test_archives_of_checkpoints_and_bundles(tmp_path, shop, small_bundle):
    made = shutil.make_archive(str(tmp_path / "shop"), "gztar", shop)
    assert import_model(made, categories=NAMES, positive_column=0).card["verified"]["max_abs_difference"] <= 1e-6
    archive.pack(small_bundle, tmp_path / "bundle.zip")
    model = import_model(tmp_path / "bundle.zip", folder=tmp_path / "taken")
    assert model.card == bundle.read_card(small_bundle)
    assert import_model(small_bundle).card == model.card


def test_a_bundle_that_was_changed_on_its_way_is_refused(tmp_path, small_bundle):
    shutil.copytree(small_bundle, tmp_path / "changed")
    with (tmp_path / "changed" / "model-0000.params").open("r+b") as file:
        file.seek(-200, 2)
        file.write(b"x")
    with pytest.raises(ModelError, match="SHA-256 differs"):
        import_model(tmp_path / "changed", folder=tmp_path / "taken")
    assert not (tmp_path / "taken").exists()


def test_a_wrong_import_is_found_out(shop, monkeypatch):
    """The proof is one: a network with one weight changed is not published."""
    from duckprop.importing import mxnet

    read = mxnet.read_with_classes

    def changed(*args, **options):
        network, has_classes = read(*args, **options)
        network.head_weight[3, 2, 0] += 0.01
        return network, has_classes

    monkeypatch.setattr(mxnet, "read_with_classes", changed)
    with pytest.raises(ModelError, match=r"category 2.*the tolerance is 1e-06\nnothing was published; report this"):
        import_model(shop, categories=NAMES, positive_column=0)


def test_weights_that_are_no_numbers_are_named(tmp_path, shop):
    from duckprop.formats.mxnet_params import read_params
    from duckprop.formats.mxnet_params_write import write_params

    arrays = read_params(shop / "shop-0007.params")
    arrays["head3_weight"] = arrays["head3_weight"].copy()
    arrays["head3_weight"][1, 2] = np.nan
    shutil.copyfile(shop / "shop-symbol.json", tmp_path / "shop-symbol.json")
    write_params(tmp_path / "shop-0000.params", {f"arg:{name}": array for name, array in arrays.items()})
    with pytest.raises(ModelError, match="'head3_weight' has 1 NaN and 0 infinite of 32"):
        import_model(tmp_path / "shop", categories=NAMES, positive_column=0)


def test_rows_to_compare_on_are_of_every_kind():
    for is_counts in (False, True):
        rows = sample_rows(500, is_counts).to_scipy()
        lengths = np.diff(rows.indptr)
        assert rows.shape == (1000, 500)
        assert (lengths == 0).sum() >= 100
        assert lengths.max() > 300
        assert not is_counts or np.array_equal(rows.data, np.round(rows.data))
        assert is_counts or np.sqrt(rows.multiply(rows).sum(axis=1)).max() <= 10.001


def test_errors_of_the_database_stay_ours(tmp_path, shop):
    import_model(shop, categories=NAMES, positive_column=0).publish("shop", tmp_path)
    with duckprop.connect(registry=tmp_path) as con, pytest.raises(duckdb.Error, match="did you mean 'category 1'"):
        con.sql("SELECT propensity([1, 2], 'categry 1')").fetchall()
    assert issubclass(DataError, Exception)
