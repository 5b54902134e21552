"""Promote, roll back, delete: each step and its way back, and what is damaged or a trick is refused or reported."""

import os
import shutil
from pathlib import Path

import pytest

from duckprop.aliases import changing
from duckprop.errors import ModelError, UsageError
from duckprop.registry import Registry


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "registry")


@pytest.fixture
def bundle(tmp_path, small_bundle):
    return Path(shutil.copytree(small_bundle, tmp_path / "bundle"))


def references(registry):
    return [version.reference for version in registry.versions()]


@pytest.fixture
def three(registry, bundle):
    for _ in range(3):
        registry.publish(bundle, "shop")
    return registry


def test_a_rollback_goes_back_step_by_step_until_there_is_nothing(three):
    assert [three.promote("shop", "champion", number) for number in (1, 3, 3, 2)] == [None, 1, 3, 3]
    assert [three.rollback("shop", "champion") for _ in range(2)] == [(2, 3), (3, 1)]
    assert three.resolve("shop@champion").version == 1
    with pytest.raises(ModelError, match="stood for nothing before 'shop@1'\npromote one yourself; versions of 'shop'"):
        three.rollback("shop", "champion")
    assert three.promote("shop", "champion", 2) == 1
    assert three.rollback("shop", "champion") == (2, 1)


def test_a_rollback_to_what_is_deleted_is_refused(three):
    for number in (1, 2):
        three.promote("shop", "champion", number)
    three.delete("shop", 1)
    with pytest.raises(ModelError, match="stood for 'shop@1' before 'shop@2', and that is deleted\npromote one"):
        three.rollback("shop", "champion")
    assert three.resolve("shop@champion").version == 2


def test_a_rollback_leaves_a_version_that_was_removed_by_hand(three):
    for number in (1, 2):
        three.promote("shop", "champion", number)
    shutil.rmtree(three.resolve("shop@2").folder)
    with pytest.raises(ModelError, match="alias 'champion' of 'shop' stands for 'shop@2', which is not there"):
        three.resolve("shop@champion")
    assert three.problems() == ["alias 'champion' of 'shop' stands for 'shop@2', which is not there"]
    assert three.rollback("shop", "champion") == (2, 1)
    assert three.problems() == []


def test_an_alias_remembers_a_hundred_versions(three):
    for at in range(120):
        three.promote("shop", "champion", 1 + at % 2)
    assert len((three.root / "shop" / "aliases" / "champion").read_text().split()) == 100
    assert three.rollback("shop", "champion") == (2, 1)


@pytest.mark.parametrize(("name", "alias"), [("shpo", "champion"), ("shop", "chmapion"), ("../shop", "x"), ("", "")])
def test_rollback_and_delete_of_what_is_not_there(three, name, alias):
    three.promote("shop", "champion", 1)
    for change in (three.rollback, three.delete_alias):
        with pytest.raises(ModelError, match=r"no model|no alias 'chmapion' \(did you mean 'champion'\?\)"):
            change(name, alias)
    with pytest.raises(ModelError, match="no model"):
        three.delete(name, 9)


def test_a_number_is_never_given_again(three, bundle):
    for number in (3, 2):
        assert three.delete("shop", number, force=True).reference == f"shop@{number}"
    with pytest.raises(ModelError, match="no model 'shop@3': it was deleted\nversions of 'shop': 1"):
        three.resolve("shop@3")
    assert three.publish(bundle, "shop").version == 4
    for number in (1, 4):
        three.delete("shop", number, force=True)
    assert three.versions() == []
    with pytest.raises(ModelError, match="there is no model 'shop'\npublish one first"):
        three.resolve("shop")
    assert three.publish(bundle, "shop").version == 5
    assert [path.name for path in (three.root / "shop").iterdir() if path.name.endswith(".part")] == []


def test_what_is_in_use_or_newest_is_not_deleted(three):
    three.promote("shop", "champion", 1)
    for force in (False, True):
        with pytest.raises(UsageError, match="alias 'champion' stands for 'shop@1'\npromote another version"):
            three.delete("shop", 1, force=force)
    with pytest.raises(UsageError, match=r"'shop@3' is the newest version: 'shop' would mean 'shop@2'\n.*--force"):
        three.delete("shop", 3)
    three.delete("shop", 2)
    three.delete_alias("shop", "champion")
    three.delete("shop", 1)
    with pytest.raises(UsageError, match="'shop@3' is the only version of its name"):
        three.delete("shop", 3)
    assert references(three) == ["shop@3"]


