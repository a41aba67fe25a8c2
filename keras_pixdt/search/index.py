"""A product index: vectors, ids and thumbnails of a catalogue in one file, searched by image.

Searching needs NumPy only, and changing an index also Pillow; Keras comes with the embedder that
the user passes.
"""

from __future__ import annotations

import functools
import hashlib
import io
import itertools
import json
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

import numpy as np
from absl import logging
from PIL import Image

from keras_pixdt.data.files import (
    HIDDEN,
    IMAGE_SUFFIXES,
    NO_IMAGE,
    UNREADABLE,
    Skipped,
    decode,
    is_hidden,
    open_files,
)
from keras_pixdt.data.images import RESIZES, letterbox, resize, to_float
from keras_pixdt.search import index_file
from keras_pixdt.search.index_file import Blobs, Rows, Settings, no_rows

if TYPE_CHECKING:
    import keras

# Results are shown at about 96 px on a phone. As JPEG of this quality they are 2.2 KB (PNG: 8 to
# 13 KB), so that a browser downloads 10,000 products in 25 MB, a tenth of it vectors.
THUMBNAIL_SIZE_PX = 96
_THUMBNAIL_QUALITY = 80
_NOT_UTF8 = "name_not_in_utf8"

_UNIT = 1e-3  # how far from 1 the length of a unit vector may be
_BATCH = 32  # images embedded at once
_CHUNK = 8 * _BATCH  # images held at once
_BLOCK = 4096  # rows compared at once
_MAX_SIMILARITIES = 1 << 24  # held at once: 64 MiB
# OpenBLAS gives a product of a matrix and a vector of more elements to threads that spin while they
# wait: on a machine that does something else as well it then takes 25 times as long. Two threads of
# our own save a sixth for a million vectors, and there take five times as long for 100,000.
_MAX_ELEMENTS = 1 << 18

# A class's module is part of the fingerprints in index files, which must stay when it moves.
_MOVED = {"keras_pixdt.judges.embedder": "keras_pixdt.search.embedder"}
# Keys of Keras' configurations under which names of layers stand.
_HOLD_NAMES = ("name", "keras_history", "input_layers", "output_layers")

Queries: TypeAlias = "np.ndarray | Sequence[float] | Sequence[Sequence[float]]"


class Changes(NamedTuple):
    """What an update did: how many products were added, changed, removed, and left as they were."""

    added: int
    changed: int
    removed: int
    unchanged: int


def fingerprint(embedder: keras.Model) -> str:
    """SHA-256 of what an embedder computes: its layers and its weights.

    Names do not count, as Keras numbers them through within a process, nor does how a model is
    compiled. Saving and loading leaves the fingerprint as it is.

    Args:
        embedder: a built Keras model.

    Returns:
        64 hexadecimal digits.
    """
    import keras

    config = _canonical(keras.saving.serialize_keras_object(embedder), {})
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for weights in embedder.get_weights():
        digest.update(f"{weights.dtype} {weights.shape} ".encode())
        digest.update(weights.tobytes())
    return digest.hexdigest()


def _canonical(config: Any, names: dict[str, str], renamed: bool = False) -> Any:
    """A configuration whose layers are numbered, without what says how a model came to be.

    Args:
        config: what Keras saves, or a part of it.
        names: name of a layer -> its number; those that are found are added.
        renamed: whether strings in this part are names of layers.
    """
    if isinstance(config, dict):
        return {
            key: value if key == "dtype" else _canonical(value, names, key in _HOLD_NAMES)
            for key, value in sorted(config.items())
            if key not in ("build_config", "compile_config")
        }  # a policy under "dtype" has a name as well, which counts
    if isinstance(config, (list, tuple)):
        return [_canonical(value, names, renamed) for value in config]
    if renamed and isinstance(config, str):
        return names.setdefault(config, f"#{len(names)}")
    return _MOVED.get(config, config) if isinstance(config, str) else config


