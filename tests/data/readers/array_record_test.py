import collections
import importlib.util
import io
import logging
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from keras_pixdt import data
from keras_pixdt.data.readers import pair_table
from keras_pixdt.data.stored import Stored

NAME = "tfds:lookbook/tiny"
ARRAYS = ("sources", "targets", "masks", "flows")


def load(folder, form="array_record", name=NAME, size=32, photo_size=64, **options):
    options = {"photo_size": photo_size, "truth": True, **options}
    return data.load_pairs(name, size, data_dir=str(folder / form), **options)


def files_of(folder, config="tiny"):
    return folder / "lookbook" / config / "1.0.0"


def assert_equal_batches(stored, memory):
    assert len(stored) == len(memory) > 0
    for index in range(len(memory)):
        found, expected = stored[index], memory[index]
        assert found.keys() == expected.keys()
        for key, rows in expected.items():
            assert found[key].dtype == rows.dtype
            np.testing.assert_array_equal(found[key], rows, err_msg=key)


@pytest.mark.parametrize(("size", "photo_size"), [(32, 64), (16, 24)])
def test_pairs_equal_those_that_are_read_into_memory(prepared, size, photo_size):
    stored, memory = (
        load(prepared, form, size=size, photo_size=photo_size)
        for form in ("array_record", "tfrecord")
    )
    assert list(stored) == list(memory) == ["train", "validation", "test"]
    for split, expected in memory.items():
        found = stored[split]
        for name in ("target_index", "product_id", "group_id"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        assert found.attributes == expected.attributes and found.attributes
        for name in ARRAYS:
            images, pixels = getattr(found, name), getattr(expected, name)
            assert isinstance(images, Stored)
            assert (images.shape, images.dtype) == (pixels.shape, pixels.dtype)
            np.testing.assert_array_equal(np.asarray(images), pixels, err_msg=name)


def test_jpegs_are_decoded_as_pillow_does(prepared):
    (pairs,) = (load(prepared, name="tfds:lookbook/tiny_jpeg", size=96, photo_size=96)["test"],)
    assert pairs.masks is None and pairs.flows is None
    builder = tfds.builder("lookbook/tiny_jpeg", data_dir=prepared / "array_record")
    skip = {name: tfds.decode.SkipDecoding() for name in ("source", "target")}
    examples = builder.as_data_source("test", decoders=skip)
    assert len(examples) == len(pairs) > 1
    for row, example in enumerate(examples):
        for name, image in (
            ("source", pairs.sources[row]),
            ("target", pairs.targets[pairs.target_index[row]]),
        ):
            file = Image.open(io.BytesIO(example[name]))
            assert file.format == "JPEG"
            np.testing.assert_array_equal(image, np.asarray(file))
        assert pairs.product_id[pairs.target_index[row]] == example["product_id"]


@pytest.mark.parametrize(
    "options",
    [
        {"mirror": True, "passes": 2},
        {"reverse": True},
        {"irrelevant": False, "augment": True, "truth": True, "mirror": True},
        {"irrelevant": False, "shuffle": False, "drop_remainder": False},
    ],
    ids=lambda options: "-".join(options),
)
def test_batches_equal_those_from_memory(prepared, options):
    stored, memory = (load(prepared, form)["train"] for form in ("array_record", "tfrecord"))
    assert_equal_batches(*(data.triplets(p, 16, seed=3, **options) for p in (stored, memory)))


def test_domains_and_selections_stay_stored(prepared):
    parts = [
        load(prepared, form, photo_size=32)["train"].select(np.array([4, 1, 2]))
        for form in ("array_record", "tfrecord")
    ]
    for name in ARRAYS:
        assert isinstance(getattr(parts[0], name), Stored)
        np.testing.assert_array_equal(*(np.asarray(getattr(part, name)) for part in parts))
    stored, memory = (part.domains() for part in parts)
    assert isinstance(stored.exchanged().sources, Stored)
    assert_equal_batches(
        data.unpaired(stored, 4, mirror=True), data.unpaired(memory, 4, mirror=True)
    )


def test_a_batch_reads_its_own_records_only(prepared, monkeypatch):
    pairs = load(prepared, truth=False)["train"]
    read = collections.Counter()
    records = type(pairs.sources._records)
    get = records.__getitem__

    def counted(self, record):
        read[record] += 1
        return get(self, record)

    monkeypatch.setattr(records, "__getitem__", counted)
    batch = data.triplets(pairs, 8, irrelevant=False)[0]
    assert sum(read.values()) == 2 * len(batch["source"]) == 16


@pytest.fixture
def copied(prepared, tmp_path):
    """The folder of the data of a copy that may be changed."""
    shutil.copytree(prepared / "array_record", tmp_path / "array_record")
    return files_of(tmp_path / "array_record")


def test_a_table_that_is_missing_is_made_once(prepared, copied, tmp_path, caplog):
    expected = load(prepared)["train"]
    for path in copied.glob("pairs-*.npz"):
        path.unlink()
    logging.getLogger("absl").addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.INFO, "absl"):
            found = load(tmp_path)["train"]
            assert "There is no" in caplog.text and "pairs-train.npz" in caplog.text
            caplog.clear()
            load(tmp_path)
            assert "There is no" not in caplog.text
    finally:
        logging.getLogger("absl").removeHandler(caplog.handler)
    for name in ("target_index", "product_id", "group_id"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert found.attributes == expected.attributes


def test_a_table_of_other_records_is_refused(copied, tmp_path):
    whole = pair_table.path_of(copied, "train").read_bytes()
    shutil.copy(pair_table.path_of(copied, "test"), pair_table.path_of(copied, "train"))
    with pytest.raises(ValueError, match=r"pairs-train\.npz is of other records.*Remove it"):
        load(tmp_path)
    pair_table.path_of(copied, "train").write_bytes(whole)
    table = pair_table.read(copied, "train")
    table.source_id[0] += 1
    pair_table.save(copied, "train", table)
    with pytest.raises(ValueError, match=r"pairs-train\.npz is of other records"):
        load(tmp_path)


def test_files_that_are_missing_or_damaged_are_named(copied, tmp_path):
    path = next(copied.glob("lookbook-train.array_record*"))
    whole = path.read_bytes()
    table = pair_table.path_of(copied, "train").rename(tmp_path / "table")
    shutil.copy(next(copied.glob("lookbook-test.array_record*")), path)
    with pytest.raises(ValueError, match=r"train: record \d+ cannot be read.*Copy the files again"):
        load(tmp_path)
    table.rename(pair_table.path_of(copied, "train"))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"lookbook/tiny/1\.0\.0, train.*Copy the files again"):
        load(tmp_path)
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes(4096) + whole[middle + 4096 :])
    with pytest.raises(ValueError, match=r"train: record \d+ cannot be read.*build the set again"):
        np.asarray(load(tmp_path)["train"].sources)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"train has no file .*lookbook-train.array_record"):
        load(tmp_path)


def test_a_package_that_is_missing_is_named_with_the_fix(prepared, monkeypatch):
    missing = ["tensorflow"]
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name in missing else find(name)
    )
    with pytest.raises(ModuleNotFoundError, match=r"lookbook/tiny.* was prepared as tfrecord"):
        load(prepared, "tfrecord")
    assert len(load(prepared)["train"].sources[:2]) == 2
    missing[0] = "array_record"
    with pytest.raises(ModuleNotFoundError, match="pip install array_record.*file_format=tfrecord"):
        load(prepared)
