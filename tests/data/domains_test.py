import io
import json
import logging
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from keras_pixdt import data
from keras_pixdt.data import pairs
from keras_pixdt.data.edges import STRONG, WEAK
from keras_pixdt.data.readers import domain as domain_reader
from tests import profiles


def photo(seed: int, width: int = 24, height: int = 32) -> Image.Image:
    """A smooth picture, unlike that of another seed."""
    noise = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, file_format: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, quality=100, subsampling=0)
    return file.getvalue()


def make_folder(folder, seeds, **shape):
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        (folder / f"photo {seed:03d}.png").write_bytes(encoded(photo(seed, **shape)))
    return folder


def images_of(loaded, side):
    """All images of a domain, as a set of their bytes for each split."""
    return {
        split: {image.tobytes() for image in getattr(domain, side)}
        for split, domain in loaded.items()
    }


def boxed(seeds, size=16, **shape):
    return {data.letterbox(np.asarray(photo(seed, **shape)), size).tobytes() for seed in seeds}


# Two folders


def test_two_folders_of_any_names_and_sizes_are_letterboxed_and_split(tmp_path):
    a = make_folder(tmp_path / "a", range(40))
    make_folder(tmp_path / "b" / "deep" / "er", range(100, 160), width=40)
    loaded = data.load_domains(a, tmp_path / "b", 16)
    assert list(loaded) == ["train", "validation", "test"]
    for side, expected in (
        ("sources", boxed(range(40))),
        ("targets", boxed(range(100, 160), 16, width=40)),
    ):
        parts = images_of(loaded, side)
        assert set.union(*parts.values()) == expected
        assert sum(map(len, parts.values())) == len(expected)
        assert len(parts["train"]) > 0.75 * len(expected)
    assert loaded["train"].sources.shape[1:] == (16, 16, 3)
    assert loaded["train"].sources.dtype == np.uint8


def test_images_are_stretched_where_asked_for(tmp_path):
    a, b = make_folder(tmp_path / "a", range(20)), make_folder(tmp_path / "b", range(100, 120))
    loaded = data.load_domains(a, b, 16, resize="stretch")
    for side, seeds in (("sources", range(20)), ("targets", range(100, 120))):
        stretched = {data.stretch(np.asarray(photo(seed)), 16).tobytes() for seed in seeds}
        assert set.union(*images_of(loaded, side).values()) == stretched
    # Without bars, the edges are those of the whole square.
    edges = data.load_domains(a, image_size=32, edges=True, resize="stretch")["test"]
    for drawn, square in zip(edges.sources, edges.targets, strict=True):
        np.testing.assert_array_equal(drawn, data.draw_edges(square))


def test_parts_of_images_are_taken_as_a_file_says(tmp_path):
    """Of the upright image, before it is letterboxed; splits are those of the whole images."""
    a, b = make_folder(tmp_path / "a", range(20)), make_folder(tmp_path / "b", range(50, 70))
    lying = photo(3).transpose(Image.Transpose.ROTATE_90)  # a viewer turns it back
    exif = Image.Exif()
    exif[0x0112] = 6
    lying.save(a / "photo 003.png", exif=exif)
    crops = {"photo 003.png": [2, 4, 20, 16], "photo 007.png": [0, 0, 8, 32]}
    (tmp_path / "a.json").write_text(json.dumps(crops))
    (tmp_path / "b.json").write_text(json.dumps({"photo 050.png": [4, 4, 12, 12]}))
    whole = data.load_domains(a, b, 16)
    cut = data.load_domains(
        a, b, 16, crop=tmp_path / "a.json", target_crop=str(tmp_path / "b.json")
    )
    boxes = {"sources": {3: (2, 4, 20, 16), 7: (0, 0, 8, 32)}, "targets": {50: (4, 4, 12, 12)}}
    for side, seeds in (("sources", range(20)), ("targets", range(50, 70))):
        parts = {seed: np.asarray(photo(seed)) for seed in seeds}
        for seed, (left, top, right, bottom) in boxes[side].items():
            parts[seed] = parts[seed][top:bottom, left:right]
        expected = {data.letterbox(part, 16).tobytes() for part in parts.values()}
        assert set.union(*images_of(cut, side).values()) == expected
        for split in whole:
            before, after = (images_of(loaded, side)[split] for loaded in (whole, cut))
            changed = {seed for seed in boxes[side] if boxed([seed]) <= before}
            assert before - after == boxed(changed)


