import functools
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from keras_pixdt import convert, data, presets

SIZE = 16


def negative(images):
    """Stands for a converter, and checks what it gets."""
    assert images.dtype == np.uint8 and images.shape[1:] == (SIZE, SIZE, 3)
    return 255 - images


def write_photo(path, color, size=(SIZE, SIZE)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)
    return path


def read(path):
    return np.array(Image.open(path))


def test_single_file_of_any_size_is_letterboxed_and_converted(tmp_path):
    photo = write_photo(tmp_path / "a.bmp", (10, 20, 30), size=(40, 20))
    result = convert.convert_photos(negative, [photo], tmp_path / "new" / "out", SIZE)
    assert result.written == {photo: tmp_path / "new" / "out" / "a.png"}
    assert not result.failed
    expected = np.zeros((SIZE, SIZE, 3), np.uint8)  # the white bars above and below, negated
    expected[4:12] = (245, 235, 225)
    np.testing.assert_array_equal(read(tmp_path / "new" / "out" / "a.png"), expected)


def test_photo_is_stretched_where_the_model_takes_it_so(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 40, 3), np.uint8)
    data.write_image(tmp_path / "a.png", pixels)
    convert.convert_photos(negative, [tmp_path / "a.png"], tmp_path / "out", SIZE, resize="stretch")
    expected = Image.fromarray(pixels).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(read(tmp_path / "out" / "a.png"), 255 - np.asarray(expected))


def test_folder_takes_subfolders_and_leaves_out_what_is_no_image(tmp_path):
    folder = tmp_path / "photos"
    first = write_photo(folder / "a.png", (1, 1, 1))
    second = write_photo(folder / "deep" / "er" / "b.JPG", (2, 2, 2))
    (folder / "notes.txt").write_text("no image")
    (folder / "._a.png").write_bytes(b"macOS writes these")
    (folder / "folder.png").mkdir()
    result = convert.convert_photos(negative, [folder], tmp_path / "out", SIZE)
    assert list(result.written) == [first, second]
    assert not result.failed
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"a.png", "b.png"}


def test_file_named_by_the_user_is_read_whatever_its_ending(tmp_path):
    photo = tmp_path / "upload"
    Image.new("RGB", (SIZE, SIZE), (9, 9, 9)).save(photo, format="PNG")
    result = convert.convert_photos(negative, [photo], tmp_path / "out", SIZE)
    assert [p.name for p in result.written.values()] == ["upload.png"]


def test_photos_of_one_stem_get_files_of_their_own(tmp_path):
    photos = [
        write_photo(tmp_path / "one" / "a.png", (10, 0, 0)),
        write_photo(tmp_path / "two" / "a.bmp", (20, 0, 0)),
        write_photo(tmp_path / "three" / "a.bmp", (30, 0, 0)),
        write_photo(tmp_path / "four" / "a_2.png", (40, 0, 0)),
    ]
    result = convert.convert_photos(negative, photos, tmp_path / "out", SIZE)
    assert [result.written[p].name for p in photos] == [
        "a.png",
        "a_bmp.png",
        "a_2.png",
        "a_2_png.png",
    ]
    for photo, red in zip(photos, (245, 235, 225, 215), strict=True):
        assert read(result.written[photo])[0, 0, 0] == red


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_unreadable_files_are_named_and_do_not_stop_the_others(tmp_path, caplog, batch_size):
    folder = tmp_path / "photos"
    good = [write_photo(folder / f"{name}.png", (50, 0, 0)) for name in "aceg"]
    empty = folder / "b.png"
    empty.touch()
    truncated = folder / "d.png"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(truncated)
    truncated.write_bytes(truncated.read_bytes()[:6000])
    text = folder / "f.jpg"
    text.write_text("this is not an image")
    missing = tmp_path / "missing.jpg"
    result = convert.convert_photos(
        negative, [missing, folder], tmp_path / "out", SIZE, batch_size=batch_size
    )
    assert list(result.written) == good
    assert set(result.failed) == {empty, truncated, text, missing}
    for path, reason in result.failed.items():
        assert path.name in reason
        assert reason in caplog.text
    assert "empty" in result.failed[empty]
    assert "no file or folder" in result.failed[missing]


