"""Training on small made data: batches, metric, one epoch against NumPy, early stopping, from SQL to a bundle."""

import gc

import duckdb
import numpy as np
import pytest
from scipy import sparse

from duckprop import mxnet_compat
from duckprop.baseline import baseline_of
from duckprop.engine import ENGINES
from duckprop.errors import UsageError
from duckprop.formats.mxnet_params import read_params
from duckprop.outcomes import Outcomes
from duckprop.sparse import from_scipy, offsets_of
from duckprop.training import Settings, train
from duckprop.training.iterator import SparseIter
from duckprop.training.loop import Trainer
from duckprop.training.metric import MultiLabelLogLoss
from duckprop.training.symbol import Shape, initial_parameters

QUICK = Settings(hidden=(6,), batch=16, epochs=4, patience=4, dropout=0.3)

SHOP = """
SELECT setseed(0.5);
CREATE TABLE customers AS
    SELECT i AS id, [(random() * 12)::INT, 20 + (random() * 9)::INT] AS bought FROM range({n}) t(i);
CREATE TABLE features AS SELECT id, bought AS features FROM customers;
CREATE TABLE labels AS
    SELECT id, 'c' || (bought[1] % 3) AS category FROM customers
    UNION ALL SELECT id, 'often' FROM customers WHERE bought[2] < 26;
CREATE VIEW labels_of_three AS FROM labels SELECT *, CASE WHEN id % 4 = 0 THEN 'look' ELSE 'buy' END AS class;
"""


def shop(rows=120):
    con = duckdb.connect()
    con.execute(SHOP.format(n=rows))
    return con


def made(rows, width=10, heads=3, classes=2, seed=0):
    """Random rows and outcomes; every category but the first depends on one feature."""
    random = np.random.default_rng(seed)
    dense = (random.random((rows, width)) < 0.4) * random.integers(1, 4, (rows, width))
    label = np.where(dense[:, :heads] > 0, random.integers(0, classes - 1, (rows, heads)), classes - 1)
    at, category = np.nonzero(label < classes - 1)
    names, kinds = (
        tuple(f"{kind}{number}" for number in range(count)) for kind, count in (("c", heads), ("k", classes))
    )
    indptr = offsets_of(np.bincount(at, minlength=rows))
    outcomes = Outcomes(indptr, category.astype(np.int32), label[at, category].astype(np.int8), names, kinds)
    return from_scipy(sparse.csr_matrix(dense.astype(np.float32))), outcomes


def trainer(folder, rows, outcomes, train, validation, **settings):
    options = {"train": np.array(train), "validation": np.array(validation), "settings": Settings(**settings)}
    return Trainer(rows, outcomes, **options, folder=folder, fingerprint="same")


def visits(batches, epoch):
    batches.start_epoch(epoch)
    return [batch.index.tolist() for batch in batches]


# --- iterator and metric ---------------------------------------------------------------------------------------------


def test_every_row_is_visited_once_an_epoch_in_an_order_of_its_own():
    rows, outcomes = made(50)
    ids = np.arange(3, 48)
    batches = SparseIter(ids, rows, outcomes, batch=8, seed=4)
    epochs = [visits(batches, epoch) for epoch in (1, 2, 3)]
    for epoch in epochs:
        assert [len(index) for index in epoch] == [8, 8, 8, 8, 8, 5]
        assert sorted(np.concatenate(epoch)) == ids.tolist()
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    assert visits(batches, 2) == epochs[1]
    assert visits(SparseIter(ids, rows, outcomes, batch=8, seed=4), 2) == epochs[1]
    assert visits(SparseIter(ids, rows, outcomes, batch=8, seed=5), 2) != epochs[1]
    assert np.concatenate(visits(batches, 0)).tolist() == ids.tolist()


