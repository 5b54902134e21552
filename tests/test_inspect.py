"""The card of a model as ``duckprop inspect`` shows it: text, JSON, a page, pictures; whole, imported and damaged."""

import json
import re
import shutil
import sys
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree

import duckdb
import numpy as np
import pytest
from scipy import sparse

import duckprop
from duckprop import bundle
from duckprop.cli import main
from duckprop.dataset import Columns
from duckprop.inspection.describe import facts
from duckprop.inspection.drawing import as_svg, as_text, layout, stages
from duckprop.network import Layer, Network
from duckprop.registry import Registry
from duckprop.training import Settings

EVIL = "<b>bold</b> & [red]"


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


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return the folder of a trained bundle of six categories: one too rare to be judged, one named like markup."""
    con = duckdb.connect()
    con.execute(f"""
        CREATE TABLE features AS
        SELECT i % 200 AS id, DATE '2025-01-01' + (i // 200 * 30)::INTEGER AS as_of, [i % 9, 10 + i % 7] AS features,
               CASE WHEN i < 400 THEN 'train' WHEN i < 600 THEN 'validation' ELSE 'test' END AS split
        FROM range(800) t(i);
        CREATE TABLE labels AS
        SELECT id, as_of, 'c' || features[1] % 4 AS category FROM features
        UNION ALL SELECT id, as_of, '{EVIL}' FROM features WHERE features[2] > 13
        UNION ALL SELECT id, as_of, 'rare' FROM features WHERE id < if(split = 'train', 10, 3);
    """)
    model = duckprop.train(
        "features",
        "labels",
        con=con,
        columns=Columns(("id", "as_of")),
        settings=Settings(hidden=(16, 8), batch=32, epochs=3, dropout=0),
        min_positives=5,
        outcome="buys & keeps",
        folder=tmp_path_factory.mktemp("trained"),
    )
    return model.folder


@pytest.fixture
def shop(trained, tmp_path, monkeypatch):
    """Return a registry with the trained bundle as shop@1, the champion."""
    monkeypatch.setenv("DUCKPROP_HOME", str(tmp_path / "models"))
    Registry().publish(trained, "shop")
    Registry().promote("shop", "champion", 1)
    return tmp_path / "models"


@pytest.fixture
def imported(small_bundle, tmp_path):
    """Return a copy of the small bundle with a card as an import writes it, changed by keywords."""

    def write(**changes):
        folder = tmp_path / "imported"
        shutil.copytree(small_bundle, folder)
        card = json.loads((folder / bundle.CARD).read_text())
        for name in ("metrics", "created", "sha256", "files", "format"):
            card.pop(name, None)
        card |= {"imported": "2026-02-03T04:05:06+00:00", "base_rates": None} | changes
        (folder / bundle.CARD).unlink()
        bundle.write_card(folder, card)
        return folder

    return write


def test_the_card_in_the_terminal_says_what_is_known(cli, shop):
    code, out, err = cli("inspect", "shop@champion")
    assert (code, err) == (0, "")
    for text in (
        *("shop@1", "buys & keeps", "yes (the positive one), no", "champion", "trained by duckprop", EVIL),
        *("17 features", "16 hidden units", "8 hidden units", "6 categories", "each a softmax over 2 classes"),
        *("Macro AUC", "Brier score", "Calibration", "best by AUC", "worst by AUC", "1 have too few positive"),
        *("400 of 200 customers (as_of 2025-01-01 to 2025-01-31)", "200 (as_of 2025-04-01)", "hidden 16×8"),
        *("verification", "not recorded", "mxnet 1.9.1", "model-0000.params"),
    ):
        assert text in out, text
    parameters = 17 * 16 + 16 + 16 * 8 + 8 + 8 * 12 + 12
    assert re.search(rf"^parameters +{parameters}$", out, re.MULTILINE)
    assert len(re.findall(r" OK$", out, re.MULTILINE)) == 4
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal(cli, shop, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    _, out, _ = cli("inspect", "shop")
    assert max(map(len, out.splitlines())) <= columns
    assert ("mean propensity" in out) == (columns >= 100)


def test_json_holds_every_category_and_the_figures_of_sql(cli, shop):
    code, out, _ = cli("inspect", "shop", "--json")
    about = json.loads(out)
    assert code == 0
    assert (about["model"], about["aliases"], about["version"]) == ("shop@1", ["champion"], 1)
    assert (about["judged_on"], about["is_intact"]) == ("test", True)
    assert [layer["units"] for layer in about["network"]["layers"]] == [16, 8]
    assert about["network"]["layers"][0]["activations"] == [{"name": "relu", "units": 16}]
    assert about["network"]["row_norm"] == "l2"
    with duckprop.connect() as con:
        found = dict(
            con.execute("""SELECT category, value FROM propensity_quality('shop')
                           WHERE split = 'test' AND metric = 'auc' AND category IS NOT NULL""").fetchall()
        )
        macro = con.execute("""SELECT value, ci_low, ci_high FROM propensity_quality('shop')
                               WHERE split = 'test' AND metric = 'macro_auc'""").fetchone()
    assert {row["category"]: row["auc"] for row in about["by_category"]} == found
    assert tuple(about["metrics"]["test"]["macro_auc"].values()) == macro
    assert about["categories"]["too_small"] == 1
    assert len(about["categories"]["best"]) + len(about["categories"]["worst"]) == 5


class Page(HTMLParser):
    """What a page holds: its text, its tags, and what it would load."""

    def __init__(self, text):
        super().__init__()
        self.texts, self.tags, self.loads = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.loads += [value for name, value in attributes if name in ("src", "href", "data")]

    def handle_data(self, data):
        self.texts.append(data)


def test_the_page_stands_alone_and_shows_every_category(cli, shop, tmp_path):
    code, _, err = cli("inspect", "shop", "--html", tmp_path / "card.html")
    assert (code, err) == (0, f"card: {tmp_path / 'card.html'}\n")
    text = (tmp_path / "card.html").read_text("utf-8")
    page = Page(text)
    assert page.loads == []
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert page.tags.count("svg") == 3
    assert "url(" not in text
    assert text.count("<b>bold") == 0
    cells = [words for words in page.texts if words in {"c0", "c1", "c2", "c3", "rare", EVIL}]
    assert cells.count(EVIL) == 1
    assert cells[-1] == "rare"  # too few to be judged: at the end
    assert {"buys & keeps", "Macro AUC", "OK"} <= set(page.texts)
    for name, drawn in re.findall(r'<svg class="(\w+)".*?(</svg>)', text, re.DOTALL):
        assert (name, drawn) in {("net", "</svg>"), ("plot", "</svg>")}
    for drawn in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ElementTree.fromstring(drawn)


def test_pictures_are_an_svg_and_a_png(cli, shop, tmp_path):
    for name, start in (("net.svg", b"<svg"), ("net.PNG", b"\x89PNG")):
        code, _, err = cli("inspect", "shop", "--picture", tmp_path / name)
        assert (code, err) == (0, f"picture: {tmp_path / name}\n")
        assert (tmp_path / name).read_bytes().startswith(start)
    tree = ElementTree.parse(tmp_path / "net.svg")
    texts = [element.text for element in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0] == "17 features"
    assert "6 categories" in texts


def test_an_imported_model_says_what_it_lacks(cli, imported):
    source = {"format": "onnx", "framework": "pytorch 2.4", "file": "net.onnx", "sha256": "ab" * 32}
    verified = {"against": "onnxruntime", "rows": 1000, "max_abs_difference": 2.5e-7, "tolerance": 1e-6}
    folder = imported(source=source, verified=verified)
    code, out, _ = cli("inspect", folder, "--html", folder.parent / "card.html")
    assert code == 0
    words = re.sub(r"\s+", " ", out)
    for text in (
        *("imported from onnx, pytorch 2.4", "source file net.onnx", "imported 2026-02-03T04:05:06+00:00"),
        *("at most 2.5e-07 apart from onnxruntime on 1,000 rows, tolerance 1e-06", "base rates not recorded"),
        *("metrics not recorded", "calibration not recorded", "training not recorded", "predicts not recorded"),
        "40 features",
    ):
        assert text in words, text
    assert "holds no metrics" in (folder.parent / "card.html").read_text("utf-8")
    with duckprop.connect(model=str(folder)) as con:
        assert con.execute("FROM propensity_quality()").fetchall() == []
        told = con.execute("FROM propensity_model_info()").fetchall()
    assert ("verification", "rows", "1000") in told
    assert ("source", "format", "onnx") in told


def test_what_was_not_verified_or_not_folded_is_said(cli, imported):
    folder = imported(
        verified={"unverified": "mxnet is not installed"}, engine="mxnet", not_folded="operator 'Convolution'"
    )
    _, out, _ = cli("inspect", folder)
    words = re.sub(r"\s+", " ", out)
    assert "verification none: mxnet is not installed" in words
    assert "mxnet only: operator 'Convolution'" in words


def test_a_network_that_cannot_be_read_is_said_and_not_drawn(cli, imported):
    folder = imported(network={"layers": [40, 16, 10], "trainable": True})
    graph = json.loads((folder / "model-symbol.json").read_text())
    (folder / "model-symbol.json").write_text(json.dumps(graph).replace("Reshape", "Convolution"))
    card = json.loads((folder / bundle.CARD).read_text())
    bundle.write_card(folder, {name: value for name, value in card.items() if name not in ("files", "sha256")})
    code, out, _ = cli("inspect", folder)
    assert code == 0
    assert "not readable as layers" in out
    assert re.search(r"^layers \(recorded\) +40×16×10$", out, re.MULTILINE)
    assert "┌" not in out
    code, _, err = cli("inspect", folder, "--picture", folder.parent / "net.svg")
    assert code == 2
    assert err.splitlines()[0] == "error: the model's layers cannot be told, so they cannot be drawn"
    assert not (folder.parent / "net.svg").exists()


def test_a_damaged_file_is_named_and_the_command_fails(cli, imported):
    folder = imported()
    with (folder / "model-0000.params").open("r+b") as file:
        file.seek(500)
        file.write(b"\xff")
    code, out, err = cli("inspect", folder, "--html", folder.parent / "card.html")
    assert code == 1
    assert re.search(r"^ model-0000.params .* DAMAGED$", out, re.MULTILINE)
    assert len(re.findall(r" OK$", out, re.MULTILINE)) == 3
    assert "not read: a file is not the one that was published" in out
    assert f"error: {folder}/model-0000.params is not the file that was published" in err
    assert "do not use it" in (folder.parent / "card.html").read_text("utf-8")
    assert cli("inspect", folder, "--json")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["shp"], 3, "there is no model 'shp' (did you mean 'shop'?)"),
        (["shop@7"], 3, "there is no model 'shop@7'"),
        (["shop", "--picture", "net.gif"], 2, "net.gif is no picture that can be drawn"),
        (["shop", "--picture", "no/such/net.svg"], 2, "there is no folder for no/such/net.svg"),
        (["shop", "--html", "no/such/card.html"], 2, "there is no folder for no/such/card.html"),
    ],
)
def test_wrong_use_is_told_in_two_lines(cli, shop, arguments, code, text):
    ended, out, err = cli("inspect", *arguments)
    assert (ended, out) == (code, "")
    assert err.startswith(f"error: {text}")
    assert len(err.splitlines()) == 2


def test_a_folder_without_a_model_and_one_with_a_file_cut_short(cli, imported, tmp_path):
    assert cli("inspect", tmp_path)[0] == 3
    folder = imported()
    (folder / "model-0000.params").write_bytes(b"short")
    code, out, err = cli("inspect", folder)
    assert (code, out) == (3, "")
    assert "model-0000.params has 5 bytes" in err


# --- the picture -----------------------------------------------------------------------------------------------------


def network(**changes):
    random = np.random.default_rng(0)

    def array(*shape):
        return random.normal(size=shape).astype(np.float32)

    layers = {
        "first": Layer(array(500, 64), array(64), (("relu", 40), ("identity", 24))),
        "hidden": (Layer(array(64, 16), array(16), "tanh"),),
        "head_weight": array(16, 30, 2),
        "head_bias": array(30, 2),
    }
    return Network(**layers | changes)


def test_runs_of_activations_the_wide_path_and_a_link_are_drawn():
    wide = sparse.random(500, 60, 0.1, format="csr", dtype=np.float32, random_state=1)
    found = facts(network(wide=wide, link="normalized", row_epsilon=1.0, row_norm="l1"), 12.5)
    assert found["wide_weights"] == 3000
    assert found["parameters"] == 500 * 64 + 64 + 64 * 16 + 16 + 16 * 60 + 60 + 3000
    boxes = stages(found, "yes")
    text = as_text(boxes)
    for words in ("40 relu, 24 identity", "tanh", "wide path: 3,000 weights", "each a sigmoid, divided by their sum"):
        assert words in text
        assert words.partition(": ")[2] in as_svg(boxes)
    assert "about 12 of them a row, each row scaled to a sum of 1" in text
    # the path past the layers leaves the first box, enters that of the categories, and is nowhere broken
    column = {line[62] for line in text.splitlines()[2:16]}
    assert column == {"│"}
    assert len(text.splitlines()[0]) < 62
    assert [line for line in text.splitlines() if "◄" in line] == [
        line for line in text.splitlines() if "30 cat" in line
    ]


@pytest.mark.parametrize("changes", [{}, {"link": "softmax"}, {"hidden": (), "head_weight": np.ones((64, 30, 2), "f")}])
def test_the_picture_is_symmetric_and_boxes_do_not_overlap(changes):
    boxes = stages(facts(network(**changes)), "yes")
    placed, (width, height) = layout(boxes)
    for above, below in pairwise(placed):
        assert above.y + above.height < below.y
        assert above.x + above.width / 2 == pytest.approx(below.x + below.width / 2)
    assert max(box.x + box.width for box in placed) <= width
    assert placed[-1].y + placed[-1].height <= height


def test_larger_layers_have_wider_boxes():
    placed, _ = layout(stages(facts(network()), "yes"))
    widths = {box.stage.size: box.width for box in placed}
    assert widths[500] > widths[64] > widths[16]
