"""fastText models as networks: what fastText itself computes, without it; and files that are no models."""

import random
import struct
import tracemalloc
from pathlib import Path

import fasttext
import numpy as np
import pytest
from fasttext.FastText import _FastText
from network_reference import propensities
from scipy import sparse, special

from duckprop.compiled import CompiledScorer
from duckprop.errors import DataError, ModelError, UsageError
from duckprop.formats.fasttext import read
from duckprop.formats.forms import CannotFold
from duckprop.sparse import from_scipy

LABELS = 300
MEGABYTE = 1 << 20
HEAD = 8 + 12 * 4 + 8
"""Bytes before the dictionary: magic and version, twelve arguments, one more."""
QUANTISED = {"plain": None, "codes": {}, "codes, norms": {"qnorm": True}, "codes, outputs": {"qout": True}}
QUANTISED["codes, pruned"] = {"cutoff": 300, "qnorm": True, "qout": True}
TRAINED = {f"{loss}, {how}": (loss, how) for loss in ("softmax", "ova", "ns") for how in QUANTISED}


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """Lines of words that go together, Unicode among them, with one label or two."""
    chance, path = random.Random(5), tmp_path_factory.mktemp("text") / "train.txt"
    words = [f"wörd{at}" if at % 7 else f"😀{at}" for at in range(400)]
    with path.open("w") as file:
        for at in range(3000):
            label = at % LABELS
            labels = [f"__label__l{label}", f"__label__l{chance.randrange(LABELS)}"][: chance.randint(1, 2)]
            file.write(" ".join(labels + chance.choices(words[label : label + 100], k=chance.randint(1, 8))) + "\n")
    return path


@pytest.fixture(scope="module")
def trained(text, tmp_path_factory):
    """Return the file of a model, trained with these options when it is first asked for."""
    folder, known = tmp_path_factory.mktemp("models"), {}

    def file(loss="softmax", how="plain", **options):
        key = (loss, how, *sorted(options.items()))
        if key not in known:
            options = {"dim": 6, "epoch": 15, "lr": 0.5, "minCount": 1, "thread": 1, "verbose": 0, **options}
            model = fasttext.train_supervised(str(text), loss=loss, **options)
            if QUANTISED[how] is not None:
                model.quantize(str(text), dsub=4, **QUANTISED[how])
            known[key] = folder / f"{len(known)}.bin"
            model.save_model(str(known[key]))
        return known[key]

    return file


def counts(width, rows=1000):
    """Rows of few words, some of them often, the last ones of none."""
    found = sparse.random(rows, width, 0.02, "csr", np.float32, random_state=4)
    found.data = np.ceil(found.data * 4).astype(np.float32)
    return sparse.vstack([found[: rows - 5], sparse.csr_matrix((5, width), dtype=np.float32)], "csr")


def line(row, words):
    return " ".join(" ".join([words[at]] * int(value)) for at, value in zip(row.indices, row.data, strict=True))


def predicted(path, artefact, rows):
    """What fastText's own predict hands out for rows, in the artefact's order of labels."""
    model, found = _FastText(str(path)), np.full((rows.shape[0], artefact.network.heads), np.nan)
    for at, row in enumerate(rows):
        labels, probabilities = model.predict(line(row, artefact.features), k=-1)
        found[at, [artefact.categories.index(label.removeprefix("__label__")) for label in labels]] = probabilities
    return found


@pytest.mark.parametrize("name", TRAINED)
def test_every_model_gives_what_fasttext_gives(trained, name, record_import):
    artefact = read(trained(*TRAINED[name]))
    rows = counts(artefact.network.width)
    expected = artefact.reference(rows)
    assert np.abs(propensities(artefact.network, rows) - expected).max() <= 1e-6
    difference = np.abs(CompiledScorer(artefact.network, 0).score(from_scipy(rows)) - expected).max()
    record_import("fastText", artefact.framework, name, difference)
    assert np.ptp(expected, axis=0).max() > 0.02
    assert artefact.notes["quantised"] == ("codes" in name)


@pytest.mark.parametrize("how", QUANTISED)
def test_a_softmax_is_predict_less_what_it_adds(trained, how):
    path = trained("softmax", how)
    artefact = read(path)
    rows = counts(artefact.network.width, 60)
    np.testing.assert_allclose(artefact.reference(rows), predicted(path, artefact, rows) - 1e-5, atol=1e-12)
    assert artefact.network.link == "softmax"


def rounded(propensity):
    """A sigmoid as fastText looks it up: at the step below, of 512 between −8 and 8; with what predict adds."""
    logit = special.logit(propensity)
    step = np.floor((logit + 8) * 32) / 32 - 8
    return np.where(logit < -8, 0, np.where(logit > 8, 1, special.expit(step))) + 1e-5


