"""A product index: vectors, ids and thumbnails of a catalogue in one file, searched by image.

Searching only needs NumPy, and changing an index also needs Pillow; Keras is only needed for the
embedder that the user passes.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from absl import logging

from keras_pixdt.choices import RESIZES
from keras_pixdt.data.files import ENDINGS, Skipped, is_image, open_files
from keras_pixdt.search import embedding, exact, index_file, ingest
from keras_pixdt.search.approximate import ApproximateSearch
from keras_pixdt.search.embedding import embed, fingerprint
from keras_pixdt.search.exact import Queries
from keras_pixdt.search.index_file import Rows, Settings, no_rows
from keras_pixdt.search.ingest import THUMBNAIL_SIZE_PX, Product

if TYPE_CHECKING:
    import keras


class Changes(NamedTuple):
    """The result of an update: how many products were added, changed, removed, or unchanged."""

    added: int
    changed: int
    removed: int
    unchanged: int


class ProductIndex:
    """Vectors, ids and thumbnails of the products of a catalogue.

    `build`, `from_folder` and `open` make an index. `add`, `remove`, `update` and
    `update_from_folder` change it in memory, or leave it unchanged if they fail; `save` writes it.

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
        skipped: the files left out when a folder was last read.
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
                3)`; with an iterator, only some hundred images are held at once.
            ids: a different string for each image.
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
        index._update(ingest.given(images, ids), embedder)
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
        Animations give their first frame. Files that cannot be read, or are so large that decoding
        them could exhaust the memory, are left out, logged by name and counted in `skipped`.

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
        """An index without products; call `update` before searching it.

        Args:
            embedder: see `build`.
            image_size: see `build`.
            resize: see `build`.
        """
        how = resize if resize is not None else getattr(embedder, "resize", RESIZES[0])
        if how not in RESIZES:
            raise ValueError(f"`resize` must be one of {', '.join(RESIZES)}. Received: {how!r}")
        size = image_size if image_size is not None else embedding.image_size(embedder)
        probe = embed(embedder, np.zeros((1, size, size, 3), np.uint8))
        dimensions = probe.shape[1]
        settings = Settings(fingerprint(embedder), dimensions, size, THUMBNAIL_SIZE_PX, how)
        return cls(settings, no_rows(dimensions))

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], embedder: keras.Model | str | None = None
    ) -> ProductIndex:
        """Maps an index into memory. Only the header and the offsets are read yet.

        Args:
            path: a file that `save` wrote.
            embedder: the embedder for queries, or its `fingerprint`, to check that the products
                were embedded with the same; None checks nothing.

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
        """The `fingerprint` of the products' embedder."""
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
        """All ids, in the order of the rows; each call takes a second for a million."""
        return [self.id(row) for row in range(len(self))]

    def id(self, row: int) -> str:
        """The id of the product of a row."""
        return self._rows.ids[row].decode()

    def row(self, product: str) -> int:
        """The row of the product of an id.

        Raises:
            ValueError: there is none.
        """
        return self._rows_of([product])[0]

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
                "with, or index the catalogue again with this one."
            )

    def _known(self) -> dict[str, int]:
        """Id -> row."""
        if self._row_of is None:
            self._row_of = {product: row for row, product in enumerate(self.ids)}
        return self._row_of

    def _rows_of(self, ids: Sequence[str]) -> list[int]:
        known = self._known()
        if missing := [product for product in ids if product not in known]:
            raise ValueError(
                f"{self._name} has no products {', '.join(map(repr, missing[:5]))}"
                f"{', ...' if missing[5:] else ''} ({len(missing)} of {len(ids)} are not among its "
                f"{len(self)}). `ids` lists those that it has."
            )
        return [known[product] for product in ids]

    def _set_rows(self, rows: Rows) -> None:
        self._rows, self._row_of = rows, None

    # Changing it

    def add(self, images: Iterable[np.ndarray], ids: Iterable[str], embedder: keras.Model) -> None:
        """Embeds more products and appends them.

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

        def new() -> Iterator[Product]:
            for product in ingest.given(images, ids):
                if product.id in known:
                    raise ValueError(
                        f"{self._name} has a product {product.id!r} already. Remove it first, or "
                        "call `update` with the whole catalogue."
                    )
                yield product

        more._update(new(), embedder)
        self._set_rows(self._rows.followed_by(more._rows))

    def remove(self, ids: Iterable[str]) -> None:
        """Removes products; the others keep their order.

        Args:
            ids: ids of products in the index.

        Raises:
            ValueError: one is not in the index, or none would be left.
        """
        keep = np.ones(len(self), bool)
        keep[self._rows_of(list(ids))] = False
        if not keep.any():
            raise ValueError(
                f"An index must have a product, and `remove` was to take all {len(self)} out of "
                f"{self._name}. Delete the file instead."
            )
        self._set_rows(self._rows.take(np.flatnonzero(keep)))

    def update(
        self, images: Iterable[np.ndarray], ids: Iterable[str], embedder: keras.Model
    ) -> Changes:
        """Updates the index to the current catalogue, in its order.

        Only images that are new or have changed are embedded.

        Args:
            images: see `build`, the whole catalogue.
            ids: see `build`.
            embedder: what the index was made with.

        Raises:
            ValueError: see `build`, or the embedder is another one.
        """
        self.check_embedder(embedder)
        return self._update(ingest.given(images, ids), embedder)

    def update_from_folder(self, folder: str | os.PathLike[str], embedder: keras.Model) -> Changes:
        """Updates the index to the current folder; products not in the folder are removed.

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
        with open_files(pathlib.Path(name), is_image, "images", fix) as files:
            listed = ingest.listed(files, name, self.skipped)
            changes = self._update(listed, embedder, f"{name}, of {len(files.names)} file(s)")
        if self.skipped.counts:
            logging.warning("%s: left out %s", name, self.skipped)
        return changes

    def _update(
        self, products: Iterable[Product], embedder: keras.Model, source: str = "`images`"
    ) -> Changes:
        """Makes `products` the rows, in their order."""
        known, count = self._known(), len(self)
        order, ids, fresh = ingest.take_in(
            products, self._rows, known, self._settings, embedder, self.skipped
        )
        if not order:
            raise ValueError(
                f"A catalogue must have a product. Received: {source}; left out: "
                f"{str(self.skipped) or 'none'}. Images end in {ENDINGS}."
            )
        rows = self._rows.followed_by(fresh) if ids else self._rows
        if order != list(range(len(rows))):
            rows = rows.take(np.array(order))
        self._set_rows(rows)
        changed = sum(product in known for product in ids)
        kept = len(order) - len(ids)
        return Changes(len(ids) - changed, changed, count - kept - changed, kept)

    # Searching

    def search(self, queries: Queries, k: int = 10) -> tuple[Any, np.ndarray]:
        """The products nearest to queries.

        The search is exact: scores are sums in float64 of the float32 vectors, rounded to float32,
        and if scores are equal the earlier row comes first. So the result does not depend on the
        machine or the number of threads, and a browser computes the same.

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
        """See `search`, but gives rows, int64 `(q, k)` or `(k,)`, instead of ids."""
        return exact.nearest(self.vectors, queries, k, self._name)

    def _ids_at(self, rows: np.ndarray) -> Any:
        return [self.id(row) if np.ndim(row) == 0 else self._ids_at(row) for row in rows]

    def approximate(self, lists: int | None = None, probes: int | None = None) -> ApproximateSearch:
        """Prepares an approximate search, for catalogues of more than a million products.

        Args:
            lists: how many clusters the vectors are sorted into; by default a power of two up to
                four times the square root of their number.
            probes: how many of these a query is compared with: more clusters find more and take
                longer; by default one in 64, but at least 8.

        Raises:
            ImportError: faiss is missing; the message says how to install it.
            ValueError: not `1 <= probes <= lists <= n`.
        """
        return ApproximateSearch(self, lists, probes)
