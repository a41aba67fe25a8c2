"""Zip and tar archives, read in place.

They have the files that unpacking them would give: a later member replaces an earlier one of the
same name, and `./`, `../` and a leading `/` are left out of names.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import pathlib
import posixpath
import shutil
import stat
import tarfile
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NamedTuple, cast

from keras_pixdt.data.images import ImageError

NO_FILE = "no_regular_file"
LINKED_AGAIN = "folder_linked_again"

_ENDINGS = (
    ".zip", ".tar", ".tar.gz", ".tgz", ".taz", ".tar.bz2", ".tbz2", ".tbz", ".tb2",
    ".tar.xz", ".txz", ".tar.zst", ".tzst", ".7z", ".rar",  # named if they cannot be read
)  # fmt: skip
_COMPRESSED: dict[bytes, Callable[[pathlib.Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}
_UNREAD = {
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "7z x"),
    b"Rar!": ("a rar archive", "unrar x"),
    b"\x28\xb5\x2f\xfd": ("compressed by zstd", "tar --zstd -xf"),
}
_METHODS = {
    0: "stored", 8: "deflate", 9: "deflate64", 12: "bzip2", 14: "lzma", 93: "zstd", 99: "AES"
}  # fmt: skip
_UTF8 = 0x800  # a zip's flag
_UNICODE_PATH = 0x7075  # a zip's extra field, by Info-ZIP
_DOS = 0  # where a zip was written, if its names cannot have a backslash
_MOST_LINKS = 40  # that follow one another, as in Linux


class Opened(NamedTuple):
    """An open archive; see `files.Files`."""

    names: list[str]
    read: Callable[[str], bytes]
    close: Callable[[], None]
    left_out: list[tuple[str, str]]  # reason and name of each


class _Link(NamedTuple):
    """A link; its target is a path in the archive."""

    target: str


def is_archive(name: str) -> bool:
    """Whether a file name has the ending of an archive."""
    return name.lower().endswith(_ENDINGS)


def open_archive(path: pathlib.Path) -> Opened:
    """Opens a zip or tar archive, whatever its name; a tar may be compressed.

    Raises:
        ValueError: it is no such archive, is not whole, or is one of several parts.
    """
    head = b""
    if path.is_file():
        with path.open("rb") as file:
            head = file.read(512)
    try:
        # A tar whose last member is a zip would also pass for a zip.
        if head[257:262] != b"ustar" and path.is_file() and zipfile.is_zipfile(path):
            return _open_zip(path)
        return _open_tar(path, head)
    except OSError:  # of the disk
        raise
    # Damaged archives raise errors of many kinds.
    except Exception as error:
        for magic, (what, command) in _UNREAD.items():
            if head.startswith(magic):
                raise ValueError(
                    f"{path} is {what}, which is not read. Unpack it ({command} {path.name}), and "
                    "pass the folder."
                ) from error
        raise ValueError(
            f"{path} is neither a folder nor a whole zip or tar archive: {error}. "
            "Copy or download it again. If it is one part of several (.z01, .001), join them first."
        ) from error


def _open_zip(path: pathlib.Path) -> Opened:
    archive = zipfile.ZipFile(path)
    infos = archive.infolist()
    if any(info.volume for info in infos):
        archive.close()
        raise zipfile.BadZipFile("its members are in other parts")
    members: dict[str, Any] = {}
    for info in infos:
        given = _zip_name(info)
        name = _clean(given)
        if given.endswith("/") or not name:
            continue
        members.pop(name, None)
        members[name] = info
        if stat.S_ISLNK(info.external_attr >> 16):
            try:
                members[name] = _symbolic(name, archive.read(info).decode())
            except Exception:
                continue  # not lost: reading it says what is wrong
    left_out = _follow(members)

    def read(name: str) -> bytes:
        info = _there(members, name)
        try:
            return archive.read(info)
        # Each compression raises errors of its own for a damaged member.
        except Exception as error:
            method = _METHODS.get(info.compress_type, f"method {info.compress_type}")
            raise ImageError(
                f"{name} cannot be unpacked ({method}): {error}. Pack it again with deflate, "
                "without a password."
            ) from error

    return Opened(list(members), read, archive.close, left_out)


def _zip_name(info: zipfile.ZipInfo) -> str:
    """The name that was meant, with `/` between folders."""
    name = info.orig_filename.partition("\0")[0]
    if not info.flag_bits & _UTF8 and not name.isascii():
        raw = name.encode("cp437")
        try:
            # Without the flag it is cp437 by the standard, but macOS writes UTF-8.
            name = (_unicode_path(info.extra, raw) or raw).decode()
        except UnicodeDecodeError:
            pass
    # Some tools of Windows write backslashes. Like unzip, see them as folders, also if the tool
    # does not say that it is one of Windows.
    return name.replace("\\", "/") if info.create_system == _DOS or "/" not in name else name


def _unicode_path(extra: bytes, raw: bytes) -> bytes | None:
    """The name in UTF-8 of Info-ZIP's extra field, if it is of this name."""
    while len(extra) >= 4:
        kind, size = (int.from_bytes(extra[at : at + 2], "little") for at in (0, 2))
        content, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == _UNICODE_PATH and content[1:5] == zlib.crc32(raw).to_bytes(4, "little"):
            return content[5:]
    return None


