"""The file of a product index, and its rows in memory.

The file is a safetensors file, so that public tools read it: 8 bytes with the length of the header,
the header in JSON, then the tensors one after the other. Python maps it into memory, and a browser
reads it with a `DataView`, `JSON.parse` and typed arrays. All numbers are little-endian.

| tensor | | |
| --- | --- | --- |
| `id_offsets` | int64 (n + 1,) | id i is bytes `id_offsets[i]` to `id_offsets[i + 1]` of `ids` |
| `thumbnail_offsets` | int64 (n + 1,) | the same for `thumbnails` |
| `vectors` | float32 (n, dimensions) | of length 1, so that inner products are cosines |
| `digests` | uint8 (n, 32) | SHA-256 of each image: whether it has changed |
| `ids` | uint8 | UTF-8, without separators |
| `thumbnails` | uint8 | JPEG files, without separators |

`__metadata__` holds strings: `format` ("keras_pixdt.index"), `version` ("1"), `embedder` (see
`keras_pixdt.search.fingerprint`), `dimensions`, `image_size` and `thumbnail_size`; and `resize`
("stretch") if images were stretched to squares for the embedder instead of letterboxed. There are
no dates, so the same catalogue gives the same bytes.

The package safetensors does not write it, because it wants all tensors in memory at once and orders
`__metadata__` differently in each process.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from keras_pixdt.atomic import replacing
from keras_pixdt.choices import RESIZES

FORMAT = "keras_pixdt.index"
VERSION = "1"
DIGEST_BYTES = 32

_BLOCK = 4096  # rows written at once
_MAX_HEADER = 1 << 20
_DTYPES: dict[str, np.dtype] = {
    "I64": np.dtype("<i8"),
    "F32": np.dtype("<f4"),
    "U8": np.dtype("u1"),
}
_AGAIN = "Copy it again, or index the catalogue again."


@dataclasses.dataclass(frozen=True)
class Blobs:
    """Byte strings in one or more buffers, where they stay until they are written."""

    buffers: tuple[np.ndarray, ...]
    buffer: np.ndarray  # int64 (n,), which buffer each is in
    start: np.ndarray  # int64 (n,), where in it
    stop: np.ndarray  # int64 (n,)

    @staticmethod
    def of(strings: Sequence[bytes]) -> Blobs:
        """Strings in their own buffer."""
        offsets = np.cumsum([0, *map(len, strings)], dtype=np.int64)
        return Blobs.at(np.frombuffer(b"".join(strings), np.uint8), offsets)

    @staticmethod
    def at(buffer: np.ndarray, offsets: np.ndarray) -> Blobs:
        """Strings that lie in a buffer one after the other; `offsets` is int64 `(n + 1,)`."""
        first = np.broadcast_to(np.int64(0), len(offsets) - 1)
        return Blobs((buffer,), first, offsets[:-1], offsets[1:])

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, row: int) -> bytes:
        return self.buffers[self.buffer[row]][self.start[row] : self.stop[row]].tobytes()

    def take(self, rows: np.ndarray) -> Blobs:
        """The strings of some rows, int `(m,)`."""
        return Blobs(self.buffers, self.buffer[rows], self.start[rows], self.stop[rows])

    def followed_by(self, other: Blobs) -> Blobs:
        """These and then others."""
        return Blobs(
            self.buffers + other.buffers,
            np.concatenate([self.buffer, other.buffer + len(self.buffers)]),
            np.concatenate([self.start, other.start]),
            np.concatenate([self.stop, other.stop]),
        )

    def offsets(self) -> np.ndarray:
        """int64 `(n + 1,)`, where each string begins, and the last ends, once they are written."""
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(self.stop - self.start)])

    def blocks(self) -> Iterator[bytes]:
        """The strings one after the other, some at a time."""
        for start in range(0, len(self), _BLOCK):
            rows = range(start, min(start + _BLOCK, len(self)))
            yield b"".join(self[row] for row in rows)


@dataclasses.dataclass(frozen=True)
class Rows:
    """The products of an index, one a row."""

    vectors: np.ndarray  # float32 (n, d)
    digests: np.ndarray  # uint8 (n, 32)
    ids: Blobs
    thumbnails: Blobs

    def __len__(self) -> int:
        return len(self.vectors)

    def take(self, rows: np.ndarray) -> Rows:
        """Some rows, int `(m,)`."""
        return Rows(
            self.vectors[rows], self.digests[rows], self.ids.take(rows), self.thumbnails.take(rows)
        )

    def followed_by(self, other: Rows) -> Rows:
        """These and then others."""
        if not len(self):
            return other
        return Rows(
            np.concatenate([self.vectors, other.vectors]),
            np.concatenate([self.digests, other.digests]),
            self.ids.followed_by(other.ids),
            self.thumbnails.followed_by(other.thumbnails),
        )


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings that all rows of an index share."""

    embedder: str
    dimensions: int
    image_size: int
    thumbnail_size: int
    resize: str = "letterbox"


def no_rows(dimensions: int) -> Rows:
    """An index without products, for some to be added."""
    return Rows(
        np.empty((0, dimensions), np.float32),
        np.empty((0, DIGEST_BYTES), np.uint8),
        Blobs.of([]),
        Blobs.of([]),
    )


_Layout = dict[str, tuple[str, list[int]]]  # dtype and shape of each tensor, by name


def _layout(settings: Settings, count: int, id_bytes: int, thumbnail_bytes: int) -> _Layout:
    """Tensors in the order of the file, each aligned to its elements."""
    return {
        "id_offsets": ("I64", [count + 1]),
        "thumbnail_offsets": ("I64", [count + 1]),
        "vectors": ("F32", [count, settings.dimensions]),
        "digests": ("U8", [count, DIGEST_BYTES]),
        "ids": ("U8", [id_bytes]),
        "thumbnails": ("U8", [thumbnail_bytes]),
    }