def test_crops_that_fit_no_image_are_refused(tmp_path):
    a, b = make_folder(tmp_path / "a", range(8)), make_folder(tmp_path / "b", range(50, 58))
    crops = tmp_path / "crops.json"
    crops.write_text(json.dumps({"photo 050.png": [0, 0, 24, 33]}))
    with pytest.raises(ValueError, match="'photo 050.png' must be the path, or.*in .*/a, .*none"):
        data.load_domains(a, b, 16, crop=crops)
    with pytest.raises(ValueError, match="box of 'photo 050.png'.*24 px wide and 32 px high"):
        data.load_domains(a, b, 16, target_crop=crops)
    with pytest.raises(ValueError, match="`target_crop` is for a second domain.*Received: .*json"):
        data.load_domains(a, edges=True, image_size=16, target_crop=crops)
    for name in ("digits.npz", "tfds:svhn_cropped"):
        with pytest.raises(ValueError, match=f"folder or an archive, and {name} is neither"):
            data.load_domains(a, name, 16, target_crop=crops)


def test_an_image_keeps_its_split_when_others_are_added(tmp_path):
    a, b = make_folder(tmp_path / "a", range(40)), make_folder(tmp_path / "b", range(100, 140))
    before = images_of(data.load_domains(a, b, 16), "sources")
    make_folder(a, range(40, 80))
    after = images_of(data.load_domains(a, b, 16), "sources")
    assert all(images <= after[split] for split, images in before.items())


def test_no_duplicate_is_in_two_splits_of_either_domain(tmp_path):
    a = make_folder(tmp_path / "a", range(60))
    b = make_folder(tmp_path / "b", range(30))  # all of them in A too
    for seed in range(30):  # and once more, as JPEG
        (a / f"copy {seed}.jpg").write_bytes(encoded(photo(seed), "JPEG"))
    loaded = data.load_domains(a, b, 32)
    everywhere = {}
    for split, domain in loaded.items():
        for images in (domain.sources, domain.targets):
            for image in images:
                everywhere.setdefault(split, []).append(image.astype(int))
    for split, others in (("train", "validation"), ("train", "test"), ("validation", "test")):
        x, y = (np.stack(everywhere[name]) for name in (split, others))
        distance = np.abs(x[:, None] - y[None]).mean(axis=(2, 3, 4))
        assert distance.min() > 10  # a JPEG copy is nearer, another picture is not
    assert sum(len(domain.sources) for domain in loaded.values()) == 90


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_archives_are_read_as_folders_are(tmp_path, kind):
    a, b = make_folder(tmp_path / "a", range(20)), make_folder(tmp_path / "b", range(50, 70))
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in a.iterdir():
                archive.write(file, f"__MACOSX/._{file.name}")
                archive.write(file, f"photos/{file.name}")
    else:
        with tarfile.open(path, "w:gz") as archive:
            archive.add(a, "photos")
    unpacked, packed = data.load_domains(a, b, 16), data.load_domains(path, b, 16)
    for split, domain in unpacked.items():
        np.testing.assert_array_equal(domain.sources, packed[split].sources)
    (tmp_path / "alone").mkdir()
    path.rename(tmp_path / "alone" / path.name)
    alone = data.load_domains(tmp_path / "alone", b, 16)
    np.testing.assert_array_equal(alone["train"].sources, unpacked["train"].sources)
    # Beside images, an archive is none of them.
    make_folder(tmp_path / "alone", range(20))
    beside = data.load_domains(tmp_path / "alone", b, 16)
    np.testing.assert_array_equal(beside["train"].sources, unpacked["train"].sources)


def test_hidden_folders_are_no_labels(tmp_path):
    for name in ("dress", "shirt", ".ipynb_checkpoints", "@eaDir"):
        make_folder(tmp_path / "a" / name, range(len(name), 20))
    loaded = data.load_domains(tmp_path / "a", make_folder(tmp_path / "b", range(50, 70)), 16)
    assert loaded["train"].source_labels.names == ("dress", "shirt")


@pytest.mark.parametrize("top", ["", "./", "photos/"])
def test_an_archive_has_the_labels_of_the_folder_in_it(tmp_path, top):
    b = make_folder(tmp_path / "b", range(50, 70))
    for seed, name in enumerate(("dress", "shirt")):
        make_folder(tmp_path / "a" / name, range(20 * seed, 20 * seed + 20))
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as archive:
        for name in ("dress", "shirt"):
            archive.add(tmp_path / "a" / name, f"{top}{name}")
        archive.add(tmp_path / "b" / "photo 050.png", "__MACOSX/photo.png")
    folder, packed = (data.load_domains(tmp_path / name, b, 16) for name in ("a", "a.tgz"))
    for split in folder:
        assert packed[split].source_labels.names == ("dress", "shirt")
        np.testing.assert_array_equal(
            packed[split].source_labels.index, folder[split].source_labels.index
        )


