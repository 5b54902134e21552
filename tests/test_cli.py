"""The command line as its users meet it: results on stdout, the rest on stderr, exit codes, errors of two lines."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from duckprop.cli import main
from duckprop.registry import Registry

SHOP = """
    CREATE TABLE customers AS SELECT id, CASE WHEN id <> 7 THEN [id % 40, (id * 7) % 40] END AS features
    FROM range(600) t(id);
    CREATE TABLE purchases AS SELECT id, category FROM customers, (VALUES ('books'), ('shoes')) c(category)
    WHERE (id * 31 + length(category)) % 5 < 2 AND id <> 7;
"""


TRAIN = ["train", "--features", "customers", "--labels", "purchases", "--name"]
SCORE = ["score", "customers", "-o", "a.parquet"]


@pytest.fixture
def shop(tmp_path: Path, home: Path) -> Path:
    """A database with 600 customers, one of them without features, and purchases in two categories."""
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute(SHOP)
    return path


@pytest.fixture
def cli(monkeypatch, capsys):
    """Run the command line in this process: arguments → (exit code, stdout, stderr)."""

    def run(*arguments, stdin=""):
        monkeypatch.setattr(sys, "argv", ["duckprop", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return run


def test_sql_prints_an_aligned_table(cli, shop):
    code, out, err = cli(
        "sql", "--database", shop, "-c", "SELECT 1 AS one, 'ab' AS text, NULL AS nothing, 0.1::FLOAT AS f"
    )
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "one │ text │ nothing │   f",
        "────┼──────┼─────────┼────",
        "  1 │ ab   │    NULL │ 0.1",
    ]


def test_sql_scores_with_the_functions_registered(cli, shop):
    code, out, _ = cli(
        "sql",
        "--database",
        shop,
        "--format",
        "csv",
        "-c",
        "SELECT max(propensity(features, 'shoes')) AS p FROM customers",
    )
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert 0 < float(rows[0]["p"]) < 1


def test_sql_reads_a_file_or_standard_input(cli, tmp_path):
    script = tmp_path / "q.sql"
    script.write_text("SET VARIABLE a = 41; SELECT getvariable('a') + 1 AS b;")
    assert cli("sql", script, "--format", "json") == (0, '[\n {\n  "b": 42\n }\n]\n', "")
    assert cli("sql", "--format", "json", stdin="SELECT 42 AS b")[1] == '[\n {\n  "b": 42\n }\n]\n'
    assert cli("sql", "-", "--format", "markdown", stdin="SELECT 'a|b' AS c")[1] == "| c |\n| --- |\n| a\\|b |\n"


def test_sql_in_csv_and_json_keeps_nested_values_null_and_precision(cli):
    query = """SELECT [0.1::FLOAT, NULL] AS l, {'a': 0.3::FLOAT} AS s, MAP{'k': 1} AS m, 'nan'::FLOAT AS n, NULL AS z,
                      DATE '2026-01-02' AS d"""
    _, out, _ = cli("sql", "--format", "json", "-c", query)
    expected = {"l": [0.1, None], "s": {"a": 0.3}, "m": {"k": 1}, "n": None, "z": None, "d": "2026-01-02"}
    assert json.loads(out) == [expected]
    _, out, _ = cli("sql", "--format", "csv", "-c", query)
    assert list(csv.reader(io.StringIO(out)))[1] == ["[0.1, null]", '{"a": 0.3}', '{"k": 1}', "nan", "", "2026-01-02"]


def test_a_long_table_is_cut_and_says_so(cli):
    code, out, err = cli("sql", "-c", "FROM range(1500)")
    assert code == 0
    assert len(out.splitlines()) == 1002
    assert "first 1,000 rows" in err
    assert len(cli("sql", "--format", "csv", "-c", "FROM range(1500)")[1].splitlines()) == 1501


@pytest.mark.parametrize(
    ("arguments", "code", "texts"),
    [
        (["sql", "-c", "SELEC 1"], 3, ["error: Parser Error", "SELEC"]),
        (["sql", "-c", "SELECT propensity([1], 'shoez')"], 3, ["'shoez' is not in model 'shop@1' (did you mean"]),
        (["sql", "-c", "SELECT 1", "file.sql"], 2, ["both -c and a file are given", "give one of them"]),
        (["sql", "missing.sql"], 3, ["missing.sql", "No such file"]),
        (["sql", "--read-only", "-c", "SELECT 1"], 2, ["--read-only needs a database"]),
        (["sql", "--engine", "fast", "-c", "SELECT 1"], 2, ["there is no engine 'fast'"]),
        (["sql", "--format", "xml", "-c", "SELECT 1"], 2, ["xml"]),
        (["skore"], 2, ["skore"]),
        (["score", "customers"], 2, ["--output"]),
        (["score", "customers", "-o", "t"], 2, ["needs a database"]),
        ([*SCORE, "--model", "shopp"], 3, ["no model 'shopp' (did you mean 'shop'?)"]),
        (["score", "nowhere", "-o", "a.parquet"], 3, ["the relation to score cannot be read", "nowhere"]),
        ([*SCORE, "--top", "0"], 2, ["top is 0"]),
        ([*SCORE, "--wide", "--top", "3"], 2, ["a wide table holds all categories"]),
        ([*SCORE, "--wide", "--long"], 2, ["both --long and --wide"]),
        (["score", "customers", "-o", "no/such/a.parquet"], 2, ["the folder no/such does not exist"]),
        ([*SCORE, "--categories", "shoez"], 3, ["did you mean 'shoes'?"]),
        ([*SCORE, "--id", "customer"], 3, ["has no column 'customer'", "it has id, features"]),
        (["score", "customers", "-o", "a.csv"], 2, ["neither a Parquet file nor a table's name"]),
        ([*TRAIN, "a/b"], 2, ["cannot be a model's name"]),
        ([*TRAIN, "x", "--hidden", "1,b"], 2, ["--hidden is"]),
        ([*TRAIN, "x", "--dropout", "1"], 2, ["dropout 1.0"]),
        ([*TRAIN[:4], "nowhere", "--name", "x"], 3, ["the labels relation cannot be read"]),
        (["evaluate", "nope", *TRAIN[1:5]], 3, ["no model 'nope'", "models are shop"]),
    ],
)  # fmt: skip
def test_wrong_use_is_told_in_two_lines(cli, shop, tmp_path, monkeypatch, arguments, code, texts):
    monkeypatch.chdir(tmp_path)
    uses_database = arguments[0] in ("score", "train", "evaluate") and "needs a database" not in texts[0]
    database = ["--database", shop] if uses_database else []
    ended, out, err = cli(*arguments, *database)
    assert (ended, out) == (code, "")
    assert err.startswith("error: ")
    assert all(text in err for text in texts), err
    assert "Traceback" not in err
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".parquet") == []


def test_debug_shows_the_traceback(cli):
    assert "Traceback" in cli("--debug", "sql", "-c", "SELEC 1")[2]


def test_score_writes_long_rows_and_accounts_for_customers(cli, shop, tmp_path):
    target = tmp_path / "scores.parquet"
    code, out, _ = cli("score", "customers", "--database", shop, "-o", target, "--top", "2", "--json")
    assert code == 0
    assert json.loads(out)[0] | {"output": ""} == {
        "output": "", "model": "shop@1", "customers": 600, "without_features": 1, "rows": 1198,
    }  # fmt: skip
    kinds = duckdb.sql(f"DESCRIBE FROM '{target}'").fetchall()
    assert [row[:2] for row in kinds] == [
        ("id", "BIGINT"),
        ("category", "VARCHAR"),
        ("propensity", "FLOAT"),
        ("rank", "INTEGER"),
    ]
    assert list(tmp_path.glob(".*")) == []


def test_score_equals_the_scalar_functions(cli, shop, tmp_path):
    target = tmp_path / "scores.parquet"
    cli(
        "score",
        "SELECT * FROM customers WHERE id < 50",
        "--database",
        shop,
        "-o",
        target,
        "--categories",
        "shoes, books",
    )
    query = f"""SELECT count(*), bool_and(s.propensity = duckprop.propensity(features, category))
                FROM '{target}' AS s JOIN customers USING (id)"""
    _, out, _ = cli("sql", "--database", shop, "--format", "csv", "-c", query)
    assert out.splitlines()[1] == "98,true"


def test_score_into_a_table_and_wide(cli, shop):
    assert cli("score", "customers", "--database", shop, "-o", "wide_scores", "--wide")[0] == 0
    with duckdb.connect(str(shop)) as con:
        rows = con.execute("SELECT count(*), count(propensities), min(len(propensities)) FROM wide_scores").fetchall()
    assert rows == [(600, 599, 5)]


def test_train_evaluate_models_and_score_from_parquet(cli, shop, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with duckdb.connect(str(shop)) as con:
        con.execute("COPY customers TO 'c.parquet'; COPY purchases TO 'p.parquet'")
    relations = ("--features", "c.parquet", "--labels", "p.parquet")
    code, out, err = cli("train", *relations, "--name", "own", "--epochs", "2", "--hidden", "8", "--json")
    assert code == 0, err
    assert json.loads(out)[0]["rows"] == 59
    assert "published own@1" in err
    assert "epoch 1: log loss" in err
    assert [row["model"] for row in json.loads(cli("models", "--json")[1])] == ["own@1", "shop@1"]
    code, out, _ = cli("evaluate", "own", *relations, "--report", "report.html", "--json")
    assert code == 0
    assert json.loads(out)["support"]["rows"] == 599
    assert "<html" in Path("report.html").read_text()
    assert cli("score", "c.parquet", "--model", "own@1", "-o", "s.parquet")[0] == 0


def test_models_says_what_to_do_when_there_are_none(cli, tmp_path):
    (tmp_path / "empty").mkdir()
    code, out, err = cli("models", "--registry", tmp_path / "empty")
    assert code == 0
    assert out.startswith("model")
    assert "duckprop train, or duckprop demo" in err


def test_every_command_has_help_with_an_example(cli):
    for command in ("demo", "train", "evaluate", "score", "sql", "models", "bench"):
        code, out, _ = cli(command, "--help")
        assert code == 0
        assert "Example: duckprop" in " ".join(out.split()), command


def test_statements_that_change_rows_tell_so_on_stderr_and_run_once(cli, shop):
    text = """CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1), (2); INSERT INTO t VALUES (3) RETURNING a;
              CREATE VIEW v AS FROM t; SELECT count(*) AS n, true AS b FROM v"""
    code, out, err = cli("sql", "--database", shop, "--format", "csv", "-c", text)
    assert (code, out, err) == (0, "a\n3\n\nn,b\n3,true\n", "2 rows\n")


def test_score_replaces_only_propensity_tables(cli, shop, tmp_path):
    for target in ("customers", tmp_path / "c.parquet"):
        duckdb.sql("SELECT 1 AS id, [1] AS features").write_parquet(str(tmp_path / "c.parquet"))
        code, _, err = cli("score", "customers", "--database", shop, "-o", target)
        assert code == 2
        assert "exists and is no propensity table: it has features, id" in err
    for _ in range(2):
        assert cli("score", "customers", "--database", shop, "-o", tmp_path / "new.PARQUET")[0] == 0
    code, _, err = cli("score", "FROM customers WHERE false", "--database", shop, "-o", tmp_path / "new.PARQUET")
    assert (code, err.splitlines()[0]) == (3, "error: the relation to score has no rows")
    assert duckdb.sql(f"SELECT count(*) FROM read_parquet('{tmp_path}/new.PARQUET')").fetchall() == [(2995,)]


def test_score_takes_the_version_that_was_asked_for(cli, shop, tmp_path, write_bundle):
    Registry().publish(write_bundle(seed=8), "shop")
    for version in (1, 2):
        target = tmp_path / f"{version}.parquet"
        assert cli("score", "customers", "--model", f"shop@{version}", "--database", shop, "-o", target)[0] == 0
    query = f"SELECT avg(abs(a.propensity - b.propensity)) FROM '{tmp_path}/1.parquet' a JOIN '{tmp_path}/2.parquet' b"
    assert duckdb.sql(f"{query} USING (id, category)").fetchall()[0][0] > 0.01


def test_training_says_what_it_left_out(cli, shop):
    labels = "FROM purchases UNION ALL SELECT id + 1000000, category FROM purchases UNION ALL SELECT 1, 'rare'"
    options = ("--name", "own", "--epochs", "1", "--hidden", "4", "--database", shop)
    code, _, err = cli("train", "--features", "customers", "--labels", labels, *options)
    assert code == 0
    assert "left out: 1 rows have no features" in err
    assert "left out: 480 of 961 labels have an id that no feature row has" in err
    assert "left out: 1 labels are in categories with fewer than 20 training rows" in err
    assert "vocabulary" not in err


def test_training_says_which_features_are_not_in_the_vocabulary(cli, shop):
    own = "SELECT id, ['same', 'customer ' || id] AS features FROM customers"
    options = ("--name", "own", "--epochs", "1", "--hidden", "4", "--database", shop)
    code, _, err = cli("train", "--features", own, "--labels", "purchases", *options)
    assert code == 0
    assert "left out: 50.00% of the features of the validation rows: they are not in the vocabulary" in err


@pytest.mark.parametrize(("split", "text"), [("'Train'", "holds 'Train'"), ("1", "holds '1'"), ("NULL", "holds None")])
def test_a_wrong_split_is_named_before_anything_else(cli, shop, split, text):
    features = f"SELECT id, ['a'] AS features, {split} AS split FROM customers"
    code, _, err = cli("train", "--features", features, "--labels", "purchases", "--name", "x", "--database", shop)
    assert (code, text in err) == (3, True)


@pytest.mark.parametrize("classes", ["yes", "yes,yes"])
def test_wrong_classes_are_told_before_training(cli, shop, classes):
    options = ("--name", "x", "--database", shop, "--classes", classes)
    code, _, err = cli("train", "--features", "customers", "--labels", "purchases", *options)
    assert code == 2
    assert "epoch" not in err


def test_json_keeps_columns_of_the_same_name_and_odd_types(cli):
    query = "SELECT 1 AS a, 1.50 AS a, INTERVAL 2 DAY AS i, TIMESTAMP_NS '2026-01-02 03:04:05' AS t"
    (row,) = json.loads(cli("sql", "--format", "json", "-c", query)[1])
    assert row == {"a": 1, "a_1": 1.5, "i": "0 months 2 days 0 seconds", "t": "2026-01-02 03:04:05"}


def test_explain_keeps_its_lines(cli):
    assert "RANGE" in max(cli("sql", "-c", "EXPLAIN FROM range(3)")[1].splitlines(), key=lambda line: "RANGE" in line)


def test_score_to_a_file_leaves_the_database_to_its_readers(cli, shop, tmp_path):
    reader = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=True); print(1, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", reader, str(shop)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"1\n"
        code, _, err = cli("score", "customers", "--database", shop, "-o", tmp_path / "s.parquet")
        process.stdin.close()
    assert (code, err) == (0, "")


def test_labels_in_categories_that_the_model_lacks_are_counted(cli, shop):
    features = "FROM customers WHERE id < 100"
    labels = "SELECT id, unnest(['shoes', 'cars']) AS category FROM customers WHERE id < 150 AND id % 2 = 0"
    code, _, err = cli("evaluate", "shop", "--features", features, "--labels", labels, "--database", shop)
    assert code == 0
    assert err.splitlines() == [
        "1 rows have no features and were left out.",
        "50 labels have other ids than these rows, and were left out.",
        "50 labels of these rows are in categories that the model lacks, and were left out.",
    ]
