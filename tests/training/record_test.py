import dataclasses
import importlib.metadata
import io
import logging
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter
from PIL import Image

from keras_pixdt.data import DomainSet, Labels, PairSet, load_pairs
from keras_pixdt.training import record
from keras_pixdt.training.record import fingerprint

WORKDIR = pathlib.Path("runs/mine")
PILLOW = importlib.metadata.version("pillow")


def pairs(count=6, seed=0, **more):
    """Two photos of each product."""
    rng = np.random.default_rng(seed)
    ids = np.arange(count // 2)
    sources, targets = (rng.integers(0, 256, (n, 8, 8, 3), np.uint8) for n in (count, count // 2))
    attributes = tuple({"category": "dress", "color": "red"} for _ in ids)
    return PairSet(sources, targets, np.repeat(ids, 2), ids, ids, attributes, **more)


def check(there, here, pillow=PILLOW, moved=True, strict=True):
    options = {"contents": record.describe(there), "versions": {"pillow": pillow}}
    record.check_data(options, record.describe(here), WORKDIR, moved=moved, strict=strict)


def test_fingerprints_see_values_shapes_and_types():
    a = np.arange(6, dtype=np.uint8)
    found = {
        fingerprint(*arrays)
        for arrays in ((a,), (a + 1,), (a.reshape(2, 3),), (a.view(np.int8),), (a, a))
    }
    assert len(found) == 5
    wide = np.zeros((3, 4), np.uint8)
    wide[:, ::2] = a.reshape(3, 2)
    assert fingerprint(wide[:, ::2]) == fingerprint(a.reshape(3, 2))


def test_the_same_data_pass_whatever_holds_them(caplog):
    reordered = tuple(dict(reversed(each.items())) for each in pairs().attributes)
    same = dataclasses.replace(pairs(), attributes=reordered)
    check({"train": pairs(), "test": pairs(4)}, {"test": pairs(4), "train": same})
    assert not caplog.text


def test_what_differs_is_named():
    base = pairs()
    one = base.sources.copy()
    one[-1, 0, 0, 0] ^= 1
    other_ids = dataclasses.replace(base, product_id=base.product_id + 1)
    masks = np.zeros((3, 8, 8), np.uint8)
    for here, difference in (
        ({"train": pairs(8)}, "train: 6 pairs and 3 products there, 8 pairs and 4 products here"),
        ({}, "train: 6 pairs and 3 products there, nothing here"),
        ({"train": base, "test": pairs(4)}, "test: nothing there, 4 pairs and 2 products here"),
        ({"train": dataclasses.replace(base, sources=one)}, "train: other pixels"),
        ({"train": dataclasses.replace(base, masks=masks)}, "train: other pixels"),
        ({"train": other_ids}, "train: other ids"),
        ({"train": dataclasses.replace(base, attributes=())}, "train: other attributes"),
        ({"train": base.domains()}, "train: 6 pairs and 3 products there, 6 sources and 3 targets"),
    ):
        with pytest.raises(ValueError, match="not those that runs/mine was trained on") as error:
            check({"train": base}, here)
        assert difference in str(error.value) and "--data" in str(error.value)


def test_domains_have_labels():
    images = pairs()
    labels = Labels(np.array([0, 1, 0]), ("a", "b"))
    plain = DomainSet(images.sources, images.targets)
    labelled = dataclasses.replace(plain, target_labels=labels)
    with pytest.raises(ValueError, match="other labels"):
        check({"train": plain}, {"train": labelled})
    check({"train": labelled}, {"train": labelled})


def test_another_pillow_may_read_other_pixels(caplog):
    here = {"train": pairs(seed=1)}
    check({"train": pairs()}, here, pillow="9.9")
    assert f"(train: other pixels). Pillow 9.9 read them then, and {PILLOW} does now" in caplog.text
    moved = dataclasses.replace(here["train"], product_id=np.arange(5, 8))
    with pytest.raises(ValueError, match="other ids; train: other pixels"):
        check({"train": pairs()}, {"train": moved}, pillow="9.9")


def test_a_run_of_an_earlier_version_does_not_know_its_data(caplog):
    with caplog.at_level(logging.WARNING):
        record.check_data({}, {}, WORKDIR, moved=False, strict=True)
        assert not caplog.text
        record.check_data({}, {}, WORKDIR, moved=True, strict=True)
    assert "runs/mine/run.json does not say what its data consist of" in caplog.text


def test_stored_pairs_are_known_again_in_another_folder_and_told_from_others(prepared, tmp_path):
    def load(folder, size=32):
        return load_pairs("tfds:lookbook/tiny", size, data_dir=str(folder), truth=True)

    here, copied = prepared / "array_record", tmp_path / "copied"
    shutil.copytree(here, copied)
    check({"train": load(here)["train"]}, {"train": load(copied)["train"]})
    path = next(copied.rglob("lookbook-train.array_record*"))
    reader = ArrayRecordReader(str(path))
    records = [reader.read([row])[0] for row in range(reader.num_records())]
    reader.close()

    def write(*last):
        writer = ArrayRecordWriter(str(path), "group_size:1")
        for written in [*records[:-1], *last]:
            writer.write(written)
        writer.close()

    # As another build has it: its features are in another order, and its file has another size.
    example = tf.train.Example.FromString(records[-1])
    features = dict(example.features.feature)
    parts = [tf.train.Features(feature={name: features[name]}) for name in sorted(features)[::-1]]
    again = b"".join(tf.train.Example(features=part).SerializeToString() for part in parts)
    assert again != records[-1]
    write(again)
    check(load(here), load(copied))
    image = Image.new("RGB", Image.open(io.BytesIO(features["source"].bytes_list.value[0])).size)
    image.save(png := io.BytesIO(), "PNG")
    example.features.feature["source"].bytes_list.value[0] = png.getvalue()
    write(example.SerializeToString())
    with pytest.raises(ValueError, match=r"\(train: other pixels\)"):
        check(load(here), load(copied))
    with pytest.raises(ValueError, match="train: other pixels"):
        check(load(here), load(here, 16))


def test_a_description_of_stored_pairs_reads_a_few_records(prepared, monkeypatch):
    pairs = load_pairs("tfds:lookbook/tiny", 32, data_dir=str(prepared / "array_record"))["train"]
    read = []
    records = type(pairs.sources._records)
    get = records.__getitem__
    monkeypatch.setattr(records, "__getitem__", lambda self, n: read.append(n) or get(self, n))
    record.describe({"train": pairs})
    assert len(read) == 32 + len(pairs.targets) < len(pairs)