def test_every_file_that_is_left_out_is_counted_and_named(tmp_path, caplog, monkeypatch):
    a, b = make_folder(tmp_path / "a", range(120)), make_folder(tmp_path / "b", range(200, 220))
    for name in ("notes.txt", ".hidden.png", "broken.jpg"):
        (a / name).write_bytes(b"no image")
    logger = logging.getLogger("absl")
    logger.addHandler(caplog.handler)
    loaded = data.load_domains(a, b, 16)
    logger.removeHandler(caplog.handler)
    assert sum(len(domain.sources) for domain in loaded.values()) == 120
    for what in ("no_image_by_its_name (notes.txt)", "hidden_file (.hidden.png)"):
        assert f"1 {what}" in caplog.text
    assert "1 unreadable (broken.jpg)" in caplog.text
    (a / "too.gif").write_bytes(b"")
    with pytest.raises(ValueError, match=r"2 of 122 images in .*a cannot be read, more than 1%"):
        data.load_domains(a, b, 16)


def test_errors_name_the_domain_and_the_fix(tmp_path):
    a, few = make_folder(tmp_path / "a", range(9)), make_folder(tmp_path / "few", range(100, 102))
    with pytest.raises(FileNotFoundError, match="no folder or archive at .*nowhere"):
        data.load_domains(a, tmp_path / "nowhere", 16)
    with pytest.raises(
        ValueError, match="`source` and `target`, or one folder.*target=None, edges=F"
    ):
        data.load_domains(a, image_size=16)
    with pytest.raises(ValueError, match="edges=True.*Received: target='b', edges=True"):
        data.load_domains(a, "b", 16, edges=True)
    with pytest.raises(ValueError, match="few must have at least 3 different images.*2 of 2"):
        data.load_domains(a, few, 16)
    with pytest.raises(ValueError, match="few must have at least 3 different images"):
        data.load_domains(few, None, 16, edges=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("")
    with pytest.raises(ValueError, match=r"empty has no images, which end in \.bmp.*notes\.txt"):
        data.load_domains(a, tmp_path / "empty", 16)
    with pytest.raises(ValueError, match="neither a folder nor a whole zip or tar"):
        data.load_domains(a, tmp_path / "empty" / "notes.txt", 16)


# Edges


def test_edges_are_thin_lines_where_the_gray_level_jumps():
    square = np.full((32, 32, 3), 200, np.uint8)
    square[8:24, 10:20] = 30
    black = (data.draw_edges(square) == 0).all(axis=2)
    rows, columns = np.nonzero(black)
    # A line within a pixel of the outline, of one pixel: so many as the outline is long, or less
    # by the corners that the blur rounds.
    outline = np.zeros((32, 32), bool)
    outline[7:25, 9:21], outline[9:23, 11:19] = True, False
    assert outline[black].all()
    assert 40 <= black.sum() <= 2 * (16 + 10)
    assert (rows.min(), rows.max()) in {(7, 23), (8, 23), (7, 24), (8, 24)}
    # On each side the line has no gap.
    assert black[12:20, 9:12].any(axis=1).all() and black[12:20, 18:21].any(axis=1).all()
    assert black[7:10, 13:17].any(axis=0).all() and black[22:25, 13:17].any(axis=0).all()


def test_edges_are_of_strong_ones_and_of_what_is_connected_with_them():
    step = np.full((40, 40), 100.0)
    step[:, 20:] = 200  # an edge, that grows weaker downwards
    fade = np.linspace(1, 0, 40)[:, None]
    faded = 100 + (step - 100) * fade
    faded[30:36, 5:8] = 112  # as weak as the end of it, and alone
    photo_of = np.repeat(faded.astype(np.uint8)[..., None], 3, axis=2)
    black = (data.draw_edges(photo_of) == 0).all(axis=2)
    long = black[:, 17:23].any(axis=1)
    strong, weak = (int(np.ceil(39 * (1 - share))) for share in (STRONG, WEAK))
    assert long[:strong].all()
    assert long[: weak - 1].all() and not long[weak + 1 :].any()
    assert not black[:, :15].any()


def test_a_photo_without_edges_has_none():
    assert (data.draw_edges(np.full((9, 12, 3), 70, np.uint8)) == 255).all()


def test_soft_edges_are_the_darker_the_steeper_the_photo_is():
    """Ramps of 16 pixels and one of a pixel: by hand, gradients of 0.05, 0.2 and 1 of the last."""
    gray = np.full((40, 120), 40.0)
    for start, width, height in ((10, 16, 40), (50, 16, 160)):
        gray[:, start:] += height * np.clip(np.arange(120 - start) / width, 0, 1)
    gray[:, 90:] = 40
    photo_of = np.repeat(np.rint(gray).astype(np.uint8)[..., None], 3, axis=2)
    drawn = data.soft_edges(photo_of)[20, :, 0].astype(float)
    plain = np.exp(-0.5 * np.arange(-3, 4) ** 2)
    # The steepest is at the jump: central differences of a step that the Gaussian has softened.
    steepest = 200 * (plain[2] + plain[3]) / 2 / plain.sum()
    for place, slope in ((18, 40 / 16), (58, 160 / 16)):
        dark = np.clip((slope / steepest - WEAK) / (STRONG - WEAK), 0, 1)
        assert drawn[place] == pytest.approx(255 * (1 - dark), abs=3)
    assert drawn[18] == 255 and 100 < drawn[58] < 250 and drawn[89] == drawn[90] == 0
    assert drawn[35] == drawn[75] == 255  # plain
    assert (data.soft_edges(np.full((9, 12, 3), 70, np.uint8)) == 255).all()


def test_soft_edges_are_drawn_where_asked_for(tmp_path):
    folder = make_folder(tmp_path / "photos", range(12))
    for soft, thin in zip(
        *(
            data.load_domains(folder, None, 32, edges=edges)["test"].sources
            for edges in ("soft", True)
        ),
        strict=True,
    ):
        assert len(np.unique(soft)) > 2 and (soft[:, :4] == 255).all()  # the bars beside 24x32
        assert (soft[thin == 0] < 255).all()  # a ridge is not among the least steep
    with pytest.raises(ValueError, match="`edges` must be True, False or 'soft'. Received: 'hard'"):
        data.load_domains(folder, None, 32, edges="hard")


def test_edges_of_one_half_and_photos_of_the_other(tmp_path):
    folder = make_folder(tmp_path / "photos", range(60))
    for seed in range(60):
        (folder / f"copy {seed}.jpg").write_bytes(encoded(photo(seed), "JPEG"))
    loaded = data.load_domains(folder, None, 32, edges=True, seed=1)
    train = loaded["train"]
    # The photos on white have bars beside them (24x32), of which no edges are drawn.
    assert set(np.unique(train.sources)) == {0, 255}
    assert (train.sources[:, :, :4] == 255).all() and (train.sources[:, :, 28:] == 255).all()
    assert abs(len(train.sources) - len(train.targets)) <= 2

    def edges_of(image):
        drawn = np.full_like(image, 255)
        drawn[:, 4:28] = data.draw_edges(np.ascontiguousarray(image[:, 4:28]))
        return drawn

    # No photo of the second domain, nor the copy of one, has its edges in the first.
    photos = np.stack([data.letterbox(np.asarray(photo(seed)), 32) for seed in range(60)])
    used = {edges_of(image).tobytes() for image in photos}
    drawn = {image.tobytes() for image in train.sources}
    assert drawn & used  # the lossless files
    beside = {edges_of(image).tobytes() for image in train.targets}
    assert not drawn & beside
    for split in ("validation", "test"):
        domain = loaded[split]
        assert len(domain.sources) == len(domain.targets) > 0
        for edges, image in zip(domain.sources, domain.targets, strict=True):
            np.testing.assert_array_equal(edges, edges_of(image))
    again = data.load_domains(folder, None, 32, edges=True, seed=1)
    np.testing.assert_array_equal(again["train"].sources, train.sources)
    other = data.load_domains(folder, None, 32, edges=True, seed=2)
    assert images_of(other, "targets")["train"] != images_of(loaded, "targets")["train"]
    assert images_of(other, "targets")["test"] == images_of(loaded, "targets")["test"]


# TFDS


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """A folder in which TFDS has prepared a set like CelebA: 40 images, of which 14 are blond."""
    import tensorflow_datasets as tfds

    class FakeFaces(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(32, 24, 3), encoding_format="png"),
                "attributes": {"Blond_Hair": np.bool_, "Black_Hair": np.bool_, "Beard": np.bool_},
            }
            return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples(range(30)),
                    "test": self._generate_examples(range(30, 40))}  # fmt: skip

        def _generate_examples(self, seeds):
            for seed in seeds:
                attributes = {"Blond_Hair": seed % 3 == 0, "Black_Hair": seed % 3 == 1}
                yield (
                    seed,
                    {
                        "image": np.asarray(photo(seed)),
                        "attributes": {**attributes, "Beard": False},
                    },
                )

    folder = tmp_path_factory.mktemp("tfds")
    FakeFaces(data_dir=folder).download_and_prepare()
    return folder


