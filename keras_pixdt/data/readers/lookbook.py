"""LookBook's layout: file names say which photo shows which product.

`PID000012_CLEAN0_IID000034.jpg` is a person who wears product 12, `CLEAN1` the product itself
(Yoo et al. 2016). A `products.json` beside them adds attributes, see `attributes`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from keras_pixdt.data.files import Files, Skipped, is_image
from keras_pixdt.data.readers.attributes import ATTRIBUTES_FILE, id_of, read_attributes
from keras_pixdt.data.readers.listing import (
    SECOND_PRODUCT_IMAGE,
    Layout,
    Listed,
    Listing,
    base_of,
    whole_products,
)

_NAME = re.compile(
    r"PID(?P<pid>\d+)_CLEAN(?P<clean>[01])_IID(?P<iid>\d+)\.\w+", re.IGNORECASE | re.ASCII
)

WRONG_NAME = "wrong_name"
ID_TOO_LARGE = "id_too_large"
SAME_ID = "same_pid_and_iid"


def _is_named(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and is_image(name)


def _index(names: Iterable[str], skipped: Skipped) -> list[Listed]:
    """Files of complete products by name: ids ascending, the product image before the persons."""
    found: dict[tuple[int, bool, int], Listed] = {}
    targets: set[int] = set()
    for name in names:
        base = base_of(name)
        match = _NAME.fullmatch(base)
        if match is None or not is_image(base):
            if base != ATTRIBUTES_FILE:
                skipped.add(WRONG_NAME, name)
            continue
        product, image = id_of(match["pid"]), id_of(match["iid"])
        if product is None or image is None:
            skipped.add(ID_TOO_LARGE, name)
            continue
        file = Listed(name, product, match["clean"] == "1", image)
        identity = (file.product_id, not file.is_target, file.image_id)
        if identity in found:
            skipped.add(SAME_ID, name)
        elif file.is_target and file.product_id in targets:
            skipped.add(SECOND_PRODUCT_IMAGE, name)
        else:
            found[identity] = file
            if file.is_target:
                targets.add(file.product_id)
    return whole_products([found[identity] for identity in sorted(found)], skipped)


def _why(files: Files, names: list[str]) -> str | None:
    found = next((name for name in names if _is_named(base_of(name))), None)
    return found and f"a file named {base_of(found)}"


def _read(files: Files, names: list[str], skipped: Skipped) -> Listing:
    lists = [name for name in names if base_of(name) == ATTRIBUTES_FILE]
    attributes = read_attributes((name, files.read(name)) for name in lists)
    return Listing(_index(names, skipped), attributes)


LAYOUT = Layout(
    "lookbook",
    "a person image PID000001_CLEAN0_IID000002.jpg with its product image "
    "PID000001_CLEAN1_IID000003.jpg",
    _is_named,
    _why,
    _read,
)
