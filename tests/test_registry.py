"""Names, versions, aliases; what does not resolve says what there is; publishers at the same time lose nothing."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import duckprop
from duckprop.bundle import CARD
from duckprop.errors import ModelError, UsageError
from duckprop.registry import Registry

_PUBLISH = """
import sys
from pathlib import Path
from duckprop.registry import Registry
print("ready", flush=True)
sys.stdin.readline()
for _ in range(20):
    print(Registry(sys.argv[1]).publish(Path(sys.argv[2]), "shop").version)
"""


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "registry")


@pytest.fixture
def bundle(tmp_path, small_bundle):
    return Path(shutil.copytree(small_bundle, tmp_path / "bundle"))


def references(registry):
    return [version.reference for version in registry.versions()]


def test_versions_count_up_for_each_name(registry, bundle):
    assert registry.versions() == []
    made = [registry.publish(bundle, name).reference for name in ("shop", "bank", "shop", "shop")]
    assert made == ["shop@1", "bank@1", "shop@2", "shop@3"]
    assert references(registry) == ["bank@1", "shop@1", "shop@2", "shop@3"]


def test_the_tenth_version_comes_after_the_ninth(registry, bundle):
    for _ in range(11):
        registry.publish(bundle, "shop")
    assert [version.version for version in registry.versions()] == list(range(1, 12))
    assert registry.resolve("shop").version == 11


def test_a_version_that_was_removed_leaves_a_gap(registry, bundle):
    for _ in range(3):
        registry.publish(bundle, "shop")
    shutil.rmtree(registry.resolve("shop@1").folder)
    assert registry.publish(bundle, "shop").version == 4
    assert references(registry) == ["shop@2", "shop@3", "shop@4"]


def test_a_published_version_is_a_copy(registry, bundle):
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    version = registry.publish(bundle, "shop")
    (bundle / CARD).write_bytes(b"changed")
    assert {path.name: path.read_bytes() for path in version.folder.iterdir()} == before


def test_what_is_no_whole_model_is_not_published(registry, bundle):
    (bundle / "model-0000.params").write_bytes((bundle / "model-0000.params").read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match="is not the file that was published"):
        registry.publish(bundle, "shop")
    (bundle / CARD).unlink()
    with pytest.raises(ModelError, match="holds no model"):
        registry.publish(bundle, "shop")
    assert registry.versions() == []


def test_a_name_goes_before_a_folder_of_the_same_name(registry, bundle, monkeypatch):
    registry.publish(bundle, "bundle")
    monkeypatch.chdir(bundle.parent)
    assert registry.resolve("bundle").folder == registry.root / "bundle" / "1"
    assert registry.resolve("./bundle").folder == bundle


def test_a_publish_that_fails_leaves_no_version(registry, bundle, tmp_path):
    (bundle / "model-0000.params").unlink()
    for source in (bundle, tmp_path / "nowhere"):
        with pytest.raises(ModelError):
            registry.publish(source, "shop")
    assert registry.versions() == []
    assert list((registry.root / "shop").iterdir()) == []


def test_names_resolve_to_the_newest_a_number_or_an_alias(registry, bundle):
    for _ in range(3):
        registry.publish(bundle, "shop")
    registry.promote("shop", "champion", 2)
    found = {text: registry.resolve(text).version for text in ("shop", "shop@1", "shop@03", "shop@champion")}
    assert found == {"shop": 3, "shop@1": 1, "shop@03": 3, "shop@champion": 2}


def test_an_alias_moves_and_a_version_may_have_several(registry, bundle):
    for _ in range(2):
        registry.publish(bundle, "shop")
    for alias, version in (("champion", 1), ("live", 2), ("champion", 2)):
        registry.promote("shop", alias, version)
    assert [version.aliases for version in registry.versions()] == [(), ("champion", "live")]
    assert [path.name for path in sorted((registry.root / "shop" / "aliases").iterdir())] == ["champion", "live"]


def test_promote_refuses_a_version_that_is_not_there(registry, bundle):
    registry.publish(bundle, "shop")
    with pytest.raises(ModelError, match="no model 'shop@7'\nversions of 'shop': 1"):
        registry.promote("shop", "champion", 7)
    with pytest.raises(ModelError):
        registry.promote("bank", "champion", 1)
    assert registry.resolve("shop").aliases == ()


@pytest.mark.parametrize("alias", ["3", "007", "", "a b", "../x", ".hidden", "a/b", "x" * 101, "a@b"])
def test_an_alias_that_cannot_be_one_is_refused(registry, bundle, alias):
    registry.publish(bundle, "shop")
    with pytest.raises(UsageError):
        registry.promote("shop", alias, 1)
    assert [path.name for path in (registry.root / "shop").iterdir()] == ["1"]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../shop", "a/b", "a\\b", "shop@1", "a b", ".shop", "-x", "é", "x" * 101]
)
def test_a_name_that_cannot_be_one_is_refused(registry, bundle, name):
    with pytest.raises(UsageError, match="cannot be a model's name or alias\nuse letters, digits"):
        registry.publish(bundle, name)
    assert not registry.root.exists()


@pytest.mark.parametrize("name", ["a", "A9", "shop.v2", "x" * 100, "0", "a-b_c"])
def test_a_good_name_is_published_and_found(registry, bundle, name):
    assert registry.publish(bundle, name) == registry.resolve(name)


UNKNOWN = {
    "shpo": r"no model 'shpo' \(did you mean 'shop'\?\)\nmodels are bank, shop",
    "zzz": "no model 'zzz'\nmodels are bank, shop",
    "shop@9": "no model 'shop@9'\nversions of 'shop': 1, 2",
    "shop@0": "no model 'shop@0'",
    "shop@chamipon": r"no alias 'chamipon' \(did you mean 'champion'\?\)\nits aliases: champion",
    "bank@champion": "no alias 'champion'\nits aliases: none",
    "": "no model ''",
    "@champion": "no model '@champion'",
    "../registry/shop": "no model",
    "shop@-1": "no alias '-1'",
    "shop@1@2": "no alias '1@2'",
    "shop@²": "no alias '²'",
    "shop@../1": "no alias '../1'",
    "~nobody-of-this-name/x": "no model",
    "a\0b": "no model",
    "x" * 5000: "no model",
}


@pytest.mark.parametrize("reference", UNKNOWN)
def test_what_does_not_resolve_says_what_there_is(registry, bundle, reference):
    for name in ("shop", "bank", "shop"):
        registry.publish(bundle, name)
    registry.promote("shop", "champion", 1)
    with pytest.raises(ModelError, match=UNKNOWN[reference]):
        registry.resolve(reference)


def test_an_empty_registry_says_where_it_looked(registry):
    for ask in (lambda: registry.resolve("shop"), registry.only):
        with pytest.raises(ModelError, match=r"no model.*\npublish one first") as caught:
            ask()
        assert str(registry.root) in str(caught.value)


def test_the_only_model_is_found_and_two_are_listed(registry, bundle):
    registry.publish(bundle, "shop")
    registry.publish(bundle, "shop")
    assert registry.only().reference == "shop@2"
    registry.publish(bundle, "bank")
    with pytest.raises(ModelError, match="no model is named, and there are 2: bank, shop\nname one"):
        registry.only()


def test_a_bundles_folder_resolves_by_its_path(registry, bundle, monkeypatch):
    assert registry.resolve(str(bundle)).folder == bundle
    monkeypatch.chdir(bundle.parent)
    assert registry.resolve("bundle").folder == bundle
    monkeypatch.setenv("HOME", str(bundle.parent))
    assert registry.resolve("~/bundle").folder == bundle


def test_the_root_is_the_argument_else_the_variable_else_the_users_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DUCKPROP_HOME", str(tmp_path / "variable"))
    assert Registry(tmp_path / "argument").root == tmp_path / "argument"
    assert Registry().root == tmp_path / "variable"
    monkeypatch.setenv("DUCKPROP_HOME", "")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert Registry().root.parts[-2:] == ("duckprop", "registry")


def test_two_processes_that_publish_at_once_lose_nothing(registry, bundle):
    command = [sys.executable, "-c", _PUBLISH, str(registry.root), str(bundle)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    root = Path(duckprop.__file__).parents[1]
    publishers = [subprocess.Popen(command, cwd=root, **pipes) for _ in range(2)]
    assert [publisher.stdout.readline() for publisher in publishers] == ["ready\n"] * 2
    for publisher in publishers:
        publisher.stdin.write("go\n")
        publisher.stdin.flush()
    numbers = [int(line) for publisher in publishers for line in publisher.communicate()[0].split()]
    assert sorted(numbers) == list(range(1, 41))
    params = (bundle / "model-0000.params").read_bytes()
    assert all((version.folder / "model-0000.params").read_bytes() == params for version in registry.versions())
    assert len(list((registry.root / "shop").iterdir())) == 40  # and no half-written folder


def test_broken_versions_and_foreign_files_are_listed_or_passed_over(registry, bundle):
    for _ in range(2):
        registry.publish(bundle, "shop")
    (registry.root / "shop" / "1" / CARD).unlink()
    (registry.root / "shop" / "²").mkdir()
    (registry.root / "shop" / ".3-half").mkdir()
    (registry.root / "shop" / "aliases").mkdir()
    (registry.root / "shop" / "aliases" / "broken").write_text("two")
    (registry.root / "README").write_text("not a model")
    (registry.root / ".trash" / "1").mkdir(parents=True)
    assert references(registry) == ["shop@1", "shop@2"]
    assert registry.resolve("shop@1").folder.is_dir()
    with pytest.raises(ModelError, match="holds no model"):
        duckprop.load("shop@1", registry.root)