@pytest.mark.slow
def test_domains_are_the_images_with_an_attribute_and_without(faces):
    blond = [seed for seed in range(40) if seed % 3 == 0]
    for source, target, seeds, other in (
        ("Blond_Hair=1", "Black_Hair=1", blond, [seed for seed in range(40) if seed % 3 == 1]),
        ("Blond_Hair=0", "Blond_Hair=1", sorted({*range(40)} - {*blond}), blond),
    ):
        loaded = data.load_domains(
            f"tfds:fake_faces:{source}", f"tfds:fake_faces:{target}", 32, data_dir=faces
        )
        assert set.union(*images_of(loaded, "sources").values()) == boxed(seeds, 32)
        assert set.union(*images_of(loaded, "targets").values()) == boxed(other, 32)


@pytest.mark.slow
def test_a_set_that_is_not_prepared_or_has_no_such_attribute_is_named(faces, tmp_path):
    def load(name, data_dir=faces):
        return data.load_domains(name, make_folder(tmp_path / "b", range(5)), 16, data_dir=data_dir)

    with pytest.raises(
        FileNotFoundError, match="not prepared 'fake_faces'.*`tfds build fake_faces`"
    ):
        load("tfds:fake_faces:Blond_Hair=1", tmp_path)
    with pytest.raises(FileNotFoundError, match="not prepared 'no_such_faces'"):
        load("tfds:no_such_faces:Blond_Hair=1")
    with pytest.raises(ValueError, match="'Hat' among its.*Beard, Black_Hair, Blond_Hair"):
        load("tfds:fake_faces:Hat=1")
    with pytest.raises(ValueError, match="none of its 40 has Beard=1"):
        load("tfds:fake_faces:Beard=1")
    for name in ("tfds:fake_faces", "tfds:fake_faces:Blond_Hair", "tfds:fake_faces:Blond_Hair=2"):
        with pytest.raises(ValueError, match=f"such as tfds:celeb_a.*Received: {name}"):
            load(name)


