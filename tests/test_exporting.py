"""Exports: what another framework reads gives the same propensities."""

import checkpoints
import numpy as np
import onnxruntime
import pytest
from typer.testing import CliRunner

import duckprop
from duckprop.cli import app
from duckprop.errors import ModelError, UsageError
from duckprop.exporting import export_model
from duckprop.importing import import_model
from duckprop.importing.proof import sample_rows

NAMES = [f"category {number}" for number in range(checkpoints.HEADS)]


def exported(model, to, path):
    files = export_model(model, to, path)
    assert all(file.is_file() for file in files)
    return files


def test_a_trained_model_in_mxnet_and_back(tmp_path, small_bundle):
    model = duckprop.load(small_bundle)
    exported(model, "mxnet", tmp_path / "model")
    rows = sample_rows(model.width, is_counts=False).to_scipy()
    found = plain_mxnet_outputs(tmp_path, rows)
    np.testing.assert_allclose(found, model.predict(rows), atol=1e-6)
    back = import_model(tmp_path / "model", categories=model.categories, positive_column=0)
    np.testing.assert_allclose(back.predict(rows), model.predict(rows), atol=1e-6)


def plain_mxnet_outputs(folder, rows):
    """Return P(class 0) of plain MXNet; the exported graph has no label."""
    from duckprop import mxnet_compat

    mx = mxnet_compat.load()
    symbol, arguments, auxiliary = mx.model.load_checkpoint(str(folder / "model"), 0)
    arguments["data"] = mx.nd.sparse.csr_matrix(rows)
    return symbol.bind(mx.cpu(), arguments, aux_states=auxiliary).forward()[0].asnumpy()[:, :, 0]


def test_separate_heads_come_out_as_one_layer(tmp_path):
    checkpoints.write(checkpoints.separate_heads, tmp_path)
    model = import_model(tmp_path, categories=NAMES, positive_column=0)
    exported(model, "mxnet", tmp_path / "fused")
    text = (tmp_path / "fused-symbol.json").read_text()
    assert text.count('"FullyConnected"') == 1
    back = import_model(tmp_path / "fused", categories=NAMES, positive_column=0)
    rows = sample_rows(model.width, is_counts=False).to_scipy()
    np.testing.assert_allclose(back.predict(rows), model.predict(rows), atol=1e-7)


def test_onnx_and_back(tmp_path, small_bundle):
    model = duckprop.load(small_bundle)
    (path,) = exported(model, "onnx", tmp_path / "model.onnx")
    assert onnxruntime.InferenceSession(str(path)).get_modelmeta().custom_metadata_map
    back = import_model(path)
    assert back.categories == model.categories
    rows = sample_rows(model.width, is_counts=False).to_scipy()
    np.testing.assert_allclose(back.predict(rows), model.predict(rows), atol=1e-6)


def test_a_bundle_as_one_file_and_back(tmp_path, small_bundle):
    model = duckprop.load(small_bundle)
    (path,) = exported(model, "bundle", tmp_path / "model.zip")
    assert import_model(path).card == model.card


def test_what_cannot_be_written_is_said(tmp_path, small_bundle):
    model = duckprop.load(small_bundle)
    with pytest.raises(UsageError, match="there is no form 'tensorflow'"):
        export_model(model, "tensorflow", tmp_path / "x")
    with pytest.raises(UsageError, match=r"the folder .*none does not exist"):
        export_model(model, "mxnet", tmp_path / "none" / "x")
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        export_model(model, "onnx", tmp_path / "folder.onnx")


def test_a_damaged_model_is_not_exported(tmp_path, write_bundle):
    folder = write_bundle()
    model = duckprop.load(folder)
    data = bytearray((folder / "model-0000.params").read_bytes())
    data[-100] ^= 1
    (folder / "model-0000.params").write_bytes(data)
    with pytest.raises(ModelError, match="SHA-256 differs"):
        export_model(model, "mxnet", tmp_path / "x")
    assert not list(tmp_path.glob("x*"))


def test_the_commands(tmp_path, monkeypatch):
    monkeypatch.setenv("DUCKPROP_HOME", str(tmp_path / "models"))
    checkpoints.write(checkpoints.separate_heads, tmp_path)
    (tmp_path / "names.txt").write_text("\n".join(NAMES) + "\n")
    options = ["--name", "shop", "--categories", str(tmp_path / "names.txt"), "--positive-column", "0"]
    run = CliRunner().invoke(app, ["import", str(tmp_path / "shop"), *options, "--json"])
    assert run.exit_code == 0, run.output
    assert '"model": "shop@1"' in run.stdout
    assert "times as fast" in run.stderr
    run = CliRunner().invoke(app, ["export", "shop@1", "--to", "onnx", "--output", str(tmp_path / "shop.onnx")])
    assert run.exit_code == 0, run.output
    run = CliRunner().invoke(app, ["import", str(tmp_path / "shop.onnx"), "--name", "shop"])
    assert run.exit_code == 0, run.output
    assert duckprop.load("shop@2").categories == tuple(NAMES)


def test_a_failed_import_publishes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("DUCKPROP_HOME", str(tmp_path / "models"))
    checkpoints.write(checkpoints.separate_heads, tmp_path)
    run = CliRunner().invoke(app, ["import", str(tmp_path / "shop"), "--name", "shop"])
    assert isinstance(run.exception, UsageError)
    assert not (tmp_path / "models").exists() or not list((tmp_path / "models").rglob("duckprop.json"))
