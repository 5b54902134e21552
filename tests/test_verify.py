"""The compiled engine against MXNet: in Python, SQL and the shell; and every way in which the check has to fail."""

import json
import subprocess
import sys
from dataclasses import replace

import duckdb
import numpy as np
import pytest
from scipy import sparse

import duckprop
from duckprop import bundle, mxnet_compat
from duckprop.cli import main
from duckprop.errors import ModelError, UsageError
from duckprop.formats.mxnet import read_checkpoint
from duckprop.sparse import from_scipy
from duckprop.verify import BATCH_SIZES, KINDS, ROWS, TOLERANCE, compare, random_rows, sample_of, verify

TRAINED = """
    CREATE TABLE customers AS
    SELECT id, if(id % 9 = 0, MAP {}, MAP {id % 40: 1.0 + id % 5, (id + 7) % 40: 2.5}) AS features,
           if(id % 5 = 3, 'validation', 'train') AS split FROM range(600) t(id);
    CREATE TABLE purchases AS SELECT id, category FROM customers, (VALUES ('books'), ('shoes')) c(category)
    WHERE (id * 31 + length(category)) % 5 < 2;
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model as training leaves it, and the features of its validation rows in id order."""
    con = duckdb.connect()
    con.execute(TRAINED)
    settings = duckprop.Settings(hidden=(8,), epochs=2, batch=32)
    folder = tmp_path_factory.mktemp("trained")
    model = duckprop.train("customers", "purchases", con=con, settings=settings, folder=folder)
    rows = con.execute("SELECT features FROM customers WHERE split = 'validation' ORDER BY id LIMIT 64").fetchall()
    return model, [dict(sorted(row.items())) for (row,) in rows]


@pytest.fixture
def cli(monkeypatch, capsys):
    """Run the command line in this process: arguments → (exit code, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["duckprop", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return run


@pytest.fixture
def changed(monkeypatch):
    """Let the compiled engine read other weights than MXNet does: one number, changed a little."""

    def change(part, by):
        def read(*arguments, **options):
            network = read_checkpoint(*arguments, **options)
            if part == "head_bias":
                bias = network.head_bias.copy()
                bias[0, 0] += np.float32(by)
                return replace(network, head_bias=bias)
            layer = network.hidden[0]
            weight = layer.weight.copy()
            weight[:, -1] += np.float32(by)  # a unit and, below, what the heads make of it
            head_weight = network.head_weight.copy()
            head_weight[-1] = 0
            return replace(network, hidden=(replace(layer, weight=weight),), head_weight=head_weight)

        monkeypatch.setattr("duckprop.model.read_checkpoint", read)

    return change


def test_a_good_model_is_within_tolerance_on_rows_of_every_kind(small_bundle):
    found = verify(duckprop.load(small_bundle))
    assert (found.engine, found.rows, found.is_within_tolerance) == ("compiled", ROWS * len(KINDS), True)
    assert [(each.kind, each.batch_size, each.rows) for each in found.comparisons] == [
        (kind, size, ROWS) for kind in KINDS for size in BATCH_SIZES
    ]
    assert 0 < found.max_abs_difference <= TOLERANCE == 1e-6
    assert all(0 <= each.propensity <= TOLERANCE and each.embedding <= TOLERANCE for each in found.comparisons)


@pytest.mark.parametrize("options", [{"hidden": (24,), "classes": ("a", "b", "c")}, {"hidden": (9, 5, 3), "width": 1}])
@pytest.mark.parametrize("rows", [1, 10, 2100])
def test_models_and_numbers_of_rows_of_other_sizes(write_bundle, options, rows):
    found = verify(duckprop.load(write_bundle(**options, names=None)), rows)
    assert found.is_within_tolerance
    assert found.rows == rows * len(KINDS)
    sizes = {1: [1], 10: [1, 7, 10], 2100: [1, 7, 256, 2048]}[rows]
    assert [each.batch_size for each in found.comparisons] == sizes * len(KINDS)


def test_the_same_seed_gives_the_same_rows_and_another_one_others(small_bundle):
    model = duckprop.load(small_bundle)
    assert verify(model, 50) == verify(model, 50)
    assert verify(model, 50) != verify(model, 50, seed=2)


@pytest.mark.parametrize("kind", KINDS)
def test_random_rows_are_what_their_kind_says(kind):
    batch = random_rows(np.random.default_rng(1), kind, 500, 10_000)
    lengths, (least, most) = np.diff(batch.indptr), KINDS[kind]
    assert len(batch) == 500
    assert least <= lengths.min() <= lengths.max() <= most
    assert lengths.max() >= 0.8 * most
    norms = np.sqrt(np.asarray(batch.to_scipy().multiply(batch.to_scipy()).sum(axis=1)).ravel())[lengths > 0]
    if most:
        assert 0.05 < norms.min() < 0.2 < 5 < norms.max() < 20
        assert (batch.values < 0).any()
        assert (batch.values > 0).any()


class Stub:
    """Scores with a function of the rows' first values."""

    width = 3

    def __init__(self, change=lambda array: array, embeds=True):
        self.change, self.embeds, self.sizes = change, embeds, []

    def score(self, batch):
        self.sizes.append(len(batch))
        return self.change(np.repeat(batch.to_scipy().toarray()[:, :1], 2, axis=1))

    def embed(self, batch):
        if not self.embeds:
            raise ModelError("the graph has no dense layer", "there is none")
        return self.change(batch.to_scipy().toarray())


