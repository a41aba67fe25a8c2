"""Opens pairs that TFDS prepared as array_record, which are read by random access."""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Iterable
from typing import Any

import numpy as np
from absl import logging

from keras_pixdt import progress
from keras_pixdt.choices import Size, as_height_width
from keras_pixdt.data import images
from keras_pixdt.data.pairs import PairSet
from keras_pixdt.data.readers import pair_table
from keras_pixdt.data.readers.pair_table import PairTable
from keras_pixdt.data.stored import Stored

FORMAT = "array_record"
_COMPARED = 8  # records that are compared with the table


def open_pairs(
    builder: Any, split: str, image_size: Size, photo_size: Size, resize: str, truth: bool
) -> PairSet:
    """Opens the pairs of a split; needs no TensorFlow, and reads a few records.

    Args:
        builder: of a set of `tfds_lookbook`, prepared as array_record.
        split: its name.
        image_size: see `load_pairs`, as the others.
        photo_size: size of the photos.
        resize: how images are brought to these sizes.
        truth: whether to open masks and flows, if there are any.

    Returns:
        Pairs whose images are `Stored`.

    Raises:
        FileNotFoundError: a file of the split is missing.
        ModuleNotFoundError: the package array_record is not installed.
        ValueError: the table of the pairs is damaged or of other records, or a record cannot be
            read.
    """
    records = _Records(builder, split)
    table = _table(builder, split, records)
    photos = np.arange(len(table.target_index))

    def stored(name: str, rows: np.ndarray, size: Size) -> Any:
        decode = functools.partial(_image, records.name, name, size, resize)
        return Stored(records, decode, rows, (*as_height_width(size), 3))

    masks: Any = None
    flows: Any = None
    if truth and "mask" in builder.info.features:
        mask = functools.partial(_mask, records.name, image_size, resize)
        masks = Stored(records, mask, table.record, as_height_width(image_size))
    if truth and "flow" in builder.info.features:
        flow = functools.partial(_flow, builder.info.features)
        flows = Stored(records, flow, photos, flow(records[0], 0).shape, np.float16)
    return PairSet(
        sources=stored("source", photos, photo_size),
        targets=stored("target", table.record, image_size),
        target_index=table.target_index,
        product_id=table.product_id,
        group_id=table.group_id,
        attributes=table.attributes,
        masks=masks,
        flows=flows,
    )


class _Records:
    """The records of a split as bytes."""

    def __init__(self, builder: Any, split: str) -> None:
        import tensorflow_datasets as tfds

        self.name = f"{builder.info.full_name}, {split}"
        if importlib.util.find_spec(FORMAT) is None:  # TFDS brings it on Linux only
            raise ModuleNotFoundError(
                f"{self.name} was prepared as {FORMAT}, which needs the package of this name: pip "
                f"install {FORMAT}. Where there is none, build the set with --file_format=tfrecord."
            )
        for path in builder.info.splits[split].filepaths:
            if not os.path.exists(path):
                raise FileNotFoundError(
                    f"{self.name} has no file {path}. Copy it again, or build the set again."
                )
        self._source = builder.as_data_source(
            split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES
        )

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, record: int) -> bytes:
        try:
            return self._source[record]
        except Exception as error:  # the reader raises RuntimeError, IndexError and more
            raise ValueError(
                f"{self.name}: record {record} cannot be read: {error}. Copy the files again, or "
                "build the set again."
            ) from error


def _feature(data: bytes, name: str) -> Any:
    """A feature of a record, as it is stored: bytes or a number."""
    return _features(data, (name,))[name]


def _features(data: bytes, names: Iterable[str]) -> dict[str, Any]:
    """Features of a record, as they are stored."""
    from tensorflow_datasets.proto import tf_example_pb2

    features = tf_example_pb2.Example.FromString(data).features.feature
    return {
        name: getattr(features[name], features[name].WhichOneof("kind")).value[0] for name in names
    }


def _image(where: str, name: str, size: Size, resize: str, data: bytes, record: int) -> np.ndarray:
    """An image of a record, decoded as one in a file is; uint8 (height, width, 3)."""
    return images.resize(_pixels(where, name, data, record), size, resize)


def _mask(where: str, size: Size, resize: str, data: bytes, record: int) -> np.ndarray:
    return images.resize_mask(_pixels(where, "mask", data, record), size, resize)


def _pixels(where: str, name: str, data: bytes, record: int) -> np.ndarray:
    return images.read_image(_feature(data, name), f"{where}: {name} of record {record}")


def _flow(features: Any, data: bytes, record: int) -> np.ndarray:
    import tensorflow_datasets as tfds

    others = {name: tfds.decode.SkipDecoding() for name in features if name != "flow"}
    return features.deserialize_example_np(data, decoders=others)["flow"]


def _table(builder: Any, split: str, records: _Records) -> PairTable:
    """The table beside the records; makes it if there is none."""
    path = pair_table.path_of(builder.data_dir, split)
    table = pair_table.read(builder.data_dir, split)
    if table is None:
        logging.info("There is no %s, which is made from the records, once", path)
        rows = progress.bar(f"Reading {split}", range(len(records)), len(records))
        table = pair_table.table_of(_features(records[row], pair_table.FEATURES) for row in rows)
        try:
            pair_table.save(builder.data_dir, split, table)
        except OSError as error:
            logging.warning(
                "%s cannot be written (%s), so it is made again each time", path, error.strerror
            )
    count = len(records)
    compared = np.linspace(0, count - 1, min(_COMPARED, count)).astype(int)
    same = len(table.target_index) == count and all(
        (_feature(data, "product_id"), _feature(data, "source_id"))
        == (table.product_id[table.target_index[row]], table.source_id[row])
        for row, data in ((row, records[int(row)]) for row in compared)
    )
    if not same:
        raise ValueError(
            f"{path} is of other records than those of {records.name}. Remove it; it is made again."
        )
    return table
