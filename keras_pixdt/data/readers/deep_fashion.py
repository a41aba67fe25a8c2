"""DeepFashion's two layouts with pairs (Liu et al. 2016): In-shop and Consumer-to-shop.

Both have `Eval/list_eval_partition.txt`, whose first line is a count and whose second line names
the columns, and images in `img`. The data set's README.txt says so (copies of it are
IN_SHOP_DATASET.md and CONSUMER_TO_SHOP_DATASET.md of https://github.com/open-mmlab/mmfashion).

- In-shop: `image_name item_id evaluation_status`, with train, query and gallery. An image is
  `img/WOMEN/Dresses/id_00000002/02_1_front.jpg`: colour 02 of item 2, view 1. The README numbers
  the views: 1 frontal, 2 side, 3 back, 4 zoom-out, 5 zoom-in, 6 stand-alone. Only the last shows
  the product without a person (`02_6_flat.jpg`); products without it are left out. The photos are
  views 1 to 4. Zoom-in shows a part, and the README does not have 7 (`02_7_additional.jpg`), so
  both are left out. A product is one colour of an item. Query and gallery are both the test.
- Consumer-to-shop: `image_pair_name_1 image_pair_name_2 item_id evaluation_status`, with train, val
  and test; the photo of a consumer (`comsumer_01.jpg`, spelled so) and one of a shop
  (`shop_01.jpg`). A product is an item, and its product image is the shop's first in the list.
  Nothing says which of the shops' images show the product alone, so somebody may wear it.

The category is the folder, such as `Dresses`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from keras_pixdt.data.files import Files, Skipped
from keras_pixdt.data.readers.listing import (
    NO_PERSON_IMAGE,
    NO_PRODUCT_IMAGE,
    SECOND_PRODUCT_IMAGE,
    SHOWN,
    Layout,
    Listing,
    Pair,
    base_of,
    list_pairs,
    read_text,
)

UNUSED_VIEW = "view_that_is_not_used"

_LIST = "list_eval_partition.txt"
_IN_SHOP = ("image_name", "item_id", "evaluation_status")
_TO_SHOP = ("image_pair_name_1", "image_pair_name_2", "item_id", "evaluation_status")
_SPLITS = {
    "train": "train", "val": "validation", "test": "test", "query": "test", "gallery": "test"
}  # fmt: skip
_ITEM = re.compile(r"id_(\d{1,12})", re.ASCII)
_VIEW = re.compile(r"(?P<colour>\d\d)_(?P<view>\d)_\w+\.\w+", re.ASCII)
_PHOTO_VIEWS, _PRODUCT_VIEW = ("1", "2", "3", "4"), "6"
_IMAGES = re.compile(r"(?:^|.*/)img(?P<high>_highres)?/(?P<name>.+)")
_FIX = (
    "Unpack the images (img.zip or img_highres.zip of the data set) beside the list, into a folder "
    "`img` or `img_highres`."
)


def _lists(files: Files, names: list[str], columns: tuple[str, ...]) -> list[str]:
    found = []
    for name in names:
        if base_of(name) == _LIST:
            header = read_text(files, name).split("\n", 2)[1:2]
            if header and tuple(header[0].split()) == columns:
                found.append(name)
    return found


def _why(files: Files, names: list[str], columns: tuple[str, ...]) -> str | None:
    lists = _lists(files, names, columns)
    return f"{lists[0]} with the column {columns[0]}" if lists else None


class _Row(NamedTuple):
    names: list[str]
    item: int
    split: str
    category: str


def _rows(
    layout: Layout, columns: tuple[str, ...], files: Files, names: list[str]
) -> tuple[str, list[_Row]]:
    """The one list, and its rows, with the images as they are named here."""
    lists = _lists(files, names, columns)
    if len(lists) != 1:
        raise ValueError(
            f"{layout.name} needs {layout.what}. Found: {', '.join(lists) or 'none'} of "
            f"{len(names)} file(s). Pass the folder that has Eval/ and img/."
        )
    place: dict[str, str] = {}
    for name in sorted(names, key=lambda name: "img_highres/" in name):  # the larger ones last
        if match := _IMAGES.fullmatch(name):
            place[match["name"]] = name
    rows = []
    for number, line in enumerate(read_text(files, lists[0]).splitlines()[2:], 3):
        if not line.strip():
            continue
        *images, item, status = line.split()
        match, folders = _ITEM.fullmatch(item), (images or [""])[0].split("/")[:-1]
        if len(images) != len(columns) - 2 or match is None or status not in _SPLITS:
            raise ValueError(
                f"{lists[0]}, line {number} must be `{' '.join(columns)}`, the item as id_00000002 "
                f"and the status one of {', '.join(_SPLITS)}. Received: {line.strip()[:SHOWN]!r}"
            )
        here = [
            place.get(at["name"], image) if (at := _IMAGES.fullmatch(image)) else image
            for image in images
        ]
        category = folders[-2] if len(folders) > 1 and folders[-2] != "img" else ""
        rows.append(_Row(here, int(match[1]), _SPLITS[status], category))
    return lists[0], rows


def _read_in_shop(files: Files, names: list[str], skipped: Skipped) -> Listing:
    listed, rows = _rows(IN_SHOP, _IN_SHOP, files, names)
    photos: dict[int, list[tuple[str, _Row]]] = {}
    flat: dict[int, str] = {}
    for row in rows:
        (name,) = row.names
        match = _VIEW.fullmatch(base_of(name))
        if match is None or match["view"] not in (*_PHOTO_VIEWS, _PRODUCT_VIEW):
            skipped.add(UNUSED_VIEW, name)
            continue
        product = 100 * row.item + int(match["colour"])
        if match["view"] == _PRODUCT_VIEW:
            if flat.setdefault(product, name) != name:
                skipped.add(SECOND_PRODUCT_IMAGE, name)
        else:
            photos.setdefault(product, []).append((name, row))
    pairs = []
    for product, taken in photos.items():
        for name, row in taken:
            if product in flat:
                pair = Pair(name, flat[product], product, row.split, row.category, row.item)
                pairs.append(pair)
            else:
                skipped.add(NO_PRODUCT_IMAGE, name)
    for product in sorted(flat.keys() - photos.keys()):
        skipped.add(NO_PERSON_IMAGE, flat[product])
    counted = {name for row in rows for name in row.names}
    counted -= {name for pair in pairs for name in (pair.source, pair.target)}
    others = [name for name in names if name not in counted]
    return list_pairs(pairs, [listed], files, others, skipped, _FIX)


def _read_consumer_to_shop(files: Files, names: list[str], skipped: Skipped) -> Listing:
    listed, rows = _rows(CONSUMER_TO_SHOP, _TO_SHOP, files, names)
    shop: dict[int, str] = {}
    others: dict[str, None] = {}  # further images of shops, in order
    pairs: dict[tuple[int, str], Pair] = {}
    for row in rows:
        photo, product = row.names
        if base_of(photo).startswith("shop"):
            photo, product = product, photo
        if shop.setdefault(row.item, product) != product:
            others[product] = None
        pair = Pair(photo, shop[row.item], row.item, row.split, row.category)
        pairs.setdefault((row.item, photo), pair)
    for name in others:
        skipped.add(SECOND_PRODUCT_IMAGE, name)
    rest = [name for name in names if name not in others]
    return list_pairs(list(pairs.values()), [listed], files, rest, skipped, _FIX)


def _is_mark(name: str) -> bool:
    return name == _LIST


IN_SHOP = Layout(
    "in_shop",
    f"{_LIST} with the columns {' '.join(_IN_SHOP)}",
    _is_mark,
    lambda files, names: _why(files, names, _IN_SHOP),
    _read_in_shop,
)
CONSUMER_TO_SHOP = Layout(
    "consumer_to_shop",
    f"{_LIST} with the columns {' '.join(_TO_SHOP)}",
    _is_mark,
    lambda files, names: _why(files, names, _TO_SHOP),
    _read_consumer_to_shop,
)