# Labels by folder


def make_classes(folder):
    """Three folders of 20, 12 and 8 images, one of them in a deeper one; the classes of all."""
    seeds = {"skirt": range(20), "hat": range(20, 32), "bag": range(32, 40)}
    for name, some in seeds.items():
        make_folder(folder / name / "large" if name == "hat" else folder / name, some)
    return {image: name for name, some in seeds.items() for image in boxed(some)}


def classes_of(images, labels):
    return {
        image.tobytes(): labels.names[row] for image, row in zip(images, labels.index, strict=True)
    }


def test_first_folders_are_labels_that_travel_with_their_images(tmp_path):
    expected = make_classes(tmp_path / "a")
    b = make_folder(tmp_path / "b", range(100, 130))
    loaded = data.load_domains(tmp_path / "a", b, 16)
    found = {}
    for domain in loaded.values():
        assert domain.source_labels.names == ("bag", "hat", "skirt")
        assert domain.target_labels is None
        found |= classes_of(domain.sources, domain.source_labels)
    assert found == expected
    # An unreadable file takes no label from another.
    make_folder(tmp_path / "a" / "skirt", range(200, 280))
    (tmp_path / "a" / "hat" / "a broken.png").write_bytes(b"no image")
    expected |= dict.fromkeys(boxed(range(200, 280)), "skirt")
    for archive in (False, True):
        if archive:
            with tarfile.open(tmp_path / "a.tar", "w") as packed:
                packed.add(tmp_path / "a", ".")
        path = tmp_path / ("a.tar" if archive else "a")
        halves = data.load_domains(b, path, 16)
        found = {}
        for domain in halves.values():
            found |= classes_of(domain.targets, domain.target_labels)
        assert found == expected


def test_edges_and_the_photos_of_the_other_half_have_labels(tmp_path):
    expected = make_classes(tmp_path / "a")
    names = {}
    for image, name in expected.items():
        pixels = np.frombuffer(image, np.uint8).reshape(16, 16, 3)
        drawn = np.full_like(pixels, 255)
        drawn[:, 2:14] = data.draw_edges(pixels[:, 2:14])  # without the bars beside 24x32
        names[drawn.tobytes()] = name
    for domain in data.load_domains(tmp_path / "a", image_size=16, edges=True).values():
        assert classes_of(domain.targets, domain.target_labels).items() <= expected.items()
        assert classes_of(domain.sources, domain.source_labels).items() <= names.items()


def test_images_beside_the_folders_or_in_one_alone_have_no_labels(tmp_path):
    b = make_folder(tmp_path / "b", range(100, 110))
    make_folder(tmp_path / "one" / "skirt", range(10))
    beside = make_folder(tmp_path / "beside", range(1))
    make_folder(beside / "skirt", range(1, 5))
    make_folder(beside / "hat", range(5, 10))
    for folder in (tmp_path / "one", beside):
        assert data.load_domains(folder, b, 16)["train"].source_labels is None


# .npz files


def digits(train: int = 12, test: int = 5, size: int = 16, gray: bool = False):
    """Arrays with Keras' names: every image unlike the others, the labels 0, 1, 2 and again."""
    rng = np.random.default_rng(train)
    shape = (size, size) if gray else (size, size, 3)
    return {
        "x_train": rng.integers(0, 256, (train, *shape), np.uint8),
        "y_train": np.arange(train, dtype=np.uint8) % 3,
        "x_test": rng.integers(0, 256, (test, *shape), np.uint8),
        "y_test": np.arange(test, dtype=np.uint8) % 3,
    }


