"""The report: figures as given, everything escaped, nothing remote, written whole or not at all; and its plots."""

import base64
import os
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from duckprop.errors import DataError, UsageError
from duckprop.evaluation import plots, report, tables
from duckprop.evaluation.metrics import cumulative_gain, evaluate, reliability

EVIL = "<script>alert('x')</script> & $5"
PNG = b"\x89PNG\r\n\x1a\n"
HISTORY = [
    {"epoch": epoch, "train_log_loss": 0.3 / epoch, "validation_log_loss": loss, "seconds": 100}
    for epoch, loss in enumerate([0.31, 0.25, 0.27], 1)
]
CARD = {
    "outcome": "a purchase within 28 days",
    "layers": [118235, 256, 12],
    "features": {"width": 118235, "named": True},
    "base_rates": [0.123456] * 12,
    "versions": {"mxnet": "1.9.1", EVIL: None},
    "categories": [EVIL] * 12,
    "training": {"data_sha256": "abc123", "history": HISTORY},
}


@pytest.fixture(scope="module")
def given():
    random = np.random.default_rng(11)
    p = (random.random((300, 12)) ** 2).astype(np.float32)
    y = random.random(p.shape) < p
    y[:, 11] = False
    average = np.tile(y.mean(axis=0), (300, 1)).astype(np.float32)
    return {
        "title": f"Retail {EVIL}",
        "model_card": CARD,
        "evaluation": evaluate(y, p),
        "baselines": {f"popularity {EVIL}": evaluate(y, average)},
        "history": HISTORY,
        "categories": [EVIL, *(f"category {j}" for j in range(1, 12))],
        "outcomes": y,
        "propensities": p,
    }