def embed(embedder: keras.Model, images: np.ndarray) -> np.ndarray:
    """Embeds images, and checks what comes out.

    Args:
        embedder: a Keras model from float images `(batch, height, width, 3)` in [-1, 1] to unit
            vectors `(batch, d)`, such as `ProductEmbedder`.
        images: uint8 `(n, height, width, 3)`.

    Returns:
        float32 `(n, d)`, of length 1.

    Raises:
        ValueError: what comes out is not that.
    """
    vectors = np.concatenate(
        [
            np.asarray(embedder.predict_on_batch(to_float(images[start : start + _BATCH])))
            for start in range(0, len(images), _BATCH)
        ]
    ).astype(np.float32)
    if vectors.ndim != 2 or len(vectors) != len(images):
        raise ValueError(
            f"An embedder must give one vector for each image, ({len(images)}, d). "
            f"Received from {embedder.name}: {vectors.shape}"
        )
    _check_unit(vectors, f"the vectors that {embedder.name} gives")
    return vectors


def _check_unit(vectors: np.ndarray, name: str) -> None:
    length = np.linalg.norm(vectors, axis=1)
    if len(bad := np.flatnonzero(~np.isfinite(length))):
        raise ValueError(
            f"Vectors must be finite, and {len(bad)} of {len(vectors)} of {name} are not (the "
            f"first is row {bad[0]}). Look for NaN in the weights, or in the images."
        )
    if len(bad := np.flatnonzero(np.abs(length - 1) > _UNIT)):
        raise ValueError(
            f"Vectors must be of length 1, and {len(bad)} of {len(vectors)} of {name} are not (row "
            f"{bad[0]}: {length[bad[0]]:.4g}). End the embedder with "
            "keras.layers.UnitNormalization(), or divide by the length."
        )


# Products on their way into an index


class _Unchanged(Exception):
    """Raised by what loads a product whose image is the one that is indexed."""


class _Product(NamedTuple):
    id: str
    # From the digest that is indexed, if any, to the image and its digest; None if unreadable.
    load: Callable[[bytes | None], tuple[np.ndarray, bytes] | None]


class _Prepared(NamedTuple):
    image: np.ndarray  # uint8 (image_size, image_size, 3)
    thumbnail: bytes
    digest: bytes


def _given(images: Iterable[np.ndarray], ids: Iterable[str]) -> Iterator[_Product]:
    """Products whose images are arrays."""
    end = object()
    for row, (image, product) in enumerate(itertools.zip_longest(images, ids, fillvalue=end)):
        if image is end or product is end:
            raise ValueError(
                "`images` and `ids` must be equally many. Received: "
                f"{row} {'images' if image is end else 'ids'}, and more of the others"
            )
        if not isinstance(product, str) or not product:
            raise ValueError(
                "`ids` must be strings that are not empty, such as map(str, numbers). "
                f"Received: {product!r}"
            )
        try:
            product.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"`ids` must be text of Unicode. Received: {product!a}") from error
        yield _Product(product, functools.partial(_load_array, np.asarray(image)))


def _load_array(image: np.ndarray, known: bytes | None) -> tuple[np.ndarray, bytes]:
    digest = hashlib.sha256(f"{image.dtype} {image.shape} ".encode() + image.tobytes()).digest()
    if digest == known:
        raise _Unchanged
    return image, digest


def _load_file(
    read: Callable[[str], bytes], name: str, folder: str, known: bytes | None
) -> tuple[np.ndarray, bytes] | None:
    digest = b""

    def read_changed() -> bytes:
        nonlocal digest
        content = read(name)
        digest = hashlib.sha256(content).digest()
        if digest == known:
            raise _Unchanged
        return content

    decoded = decode(read_changed, name, folder)
    return None if decoded is None else (decoded[0], digest)


