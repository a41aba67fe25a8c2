"""The table beside a set that TFDS prepared: which records show which product.

It is the file `pairs-<split>.npz` in the folder of the data. With it, the pairs of a split are
known without reading its records, and each image can be read by itself.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from keras_pixdt.atomic import replacing
from keras_pixdt.data.readers.attributes import ATTRIBUTES

_OF_PRODUCTS = ("product_id", "group_id", "target_id")
FEATURES = (*_OF_PRODUCTS, "source_id", *ATTRIBUTES)  # of examples, from which a table is made


@dataclasses.dataclass(frozen=True)
class PairTable:
    """The records of a split, and the products that they show.

    Records are in the order of `builder.as_data_source(split)`, products in that of their first
    records.

    Attributes:
        target_index: int64 `(n,)`, the row of each record's product.
        record: int64 `(m,)`, the first record that shows each product.
        product_id: int64 `(m,)`, unique.
        group_id: int64 `(m,)`, equal for products that are duplicates of one another.
        target_id: int64 `(m,)`, the ids of the product images.
        source_id: int64 `(n,)`, the ids of the photos.
        attributes: one mapping per product (`category`, `pattern`, `color`, as far as known), or
            empty if nothing is known of any.
    """

    target_index: np.ndarray
    record: np.ndarray
    product_id: np.ndarray
    group_id: np.ndarray
    target_id: np.ndarray
    source_id: np.ndarray
    attributes: tuple[Mapping[str, str], ...] = ()


def path_of(data_dir: str | os.PathLike[str], split: str) -> pathlib.Path:
    """The file with the table of a split."""
    return pathlib.Path(data_dir, f"pairs-{split}.npz")


def table_of(examples: Iterable[Mapping[str, Any]]) -> PairTable:
    """Makes the table of records.

    Args:
        examples: the `FEATURES` of the records, in order. Attributes are text, or its UTF-8 bytes;
            empty ones are not known.
    """
    row_of: dict[int, int] = {}
    target_index, source_id, record = [], [], []
    products: dict[str, list[int]] = {name: [] for name in _OF_PRODUCTS}
    attributes = []
    for position, example in enumerate(examples):
        product = int(example["product_id"])
        if product not in row_of:
            row_of[product] = len(row_of)
            record.append(position)
            for name, values in products.items():
                values.append(int(example[name]))
            known = {name: _text(example.get(name, "")) for name in ATTRIBUTES}
            attributes.append({name: text for name, text in known.items() if text})
        target_index.append(row_of[product])
        source_id.append(int(example["source_id"]))
    return PairTable(
        target_index=np.array(target_index, np.int64),
        record=np.array(record, np.int64),
        source_id=np.array(source_id, np.int64),
        attributes=tuple(attributes) if any(attributes) else (),
        **{name: np.array(values, np.int64) for name, values in products.items()},
    )


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def write(
    data_dir: str | os.PathLike[str], split: str, examples: Iterable[Mapping[str, Any]]
) -> None:
    """Writes the table of a split, whole or not at all; see `table_of` for the examples."""
    save(data_dir, split, table_of(examples))


def save(data_dir: str | os.PathLike[str], split: str, table: PairTable) -> None:
    """Writes a table, as `write` does."""
    arrays = {field.name: getattr(table, field.name) for field in dataclasses.fields(table)}
    text = json.dumps([dict(each) for each in table.attributes], ensure_ascii=False)
    arrays["attributes"] = np.frombuffer(text.encode(), np.uint8)
    with replacing(path_of(data_dir, split)) as unfinished:
        np.savez(unfinished, **arrays)


def read(data_dir: str | os.PathLike[str], split: str) -> PairTable | None:
    """Reads the table of a split; None if there is no file.

    Raises:
        ValueError: the file is damaged.
    """
    path = path_of(data_dir, split)
    names = [field.name for field in dataclasses.fields(PairTable)]
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in names}
        attributes = tuple(json.loads(arrays.pop("attributes").tobytes()))
    except FileNotFoundError:
        return None
    # Archives raise these for a damaged member, NumPy for a damaged array or one that is missing.
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} is no table of pairs that can be read: {error}. Remove it; it is made again "
            "from the records."
        ) from error
    return PairTable(**arrays, attributes=attributes)
