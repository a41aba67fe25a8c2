import json
import pathlib

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

import tfds_lookbook
from keras_pixdt import data
from keras_pixdt.drawn import rendered
from tests.data.readers import layouts

DUMMY_DATA = pathlib.Path(tfds_lookbook.__file__).parent / "lookbook" / "dummy_data"
SMALL = tfds_lookbook.LookBookConfig(name="rendered32_small", image_size=32, num_products=6, seed=5)


def count_pairs(loaded: dict[str, data.PairSet]) -> dict[str, int]:
    return {split: len(pairs) for split, pairs in loaded.items()}


class RenderedTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = tfds_lookbook.Builder
    BUILDER_CONFIG_NAMES_TO_TEST = [SMALL]
    # All are of a group of their own, so that splits are by product id.
    SPLITS = {
        split: sum(
            rendered.num_views(rendered.sample_product(int(i), 5)) for i in mask.nonzero()[0]
        )
        for split, mask in data.split_groups(np.arange(6)).items()
    }


class Pairs64Test(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = tfds_lookbook.Builder
    BUILDER_CONFIG_NAMES_TO_TEST = ["pairs64"]
    SPLITS = {"train": 62, "validation": 10, "test": 9}


class Pairs256Kwon2019Test(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = tfds_lookbook.Builder
    BUILDER_CONFIG_NAMES_TO_TEST = ["pairs256_kwon2019"]
    SPLITS = {"train": 71, "test": 10}


def prepare(config, tmp_path, manual_dir=None, file_format=None) -> tfds.core.DatasetBuilder:
    builder = tfds_lookbook.Builder(
        data_dir=tmp_path / "tfds", config=config, file_format=file_format
    )
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(
            manual_dir=manual_dir, compute_stats=tfds.download.ComputeStatsMode.SKIP
        )
    )
    return builder


def test_only_what_needs_no_manual_data_is_built_by_default():
    assert [config.name for config in tfds_lookbook.Builder.BUILDER_CONFIGS] == ["rendered64"]
    assert set(tfds_lookbook.Builder.builder_configs) == {
        "rendered64",
        "rendered256",
        "rendered64_flow",
        "pairs64_photo256",
        "pairs64_photo256_masks",
        "pairs64",
        "pairs256",
        "pairs256x192",
        "pairs256x192_masks",
        "pairs64_kwon2019",
        "pairs256_kwon2019",
    }


def test_examples_are_what_load_pairs_reads_from_the_folder(tmp_path):
    builder = prepare("pairs64", tmp_path, DUMMY_DATA)
    folder = data.load_pairs(DUMMY_DATA, 64)
    image_of = {}
    for split, pairs in folder.items():
        examples = list(tfds.as_numpy(builder.as_dataset(split=split)))
        assert len(examples) == len(pairs)
        for row, source in enumerate(pairs.sources):
            image_of[source.tobytes()] = pairs, pairs.target_index[row]
        for example in examples:
            pairs_of, product = image_of[example["source"].tobytes()]
            assert pairs_of is pairs
            np.testing.assert_array_equal(example["target"], pairs.targets[product])
            assert example["product_id"] == pairs.product_id[product]
            assert example["group_id"] == pairs.group_id[product]
            assert example["category"].decode() == pairs.attributes[product]["category"]
            names = list(
                DUMMY_DATA.glob(
                    f"PID*{example['product_id']}_CLEAN0_IID*{example['source_id']}.jpg"
                )
            )
            assert len(names) == 1


def test_load_pairs_reads_back_what_was_built(tmp_path):
    prepare(SMALL, tmp_path)
    loaded = data.load_pairs("tfds:lookbook/rendered32_small", 32, data_dir=tmp_path / "tfds")
    drawn = data.load_pairs("rendered", 32, seed=5, num_products=6)
    assert list(loaded) == list(drawn)
    assert count_pairs(loaded) == count_pairs(drawn)
    for split, pairs in loaded.items():
        expected = drawn[split]
        rows = np.argsort(pairs.product_id)
        np.testing.assert_array_equal(pairs.product_id[rows], np.sort(expected.product_id))
        np.testing.assert_array_equal(pairs.targets[rows], expected.targets)
        assert pairs.attributes[rows[0]]["color"] == expected.attributes[0]["color"]
        assert sorted(
            zip(
                pairs.product_id[pairs.target_index].tolist(),
                [image.tobytes() for image in pairs.sources],
                strict=True,
            )
        ) == sorted(
            zip(
                expected.product_id[expected.target_index].tolist(),
                [image.tobytes() for image in expected.sources],
                strict=True,
            )
        )
    smaller = data.load_pairs("tfds:lookbook/rendered32_small", 16, data_dir=tmp_path / "tfds")
    assert smaller["train"].image_size == 16


def test_configs_of_kwon_et_al_are_stretched_and_the_others_letterboxed(tmp_path):
    folder = tmp_path / "manual"
    rendered.write_lookbook(folder, 12, 32, 5, processes=1)
    for path in folder.glob("*.jpg"):  # tall
        data.write_image(path, data.read_image(path)[:, 6:26])
    for config, resize, other in (
        ("pairs64_kwon2019", "stretch", "letterbox"),
        ("pairs64", "letterbox", "stretch"),
    ):
        builder = prepare(config, tmp_path, folder)
        assert builder.info.metadata["resize"] == resize
        options = {"data_dir": tmp_path / "tfds"}
        loaded = data.load_pairs(f"tfds:lookbook/{config}", 64, resize=resize, **options)
        splits = builder.builder_config.splits
        read = data.load_pairs(folder, 64, splits=splits, resize=resize)
        for split, pairs in read.items():
            assert {image.tobytes() for image in loaded[split].sources} == {
                image.tobytes() for image in pairs.sources
            }
            assert {image.tobytes() for image in loaded[split].targets} == {
                image.tobytes() for image in pairs.targets
            }
        message = f"`resize` must be '{resize}' for tfds:lookbook/{config}.*Received: '{other}'"
        with pytest.raises(ValueError, match=f"{message}.*--set resize={resize}.*pairs256_kwon"):
            data.load_pairs(f"tfds:lookbook/{config}", 64, resize=other, **options)
    assert (builder.version, prepare("pairs64_kwon2019", tmp_path).version) == ("1.0.0", "2.0.0")
    # A set that was built before it said so is letterboxed.
    stored = pathlib.Path(builder.data_dir) / "metadata.json"
    metadata = json.loads(stored.read_text())
    del metadata["resize"]
    stored.write_text(json.dumps(metadata))
    data.load_pairs("tfds:lookbook/pairs64", 64, **options)
    with pytest.raises(ValueError, match="`resize` must be 'letterbox'"):
        data.load_pairs("tfds:lookbook/pairs64", 64, resize="stretch", **options)


def test_drawings_are_square_however_they_would_be_resized(tmp_path):
    builder = prepare(SMALL, tmp_path)
    assert builder.info.metadata["resize"] is None
    name, options = "tfds:lookbook/rendered32_small", {"data_dir": tmp_path / "tfds"}
    stretched, boxed = (
        data.load_pairs(name, 16, resize=resize, **options)["test"]
        for resize in ("stretch", "letterbox")
    )
    np.testing.assert_array_equal(stretched.sources, boxed.sources)
    # One that was built before sets said how has its name.
    stored = pathlib.Path(builder.data_dir) / "metadata.json"
    metadata = json.loads(stored.read_text())
    del metadata["resize"]
    stored.write_text(json.dumps(metadata))
    data.load_pairs(name, 16, resize="stretch", **options)


def test_load_pairs_says_how_to_build_what_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="tfds build lookbook/rendered64 --imports"):
        data.load_pairs("tfds:lookbook/rendered64", data_dir=tmp_path)
    with pytest.raises(ValueError, match="pairs64_kwon2019.*Received: splits='kwon2019'"):
        data.load_pairs("tfds:lookbook/pairs64", splits="kwon2019", data_dir=tmp_path)


