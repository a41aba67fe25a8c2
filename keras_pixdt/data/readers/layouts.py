"""Reads pairs from files, whichever of the known layouts they have."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import os
import pathlib
from collections.abc import Callable, Iterator

import numpy as np
from absl import logging

from keras_pixdt.choices import LAYOUTS, Size, as_height_width, as_size
from keras_pixdt.data import duplicates, images
from keras_pixdt.data.files import (
    Files,
    Skipped,
    count_unreadable,
    decode,
    decode_all,
    open_files,
    open_list,
    open_root,
)
from keras_pixdt.data.index import Index, Pictures, Plan
from keras_pixdt.data.pairs import PairSet, allocate, take_rows
from keras_pixdt.data.readers import deep_fashion, dress_code, lookbook, table, viton_hd
from keras_pixdt.data.readers.listing import Layout, Listed, Listing, whole_products
from keras_pixdt.data.splits import OFFICIAL

NO_MASKS = (
    "{} must have a mask for each product (docs/data.md says where), and does not. Take a config "
    "without masks."
)

# The first that fits is taken.
_LAYOUTS = {
    layout.name: layout
    for layout in (
        lookbook.LAYOUT,
        viton_hd.LAYOUT,
        dress_code.LAYOUT,
        deep_fashion.IN_SHOP,
        deep_fashion.CONSUMER_TO_SHOP,
        table.LAYOUT,
    )
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class LookBook(Index):
    """All pairs of a data set, before they are split.

    Attributes:
        pairs: the pairs, products in the order of their ids.
    """

    pairs: PairSet


def read_lookbook(
    path: str | os.PathLike[str],
    image_size: Size,
    resize: str = "letterbox",
    photo_size: Size | None = None,
    layout: str = "auto",
    truth: bool = False,
) -> LookBook:
    """Reads all pairs of a folder, an archive or a table.

    A folder is searched with its subfolders. A folder with a single archive and nothing that shows
    a layout is treated like that archive. Images are decoded with one thread per core. Files that
    cannot be used are left out, counted, and logged by name.

    Args:
        path: a folder, a zip or tar archive (also gzip, bzip2 or xz), or a .csv or .tsv file.
        image_size: side of square images, or (height, width), in pixels.
        resize: how they are brought to that size, "letterbox" or "stretch"; see `images.resize`.
        photo_size: the same for the person images; None takes `image_size`.
        layout: how the files are named, see docs/data.md; "auto" recognizes it, and logs why.
        truth: whether to read masks, if every product has one.

    Returns:
        The pairs, grouped by `duplicates`, and the skipped files.

    Raises:
        FileNotFoundError: if there is nothing at `path`.
        ValueError: if it is not an archive, it does not have the layout, there are no pairs, more
            than 1% of the images are unreadable or missing, or an option is unknown.
    """
    skipped, sizes = Skipped(), _sizes(image_size, photo_size)
    with _open_listing(path, layout, skipped) as (files, listing):
        book = _decode(files, listing, sizes, resize, skipped, str(path), truth)
    _log(book, str(path))
    return book


def plan_lookbook(
    path: str | os.PathLike[str],
    image_size: Size,
    resize: str = "letterbox",
    photo_size: Size | None = None,
    layout: str = "auto",
    truth: bool = False,
) -> Plan:
    """Lists all pairs of a folder, an archive or a table, for workers that read the images.

    See `read_lookbook` for the arguments and errors. Carried out, the plan gives the same pairs.
    With `truth`, each product must have a mask.
    """
    skipped, sizes = Skipped(), _sizes(image_size, photo_size)
    with _open_listing(path, layout, skipped) as (files, listing):
        maker = _Reader(files.root.absolute(), str(path), sizes, resize)

    def index(signatures: list[duplicates.Signature | None]) -> Index:
        count_unreadable([file.name for file in listing.files], signatures, str(path), skipped)
        index, _ = _index(listing, signatures, skipped, str(path))
        _log(index, str(path))
        return index

    groups = itertools.groupby(listing.files, lambda file: file.product_id)
    masks = listing.mask if truth else {}
    products = [(product, (list(found), masks.get(product))) for product, found in groups]
    if truth and any(mask is None for _, (_, mask) in products):
        raise ValueError(NO_MASKS.format(path))
    return Plan(products, maker, index)


@dataclasses.dataclass(frozen=True)
class _Reader:
    """Reads the images of listed products, and their masks; see `Plan`."""

    root: pathlib.Path
    path: str
    sizes: dict[bool, Size]  # of targets (True) and of sources
    resize: str

    @contextlib.contextmanager
    def open(self) -> Iterator[Callable[[tuple[list[Listed], str | None]], Pictures]]:
        if not self.root.exists():
            raise FileNotFoundError(
                f"{self.root} is not there for a worker. All workers must see it under this path: "
                "put it on a file system that they share."
            )
        with open_root(self.root) as files:
            yield functools.partial(self._read, files)

    def _read(self, files: Files, given: tuple[list[Listed], str | None]) -> Pictures:
        listed, mask_name = given
        targets: list[np.ndarray] = []
        sources: list[np.ndarray] = []
        signatures: list[duplicates.Signature | None] = []
        shape: tuple[int, ...] = ()
        for file in listed:
            decoded = decode(functools.partial(files.read, file.name), file.name, self.path)
            signatures.append(duplicates.signature(*decoded) if decoded else None)
            if decoded:
                image = images.resize(decoded[0], self.sizes[file.is_target], self.resize)
                (targets if file.is_target else sources).append(image)
                shape = decoded[0].shape if file.is_target else shape
        mask = None
        if mask_name is not None and targets and sources:  # otherwise the product is left out
            image = images.read_image(files.read(mask_name), mask_name)
            _check_mask(mask_name, image.shape, shape)
            mask = images.resize_mask(image, self.sizes[True], self.resize)
        return Pictures(targets[0] if targets else None, sources, signatures, mask)


def _sizes(image_size: Size, photo_size: Size | None) -> dict[bool, Size]:
    """The sizes of targets (True) and of sources."""
    return {
        True: as_size(image_size, "image_size"),
        False: as_size(photo_size or image_size, "photo_size"),
    }


@contextlib.contextmanager
def _open_listing(
    path: str | os.PathLike[str], layout: str, skipped: Skipped
) -> Iterator[tuple[Files, Listing]]:
    """Opens what is at a path, and lists its images."""
    if layout not in LAYOUTS:
        raise ValueError(f"`layout` must be one of {', '.join(LAYOUTS)}. Received: {layout!r}")
    with _open(pathlib.Path(path), layout) as files:
        visible = files.visible(skipped)
        known = _recognize(files, visible, str(path)) if layout == "auto" else _LAYOUTS[layout]
        listing = known.read(files, visible, skipped)
        if not listing.files:
            looked = [each for each in _LAYOUTS.values() if layout in ("auto", each.name)]
            what = "; ".join(f"{each.name}: {each.what}" for each in looked)
            raise ValueError(
                f"{path} has no pairs. Looked for {what}. In the folder, in a subfolder or in one "
                f"archive. Found: {len(files.names)} file(s); left out: {str(skipped) or 'none'}"
            )
        yield files, listing


def _log(index: Index, path: str) -> None:
    index.skipped.log(path)
    groups = np.unique(index.group_id, return_counts=True)[1]
    logging.info(
        "%s: %d products in %d groups without duplicates, the largest of %d",
        path, groups.sum(), len(groups), groups.max(),
    )  # fmt: skip


def _open(path: pathlib.Path, layout: str) -> Files:
    if path.is_file() and table.is_table(path.name):
        return open_list(path)
    # A folder may have a table beside the archive of its images.
    marks = [
        each.is_mark
        for each in _LAYOUTS.values()
        if layout == each.name or (layout == "auto" and each is not table.LAYOUT)
    ]
    return open_files(
        path,
        lambda name: any(is_mark(name) for is_mark in marks),
        "files that show a layout",
        "Pass the folder or the archive that has LookBook's files (PID000001_CLEAN0_IID000002.jpg) "
        "or another layout of docs/data.md, or a CSV of pairs.",
    )


def _recognize(files: Files, names: list[str], path: str) -> Layout:
    """The first layout that fits; if none does, that of a single table, or LookBook's."""
    found = {name: why for name, each in _LAYOUTS.items() if (why := each.why(files, names))}
    if not found:
        single = sum(map(table.is_table, names)) == 1
        return table.LAYOUT if single else lookbook.LAYOUT
    (first, why), *others = found.items()
    logging.info(
        "%s: layout %s, because of %s%s", path, first, why,
        f"; it could also be {', '.join(name for name, _ in others)} (--layout)" if others else "",
    )  # fmt: skip
    return _LAYOUTS[first]