def _thumbnail(image: np.ndarray, size: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(letterbox(image, size)).save(
        file, "JPEG", quality=_THUMBNAIL_QUALITY, optimize=True
    )
    return file.getvalue()


def _chunks(products: Iterable[_Product]) -> Iterator[list[_Product]]:
    iterator = iter(products)
    while chunk := list(itertools.islice(iterator, _CHUNK)):
        yield chunk


class ProductIndex:
    """Vectors, ids and thumbnails of the products of a catalogue.

    Made by `build`, `from_folder` or `open`. What changes it (`add`, `remove`, `update`,
    `update_from_folder`) does so in memory, or not at all if it fails; `save` writes it.

    Example:
        >>> index = ProductIndex.from_folder("catalogue/", embedder)
        >>> index.save("catalogue.index")
        >>> index = ProductIndex.open("catalogue.index", embedder)
        >>> photo = resize(read_image("photo.jpg"), index.image_size, index.resize)
        >>> query = embed(embedder, photo[None])
        >>> ids, scores = index.search(query[0], k=10)

        The products of a split, and the same after it has changed:

        >>> pairs = load_pairs("tfds:lookbook/rendered64")["train"]
        >>> index = ProductIndex.build(pairs.targets, map(str, pairs.product_id), embedder)
        >>> index.update(pairs.targets, map(str, pairs.product_id), embedder)
        Changes(added=0, changed=0, removed=0, unchanged=1440)

    Attributes:
        skipped: the files that the last reading of a folder left out.
    """

    def __init__(self, settings: Settings, rows: Rows, name: str = "this index"):
        self._settings = settings
        self._rows = rows
        self._name = name
        self._row_of: dict[str, int] | None = None
        self.skipped = Skipped()

    # Making and opening

    @classmethod
    def build(
        cls,
        images: Iterable[np.ndarray],
        ids: Iterable[str],
        embedder: keras.Model,
        *,
        image_size: int | None = None,
        resize: str | None = None,
    ) -> ProductIndex:
        """Embeds the products of a catalogue.

        Args:
            images: uint8 `(height, width, 3)` each, of any sizes, or an array `(n, height, width,
                3)`; of an iterator only some hundred are held at once.
            ids: as many different strings.
            embedder: a Keras model from float images `(batch, height, width, 3)` in [-1, 1] to unit
                vectors `(batch, d)`.
            image_size: side in pixels of the images that the embedder gets; by default its
                attribute `image_size`, or the size of its input.
            resize: how images are made square for it, "letterbox" or "stretch"; by default its
                attribute `resize`, or "letterbox".

        Raises:
            ValueError: there are no products, an id occurs twice, images and ids are not equally
                many, an image is not uint8 RGB, or the embedder gives no unit vectors.
        """
        index = cls.empty(embedder, image_size, resize)
        index._update(_given(images, ids), embedder)
        return index

    @classmethod
    def from_folder(
        cls,
        folder: str | os.PathLike[str],
        embedder: keras.Model,
        *,
        image_size: int | None = None,
        resize: str | None = None,
    ) -> ProductIndex:
        """Embeds the product photos of a folder with its subfolders, or of an archive.

        The id of a product is the path of its file within the folder, such as `shirts/blue.jpg`.
        Of an animation the first frame is taken. Files that cannot be read, or are so large that
        decoding them could exhaust the memory, are left out, logged by name and counted in
        `skipped`.

        Args:
            folder: a folder, or a zip or tar archive.
            embedder: see `build`.
            image_size: see `build`.
            resize: see `build`.

        Raises:
            FileNotFoundError: there is nothing at `folder`.
            ValueError: no image in it can be read, or the embedder gives no unit vectors.
        """
        index = cls.empty(embedder, image_size, resize)
        index.update_from_folder(folder, embedder)
        return index

    @classmethod
    def empty(
        cls, embedder: keras.Model, image_size: int | None = None, resize: str | None = None
    ) -> ProductIndex:
        """An index without products, for `update`; it cannot be searched before.

        Args:
            embedder: see `build`.
            image_size: see `build`.
            resize: see `build`.
        """
        how = resize if resize is not None else getattr(embedder, "resize", RESIZES[0])
        if how not in RESIZES:
            raise ValueError(f"`resize` must be one of {', '.join(RESIZES)}. Received: {how!r}")
        size = image_size if image_size is not None else _image_size(embedder)
        probe = embed(embedder, np.zeros((1, size, size, 3), np.uint8))
        dimensions = probe.shape[1]
        settings = Settings(fingerprint(embedder), dimensions, size, THUMBNAIL_SIZE_PX, how)
        return cls(settings, no_rows(dimensions))

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], embedder: keras.Model | str | None = None
    ) -> ProductIndex:
        """Maps an index into memory. Nothing is read yet but the header and where things lie.

        Args:
            path: a file that `save` wrote.
            embedder: what queries will be embedded with, or its `fingerprint`, to check that it is
                what the products were embedded with; None checks nothing.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is no product index, truncated, damaged, of another version, or of
                another embedder.
        """
        index = cls(*index_file.read(pathlib.Path(path)), name=os.fspath(path))
        if embedder is not None:
            index.check_embedder(embedder)
        return index

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the index. A kill leaves the old file or the new one.

        Args:
            path: the file, in a folder that exists.
        """
        index_file.write(pathlib.Path(path), self._settings, self._rows)

    # What is in it

    def __len__(self) -> int:
        """The number of products."""
        return len(self._rows)

    @property
    def embedder(self) -> str:
        """The `fingerprint` of what the products were embedded with."""
        return self._settings.embedder

    @property
    def dimensions(self) -> int:
        """Length of the vectors."""
        return self._settings.dimensions

    @property
    def image_size(self) -> int:
        """Side in pixels of the images that the embedder gets."""
        return self._settings.image_size

    @property
    def resize(self) -> str:
        """How images are made square for the embedder, "letterbox" or "stretch"."""
        return self._settings.resize

    @property
    def thumbnail_size(self) -> int:
        """Side of the thumbnails in pixels."""
        return self._settings.thumbnail_size

    @property
    def vectors(self) -> np.ndarray:
        """float32 `(n, dimensions)`, of length 1; read only where it is mapped from a file."""
        return self._rows.vectors

    @property
    def ids(self) -> list[str]:
        """All ids, in the order of the rows; made anew, which takes a second for a million."""
        return [self._rows.ids[row].decode() for row in range(len(self))]

    def id(self, row: int) -> str:
        """The id of the product of a row."""
        return self._rows.ids[row].decode()

    def row(self, product: str) -> int:
        """The row of the product of an id.

        Raises:
            ValueError: there is none.
        """
        self._check_known([product])
        return self._known()[product]

    def thumbnail(self, row: int) -> bytes:
        """The thumbnail of the product of a row, a JPEG file, letterboxed on white."""
        return self._rows.thumbnails[row]

    def check_embedder(self, embedder: keras.Model | str) -> None:
        """Checks that queries and products are embedded alike.

        Args:
            embedder: a model, or its `fingerprint`.

        Raises:
            ValueError: it is another one.
        """
        given = embedder if isinstance(embedder, str) else fingerprint(embedder)
        if given != self.embedder:
            raise ValueError(
                f"{self._name} was made with another embedder: its products are embedded by "
                f"{self.embedder[:12]}. Received: {given[:12]}. Pass the embedder that it was made "
                "with, or index the catalogue anew with this one."
            )

    def _known(self) -> dict[str, int]:
        """Id -> row."""
        if self._row_of is None:
            self._row_of = {product: row for row, product in enumerate(self.ids)}
        return self._row_of

    def _check_known(self, ids: Sequence[str]) -> None:
        known = self._known()
        if missing := [product for product in ids if product not in known]:
            raise ValueError(
                f"{self._name} has no products {', '.join(map(repr, missing[:5]))}"
                f"{', ...' if missing[5:] else ''} ({len(missing)} of {len(ids)} are not among its "
                f"{len(self)}). `ids` lists those that it has."
            )

    def _set_rows(self, rows: Rows) -> None:
        self._rows, self._row_of = rows, None

    # Changing it

    def add(self, images: Iterable[np.ndarray], ids: Iterable[str], embedder: keras.Model) -> None:
        """Embeds more products, and puts them at the end.

        Args:
            images: see `build`.
            ids: see `build`; none that the index has already.
            embedder: what the index was made with.

        Raises:
            ValueError: see `build`, an id is in the index, or the embedder is another one.
        """
        self.check_embedder(embedder)
        more = ProductIndex(self._settings, no_rows(self.dimensions), self._name)
        known = self._known()

        def new() -> Iterator[_Product]:
            for product in _given(images, ids):
                if product.id in known:
                    raise ValueError(
                        f"{self._name} has a product {product.id!r} already. Remove it first, or "
                        "call `update` with the whole catalogue."
                    )
                yield product

        more._update(new(), embedder)
        self._set_rows(self._rows.followed_by(more._rows))

    def remove(self, ids: Iterable[str]) -> None:
        """Takes products out; the others keep their order.

        Args:
            ids: of products that are in the index.

        Raises:
            ValueError: one is not in the index, or none would be left.
        """
        ids = list(ids)
        self._check_known(ids)
        keep = np.ones(len(self), bool)
        keep[[self._known()[product] for product in ids]] = False
        if not keep.any():
            raise ValueError(
                f"An index must have a product, and `remove` was to take all {len(self)} out of "
                f"{self._name}. Delete the file instead."
            )
        self._set_rows(self._rows.take(np.flatnonzero(keep)))

    def update(
        self, images: Iterable[np.ndarray], ids: Iterable[str], embedder: keras.Model
    ) -> Changes:
        """Makes the index that of a catalogue as it is now, in its order.

        Only images that are new or have changed are embedded.

        Args:
            images: see `build`, the whole catalogue.
            ids: see `build`.
            embedder: what the index was made with.

        Raises:
            ValueError: see `build`, or the embedder is another one.
        """
        self.check_embedder(embedder)
        return self._update(_given(images, ids), embedder)

    def update_from_folder(self, folder: str | os.PathLike[str], embedder: keras.Model) -> Changes:
        """Makes the index that of a folder as it is now; what is not in the folder is removed.

        Every file is read, but only images that are new or have changed are decoded and embedded.

        Args:
            folder: see `from_folder`.
            embedder: what the index was made with.

        Raises:
            FileNotFoundError: there is nothing at `folder`.
            ValueError: no image in it can be read, or the embedder is another one.
        """
        self.check_embedder(embedder)
        name = os.fspath(folder)
        self.skipped = Skipped()
        fix = "Pass a folder or an archive of product photos."
        with open_files(pathlib.Path(name), _is_image, "images", fix) as files:
            listed = []
            for file in files.names:
                if is_hidden(file):
                    self.skipped.add(HIDDEN, file)
                elif not _is_image(file):
                    self.skipped.add(NO_IMAGE, file)
                elif file != file.encode(errors="replace").decode():
                    self.skipped.add(_NOT_UTF8, ascii(file))
                else:
                    listed.append(
                        _Product(file, functools.partial(_load_file, files.read, file, name))
                    )
            changes = self._update(listed, embedder, f"{name}, of {len(files.names)} file(s)")
        if self.skipped.counts:
            logging.warning("%s: left out %s", name, self.skipped)
        return changes

    def _update(
        self, products: Iterable[_Product], embedder: keras.Model, source: str = "`images`"
    ) -> Changes:
        """Makes `products` the rows, in their order."""
        known = self._known()
        count = len(self)
        order: list[int] = []
        seen: set[str] = set()
        ids: list[str] = []
        thumbnails, digests, vectors = [], [], []

        def prepare(product: _Product) -> _Prepared | None:
            row = known.get(product.id)
            loaded = product.load(None if row is None else self._rows.digests[row].tobytes())
            if loaded is None:
                return None
            image, digest = loaded
            thumbnail = _thumbnail(image, self.thumbnail_size)
            square = resize(image, self.image_size, self.resize)
            return _Prepared(square, thumbnail, digest)

        with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for chunk in _chunks(products):
                images = []
                for product, result in [(p, pool.submit(prepare, p)) for p in chunk]:
                    if product.id in seen:
                        raise ValueError(
                            f"`ids` must be different from one another. Received twice: "
                            f"{product.id!r}"
                        )
                    seen.add(product.id)
                    try:
                        prepared = result.result()
                    except _Unchanged:
                        order.append(known[product.id])
                        continue
                    if prepared is None:
                        self.skipped.add(UNREADABLE, product.id)
                        continue
                    order.append(count + len(ids))
                    ids.append(product.id)
                    thumbnails.append(prepared.thumbnail)
                    digests.append(prepared.digest)
                    images.append(prepared.image)
                if images:
                    vectors.append(embed(embedder, np.stack(images)))
        if not order:
            raise ValueError(
                f"A catalogue must have a product. Received: {source}; left out: "
                f"{str(self.skipped) or 'none'}. Images end in {', '.join(sorted(IMAGE_SUFFIXES))}."
            )
        changed = sum(product in known for product in ids)
        kept = len(order) - len(ids)
        rows = self._rows
        if ids:
            fresh = Rows(
                np.concatenate(vectors),
                np.frombuffer(b"".join(digests), np.uint8).reshape(-1, index_file.DIGEST_BYTES),
                Blobs.of([product.encode() for product in ids]),
                Blobs.of(thumbnails),
            )
            rows = rows.followed_by(fresh)
        if order != list(range(len(rows))):
            rows = rows.take(np.array(order))
        self._set_rows(rows)
        return Changes(len(ids) - changed, changed, count - kept - changed, kept)

    # Searching

    def search(self, queries: Queries, k: int = 10) -> tuple[Any, np.ndarray]:
        """The products nearest to queries.

        Exact: scores are sums in float64 of the float32 vectors, rounded to float32, and of equal
        scores the earlier row comes first. So the result depends neither on the machine nor on the
        number of threads, and a browser computes the same.

        Args:
            queries: `(q, d)` or `(d,)`, unit vectors.
            k: how many products; all, if there are fewer.

        Returns:
            The ids, `q` lists of `k`, or one list for one query `(d,)`; and the cosines, float32
            `(q, k)` or `(k,)`, falling.

        Raises:
            ValueError: queries are not finite unit vectors of the index' length, k is below 1, or
                the vectors in the file are damaged.
        """
        rows, scores = self.nearest(queries, k)
        return self._ids_at(rows), scores

    def nearest(self, queries: Queries, k: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """As `search`, but gives rows, int64 `(q, k)` or `(k,)`, instead of ids."""
        checked, k = self._check_search(queries, k)
        rows = np.empty((len(checked), k), np.int64)
        scores = np.empty((len(checked), k), np.float32)
        # The rounding errors of a sum of d products in float32, of both that are compared, twice
        # over: within them, the order is that of the exact sums.
        group = max(1, len(self) // (16 * k))
        slack = np.float32(2 * (self.dimensions + 2) * np.finfo(np.float32).eps)
        for start in range(0, len(checked), most := max(1, _MAX_SIMILARITIES // len(self))):
            part = checked[start : start + most]
            for i, similarity in enumerate(self._similarities(part), start):
                if not np.isfinite(similarity.sum()):
                    self._refuse_damaged()
                # Of k groups of rows each has one as near as the k-th of the groups' nearest, which
                # is so a bound on the k-th of all that is cheap to find.
                nearest = np.maximum.reduceat(similarity, np.arange(0, len(self), group))
                bound = np.partition(nearest, len(nearest) - k)[len(nearest) - k]
                candidates = np.flatnonzero(similarity >= bound - slack)
                rows[i], scores[i] = self._rank(checked[i], candidates, k)
        single = np.ndim(queries) == 1
        return (rows[0], scores[0]) if single else (rows, scores)

    def _similarities(self, queries: np.ndarray) -> np.ndarray:
        """float32 (q, n)."""
        similarities = np.empty((len(queries), len(self)), np.float32)
        block = max(1, _MAX_ELEMENTS // self.dimensions)

        for start in range(0, len(self), block):
            rows = slice(start, start + block)
            np.matmul(queries, self._rows.vectors[rows].T, out=similarities[:, rows])
        return similarities

    def _rank(
        self, query: np.ndarray, candidates: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The best k of some rows, by exact scores and then by row."""
        scores = np.empty(len(candidates), np.float32)
        for start in range(0, len(candidates), _BLOCK):
            part = slice(start, start + _BLOCK)
            vectors = self._rows.vectors[candidates[part]].astype(np.float64)
            scores[part] = (vectors * query).sum(axis=1)
        best = np.lexsort((candidates, -scores))[:k]
        return candidates[best], scores[best]

    def _check_search(self, queries: Queries, k: int) -> tuple[np.ndarray, int]:
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
            raise ValueError(f"`k` must be an integer of 1 or more. Received: {k!r}")
        if not len(self):
            raise ValueError(f"{self._name} has no products yet. Call `update` first.")
        queries = np.asarray(queries, np.float32)
        if queries.ndim not in (1, 2) or queries.shape[-1] != self.dimensions:
            raise ValueError(
                f"`queries` must have the shape ({self.dimensions},) or (q, {self.dimensions}), as "
                f"the vectors of {self._name}. Received: {queries.shape}"
            )
        queries = np.atleast_2d(queries)
        _check_unit(queries, "`queries`")
        return queries, min(int(k), len(self))

    def _ids_at(self, rows: np.ndarray) -> Any:
        return [self.id(row) if np.ndim(row) == 0 else self._ids_at(row) for row in rows]

    def _refuse_damaged(self) -> None:
        for start in range(0, len(self), _BLOCK):
            _check_unit(
                self._rows.vectors[start : start + _BLOCK],
                f"{self._name} from row {start} on; copy the file, or index the catalogue, again",
            )
        raise ValueError(f"The vectors of {self._name} are damaged. Index the catalogue again.")

    def approximate(self, lists: int | None = None, probes: int | None = None) -> ApproximateSearch:
        """Prepares an approximate search, for catalogues of more than a million products.

        Args:
            lists: how many clusters the vectors are sorted into; by default a power of two up to
                four times the square root of their number.
            probes: how many of these a query is compared with: more find more, and take longer;
                by default one in 64, 8 at least.

        Raises:
            ImportError: faiss is missing; the message says how to install it.
            ValueError: not `1 <= probes <= lists <= n`.
        """
        return ApproximateSearch(self, lists, probes)


