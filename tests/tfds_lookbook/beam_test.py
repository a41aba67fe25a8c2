"""Sets that are built by Apache Beam, or as array_record, and the same built as ever."""

import pathlib
import shutil
import urllib.error

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability import prism_runner
from PIL import Image

import tfds_lookbook
from keras_pixdt.data import distributed
from keras_pixdt.data.readers import layouts as layouts_reader
from keras_pixdt.data.readers import pair_table
from keras_pixdt.drawn import rendered
from tests.data.readers import layouts

DRAWN = tfds_lookbook.LookBookConfig(
    name="rendered32_flow", image_size=32, photo_size=64, num_products=6, seed=5, truth=True
)


def build(data_dir, config, manual_dir=None, file_format=None, **options):
    builder = tfds_lookbook.Builder(data_dir=data_dir, config=config, file_format=file_format)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=manual_dir, **options)
    )
    return builder


def records(builder) -> dict[str, list[bytes]]:
    """The examples of each split in the order of its files, serialized."""
    found = {}
    for split in builder.info.splits.values():
        files = [str(path) for path in split.filepaths]
        found[split.name] = [
            # In a process of its own, protobuf has another order of the features.
            tf.train.Example.FromString(record).SerializeToString(deterministic=True)
            for record in tf.data.TFRecordDataset(files).as_numpy_iterator()
        ]
    return found


def texts(builder) -> dict[str, str]:
    """The other files, with splits, shards, features, and what was left out."""
    folder = pathlib.Path(builder.data_dir)
    assert not [path for path in folder.iterdir() if path.is_dir()]
    return {path.name: path.read_text() for path in folder.glob("*.json")}


def lookbook(folder):
    """With files of every kind that is left out, and a product image of three products."""
    rendered.write_lookbook(folder, 14, 32, 5, processes=1)
    person = sorted(folder.glob("*CLEAN0*"))[2]
    person.write_bytes(person.read_bytes()[:200])
    (folder / "notes.txt").write_text("from the archive")
    next(folder.glob("PID000003_CLEAN1*")).unlink()
    first = next(folder.glob("PID000000_CLEAN1*")).read_bytes()
    for product in (5, 9):
        next(folder.glob(f"PID{product:06d}_CLEAN1*")).write_bytes(first)
    return folder


def broken_target(folder):
    """In an archive; the only photo of one product and the product image of another are broken."""
    rendered.write_lookbook(folder, 32, 32, 5, processes=1)
    next(folder.glob("PID000004_CLEAN1*")).write_bytes(b"")
    first, *others = sorted(folder.glob("PID000006_CLEAN0*"))
    first.write_bytes(b"")
    for path in others:
        path.unlink()
    archive = folder.parent / "archive"
    archive.mkdir()
    shutil.make_archive(str(archive / "LookBook"), "zip", folder)
    return archive


def viton_hd(folder):
    """With official splits, and a training cloth that is tested too."""
    layouts.viton_hd(folder)
    cloth = folder / "test/cloth/00009_00.jpg"
    (folder / "train/cloth/00003_00.jpg").write_bytes(cloth.read_bytes())
    return folder


def table(folder):
    layouts.table(folder)
    return folder


SKIPPED = {
    lookbook: {"wrong_name": 1, "unreadable": 1},
    broken_target: {"unreadable": 2, "no_person_image": 1},
    viton_hd: {"duplicate_of_another_split": 1},
    table: {},
}


def offline(*_):
    raise urllib.error.URLError("there is no network")


@pytest.mark.parametrize(
    "make, config, runner",
    [
        (lookbook, "pairs64", "DirectRunner"),
        (broken_target, "pairs64_kwon2019", "FnApiRunner"),
        (viton_hd, "pairs64_photo256_masks", "FnApiRunner"),
        (table, "pairs256", "FnApiRunner"),
        (None, DRAWN, "FnApiRunner"),
    ],
)
def test_beam_builds_the_same_set(tmp_path, monkeypatch, make, config, runner):
    monkeypatch.setattr(distributed, "_MIN_PIECES", 4)  # of several products each
    # DirectRunner would download another runner, and takes the one that is here if it cannot.
    monkeypatch.setattr(prism_runner, "urlopen", offline)
    monkeypatch.setattr(prism_runner.PrismJobServer, "BIN_CACHE", str(tmp_path))
    folder = make and make(tmp_path / "manual")
    expected = build(tmp_path / "plain", config, folder)
    # Both ways to ask for Beam: a runner, or options that name one.
    options = {"beam_runner": runner, "beam_options": PipelineOptions([])}
    if make is lookbook:
        options = {"beam_options": PipelineOptions([f"--runner={runner}"])}
    built = build(tmp_path / "beam", config, folder, **options)
    assert records(built) == records(expected)
    assert texts(built) == texts(expected)
    if make:
        assert SKIPPED[make].items() <= built.info.metadata["skipped"].items()


