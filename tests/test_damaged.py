"""Damaged and hostile files: each one is refused by an error of ours, without a crash, a hang or much memory."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from damaged import PARAMETERS, good_bundle, of_bytes, of_cards, of_flips, of_kinds, of_params, of_parquet
from damaged_archives import of_archives, packed
from judge import SECONDS, USES

pytestmark = pytest.mark.filterwarnings("ignore:Duplicate name")
REFUSED = [*of_bytes(), *of_cards(), *of_kinds(), *of_params(), *of_parquet(), *of_archives()]
FLIPPED = list(of_flips())
MOST_GROWN = 256
"""MiB, for a card of 16 MiB; all others take a few."""
UNREADABLE = "not a readable (vocabulary|sample|baseline|MXNet graph)|no baseline of this model|columns are not 0 to"
REASONS = {
    "cut off": r"bytes, its card says|duckprop\.json cannot be read",
    "flipped bit": r"SHA-256 differs|duckprop\.json cannot be read",
    "too long": r"bytes, its card says|duckprop\.json cannot be read",
    "cut off, right hash": f"{UNREADABLE}|is damaged at byte",
    "bytes put in, right hash": f"{UNREADABLE}|is damaged at byte",
    "no card": r"duckprop\.json (cannot be read|has format)",
    "wrong card": r"lacks|cannot stand there|its card says|not distinct|make no model|the card says|SHA-256|names for",
    "hostile name on the card": "lists a file named",
    "wrong hash": "SHA-256 differs",
    "wrong size": "bytes, its card says",
    "no plain file": "not a plain file|is missing|there is no model",
    "wrong parameters": "is damaged at byte",
    "cut off parameters": "is damaged at byte",
    "wrong weights, right hash": ".",
    "wrong table, right hash": f"{UNREADABLE}|names for 40 columns",
    "hostile archive": "unpacked: (a member is named|two members|it has more|.* is not a plain file|.* one folder)",
    "cut off archive": "cannot be unpacked: .",
    "flipped bit in an archive": r"cannot be unpacked: .|SHA-256 differs|duckprop\.json cannot be read",
    "bomb": "cannot be unpacked: .|are free in",
}
"""What a case of a kind must be refused for."""


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Make the whole corpus, use each case in one process of its own, and return what came of each by its name."""
    folder = tmp_path_factory.mktemp("corpus")
    good = good_bundle(folder / "good")
    shutil.copytree(good, folder / "packed")
    (folder / "x.params").write_bytes(PARAMETERS["dense"])
    asked = [("bundle", good), ("params", folder / "x.params"), ("archive", packed("tgz", [])(folder / "packed"))]
    for number, case in enumerate([*REFUSED, *FLIPPED]):
        copy = Path(shutil.copytree(good, folder / str(number)))
        asked.append((case.use, case.make(copy) or copy))
    command = [sys.executable, str(Path(__file__).with_name("judge.py"))]
    text = json.dumps([(use, str(path)) for use, path in asked])
    (folder / "temporary").mkdir()
    environment = {**os.environ, "TMPDIR": str(folder / "temporary"), "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, input=text, capture_output=True, text=True, env=environment)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(asked), f"{asked[len(found)]} ended the process:\n{done.stderr[-3000:]}"
    assert list((folder / "temporary").iterdir()) == []
    shutil.rmtree(folder)
    return found[: len(USES)], dict(zip([*REFUSED, *FLIPPED], found[len(USES) :], strict=True))


def test_good_files_are_believed(judged):
    assert [one["error"] for one in judged[0]] == [None] * len(USES)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case.kind}: {case.name}")
def test_a_damaged_file_is_refused_with_what_to_do(judged, case):
    outcome = judged[1][case]
    assert outcome["ours"], outcome
    assert re.search(REASONS[case.kind], outcome["text"]), outcome
    assert outcome["seconds"] < SECONDS / 2, outcome


def test_a_flipped_bit_that_the_card_knows_is_refused_or_harmless(judged):
    outcomes = {case.name: judged[1][case] for case in FLIPPED}
    assert {name: outcome for name, outcome in outcomes.items() if outcome["error"] and not outcome["ours"]} == {}
    refused = Counter(case.name.split()[0] for case in FLIPPED if judged[1][case]["ours"])
    print(f"\n{len(FLIPPED)} flipped bits that the card knows, of which refused: {dict(refused)}")
    assert all(refused.values())
    assert max(outcome["seconds"] for outcome in outcomes.values()) < SECONDS / 2


def test_the_corpus_is_large_and_takes_little(judged):
    outcomes = judged[1]
    assert len(set(REFUSED)) == len(REFUSED) >= 300
    grown = {case: outcome["grown"] >> 20 for case, outcome in outcomes.items()}
    slow = {case: outcome["seconds"] for case, outcome in outcomes.items()}
    for kind, count in Counter(case.kind for case in REFUSED).items():
        print(f"{count:5} {kind}")
    most, longest = max(grown, key=grown.get), max(slow, key=slow.get)
    print(f"{len(REFUSED):5} refused; at most {grown[most]} MiB more memory ({most.kind}: {most.name})")
    print(f"      the longest took {slow[longest]:.2f} s ({longest.kind}: {longest.name})")
    assert grown[most] < MOST_GROWN