def stub_rows(count):
    return from_scipy(sparse.csr_matrix(np.linspace(0.1, 0.9, 3 * count, dtype=np.float32).reshape(count, 3)))


def test_batches_of_every_size_are_compared_and_no_row_is_forgotten():
    scorer, reference = Stub(), Stub()
    assert compare(scorer, reference, [stub_rows(10), stub_rows(5)], [1, 4, 10]) == {
        "propensity": {1: 0.0, 4: 0.0, 10: 0.0},
        "embedding": {1: 0.0, 4: 0.0, 10: 0.0},
    }
    assert scorer.sizes == [*[1] * 10, 4, 4, 2, 10, *[1] * 5, 4, 1, 5]
    assert reference.sizes == [10, 5]


def only(row, by):
    """Change one row of every batch that has so many."""

    def change(array):
        if len(array) > row:
            array[row, -1] += np.float32(by)
        return array

    return change


def test_the_largest_difference_counts_wherever_it_is():
    worst = compare(Stub(only(6, 0.25)), Stub(), [stub_rows(5), stub_rows(10), stub_rows(3)], [1, 4, 10])
    assert worst == {
        "propensity": {1: 0.0, 4: 0.0, 10: pytest.approx(0.25)},
        "embedding": {1: 0.0, 4: 0.0, 10: pytest.approx(0.25)},
    }


@pytest.mark.parametrize("wrong", [lambda array: array[:, :1], lambda array: array * np.nan, lambda array: array / 0])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_cannot_be_compared_is_infinitely_far_away(wrong):
    assert compare(Stub(wrong), Stub(), [stub_rows(2)], [2])["propensity"] == {2: np.inf}


def test_large_embeddings_may_differ_by_as_much_more():
    rows = from_scipy(sparse.csr_matrix(np.float32([[1000, 1, 0]])))
    assert compare(Stub(only(0, 0.5)), Stub(), [rows], [1])["embedding"] == {1: pytest.approx(0.0005)}


def test_a_graph_without_an_embedding_is_compared_by_its_propensities():
    assert compare(Stub(), Stub(embeds=False), [stub_rows(2)], [2]) == {"propensity": {2: 0.0}}


# --- the sample ------------------------------------------------------------------------------------------------------


def test_training_leaves_the_first_validation_rows_without_their_ids(trained):
    model, rows = trained
    table = duckdb.sql(f"FROM '{model.folder / bundle.SAMPLE}'")
    assert (table.columns, str(table.types[0])) == (["features"], 'STRUCT(indices INTEGER[], "values" FLOAT[])')
    stored = [dict(zip(row["indices"], row["values"], strict=True)) for (row,) in table.fetchall()]
    assert stored == rows
    assert len(rows) == 64
    assert {} in rows
    assert model.card["files"][bundle.SAMPLE] == bundle.fingerprint(model.folder / bundle.SAMPLE)
    sample = sample_of(model)
    assert [dict(zip(r.indices.tolist(), r.data.tolist(), strict=True)) for r in sample.to_scipy()] == rows


