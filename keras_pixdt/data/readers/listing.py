"""What a layout of files tells: which images there are, of which product, and in which split."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from keras_pixdt.data.files import MAX_UNREADABLE, Files, Skipped, first_few, is_image
from keras_pixdt.data.splits import OFFICIAL

SECOND_PRODUCT_IMAGE = "second_product_image"
NO_PRODUCT_IMAGE = "no_product_image"
NO_PERSON_IMAGE = "no_person_image"
MISSING = "missing_file"
REPEATED = "repeated_pair"
NOT_LISTED = "in_no_pair"
IN_OTHER_SPLIT = "product_in_another_split"

SHOWN = 200  # characters of a line that messages show


class Listed(NamedTuple):
    """An image, by its name."""

    name: str
    product_id: int
    is_target: bool
    image_id: int


@dataclasses.dataclass(frozen=True)
class Listing:
    """The images of complete products, and what is known of these, each by product id.

    Attributes:
        files: products in the order of their ids, the product image before the persons.
        attributes: those that are known.
        split: the product's official split; empty if the layout has none.
        item: equal for products that stay together, such as the colours of one garment.
        mask: the name of the file that shows where the product image shows the product.
    """

    files: list[Listed]
    attributes: Mapping[int, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    split: Mapping[int, str] = dataclasses.field(default_factory=dict)
    item: Mapping[int, int] = dataclasses.field(default_factory=dict)
    mask: Mapping[int, str] = dataclasses.field(default_factory=dict)


class Layout(NamedTuple):
    """How a data set names its files.

    Attributes:
        name: what `layout` calls it.
        what: what it looks for, for messages.
        is_mark: takes a file name without its folder and returns whether such a file shows that
            the layout is there.
        why: takes the files and the names of those that are not hidden, and returns what shows that
            they have this layout; None if they have not.
        read: takes the same and the skipped files, and lists the images.
    """

    name: str
    what: str
    is_mark: Callable[[str], bool]
    why: Callable[[Files, list[str]], str | None]
    read: Callable[[Files, list[str], Skipped], Listing]


class Pair(NamedTuple):
    """A pair that a list names; see `Listing` for the last four."""

    source: str
    target: str
    product_id: int
    split: str = ""
    category: str = ""
    item: int | None = None
    mask: str = ""


def base_of(name: str) -> str:
    """A file's name without its folder."""
    return name.rpartition("/")[2]


def parts_of(names: Iterable[str], place: re.Pattern[str]) -> dict[str, set[tuple[str, ...]]]:
    """Each folder that has a layout, and which parts of the data set it has images of.

    Args:
        names: of files.
        place: matches an image's name; its first group is the folder, the others are the part.
    """
    found: dict[str, set[tuple[str, ...]]] = {}
    for name in names:
        match = place.fullmatch(name)
        if match and is_image(name):
            root, *part = match.groups()
            found.setdefault(root, set()).add(tuple(part))
    return found


def one_root(layout: Layout, roots: Mapping[str, set[str]]) -> tuple[str, set[str]]:
    """The one folder that has a layout, and which parts of the data set it has.

    Args:
        layout: the layout, for the message.
        roots: each folder that has the layout -> its parts.

    Raises:
        ValueError: none has it, or several do.
    """
    if len(roots) != 1:
        found = first_few([root or "the folder itself" for root in sorted(roots)]) or "none"
        raise ValueError(
            f"{layout.name} needs {layout.what} in one folder. Found: {found}. "
            "Pass one such folder."
        )
    return next(iter(roots.items()))


def read_text(files: Files, name: str) -> str:
    """The text of a file in UTF-8, or in UTF-16 with a mark, as spreadsheets also write it."""
    content = files.read(name)
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} must be in UTF-8: {error}. Save it so.") from error


def number_of(text: str) -> int:
    """An id below 2**52 for a name; the same everywhere."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 12


def list_pairs(
    pairs: list[Pair],
    lists: Iterable[str],
    files: Files,
    names: Iterable[str],
    skipped: Skipped,
    fix: str,
) -> Listing:
    """Lists the images of pairs, and counts what is left out.

    A product in several splits is left in the last of train, validation and test.

    Args:
        pairs: the pairs; a product has one target.
        lists: the files that name them.
        files: what is there.
        names: of those, the ones that are not hidden.
        skipped: counts pairs that are named twice, files that are not there or in no pair, and
            photos of products that are tested.
        fix: what to do if files are not there.

    Raises:
        ValueError: more than 1% of the files are not there.
    """
    named = sorted({name for pair in pairs for name in (pair.source, pair.target)})
    missing = {name for name in named if not files.exists(name)}
    for name in sorted(missing):
        skipped.add(MISSING, name)
    if len(missing) > MAX_UNREADABLE * len(named):
        raise ValueError(
            f"{len(missing)} of {len(named)} files in {' and '.join(lists)} are not there: "
            f"{first_few(sorted(missing))}. {fix}"
        )
    used = set(named) | {pair.mask for pair in pairs} | set(lists)
    for name in names:
        if name not in used:
            skipped.add(NOT_LISTED, name)
    split: dict[int, str] = {}
    for pair in pairs:
        others = pair.split, split.get(pair.product_id, pair.split)
        split[pair.product_id] = max(others, key=OFFICIAL.index) if pair.split else ""
    targets: dict[int, Pair] = {}
    sources: dict[tuple[int, str], Pair] = {}
    for pair in pairs:
        if pair.split != split[pair.product_id]:
            skipped.add(IN_OTHER_SPLIT, pair.source)
        elif (pair.product_id, pair.source) in sources:
            skipped.add(REPEATED, pair.source)
        else:
            targets.setdefault(pair.product_id, pair)
            sources[pair.product_id, pair.source] = pair
    found = [(key, False, pair.target) for key, pair in targets.items()]
    found += [(key, True, pair.source) for (key, _), pair in sources.items()]
    listed = [
        Listed(name, product, not is_source, number)
        for number, (product, is_source, name) in enumerate(sorted(found))
        if name not in missing
    ]
    return Listing(
        whole_products(listed, skipped),
        {key: {"category": pair.category} for key, pair in targets.items() if pair.category},
        {key: name for key, name in split.items() if name},
        {key: pair.item for key, pair in targets.items() if pair.item is not None},
        {key: pair.mask for key, pair in targets.items() if pair.mask and files.exists(pair.mask)},
    )


def whole_products(files: Iterable[Listed], skipped: Skipped) -> list[Listed]:
    """Leaves out the products that have no product image or no person image."""
    files = list(files)
    with_target = {file.product_id for file in files if file.is_target}
    with_source = {file.product_id for file in files if not file.is_target}
    whole = []
    for file in files:
        if file.product_id not in with_target:
            skipped.add(NO_PRODUCT_IMAGE, file.name)
        elif file.product_id not in with_source:
            skipped.add(NO_PERSON_IMAGE, file.name)
        else:
            whole.append(file)
    return whole


def lines_of(files: Files, name: str, columns: int, form: str) -> list[list[str]]:
    """The columns of each line of a list, between white space; empty lines are left out.

    Raises:
        ValueError: a line has another number of columns, or there are none.
    """
    rows = []
    for number, line in enumerate(read_text(files, name).splitlines(), 1):
        row = line.split()
        if row and len(row) != columns:
            raise ValueError(
                f"{name}, line {number} must be `{form}`. Received: {line.strip()[:SHOWN]!r}"
            )
        if row:
            rows.append(row)
    if not rows:
        raise ValueError(f"{name} is empty. Each line must be `{form}`.")
    return rows
