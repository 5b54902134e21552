"""A bundle is written whole or not at all, and believed only after every check; what is wrong is a ModelError."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from conftest import NAMES
from scipy import sparse

import duckprop
from duckprop import bundle, mxnet_compat
from duckprop.card import MOST_BYTES, digest
from duckprop.errors import DataError, ModelError

FILES = ("model-symbol.json", "model-0000.params", "vocabulary.parquet")


def use(folder):
    """Do everything that believes a bundle."""
    model = duckprop.load(folder)
    assert model.vocabulary is None or len(model.vocabulary) == model.width
    return [
        model.predict(sparse.csr_matrix((1, model.width), dtype=np.float32), name) for name in ("compiled", "mxnet")
    ]


def refused(folder, match):
    with pytest.raises(ModelError, match=match) as caught:
        use(folder)
    assert caught.value.remedy
    assert str(folder) in caught.value.fact


def change_card(folder, change):
    path = folder / bundle.CARD
    card = json.loads(path.read_text())
    change(card)
    path.write_text(json.dumps(card | {"sha256": digest(card)}))


def without(name):
    return lambda card: card.pop(name)


def putting(value, *path):
    def change(card):
        for name in path[:-1]:
            card = card[name]
        card[path[-1]] = value

    return change


def test_a_good_bundle_is_believed_with_and_without_names(write_bundle):
    for names in (NAMES, None):
        compiled, reference = use(write_bundle(names=names))
        np.testing.assert_allclose(compiled, reference, rtol=0, atol=1e-6)


def test_plain_mxnet_loads_the_bundle(small_bundle):
    mx = mxnet_compat.load()
    symbol, arguments, auxiliary = mx.model.load_checkpoint(str(small_bundle / bundle.PREFIX), 0)
    assert set(symbol.list_arguments()) - arguments.keys() == {"data", "softmax_label"}
    assert arguments["fc1_weight"].shape == (40, 16)
    assert not auxiliary


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(write_bundle, name):
    folder = write_bundle()
    (folder / name).unlink()
    refused(folder, f"{name} is missing or not a plain file\ncopy the model again")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("keep", [0, 1, 100, -1])
def test_a_truncated_or_longer_file_is_named_with_both_sizes(write_bundle, name, keep):
    folder = write_bundle()
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[:keep])
    refused(folder, f"{name} has {len(data[:keep])} bytes, its card says {len(data)}")
    (folder / name).write_bytes(data + b"x")
    refused(folder, f"{name} has {len(data) + 1} bytes")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("at", [0, 0.3, 0.6, 0.999])
def test_a_changed_byte_is_found_before_the_file_is_used(write_bundle, name, at):
    folder = write_bundle()
    data = bytearray((folder / name).read_bytes())
    data[int(at * len(data))] ^= 0x10
    (folder / name).write_bytes(data)
    refused(folder, rf"{name} is not the file that was published \(its SHA-256 differs\)\ncopy the model again")


@pytest.mark.parametrize("name", FILES)
def test_a_symbolic_link_or_folder_in_place_of_a_file_is_refused(write_bundle, tmp_path, name):
    folder = write_bundle()
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    refused(folder, f"{name} is missing or not a plain file")
    (folder / name).unlink()
    (folder / name).mkdir()
    refused(folder, f"{name} is missing or not a plain file")


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_goes_after_the_card_was_read_is_a_model_error(write_bundle, name):
    model = duckprop.load(write_bundle())
    (model.folder / name).unlink()
    with pytest.raises(ModelError, match=f"{name} cannot be read"):
        model.scorer()


def test_a_folder_without_a_card_is_no_model(tmp_path):
    with pytest.raises(ModelError, match=r"holds no model: duckprop\.json is missing\ngive a model's name"):
        bundle.read_card(tmp_path)
    (tmp_path / bundle.CARD).mkdir()
    with pytest.raises(ModelError, match=r"duckprop\.json cannot be read"):
        bundle.read_card(tmp_path)


TEXTS = {
    "nothing": b"",
    "half": b'{"format": 1, "categories": ["a"',
    "not UTF-8": b'{"format": "\xff"}',
    "too deep": b"[" * 100_000,
    "too many digits": b'{"format": ' + b"1" * 5000 + b"}",
    "a whole number above 63 bits": b'{"format": 9223372036854775808}',
    "a number above all": b'{"format": 1e400}',
    "no number": b'{"format": NaN}',
    "infinity": b'{"format": -Infinity}',
    "33 deep": b'{"format": ' + b"[" * 32 + b"]" * 32 + b"}",
    "900 deep": b'{"a":' * 900 + b"1" + b"}" * 900,
    "a key twice": b'{"format": 1, "format": 1}',
    "half a surrogate pair": b'{"format": 1, "categories": ["\\ud800"]}',
    "too many lists": b"[" + b"[]," * 500_000 + b"[]]",
    "another encoding": '{"format": 1}'.encode("utf-16"),
    "larger than any card": b'{"format": 1}' + b" " * MOST_BYTES,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_a_card_that_is_no_json_is_refused(write_bundle, text):
    folder = write_bundle()
    (folder / bundle.CARD).write_bytes(text)
    refused(folder, "duckprop.json cannot be read")


@pytest.mark.parametrize(
    "text", ["[]", "null", '"format"', "1", "{}", '{"format": 2}', '{"format": "1"}', '{"format": null}']
)
def test_a_card_of_another_format_is_refused(write_bundle, text):
    folder = write_bundle()
    (folder / bundle.CARD).write_text(text)
    refused(folder, "has format .*, this duckprop reads 1\nuse the duckprop that wrote it")


@pytest.mark.parametrize("key", ["categories", "classes", "positive", "features", "files"])
def test_a_card_without_a_key_names_it(write_bundle, key):
    folder = write_bundle()
    change_card(folder, without(key))
    refused(folder, f"lacks {key}")


HASHES = [("1", "0" * 64), (-1, "0" * 64), (True, "0" * 64), (1.0, "0" * 64), (1, 7), (1, "0"), (1, "G" * 64)]
WRONG = [
    *(("categories", value) for value in (None, "abcde", {"a": 1}, [], [1, 2, 3, 4, 5], [["a"]], [None] * 5)),
    *(("classes", value) for value in ("yes", 2, [0, 1], {})),
    *(("positive", value) for value in (None, "0", 0.0, True, [0])),
    *(("features", value) for value in (None, 40, [], {"width": 40}, {"named": True}, {"width": 40, "named": "no"})),
    *(("features", {"width": value, "named": True}) for value in ("40", 40.0, None, True, [40])),
    *(("files", value) for value in (None, [], "model", {"model-0000.params": 3}, {"model-0000.params": {"bytes": 1}})),
    *(("files", {"model-0000.params": {"bytes": size, "sha256": sha}}) for size, sha in HASHES),
    ("files", {f"file {number}": {"bytes": 0, "sha256": "0" * 64} for number in range(1001)}),
    *(("base_rates", value) for value in ([0.5] * 4, 0.5, [0.5] * 4 + [None], [0.5] * 4 + [1.5], [-1, 0, 0, 0, 0])),
]


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_a_card_with_a_value_of_the_wrong_kind_names_its_key(write_bundle, key, value):
    folder = write_bundle()
    change_card(folder, putting(value, key))
    refused(folder, f"holds under {key} what cannot stand there\ncopy the model again")


MISFITS = [
    (("features", "width"), 0, "width 0 make no model"),
    (("features", "width"), -1, "width -1 make no model"),
    (("features", "width"), 10**18, "make no model"),
    (("features", "width"), 39, "40 feature names for 39 columns"),
    (("positive",), 2, "the positive one 2"),
    (("positive",), -1, "the positive one -1"),
    (("classes",), ["yes"], "1 classes"),
    (("classes",), ["yes", "yes"], "not distinct"),
    (("categories",), ["a"] * 5, "not distinct"),
    (("categories",), ["a", "b", "c"], r"the card says \(40, 3, 2\).*the network has \(40, 5, 2\)"),
    (("classes",), ["yes", "no", "never"], r"the card says \(40, 5, 3\)"),
    (("files", "model-0000.params", "bytes"), 10**18, "its card says 1000"),
    (("files", "model-0000.params", "sha256"), "0" * 64, "SHA-256 differs"),
]


@pytest.mark.parametrize(("path", "value", "match"), MISFITS)
def test_a_card_that_does_not_fit_its_files_is_refused(write_bundle, path, value, match):
    folder = write_bundle()
    change_card(folder, without("base_rates"))
    change_card(folder, putting(value, *path))
    refused(folder, match)


@pytest.mark.parametrize("name", FILES)
def test_a_file_without_a_hash_on_the_card_is_not_believed(write_bundle, name):
    folder = write_bundle()
    change_card(folder, lambda card: card["files"].pop(name))
    refused(folder, f"duckprop.json does not list {name}")


HOSTILE = ["../outside", "/etc/hostname", "a/b", "..", ".", "", "a\0b", "x" * 201, "é" * 101, ".hidden", "a\\b"]
HOSTILE += [
    "C:",
    "C:\\x",
    "a:stream",
    "NUL",
    "com1.txt",
    "aux .params",
    "dot.",
    "blank ",
    "a\nb",
    "a\x1b[31m",
    "a\u202eb",
]
HOSTILE += ["duckprop.json", "DUCKPROP.JSON", "*", "a?"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_name_that_leads_elsewhere_is_refused(write_bundle, name):
    folder = write_bundle()
    (folder.parent / "outside").write_text("secret")
    change_card(folder, putting({"bytes": 6, "sha256": "0" * 64}, "files", name))
    refused(folder, "lists a file named '.*\ncopy the model again")


def test_two_names_that_differ_only_by_case_are_refused(write_bundle):
    folder = write_bundle()
    change_card(folder, putting({"bytes": 6, "sha256": "0" * 64}, "files", "MODEL-0000.params"))
    refused(folder, "differ only by case\ncopy the model again")


def test_a_file_of_a_hostile_name_does_not_come_onto_a_card(tmp_path):
    (tmp_path / ".hidden").write_text("x")
    with pytest.raises(ModelError, match=r"lists a file named '\.hidden'"):
        bundle.write_card(tmp_path, {})
    assert not (tmp_path / bundle.CARD).exists()


def test_a_card_too_large_to_be_read_is_not_written(tmp_path):
    with pytest.raises(DataError, match=f"at most {MOST_BYTES} are read"):
        bundle.write_card(tmp_path, {"categories": ["x" * MOST_BYTES]})
    assert not (tmp_path / bundle.CARD).exists()


@pytest.mark.parametrize("change", [putting("books!", "categories", 0), without("created"), putting(1, "new")])
def test_a_card_that_was_changed_afterwards_is_refused(write_bundle, change):
    folder = write_bundle()
    card = json.loads((folder / bundle.CARD).read_text())
    change(card)
    (folder / bundle.CARD).write_text(json.dumps(card))
    refused(folder, r"duckprop.json is not the card that was written \(its SHA-256 differs\)\ncopy the model again")


def test_another_spacing_and_order_is_the_same_card_and_an_old_one_has_no_digest(write_bundle):
    folder = write_bundle()
    before = bundle.read_card(folder)
    card = json.loads((folder / bundle.CARD).read_text())
    (folder / bundle.CARD).write_text(json.dumps(dict(reversed(card.items())), indent=7))
    assert bundle.read_card(folder) == before
    del card["sha256"]
    (folder / bundle.CARD).write_text(json.dumps(card))
    assert bundle.read_card(folder) == before
    assert "sha256" not in before


@pytest.mark.parametrize("name", [*FILES, bundle.CARD])
def test_a_pipe_in_place_of_a_file_is_refused_at_once(write_bundle, name):
    folder = write_bundle()
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(ModelError, match=f"{name} (is missing or|cannot be read: .* it is) not a plain file"):
        bundle.read_card(folder)


def test_a_card_that_is_a_symbolic_link_is_refused(write_bundle, tmp_path):
    folder = write_bundle()
    (folder / bundle.CARD).rename(tmp_path / "elsewhere")
    (folder / bundle.CARD).symlink_to(tmp_path / "elsewhere")
    refused(folder, f"{bundle.CARD} cannot be read: .* it is not a plain file")


def test_a_hard_link_is_a_plain_file(write_bundle, tmp_path):
    folder = write_bundle()
    for name in FILES:
        os.link(folder / name, tmp_path / name)
    use(folder)


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"x", lambda data: b"x" + data[1:]])
def test_a_file_is_read_once_and_what_is_hashed_is_used(write_bundle, change):
    folder = write_bundle()
    card, path = bundle.read_card(folder), folder / bundle.BASELINE
    data = path.read_bytes()
    assert bundle.read_file(folder, card, bundle.BASELINE) == data
    path.write_bytes(change(data))
    with pytest.raises(ModelError, match=r"baseline.parquet is not the file that was published"):
        bundle.read_file(folder, card, bundle.BASELINE)
    path.unlink()
    with pytest.raises(ModelError, match=r"baseline.parquet cannot be read: No such file"):
        bundle.read_file(folder, card, bundle.BASELINE)


def test_only_what_the_card_lists_is_copied(write_bundle, tmp_path):
    folder = write_bundle()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "stray.exe").write_text("x")
    (folder / "stray").mkdir()
    (folder / ".hidden").symlink_to("/etc/hostname")
    (tmp_path / "copy").mkdir()
    bundle.copy_files(folder, tmp_path / "copy")
    assert {path.name: path.read_bytes() for path in (tmp_path / "copy").iterdir()} == before
    with pytest.raises(ModelError, match="holds no model"):
        bundle.copy_files(tmp_path / "nowhere", tmp_path)


def half_a_folder(target, error):
    with bundle.new_folder(target) as folder:
        (folder / "half").write_text("x")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_new_folder_leaves_nothing_behind_when_its_block_fails(tmp_path, error):
    with pytest.raises(error):
        half_a_folder(tmp_path / "target", error)
    assert list(tmp_path.iterdir()) == []


def test_new_folder_never_replaces_what_is_there(tmp_path):
    target = tmp_path / "deep" / "target"
    with bundle.new_folder(target) as folder:
        (folder / "first").write_text("x")
        assert not target.exists()
    with pytest.raises(OSError, match="not empty"), bundle.new_folder(target) as folder:
        (folder / "second").write_text("x")
    assert [path.name for path in target.iterdir()] == ["first"]
    assert list(target.parent.iterdir()) == [target]
    assert os.stat(target).st_mode & 0o777 == 0o755


def test_the_card_holds_every_file_and_text_of_any_language(tmp_path):
    (tmp_path / "a").write_bytes(b"123")
    bundle.write_card(tmp_path, {"categories": ["Käse 🧀"]})
    card = json.loads(Path(tmp_path, bundle.CARD).read_text("utf-8"))
    sha = "a665a45920422f9d417e4867efdc4fb8a04a1f3fff1fa07e998e86f7f7a27ae3"
    files = {"a": {"bytes": 3, "sha256": sha}}
    assert card == {"format": 1, "categories": ["Käse 🧀"], "files": files, "sha256": digest(card)}