def test_each_image_goes_to_the_file_of_its_photo_over_batches(tmp_path):
    photos = [write_photo(tmp_path / f"{i}.png", (i, 0, 0)) for i in range(7)]
    result = convert.convert_photos(negative, photos, tmp_path / "out", SIZE, batch_size=3)
    assert [read(result.written[p])[0, 0, 0] for p in photos] == [255 - i for i in range(7)]


def test_no_photo_at_all_is_an_error_that_names_the_places(tmp_path):
    (tmp_path / "empty").mkdir()
    missing = tmp_path / "missing"
    with pytest.raises(FileNotFoundError) as caught:
        convert.convert_photos(negative, [tmp_path / "empty", missing], tmp_path / "out", SIZE)
    assert str(tmp_path / "empty") in str(caught.value)
    assert str(missing) in str(caught.value)
    assert not (tmp_path / "out").exists()


# What is left out, and what is never replaced


def test_every_format_of_a_folder_is_taken_and_the_rest_is_named(tmp_path, caplog):
    folder = tmp_path / "photos"
    good = [write_photo(folder / f"{name}", (9, 9, 9)) for name in ("a.jpg", "b.avif", "d.tga")]
    write_photo(folder / "c.png", (9, 9, 9)).rename(folder / "c.jfif")
    (folder / "e.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    for name in (".hidden.jpg", ".thumbnails/a.jpg", "@eaDir/a.jpg"):
        write_photo(folder / name, (1, 1, 1))
    (folder / "film.mpg").write_bytes(b"film")
    (folder / "gone.jpg").symlink_to(tmp_path / "gone.jpg")
    result = convert.convert_photos(negative, [folder], tmp_path / "out", SIZE)
    assert set(result.written) == {*good, folder / "c.jfif"}
    assert set(result.failed) == {folder / "e.heic", folder / "gone.jpg"}
    skipped = "3 hidden_file (.hidden.jpg, .thumbnails/a.jpg, @eaDir/a.jpg), "
    skipped += "1 no_image_by_its_name (film.mpg)"
    assert str(result.skipped[folder]) == skipped
    assert f"{folder}: left out {skipped}" in caplog.text


def test_hidden_photo_and_photo_in_a_hidden_folder_are_taken_by_name(tmp_path):
    photo = write_photo(tmp_path / ".hidden" / ".a.jpg", (9, 9, 9))
    assert set(convert.convert_photos(negative, [photo], tmp_path / "1", SIZE).written) == {photo}
    write_photo(tmp_path / ".hidden" / "b.jpg", (9, 9, 9))
    result = convert.convert_photos(negative, [photo.parent], tmp_path / "2", SIZE)
    assert set(result.written) == {photo.parent / "b.jpg"}


def test_archive_is_converted_as_its_folder_is(tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for level, name in enumerate(("a.png", "deep/b.png", "__MACOSX/._a.png", "notes.txt")):
            archive.write(write_photo(tmp_path / "x.png", (level,) * 3), name)
    path = tmp_path / "photos.zip"
    crops = tmp_path / "crops.json"
    crops.write_text(json.dumps({"deep/b.png": [0, 0, SIZE, SIZE]}))
    result = convert.convert_photos(negative, [path], tmp_path / "out", SIZE, crop=crops)
    assert result.written == {
        path / "a.png": tmp_path / "out" / "a.png",
        path / "deep" / "b.png": tmp_path / "out" / "b.png",
    }
    assert read(tmp_path / "out" / "b.png")[0, 0, 0] == 254
    assert str(result.skipped[path]) == (
        "1 hidden_file (__MACOSX/._a.png), 1 no_image_by_its_name (notes.txt)"
    )
    people = convert.convert_photos(
        negative, [path], tmp_path / "best", SIZE, distance=brightness
    ).written
    assert people == {path / "a.png": tmp_path / "best" / "photos.png"}
    path.write_bytes(path.read_bytes()[:-30])
    photo = tmp_path / "x.png"
    result = convert.convert_photos(negative, [path, photo], tmp_path / "new", SIZE)
    assert list(result.written) == [photo] and "photos.zip is neither" in result.failed[path]


def test_results_do_not_go_into_a_file(tmp_path):
    photo = write_photo(tmp_path / "a.png", (1, 2, 3))
    with pytest.raises(ValueError, match="must be a folder. Received: the file .*a.png.*--out"):
        convert.convert_photos(negative, [photo], photo, SIZE, overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("link", [False, True])
def test_results_do_not_go_into_the_folder_of_photos(tmp_path, overwrite, link):
    photo = write_photo(tmp_path / "photos" / "a.png", (1, 2, 3), size=(60, 90))
    content = photo.read_bytes()
    out = photo.parent
    if link:
        out = tmp_path / "link"
        out.symlink_to(photo.parent)
    with pytest.raises(ValueError, match="another folder than that of the photos.*--out"):
        convert.convert_photos(negative, [photo.parent], out, SIZE, overwrite=overwrite)
    assert photo.read_bytes() == content and list(photo.parent.iterdir()) == [photo]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("link", ["", "out", "photo"])
def test_photo_is_never_replaced(tmp_path, overwrite, link):
    """Nor through a link to its folder, or if it is a link to a file there."""
    photo = write_photo(tmp_path / "photos" / "A.png", (1, 2, 3))
    other = write_photo(tmp_path / "others" / "a.jpg", (1, 2, 3))
    content = photo.read_bytes()
    out, given = photo.parent, photo
    if link:
        (tmp_path / "link").symlink_to(photo.parent if link == "out" else photo)
        out, given = (tmp_path / "link", photo) if link == "out" else (out, tmp_path / "link")
    result = convert.convert_photos(negative, [given, other], out, SIZE, overwrite=overwrite)
    assert photo.read_bytes() == content
    names = [path.name for path in result.written.values()]
    assert names == (["link.png"] if link == "photo" else ["A_png.png"]) + ["a_jpg.png"]
    assert {path.name for path in out.iterdir()} == {"A.png", *names}


def test_files_that_are_there_are_kept_unless_told(tmp_path):
    photos = [write_photo(tmp_path / "photos" / f"{i}.jpg", (i,) * 3) for i in range(7)]
    out = tmp_path / "out"
    for i in range(6):
        write_photo(out / f"{i}.png", (99, 0, 0))
    before = {path: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(FileExistsError) as caught:
        convert.convert_photos(negative, photos, out, SIZE)
    assert str(caught.value) == (
        f"{out} already has 6 of the files to write (0.png, 1.png, 2.png, 3.png, 4.png, ...). "
        "Pass another --out, or --overwrite to replace them."
    )
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    convert.convert_photos(negative, photos, out, SIZE, overwrite=True)
    assert [read(out / f"{i}.png")[0, 0, 0] for i in range(7)] == [255 - i for i in range(7)]
    (out / "6.png").unlink()
    (out / "6.png").mkdir()
    with pytest.raises(FileExistsError, match="already has 1 of.*remove these folders"):
        convert.convert_photos(negative, photos, out, SIZE, overwrite=True)


def test_link_among_the_results_is_replaced_not_what_it_points_at(tmp_path):
    stranger = write_photo(tmp_path / "stranger.png", (1, 2, 3))
    content = stranger.read_bytes()
    photo = write_photo(tmp_path / "a.jpg", (9, 9, 9))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").symlink_to(stranger)
    with pytest.raises(FileExistsError):
        convert.convert_photos(negative, [photo], tmp_path / "out", SIZE)
    convert.convert_photos(negative, [photo], tmp_path / "out", SIZE, overwrite=True)
    assert stranger.read_bytes() == content and not (tmp_path / "out" / "a.png").is_symlink()


def test_results_of_before_are_no_photos(tmp_path):
    """With --out within the folder of photos, as in `cd photos; pixdt convert .`."""
    photo = write_photo(tmp_path / "a.jpg", (9, 9, 9))
    deeper = write_photo(tmp_path / "converted" / "deeper" / "b.jpg", (9, 9, 9))
    out = tmp_path / "converted"
    for overwrite in (False, True):
        result = convert.convert_photos(negative, [tmp_path], out, SIZE, overwrite=overwrite)
        assert set(result.written) == {photo, deeper}
    assert result.skipped[tmp_path].examples == {
        convert.IN_OUT: ["converted/a.png", "converted/b.png"]
    }
    above = convert.convert_photos(negative, [deeper.parent], tmp_path, SIZE)
    assert above.written == {deeper: tmp_path / "b.png"}


def test_photo_that_is_given_twice_is_converted_once(tmp_path, monkeypatch):
    photo = write_photo(tmp_path / "photos" / "a.jpg", (9, 9, 9))
    monkeypatch.chdir(photo.parent)
    given = ["a.jpg", "./a.jpg", photo, photo.parent, "../photos/a.jpg"]
    result = convert.convert_photos(negative, given, tmp_path / "out", SIZE)
    assert [path.name for path in result.written.values()] == ["a.png"]
    people = [photo.parent, photo]  # two persons have it
    result = convert.convert_photos(negative, people, tmp_path / "best", SIZE, distance=brightness)
    assert {path.name for path in (tmp_path / "best").iterdir()} == {"photos.png", "a.png"}


@pytest.mark.parametrize("names", [("a.jpg", "A.jpg"), ("\u00e9.jpg", "e\u0301.jpg")])
def test_names_that_are_one_in_some_file_systems_get_files_of_their_own(tmp_path, names):
    photos = [write_photo(tmp_path / name, (9, 9, 9)) for name in names]
    if len(set(path.stat().st_ino for path in photos)) < 2:
        pytest.skip("this file system is one of them")
    written = convert.convert_photos(negative, photos, tmp_path / "out", SIZE).written
    assert [written[photo].name for photo in photos] == [
        f"{photos[0].stem}.png", f"{photos[1].stem}_jpg.png"
    ]  # fmt: skip


def test_long_names_are_cut(tmp_path):
    photos = [write_photo(tmp_path / f"{'é' * 120}{i}.jpg", (i,) * 3) for i in range(2)]
    written = convert.convert_photos(negative, photos, tmp_path / "out", SIZE).written
    names = [written[photo].name for photo in photos]
    assert names == [f"{'é' * 100}.png", f"{'é' * 100}_jpg.png"]


def test_interrupted_results_are_whole_or_missing(tmp_path, monkeypatch):
    photos = [write_photo(tmp_path / f"{name}.jpg", (9, 9, 9)) for name in "ab"]
    write = data.write_image

    def interrupted(path, image):
        if "b.png" in path.name:
            path.write_bytes(b"half")
            raise KeyboardInterrupt
        write(path, image)

    monkeypatch.setattr(data, "write_image", interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert.convert_photos(negative, photos, tmp_path / "out", SIZE)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


# One image of each person


def brightness(images):
    """Stands for the distance of Eq. 8, and checks what it gets."""
    assert images.dtype == np.uint8 and images.shape[1:] == (SIZE, SIZE, 3)
    return images.mean(axis=(1, 2, 3))


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_of_each_folder_the_image_of_least_distance_is_written(tmp_path, batch_size):
    people = tmp_path / "people"
    for name, level in (("a", 30), ("b", 10), ("c", 20)):
        write_photo(people / "anna" / f"{name}.png", (level,) * 3)
    for name, level in (("a", 60), ("deep/b", 50), ("c", 50)):
        write_photo(people / "ben.v2" / f"{name}.png", (level,) * 3)
    alone = write_photo(tmp_path / "carla.png", (90, 90, 90))
    result = convert.convert_photos(
        negative, [people / "anna", alone, people / "ben.v2"], tmp_path / "out", SIZE,
        batch_size=batch_size, distance=brightness,
    )  # fmt: skip
    out = tmp_path / "out"
    assert result.written == {
        people / "anna" / "b.png": out / "anna.png",
        alone: out / "carla.png",
        people / "ben.v2" / "c.png": out / "ben.v2.png",  # the first of two that are alike
    }
    assert {p.name: read(p)[0, 0, 0] for p in out.iterdir()} == {
        "anna.png": 245, "carla.png": 165, "ben.v2.png": 205
    }  # fmt: skip


def test_folders_of_one_name_and_the_folder_here_have_files_of_their_own(tmp_path, monkeypatch):
    folders = [tmp_path / "one" / "anna", tmp_path / "two" / "anna", tmp_path / "here"]
    for level, folder in enumerate(folders):
        write_photo(folder / "a.png", (level,) * 3)
    (tmp_path / "here" / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "here" / "inner")
    result = convert.convert_photos(
        negative, [*folders[:2], ".."], tmp_path / "out", SIZE, distance=brightness
    )
    assert [p.name for p in result.written.values()] == ["anna.png", "anna_2.png", "here.png"]


def test_person_without_a_readable_photo_is_left_out_by_name(tmp_path):
    for name, content in (("anna", b""), ("ben", b"no image")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(content)
    good = write_photo(tmp_path / "ben" / "b.png", (1, 1, 1))
    result = convert.convert_photos(
        negative, [tmp_path / "anna", tmp_path / "ben"], tmp_path / "out", SIZE, distance=brightness
    )
    assert result.written == {good: tmp_path / "out" / "ben.png"}
    assert set(result.failed) == {tmp_path / "anna" / "a.png", tmp_path / "ben" / "a.png"}


def test_parts_of_photos_are_taken_as_a_file_says(tmp_path):
    photos = tmp_path / "photos"
    for name in ("a", "deep/b"):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.arange(12, dtype=np.uint8).reshape(2, 2, 3)).save(photos / f"{name}.png")
    alone = write_photo(tmp_path / "c.png", (9, 9, 9), size=(40, 20))
    crops = tmp_path / "crops.json"
    crops.write_text(json.dumps({"deep/b.png": [1, 0, 2, 1], "c.png": [0, 0, 5, 5]}))
    convert.convert_photos(negative, [photos, alone], tmp_path / "out", SIZE, crop=crops)
    written = {name: read(tmp_path / "out" / f"{name}.png") for name in "abc"}
    assert (written["b"] == [252, 251, 250]).all()  # one pixel, negated
    assert (written["c"] == 246).all()  # no white bars
    assert len(np.unique(written["a"].reshape(-1, 3), axis=0)) > 1
    crops.write_text(json.dumps({"d.png": [0, 0, 5, 5]}))
    with pytest.raises(ValueError, match="crops.json: the entry 'd.png'.*Found: none"):
        convert.convert_photos(negative, [photos, alone], tmp_path / "new", SIZE, crop=crops)
    assert not (tmp_path / "new").exists()
    crops.write_text(json.dumps({"c.png": [0, 0, 41, 20]}))
    result = convert.convert_photos(negative, [alone, photos], tmp_path / "new", SIZE, crop=crops)
    assert "crops.json: the box of 'c.png'" in result.failed[alone]
    assert "40 px wide and 20" in result.failed[alone]
    assert set(result.written) == {photos / "a.png", photos / "deep" / "b.png"}


def test_crops_of_a_training_fit_photos_of_the_same_folder(tmp_path, monkeypatch):
    """Whichever way the folder is given; a photo that is given twice is one."""
    for name in ("1.png", "sub/1.png"):
        write_photo(tmp_path / "photos" / name, (9, 9, 9), size=(40, 20))
    crops = tmp_path / "crops.json"
    crops.write_text(json.dumps({"1.png": [0, 0, 20, 20], "sub/1.png": [0, 0, 41, 20]}))
    monkeypatch.chdir(tmp_path / "photos")
    for given in ([tmp_path / "photos"], ["."], [".", "1.png"], ["../photos"]):
        result = convert.convert_photos(
            negative, given, tmp_path / "out", SIZE, crop=crops, overwrite=True
        )
        assert {photo.name for photo in result.written} == {"1.png"}
        assert [photo.parent.name for photo in result.failed] == ["sub"]


def test_crops_tell_photos_of_one_name_apart_by_their_folders(tmp_path):
    """As of two persons, whose photos are numbered."""
    for name in ("anna", "bert"):
        write_photo(tmp_path / name / "1.png", (9, 9, 9), size=(40, 20))
    crops = tmp_path / "crops.json"
    crops.write_text(json.dumps({"anna/1.png": [0, 0, 20, 20]}))
    folders = [tmp_path / "anna", tmp_path / "bert"]
    result = convert.convert_photos(negative, folders, tmp_path / "out", SIZE, crop=crops)
    anna, bert = (read(result.written[folder / "1.png"]) for folder in folders)
    assert (anna == 246).all()  # a square: no white bars
    assert not (bert == 246).all()
    crops.write_text(json.dumps({"1.png": [0, 0, 20, 20]}))
    with pytest.raises(ValueError, match="'1.png' must be .*Found: '.*anna/1.png', '.*bert/1.png'"):
        convert.convert_photos(negative, folders, tmp_path / "new", SIZE, crop=crops)


# The command


class FakeModel:
    """Draws negatives; the darkest photo keeps its f best."""

    input_shape = (None, SIZE, SIZE, 3)

    def predict_on_batch(self, images):
        assert images.dtype == np.float32
        return -images

    def drawing(self):
        return self


class FakeDTN(FakeModel):
    def constancy(self, inputs):
        assert inputs.dtype == np.float32 and inputs.shape[1:] == (SIZE, SIZE, 3)
        return inputs.mean(axis=(1, 2, 3))


class FakeRun:
    """A run whose upscaler repeats pixels."""

    preset = presets.get("demo")

    def __init__(self, model):
        self.model = model

    def upscaler(self, factor):
        self.factor = factor
        return self

    def predict(self, images, batch_size, verbose):
        return images.repeat(self.factor, axis=1).repeat(self.factor, axis=2)


@pytest.fixture
def command(tmp_path, monkeypatch):
    """`pixdt convert` on a fake run and two folders of photos; returns what it wrote."""
    from keras_pixdt import commands
    from keras_pixdt.training import run

    for name, level in (("anna/a", 40), ("anna/b", 20), ("ben/c", 60)):
        write_photo(tmp_path / f"{name}.png", (level,) * 3)
    (tmp_path / "run").mkdir()

    def convert_with(model, *options):
        monkeypatch.setattr(run, "load_run", lambda path, checkpoint: FakeRun(model))
        arguments = ["convert", str(tmp_path / "anna"), str(tmp_path / "ben"), *options]
        arguments += ["--model", str(tmp_path / "run"), "--out", str(tmp_path / "out")]
        status = commands.main(arguments)
        return status, {p.name: read(p) for p in (tmp_path / "out").glob("*")}

    return convert_with


def test_command_enlarges_and_chooses(command, tmp_path, caplog):
    status, written = command(FakeDTN(), "--super-resolution", "3", "--best-of-folder")
    assert status == 0
    assert {name: image.shape for name, image in written.items()} == {
        "anna.png": (3 * SIZE, 3 * SIZE, 3), "ben.png": (3 * SIZE, 3 * SIZE, 3)
    }  # fmt: skip
    assert (written["anna.png"] == 235).all() and (written["ben.png"] == 195).all()
    assert f"anna.png is of {tmp_path / 'anna' / 'b.png'}" in caplog.text


def test_command_enlarges_with_any_model(command):
    status, written = command(FakeModel(), "--super-resolution", "2")
    assert status == 0
    assert {name: image.shape[0] for name, image in written.items()} == dict.fromkeys(
        ("a.png", "b.png", "c.png"), 2 * SIZE
    )


class FakeFlow(FakeModel):
    """Draws the mean of a photo at any size."""

    image_size = SIZE
    scalable = True

    def photo_side(self, size, photo):
        return max(photo)

    def draw_at(self, photo, size):
        assert photo.shape == (1, 16, 16, 3)
        return np.full((1, size, size, 3), photo.mean(), np.float32)


def test_command_draws_at_another_size(command):
    status, written = command(FakeFlow(), "--size", "20")
    assert status == 0
    assert {name: image.shape for name, image in written.items()} == dict.fromkeys(
        ("a.png", "b.png", "c.png"), (20, 20, 3)
    )
    assert written["b.png"][0, 0, 0] == 20 or written["b.png"].mean() > 20  # letterboxed on white


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--size", "64x48"), "`size` must have the proportions of what the model draws, "),
        (("--size", "100000"), "--size must be in 1..4096 px. Received: 100000"),
        (("--size", "9", "--reverse"), "--size and --reverse do not go together"),
        (("--size", "9", "--super-resolution", "2"), "--size and --super-resolution do not"),
    ],
)
def test_sizes_that_cannot_be_drawn_are_named(command, caplog, options, message):
    assert command(FakeFlow(), *options) == (1, {})
    assert message in caplog.text


def test_words_are_no_sizes(command, capsys):
    with pytest.raises(SystemExit):
        command(FakeFlow(), "--size", "0")
    assert "a size must be the side of a square, such as 256, or HEIGHTx" in capsys.readouterr().err


def test_other_models_draw_at_one_size(command, caplog):
    assert command(FakeModel(), "--size", "20") == (1, {})
    assert "--size needs a model that moves the photo's own pixels" in caplog.text
    assert "is a FakeModel" in caplog.text


class FakeFile(FakeModel):
    """A TFLite file that draws negatives at any size."""

    image_size = drawn_size = SIZE
    resize = "stretch"
    scalable = True

    def draw_at(self, photo, size):
        assert photo.dtype == np.uint8 and photo.shape == (5, 9, 3)
        return np.full((size, size, 3), 255 - photo[0, 0])


def test_command_draws_at_another_size_by_an_exported_file(monkeypatch, tmp_path, caplog):
    import export
    from keras_pixdt import commands

    photo = write_photo(tmp_path / "a.png", (30, 60, 90), size=(9, 5))
    arguments = ["convert", str(photo), "--size", "20", "--model", "converter.tflite"]
    arguments += ["--out", str(tmp_path / "out")]
    monkeypatch.setattr(export, "load_tflite", lambda path: FakeFile())
    assert commands.main(arguments) == 0
    drawn = read(tmp_path / "out" / "a.png")
    assert drawn.shape == (20, 20, 3) and (drawn == [225, 195, 165]).all()

    monkeypatch.setattr(FakeFile, "scalable", False)
    assert commands.main(arguments) == 1
    assert "--size needs a file with the signature `flow`, and converter.tflite" in caplog.text


@pytest.fixture
def opened(monkeypatch, tmp_path):
    """Has `pixdt convert` open a model of ours as a run; returns what the command wrote."""
    from keras_pixdt import commands, presets
    from keras_pixdt.data.pairs import DomainSet
    from keras_pixdt.judges import upscaler
    from keras_pixdt.training import run

    photos = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    (tmp_path / "photos").mkdir()
    (tmp_path / "run").mkdir()
    for i, photo in enumerate(photos):
        data.write_image(tmp_path / "photos" / f"{i}.png", photo)
    upscale = functools.partial(upscaler.train_upscaler, steps=2, width=1 / 16)
    monkeypatch.setattr(upscaler, "train_upscaler", upscale)

    def convert_with(model, *options):
        splits = {"train": DomainSet(photos, photos)}
        opened = run.Run(tmp_path / "run", presets.get("kim2017"), {}, 0, model, _splits=splits)
        monkeypatch.setattr(run, "load_run", lambda path, checkpoint: opened)
        arguments = ["convert", str(tmp_path / "photos"), *options]
        arguments += ["--model", str(tmp_path / "run"), "--out", str(tmp_path / "out")]
        assert commands.main(arguments) == 0
        written = [read(tmp_path / "out" / f"{i}.png") for i in range(3)]
        return data.to_float(photos), np.stack(written), opened

    return convert_with


def test_super_resolution_takes_what_g_draws_not_what_was_enlarged(opened):
    """Sec. 5.2 of Taigman et al. 2017: g draws 64 px, of which G(x) has 152 for D."""
    import keras

    from keras_pixdt.models.domain_transfer import DomainTransferNetwork
    from keras_pixdt.models.domain_transfer_networks import build_function

    keras.utils.set_random_seed(0)
    function = build_function(32, 1 / 16)
    model = DomainTransferNetwork(function, 32, 1 / 32, generated_size=16)
    for variable in model.generator.trainable_variables:
        variable.assign(10 * np.asarray(variable))
    assert (model.drawn_size, model.generated_shape()[1]) == (16, 32)
    x, written, run = opened(model, "--super-resolution", "2")
    drawn = np.asarray(model.generator(model.function(x, training=False), training=False))
    assert drawn.std() > 0.1 and drawn.shape[1] == 16
    upscaler = keras.models.load_model(run.workdir / "upscaler_x2.keras")
    assert upscaler.image_size == 16
    expected = data.to_uint8(np.asarray(upscaler(drawn)))
    assert written.shape == expected.shape == (3, 32, 32, 3)
    assert np.abs(written.astype(int) - expected).max() <= 1
    enlarged = data.to_uint8(np.asarray(model(x)))  # which has the same size here
    assert np.abs(written.astype(int) - enlarged).max() > 1


def test_a_network_with_stages_converts_by_its_last(opened):
    """Its `converter` draws one image for each stage."""
    from keras_pixdt.models.rough_to_detail import RoughToDetailGAN

    model = RoughToDetailGAN(image_size=32, stages=2, width=1 / 16, seed=0)
    x, written, _ = opened(model)
    expected = data.to_uint8(np.asarray(model(x, training=False)))
    assert expected.shape == (3, 32, 32, 3)
    assert np.abs(written.astype(int) - expected).max() <= 1


class FakeDiscoGAN(FakeModel):
    """Draws negatives one way, and black the other."""

    class Black(FakeModel):
        def predict_on_batch(self, images):
            return np.full_like(images, -1)

    reverse_converter = Black()


def test_command_converts_back(command, caplog):
    status, written = command(FakeDiscoGAN(), "--reverse")
    assert status == 0 and sorted(written) == ["a.png", "b.png", "c.png"]
    assert all((image == 0).all() for image in written.values())
    status, written = command(FakeDiscoGAN())
    assert status == 1 and (written["a.png"] == 0).all()
    assert "out already has 3 of the files to write (a.png, b.png, c.png)" in caplog.text
    status, written = command(FakeDiscoGAN(), "--overwrite")
    assert status == 0 and (written["a.png"] == 215).all()


def test_converting_back_needs_a_model_with_a_way_back(command, monkeypatch, tmp_path, caplog):
    import export
    from keras_pixdt import commands
    from keras_pixdt.models.discogan import DiscoGAN
    from keras_pixdt.models.pixel_dtgan import PixelDTGAN

    standard = DiscoGAN(16, 1 / 16, coupled=False, reconstruction_weight=0.0)
    for model in (PixelDTGAN(image_size=16, width=1 / 32), standard):
        assert command(model, "--reverse") == (1, {})
        assert f"This {type(model).__name__} has none. A DiscoGAN has one" in caplog.text
    assert "unless its `reconstruction_weight` is 0" in caplog.text
    assert command(FakeDiscoGAN(), "--reverse", "--super-resolution", "2") == (1, {})
    assert "Leave one of the two out" in caplog.text

    class OneWay(FakeModel):
        reversible = False

    monkeypatch.setattr(export, "load_tflite", lambda path: OneWay())
    assert (
        commands.main(["convert", str(tmp_path), "--reverse", "--model", "converter.tflite"]) == 1
    )
    assert "converter.tflite has no signature `reverse`. `pixdt export --reverse`" in caplog.text


def test_command_takes_parts_of_photos(command, tmp_path, caplog):
    crops = tmp_path / "crops.json"
    crops.write_text(json.dumps({"b.png": [0, 0, 17, 16]}))
    status, written = command(FakeModel(), "--crop", str(crops))
    assert status == 1 and sorted(written) == ["a.png", "c.png"]
    assert "the box of 'b.png'" in caplog.text and "Received: [0, 0, 17, 16]" in caplog.text


def test_best_of_folder_needs_a_model_with_f(command, caplog, tmp_path):
    assert command(FakeModel(), "--best-of-folder") == (1, {})
    assert "is a FakeModel, which has none" in caplog.text
    assert str(tmp_path / "run") in caplog.text and "leave the option out" in caplog.text


def test_best_of_folder_does_not_take_exported_files(monkeypatch, tmp_path, caplog):
    import export
    from keras_pixdt import commands

    monkeypatch.setattr(export, "load_tflite", lambda path: FakeModel())
    arguments = ["convert", str(tmp_path), "--best-of-folder", "--model", "converter.tflite"]
    assert commands.main(arguments) == 1
    assert "converter.tflite is a FakeModel, which has none" in caplog.text


@pytest.mark.parametrize("name", ["model.keras", "model.tflite"])
def test_super_resolution_needs_a_run(name, tmp_path, caplog):
    from keras_pixdt import commands

    photo = write_photo(tmp_path / "a.png", (1, 1, 1))
    (tmp_path / name).touch()
    arguments = ["convert", str(photo), "--super-resolution", "2", "--out", str(tmp_path / "out")]
    assert commands.main([*arguments, "--model", str(tmp_path / name)]) == 1
    assert str(tmp_path / name) in caplog.text and "the folder of the run as --model" in caplog.text
    assert not (tmp_path / "out").exists()


def test_factors_are_two_three_and_four(capsys):
    from keras_pixdt import commands

    with pytest.raises(SystemExit):
        commands.main(["convert", "a.png", "--model", "x", "--super-resolution", "1"])
    assert "--super-resolution" in capsys.readouterr().err