def test_shards_hold_the_same_order(tmp_path):
    folder = lookbook(tmp_path / "manual")
    expected = build(tmp_path / "plain", "pairs64", folder)
    built = build(tmp_path / "beam", "pairs64", folder, num_shards=3, beam_runner="FnApiRunner")
    assert built.info.splits["train"].num_shards == 3
    assert records(built) == records(expected)


def test_beam_stops_for_the_same_reasons(tmp_path):
    folder = tmp_path / "manual"
    rendered.write_lookbook(folder, 12, 32, 5, processes=1)
    for path in sorted(folder.glob("*CLEAN0*"))[:3]:
        path.write_bytes(b"")
    messages = []
    for name, options in (("plain", {}), ("beam", {"beam_runner": "FnApiRunner"})):
        with pytest.raises(ValueError, match="3 of .* cannot be read, more than 1%") as error:
            build(tmp_path / name, "pairs64", folder, **options)
        messages.append(str(error.value))
        assert not list((tmp_path / name / "lookbook" / "pairs64").iterdir())
    assert messages[0] == messages[1]
    with pytest.raises(ValueError, match="`max_examples_per_split` must be None.*Received: 5"):
        build(
            tmp_path / "some",
            "pairs64",
            folder,
            beam_runner="FnApiRunner",
            max_examples_per_split=5,
        )


def test_workers_say_if_they_do_not_see_the_folder(tmp_path):
    folder = lookbook(tmp_path / "manual")
    maker = layouts_reader.plan_lookbook(folder, 32).maker
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match="is not there for a worker.*they share"):
        with maker.open():
            pass


def test_workers_read_masks_as_one_process_does(tmp_path):
    folder = layouts.viton_hd(tmp_path)
    plan = layouts_reader.plan_lookbook(folder, 32, truth=True)
    (_, first), (_, second), *_ = plan.products
    with plan.maker.open() as read:
        assert read(first).mask.any()
        (folder / first[1]).write_bytes(b"")
        target = next(file.name for file in first[0] if file.is_target)
        (folder / target).write_bytes(b"")  # so the product is left out
        assert read(first).target is None and read(first).mask is None
        Image.new("L", (32, 32), 255).save(folder / second[1])
        with pytest.raises(ValueError, match="must have the proportions.*32x24.*32x32 px"):
            read(second)


@pytest.mark.parametrize("options", [{}, {"beam_runner": "FnApiRunner"}])
def test_an_array_record_build_has_tables_of_its_pairs(tmp_path, options):
    folder = lookbook(tmp_path / "manual")
    builder = build(tmp_path / "tfds", "pairs64", folder, "array_record", **options)
    sources = builder.as_data_source()
    assert set(sources) == {"train", "validation", "test"}
    for split, source in sources.items():
        found = pair_table.read(builder.data_dir, split)
        assert len(found.target_index) == len(source) == builder.info.splits[split].num_examples
        assert found.target_index[found.record].tolist() == list(range(len(found.product_id)))
        for row, product in enumerate(found.target_index):
            example = source[row]
            for name in ("product_id", "group_id", "target_id"):
                assert getattr(found, name)[product] == example[name]
            assert found.source_id[row] == example["source_id"]
            assert found.attributes[product]["color"] == example["color"].decode()
            np.testing.assert_array_equal(
                example["target"], source[int(found.record[product])]["target"]
            )


def test_a_set_is_never_prepared_without_its_tables(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(pair_table, "write", fail)
    builder = tfds_lookbook.Builder(data_dir=tmp_path, config=DRAWN, file_format="array_record")
    with pytest.raises(OSError, match="No space left"):
        builder.download_and_prepare()
    assert not pathlib.Path(builder.data_dir).exists()
    # A tfrecord build writes none.
    plain = build(tmp_path / "plain", DRAWN)
    assert not list(pathlib.Path(plain.data_dir).glob("*.npz"))


class ArrayRecordTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = tfds_lookbook.Builder
    BUILDER_CONFIG_NAMES_TO_TEST = ["pairs64"]
    SPLITS = {"train": 62, "validation": 10, "test": 9}

    def _make_builder(self, config=None):
        return tfds_lookbook.Builder(
            data_dir=self.tmp_dir, config=config, file_format="array_record"
        )

    def _assertAsDataset(self, builder):  # which would need tfrecord
        for split, count in self.SPLITS.items():
            source = builder.as_data_source(split)
            assert len(source) == count
            for example in source:
                assert example["source"].shape == example["target"].shape == (64, 64, 3)