def _image_size(embedder: Any) -> int:
    size = getattr(embedder, "image_size", None)
    if size is None:
        _, height, width, _ = embedder.input_shape
        size = height if height == width else None
    if size is None:
        raise ValueError(
            f"The embedder {embedder.name} takes images of any size, {embedder.input_shape}. Say "
            "which side in pixels they shall have: image_size=64"
        )
    return size


def _is_image(name: str) -> bool:
    return pathlib.PurePath(name).suffix.lower() in IMAGE_SUFFIXES


class ApproximateSearch:
    """Searches part of an index: k-means clusters of which the nearest are compared (faiss' IVF).

    See Jégou et al. 2011, Product Quantization for Nearest Neighbor Search, Section IV, without the
    quantization. A graph (HNSW) is as fast at the same recall, but takes thirty times as long to
    make, which is done whenever an index has been opened. The vectors are copied.

    Made by `ProductIndex.approximate`, of the products that the index has then.
    """

    def __init__(self, index: ProductIndex, lists: int | None, probes: int | None):
        try:
            import faiss
        except ImportError as error:
            raise ImportError(
                "Approximate search needs faiss, which is not installed. "
                'Get it with: pip install "keras_pixdt[search]"'
            ) from error
        count = len(index)
        if lists is None:
            # A power of two: faiss 1.15 takes 20 times as long for 1,025 clusters as for 1,024.
            lists = min(count, 1 << (round(4 * count**0.5).bit_length() - 1))
        probes = min(lists, max(8, lists // 64)) if probes is None else probes
        if not 1 <= probes <= lists <= count:
            raise ValueError(
                f"`lists` and `probes` must be in 1 <= probes <= lists <= {count}, the number of "
                f"products. Received: lists={lists}, probes={probes}"
            )
        self._index = index
        # faiss types it as the base of all indexes, without the settings of this one.
        self._faiss = cast(
            "Any",
            faiss.index_factory(index.dimensions, f"IVF{lists},Flat", faiss.METRIC_INNER_PRODUCT),
        )
        self._faiss.cp.min_points_per_centroid = 1  # else small catalogues are warned of
        self._faiss.cp.max_points_per_centroid = 64
        self._faiss.train(index.vectors)
        self._faiss.add(index.vectors)
        self._faiss.nprobe = probes

    def search(self, queries: Queries, k: int = 10) -> tuple[Any, np.ndarray]:
        """As of `ProductIndex`; the scores are exact, but a near product may be missing."""
        rows, scores = self.nearest(queries, k)
        return self._index._ids_at(rows), scores

    def nearest(self, queries: Queries, k: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """As of `ProductIndex`; the scores are exact, but a near product may be missing."""
        checked, k = self._index._check_search(queries, k)
        _, found = self._faiss.search(checked, k)
        scores = np.empty(found.shape, np.float32)
        for i, row in enumerate(found):
            if row.min() < 0:  # the clusters that were looked at have fewer products
                found[i], scores[i] = self._index.nearest(checked[i], k)
            else:
                found[i], scores[i] = self._index._rank(checked[i], row.copy(), k)
        return (found[0], scores[0]) if np.ndim(queries) == 1 else (found, scores)