@pytest.fixture(scope="module")
def page(given, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    assert report.write_report(path, **given) == path
    return path.read_text("utf-8")


def test_every_figure_stands_beside_its_baseline(page, given):
    (baseline,) = given["baselines"].values()
    for metric in tables.METRICS:
        row = re.search(rf"<td>{metric.label}<small>.*?</tr>", page).group()
        cells = re.findall(r"<td[^>]*>(?:<b>)?([^<]*)", row)[1:]
        values = [evaluation.overall[metric.key] for evaluation in (given["evaluation"], baseline)]
        assert cells == [tables.number(value, metric.digits) for value in values]
    assert "–" in re.search(r"Macro AUC, cross-sell.*?</tr>", page).group()  # no mask of new pairs: NULL, not 0


def test_the_better_figure_is_bold_in_either_direction(page, given):
    (baseline,) = given["baselines"].values()
    for key, label, better in (("macro_auc", "Macro AUC", max), ("log_loss", "Log loss", min)):
        best = better(given["evaluation"].overall[key], baseline.overall[key])
        bold = re.findall(r"<b>([^<]*)</b>", re.search(rf"<td>{label}<small>.*?</tr>", page).group())
        assert [float(cell) for cell in bold] == [pytest.approx(best, abs=1e-3)]


def test_purpose_support_and_facts_are_there(page):
    assert "probability of: a purchase within 28 days." in page
    assert "300 customers (rows)" in page
    assert "12 categories, 11 of them counted" in page
    assert "<td>layers</td><td>118,235, 256, 12</td>" in page
    assert "<td>features: named</td><td>yes</td>" in page
    assert "<td>training: data sha256</td><td>abc123</td>" in page
    assert "(12 in all)" in page
    assert "3 epochs (passes over the training data) in 300 seconds" in page
    assert "0.123456" not in page  # one number a category is not a fact for readers


def test_summary_says_what_the_figures_say(page, given):
    overall = given["evaluation"].overall
    assert f"above a non-buyer {100 * overall['macro_auc']:.1f} % of the time" in page
    assert f"hold {overall['lift_at_10pct']:.1f} times as many buyers" in page
    assert "best baseline, popularity" in page


def test_best_and_worst_share_no_category_and_leave_out_the_unsupported(page, given):
    best, worst = (
        re.findall(r"<tr><td>(.*?)</td>", part) for part in page.split("Ranked best")[1].split("Ranked worst")
    )
    names = [tables.text(name) for name in given["categories"]]
    best, worst = ([name for name in names if name in part] for part in (best, worst))
    assert sorted(best + worst) == sorted(names[:11])
    auc = dict(zip(names, given["evaluation"].per_category["auc"], strict=True))
    assert min(auc[name] for name in best) >= max(auc[name] for name in worst)


class Tags(HTMLParser):
    """Collects tags and attributes as a browser would, and checks that they nest."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in {"meta", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_nothing_given_becomes_markup_and_nothing_is_remote(page):
    found = Tags()
    found.feed(page)
    assert not found.open
    assert not {"script", "link", "iframe", "object", "svg"} & set(found.tags)
    assert page.count("&lt;script&gt;") >= 4  # title, baseline, category, card
    assert not re.search(r"https?:|//[a-z]|url\(|@import", re.sub(r"base64,[^\"]*", "", page))
    sources = [value for name, value in found.attributes if name in {"src", "href"}]
    assert len(sources) == 4
    assert all(base64.b64decode(source.removeprefix("data:image/png;base64,")).startswith(PNG) for source in sources)
    assert all(value for name, value in found.attributes if name == "alt")
    assert found.tags.count("img") == 4


def test_a_failed_write_leaves_the_old_report_and_no_draft(given, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(*_):
        assert path.read_text() == "old"
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        report.write_report(path, **given)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_a_model_without_history_baselines_or_support_still_has_a_report(tmp_path):
    y, p = np.zeros((4, 2), bool), np.full((4, 2), 0.25, np.float32)
    path = report.write_report(
        tmp_path / "empty.html",
        title="Empty",
        model_card={},
        evaluation=evaluate(y, p),
        baselines={},
        history=[],
        categories=["a", "b"],
        outcomes=y,
        propensities=p,
    )
    page = path.read_text("utf-8")
    assert "No training history came with this model" in page
    assert page.count("No further category has the support") == 2
    assert "Propensities miss the observed rate by 25.0 percentage points" in page
    assert "nan" not in re.sub(r"base64,[^\"]*", "", page).lower()


def test_wrong_input_is_named(given, tmp_path):
    for change, kind, message in (
        ({"gain_categories": ["categry 3"]}, UsageError, r"no category 'categry 3' \(did you mean 'category 3'\?\)"),
        ({"gain_categories": given["categories"][:7]}, UsageError, "7 gain categories"),
        ({"categories": ["a"]}, DataError, "1 category names for 12 evaluated categories"),
        ({"outcomes": given["outcomes"][:, :3]}, DataError, "for 12 categories"),
        ({"outcomes": given["outcomes"][:3]}, DataError, "outcomes: 3 × 12, propensities: 300 × 12"),
    ):
        with pytest.raises(kind, match=message):
            report.write_report(tmp_path / "x.html", **(given | change))
    with pytest.raises(UsageError, match="there is no folder"):
        report.write_report(tmp_path / "missing" / "x.html", **given)
    assert not list(tmp_path.iterdir())


def test_plots_say_how_to_install_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError) as caught:
        plots.auc_bars({"this model": 0.8}, "this model")
    assert caught.value.remedy == "pip install 'duckprop[report]'"


def test_plots_take_extremes():
    y, p = np.array([[True], [False]]), np.array([[1.0], [0.0]], np.float32)
    nothing = np.zeros((0, 1), np.float32)
    drawn = [
        plots.learning_curve([{"epoch": 1, "train_log_loss": None, "validation_log_loss": None}]),
        plots.learning_curve(HISTORY[:1]),
        plots.reliability_diagram(reliability(y, p), p),
        plots.reliability_diagram(reliability(nothing > 0, nothing), nothing),
        plots.gain_chart({"$x_{$": cumulative_gain(y[:, 0], p[:, 0])}),
        plots.gain_chart({}),
        plots.auc_bars({"$a": None, "b": 0.2, "c": 1.0}, "$a"),
    ]
    assert all(png.startswith(PNG) for png in drawn)
    with pytest.raises(UsageError, match="history is empty"):
        plots.learning_curve([])


def test_importing_the_report_loads_no_matplotlib(tmp_path):
    import subprocess

    code = "import sys, duckprop.evaluation.report; sys.exit('matplotlib' in sys.modules or 'mxnet' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