def _decode(
    files: Files,
    listing: Listing,
    sizes: dict[bool, Size],
    resize: str,
    skipped: Skipped,
    path: str,
    truth: bool,
) -> LookBook:
    """Decodes the files; `sizes` are those of targets (True) and of sources."""
    listed = listing.files
    row: dict[Listed, int] = {}  # each file's row among the targets or sources
    count = {False: 0, True: 0}
    shapes: dict[int, tuple[int, ...]] = {}  # of the product images, as they are
    for file in listed:
        row[file] = count[file.is_target]
        count[file.is_target] += 1
    images_of = {
        kind: allocate((count[kind], *as_height_width(size), 3)) for kind, size in sizes.items()
    }

    def use(index: int, name: str, image: np.ndarray) -> None:
        file = listed[index]
        images_of[file.is_target][row[file]] = images.resize(image, sizes[file.is_target], resize)
        if file.is_target:
            shapes[file.product_id] = image.shape

    found = ((file.name, functools.partial(files.read, file.name)) for file in listed)
    signatures = decode_all(found, use, path, skipped, len(listed))
    index, kept = _index(listing, signatures, skipped, path)
    rows: dict[bool, list[int]] = {False: [], True: []}
    for file in kept:
        rows[file.is_target].append(row[file])
    sources, targets = (
        take_rows(images_of[is_target], np.array(rows[is_target])) for is_target in (False, True)
    )
    whole = {product: shapes[product] for product in index.product_id.tolist()}
    masks = _masks(files, listing, whole, sizes[True], resize, path) if truth else None
    pairs = PairSet(
        sources, targets, index.target_index, index.product_id, index.group_id, index.attributes,
        masks,
    )  # fmt: skip
    return LookBook(**vars(index), pairs=pairs)


