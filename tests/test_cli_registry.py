"""The registry from the shell: promote, roll back, compare, delete, and what each says."""

import io
import json
import sys

import duckdb
import pytest

from duckprop.cli import main
from duckprop.registry import Registry


@pytest.fixture
def cli(monkeypatch, capsys):
    """Run the command line in this process: arguments → (exit code, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["duckprop", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(""))
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return run


@pytest.fixture
def shop(home, small_bundle):
    """Return a registry with three versions of 'shop'."""
    for _ in range(2):
        Registry().publish(small_bundle, "shop")
    return Registry()


def test_promote_and_rollback_say_what_was_and_what_is(cli, shop):
    steps = [
        ("promote", "shop@1", "champion", "shop@champion is shop@1 now; it stood for nothing before."),
        ("promote", "shop@2", "champion", "shop@champion is shop@2 now; it stood for shop@1 before."),
        ("promote", "shop", "challenger", "shop@challenger is shop@3 now; it stood for nothing before."),
        ("promote", "shop@challenger", "champion", "shop@champion is shop@3 now; it stood for shop@2 before."),
        ("rollback", "shop", "champion", "shop@champion is shop@2 again; it was shop@3."),
        ("rollback", "shop", "champion", "shop@champion is shop@1 again; it was shop@2."),
    ]
    for *arguments, said in steps:
        assert cli(*arguments) == (0, "", f"{said}\n")
    assert shop.resolve("shop@champion").version == 1
    code, out, err = cli("rollback", "shop", "champion")
    assert (code, out) == (3, "")
    assert err.startswith("error: alias 'champion' of 'shop' stood for nothing before 'shop@1'\npromote one yourself")


def test_delete_takes_a_version_or_an_alias(cli, shop):
    shop.promote("shop", "champion", 1)
    assert cli("delete", "shop@1")[0] == 2
    assert cli("delete", "shop@2") == (0, "", "shop@2 is deleted.\n")
    assert cli("delete", "shop@3") == (
        *(2, ""),
        "error: 'shop@3' is the newest version: 'shop' would mean 'shop@1'\n"
        "to delete it all the same, say --force, in Python force=True\n",
    )
    assert cli("delete", "shop@3", "--force")[0] == 0
    code, _, err = cli("delete", "shop@champion")
    assert (code, err) == (0, "the alias shop@champion is deleted; the version that it stood for is still there.\n")
    assert [version.reference for version in shop.versions()] == ["shop@1"]
    assert shop.resolve("shop").aliases == ()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("promote", "shpo", "champion"), 3, r"there is no model 'shpo' (did you mean 'shop'?)"),
        (("promote", "shop@9", "champion"), 3, "there is no model 'shop@9'"),
        (("promote", "shop@1", "2"), 2, "an alias cannot be the number 2"),
        (("rollback", "shop", "champion"), 3, "model 'shop' has no alias 'champion'"),
        (("rollback", "shop@1", "champion"), 3, "there is no model 'shop@1'"),
        (("delete", "shop"), 2, "'shop' is a name with all its versions"),
        (("delete", "shop@9"), 3, "there is no model 'shop@9'"),
        (("delete", "shop@champion"), 3, "model 'shop' has no alias 'champion'"),
        (("compare", "shop@1", "shop@9"), 3, "there is no model 'shop@9'"),
        (("compare", "shop@1", "shop@2"), 2, "neither 'shop@1' nor 'shop@2' carries a sample"),
        (("compare", "shop@1", "shop@2", "--database", "x.duckdb"), 2, "--database is given without --features"),
        (("compare", "shop@1", "shop@2", "--features", "nowhere"), 3, "the features relation cannot be read"),
    ],
)
def test_wrong_use_is_said_in_two_lines(cli, shop, arguments, code, said):
    found, out, err = cli(*arguments)
    assert (found, out) == (code, "")
    assert err.startswith(f"error: {said}")
    assert len(err.splitlines()) == 2


def test_a_bundles_folder_is_not_promoted(cli, shop, small_bundle):
    code, _, err = cli("promote", small_bundle, "champion")
    assert (code, err.splitlines()[1]) == (2, "publish it, and promote its version")


def test_another_registry_is_named_by_an_option(cli, shop, small_bundle, tmp_path):
    other = Registry(tmp_path / "other")
    for _ in range(2):
        other.publish(small_bundle, "garden")
    assert cli("promote", "garden@1", "champion", "--registry", other.root)[0] == 0
    assert cli("promote", "garden@2", "champion", "--registry", other.root)[0] == 0
    assert cli("rollback", "garden", "champion", "--registry", other.root)[0] == 0
    assert cli("delete", "garden@2", "--force", "--registry", other.root)[0] == 0
    assert [version.aliases for version in other.versions()] == [("champion",)]


def test_compare_prints_a_table_and_json(cli, shop, tmp_path):
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute("CREATE TABLE customers AS SELECT [i % 40] AS basket FROM range(100) t(i)")
    where = ("--features", "customers", "--features-column", "basket", "--database", path)
    code, out, err = cli("compare", "shop@1", "shop@2", *where)
    lines = out.splitlines()
    assert code == 0
    assert lines[0].split(" │ ")[0].strip() == "category"
    assert [line.split(" │ ")[0].strip() for line in lines[2:]] == [
        "(all)",
        "books",
        "garden",
        "music",
        "shoes",
        "toys",
    ]
    assert err.splitlines() == [
        "a is shop@1, b is shop@2, on 100 customers.",
        "The best category is the same for 100.0% of the customers; of a's best five, 100.0% are among b's.",
    ]
    code, out, _ = cli("compare", "shop@1", "shop@2", *where, "--json")
    found = json.loads(out)
    assert (code, found["rows"], found["ranked_rows"], found["overall"]["psi"]) == (0, 100, 100, 0)
    assert [shift["category"] for shift in found["categories"]] == ["books", "garden", "music", "shoes", "toys"]


def test_compare_says_what_only_one_has(cli, shop, write_bundle):
    names = [f"other {at}" for at in range(12)]
    other = write_bundle(categories=("toys", *names))
    _, out, err = cli("compare", "shop@1", other, "--features", "SELECT [i % 40] AS features FROM range(9) t(i)")
    assert len(out.splitlines()) == 4
    assert err.splitlines()[2] == "Only shop@1 has books, garden, music, shoes."
    assert err.splitlines()[3] == f"Only {other} has {', '.join(names[:10])} and 2 more."


def test_models_reports_what_is_damaged_on_stderr(cli, shop):
    shop.promote("shop", "champion", 1)
    path = shop.root / "shop" / "aliases" / "champion"
    path.write_text("one")
    code, out, err = cli("models", "--json")
    assert (code, [row["aliases"] for row in json.loads(out)]) == (0, [[], [], []])
    assert err == f"{path} is damaged: promote a version to 'champion' again\n"
