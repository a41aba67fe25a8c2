"""A table of pairs: CSV or TSV, a pair on each line, with the names of its columns on the first.

`source` and `target` are needed: the files of the photo and of the product image, relative to the
table. Known as well are `product_id`, by default the target's file; `split` (train, validation or
test); and the attributes `category`, `pattern` and `color`. Columns are separated by commas,
semicolons, tabs or bars, whichever the first line has.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import pathlib
import posixpath
from collections.abc import Iterator

from absl import logging

from keras_pixdt.data.files import Files, Skipped, first_few
from keras_pixdt.data.readers.attributes import ATTRIBUTES, id_of
from keras_pixdt.data.readers.listing import (
    SHOWN,
    Layout,
    Listing,
    Pair,
    list_pairs,
    number_of,
    read_text,
)

_NEEDED = ("source", "target")
_KNOWN = (*_NEEDED, "product_id", "split", *ATTRIBUTES)
_SPLITS = {
    "train": "train", "training": "train", "val": "validation", "valid": "validation",
    "validation": "validation", "dev": "validation", "test": "test", "testing": "test",
}  # fmt: skip


def is_table(name: str) -> bool:
    """Whether a file name has the ending of a table."""
    return pathlib.PurePath(name).suffix.lower() in (".csv", ".tsv")


def _header(text: str) -> tuple[list[str], str]:
    """The names of the columns, and what separates them."""
    first = text.partition("\n")[0].partition("\r")[0]
    found = [
        ([name.strip().lower() for name in next(csv.reader([first], delimiter=mark), [])], mark)
        for mark in ",;\t|"
    ]
    return max(found, key=lambda each: (set(_NEEDED) <= set(each[0]), len(each[0])))


def _tables(files: Files, names: list[str]) -> list[str]:
    """The tables of pairs."""

    def fits(name: str) -> bool:
        try:
            return set(_NEEDED) <= set(_header(read_text(files, name))[0])
        except (ValueError, OSError, csv.Error):
            return False  # a table of something else

    return [name for name in names if is_table(name) and fits(name)]


def _why(files: Files, names: list[str]) -> str | None:
    tables = _tables(files, names)
    return f"the columns of {tables[0]}" if tables else None


def _read(files: Files, names: list[str], skipped: Skipped) -> Listing:
    tables = _tables(files, names) or [name for name in names if is_table(name)]
    if len(tables) != 1:
        raise ValueError(
            f"{LAYOUT.name} needs {LAYOUT.what}. Found: {first_few(tables) or 'no table'} "
            f"among {len(names)} file(s). Pass the table itself."
        )
    (table,) = tables
    try:
        rows = list(_rows(table, read_text(files, table)))
    except csv.Error as error:
        raise ValueError(f"{table} is no whole table: {error}. Write it again.") from error
    pairs = []
    first: dict[tuple[int, str], tuple[str, int]] = {}  # what was said of a product, and where
    known: dict[int, str] = {}
    attributes: dict[int, dict[str, str]] = {}
    for line, row in rows:
        source, target = (_path(files, table, row[name]) for name in _NEEDED)
        key = row.get("product_id", target)
        number = id_of(key) if key.isdecimal() else None
        product = number_of(key) if number is None else number
        if known.setdefault(product, key) != key:
            raise ValueError(
                f"{table}, line {line}: `product_id` {key!r} is the same number as "
                f"{known[product]!r}. Write both alike, or give them letters."
            )
        said = {"target": target, **{name: row[name] for name in ATTRIBUTES if row.get(name)}}
        for name, value in said.items():
            earlier, where = first.setdefault((product, name), (value, line))
            if earlier != value:
                raise ValueError(
                    f"{table}, line {line}: product {key!r} must have one {name}. Received: "
                    f"{value!r}, and {earlier!r} in line {where}. Give each product a `product_id` "
                    "of its own, or correct one of the two."
                )
        attributes.setdefault(product, {}).update({k: v for k, v in said.items() if k != "target"})
        pairs.append(Pair(source, target, product, row.get("split", "")))
    fix = f"Paths are relative to {table}, with / between folders."
    listing = list_pairs(pairs, [table], files, names, skipped, fix)
    return dataclasses.replace(listing, attributes={k: v for k, v in attributes.items() if v})


def _path(files: Files, table: str, cell: str) -> str:
    """A file as `files` names it."""
    paths = [cell, cell.replace("\\", "/")]
    names = [posixpath.normpath(posixpath.join(posixpath.dirname(table), path)) for path in paths]
    return next(filter(files.exists, names), names[0])


def _rows(table: str, text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """The number of each line and its known columns, checked."""
    if not text.strip():
        raise ValueError(f"{table} is empty. Its first line must be `source,target`.")
    header, mark = _header(text)
    for name in _KNOWN:
        if header.count(name) != 1 and (name in _NEEDED or name in header):
            raise ValueError(
                f"{table} must have one column `{name}`, in its first line. "
                f"Received: {', '.join(header)[:SHOWN]}"
            )
    if other := [name for name in header if name not in _KNOWN]:
        logging.info("%s: columns that are not used: %s", table, ", ".join(other))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
    next(reader)
    count = 0
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        line = reader.line_num
        row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
        empty = [name for name in (*_NEEDED, "product_id", "split") if name in header and
                 not row.get(name)]  # fmt: skip
        if len(cells) != len(header) or empty:
            raise ValueError(
                f"{table}, line {line} must have {len(header)} columns, and "
                f"{', '.join(empty) or 'no more'} in it. Received: {mark.join(cells)[:SHOWN]!r}"
            )
        if "split" in row:
            if row["split"].lower() not in _SPLITS:
                raise ValueError(
                    f"{table}, line {line}: `split` must be train, validation or test. Received: "
                    f"{row['split']!r}"
                )
            row["split"] = _SPLITS[row["split"].lower()]
        count += 1
        yield line, row
    if not count:
        raise ValueError(f"{table} has no pairs below its first line, {', '.join(header)}.")


LAYOUT = Layout(
    "csv",
    "a .csv or .tsv file with the columns source and target",
    is_table,
    _why,
    _read,
)