@pytest.mark.parametrize("loss", ["ova", "ns"])
def test_sigmoids_are_those_that_predict_rounds(trained, loss):
    path = trained(loss)
    artefact = read(path)
    rows = counts(artefact.network.width, 60)
    expected, handed = artefact.reference(rows), predicted(path, artefact, rows)
    same = np.abs(rounded(expected) - handed) < 1e-6
    assert same.mean() > 0.999  # the others lie on a step
    assert np.abs(expected - handed).max() < 0.009
    assert artefact.network.link == "heads"


def test_words_are_features_and_labels_categories(trained):
    path = trained()
    model, artefact = _FastText(str(path)), read(path)
    assert artefact.features == tuple(word for word in model.words if word != "</s>")
    assert artefact.categories == tuple(label.removeprefix("__label__") for label in model.labels)
    assert len(artefact.categories) == LABELS
    assert artefact.notes["values"] == "counts"
    assert read(path, categories=artefact.categories).categories == artefact.categories


def test_other_names_for_the_labels_are_refused(trained):
    names = list(read(trained()).categories)
    with pytest.raises(UsageError, match=f"299 categories are named, the model has {LABELS}"):
        read(trained(), categories=names[1:])
    names[:2] = names[1::-1]
    with pytest.raises(UsageError, match=f"category 0 is '{names[0]}', the model names it '{names[1]}'\nleave"):
        read(trained(), categories=names)


@pytest.mark.parametrize(("option", "value"), [("positive_column", 0), ("output", "softmax")])
def test_what_the_file_says_is_not_asked_for(trained, option, value):
    with pytest.raises(UsageError, match=f"leave out --{option.replace('_', '-')}"):
        read(trained(), **{option: value})


def test_labels_of_another_prefix_keep_their_names(trained, tmp_path):
    path = tmp_path / "other.bin"
    path.write_bytes(trained().read_bytes().replace(b"__label__", b"_category"))
    assert all(name.startswith("_categoryl") for name in read(path).categories)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"loss": "hs"}, "'hs'.*\ntrain with -loss softmax or -loss ova"),
        ({"maxn": 3, "minn": 2, "bucket": 100}, "up to 3 letters.*\ntrain with -maxn 0"),
        ({"wordNgrams": 2, "bucket": 100}, "-wordNgrams 2.*\ntrain with -wordNgrams 1"),
    ],
)
def test_what_does_not_fold_is_refused_with_what_to_do(trained, options, match):
    with pytest.raises(CannotFold, match=match):
        read(trained(**options))


def test_a_model_without_labels_is_refused(text, tmp_path):
    model = fasttext.train_unsupervised(str(text), dim=3, epoch=1, minCount=1, maxn=0, bucket=0, thread=1, verbose=0)
    model.save_model(str(tmp_path / "m.bin"))
    with pytest.raises(ModelError, match="a skipgram model has vectors and no labels"):
        read(tmp_path / "m.bin")


def test_without_the_word_for_a_lines_end_nothing_is_added(text, tmp_path):
    """One line of many words: its end stands less often than the words that are kept."""
    path = tmp_path / "m.bin"
    one = tmp_path / "one.txt"
    one.write_text("__label__a __label__a __label__b __label__b " + "x y x y z z " * 20)
    fasttext.train_supervised(str(one), dim=4, epoch=50, minCount=2, thread=1, verbose=0, lr=1.0).save_model(str(path))
    assert "</s>" not in _FastText(str(path)).words
    artefact = read(path)
    rows = counts(3, 50)
    assert artefact.network.start is None
    assert np.abs(propensities(artefact.network, rows) - artefact.reference(rows)).max() <= 1e-6
    full = np.flatnonzero(np.diff(rows.indptr))
    np.testing.assert_allclose(artefact.reference(rows)[full], predicted(path, artefact, rows[full]) - 1e-5, atol=1e-12)


@pytest.mark.parametrize("value", [0.5, -1, np.nan, 1e9])
def test_fasttext_is_only_asked_about_counts(trained, value):
    artefact = read(trained())
    with pytest.raises(DataError, match="not counts of words"):
        artefact.reference(sparse.csr_matrix(([np.float32(value)], ([0], [1])), (1, artefact.network.width)))


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A small model's bytes."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "t.txt").write_text("__label__a x y\n__label__b y z z\n__label__c u v\n" * 5)
    model = fasttext.train_supervised(str(folder / "t.txt"), dim=3, epoch=2, minCount=1, thread=1, verbose=0)
    model.save_model(str(folder / "m.bin"))
    return (folder / "m.bin").read_bytes()