@pytest.mark.parametrize("beam_runner", [None, "FnApiRunner"])
def test_files_without_masks_are_named(tmp_path, beam_runner):
    layouts.viton_hd(tmp_path / "manual")
    (tmp_path / "manual/train/cloth-mask/00003_00.jpg").unlink()
    config = "pairs64_photo256_masks"
    builder = tfds_lookbook.Builder(data_dir=tmp_path / "tfds", config=config)
    with pytest.raises(ValueError, match="manual must have a mask for each product.*without"):
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(
                manual_dir=tmp_path / "manual", beam_runner=beam_runner
            )
        )


def test_bad_files_are_counted_in_the_metadata(tmp_path):
    folder = tmp_path / "manual"
    rendered.write_lookbook(folder, 12, 32, 5, processes=1)
    persons = sorted(folder.glob("*CLEAN0*"))
    persons[0].write_bytes(persons[0].read_bytes()[:200])
    (folder / "._a.jpg").write_bytes(b"")
    (folder / "notes.txt").write_text("from the archive")
    next(folder.glob("PID000003_CLEAN1*")).unlink()
    orphans = len(list(folder.glob("PID000003_CLEAN0*")))
    builder = prepare("pairs64", tmp_path, folder)
    expected = {
        "hidden_file": 1,
        "wrong_name": 1,
        "no_product_image": orphans,
        "unreadable": 1,
    }
    assert builder.info.metadata["skipped"] == expected
    assert builder.info.metadata["skipped_examples"]["unreadable"] == [persons[0].name]
    assert builder.info.metadata["products"] == 11
    # It is stored with the data.
    reloaded = tfds.builder("lookbook/pairs64", data_dir=tmp_path / "tfds")
    assert reloaded.info.metadata["skipped"] == expected
    stored = json.loads((pathlib.Path(builder.data_dir) / "metadata.json").read_text())
    assert stored["pairs"] == sum(split.num_examples for split in reloaded.info.splits.values())