def test_the_sample_is_compared_first(trained):
    found = verify(trained[0], 5)
    assert found.is_within_tolerance
    assert found.rows == 64 + 5 * len(KINDS)
    assert [each.batch_size for each in found.comparisons if each.kind == "sample"] == [1, 7, 64]
    assert found.comparisons[0].kind == "sample"


def test_a_sample_is_published_with_its_model(trained, home):
    trained[0].publish("trained")
    with duckprop.connect() as con:
        assert con.execute("SELECT rows FROM propensity_verify('trained')").fetchall() == [(64 + 4 * ROWS,)]


def put_sample(folder, query=None):
    """Write another file as the sample, and a card that knows it."""
    card = json.loads((folder / bundle.CARD).read_text())
    if query:
        duckdb.sql(query).write_parquet(str(folder / bundle.SAMPLE))
    else:
        (folder / bundle.SAMPLE).write_bytes(b"PAR1 is how it begins")
    bundle.write_card(folder, card)
    return duckprop.load(folder)


WRONG_SAMPLES = {
    "no Parquet": None,
    "another column": "SELECT 1 AS id",
    "a column outside": "SELECT {indices: [40], values: [1.0::FLOAT]} AS features",
    "lists of two lengths": "SELECT {indices: [1, 2], values: [1.0::FLOAT]} AS features",
    "no features": "SELECT DATE '2026-01-01' AS features",
}


@pytest.mark.parametrize("query", WRONG_SAMPLES.values(), ids=WRONG_SAMPLES.keys())
def test_a_sample_that_cannot_be_read_is_a_model_error(write_bundle, query):
    folder = write_bundle()
    model = put_sample(folder, query)
    with pytest.raises(
        ModelError, match=rf"{bundle.SAMPLE} is not a readable sample: .*\ncopy (or train|the model again)"
    ):
        verify(model, 1)


def test_an_empty_sample_is_none(write_bundle):
    model = put_sample(write_bundle(), "SELECT {indices: [1], values: [1.0::FLOAT]} AS features WHERE false")
    assert {each.kind for each in verify(model, 1).comparisons} == set(KINDS)


# --- it fails when it has to -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("part", "by"), [("head_bias", 1e-3), ("head_bias", 3e-5), ("hidden", 1e-3)])
def test_a_weight_that_was_changed_a_little_is_noticed_everywhere(home, changed, cli, part, by):
    changed(part, by)
    found = verify(duckprop.load("shop"), 100)
    assert not found.is_within_tolerance
    worst = max(each.propensity if part == "head_bias" else each.embedding for each in found.comparisons)
    assert TOLERANCE < worst < 10 * by
    with duckprop.connect() as con:
        query = "SELECT max_abs_difference > 1e-6, is_within_tolerance FROM propensity_verify()"
        assert con.execute(query).fetchall() == [(True, False)]
    lines = cli("verify", "shop", "--rows", 100)[1].splitlines()
    assert "differs" in {line.split()[-1] for line in lines}
    code, out, err = cli("verify", "shop", "--rows", 100, "--json")
    report = json.loads(out)
    assert code == 1
    assert (report["is_within_tolerance"], report["max_abs_difference"] > TOLERANCE) == (False, True)
    assert "error: shop@1: the compiled engine does not give what MXNet gives" in err
    assert err.splitlines()[-1].startswith("do not promote this version")
    assert "Traceback" not in err


def test_a_difference_in_the_embedding_alone_is_one(home, small_bundle):
    model = duckprop.load(small_bundle)
    comparison = verify(model, 1).comparisons[0]
    assert comparison.is_within_tolerance
    assert not replace(comparison, embedding=2e-6).is_within_tolerance
    assert not replace(comparison, propensity=float("nan")).is_within_tolerance
    assert not replace(comparison, embedding=float("nan")).is_within_tolerance
    assert replace(comparison, embedding=None).is_within_tolerance


@pytest.mark.parametrize("rows", [0, -1])
def test_no_rows_are_refused(small_bundle, rows):
    with pytest.raises(UsageError, match="rows are asked for"):
        verify(duckprop.load(small_bundle), rows)