def test_a_batch_holds_the_rows_and_labels_of_its_index():
    rows, outcomes = made(21, classes=3)
    batches = SparseIter(np.arange(21), rows, outcomes, batch=8, seed=1)
    batches.start_epoch(1)
    for batch in batches:
        (data,), (label,) = batch.data, batch.label
        assert (batch.pad, batch.bucket_key) == (0, len(batch.index))
        assert batch.provide_data[0].shape == data.shape == (len(batch.index), 10)
        assert batch.provide_label[0].shape == label.shape == (len(batch.index), 3, 3)
        np.testing.assert_array_equal(data.asnumpy(), rows.to_scipy()[batch.index].toarray())
        for row, table in zip(batch.index, label.asnumpy(), strict=True):
            expected = np.tile(np.float32([0, 0, 1]), (3, 1))
            for at in range(outcomes.indptr[row], outcomes.indptr[row + 1]):
                expected[outcomes.category[at]] = np.eye(3)[outcomes.label[at]]
            np.testing.assert_array_equal(table, expected)
    batches.reset()
    assert sum(len(batch.index) for batch in batches) == 21


def test_the_metric_is_the_mean_over_rows_and_categories_whatever_the_batches():
    mx, random, metric = mxnet_compat.load(), np.random.default_rng(1), MultiLabelLogLoss()
    assert np.isnan(metric.get()[1])
    losses = []
    for size in (8, 8, 3):
        truth = np.eye(3, dtype=np.float32)[random.integers(0, 3, (size, 4))]
        odds = random.random((size, 4, 3)).astype(np.float32)
        odds /= odds.sum(axis=2, keepdims=True)
        odds[0, 0] = 1 - truth[0, 0]  # a probability of 0
        losses.extend(-np.log(np.maximum(odds[truth == 1].astype(float), 1e-15)))
        metric.update([mx.nd.array(truth)], [mx.nd.array(odds)])
    assert metric.get()[1] == pytest.approx(np.mean(losses), rel=1e-9)


# --- the loop --------------------------------------------------------------------------------------------------------


def numpy_epoch(weights, x, truth, order, batch, rate):
    """One epoch of AdaGrad in float64, written down from the paper; every row weighs 1 / batch, the last ones too."""
    w1, b1, w2, b2 = (weights[name].astype(float) for name in ("fc1_weight", "fc1_bias", "heads_weight", "heads_bias"))
    history = [np.zeros_like(array) for array in (w1, b1, w2, b2)]
    x = x / np.sqrt((x * x).sum(axis=1, keepdims=True) + 1e-12)
    for at in range(0, len(order), batch):
        rows = order[at : at + batch]
        hidden = np.maximum(x[rows] @ w1 + b1, 0)
        odds = np.exp((hidden @ w2.T + b2).reshape(truth[rows].shape))
        error = ((odds / odds.sum(axis=2, keepdims=True) - truth[rows]) / batch).reshape(len(rows), -1)
        back = (error @ w2) * (hidden > 0)
        gradients = x[rows].T @ back, back.sum(axis=0), error.T @ hidden, error.sum(axis=0)
        for array, past, gradient in zip((w1, b1, w2, b2), history, gradients, strict=True):
            past += gradient**2
            array -= rate * gradient / np.sqrt(past + 1e-7)
    return {"fc1_weight": w1, "fc1_bias": b1, "heads_weight": w2, "heads_bias": b2}


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("rows", [8, 16, 21])
def test_an_epoch_is_adagrad_on_the_log_loss_with_every_row_weighing_the_same(tmp_path, rows, classes):
    batch, outcomes = made(rows + 5, classes=classes)
    ids = np.arange(rows)
    options = {"hidden": (7,), "dropout": 0.0, "learning_rate": 0.1, "batch": 8, "epochs": 1}
    run = trainer(tmp_path, batch, outcomes, ids, range(rows, rows + 5), **options)
    start = initial_parameters(Shape(10, (7,), 3, classes), outcomes.class_rates(ids, prior=1), seed=1)
    order = np.concatenate(visits(run.train, 1))
    expected = numpy_epoch(start, batch.to_scipy().toarray().astype(float), outcomes.one_hot(ids), order, 8, 0.1)
    run.run()
    found = read_params(run.best_parameters())
    for name, array in expected.items():
        assert np.abs(array - start[name]).max() > 0.01
        np.testing.assert_allclose(found[name], array, rtol=0, atol=2e-5, err_msg=name)