def refuses(folder, data, match=None):
    """Reading raises ModelError, and takes little memory on the way."""
    path = folder / "damaged.bin"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match=match):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < MEGABYTE
    finally:
        tracemalloc.stop()


def test_a_model_cut_off_anywhere_is_refused(tmp_path, good):
    for length in range(len(good)):
        refuses(tmp_path, good[:length])


def test_a_quantised_model_cut_off_is_refused(tmp_path, trained):
    data = trained("softmax", "codes, pruned").read_bytes()
    for length in range(0, len(data), 211):
        refuses(tmp_path, data[:length])


def test_a_model_with_something_behind_it_is_refused(tmp_path, good):
    refuses(tmp_path, good + b"x", "1 bytes too many")


def test_a_flipped_byte_gives_a_model_or_an_error_and_never_more(tmp_path, good):
    """What is flipped among the weights cannot be seen; it is only another weight."""
    path, refused = tmp_path / "m.bin", 0
    for at in range(len(good)):
        for flip in (0x01, 0x80, 0xFF):
            path.write_bytes(good[:at] + bytes([good[at] ^ flip]) + good[at + 1 :])
            tracemalloc.start()
            try:
                artefact = read(path)
                assert artefact.network.head_weight.shape[1:] == (3, 2)
            except ModelError:
                refused += 1
            finally:
                assert tracemalloc.get_traced_memory()[1] < MEGABYTE
                tracemalloc.stop()
    assert refused > 300


def places(data):
    """Where the counts stand: {name: (offset, layout)}."""
    at = data.index(b"\0__label__a\0") + 1 if b"\0__label__a\0" in data else 0
    assert at
    end = data.rindex(b"\0", 0, data.index(b"__label__c\0") + 11) + 10
    return {
        "magic": (0, "i"),
        "version": (4, "i"),
        "dim": (8, "i"),
        "loss": (8 + 6 * 4, "i"),
        "model": (8 + 7 * 4, "i"),
        "size": (HEAD, "i"),
        "words": (HEAD + 4, "i"),
        "labels": (HEAD + 8, "i"),
        "pruned": (HEAD + 20, "q"),
        "rows": (end + 1, "q"),
        "columns": (end + 9, "q"),
    }


NUMBERS = [-1, 0, 1, 5, 2**31 - 1, -(2**31), 2**40, 2**62, -(2**63), 2**63 - 1]


@pytest.mark.parametrize(
    "name", ["magic", "version", "dim", "loss", "model", "size", "words", "labels", "pruned", "rows", "columns"]
)
def test_wrong_counts_are_refused(tmp_path, good, name):
    at, layout = places(good)[name]
    (right,) = struct.unpack_from("<" + layout, good, at)
    wrong = {struct.unpack("<i", struct.pack("<q", number)[:4])[0] if layout == "i" else number for number in NUMBERS}
    for number in wrong - {right} - ({1, 2, 3, 4} if name == "loss" else set()):
        data = bytearray(good)
        struct.pack_into("<" + layout, data, at, number)
        refuses(tmp_path, bytes(data))


HOSTILE = {
    "twice in its dictionary": lambda data: data.replace(b"\0y\0", b"\0z\0", 1) if b"\0y\0" in data else data,
    "not UTF-8": lambda data: data.replace(b"__label__a\0", b"__label__\xff\0"),
    "has count": lambda data: data.replace(b"__label__a\0", b"__label__ \0"),
    "does not begin as fastText's models do": lambda data: b"PK\3\4" + data[4:],
    "no numbers|NaN": lambda data: data[:-4] + struct.pack("<f", np.nan),
}


@pytest.mark.parametrize("match", HOSTILE)
def test_hostile_words_and_weights_are_refused(tmp_path, good, match):
    data = HOSTILE[match](good)
    assert data != good
    refuses(tmp_path, data, match)


def test_a_quantised_matrix_out_of_proportion_is_refused(tmp_path, trained):
    """Few codes that stand for a matrix of terabytes."""
    data = bytearray(trained("softmax", "codes").read_bytes())
    at = data.rindex(b"__label__") + data[data.rindex(b"__label__") :].index(b"\0") + 10
    assert data[at] == 1
    rows, columns = struct.unpack_from("<2q", data, at + 2)
    assert (rows, columns) == (len(read(trained("softmax", "codes")).features) + 1, 6)
    struct.pack_into("<q", data, at + 2, 10**12)
    refuses(tmp_path, bytes(data), "out of all proportion")


def test_files_that_are_missing_are_refused(tmp_path):
    with pytest.raises(ModelError, match="No such file"):
        read(tmp_path / "missing.bin")
    with pytest.raises(ModelError, match="cannot be read"):
        read(Path(tmp_path))
