"""A model in one file: it comes out as it went in, and no archive writes anywhere but into a folder of its own."""

import gzip
import io
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest
from test_bundle import use

import duckprop
from duckprop.archive import pack, unpacked
from duckprop.bundle import CARD
from duckprop.errors import DataError, ModelError, UsageError

MEGABYTE = 1 << 20


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """Unpack into a folder that must be empty again in the end."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def make_zip(path, members, **options):
    """Write members (name or ZipInfo, bytes) as they are."""
    with zipfile.ZipFile(path, "w", **options) as target:
        for name, data in members:
            target.writestr(name, data)
    return path


def make_tar(path, members, mode="w"):
    """Write members (name or TarInfo, bytes) as they are."""
    with tarfile.open(path, mode) as target:
        for member, data in members:
            info = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member)
            info.size = info.size or len(data)
            target.addfile(info, io.BytesIO(data))
    return path


def link(name, to, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return info


def moded(name, mode):
    info = zipfile.ZipInfo(name)
    info.external_attr, info.create_system = mode << 16, 3
    return info


def refused(path, match):
    with pytest.raises(ModelError, match=match) as caught, unpacked(path):
        pass
    assert str(path) in caught.value.fact
    assert caught.value.remedy


# --- what is right ---------------------------------------------------------------------------------------------------


def test_a_packed_bundle_comes_out_as_it_went_in(write_bundle, tmp_path):
    folder = write_bundle()
    before = contents(folder)
    (folder / "stray").write_text("x")
    pack(folder, tmp_path / "model.zip")
    with unpacked(tmp_path / "model.zip") as found:
        assert contents(found) == before
        use(found)
    assert not found.exists()


def test_the_same_bundle_makes_the_same_bytes(small_bundle, tmp_path):
    (tmp_path / "copy").mkdir()
    for name, data in sorted(contents(small_bundle).items(), reverse=True):
        (tmp_path / "copy" / name).write_bytes(data)
        os.utime(tmp_path / "copy" / name, (1, 1))
        (tmp_path / "copy" / name).chmod(0o600)
    pack(small_bundle, tmp_path / "a.zip")
    pack(tmp_path / "copy", tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        assert {member.date_time for member in packed.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_other_tools_read_what_is_packed(small_bundle, tmp_path):
    pack(small_bundle, tmp_path / "model.zip")
    subprocess.run([sys.executable, "-m", "zipfile", "-e", "model.zip", "out"], cwd=tmp_path, check=True)
    assert contents(tmp_path / "out") == contents(small_bundle)


def test_packing_replaces_whole_or_not_at_all(write_bundle, tmp_path):
    folder, target = write_bundle(), tmp_path / "model.zip"
    target.write_text("old")
    path = folder / "model-0000.params"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match="not the file that was published"):
        pack(folder, target)
    assert target.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == [folder.name, "model.zip", "temporary"]


def test_where_packing_goes_is_checked(small_bundle, tmp_path):
    with pytest.raises(UsageError, match=r"is not named \.zip"):
        pack(small_bundle, tmp_path / "model.tar")
    with pytest.raises(UsageError, match="does not exist"):
        pack(small_bundle, tmp_path / "nowhere" / "model.zip")
    with pytest.raises(ModelError, match="holds no model"):
        pack(tmp_path, tmp_path / "model.zip")


@pytest.mark.parametrize("top", ["", "model/", "./", "./model/"])
@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz", "tgz", "ZIP"])
def test_an_archive_of_other_tools_with_or_without_a_folder(small_bundle, tmp_path, top, ending):
    if ending.lower() == "zip" and top.startswith("."):
        top = top.removeprefix("./")
    path = tmp_path / f"x.{ending}"
    folders = [top] if top else []
    if ending.lower() == "zip":
        members = [*((name, b"") for name in folders), *((top + n, d) for n, d in contents(small_bundle).items())]
        make_zip(path, members, compression=zipfile.ZIP_DEFLATED)
    else:
        members = [(link(name, "", tarfile.DIRTYPE), b"") for name in folders]
        members += [(top + name, data) for name, data in contents(small_bundle).items()]
        make_tar(path, members, "w" if ending == "tar" else "w:gz")
    with unpacked(path) as folder:
        assert contents(folder) == contents(small_bundle)
        assert duckprop.load(folder).width == 40


def test_everything_is_removed_when_the_block_fails(tmp_path, temporary):
    path = make_zip(tmp_path / "x.zip", [("a", b"1")])
    with pytest.raises(NotADirectoryError), unpacked(path) as folder:
        contents(folder / "a")
    assert list(temporary.iterdir()) == []


# --- what is wrong ---------------------------------------------------------------------------------------------------

NAMES = ["/etc/x", "../x", "a/../../x", "a/../x", "..", "a\\b", "\\\\server\\x", "C:x", "C:/x", "a\nb", "a\x1bb"]
NAMES += [".x", "a/.x", "NUL", "con.params", "x.", "x ", "a//b", "x" * 201, "a:b", "./../x", "././x", "~/../x"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, make, name):
    path = make(tmp_path / f"x.{make.__name__[5:]}", [("good", b"1"), (name, b"2")])
    refused(path, "cannot be unpacked: (a member is named|'.*' does not lie in one folder)")
    assert not (tmp_path / "x").exists()


def test_a_name_with_a_nul_in_it_is_refused(tmp_path):
    path = make_zip(tmp_path / "x.zip", [("goodZname", b"1")])
    path.write_bytes(path.read_bytes().replace(b"goodZname", b"good\0name"))
    refused(path, "a member is named 'good.x00name'")


PLACES = {
    "two levels": [("a/b/x", b"1")],
    "two folders": [("a/x", b"1"), ("b/y", b"2")],
    "one beside the folder": [("a/x", b"1"), ("y", b"2")],
    "twice": [("x", b"1"), ("x", b"2")],
    "other case": [("Model", b"1"), ("mODEL", b"2")],
    "composed and not": [("\u00e9", b"1"), ("e\u0301", b"2")],
    "nothing": [],
    "too many": [(f"x{number}", b"") for number in range(1001)],
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("members", PLACES.values(), ids=PLACES.keys())
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_files_that_do_not_lie_side_by_side_are_refused(tmp_path, make, members):
    path = make(tmp_path / f"x.{make.__name__[5:]}", members)
    refused(path, "one folder|two members are named|no files|more than 1000 members")


@pytest.mark.parametrize("mode", [0o120777, 0o020666, 0o060666, 0o010666, 0o140666, 0o040755])
def test_a_zip_member_that_is_no_plain_file_is_refused(tmp_path, mode):
    refused(make_zip(tmp_path / "x.zip", [(moded("x", mode), b"/etc/passwd")]), "'x' is not a plain file")


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE]
)
def test_a_tar_member_that_is_no_plain_file_is_refused(tmp_path, kind):
    refused(make_tar(tmp_path / "x.tar", [(link("x", "/etc/passwd", kind), b"")]), "'x' is not a plain file")


def test_a_rare_compression_or_a_password_is_refused(tmp_path):
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        refused(make_zip(tmp_path / "x.zip", [("x", b"1" * 99)], compression=method), "compressed in a rare way")
    path = make_zip(tmp_path / "x.zip", [("x", b"1" * 99)])
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    refused(path, "encrypted")


@pytest.mark.parametrize("ending", ["zip", "tgz"])
def test_a_bomb_is_refused_before_it_goes_off(tmp_path, ending):
    zeros = bytes(65 * MEGABYTE)
    if ending == "zip":
        path = make_zip(tmp_path / "x.zip", [("x", zeros)], compression=zipfile.ZIP_DEFLATED)
    else:
        path = make_tar(tmp_path / "x.tgz", [("x", zeros)], "w:gz")
    refused(path, "68157440 bytes are out of all proportion")


def test_bytes_that_come_out_are_counted(tmp_path):
    path = make_zip(tmp_path / "x.zip", [("x", b"1234" * 1000)], compression=zipfile.ZIP_DEFLATED)
    data = path.read_bytes()
    for size in (3999, 4001, 1):
        path.write_bytes(data.replace(struct.pack("<I", 4000), struct.pack("<I", size)))
        refused(path, "should have|CRC")


def test_a_disk_too_small_is_told_before_anything_is_written(tmp_path):
    info, path = tarfile.TarInfo("x"), tmp_path / "x.tar"
    info.size = shutil.disk_usage(tmp_path).total
    with path.open("wb") as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.truncate(info.size + 10240)  # a file with a hole takes no space
    match = rf"x\.tar unpacks to {info.size} bytes, \d+ are free.*\nfree some space"
    with pytest.raises(DataError, match=match), unpacked(path):
        pass


def test_a_disk_that_fills_up_leaves_nothing_behind(small_bundle, tmp_path):
    code = """if True:
        import resource, sys
        from pathlib import Path
        from duckprop.archive import pack, unpacked
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
        for do in (lambda: pack(Path(sys.argv[1]), Path("y.zip")), lambda: unpacked(Path("x.zip")).__enter__()):
            try:
                do()
            except Exception as error:
                print(type(error).__name__, error)
    """
    pack(small_bundle, tmp_path / "x.zip")
    before = sorted(path.name for path in tmp_path.iterdir())
    environment = {**os.environ, "TMPDIR": str(tmp_path / "temporary"), "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", code, str(small_bundle)]
    told = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    assert told.startswith("DataError y.zip cannot be written: File too large\ncheck the folder")
    assert f"DataError x.zip does not fit into {tmp_path / 'temporary'}\nfree some space" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("ending", ["zip", "tar", "tgz"])
def test_an_archive_cut_off_or_with_something_behind_it_is_refused(small_bundle, tmp_path, ending):
    path = tmp_path / f"x.{ending}"
    members = list(contents(small_bundle).items())
    make_zip(path, members) if ending == "zip" else make_tar(path, members, "w" if ending == "tar" else "w:gz")
    data = path.read_bytes()
    body = data.rstrip(b"\0") if ending == "tar" else data
    for length in range(0, len(body), len(body) // 9):
        path.write_bytes(data[:length])
        refused(path, "cannot be unpacked: .")
    if ending != "zip":  # a comment may stand behind a zip
        path.write_bytes(data + b"x" * 10240)
        refused(path, "cannot be unpacked: .")


def test_a_header_that_is_too_long_is_refused(tmp_path):
    long = link("x", "", tarfile.GNUTYPE_LONGNAME)
    refused(make_tar(tmp_path / "x.tar", [(long, b"n" * (2 * MEGABYTE))]), "too long")
    refused(make_tar(tmp_path / "x.tgz", [(long, b"n" * (2 * MEGABYTE))], "w:gz"), "too long")
    path = make_zip(tmp_path / "x.zip", [(f"{number:0100}", b"") for number in range(8000)])
    refused(path, "too long")


def test_what_is_no_archive_is_refused(tmp_path):
    for name in ("x.zip", "x.tar", "x.tgz"):
        refused(tmp_path / name, "No such file")
        (tmp_path / name).write_bytes(b"no archive")
        refused(tmp_path / name, "cannot be unpacked: .")
    (tmp_path / "x.tgz").write_bytes(gzip.compress(b"no archive"))
    refused(tmp_path / "x.tgz", "cannot be unpacked: .")
    (tmp_path / "x.zip").unlink()
    os.mkfifo(tmp_path / "x.zip")
    refused(tmp_path / "x.zip", "not a plain file")
    with pytest.raises(UsageError, match="is not named as an archive"), unpacked(Path("x.rar")):
        pass


def test_a_card_is_packed_with_its_digest(small_bundle, tmp_path):
    pack(small_bundle, tmp_path / "x.zip")
    with zipfile.ZipFile(tmp_path / "x.zip") as packed:
        assert packed.namelist()[0] == CARD
        assert packed.read(CARD) == (small_bundle / CARD).read_bytes()