def test_too_many_bad_files_stop_the_build(tmp_path):
    folder = tmp_path / "manual"
    rendered.write_lookbook(folder, 12, 32, 5, processes=1)
    for path in sorted(folder.glob("*CLEAN0*"))[:3]:
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="3 of .* images .* cannot be read, more than 1%"):
        prepare("pairs64", tmp_path, folder)
    assert not (tmp_path / "tfds" / "lookbook" / "pairs64" / "1.0.0").exists()


def test_duplicates_do_not_straddle_splits(tmp_path):
    folder = tmp_path / "manual"
    rendered.write_lookbook(folder, 12, 32, 5, processes=1)
    first = next(folder.glob("PID000000_CLEAN1*")).read_bytes()
    for product in range(1, 6):
        next(folder.glob(f"PID{product:06d}_CLEAN1*")).write_bytes(first)
    builder = prepare("pairs64", tmp_path, folder)
    assert builder.info.metadata["groups_without_duplicates"] == 7
    loaded = data.load_pairs("tfds:lookbook/pairs64", data_dir=tmp_path / "tfds")
    holders = [split for split, pairs in loaded.items() if set(pairs.product_id) & set(range(6))]
    assert len(holders) == 1


def test_larger_photos_and_truth_come_back_as_they_were(tmp_path):
    small = {"image_size": 32, "photo_size": 64, "num_products": 6, "seed": 5, "truth": True}
    prepare(tfds_lookbook.LookBookConfig(name="rendered32_flow", **small), tmp_path)
    options = {"photo_size": 64, "truth": True}
    loaded = data.load_pairs(
        "tfds:lookbook/rendered32_flow", 32, data_dir=tmp_path / "tfds", **options
    )
    drawn = data.load_pairs("rendered", 32, seed=5, num_products=6, **options)
    for split, pairs in loaded.items():
        expected = drawn[split]
        # TFDS shuffles: by product, and its photos by their flows, which no two share.
        order = np.argsort(pairs.product_id)
        np.testing.assert_array_equal(pairs.targets[order], expected.targets)
        np.testing.assert_array_equal(pairs.masks[order], expected.masks)
        row_of = {flow.tobytes(): row for row, flow in enumerate(expected.flows)}
        rows = [row_of[flow.tobytes()] for flow in pairs.flows]
        assert sorted(rows) == list(range(len(expected)))
        np.testing.assert_array_equal(pairs.sources, expected.sources[rows])
        products = expected.product_id[expected.target_index[rows]]
        np.testing.assert_array_equal(pairs.product_id[pairs.target_index], products)
    with pytest.raises(ValueError, match="`photo_size` must be at most 64.*Received: 128"):
        data.load_pairs(
            "tfds:lookbook/rendered32_flow", 32, data_dir=tmp_path / "tfds", photo_size=128
        )
    without = data.load_pairs(
        "tfds:lookbook/rendered32_flow", 32, data_dir=tmp_path / "tfds", photo_size=64
    )
    assert all(pairs.masks is None and pairs.flows is None for pairs in without.values())