def write_npz(path, arrays):
    np.savez_compressed(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_train": None}, "must have the arrays x_train.*no `x_train`. Found: y_train, x_test"),
        ({"y_test": None}, "no `y_test`"),
        ({"x_test": np.zeros((5, 8, 8), np.float32)}, "`x_test` in .*d.npz must be uint8.*float32"),
        (
            {"x_train": np.zeros((12, 8, 8, 4), np.uint8)},
            r"\(count, height, width\).*\(12, 8, 8, 4\)",
        ),
        ({"x_train": np.zeros((12, 8, 8, 1), np.uint8)}, r"RGB. Received.*\(12, 8, 8, 1\)"),
        ({"x_train": np.zeros((12, 8), np.uint8)}, r"uint8 of shape \(12, 8\)"),
        (
            {"y_train": np.zeros((12, 1), int)},
            r"`y_train` in .* integers.*int64 of shape \(12, 1\)",
        ),
        ({"y_train": np.zeros(12)}, "must be integers.*float64"),
        ({"y_train": np.zeros(0, int)}, r"one label for each image.*shape \(0,\)"),
        ({"y_test": np.zeros(4, int)}, "`x_test` and `y_test` in .*5 images and 4 labels"),
        ({"y_test": np.array([0, 1, -1, 2, 0])}, "count from 0.*from -1 to 2"),
        ({"y_test": np.arange(5) + (1 << 40)}, r"in \[0, 100000\).*from 1099511627776"),
        ({"y_test": np.array([None] * 5)}, "`y_test` in .*cannot be read: Object arrays.*numbers"),
    ],
)
def test_an_npz_file_of_other_arrays_is_refused(tmp_path, change, message):
    arrays = {key: value for key, value in (digits() | change).items() if value is not None}
    path = write_npz(tmp_path / "d.npz", arrays)
    with pytest.raises(ValueError, match=message):
        data.load_domains(path, path, 16)


def test_a_damaged_npz_file_or_none_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file at .*nowhere.npz.*an .npz file"):
        data.load_domains(tmp_path / "nowhere.npz", "b", 16)
    whole = write_npz(tmp_path / "d.npz", digits()).read_bytes()
    flipped = bytearray(whole)
    with zipfile.ZipFile(tmp_path / "d.npz") as archive:
        flipped[archive.getinfo("x_train.npy").header_offset + 200] ^= 255
    for content, message in (
        (whole[:-100], "d.npz is no whole .npz file: .* bytes that are no zip archive"),
        (b"", "d.npz is no whole .npz file: 0 bytes"),
        (bytes(flipped), "`x_train` in .*d.npz cannot be read: .*Copy or write"),
    ):
        (tmp_path / "d.npz").write_bytes(content)
        with pytest.raises(ValueError, match=message):
            data.load_domains(tmp_path / "d.npz", tmp_path / "d.npz", 16)


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.uint64])
def test_an_npz_file_keeps_its_splits_and_labels(tmp_path, kind):
    rgb, gray = digits(), digits(20, 7, 8, gray=True)
    gray |= {"y_train": np.full(20, 4, kind), "y_test": np.arange(7).astype(kind)}
    # Equal images in both splits and both domains stay where they are.
    rgb["x_test"][0] = rgb["x_train"][0]
    paths = write_npz(tmp_path / "rgb.npz", rgb), write_npz(tmp_path / "gray.NPZ", gray)
    (tmp_path / "gray.NPZ.npz").rename(paths[1])  # NumPy's suffix
    loaded = data.load_domains(*paths, 16)
    assert list(loaded) == ["train", "test"]
    for split, domain in loaded.items():
        np.testing.assert_array_equal(domain.sources, rgb[f"x_{split}"])
        np.testing.assert_array_equal(domain.source_labels.index, rgb[f"y_{split}"])
        assert domain.source_labels.names == ("0", "1", "2")
        for image, found in zip(gray[f"x_{split}"], domain.targets, strict=True):
            expected = Image.fromarray(image).resize((16, 16), Image.Resampling.BICUBIC)
            np.testing.assert_array_equal(found, np.stack([expected] * 3, axis=2))
        np.testing.assert_array_equal(domain.target_labels.index, gray[f"y_{split}"])
        assert domain.target_labels.names == tuple("0123456")  # the largest is in the test split


def test_images_with_splits_of_their_own_are_in_memory_once(tmp_path, monkeypatch):
    path = write_npz(tmp_path / "gray.npz", digits(size=8, gray=True))
    allocated = []

    def allocate(shape):
        allocated.append(shape)
        return np.zeros(shape, np.uint8)

    for module in (pairs, domain_reader):
        monkeypatch.setattr(module, "allocate", allocate)
    data.load_domains(path, write_npz(tmp_path / "rgb.npz", digits(size=16)), 16)
    assert allocated == [(12, 16, 16, 3), (5, 16, 16, 3)]  # of the gray ones, for their channels


