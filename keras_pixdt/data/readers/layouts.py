"""Reads pairs from files, whichever of the known layouts they have."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib

import numpy as np
from absl import logging

from keras_pixdt.choices import LAYOUTS, Size, as_height_width, as_size
from keras_pixdt.data import duplicates, images
from keras_pixdt.data.files import Files, Skipped, decode_all, open_files, open_list
from keras_pixdt.data.pairs import PairSet, allocate, take_rows
from keras_pixdt.data.readers import deep_fashion, dress_code, lookbook, table, viton_hd
from keras_pixdt.data.readers.listing import Layout, Listed, Listing, whole_products
from keras_pixdt.data.splits import OFFICIAL, keep_splits, split_groups

DUPLICATE = "duplicate_of_another_split"

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


@dataclasses.dataclass(frozen=True)
class LookBook:
    """All pairs of a data set, before they are split.

    Attributes:
        pairs: the pairs, products in the order of their ids.
        source_id: int64 `(n,)`, the IID of each person image, or its number if it has no IID.
        target_id: int64 `(m,)`, the same of each product image.
        skipped: the files that were left out.
        official: str `(m,)`, the split of each product, "train", "validation" or "test"; None if
            the data set has no splits of its own.
    """

    pairs: PairSet
    source_id: np.ndarray
    target_id: np.ndarray
    skipped: Skipped
    official: np.ndarray | None = None

    def split(self, scheme: str | None = None) -> dict[str, np.ndarray]:
        """Splits the products.

        Args:
            scheme: of `split_groups`, for all products. None keeps the splits that the data set
                has, see `keep_splits`, or takes "yoo2016" if it has none.

        Returns:
            Split name -> boolean mask over the products. Products that are in none, because
            another split has a duplicate of them, are logged and added to `skipped`.

        Raises:
            ValueError: see `split_groups` and `keep_splits`.
        """
        pairs = self.pairs
        if scheme or self.official is None:
            return split_groups(pairs.group_id, scheme or "yoo2016")
        masks = keep_splits(self.official, pairs.group_id)
        if DUPLICATE in self.skipped.counts:  # of an earlier call
            return masks
        dropped = Skipped()
        for row in np.flatnonzero(~np.logical_or.reduce(list(masks.values()))):
            for skipped in (dropped, self.skipped):
                skipped.add(DUPLICATE, f"{self.official[row]} product {pairs.product_id[row]}")
        dropped.log("Official splits")
        return masks


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
    if layout not in LAYOUTS:
        raise ValueError(f"`layout` must be one of {', '.join(LAYOUTS)}. Received: {layout!r}")
    sizes = {
        True: as_size(image_size, "image_size"),
        False: as_size(photo_size or image_size, "photo_size"),
    }
    with _open(pathlib.Path(path), layout) as files:
        skipped = Skipped()
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
        book = _decode(files, listing, sizes, resize, skipped, str(path), truth)
    skipped.log(str(path))
    groups = np.unique(book.pairs.group_id, return_counts=True)[1]
    logging.info(
        "%s: %d products in %d groups without duplicates, the largest of %d",
        path, groups.sum(), len(groups), groups.max(),
    )  # fmt: skip
    return book


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
    for file in listed:
        row[file] = count[file.is_target]
        count[file.is_target] += 1
    images_of = {
        kind: allocate((count[kind], *as_height_width(size), 3)) for kind, size in sizes.items()
    }

    def use(index: int, name: str, image: np.ndarray) -> None:
        file = listed[index]
        images_of[file.is_target][row[file]] = images.resize(image, sizes[file.is_target], resize)

    found = ((file.name, functools.partial(files.read, file.name)) for file in listed)
    decoded = decode_all(found, use, path, skipped, len(listed))
    signatures = {file: made for file, made in zip(listed, decoded, strict=True) if made}
    kept = whole_products(signatures, skipped)
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
    pairs = PairSet(
        sources=take_rows(images_of[False], np.array([row[file] for file in sources])),
        targets=take_rows(images_of[True], np.array([row[file] for file in targets])),
        target_index=rows(sources),
        product_id=product_id,
        group_id=duplicates.group_products(
            [signatures[file] for file in kept],
            rows(kept),
            product_id,
            item if listing.item else None,
        ),
        attributes=tuple(listing.attributes.get(product, {}) for product in products)
        if listing.attributes
        else (),
        masks=_masks(files, listing, products, sizes[True], resize, path) if truth else None,
    )
    source_id, target_id = (
        np.array([file.image_id for file in files], np.int64) for files in (sources, targets)
    )
    return LookBook(pairs, source_id, target_id, skipped, _official(listing, products))


def _official(listing: Listing, products: list[int]) -> np.ndarray | None:
    """The products' own splits, if there are several."""
    splits = [listing.split.get(product, "") for product in products]
    if len(set(splits)) < 2 or not set(splits) <= set(OFFICIAL):
        return None
    return np.array(splits)


def _masks(
    files: Files, listing: Listing, products: list[int], size: Size, resize: str, path: str
) -> np.ndarray | None:
    """The masks of all products; None if one is not there or cannot be read."""
    names = [listing.mask[product] for product in products if product in listing.mask]
    skipped = Skipped()
    masks = allocate((len(products), *as_height_width(size)))

    def use(index: int, name: str, image: np.ndarray) -> None:
        # Bars that keep the aspect are white, and no product is there.
        masks[index] = 255 - images.resize(255 - image, size, resize)[..., 0]

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