def damage(folder, name):
    path = folder / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["model-0000.params", "vocabulary.parquet", "model-symbol.json"])
def test_a_damaged_file_is_told_and_no_number_is_given(home, cli, name):
    damage(home / "shop" / "1", name)
    code, out, err = cli("verify", "shop")
    assert (code, out) == (3, "")
    assert f"{name} is not the file that was published" in err
    with duckprop.connect() as con, pytest.raises(duckdb.InvalidInputException, match=r"ModelError.*SHA-256 differs"):
        con.execute("FROM propensity_verify()")


def test_without_mxnet_it_says_how_to_get_it(home, cli, monkeypatch):
    monkeypatch.setitem(sys.modules, "mxnet", None)
    mxnet_compat.load.cache_clear()
    code, out, err = cli("verify", "shop")
    mxnet_compat.load.cache_clear()
    assert (code, out) == (2, "")
    assert err.splitlines()[0].startswith("error: MXNet cannot be imported")
    assert err.splitlines()[1].startswith("pip install")


# --- in the shell ----------------------------------------------------------------------------------------------------


def test_the_table_has_a_line_for_each_kind_and_batch_size(home, cli, trained):
    trained[0].publish("own")
    code, out, err = cli("verify", "own", "--rows", 300)
    header, _, *lines = [[cell.strip() for cell in line.split("│")] for line in out.splitlines()]
    assert code == 0
    assert header == ["kind", "batch", "rows", "propensity", "embedding", "tolerance", "verdict"]
    assert [line[:3] for line in lines[:3]] == [["sample", size, "64"] for size in ("1", "7", "64")]
    assert len(lines) == 3 + 4 * len(KINDS)
    assert all(line[5:] == ["1e-06", "ok"] and float(line[3]) <= 1e-6 for line in lines)
    assert "own@1: loaded in " in err
    assert "kernels ready in " in err
    assert "own@1: the compiled engine gives what MXNet gives: on 1,264 rows" in err


def test_json_holds_the_verdict_the_times_and_every_comparison(home, cli):
    code, out, _ = cli("verify", "shop@1", "--rows", 8, "--json")
    report = json.loads(out)
    assert code == 0
    assert {name: report[name] for name in ("model", "engine", "rows", "tolerance", "is_within_tolerance")} == {
        "model": "shop@1", "engine": "compiled", "rows": 32, "tolerance": 1e-6, "is_within_tolerance": True,
    }  # fmt: skip
    assert report["seconds"].keys() == {"load", "kernels", "mxnet"}
    assert all(seconds >= 0 for seconds in report["seconds"].values())
    assert len(report["comparisons"]) == 3 * len(KINDS)
    assert max(each["propensity"] for each in report["comparisons"]) == report["max_abs_difference"]


def test_a_process_of_its_own_tells_how_long_the_kernels_took(home):
    command = [sys.executable, "-m", "duckprop", "verify", "shop", "--rows", "4", "--json"]
    report = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert report["seconds"]["kernels"] > 0
    assert report["seconds"]["mxnet"] > 0


@pytest.mark.parametrize(
    ("arguments", "code", "texts"),
    [
        (["verify"], 2, ["Missing argument"]),
        (["verify", "shp"], 3, ["no model 'shp' (did you mean 'shop'?)"]),
        (["verify", "shop@2"], 3, ["there is no model 'shop@2'", "versions of 'shop': 1"]),
        (["verify", "shop", "--rows", "0"], 2, ["--rows"]),
        (["verify", "shop", "--rows", "many"], 2, ["--rows"]),
        (["verify", "shop", "--engine", "mxnet"], 2, ["--engine"]),
        (["verify", "shop", "--registry", "nowhere"], 3, ["nowhere holds no models"]),
    ],
)
def test_wrong_use_is_told_in_two_lines(home, cli, tmp_path, monkeypatch, arguments, code, texts):
    monkeypatch.chdir(tmp_path)
    ended, out, err = cli(*arguments)
    assert (ended, out) == (code, "")
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 2
    assert all(text in err for text in texts), err


def test_help_has_an_example(cli):
    code, out, _ = cli("verify", "--help")
    assert code == 0
    assert "Example: duckprop verify" in " ".join(out.split())