def test_a_folder_beside_a_domain_with_splits_is_split_in_two(tmp_path):
    arrays = digits()
    path = write_npz(tmp_path / "d.npz", arrays)
    folder = make_folder(tmp_path / "a", range(60))
    for seed in range(0, 60, 2):
        (folder / f"copy {seed}.png").write_bytes(encoded(photo(seed)))
    for straight in (True, False):
        loaded = data.load_domains(*((folder, path) if straight else (path, folder)), 16)
        assert list(loaded) == ["train", "test"]
        parts = images_of(loaded, "sources" if straight else "targets")
        assert parts["train"] | parts["test"] == boxed(range(60))
        assert not parts["train"] & parts["test"]
        assert len(parts["train"]) > 0.75 * 60
        for split, domain in loaded.items():
            own = domain.targets if straight else domain.sources
            np.testing.assert_array_equal(own, arrays[f"x_{split}"])
    few = make_folder(tmp_path / "few", range(1))
    with pytest.raises(ValueError, match="few must have at least 2 different images.*train, test"):
        data.load_domains(path, few, 16)


def test_edges_of_an_npz_file_are_those_of_half_of_its_training_images(tmp_path):
    arrays = digits(train=13)
    path = write_npz(tmp_path / "d.npz", arrays)
    loaded = data.load_domains(path, image_size=16, edges=True)
    train, test = loaded["train"], loaded["test"]
    edges = [data.draw_edges(image).tobytes() for image in arrays["x_train"]]
    drawn = {edges.index(image.tobytes()) for image in train.sources}
    beside = {[x.tobytes() for x in arrays["x_train"]].index(x.tobytes()) for x in train.targets}
    assert (len(drawn), len(beside)) == (6, 7) and drawn | beside == {*range(13)}
    for rows, labels in ((drawn, train.source_labels), (beside, train.target_labels)):
        np.testing.assert_array_equal(labels.index, arrays["y_train"][sorted(rows)])
    np.testing.assert_array_equal(test.targets, arrays["x_test"])
    expected = [data.draw_edges(image) for image in arrays["x_test"]]
    np.testing.assert_array_equal(test.sources, expected)
    np.testing.assert_array_equal(test.source_labels.index, arrays["y_test"])
    write_npz(path, digits(train=1))
    with pytest.raises(ValueError, match="no image left for the split 'train': of its 1,.*half"):
        data.load_domains(path, image_size=16, edges=True)


# Labels of TFDS


def digit(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (12, 12, 1), np.uint8)


@pytest.fixture(scope="module")
def gray_digits(tmp_path_factory):
    """A folder in which TFDS has prepared sets like MNIST and SVHN: gray, of 3 classes."""
    import tensorflow_datasets as tfds

    sizes = {
        "mnist": {"train": 9, "test": 4, "validation": 1},
        "svhn": {"train": 9, "extra": 14, "test": 4},
        "train_only": {"train": 2, "validation": 1},
        "unlabelled": {"train": 3, "test": 2},
    }

    class FakeDigits(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")
        BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=name) for name in sizes]

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(12, 12, 1)),
                "label": tfds.features.ClassLabel(names=["two", "one", "zero"]),
            }
            return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            config = self.builder_config.name
            return {
                split: self._generate_examples(100 * len(split), count, split)
                for split, count in sizes[config].items()
            }

        def _generate_examples(self, start, count, split):
            unlabelled = split == "test" and self.builder_config.name == "unlabelled"
            for seed in range(start, start + count):
                yield seed, {"image": digit(seed), "label": -1 if unlabelled else seed % 3}

    folder = tmp_path_factory.mktemp("tfds")
    for name in sizes:
        FakeDigits(data_dir=folder, config=name).download_and_prepare()
    return folder


@pytest.mark.slow
def test_a_tfds_set_without_labels_or_splits_is_refused(faces, gray_digits, tmp_path):
    def load(name, data_dir=gray_digits):
        return data.load_domains(name, make_folder(tmp_path / "b", range(5)), 16, data_dir=data_dir)

    with pytest.raises(FileNotFoundError, match="`tfds build fake_digits/mnist`"):
        load("tfds:fake_digits/mnist", tmp_path)
    with pytest.raises(
        ValueError, match=r"'label', a ClassLabel. It has attributes \(.*\), image \(Image\)"
    ):
        load("tfds:fake_faces", faces)
    with pytest.raises(ValueError, match="'extra'.* and 'test'. It has train, validation"):
        load("tfds:fake_digits/train_only")
    with pytest.raises(ValueError, match="a label for each image. .*split 'test', 2 of 2"):
        load("tfds:fake_digits/unlabelled")
    for name in ("tfds:", "tfds:Blond_Hair=1", "tfds:fake_digits/mnist:"):
        with pytest.raises(ValueError, match=f"is named tfds:NAME for a set.*Received: {name}"):
            load(name)