def _index(
    listing: Listing,
    signatures: list[duplicates.Signature | None],
    skipped: Skipped,
    path: str,
) -> tuple[Index, list[Listed]]:
    """The index of the images that could be read, and these, in its order.

    Args:
        listing: what was to be read.
        signatures: of each of its files; None if it could not be read.
        skipped: counts files of products that are no longer whole.
        path: the folder or the archive, for the message.
    """
    read = {
        file: signature
        for file, signature in zip(listing.files, signatures, strict=True)
        if signature
    }
    kept = whole_products(read, skipped)
    if not kept:
        raise ValueError(f"{path} has no pair whose images can both be read. Left out: {skipped}")
    sources = [file for file in kept if not file.is_target]
    targets = [file for file in kept if file.is_target]
    products = [file.product_id for file in targets]
    product_id = np.array(products, np.int64)
    product_row = {product: row for row, product in enumerate(products)}

    def rows(files: list[Listed]) -> np.ndarray:
        return np.array([product_row[file.product_id] for file in files], np.int64)

    item = np.array([listing.item.get(product, -1 - product) for product in products], np.int64)
    index = Index(
        target_index=rows(sources),
        product_id=product_id,
        group_id=duplicates.group_products(
            [read[file] for file in kept], rows(kept), product_id, item if listing.item else None
        ),
        source_id=np.array([file.image_id for file in sources], np.int64),
        target_id=np.array([file.image_id for file in targets], np.int64),
        skipped=skipped,
        attributes=tuple(listing.attributes.get(product, {}) for product in products)
        if listing.attributes
        else (),
        official=_official(listing, products),
    )
    return index, kept


def _official(listing: Listing, products: list[int]) -> np.ndarray | None:
    """The products' own splits, if there are several."""
    splits = [listing.split.get(product, "") for product in products]
    if len(set(splits)) < 2 or not set(splits) <= set(OFFICIAL):
        return None
    return np.array(splits)


def _masks(
    files: Files,
    listing: Listing,
    products: dict[int, tuple[int, ...]],
    size: Size,
    resize: str,
    path: str,
) -> np.ndarray | None:
    """The masks of all products; None if one is not there or cannot be read.

    `products` has the shapes of their images, before these were resized.
    """
    shapes = list(products.values())
    names = [listing.mask[product] for product in products if product in listing.mask]
    skipped = Skipped()
    masks = allocate((len(products), *as_height_width(size)))

    def use(index: int, name: str, image: np.ndarray) -> None:
        _check_mask(name, image.shape, shapes[index])
        masks[index] = images.resize_mask(image, size, resize)

    if len(names) == len(products):
        found = ((name, functools.partial(files.read, name)) for name in names)
        if all(decode_all(found, use, path, skipped, len(names))):
            return masks
    if names:
        lost = len(products) - len(names)
        logging.warning(
            "%s: masks are left out, because each product needs one: %d have none, and %d cannot "
            "be read", path, lost, sum(skipped.counts.values()),
        )  # fmt: skip
    return None


def _check_mask(name: str, mask: tuple[int, ...], product: tuple[int, ...]) -> None:
    """Refuses a mask of another shape than its product image: resized, it would lie elsewhere."""
    (rows, columns), (height, width) = mask[:2], product[:2]
    if abs(rows * width - columns * height) > height + width:  # more than rounding makes
        raise ValueError(
            f"{name} must have the proportions of its product image, {height}x{width} px, to lie "
            f"over it. Received: {rows}x{columns} px. Make this mask again, or move the folder of "
            "masks away to do without."
        )
