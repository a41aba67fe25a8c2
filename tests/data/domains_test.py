import io
import logging
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from keras_pixdt import data
from keras_pixdt.data import domains


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
    black = (domains.draw_edges(square) == 0).all(axis=2)
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
    black = (domains.draw_edges(photo_of) == 0).all(axis=2)
    long = black[:, 17:23].any(axis=1)
    strong, weak = (int(np.ceil(39 * (1 - share))) for share in (domains.STRONG, domains.WEAK))
    assert long[:strong].all()
    assert long[: weak - 1].all() and not long[weak + 1 :].any()
    assert not black[:, :15].any()


def test_a_photo_without_edges_has_none():
    assert (domains.draw_edges(np.full((9, 12, 3), 70, np.uint8)) == 255).all()


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
        drawn[:, 4:28] = domains.draw_edges(np.ascontiguousarray(image[:, 4:28]))
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


# Photographs


def test_photographs_of_products(shared_data):
    loaded = data.load_domains(shared_data / "products/skirt", shared_data / "products/hat", 32)
    train = loaded["train"]
    assert len(train.sources) > 100 and len(train.targets) > 100
    edges = data.load_domains(shared_data / "products/hat", None, 32, edges=True)["test"]
    black = (edges.sources == 0).mean(axis=(1, 2, 3))
    assert ((black > 0.02) & (black < 0.4)).mean() > 0.9