@pytest.mark.slow
def test_photos_of_a_tfds_set_are_turned_and_converted_as_files_are(tmp_path):
    import tensorflow_datasets as tfds

    orientation = Image.Exif()
    orientation[0x112] = 6
    photo = profiles.encoded(
        np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8),
        exif=orientation,
        icc_profile=profiles.rgb(profiles.DISPLAY_P3, profiles.SRGB_CURVE),
    )

    class FakePhotos(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(None, None, 3)),
                "label": tfds.features.ClassLabel(num_classes=1),
            }
            return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples() for split in ("train", "test")}

        def _generate_examples(self):
            yield 0, {"image": io.BytesIO(photo), "label": 0}

    FakePhotos(data_dir=tmp_path).download_and_prepare()
    loaded = data.load_domains("tfds:fake_photos", "tfds:fake_photos", 16, data_dir=tmp_path)
    expected = data.letterbox(data.read_image(photo), 16)
    np.testing.assert_array_equal(loaded["train"].sources[0], expected)


@pytest.mark.slow
def test_a_tfds_set_keeps_its_splits_and_labels_and_learns_from_extra(gray_digits, caplog):
    logger = logging.getLogger("absl")
    logger.addHandler(caplog.handler)
    loaded = data.load_domains(
        "tfds:fake_digits/mnist", "tfds:fake_digits/svhn", 16, data_dir=gray_digits
    )
    logger.removeHandler(caplog.handler)
    assert "fake_digits/mnist: 'train' is the training split; left out validation" in caplog.text
    assert "fake_digits/svhn: 'extra' is the training split; left out train" in caplog.text
    assert list(loaded) == ["train", "test"]
    names = ("two", "one", "zero")
    for split, side, count in (
        ("train", "source", 9),
        ("test", "source", 4),
        ("train", "target", 14),
        ("test", "target", 4),
    ):
        labels = getattr(loaded[split], f"{side}_labels")
        assert labels.names == names
        start = 400 if split == "test" else 500  # of "test", "train" and "extra"
        expected = {
            data.letterbox(np.repeat(digit(seed), 3, axis=2), 16).tobytes(): names[seed % 3]
            for seed in range(start, start + count)
        }
        assert classes_of(getattr(loaded[split], f"{side}s"), labels) == expected


# Photographs


def test_photographs_of_products(shared_data):
    loaded = data.load_domains(shared_data / "products/skirt", shared_data / "products/hat", 32)
    train = loaded["train"]
    assert len(train.sources) > 100 and len(train.targets) > 100
    edges = data.load_domains(shared_data / "products/hat", None, 32, edges=True)["test"]
    black = (edges.sources == 0).mean(axis=(1, 2, 3))
    assert ((black > 0.02) & (black < 0.4)).mean() > 0.9


def test_photographs_of_digits(shared_data):
    loaded = data.load_domains(
        shared_data / "digits/photo_digits.npz", shared_data / "digits/mnist.npz", 32
    )
    for split, photos, scans in (("train", 7291, 19690), ("test", 1000, 10000)):
        domain = loaded[split]
        assert domain.sources.shape == (photos, 32, 32, 3)
        assert domain.targets.shape == (scans, 32, 32, 3)
        for labels in (domain.source_labels, domain.target_labels):
            assert labels.names == tuple("0123456789")
            assert np.bincount(labels.index, minlength=10).min() > 0.05 * len(labels.index)
        assert (domain.targets[..., :1] == domain.targets).all()


# Rectangles


def test_domains_of_rectangles_and_their_edges(tmp_path):
    rng = np.random.default_rng(0)
    arrays = digits() | {
        key: rng.integers(0, 256, (count, 32, 24), np.uint8)
        for key, count in (("x_train", 12), ("x_test", 5))
    }
    known = write_npz(tmp_path / "known.npz", arrays)
    folder = make_folder(tmp_path / "photos", range(40))
    domains = data.load_domains(known, folder, (32, 24))
    gray = arrays["x_test"][..., None].repeat(3, -1)
    np.testing.assert_array_equal(domains["test"].sources, gray)
    assert domains["test"].targets.shape[1:] == (32, 24, 3) and domains["test"].image_size == (
        32,
        24,
    )
    # Photos of 32 x 24 px lie in the middle of 32 x 40 px, and only there they have edges.
    drawn = data.load_domains(folder, None, (32, 40), edges=True)["test"]
    for edges, barred in zip(drawn.sources, drawn.targets, strict=True):
        np.testing.assert_array_equal(edges[:, 8:32], data.draw_edges(barred[:, 8:32]))
        assert (edges[:, :8] == 255).all() and (edges[:, 32:] == 255).all()