@pytest.mark.parametrize("content", [b"two", b"", b"\n", b"1\n\n2", b"-1", b"1" * 5000, "²".encode(), b"\xff", b"1 2"])
def test_a_damaged_alias_is_an_error_and_is_reported_and_repaired(three, content):
    three.promote("shop", "champion", 2)
    path = three.root / "shop" / "aliases" / "champion"
    path.write_bytes(content)
    for ask in (lambda: three.resolve("shop@champion"), lambda: three.rollback("shop", "champion")):
        with pytest.raises(ModelError, match="champion is damaged: it should hold numbers of versions\npromote"):
            ask()
    assert three.problems() == [f"{path} is damaged: promote a version to 'champion' again"]
    assert all(version.aliases == () for version in three.versions())
    assert three.promote("shop", "champion", 1) is None
    assert three.resolve("shop@champion").version == 1


def test_an_alias_that_is_no_plain_file_is_damaged(three, tmp_path):
    three.promote("shop", "live", 1)
    aliases = three.root / "shop" / "aliases"
    (tmp_path / "elsewhere").write_text("1")
    (aliases / "link").symlink_to(tmp_path / "elsewhere")
    (aliases / "folder").mkdir()
    os.mkfifo(aliases / "pipe")
    assert len(three.problems()) == 3
    for alias in ("link", "folder", "pipe"):
        with pytest.raises(ModelError, match=f"{alias} is damaged"):
            three.resolve(f"shop@{alias}")


def test_an_alias_in_the_form_of_before_is_read(three):
    (three.root / "shop" / "aliases").mkdir()
    (three.root / "shop" / "aliases" / "champion").write_text("2")
    assert three.resolve("shop@champion").version == 2
    assert three.promote("shop", "champion", 3) == 2
    assert three.rollback("shop", "champion") == (3, 2)


def test_links_in_a_registry_are_not_followed(three, bundle, tmp_path):
    """Its root may be one."""
    outside = tmp_path / "outside"
    shutil.copytree(three.root / "shop", outside)
    (three.root / "shop" / "4").symlink_to(outside / "1")
    (three.root / "bank").symlink_to(outside)
    for ask in (
        lambda: three.resolve("shop@4"),
        lambda: three.promote("shop", "champion", 4),
        lambda: three.delete("shop", 4, force=True),
        lambda: three.resolve("bank"),
        lambda: three.publish(bundle, "bank"),
    ):
        with pytest.raises(ModelError, match=r"(4|bank) is a link, which is not followed\nput the folder"):
            ask()
    assert references(three) == ["shop@1", "shop@2", "shop@3"]
    assert [line.rpartition("/")[2] for line in three.problems()] == [
        f"{name} is a link, which is not followed" for name in ("bank", "4")
    ]
    assert three.publish(bundle, "shop").version == 5
    assert sorted(path.name for path in outside.iterdir()) == ["1", "2", "3"]
    (tmp_path / "link").symlink_to(three.root)
    assert Registry(tmp_path / "link").resolve("shop@2").version == 2


@pytest.mark.parametrize("part", ["aliases", "deleted"])
def test_nothing_is_written_through_a_link(three, tmp_path, part):
    (tmp_path / "outside").mkdir()
    (three.root / "shop" / part).symlink_to(tmp_path / "outside")
    for change in (lambda: three.promote("shop", "champion", 1), lambda: three.delete("shop", 1)):
        with pytest.raises(ModelError, match=f"{part} is a link"):
            change()
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_registry_that_may_only_be_read_resolves(three):
    three.promote("shop", "champion", 2)
    (three.root / "shop" / ".lock").unlink()
    before = sorted(three.root.rglob("*"))
    assert three.resolve("shop@champion").version == 2
    assert (three.versions()[1].aliases, three.problems()) == (("champion",), [])
    assert sorted(three.root.rglob("*")) == before


def test_who_waits_too_long_for_another_process_is_told(three, monkeypatch):
    monkeypatch.setattr("duckprop.aliases._PATIENCE", 0.05)
    with changing(three.root / "shop"), pytest.raises(ModelError, match="lock is held by another process\nwait"):
        three.promote("shop", "champion", 1)
    three.promote("shop", "champion", 1)


def test_a_file_where_a_name_should_be_stops_a_publish(registry, bundle):
    registry.root.mkdir()
    (registry.root / "shop").write_text("no folder")
    with pytest.raises(OSError):
        registry.publish(bundle, "shop")


def test_after_the_last_number_there_is_none(registry, bundle):
    (registry.root / "shop" / "999999999").mkdir(parents=True)
    with pytest.raises(ModelError, match="has a version of the number 999999999\npublish under another name"):
        registry.publish(bundle, "shop")