@pytest.mark.parametrize("layout", ["viton_hd", "table"])
def test_other_layouts_keep_their_splits(tmp_path, layout):
    folder = tmp_path / "manual"
    vars(layouts)[layout](folder)
    if layout == "viton_hd":
        clothes = [folder / "test/cloth/00009_00.jpg", folder / "train/cloth/00003_00.jpg"]
        clothes[1].write_bytes(clothes[0].read_bytes())
    builder = prepare("pairs64", tmp_path, folder)
    loaded = data.load_pairs("tfds:lookbook/pairs64", data_dir=tmp_path / "tfds")
    expected = data.load_pairs(folder)
    assert list(loaded) == list(expected) == ["train", "validation", "test"]
    for split, pairs in expected.items():
        assert sorted(loaded[split].product_id) == pairs.product_id.tolist()
        assert {x.tobytes() for x in loaded[split].sources} == {x.tobytes() for x in pairs.sources}
        assert builder.info.metadata["products_of_split"][split] == len(pairs.targets)
    dropped = builder.info.metadata["skipped"].get("duplicate_of_another_split", 0)
    assert dropped == (layout == "viton_hd")


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_rectangles_and_masks_come_back_as_they_were(tmp_path, file_format):
    folder, size = tmp_path / "manual", (32, 24)
    layouts.viton_hd(folder)
    for row, mask in enumerate(sorted(folder.glob("*/cloth-mask/*"))):
        drawn = np.zeros((32, 24), np.uint8)
        drawn[row:, : row + 3] = 255
        Image.fromarray(drawn).save(mask, quality=100)
    config = tfds_lookbook.LookBookConfig(name="pairs32x24", image_size=size, truth=True)
    prepare(config, tmp_path, folder, file_format)
    name, options = "tfds:lookbook/pairs32x24", {"data_dir": tmp_path / "tfds"}
    loaded = data.load_pairs(name, size, truth=True, **options)
    square = data.load_pairs(name, 16, truth=True, **options)
    for split, expected in data.load_pairs(folder, size, truth=True).items():
        order = np.argsort(loaded[split].product_id)
        assert loaded[split].image_size == loaded[split].photo_size == size
        np.testing.assert_array_equal(loaded[split].targets[order], expected.targets)
        np.testing.assert_array_equal(loaded[split].masks[order], expected.masks)
        assert loaded[split].flows is None
        # The bars at the sides show no product; the middle is the mask at half the size.
        bars = np.asarray(square[split].masks)[order]
        assert not bars[:, :, :2].any() and not bars[:, :, 14:].any() and bars.any()
    assert data.load_pairs(name, size, **options)["train"].masks is None
    half = data.load_pairs(name, (16, 12), **options)["train"]
    assert half.image_size == (16, 12)
    np.testing.assert_array_equal(
        half.targets[0], data.resize(loaded["train"].targets[0], (16, 12))
    )
    assert data.load_pairs(name, 16, **options)["train"].image_size == 16  # letterboxed
    with pytest.raises(ValueError, match="`image_size` must be a square, or have.*32x24.*32x16"):
        data.load_pairs(name, (32, 16), **options)
    with pytest.raises(ValueError, match="`photo_size` must be at most 32x24.*Received: 64x48"):
        data.load_pairs(name, size, photo_size=(64, 48), **options)