def _header(settings: Settings, layout: _Layout) -> dict[str, Any]:
    metadata = {"format": FORMAT, "version": VERSION}
    metadata |= {name: str(value) for name, value in dataclasses.asdict(settings).items()}
    if settings.resize == "letterbox":
        del metadata["resize"]  # as in files that are older than this setting
    header: dict[str, Any] = {"__metadata__": metadata}
    start = 0
    for name, (dtype, shape) in layout.items():
        stop = start + _DTYPES[dtype].itemsize * int(np.prod(shape, dtype=object))
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}
        start = stop
    return header


def write(path: pathlib.Path, settings: Settings, rows: Rows) -> None:
    """Writes the file; a kill leaves the old one or the new one."""
    with replacing(path) as unfinished, unfinished.open("wb") as file:
        for block in _blocks(settings, rows):
            file.write(block)


def _blocks(settings: Settings, rows: Rows) -> Iterator[Any]:
    """The bytes of the file, some at a time."""
    id_offsets, thumbnail_offsets = rows.ids.offsets(), rows.thumbnails.offsets()
    layout = _layout(settings, len(rows), int(id_offsets[-1]), int(thumbnail_offsets[-1]))
    header = json.dumps(_header(settings, layout), separators=(",", ":")).encode()
    header += b" " * (-(len(header) + 8) % 64)
    yield len(header).to_bytes(8, "little") + header
    yield id_offsets.astype("<i8").tobytes()
    yield thumbnail_offsets.astype("<i8").tobytes()
    for array in (rows.vectors, rows.digests):
        for start in range(0, len(rows), _BLOCK):
            yield array[start : start + _BLOCK].tobytes()
    yield from rows.ids.blocks()
    yield from rows.thumbnails.blocks()


def read(path: pathlib.Path) -> tuple[Settings, Rows]:
    """Maps a file; the header is fully checked before it is used.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no product index, truncated, damaged, or of another version.
    """
    header, begin = _read_header(path)
    settings = _check_header(path, header)
    size, needed = path.stat().st_size, begin + header["thumbnails"]["data_offsets"][1]
    if size != needed:
        raise ValueError(
            f"{path} is {'truncated' if size < needed else 'damaged'}: it must have {needed:,} "
            f"bytes. Received: {size:,}. {_AGAIN}"
        )
    content = np.asarray(np.memmap(path, np.uint8, "r"))[begin:]

    def tensor(name: str) -> np.ndarray:
        start, stop = header[name]["data_offsets"]
        array = content[start:stop].view(_DTYPES[header[name]["dtype"]])
        return array.reshape(header[name]["shape"])

    def blobs(name: str, offsets: str) -> Blobs:
        places, buffer = tensor(offsets), tensor(name)
        if places[0] != 0 or places[-1] != len(buffer) or (places[1:] < places[:-1]).any():
            raise ValueError(
                f"{path} is damaged: `{offsets}` must rise from 0 to {len(buffer)}, the bytes of "
                f"`{name}`. {_AGAIN}"
            )
        return Blobs.at(buffer, places)

    ids, thumbnails = blobs("ids", "id_offsets"), blobs("thumbnails", "thumbnail_offsets")
    return settings, Rows(tensor("vectors"), tensor("digests"), ids, thumbnails)


def _read_header(path: pathlib.Path) -> tuple[dict[str, Any], int]:
    """The header of a product index, and where the tensors begin."""
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no product index at {path}. `pixdt index CATALOGUE --out {path}` makes one."
        )
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        text = file.read(min(length, _MAX_HEADER))
    if not text.startswith(b"{"):
        raise ValueError(
            f"{path} is no product index: it does not begin as a safetensors file does. Pass a "
            "file that `pixdt index` wrote."
        )
    if length > size - 8:
        raise ValueError(
            f"{path} is truncated, or damaged: its header is said to have {length:,} bytes, and "
            f"the file has {size:,}. {_AGAIN}"
        )
    try:
        header = json.loads(text)
        metadata = header["__metadata__"]
        form, version = metadata["format"], metadata["version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path} is no product index: its header does not say so, as format {FORMAT!r}. Pass a "
            "file that `pixdt index` wrote."
        ) from error
    if form != FORMAT:
        raise ValueError(
            f"{path} is no product index, which has the format {FORMAT!r}. Received: {form!r}"
        )
    if version != VERSION:
        raise ValueError(
            f"{path} must be of version {VERSION} of the format, which this keras_pixdt reads. "
            f"Received: {version!r}. Index the catalogue again, or install another keras_pixdt."
        )
    return header, 8 + length


def _check_header(path: pathlib.Path, header: dict[str, Any]) -> Settings:
    """The settings, once the header is the one that `write` gives a file of such tensors."""
    metadata = header["__metadata__"]
    try:
        sizes = [int(metadata[name]) for name in ("dimensions", "image_size", "thumbnail_size")]
        how = metadata.get("resize", "letterbox")
        settings = Settings(metadata["embedder"], sizes[0], sizes[1], sizes[2], how)
        count, ids, thumbnails = (header[n]["shape"][0] for n in ("vectors", "ids", "thumbnails"))
        whole = type(count) is int and min(count, *sizes) > 0 and how in RESIZES
        whole &= header == _header(settings, _layout(settings, count, ids, thumbnails))
    except (ValueError, KeyError, TypeError, IndexError, OverflowError):
        whole = False
    if not whole:
        names = _layout(Settings("", 1, 1, 1), 1, 1, 1)
        raise ValueError(
            f"{path} is damaged: its header does not have the tensors {', '.join(names)} "
            f"in shapes that fit together. {_AGAIN}"
        )
    return settings