def test_the_untrained_network_predicts_the_base_rates():
    rates = np.random.default_rng(1).dirichlet(np.ones(3), 5)
    start = initial_parameters(Shape(20, (4,), 5, 3), rates, seed=1)
    odds = np.exp(start["heads_bias"].reshape(5, 3))
    np.testing.assert_allclose(odds / odds.sum(axis=1, keepdims=True), rates, atol=1e-6)


def test_training_stops_after_the_patience_and_keeps_the_best_epoch(tmp_path):
    rows, outcomes = made(40, seed=3)
    _, other = made(40, seed=4)  # validation outcomes that have nothing to do with the rows
    mixed = Outcomes(
        np.concatenate([outcomes.indptr, outcomes.indptr[-1] + other.indptr[1:]]),
        np.concatenate([outcomes.category, other.category]),
        np.concatenate([outcomes.label, other.label]),
        outcomes.categories,
    )
    both = from_scipy(sparse.vstack([rows.to_scipy(), rows.to_scipy()]))
    options = {"hidden": (16,), "learning_rate": 0.1, "batch": 8, "patience": 3, "dropout": 0.0}
    parts = (both, mixed, range(40), range(40, 80))
    state = trainer(tmp_path / "long", *parts, **options, epochs=60).run()
    losses = [epoch.validation_log_loss for epoch in state.history]
    assert state.best_epoch == int(np.argmin(losses)) + 1
    assert state.epoch == len(losses) == state.best_epoch + 3 < 60
    assert state.history[-1].train_log_loss < state.history[0].train_log_loss
    again = trainer(tmp_path / "long", *parts, **options, epochs=60)
    short = trainer(tmp_path / "short", *parts, **options, epochs=state.best_epoch)
    short.run()
    assert again.best_parameters().read_bytes() == short.best_parameters().read_bytes()
    assert {path.name for path in (tmp_path / "long").iterdir()} == {
        *("state.json", f"epoch-{state.best_epoch:04d}", f"epoch-{state.epoch:04d}")
    }


def test_training_learns_what_can_be_learnt(tmp_path):
    rows, outcomes = made(600, seed=5)
    options = {"hidden": (16,), "learning_rate": 0.2, "batch": 32, "epochs": 15, "dropout": 0.0}
    state = trainer(tmp_path, rows, outcomes, range(450), range(450, 600), **options).run()
    rates = outcomes.class_rates(np.arange(450), prior=1)
    base = -np.log(rates[None] ** outcomes.one_hot(np.arange(450, 600))).sum(axis=2).mean()
    assert state.best_log_loss < 0.5 * base


@pytest.mark.parametrize("good_epochs", [0, 2])
def test_a_loss_that_is_no_number_ends_training(tmp_path, monkeypatch, good_epochs):
    losses = iter([0.5, 0.4, 0.3][:good_epochs] + [float("nan")] * 9)
    monkeypatch.setattr(Trainer, "_validate", lambda self: next(losses))
    run = trainer(tmp_path, *made(20), range(15), range(15, 20), hidden=(2,), epochs=9)
    if good_epochs:
        state = run.run()
        assert [epoch.epoch for epoch in state.history] == [1, 2]  # a card holds no NaN
        assert state.best_epoch == good_epochs
        assert run.best_parameters().is_file()
    else:
        with pytest.raises(UsageError, match=r"training diverged in its first epoch.*\nlower learning_rate"):
            run.run()