def _open_tar(path: pathlib.Path, head: bytes) -> Opened:
    """Reads a plain tar in place; unpacks a compressed one first, because it cannot seek."""
    members: dict[str, Any] = {}
    left_out: list[tuple[str, str]] = []
    stream = _unpacked(path, head)
    try:
        with tarfile.open(fileobj=stream, mode="r:") as archive:
            for member in archive:
                place: Any = member.offset_data, member.size
                if member.isfile() and member.sparse:
                    place = cast(BinaryIO, archive.extractfile(member)).read()  # holes filled
                _add(members, left_out, member, place)
            # tarfile takes a damaged header for the end.
            stream.seek(archive.offset)
            if stream.read(tarfile.BLOCKSIZE).strip(b"\0"):
                raise tarfile.ReadError(f"damaged after {archive.offset:,} bytes")
    except BaseException:
        stream.close()
        raise
    left_out += _follow(members)
    lock = threading.Lock()

    def read(name: str) -> bytes:
        place = _there(members, name)
        if isinstance(place, bytes):
            return place
        offset, size = place
        with lock:
            stream.seek(offset)
            return stream.read(size)

    return Opened(list(members), read, stream.close, left_out)


def _unpacked(path: pathlib.Path, head: bytes) -> BinaryIO:
    """An open tar, uncompressed."""
    opening = next((opens for magic, opens in _COMPRESSED.items() if head.startswith(magic)), None)
    if opening is None:
        return path.open("rb")
    stream = cast(BinaryIO, tempfile.TemporaryFile())
    try:
        with opening(path) as packed:
            shutil.copyfileobj(packed, stream)
        stream.seek(0)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        stream.close()
        if getattr(error, "errno", None) is not None:  # the disk, not the archive
            raise
        raise tarfile.ReadError(str(error)) from error
    return stream


def _add(
    members: dict[str, Any], left_out: list[tuple[str, str]], member: tarfile.TarInfo, place: Any
) -> None:
    """Adds a member of a tar; `place` is where its content is, if it has any."""
    name = _clean(member.name)
    if member.isdir() or not name:
        return
    members.pop(name, None)
    if member.isfile():
        members[name] = place
    elif member.islnk():
        # What has this name so far, even if it is replaced later.
        target = _clean(member.linkname)
        members[name] = members.get(target, _Link(target))
    elif member.issym():
        members[name] = _symbolic(name, member.linkname)
    else:
        left_out.append((NO_FILE, name))


def _clean(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", ".", ".."))


def _symbolic(name: str, target: str) -> _Link:
    target = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
    return _Link(target.lstrip("/"))  # tar leaves the / out of names, but not of links


def _follow(members: dict[str, Any]) -> list[tuple[str, str]]:
    """Replaces links to files by these; removes and returns links to folders, which are read."""
    links = {name: place for name, place in members.items() if isinstance(place, _Link)}
    folders = {"."}
    for name in members if links else ():
        while (name := posixpath.dirname(name)) not in folders and name:
            folders.add(name)
    left_out = []
    for name, place in links.items():
        for _ in range(_MOST_LINKS):
            if not isinstance(place, _Link) or place.target not in members:
                break
            place = members[place.target]
        if isinstance(place, _Link) and place.target in folders:
            del members[name]
            left_out.append((LINKED_AGAIN, name))
        elif not isinstance(place, _Link):
            members[name] = place
    return left_out


def _there(members: Mapping[str, Any], name: str) -> Any:
    place = members[name]
    if isinstance(place, _Link):
        raise ImageError(
            f"{name} is a link to {place.target}, which is not in the archive. Pack the archive "
            "again, with the files that its links name."
        )
    return place
