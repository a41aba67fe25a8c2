import io
import os
import shutil
import stat
import subprocess
import tarfile
import zipfile
import zlib

import pytest

from keras_pixdt.data import files
from keras_pixdt.data.archives import is_archive, open_archive
from keras_pixdt.data.images import ImageError


def contents(path):
    """Name -> bytes of an archive's files, and what is left out."""
    opened = open_archive(path)
    try:
        return {name: opened.read(name) for name in sorted(opened.names)}, opened.left_out
    finally:
        opened.close()


def write_zip(path, *members, **options):
    """Writes `(name, content)` with the attributes in `options`."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members:
            info = zipfile.ZipInfo()
            info.filename = name  # unlike as an argument, not changed
            for key, value in options.items():
                setattr(info, key, value)
            archive.writestr(info, content)
    return path


def member(name, content=b"", **options):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in options.items():
        setattr(info, key, value)
    return info, io.BytesIO(content)


def write_tar(path, *members, mode="w"):
    with tarfile.open(path, mode) as archive:
        for info, content in members:
            archive.addfile(info, content)
    return path


# Zip


@pytest.mark.parametrize("system", [0, 3])
def test_backslashes_separate_folders(tmp_path, system):
    """As .NET and PowerShell write them, and unzip reads them."""
    path = write_zip(
        tmp_path / "a.zip", ("x\\y\\a.jpg", b"a"), ("x\\empty\\", b""), create_system=system
    )
    assert contents(path) == ({"x/y/a.jpg": b"a"}, [])


def test_a_backslash_beside_slashes_is_part_of_a_name_where_it_can_be(tmp_path):
    names = ("x/a\\b.jpg", b"a")
    assert contents(write_zip(tmp_path / "unix.zip", names, create_system=3))[0] == dict([names])
    dos = contents(write_zip(tmp_path / "dos.zip", names, create_system=0))
    assert dos == ({"x/a/b.jpg": b"a"}, [])


@pytest.mark.parametrize("name", ["./x/a.jpg", "/x/a.jpg", "../x/a.jpg", "x//./a.jpg"])
def test_names_are_those_that_unpacking_gives(tmp_path, name):
    assert contents(write_zip(tmp_path / "a.zip", (name, b"a")))[0] == {"x/a.jpg": b"a"}
    assert contents(write_tar(tmp_path / "a.tar", member(name, b"a")))[0] == {"x/a.jpg": b"a"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_members_of_one_name_the_last_is_read(tmp_path):
    path = write_zip(tmp_path / "a.zip", ("a.jpg", b"old"), ("b.jpg", b"b"), ("./a.jpg", b"new"))
    assert contents(path) == ({"a.jpg": b"new", "b.jpg": b"b"}, [])
    path = write_tar(tmp_path / "a.tar", member("./a.jpg", b"old"), member("b.jpg", b"b"))
    write_tar(path, member("a.jpg", b"new"), mode="a")
    assert contents(path) == ({"a.jpg": b"new", "b.jpg": b"b"}, [])


def patched(path, old, new):
    path.write_bytes(path.read_bytes().replace(old, new))
    return path


def test_names_without_the_flag_of_utf8(tmp_path):
    """macOS writes UTF-8 without the flag; others write cp437, the standard."""
    utf8 = patched(write_zip(tmp_path / "a.zip", ("xx.jpg", b"a")), b"xx.jpg", "é.jpg".encode())
    assert list(contents(utf8)[0]) == ["é.jpg"]
    dos = patched(write_zip(tmp_path / "b.zip", ("x.jpg", b"a")), b"x.jpg", b"\x82.jpg")
    assert list(contents(dos)[0]) == ["é.jpg"]


@pytest.mark.parametrize(("of", "expected"), [(b"\x82.jpg", "日.jpg"), (b"other", "é.jpg")])
def test_info_zips_field_gives_the_name_in_unicode(tmp_path, of, expected):
    """If it is of this name, which a tool that knows no field may have changed."""
    field = b"\1" + zlib.crc32(of).to_bytes(4, "little") + "日.jpg".encode()
    extra = b"\x55\x54\1\0\0" + b"\x75\x70" + len(field).to_bytes(2, "little") + field
    path = write_zip(tmp_path / "a.zip", ("x.jpg", b"a"), extra=extra)
    assert list(contents(patched(path, b"x.jpg", b"\x82.jpg"))[0]) == [expected]


def test_links_in_zips_are_followed(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data/a.jpg", b"a")
        for name, target in (("x/b.jpg", "../data/a.jpg"), ("y", "data"), ("c.jpg", "gone.jpg")):
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, target)
    opened = open_archive(path)
    assert sorted(opened.names) == ["c.jpg", "data/a.jpg", "x/b.jpg"]
    assert opened.left_out == [(files.LINKED_AGAIN, "y")]
    assert opened.read("x/b.jpg") == b"a"
    with pytest.raises(ImageError, match="c.jpg is a link to gone.jpg, which is not in the arch"):
        opened.read("c.jpg")


def test_members_that_cannot_be_unpacked_are_named_with_the_reason(tmp_path):
    path = write_zip(tmp_path / "a.zip", ("a.jpg", b"a"), ("b.jpg", b"b"))
    content = bytearray(path.read_bytes())
    central = content.index(b"PK\1\2")
    for at, offset in ((0, 0), (central, 2)):
        content[at + 8 + offset : at + 10 + offset] = b"\x09\0"  # Deflate64
    second = content.index(b"PK\3\4", 4)
    central = content.index(b"PK\1\2", central + 4)
    for at, offset in ((second, 0), (central, 2)):
        content[at + 6 + offset] |= 1  # a password
    path.write_bytes(content)
    opened = open_archive(path)
    with pytest.raises(ImageError, match=r"a.jpg cannot be unpacked \(deflate64\).*deflate"):
        opened.read("a.jpg")
    with pytest.raises(ImageError, match="b.jpg cannot be unpacked.*encrypted.*password"):
        opened.read("b.jpg")
    assert files.decode(lambda: opened.read("a.jpg"), "a.jpg", "a.zip") is None


def test_damaged_lzma_is_an_unreadable_file(tmp_path):
    path = write_zip(tmp_path / "a.zip", ("a.jpg", bytes(1000)), compress_type=zipfile.ZIP_LZMA)
    content = bytearray(path.read_bytes())
    at = content.index(b"a.jpg") + 20
    content[at : at + 8] = b"\xff" * 8
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"a.jpg cannot be unpacked \(lzma\)"):
        open_archive(path).read("a.jpg")


# Tar


def test_links_in_tars_are_followed(tmp_path):
    """A hard link is what it named when it was packed."""
    path = write_tar(
        tmp_path / "a.tar",
        member("./data/a.jpg", b"a"),
        member("x/hard.jpg", type=tarfile.LNKTYPE, linkname="./data/a.jpg"),
        member("x/soft.jpg", type=tarfile.SYMTYPE, linkname="../data/a.jpg"),
        member("x/twice.jpg", type=tarfile.SYMTYPE, linkname="soft.jpg"),
        member("x/far.jpg", type=tarfile.SYMTYPE, linkname="/data/a.jpg"),
        member("again", type=tarfile.SYMTYPE, linkname="data"),
        member("itself.jpg", type=tarfile.SYMTYPE, linkname="itself.jpg"),
        member("pipe.jpg", type=tarfile.FIFOTYPE),
        member("data/a.jpg", b"new"),
    )
    opened = open_archive(path)
    read = {name: opened.read(name) for name in opened.names if name != "itself.jpg"}
    assert read == {
        "data/a.jpg": b"new", "x/hard.jpg": b"a",
        "x/soft.jpg": b"new", "x/twice.jpg": b"new", "x/far.jpg": b"new",
    }  # fmt: skip
    assert opened.left_out == [(files.NO_FILE, "pipe.jpg"), (files.LINKED_AGAIN, "again")]
    with pytest.raises(ImageError, match="itself.jpg is a link to itself.jpg"):
        opened.read("itself.jpg")


@pytest.mark.skipif(shutil.which("tar") is None, reason="needs GNU tar")
@pytest.mark.parametrize("form", ["gnu", "posix"])
def test_holes_of_files_are_filled(tmp_path, form):
    with open(tmp_path / "a.jpg", "wb") as file:
        file.write(b"begin")
        file.seek(1_000_000)
        file.write(b"end")
    command = ["tar", "--sparse", f"--format={form}", "-cf", "a.tar", "a.jpg"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert os.path.getsize(tmp_path / "a.tar") < 900_000  # it did leave out the hole
    expected = (tmp_path / "a.jpg").read_bytes()
    assert contents(tmp_path / "a.tar")[0] == {"a.jpg": expected}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_long_names_and_names_without_an_ending(tmp_path, mode):
    name = "x/" * 150 + "é.jpg"
    path = write_tar(tmp_path / "archive", member(name, b"a"), mode=mode)
    assert contents(path) == ({name: b"a"}, [])


def test_a_tar_that_ends_in_a_zip_is_a_tar(tmp_path):
    inner = write_zip(tmp_path / "inner.zip", ("b.jpg", b"b")).read_bytes()
    path = write_tar(tmp_path / "a.tar", member("a.jpg", b"a"), member("inner.zip", inner))
    assert list(contents(path)[0]) == ["a.jpg", "inner.zip"]


# What is no whole archive


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"7z\xbc\xaf\x27\x1c" + bytes(600), r"is a 7z archive, which is not read.*7z x a\.x"),
        (b"Rar!\x1a\x07\x01\0" + bytes(600), "is a rar archive, which is not read"),
        (b"\x28\xb5\x2f\xfd" + bytes(600), "is compressed by zstd, which is not.*tar --zstd"),
        (b"", "neither a folder nor a whole zip or tar archive"),
        (b"no archive", "neither a folder nor a whole zip or tar archive.*again"),
    ],
)
def test_what_is_not_read_is_named(tmp_path, content, message):
    (tmp_path / "a.x").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        open_archive(tmp_path / "a.x")


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_tar_that_is_cut_off_is_refused(tmp_path, mode, share):
    noise = os.urandom(20_000)
    path = write_tar(tmp_path / "a", member("a.jpg", noise), member("b.jpg", noise), mode=mode)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match="a is neither a folder nor a whole.*one part of several"):
        open_archive(path)


def test_a_tar_with_a_damaged_header_is_refused(tmp_path):
    """Instead of ending there without a word."""
    members = [member(f"{name}.jpg", bytes(600)) for name in "abc"]
    path = write_tar(tmp_path / "a.tar", *members)
    content = bytearray(path.read_bytes())
    content[3 * 512 + 1] ^= 1  # the header of b.jpg
    path.write_bytes(content)
    with pytest.raises(ValueError, match="damaged after 1,536 bytes"):
        open_archive(path)


def test_a_zip_that_is_cut_off_or_a_part_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", ("a.jpg", bytes(5000)))
    content = path.read_bytes()
    path.write_bytes(content[:-30])
    with pytest.raises(ValueError, match="neither a folder nor a whole.*one part of several"):
        open_archive(path)
    part = bytearray(content)
    part[part.index(b"PK\1\2") + 34] = 1  # it lies in another part
    path.write_bytes(part)
    with pytest.raises(ValueError, match="its members are in other parts.*join them first"):
        open_archive(path)


@pytest.mark.parametrize("name", ["a.zip", "A.TAR", "a.tgz", "a.taz", "a.tbz", "a.tb2", "a.tar.xz"])
def test_archives_are_known_by_the_endings_that_tar_knows(name):
    assert is_archive(name) and not is_archive(f"{name}.jpg")


def test_archives_with_nothing_in_them_have_no_files(tmp_path):
    assert contents(write_zip(tmp_path / "a.zip")) == ({}, [])
    assert contents(write_tar(tmp_path / "a.tar")) == ({}, [])