@pytest.mark.parametrize(
    "wrong",
    [
        *({"hidden": ()}, {"hidden": (4, 0)}, {"batch": 0}, {"epochs": 0}, {"patience": -1}),
        *({"dropout": 1.0}, {"dropout": -0.1}, {"learning_rate": 0.0}, {"learning_rate": float("nan")}, {"seed": -1}),
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError):
        Settings(**wrong)


# --- from SQL to a bundle --------------------------------------------------------------------------------------------


def parameters(model):
    return (model.folder / "model-0000.params").read_bytes()


def test_three_classes_from_sql_to_both_engines(tmp_path):
    con = shop(2000)
    settings = Settings(hidden=(16, 8), batch=32, epochs=8, learning_rate=0.05, dropout=0.0)
    classes = ("buy", "look", "nothing")
    model = train("features", "labels_of_three", con=con, settings=settings, classes=classes, folder=tmp_path)
    assert (model.classes, model.categories, model.positive) == (classes, ("c0", "c1", "c2", "often"), 0)
    bought = np.array(con.execute("SELECT bought FROM customers ORDER BY id").fetchnumpy()["bought"].tolist())
    matrix = sparse.csr_matrix((np.ones(4000), bought.ravel(), np.arange(0, 4001, 2)), shape=(2000, model.width))
    compiled, reference = (model.predict(matrix, engine) for engine in ENGINES)
    np.testing.assert_allclose(compiled, reference, rtol=0, atol=1e-6)
    mine = bought[:, 0] % 3 == 1
    assert compiled[mine, 1].mean() == pytest.approx(0.75, abs=0.05)  # three of four buy, the fourth looks
    assert compiled[~mine, 1].mean() < 0.05


def test_the_card_says_what_was_trained(tmp_path):
    con = shop()
    con.execute("ALTER TABLE features ADD COLUMN split VARCHAR DEFAULT 'train'")
    con.execute("UPDATE features SET split = 'validation' WHERE id < 12")
    model = train(
        "features", "labels", con=con, settings=QUICK, outcome="bought soon", folder=tmp_path, min_positives=5
    )
    card = model.card
    assert card["outcome"] == "bought soon"
    assert card["training"]["settings"] == QUICK.as_dict()
    assert card["training"]["rows"] == 108
    assert [epoch["epoch"] for epoch in card["training"]["history"]] == [1, 2, 3, 4]
    assert card["layers"] == [model.width, 6, 8]
    assert card["versions"]["mxnet"] == "1.9.1"
    assert set(card["metrics"]) == {"validation"}
    bought = con.execute(
        "SELECT category, count(DISTINCT id) / 108 FROM labels WHERE id >= 12 GROUP BY category ORDER BY category"
    ).fetchall()
    assert list(zip(card["categories"], card["base_rates"], strict=True)) == bought


def test_the_metrics_and_the_baseline_are_those_of_the_windows(tmp_path):
    con = shop()
    con.execute("ALTER TABLE features ADD COLUMN split VARCHAR DEFAULT 'train'")
    con.execute("UPDATE features SET split = if(id < 20, 'validation', 'test') WHERE id < 35")
    model = train("features", "labels", con=con, settings=QUICK, folder=tmp_path, min_positives=5)
    bought = np.array(con.execute("SELECT bought FROM customers ORDER BY id").fetchnumpy()["bought"].tolist())
    matrix = sparse.csr_matrix((np.ones(240), bought.ravel(), np.arange(0, 241, 2)), shape=(120, model.width))
    for window, rows in (("validation", slice(0, 20)), ("test", slice(20, 35))):
        found = model.predict(matrix)[rows].mean(axis=0)
        np.testing.assert_allclose(model.card["metrics"][window]["mean_propensity"], found, atol=1e-6)
    assert model.card["training"]["rows"] == 85
    assert model.baseline.equals(baseline_of(model.predict(matrix)[:20]))


def test_progress_counts_every_row_of_every_epoch(tmp_path):
    seen = []
    train("features", "labels", con=shop(), settings=QUICK, folder=tmp_path, min_positives=5, report=seen.append)
    assert [progress.rows_done for progress in seen] == [0, 16, 32, 48, 64, 80, 96, 108] * 4 + [0]
    assert [progress.epoch for progress in seen[:-1]] == [epoch for epoch in (1, 2, 3, 4) for _ in range(8)]
    assert {(progress.epochs, progress.rows_in_epoch) for progress in seen} == {(4, 108)}
    assert [len(progress.history) for progress in seen[::8]] == [0, 1, 2, 3, 4]


def test_other_data_or_settings_start_afresh(tmp_path):
    def run(folder, con, **change):
        settings = Settings(**{**QUICK.as_dict(), "hidden": (6,), **change})
        return train("features", "labels", con=con, settings=settings, folder=tmp_path / folder, min_positives=5)

    first, changed = parameters(run("a", shop())), shop()
    assert parameters(run("a", shop())) == first
    changed.execute("UPDATE features SET features = [1, 2] WHERE id = 7")
    wider = shop()
    wider.execute("INSERT INTO features VALUES (1000, [500])")
    for number, (con, change) in enumerate(
        [(changed, {}), (wider, {}), (shop(), {"seed": 2}), (shop(), {"hidden": (5,)}), (shop(), {"epochs": 2})]
    ):
        model = run("a", con, **change)
        assert parameters(model) == parameters(run(f"fresh-{number}", con, **change)) != first
        assert model.card["training"]["history"][0]["epoch"] == 1


def test_a_wider_vocabulary_on_the_same_rows_starts_afresh(tmp_path):
    con = shop()
    for width in (40, 50):
        names = f"SELECT i AS \"column\", 'f' || i AS feature FROM range({width}) t(i)"
        options = {"con": con, "settings": QUICK, "folder": tmp_path, "vocabulary": names, "min_positives": 5}
        assert train("features", "labels", **options).width == width


def test_more_weights_than_mxnet_can_hold_are_refused_before_any_memory_is_taken(tmp_path):
    con = shop()
    features = "SELECT id, [2000000000] AS features FROM features"
    with pytest.raises(UsageError, match=r"2,000,000,001 features × 6 units are more than MXNet"):
        train(features, "labels", con=con, settings=QUICK, folder=tmp_path, min_positives=5)


def test_a_temporary_folder_goes_with_its_model(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    model = train("features", "labels", con=shop(), settings=QUICK, min_positives=5)
    assert [path.name for path in model.folder.parent.parent.iterdir()] == [model.folder.parent.name]
    del model
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_the_vocabulary_is_that_of_the_training_rows_and_the_card_says_what_it_lacks(tmp_path):
    con = shop()
    con.execute(
        "CREATE TABLE named AS SELECT id, list_transform(bought, lambda f: 'f' || f) AS features FROM customers"
    )
    con.execute("UPDATE named SET features = features || ['only ' || id]")
    options = {"con": con, "settings": QUICK, "min_positives": 5}
    model = train("named", "labels", folder=tmp_path / "a", **options)
    own = [name for name in model.vocabulary.names if name.startswith("only")]
    assert len(own) == model.card["training"]["rows"] == 108
    assert model.card["features"]["out_of_vocabulary"] == {"validation": pytest.approx(1 / 3)}
    split = (
        "SELECT *, CASE WHEN id < 20 THEN 'validation' WHEN id < 30 THEN 'test' ELSE 'train' END AS split FROM named"
    )
    model = train(split, "labels", folder=tmp_path / "b", **options)
    assert "only 29" not in model.vocabulary.names
    assert "only 30" in model.vocabulary.names
    shares = {"validation": pytest.approx(1 / 3), "test": pytest.approx(1 / 3)}
    assert model.card["features"]["out_of_vocabulary"] == shares
    assert train("features", "labels", folder=tmp_path / "c", **options).card["features"]["out_of_vocabulary"] == {
        "validation": 0
    }
