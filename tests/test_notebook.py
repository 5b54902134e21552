"""The notebook runs from top to bottom, finds what was planted in its data, and is committed with what it shows."""

import base64
import io
import json
import re
import runpy
from pathlib import Path

import nbformat
import numpy as np
import pytest
from matplotlib import image

from duckprop.registry import Registry

ROOT = Path(__file__).parents[1]
BLUE = np.array([0x00, 0x72, 0xB2]) / 255
QUESTIONS = {
    "table": "SELECT count(*), count(DISTINCT id), count(DISTINCT category), min(propensity) FROM propensities",
    "likeliest": "SELECT id FROM propensities WHERE category = 'tea' ORDER BY propensity DESC, id LIMIT 400",
    "audience": "SELECT id FROM audience ORDER BY propensity DESC, id",
    "held_out": "SELECT count(*) FROM audience WHERE is_holdout AND propensity_holdout(id, 0.5, 'tea')",
    "let_in": "SELECT count(*) FROM audience WHERE NOT is_holdout AND NOT propensity_holdout(id, 0.5, 'tea')",
    "lift": "SELECT lift FROM propensity_lift('propensities', 'bought') WHERE category = 'tea' ORDER BY decile",
    "said": "SELECT avg(propensity) FROM propensities WHERE category = 'tea'",
    "happened": "SELECT count(*) / 4000 FROM bought WHERE category = 'tea'",
}
ASK = f"""
import json
print(json.dumps({{name: con.sql(query).fetchall() for name, query in {QUESTIONS!r}.items()}}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("notebook")


@pytest.fixture(scope="module")
def ran(folder):
    """The notebook after a run in a folder of its own, with one cell more, which asks the questions."""
    return runpy.run_path(str(ROOT / "docs" / "build_notebook.py"))["execute"](folder, ASK)


@pytest.fixture(scope="module")
def found(ran):
    return json.loads(ran.cells[-1].outputs[0].text)


@pytest.fixture(scope="module")
def committed():
    return nbformat.read(ROOT / "examples" / "campaign.ipynb", as_version=4)


def outputs(notebook):
    """Return all outputs but the answer to the questions, in order."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source != ASK]
    return [output for cell in cells for output in cell.outputs]


def kind(output):
    return output.output_type, "image/png" in output.get("data", {})


def words(data):
    """Return what a table says, in each of its types, whatever the layout is."""
    return {name: re.findall(r"[\w.:+-]+", re.sub(r"<[^>]*>", " ", text)) for name, text in data.items()}


def plots(notebook):
    """Return the plots as arrays (height, width, 4), each colour in [0, 1]."""
    coded = [output.data["image/png"] for output in outputs(notebook) if "image/png" in output.get("data", {})]
    return [image.imread(io.BytesIO(base64.b64decode(text))) for text in coded]


def test_everybody_has_a_propensity_for_everything(found):
    rows, customers, categories, lowest = found["table"][0]
    assert (rows, customers, categories) == (64000, 4000, 16)
    assert 0 <= lowest < 0.01


def test_the_audience_are_the_likeliest_and_half_of_them_are_held_out(found):
    assert len(found["audience"]) == 400
    assert found["audience"] == found["likeliest"]
    (held_out,), (let_in,) = found["held_out"][0], found["let_in"][0]
    assert held_out + let_in == 400
    assert 160 <= held_out <= 240


def test_the_likeliest_fifth_holds_most_of_the_buyers(found):
    lifts = [lift for (lift,) in found["lift"]]
    assert len(lifts) == 10
    assert sum(lifts[:2]) > 6  # of the 10 that all deciles add up to: 60 % of the buyers
    assert max(lifts[4:]) < 0.7


def test_as_many_buy_as_the_propensities_say(found):
    assert found["said"][0][0] == pytest.approx(found["happened"][0][0], rel=0.15)


def test_the_model_is_kept_where_the_notebook_says_and_nowhere_else(ran, folder):
    assert [version.reference for version in Registry(folder / "registry").versions()] == ["shop@1"]
    assert not (folder / "home").exists()


def test_both_plots_show_something(ran, committed):
    for notebook in (ran, committed):
        assert len(plots(notebook)) == 2
        for plot in plots(notebook):
            blue = (np.abs(plot[:, :, :3] - BLUE) < 0.01).all(axis=2)
            assert blue.sum() > 500
            assert np.ptp(np.nonzero(blue)[1]) > plot.shape[1] / 2  # from left to right, not in one corner


def test_it_says_nothing_on_standard_error(ran):
    assert [output for output in outputs(ran) if output.get("name") == "stderr"] == []


def test_it_is_committed_as_it_ran_and_not_where(ran, committed):
    assert [cell.execution_count for cell in committed.cells if cell.cell_type == "code"] == list(range(1, 11))
    assert [kind(output) for output in outputs(ran)] == [kind(output) for output in outputs(committed)], "run make docs"
    for now, then in zip(outputs(ran)[:2], outputs(committed)[:2], strict=True):  # the later ones come from training
        assert words(now.data) == words(then.data), "run make docs"
    text = (ROOT / "examples" / "campaign.ipynb").read_text()
    assert set(committed.metadata) == {"kernelspec"}
    written = re.sub(r'"image/png": "[^"]*"', "", text)
    assert [word for word in ("/home/", "/root", "/tmp", "/Users/", "iopub") if word in written] == []
    assert len(text) < 150_000
    assert len(committed.cells) <= 20
